//! Locks and conditions that threads and coroutines may share.
//!
//! Shaped like parking_lot's, on `lock_api`: guards come from there, there is no
//! poisoning, and every constructor is `const`. A lock is handed over fairly, but not at
//! once: see [`RawMutex`].

mod condvar;
mod mutex;

pub use condvar::{Condvar, WaitTimeoutResult};
pub use mutex::RawMutex;

/// Mutual exclusion between threads and coroutines in any mixture.
///
/// `lock()` is not a cancellation point. The guard is `Send`.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::{coroutine, sync::Mutex};
///
/// static COUNT: Mutex<u32> = Mutex::new(0);
///
/// coroutine::scope(|s| {
///     for _ in 0..10 {
///         s.spawn(|| *COUNT.lock() += 1);
///     }
/// });
/// assert_eq!(*COUNT.lock(), 10);
/// ```
pub type Mutex<T> = lock_api::Mutex<RawMutex, T>;

/// A locked [`Mutex`].
pub type MutexGuard<'a, T> = lock_api::MutexGuard<'a, RawMutex, T>;

/// A locked [`Mutex`], narrowed to a part of what it guards.
pub type MappedMutexGuard<'a, T> = lock_api::MappedMutexGuard<'a, RawMutex, T>;
