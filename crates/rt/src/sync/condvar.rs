//! Waiting for a condition on what a mutex guards.

use std::cell::Cell;
use std::time::{Duration, Instant};

use lock_api::RawMutex as _;
use ropewalk_kernel::clock;
use ropewalk_kernel::wait::{Claimed, Limit, Outcome, QueueGuard, Reason, WaitQueue};

use super::mutex::Waiting;
use super::{MutexGuard, RawMutex};
use crate::cancel::Cancelled;

/// A condition variable for [`Mutex`](super::Mutex); mirrors parking_lot's.
///
/// The guard is borrowed, not passed in and out. Waiting without a lock does not compile.
/// Several conditions may share one mutex; who waits for one condition at one time must do so with
/// the same mutex.
///
/// Only [`wait_cancellable`](Condvar::wait_cancellable) is a cancellation point. There is no form
/// for `async` code: a task may block here in its poll, as a coroutine does.
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
    /// If others wait for this condition with another mutex; and inside
    /// [`no_wait`](crate::coroutine::no_wait). The lock is still held then.
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
        condition: impl FnMut(&mut T) -> bool,
        timeout: Duration,
    ) -> WaitTimeoutResult {
        self.wait_while_limited(guard, condition, clock::deadline_after(timeout))
    }

    /// As [`wait_while_for`](Self::wait_while_for), until `deadline` at most.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_while_until<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        condition: impl FnMut(&mut T) -> bool,
        deadline: Instant,
    ) -> WaitTimeoutResult {
        self.wait_while_limited(guard, condition, clock::instant_to_ns(deadline))
    }

    fn wait_while_limited<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        mut condition: impl FnMut(&mut T) -> bool,
        deadline: u64,
    ) -> WaitTimeoutResult {
        while condition(&mut **guard) {
            if self.wait_inner(guard, Some(deadline)).timed_out() {
                return WaitTimeoutResult(condition(&mut **guard));
            }
        }
        WaitTimeoutResult(false)
    }

    /// As [`wait`](Self::wait), and a cancellation point. The lock is held again in any case.
    ///
    /// # Errors
    ///
    /// [`Cancelled`] if the caller was cancelled, before or while it waited.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_cancellable<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
    ) -> Result<(), Cancelled> {
        match self.wait_limited(guard, Limit::cancellable(None)) {
            Outcome::Cancelled => Err(Cancelled::current()),
            _ => Ok(()),
        }
    }

    fn wait_inner<T: ?Sized>(
        &self,
        guard: &mut MutexGuard<'_, T>,
        deadline: Option<u64>,
    ) -> WaitTimeoutResult {
        WaitTimeoutResult(self.wait_limited(guard, Limit::until(deadline)) == Outcome::Expired)
    }

    fn wait_limited<T: ?Sized>(&self, guard: &mut MutexGuard<'_, T>, limit: Limit) -> Outcome {
        // SAFETY: between the unlock and the lock below nobody uses the guard: it is
        // borrowed, and we don't.
        let raw = unsafe { MutexGuard::mutex(guard).raw() };
        let frame = Frame {
            waiting: Waiting::new(false),
            lock: raw,
            notified: Cell::new(false),
        };
        let queue = self.queue.lock();
        let first = queue.first_token().map(|token| {
            // SAFETY: the address of the frame of a waiter, which leaves it after it has left this
            // queue, which is locked; what lock it waits with doesn't change.
            unsafe { (*(token as *const Frame)).lock }
        });
        if first.is_some_and(|lock| !std::ptr::eq(lock, raw)) {
            drop(queue);
            panic!("a condition is waited for with two mutexes at once");
        }
        let token = (&raw const frame) as usize;
        let object = std::ptr::from_ref(self) as usize;
        let outcome = queue.wait_after(token, Reason::Condition, object, limit, || {
            // SAFETY: held, as the guard shows. The queue was joined before: a notifier
            // that takes the lock after this finds us there.
            unsafe { raw.unlock() };
        });
        if frame.waiting.was_handed() {
            raw.adopted();
        } else {
            raw.lock();
        }
        // Moved to the lock's queue by a notification, and cut off there.
        if frame.notified.get() {
            Outcome::Woken
        } else {
            outcome
        }
    }

    /// Wakes one waiter, the first; says whether there was one.
    ///
    /// If the lock is held, the waiter is woken by the unlocking.
    pub fn notify_one(&self) -> bool {
        if self.queue.is_empty() {
            return false;
        }
        let mut guard = self.queue.lock();
        let there = !guard.is_empty();
        let claimed = self.notify_first(&mut guard);
        drop(guard);
        if let Some(claimed) = claimed {
            claimed.wake();
        }
        there
    }

    /// Wakes all who wait at this moment; gives their number.
    ///
    /// They come to run one after another, as each gives up the lock.
    pub fn notify_all(&self) -> usize {
        let mut notified = 0;
        loop {
            if self.queue.is_empty() {
                return notified;
            }
            let mut guard = self.queue.lock();
            if guard.is_empty() {
                return notified;
            }
            // The lock is held, as a rule: then all are moved in one go.
            let mut claimed = None;
            while claimed.is_none() && !guard.is_empty() {
                claimed = self.notify_first(&mut guard);
                notified += 1;
            }
            drop(guard);
            if let Some(claimed) = claimed {
                claimed.wake();
            }
        }
    }

    /// Moves the first waiter to the queue of its lock, or gives it to be woken.
    fn notify_first(&self, guard: &mut QueueGuard<'_>) -> Option<Claimed> {
        let token = guard.first_token()?;
        // SAFETY: the address of the frame of a waiter, which leaves it after it has left
        // this queue, or the one it is moved to: both need our lock, or come later.
        let frame = unsafe { &*(token as *const Frame) };
        frame.notified.set(true);
        // SAFETY: the waiter borrows the lock, takes it next, and a frame begins with a
        // `Waiting`.
        unsafe { (*frame.lock).adopt_first(guard) }
    }
}

/// On the frame of a waiter; its address is the waiter's token.
#[repr(C)]
struct Frame {
    /// First, as the lock's queue expects it.
    waiting: Waiting,
    lock: *const RawMutex,
    /// Whether a notification has come by. Changes under the lock of the condition's queue.
    notified: Cell<bool>,
}

impl std::fmt::Debug for Condvar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}
