//! The traits of `lock_api`, with a function for the constant.

#![allow(dead_code, reason = "the traits are whole, the models use less")]

pub(crate) struct GuardSend;

/// # Safety
///
/// As `lock_api`'s.
pub(crate) unsafe trait RawMutex {
    type GuardMarker;

    fn init() -> Self;
    fn lock(&self);
    fn try_lock(&self) -> bool;

    /// # Safety
    ///
    /// The caller holds the lock.
    unsafe fn unlock(&self);
    fn is_locked(&self) -> bool;
}

/// # Safety
///
/// As `lock_api`'s.
pub(crate) unsafe trait RawMutexTimed: RawMutex {
    type Duration;
    type Instant;

    fn try_lock_for(&self, timeout: Self::Duration) -> bool;
    fn try_lock_until(&self, deadline: Self::Instant) -> bool;
}
