//! One waiter's wait: from the queue's lock until it is decided.

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::context::{Context, check_may_wait, has_given_up, may_wait, no_wait_in};
use super::queue::{CANCELLED, DECISION, EXPIRED, Kind, Node, QueueGuard, Rivals, WOKEN, Wait};
use super::thread::ThreadParker;
use super::{AbortOnUnwind, Limit, Outcome, Reason};
use crate::cancel::{self, Slot, Standing};
use crate::record::{Named, Record};
use crate::task::identity;
use crate::worker::{Alarm, Worker};

/// A limit, together with what the waiter's token says.
pub(super) struct Bound {
    pub(super) deadline: Option<u64>,
    /// Whether the deadline is the token's: then its passing is a cancellation.
    ambient: bool,
    pub(super) cancellable: bool,
}

impl Bound {
    /// `None` if the waiter is cancelled already.
    #[inline]
    fn with(limit: Limit, standing: Standing) -> Option<Bound> {
        let (deadline, ambient) = match (standing, limit.deadline) {
            (Standing::Cancelled { .. }, _) => return None,
            (Standing::Until(token), Some(own)) if own <= token => (Some(own), false),
            (Standing::Until(token), _) => (Some(token), true),
            (Standing::Free, own) => (own, false),
        };
        Some(Bound {
            deadline,
            ambient,
            cancellable: limit.cancellable,
        })
    }

    #[inline]
    pub(super) fn of_coroutine(limit: Limit, record: &Record) -> Option<Bound> {
        if !limit.cancellable {
            return Bound::with(limit, Standing::Free);
        }
        Bound::with(limit, cancel::standing_of(record))
    }

    /// Who else may decide a wait in one queue with this limit.
    fn rivals(&self, others: Rivals) -> Rivals {
        if self.deadline.is_some() || self.cancellable {
            others
        } else {
            Rivals::None
        }
    }

    /// How a wait ended that no waker decided.
    pub(super) fn outcome(&self, decision: u32, record: Option<&Record>) -> Outcome {
        match decision {
            EXPIRED if self.ambient => {
                cancel::note_delivery(record);
                Outcome::Cancelled
            }
            EXPIRED => Outcome::Expired,
            CANCELLED => Outcome::Cancelled,
            _ => Outcome::Woken,
        }
    }
}

/// Parks the calling coroutine until `wait` is decided; gives the claim word.
///
/// # Safety
///
/// The wait's nodes are linked, or it can be decided in another way; the caller's frame,
/// which holds it, is not unwound meanwhile.
#[inline]
pub(super) unsafe fn park_until_decided(
    worker: &Worker,
    record: &Record,
    wait: &Wait,
    bound: &Bound,
    (reason, object): (Reason, usize),
) -> u32 {
    if bound.cancellable {
        record.wait.set(Named::queue(wait));
    }
    match bound.deadline {
        None => worker.park(record, reason, object),
        Some(deadline) => {
            let alarm = Alarm::for_wait(wait);
            // SAFETY: the alarm stays in this frame until it is disarmed.
            unsafe { worker.arm(&alarm, deadline) };
            worker.park(record, reason, object);
            // SAFETY: armed just above, by this worker.
            unsafe { worker.disarm(&alarm) };
        }
    }
    if bound.cancellable {
        record.wait.set(Named::NONE);
    }
    wait.claim.load(Ordering::Acquire)
}

/// Blocks the calling thread until `wait` is decided; gives the claim word.
pub(super) fn block_until_decided(
    parker: &ThreadParker,
    wait: &Wait,
    bound: &Bound,
    slot: Option<&Slot>,
    (reason, object): (Reason, usize),
) -> u32 {
    let block = |cancelled: bool| {
        if cancelled {
            wait.cancel_thread();
        }
        if !parker.park(bound.deadline) && wait.decide(EXPIRED).is_ok() {
            return;
        }
        // Decided by another: the token is there, or on its way. It must be taken, for it
        // is the other's last use of the parker.
        parker.take();
    };
    identity::note_wait(reason, object);
    match slot.filter(|_| bound.cancellable) {
        None => block(false),
        Some(slot) => cancel::while_named(slot, wait, block),
    }
    identity::note_wait(Reason::None, 0);
    wait.claim.load(Ordering::Acquire)
}

impl QueueGuard<'_> {
    /// Joins the queue, lets go of the lock and waits until woken, or as long as `limit`
    /// allows.
    ///
    /// `token` is what a waker reads before it hands something over; if it is an
    /// address, it must stay valid until this returns.
    ///
    /// # Panics
    ///
    /// Inside [`no_wait`](super::no_wait).
    #[inline]
    pub fn wait(self, token: usize, reason: Reason, object: usize, limit: Limit) -> Outcome {
        self.wait_then(token, reason, object, limit, || ())
    }

    /// As [`wait`](Self::wait), running `then` after joining the queue and before
    /// parking: a condition variable unlocks its mutex there.
    ///
    /// `then` runs in any case, also if the wait is refused because the caller is cancelled.
    /// It must not unwind (the process is aborted), and can't wait: the caller stands in a queue
    /// already, and who wakes it there would end that other wait. What wakers do in it is foreign
    /// code; a wait in there panics, and that ends with the waker.
    #[inline]
    pub fn wait_after(
        self,
        token: usize,
        reason: Reason,
        object: usize,
        limit: Limit,
        then: impl FnOnce(),
    ) -> Outcome {
        let then = || no_wait_in("a waker", then);
        self.wait_then(token, reason, object, limit, then)
    }

    #[inline]
    fn wait_then(
        self,
        token: usize,
        reason: Reason,
        object: usize,
        limit: Limit,
        then: impl FnOnce(),
    ) -> Outcome {
        if !may_wait() {
            if reason == Reason::Lock && limit.is_endless() && has_given_up(object) {
                return self.wait_thread(token, (reason, object), limit, then);
            }
            // The panic's hook may come by these locks: give them back first.
            drop(self);
            drop(then);
            check_may_wait();
            unreachable!("waiting was refused");
        }
        match Context::current() {
            Context::Coroutine(worker, record) => {
                self.wait_coroutine(worker, record, token, (reason, object), limit, then)
            }
            Context::Thread => self.wait_thread(token, (reason, object), limit, then),
        }
    }

    #[inline]
    fn wait_coroutine(
        mut self,
        worker: &Worker,
        record: &Record,
        token: usize,
        why: (Reason, usize),
        limit: Limit,
        then: impl FnOnce(),
    ) -> Outcome {
        let Some(bound) = Bound::of_coroutine(limit, record) else {
            drop(self);
            then();
            // A loop that ignores its cancellation must not keep the worker from others.
            worker.yield_now(record);
            return Outcome::Cancelled;
        };
        let wait = Wait::new(
            Kind::Coroutine(NonNull::from(record)),
            bound.rivals(Rivals::Home),
        );
        let node = Node::new(&wait, 0, token);
        let guard = AbortOnUnwind;
        // SAFETY: both live in this frame, which is not left before the node is
        // unlinked: parking returns only when the wait is decided, and nothing between
        // here and there unwinds (the guard above).
        unsafe { self.link(&node) };
        drop(self);
        then();
        // SAFETY: linked just above; the guard.
        let claim = unsafe { park_until_decided(worker, record, &wait, &bound, why) };
        std::mem::forget(guard);
        if claim & DECISION == WOKEN {
            return Outcome::Woken;
        }
        // SAFETY: the queue is borrowed by the caller; one it was moved to, by its mover's
        // contract.
        unsafe { node.leave() };
        bound.outcome(claim & DECISION, Some(record))
    }

    fn wait_thread(
        mut self,
        token: usize,
        why: (Reason, usize),
        limit: Limit,
        then: impl FnOnce(),
    ) -> Outcome {
        let Some((bound, slot)) = bound_of_thread(limit) else {
            drop(self);
            then();
            std::thread::yield_now();
            return Outcome::Cancelled;
        };
        ThreadParker::with(|parker| {
            let wait = Wait::new(
                Kind::Thread(NonNull::from(parker)),
                bound.rivals(Rivals::All),
            );
            let node = Node::new(&wait, 0, token);
            let guard = AbortOnUnwind;
            // SAFETY: as for a coroutine: the frame is not left before the node is
            // unlinked.
            unsafe { self.link(&node) };
            drop(self);
            then();
            let claim = block_until_decided(parker, &wait, &bound, slot.as_deref(), why);
            if claim & DECISION != WOKEN {
                // SAFETY: as for a coroutine.
                unsafe { node.leave() };
            }
            std::mem::forget(guard);
            bound.outcome(claim & DECISION, None)
        })
    }
}

/// Resolves a limit for the calling thread, with its slot.
pub(super) fn bound_of_thread(limit: Limit) -> Option<(Bound, Option<Arc<Slot>>)> {
    let (standing, slot) = if limit.cancellable {
        cancel::standing_of_thread()
    } else {
        (Standing::Free, None)
    };
    let mut bound = Bound::with(limit, standing)?;
    bound.cancellable &= slot.is_some();
    Some((bound, slot))
}

/// Sleeps until `deadline` (clock nanoseconds), or until cancelled. One that has passed gives
/// way to others.
pub fn sleep_until(deadline: u64) -> Outcome {
    check_may_wait();
    match Context::current() {
        Context::Coroutine(worker, record) => {
            let limit = Limit::cancellable(Some(deadline));
            let Some(bound) = Bound::of_coroutine(limit, record) else {
                worker.yield_now(record);
                return Outcome::Cancelled;
            };
            if deadline <= crate::clock::now_ns() {
                worker.yield_now(record);
                return Outcome::Expired;
            }
            let wait = Wait::new(Kind::Coroutine(NonNull::from(record)), Rivals::Home);
            let guard = AbortOnUnwind;
            // SAFETY: the alarm and a cancellation decide it; the guard.
            let claim =
                unsafe { park_until_decided(worker, record, &wait, &bound, (Reason::Sleep, 0)) };
            std::mem::forget(guard);
            bound.outcome(claim & DECISION, Some(record))
        }
        Context::Thread => {
            if deadline <= crate::clock::now_ns() {
                std::thread::yield_now();
                return match cancel::check() {
                    Ok(()) => Outcome::Expired,
                    Err(_) => Outcome::Cancelled,
                };
            }
            // Nobody wakes in this queue.
            let nobody = super::WaitQueue::new();
            let limit = Limit::cancellable(Some(deadline));
            nobody.lock().wait(0, Reason::Sleep, 0, limit)
        }
    }
}
