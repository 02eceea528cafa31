//! The raw mutex under [`Mutex`](super::Mutex).
//!
//! # States
//!
//! | `state` | meaning |
//! |---|---|
//! | 0 | free |
//! | LOCKED | held, nobody waits |
//! | LOCKED + WAITERS | held, and somebody stands in the queue or did a moment ago |
//! | WAITERS | free, somebody was just woken and others still wait |
//!
//! WAITERS is only set and cleared under the queue's lock.
//!
//! # Fairness
//!
//! Unlocking wakes the first waiter and leaves the lock free: whoever comes first gets it,
//! so a running thread need not wait for a sleeping one to wake up. A waiter that finds
//! the lock taken again when it wakes joins the queue as *starved*, and a starved waiter is
//! handed the lock by the next unlock that comes to it: nobody waits for ever.
//!
//! # Orderings
//!
//! Taking is `Acquire`, giving up `Release`. A hand-over is written and read under the
//! queue's lock, or after the claim, which synchronise.

use std::cell::Cell;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use lock_api::GuardSend;
use ropewalk_kernel::clock;
use ropewalk_kernel::wait::{Limit, Outcome, Reason, WaitQueue};

const LOCKED: u8 = 1;
const WAITERS: u8 = 2;

/// Mutual exclusion without data: the raw type under [`Mutex`](super::Mutex).
pub struct RawMutex {
    state: AtomicU8,
    queue: WaitQueue,
    owner: Owner,
}

/// On the frame of a waiter; its address is the waiter's token.
struct Waiting {
    starved: bool,
    handed: Cell<bool>,
}

impl RawMutex {
    #[cold]
    fn lock_slow(&self, deadline: Option<u64>) -> bool {
        let mut starved = false;
        loop {
            let guard = self.queue.lock();
            if self.take_or_announce() {
                return true;
            }
            let waiting = Waiting {
                starved,
                handed: Cell::new(false),
            };
            let token = (&raw const waiting) as usize;
            let object = std::ptr::from_ref(self) as usize;
            if guard.wait(token, Reason::Lock, object, Limit::until(deadline)) == Outcome::Expired {
                return false;
            }
            if waiting.handed.get() {
                return true;
            }
            if self.try_take() {
                return true;
            }
            starved = true;
        }
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

    #[cold]
    fn unlock_slow(&self) {
        let mut guard = self.queue.lock();
        let claimed = guard.claim_next();
        let more = if guard.is_empty() { 0 } else { WAITERS };
        let mut keep = 0;
        if let Some(claimed) = &claimed {
            // SAFETY: the token is the address of a `Waiting` on the frame of a waiter
            // that stays in its wait until it is woken, below. (Futures don't wait for
            // mutexes.)
            let waiting = unsafe { &*(claimed.token() as *const Waiting) };
            if waiting.starved {
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
            .is_err()
        {
            self.lock_slow(None);
        }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        self.try_take()
    }

    #[inline]
    unsafe fn unlock(&self) {
        if self
            .state
            .compare_exchange(LOCKED, 0, Ordering::Release, Ordering::Relaxed)
            .is_err()
        {
            self.unlock_slow();
        }
    }

    #[inline]
    fn is_locked(&self) -> bool {
        self.state.load(Ordering::Relaxed) & LOCKED != 0
    }
}

// SAFETY: as above: the timed forms take the lock the same way.
unsafe impl lock_api::RawMutexTimed for RawMutex {
    type Duration = Duration;
    type Instant = Instant;

    fn try_lock_for(&self, timeout: Duration) -> bool {
        self.try_take() || self.lock_slow(Some(clock::deadline_after(timeout)))
    }

    fn try_lock_until(&self, deadline: Instant) -> bool {
        self.try_take() || self.lock_slow(Some(clock::instant_to_ns(deadline)))
    }
}
