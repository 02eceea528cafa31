//! The behaviour of the runtime, from threads and coroutines.
//!
//! Each test runs on runtimes of its own; the driver is the environment's
//! (`ROPEWALK_DRIVER`), and so is the number of workers unless the test says.

mod basics;
