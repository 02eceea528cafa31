//! The raw mutex under [`Mutex`](super::Mutex), and its cancellable and `async` forms.
//!
//! # States
//!
//! | `state` | meaning |
//! |---|---|
//! | 0 | free |
//! | LOCKED | held, nobody waits |
//! | LOCKED + WAITERS | held, and somebody stands in the queue or did a moment ago |
//! | WAITERS | free, somebody was just woken and others may still wait |
//!
//! WAITERS is only set and cleared under the queue's lock.
//!
//! # Fairness
//!
//! Unlocking wakes the first waiter and leaves the lock free: whoever comes first gets it,
//! so a running thread need not wait for a sleeping one to wake up. A waiter that finds
//! the lock taken again when it wakes joins the queue as *starved*, and a starved waiter is
//! handed the lock by the next unlock that comes to it: nobody waits for ever. A plain thread
//! is starved only once it has been losing for a while, and looks again a few times before it
//! waits (`patience.rs`). An unlock that is
//! asked to be fair (`unlock_fair`, `bump`) hands it to the first in any case. A future is never
//! handed it, as perhaps nobody polls it again: it is woken and competes, and one that is
//! dropped after it was woken wakes the next in its place.
//!
//! # Waiters of a condition variable
//!
//! A notification moves them from the condition's queue to this one while the lock is held,
//! so that they don't all wake up only to wait for it.
//!
//! # Orderings
//!
//! Taking is `Acquire`, giving up `Release`. A hand-over is written and read under the
//! queue's lock, or after the claim, which synchronise.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use lock_api::GuardSend;
use ropewalk_kernel::clock;
use ropewalk_kernel::locks::{self, Owner};
use ropewalk_kernel::wait::{
    AsyncWait, Claimed, Limit, Outcome, QueueGuard, Reason, WaitQueue, note_given_up, spend,
};

use super::{Mutex, MutexGuard};
use crate::cancel::Cancelled;
use crate::patience::{self, Losing};

const LOCKED: u8 = 1;
const WAITERS: u8 = 2;

/// Mutual exclusion without data: the raw type under [`Mutex`](super::Mutex).
pub struct RawMutex {
    state: AtomicU8,
    queue: WaitQueue,
    owner: Owner,
}

/// On the frame of a waiter, which is a thread or a coroutine; its address is the waiter's token.
#[repr(C)]
pub(super) struct Waiting {
    starved: bool,
    handed: Cell<bool>,
}

impl Waiting {
    pub(super) fn new(starved: bool) -> Waiting {
        Waiting {
            starved,
            handed: Cell::new(false),
        }
    }

    /// Says whether the waiter was handed the lock while it waited.
    pub(super) fn was_handed(&self) -> bool {
        self.handed.get()
    }
}

impl RawMutex {
    fn address(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    #[cold]
    fn lock_slow(&self, limit: Limit, endless: bool) -> Outcome {
        let object = self.address();
        let mut losing = Losing::default();
        if self.look_again() {
            self.owner.acquired();
            return Outcome::Woken;
        }
        let _wanting = endless.then(|| locks::want(&self.owner, object));
        loop {
            let guard = self.queue.lock();
            if self.take_or_announce() {
                break;
            }
            let waiting = Waiting::new(losing.is_starved());
            let token = (&raw const waiting) as usize;
            match guard.wait(token, Reason::Lock, object, limit) {
                Outcome::Woken => {}
                ended => return ended,
            }
            if waiting.was_handed() || self.try_take() {
                break;
            }
            losing.lost();
            if self.look_again() {
                break;
            }
        }
        self.owner.acquired();
        Outcome::Woken
    }

    fn look_again(&self) -> bool {
        let anybody_waits = || self.state.load(Ordering::Relaxed) & WAITERS != 0;
        patience::look_again(anybody_waits, || self.try_take())
    }

    /// Takes the lock, or sets WAITERS; under the queue's lock.
    fn take_or_announce(&self) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let free = state & LOCKED == 0;
            let next = if free {
                state | LOCKED
            } else {
                state | WAITERS
            };
            match self.state.compare_exchange_weak(
                state,
                next,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return free,
                Err(seen) => state = seen,
            }
        }
    }

    /// Sets WAITERS if the lock is held; under the queue's lock.
    fn announce_if_held(&self) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        while state & LOCKED != 0 {
            match self.state.compare_exchange_weak(
                state,
                state | WAITERS,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(seen) => state = seen,
            }
        }
        false
    }

    #[inline]
    fn try_take(&self) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        while state & LOCKED == 0 {
            match self.state.compare_exchange_weak(
                state,
                state | LOCKED,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(seen) => state = seen,
            }
        }
        false
    }

    /// Gives the lock up. With `fair`, whoever waits first gets it, starved or not.
    #[inline]
    fn release(&self, fair: bool) {
        self.owner.released();
        if self
            .state
            .compare_exchange(LOCKED, 0, Ordering::Release, Ordering::Relaxed)
            .is_err()
        {
            self.unlock_slow(fair);
        }
    }

    #[cold]
    fn unlock_slow(&self, fair: bool) {
        let mut guard = self.queue.lock();
        let claimed = guard.claim_next();
        let more = if guard.is_empty() { 0 } else { WAITERS };
        let mut keep = 0;
        if let Some(claimed) = &claimed
            && claimed.takes_hand_over()
        {
            // SAFETY: the token of a waiter that takes a hand-over is the address of a
            // `Waiting` on its frame, where it stays in its wait until it is woken, below.
            let waiting = unsafe { &*(claimed.token() as *const Waiting) };
            if waiting.starved || fair {
                waiting.handed.set(true);
                keep = LOCKED;
            }
        }
        self.state.store(keep | more, Ordering::Release);
        drop(guard);
        if let Some(claimed) = claimed {
            claimed.wake();
        }
    }

    /// Takes over the first waiter of a condition's queue, which has claimed nobody, if this
    /// lock is held: the unlocking wakes it. Else gives the waiter to be woken.
    ///
    /// # Safety
    ///
    /// The waiters there have the address of a [`Waiting`] as their token, and wait for this
    /// lock next, in the same frame, which borrows it.
    pub(super) unsafe fn adopt_first(&self, condition: &mut QueueGuard<'_>) -> Option<Claimed> {
        let mut guard = self.queue.lock();
        if !self.announce_if_held() {
            drop(guard);
            return condition.claim_next();
        }
        // SAFETY: the lock outlives the wait, by the contract above; no futures wait for
        // conditions.
        unsafe { condition.move_first_to(&mut guard) };
        None
    }

    fn poll_lock(&self, waiter: &mut AsyncWait, context: &Context<'_>) -> Poll<()> {
        if !self.try_take() {
            waiter.prepare(context);
            let guard = self.queue.lock();
            if !self.take_or_announce() {
                // SAFETY: the future leaves the queue when it is ready or dropped, and
                // borrows the lock.
                unsafe { waiter.join(guard) };
                return Poll::Pending;
            }
        }
        waiter.leave(&self.queue);
        self.owner.acquired();
        Poll::Ready(())
    }

    /// Ends a future's wait for the lock, which it has not got.
    fn abandon(&self, waiter: &mut AsyncWait) {
        if !waiter.leave(&self.queue) {
            return;
        }
        let mut guard = self.queue.lock();
        // Held by somebody: then the unlocking wakes the next.
        let next = if self.is_free() {
            guard.claim_next()
        } else {
            None
        };
        drop(guard);
        if let Some(next) = next {
            next.wake();
        }
    }

    /// Notes that the caller was handed the lock while it waited for a condition.
    pub(super) fn adopted(&self) {
        self.owner.acquired();
    }

    fn is_free(&self) -> bool {
        self.state.load(Ordering::SeqCst) & LOCKED == 0
    }
}

// SAFETY: LOCKED is set by exactly one successful compare-exchange at a time, or passed on
// by its holder, and only its holder clears it.
unsafe impl lock_api::RawMutex for RawMutex {
    const INIT: RawMutex = RawMutex {
        state: AtomicU8::new(0),
        queue: WaitQueue::new(),
        owner: Owner::none(),
    };

    type GuardMarker = GuardSend;

    #[inline]
    fn lock(&self) {
        if self
            .state
            .compare_exchange_weak(0, LOCKED, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
        {
            self.owner.acquired();
        } else {
            self.lock_slow(Limit::NONE, true);
        }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        let taken = self.try_take();
        if taken {
            self.owner.acquired();
        }
        taken
    }

    #[inline]
    unsafe fn unlock(&self) {
        note_given_up(self.address());
        self.release(false);
    }

    #[inline]
    fn is_locked(&self) -> bool {
        self.state.load(Ordering::Relaxed) & LOCKED != 0
    }
}

// SAFETY: as above: given up, or passed on by its holder.
unsafe impl lock_api::RawMutexFair for RawMutex {
    unsafe fn unlock_fair(&self) {
        note_given_up(self.address());
        self.release(true);
    }

    unsafe fn bump(&self) {
        if self.state.load(Ordering::Relaxed) & WAITERS != 0 {
            // SAFETY: as the caller promises.
            unsafe { self.unlock_fair() };
            lock_api::RawMutex::lock(self);
        }
    }
}

// SAFETY: as above: the timed forms take the lock the same way.
unsafe impl lock_api::RawMutexTimed for RawMutex {
    type Duration = Duration;
    type Instant = Instant;

    fn try_lock_for(&self, timeout: Duration) -> bool {
        lock_api::RawMutex::try_lock(self)
            || self.lock_until(clock::deadline_after(timeout)) == Outcome::Woken
    }

    fn try_lock_until(&self, deadline: Instant) -> bool {
        lock_api::RawMutex::try_lock(self)
            || self.lock_until(clock::instant_to_ns(deadline)) == Outcome::Woken
    }
}

impl RawMutex {
    /// The timed forms are cancellation points: a cancelled one has not got the lock.
    fn lock_until(&self, deadline: u64) -> Outcome {
        self.lock_slow(Limit::cancellable(Some(deadline)), false)
    }
}

/// Locking a [`Mutex`] in ways that `lock_api` has no method for.
pub trait MutexExt<T: ?Sized> {
    /// Locks, waiting until it can or the caller is cancelled.
    ///
    /// # Errors
    ///
    /// [`Cancelled`]; the lock is not held then.
    fn lock_cancellable(&self) -> Result<MutexGuard<'_, T>, Cancelled>;

    /// Locks from `async` code, on any executor. Dropping the future gives up the place in
    /// the queue; nothing is lost.
    fn lock_async(&self) -> MutexLock<'_, T>;
}

impl<T: ?Sized> MutexExt<T> for Mutex<T> {
    fn lock_cancellable(&self) -> Result<MutexGuard<'_, T>, Cancelled> {
        // SAFETY: the raw mutex is used as its guards do.
        let raw = unsafe { self.raw() };
        let taken = lock_api::RawMutex::try_lock(raw)
            || raw.lock_slow(Limit::cancellable(None), false) == Outcome::Woken;
        if !taken {
            return Err(Cancelled::current());
        }
        // SAFETY: taken for this guard.
        Ok(unsafe { self.make_guard_unchecked() })
    }

    fn lock_async(&self) -> MutexLock<'_, T> {
        MutexLock {
            lock: self,
            waiter: AsyncWait::new(),
        }
    }
}

/// Waits for a lock; from [`MutexExt::lock_async`].
#[must_use = "a future does nothing until it is awaited"]
pub struct MutexLock<'a, T: ?Sized> {
    lock: &'a Mutex<T>,
    waiter: AsyncWait,
}

impl<'a, T: ?Sized> Future for MutexLock<'a, T> {
    type Output = MutexGuard<'a, T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<MutexGuard<'a, T>> {
        spend();
        let this = self.get_mut();
        let lock = this.lock;
        // SAFETY: the raw mutex is used as its guards do.
        let raw = unsafe { lock.raw() };
        raw.poll_lock(&mut this.waiter, context)
            // SAFETY: taken for this guard.
            .map(|()| unsafe { lock.make_guard_unchecked() })
    }
}

impl<T: ?Sized> Drop for MutexLock<'_, T> {
    fn drop(&mut self) {
        // SAFETY: as in `poll`.
        unsafe { self.lock.raw() }.abandon(&mut self.waiter);
    }
}

impl<T: ?Sized> fmt::Debug for MutexLock<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MutexLock { .. }")
    }
}
