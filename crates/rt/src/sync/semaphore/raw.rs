//! The count of permits and the queue of those who wait for some.
//!
//! # States
//!
//! `state` is the number of free permits above its lowest bit, which is WAITERS: somebody
//! stands in the queue, or did a moment ago. WAITERS only changes under the queue's lock.
//! While it is up, permits are only taken under that lock, in the order of the queue: by
//! `serve`, on behalf of the first. While it is down, taking and giving are one
//! compare-exchange.
//!
//! # Hand-over
//!
//! `serve` gives the first waiter what it wants and takes it out of the queue, and goes on with
//! the next until one wants more than there is. A waiter may give up between being looked at
//! and being claimed; the claim then yields the next one, which perhaps can't be served: it is
//! woken with empty hands and joins again. Whoever gives up calls `serve`, as it may have stood
//! in the way of others.
//!
//! A future is woken with nothing handed over, and the permits stay free for it: `serve`
//! counts one for each, so as not to wake more of them than could be glad. What a future
//! wants is not known; one that wants more than there is joins again, and lets `serve` hand over
//! to those who can be handed to. One that is dropped calls `serve`.
//!
//! # Orderings
//!
//! Giving is `Release`, taking `Acquire`: who holds a permit sees what was done under it
//! before. A hand-over is written and read under the queue's lock, or after the claim.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use ropewalk_kernel::wait::{AsyncWait, Limit, Outcome, QueueGuard, Reason, WaitQueue};

use super::super::{Batch, wait_error};
use crate::cancel::WaitError;

const WAITERS: usize = 1;
const SHIFT: u32 = 1;

pub(super) struct Permits {
    state: AtomicUsize,
    queue: WaitQueue,
}

/// On the frame of a waiter; its address is the waiter's token. Futures have the token 0.
struct Waiting {
    wants: usize,
    handed: Cell<bool>,
}

/// Whom `serve` may take out of the queue.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Serve {
    All,
    /// Stops before a future. For a future that has looked: if it took what it was woken for,
    /// nothing is left for another; if it was woken for nothing, two such would wake one another
    /// for ever.
    Handable,
}

impl Permits {
    pub(super) const MAX: usize = usize::MAX >> 3;

    pub(super) const fn new(permits: usize) -> Permits {
        assert!(
            permits <= Permits::MAX,
            "more than `Semaphore::MAX_PERMITS` permits"
        );
        Permits {
            state: AtomicUsize::new(permits << SHIFT),
            queue: WaitQueue::new(),
        }
    }

    pub(super) fn available(&self) -> usize {
        self.state.load(Ordering::Acquire) >> SHIFT
    }

    /// Takes `n` if nobody waits.
    #[inline]
    pub(super) fn try_take(&self, n: usize) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            if n > state >> SHIFT || (state & WAITERS != 0 && n != 0) {
                return false;
            }
            match self.state.compare_exchange_weak(
                state,
                state - (n << SHIFT),
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(seen) => state = seen,
            }
        }
    }

    /// Takes what is there, up to `n`; gives how many.
    pub(super) fn take_up_to(&self, n: usize) -> usize {
        let mut taken = 0;
        let take = |state: usize| {
            taken = n.min(state >> SHIFT);
            Some(state - (taken << SHIFT))
        };
        // The closure never refuses.
        let _ = self
            .state
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, take);
        taken
    }

    /// Adds `n`, unless there would be more than `bound`.
    #[inline]
    pub(super) fn give(&self, n: usize, bound: usize) -> Result<(), ()> {
        let mut state = self.state.load(Ordering::Relaxed);
        while state & WAITERS == 0 {
            if n > bound - state_permits(state, bound) {
                return Err(());
            }
            match self.state.compare_exchange_weak(
                state,
                state + (n << SHIFT),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(()),
                Err(seen) => state = seen,
            }
        }
        self.give_slow(n, bound)
    }

    #[cold]
    fn give_slow(&self, n: usize, bound: usize) -> Result<(), ()> {
        let guard = self.queue.lock();
        let add = |state: usize| {
            let fits = n <= bound - state_permits(state, bound);
            fits.then(|| state + (n << SHIFT))
        };
        let given = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, add);
        self.serve(guard, Serve::All);
        given.map(drop).map_err(drop)
    }

    /// Waits until `n` are handed over.
    #[cold]
    pub(super) fn take_slow(&self, n: usize, limit: Limit) -> Result<(), WaitError> {
        loop {
            let guard = self.queue.lock();
            if self.take_or_announce(n, guard.is_empty()) {
                return Ok(());
            }
            let waiting = Waiting {
                wants: n,
                handed: Cell::new(false),
            };
            let token = (&raw const waiting) as usize;
            let object = std::ptr::from_ref(self) as usize;
            let outcome = guard.wait(token, Reason::Semaphore, object, limit);
            if outcome != Outcome::Woken {
                self.serve(self.queue.lock(), Serve::All);
                return Err(wait_error(outcome));
            }
            if waiting.handed.get() {
                return Ok(());
            }
        }
    }

    /// Takes `n` for a future, or has it wait. `waiting` is its place in the queue, once it has
    /// waited.
    pub(super) fn poll_take(
        &self,
        n: usize,
        waiting: &mut Option<AsyncWait>,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        let again = waiting.is_some();
        if self.try_take(n) {
            self.leave(waiting, Serve::Handable);
            return Poll::Ready(());
        }
        let wait = waiting.get_or_insert_with(AsyncWait::new);
        wait.prepare(context);
        let guard = self.queue.lock();
        // One that has stood in the queue competes when it is polled.
        if self.take_or_announce(n, again || guard.is_empty()) {
            drop(guard);
            self.leave(waiting, Serve::Handable);
            return Poll::Ready(());
        }
        // SAFETY: it leaves this queue in `leave`, which is called when it is ready and, by
        // the future that holds it, when that is dropped, while the semaphore is there.
        unsafe { wait.join(guard) };
        if again {
            // Perhaps it was woken, and has now gone behind others.
            self.serve(self.queue.lock(), Serve::Handable);
        }
        Poll::Pending
    }

    /// Gives a future's wait up. It may have stood in the way of others, or been woken in place
    /// of another.
    pub(super) fn give_up(&self, waiting: &mut Option<AsyncWait>) {
        self.leave(waiting, Serve::All);
    }

    fn leave(&self, waiting: &mut Option<AsyncWait>, whom: Serve) {
        if let Some(mut wait) = waiting.take() {
            wait.leave(&self.queue);
            self.serve(self.queue.lock(), whom);
        }
    }

    /// Takes `n` if that is allowed now and as many are there; else says that somebody waits.
    /// Under the queue's lock.
    fn take_or_announce(&self, n: usize, allowed: bool) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let take = allowed && n <= state >> SHIFT;
            let next = if take {
                state - (n << SHIFT)
            } else {
                state | WAITERS
            };
            match self.state.compare_exchange_weak(
                state,
                next,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return take,
                Err(seen) => state = seen,
            }
        }
    }

    /// Gives the first in the queue what they want, as far as it goes.
    fn serve<'q>(&'q self, mut guard: QueueGuard<'q>, whom: Serve) {
        // Permits left free for futures that were woken for them.
        let mut left_free = 0;
        loop {
            let mut woken = Batch::new();
            let more = loop {
                let Some(token) = guard.first_token() else {
                    self.state.fetch_and(!WAITERS, Ordering::Relaxed);
                    break false;
                };
                if woken.is_full() {
                    break true;
                }
                let free = (self.state.load(Ordering::Relaxed) >> SHIFT).saturating_sub(left_free);
                // SAFETY: the token of a waiter in the queue.
                let wants = unsafe { wants(token) };
                if wants.unwrap_or(1) > free || (wants.is_none() && whom == Serve::Handable) {
                    break false;
                }
                let Some(claimed) = guard.claim_next() else {
                    continue;
                };
                // Perhaps another one: see "Hand-over".
                // SAFETY: claimed and not yet woken, so its frame is there.
                match unsafe { waiting(claimed.token()) } {
                    None => left_free += 1,
                    Some(waiting) if waiting.wants <= free => {
                        // Nobody else takes any: WAITERS is up and the lock is ours. (But
                        // `take_up_to` may.)
                        waiting.handed.set(self.take_for_waiter(waiting.wants));
                    }
                    Some(_) => {}
                }
                woken.push(claimed);
            };
            drop(guard);
            woken.wake();
            if !more {
                return;
            }
            guard = self.queue.lock();
        }
    }

    fn take_for_waiter(&self, n: usize) -> bool {
        let take = |state: usize| (n <= state >> SHIFT).then(|| state.wrapping_sub(n << SHIFT));
        self.state
            .fetch_update(Ordering::Acquire, Ordering::Relaxed, take)
            .is_ok()
    }
}

/// The permits in a state, of which there are never more than `bound` but by misuse of a
/// bounded semaphore's inner one, which nobody can reach.
fn state_permits(state: usize, bound: usize) -> usize {
    let permits = state >> SHIFT;
    debug_assert!(permits <= bound);
    permits
}

/// # Safety
///
/// The token of a waiter that stands in the queue, or is claimed and not yet woken.
unsafe fn waiting<'a>(token: usize) -> Option<&'a Waiting> {
    // SAFETY: 0 for a future; else the address of a `Waiting` on the frame of a waiter that
    // stays in its wait until it is woken, or takes the queue's lock to leave.
    unsafe { (token as *const Waiting).as_ref() }
}

/// What a waiter wants; nothing is known of a future.
///
/// # Safety
///
/// As [`waiting`].
unsafe fn wants(token: usize) -> Option<usize> {
    // SAFETY: by the contract above.
    unsafe { waiting(token) }.map(|waiting| waiting.wants)
}
