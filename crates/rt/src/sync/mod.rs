//! Locks, conditions and counters that threads, coroutines and `async` code may share.
//!
//! Locks are shaped like parking_lot's, on `lock_api`: guards come from there, there is no
//! poisoning, and every constructor is `const`. A lock is handed over fairly, but not at
//! once: see [`RawMutex`] and [`RawRwLock`]. The rest is shaped like its counterpart in std,
//! crossbeam, tokio or Python.
//!
//! What waits has a plain form, `_timeout` and `_deadline` forms, and an `_async` one that
//! gives a future. Which forms are cancellation points each type says.

mod barrier;
mod condvar;
mod event;
mod lazy_lock;
mod mutex;
mod once;
mod once_lock;
mod rate_limiter;
mod reentrant;
mod rwlock;
mod semaphore;
mod wait_group;

pub use barrier::{Barrier, BarrierWait, BarrierWaitResult};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use event::{Event, EventWait};
pub use lazy_lock::LazyLock;
pub use mutex::{MutexExt, MutexLock, RawMutex};
pub use once::{Once, OnceWait};
pub use once_lock::OnceLock;
pub use rate_limiter::RateLimiter;
pub use reentrant::{
    ArcReentrantMutexGuard, MappedReentrantMutexGuard, ReentrantMutex, ReentrantMutexExt,
    ReentrantMutexGuard, TaskId,
};
pub use rwlock::{
    ArcRwLockReadGuard, ArcRwLockUpgradableReadGuard, ArcRwLockWriteGuard, MappedRwLockReadGuard,
    MappedRwLockWriteGuard, RawRwLock, RwLock, RwLockExt, RwLockRead, RwLockReadGuard,
    RwLockUpgradableRead, RwLockUpgradableReadGuard, RwLockWrite, RwLockWriteGuard,
};
pub use semaphore::{
    Acquire, AcquireOwned, BoundedSemaphore, OwnedSemaphorePermit, Semaphore, SemaphorePermit,
    TooManyReleases,
};
pub use wait_group::{Unfinished, WaitGroup, WaitGroupWait};

use std::time::{Duration, Instant};

use ropewalk_kernel::clock;
use ropewalk_kernel::wait::{Claimed, Limit, Outcome};

use crate::cancel::{Cancelled, WaitError};

/// Mutual exclusion between threads and coroutines in any mixture.
///
/// `lock()` is not a cancellation point. The guard is `Send`. `MutexGuard::unlock_fair` and
/// `MutexGuard::bump` hand the lock to whoever waits first.
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

/// The limit of a wait for `timeout` at most, which is a cancellation point.
fn within(timeout: Duration) -> Limit {
    Limit::cancellable(Some(clock::deadline_after(timeout)))
}

/// The limit of a wait until `deadline`, which is a cancellation point.
fn until(deadline: Instant) -> Limit {
    Limit::cancellable(Some(clock::instant_to_ns(deadline)))
}

/// Why a wait ended that was not woken.
fn wait_error(outcome: Outcome) -> WaitError {
    WaitError::of(outcome).expect("a wait that was not woken")
}

/// The error of a wait that had no deadline of its own.
fn only_cancelled(error: WaitError) -> Cancelled {
    debug_assert!(error.is_cancelled(), "a wait without deadline");
    Cancelled::current()
}

/// Waiters claimed under a queue's lock, to be woken after it.
struct Batch {
    claimed: [Option<Claimed>; Batch::SIZE],
    len: usize,
}

impl Batch {
    const SIZE: usize = 8;

    fn new() -> Batch {
        Batch {
            claimed: [const { None }; Batch::SIZE],
            len: 0,
        }
    }

    fn is_full(&self) -> bool {
        self.len == Batch::SIZE
    }

    fn push(&mut self, claimed: Claimed) {
        self.claimed[self.len] = Some(claimed);
        self.len += 1;
    }

    fn wake(self) {
        self.claimed.into_iter().flatten().for_each(Claimed::wake);
    }
}
