//! The behaviour of the runtime, from threads and coroutines.
//!
//! Each test runs on a plain thread and on runtimes of its own, under each driver and with one
//! and two workers: see `stage`. `ROPEWALK_DRIVER` and `ROPEWALK_WORKERS` narrow the choice.

mod channels;
mod condvar;
mod mutex;
mod net;
mod scheduling;
mod scopes;
mod spawning;
mod stage;
mod tasks;
