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

    /// Patience is at its end at once: who would have spun is to wait.
    pub(crate) fn is_completed(&self) -> bool {
        true
    }
}
