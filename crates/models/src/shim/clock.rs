//! A clock of two instants: 0, and 1 once some thread has let time pass.
//!
//! Who reads it may still see 0 then, as long as nothing orders the two: so a deadline at 1 passes at
//! each moment, as seen from the waiter.

use std::time::{Duration, Instant};

use super::atomic::{AtomicU64, Ordering};

/// The one deadline that passes.
pub(crate) const SOON: u64 = 1;

loom::lazy_static! {
    static ref NOW: AtomicU64 = AtomicU64::new(0);
}

pub(crate) fn now_ns() -> u64 {
    NOW.load(Ordering::Relaxed)
}

/// Lets time pass. Each model with a deadline calls it once, from a thread beside those that
/// wait; first of all it calls [`begin`].
pub(crate) fn pass() {
    NOW.store(SOON, Ordering::Relaxed);
}

/// Makes the clock before there are threads.
pub(crate) fn begin() {
    assert_eq!(now_ns(), 0);
}

pub(crate) fn deadline_after(_: Duration) -> u64 {
    SOON
}

pub(crate) fn instant_to_ns(_: Instant) -> u64 {
    SOON
}
