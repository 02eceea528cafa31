//! Who is asking: the coroutine that the calling thread plays the worker of, or a thread.

#![allow(unreachable_pub, reason = "the kernel exports them")]

use super::record::Record;
use super::worker::Worker;

pub(crate) enum Context {
    Coroutine(&'static Worker, &'static Record),
    Thread,
}

impl Context {
    pub(crate) fn current() -> Context {
        match Worker::current().and_then(|worker| Some((worker, worker.current_record()?))) {
            Some((worker, record)) => Context::Coroutine(worker, record),
            None => Context::Thread,
        }
    }
}

/// Always: threads would spin before they wait, which loom has no use for.
pub fn in_coroutine() -> bool {
    true
}

pub fn check_may_wait() {}

pub fn may_wait() -> bool {
    true
}

pub fn note_given_up(_: usize) {}

pub(crate) fn has_given_up(_: usize) -> bool {
    false
}

pub fn no_wait<R>(f: impl FnOnce() -> R) -> R {
    f()
}

pub(crate) fn no_wait_in<R>(_: &'static str, f: impl FnOnce() -> R) -> R {
    f()
}

pub fn mark_panic_hook<R>(f: impl FnOnce() -> R) -> R {
    f()
}

pub fn panicked_waits() -> u64 {
    0
}
