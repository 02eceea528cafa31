//! The behaviour of the runtime, from threads and coroutines.
//!
//! Each test runs on a plain thread and on runtimes of its own, under each driver and with one
//! and two workers: see `stage`. `ROPEWALK_DRIVER` and `ROPEWALK_WORKERS` narrow the choice.

mod blocking;
mod channels;
mod closing;
mod condvar;
mod event_loop;
mod forks;
mod futures;
mod joins;
mod leaks;
mod mutex;
mod net;
mod no_wait;
mod places;
mod process;
mod runtimes;
mod scheduling;
mod scopes;
mod spawning;
mod stage;
mod tasks;
mod watcher;
