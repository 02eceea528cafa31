//! `crossbeam_utils`, with loom's way of spinning.

pub(crate) use crossbeam_utils::CachePadded;

/// Gives way to the other threads at each step.
pub(crate) struct Backoff;

impl Backoff {
    pub(crate) fn new() -> Backoff {
        Backoff
    }

    pub(crate) fn spin(&self) {
        loom::hint::spin_loop();
    }

    pub(crate) fn snooze(&self) {
        loom::hint::spin_loop();
    }
}
