//! What the sources under test stand on, made small enough for loom.

pub(crate) mod atomic;
pub(crate) mod backoff;
pub(crate) mod cell;
pub(crate) mod clock;
pub(crate) mod context;
pub(crate) mod ends;
pub(crate) mod futex;
pub(crate) mod jobs;
pub(crate) mod lock_api;
pub(crate) mod locks;
pub(crate) mod record;
pub(crate) mod sync;
pub(crate) mod task;
pub(crate) mod tasks;
pub(crate) mod worker;

/// A number that nobody else gets.
pub(crate) fn next_id() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};

    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
