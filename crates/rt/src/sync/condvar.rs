//! Waiting for a condition on what a mutex guards.

use std::time::{Duration, Instant};

use lock_api::RawMutex as _;
use ropewalk_kernel::clock;
use ropewalk_kernel::wait::{Limit, Outcome, Reason, WaitQueue};

use super::MutexGuard;

/// A condition variable for [`Mutex`](super::Mutex); mirrors parking_lot's.
///
/// The guard is borrowed, not passed in and out. Waiting without a lock does not compile.
/// Several conditions may share one mutex.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::{coroutine, sync::{Condvar, Mutex}};
///
/// static READY: Mutex<bool> = Mutex::new(false);
/// static CHANGED: Condvar = Condvar::new();
///
/// let waiter = coroutine::spawn(|| {
///     let mut ready = READY.lock();
///     CHANGED.wait_while(&mut ready, |ready| !*ready);
/// });
/// *READY.lock() = true;
/// CHANGED.notify_one();
/// waiter.join().unwrap();
/// ```
#[derive(Default)]
pub struct Condvar {
    queue: WaitQueue,
}

/// Whether a timed wait ended because of its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Says whether the deadline passed without a notification.
    pub fn timed_out(self) -> bool {
        self.0
    }
}

impl Condvar {
    /// A condition that nobody waits for.
    pub const fn new() -> Condvar {
        Condvar {
            queue: WaitQueue::new(),
        }
    }

    /// Unlocks, waits for a notification, and locks again.
    ///
    /// As with every condition variable, look at the condition again: others may have been
    /// faster, and a wait may end spuriously.
    ///
    /// # Panics
    ///
    /// Inside [`no_wait`](crate::coroutine::no_wait), with the lock still held.
    pub fn wait<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>) {
        self.wait_inner(guard, None);
    }

    /// Waits for as long as `condition` says true.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_while<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) {
        while condition(&mut **guard) {
            self.wait(guard);
        }
    }

    /// As [`wait`](Self::wait), for `timeout` at most.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_for<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        timeout: Duration,
    ) -> WaitTimeoutResult {
        self.wait_inner(guard, Some(clock::deadline_after(timeout)))
    }

    /// As [`wait`](Self::wait), until `deadline` at most.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_until<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        deadline: Instant,
    ) -> WaitTimeoutResult {
        self.wait_inner(guard, Some(clock::instant_to_ns(deadline)))
    }

    /// As [`wait_while`](Self::wait_while), for `timeout` in all; says whether it ended
    /// with the condition still true.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_while_for<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        mut condition: impl FnMut(&mut T) -> bool,
        timeout: Duration,
    ) -> WaitTimeoutResult {
        let deadline = Some(clock::deadline_after(timeout));
        while condition(&mut **guard) {
            if self.wait_inner(guard, deadline).timed_out() {
                return WaitTimeoutResult(condition(&mut **guard));
            }
        }
        WaitTimeoutResult(false)
    }

    fn wait_inner<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        deadline: Option<u64>,
    ) -> WaitTimeoutResult {
        // SAFETY: between the unlock and the lock below nobody uses the guard: it is
        // borrowed, and we don't.
        let raw = unsafe { MutexGuard::mutex(guard).raw() };
        let queue = self.queue.lock();
        let object = std::ptr::from_ref(self) as usize;
        let outcome = queue.wait_after(0, Reason::Condition, object, Limit::until(deadline), || {
            // SAFETY: held, as the guard shows. The queue was joined before: a notifier
            // that takes the lock after this finds us there.
            unsafe { raw.unlock() };
        });
        raw.lock();
        WaitTimeoutResult(outcome == Outcome::Expired)
    }

    /// Wakes one waiter, the first; says whether there was one.
    pub fn notify_one(&self) -> bool {
        self.queue.wake_one()
    }

    /// Wakes all who wait at this moment; gives their number.
    pub fn notify_all(&self) -> usize {
        self.queue.wake_all()
    }
}

impl std::fmt::Debug for Condvar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}
