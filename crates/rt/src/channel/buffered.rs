//! Channels that hold messages: a buffer without locks, and a queue of waiters on either side.
//!
//! A sender that finds a receiver waiting before an empty buffer hands its message over to that
//! one's frame, past the buffer. Else messages go through the buffer, and those who are woken
//! look again and compete with whoever is there.
//!
//! # Who is woken
//!
//! A waiter joins its queue only after it has seen, under the queue's lock, that the buffer's
//! first place is not ready for it. Whoever makes that place ready looks for waiters next
//! (orderings: see [`ring`](super::ring)) and wakes one. The one that was woken is in charge: if
//! after its turn the next place is ready too and there are more waiters, it wakes another; and
//! so does one that leaves without taking. So while something is ready and somebody waits for it,
//! somebody who has been woken has yet to look.
//!
//! A buffer is emptied by the last receiver as it goes, and closed before.

use crossbeam_utils::CachePadded;
use ropewalk_kernel::clock;
use ropewalk_kernel::wait::{Joined, Limit, Outcome, Reason, WaitQueue, spend};
use ropewalk_kernel::wait::{Place as Queued, QueueGuard};

use super::error::{RecvTimeoutError, SendTimeoutError, TryRecvError, TrySendError};
use super::landing::{Landing, NOTICE, Place, deliver};
use crate::patience::Patience;

/// Where messages are kept. Open until closed; then it only gives.
pub(super) trait Buffer {
    type Message;
    /// Whether it can be full.
    const BOUNDED: bool;

    fn push(&self, message: Self::Message) -> Result<(), (Refusal, Self::Message)>;
    fn pop(&self) -> Popped<Self::Message>;
    /// Says whether a receiver has nothing to do but wait. Exact, and in one order with the ends'
    /// moves.
    fn is_idle(&self) -> bool;
    /// Says whether a sender has nothing to do but wait; likewise.
    fn is_blocked(&self) -> bool;
    fn is_empty(&self) -> bool;
    fn len(&self) -> usize;
    fn capacity(&self) -> Option<usize>;
    /// Closes it; says whether this call did.
    fn close(&self) -> bool;
    fn is_closed(&self) -> bool;
    /// Reserves the next place, to be filled or given up later: receivers wait for it meanwhile.
    fn hold(&self) -> Result<Hold, Refusal>;
    /// Fills a held place, or gives the message back if the buffer was closed meanwhile. Either
    /// way the caller wakes a receiver.
    fn commit(&self, hold: Hold, message: Self::Message) -> Result<(), Self::Message>;
    /// Gives a held place up. The caller wakes a receiver, which goes on past it.
    fn cancel(&self, hold: Hold);
}

/// A place that its holder may fill or give up; the buffer knows what the number means.
pub(super) struct Hold(pub(super) usize);

/// Why a buffer took nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Full,
    Closed,
}

/// What a buffer gives.
pub(super) enum Popped<T> {
    Message(T),
    /// A place that was given up: there is room again, and perhaps more behind it.
    Void,
    Empty,
    /// Empty and closed.
    Closed,
}

pub(super) struct Buffered<B> {
    buffer: B,
    receivers: CachePadded<WaitQueue>,
    senders: CachePadded<WaitQueue>,
}

impl<B: Buffer> Buffered<B> {
    pub(super) fn new(buffer: B) -> Buffered<B> {
        Buffered {
            buffer,
            receivers: CachePadded::new(WaitQueue::new()),
            senders: CachePadded::new(WaitQueue::new()),
        }
    }

    pub(super) fn buffer(&self) -> &B {
        &self.buffer
    }

    fn object(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    /// The senders are gone.
    pub(super) fn disconnect_senders(&self) {
        if self.buffer.close() {
            self.receivers.wake_all();
        }
    }

    /// The receivers are gone, and nobody else will drop what is left.
    pub(super) fn disconnect_receivers(&self) {
        if self.buffer.close() {
            self.senders.wake_all();
        }
        self.discard();
    }

    /// Drops what is left. If the drop of a message panics, those behind it are leaked: dropping
    /// them too, while the thread unwinds, could end the process.
    fn discard(&self) {
        struct Leak<'b, B: Buffer>(&'b B);
        impl<B: Buffer> Drop for Leak<'_, B> {
            fn drop(&mut self) {
                loop {
                    match self.0.pop() {
                        Popped::Message(message) => std::mem::forget(message),
                        Popped::Void => {}
                        Popped::Empty | Popped::Closed => return,
                    }
                }
            }
        }
        let rest = Leak(&self.buffer);
        while let Popped::Message(_) | Popped::Void = self.buffer.pop() {}
        std::mem::forget(rest);
    }

    // Sending.

    #[inline]
    pub(super) fn try_send(&self, message: B::Message) -> Result<(), TrySendError<B::Message>> {
        if self.receivers.is_empty() {
            self.push(message)
        } else {
            self.send_to_waiting(message)
        }
    }

    #[inline]
    fn push(&self, message: B::Message) -> Result<(), TrySendError<B::Message>> {
        match self.buffer.push(message) {
            Ok(()) => {
                self.receivers.wake_one();
                Ok(())
            }
            Err((Refusal::Full, message)) => Err(TrySendError::Full(message)),
            Err((Refusal::Closed, message)) => Err(TrySendError::Disconnected(message)),
        }
    }

    /// Hands a message over to the first waiting receiver.
    fn send_to_waiting(&self, message: B::Message) -> Result<(), TrySendError<B::Message>> {
        let mut guard = self.receivers.lock();
        // What is in the buffer was sent before.
        if !self.buffer.is_empty() {
            drop(guard);
            return self.push(message);
        }
        let claimed = guard.claim_next();
        drop(guard);
        let Some(claimed) = claimed else {
            return self.push(message);
        };
        // SAFETY: claimed in our receivers' queue.
        match unsafe { deliver(claimed, message) } {
            Ok(()) => Ok(()),
            Err((told, message)) => {
                let pushed = self.push(message);
                told.wake();
                pushed
            }
        }
    }

    pub(super) fn send(
        &self,
        mut message: B::Message,
        deadline: Option<u64>,
    ) -> Result<(), SendTimeoutError<B::Message>> {
        let mut woken = false;
        let mut patience = Patience::new();
        loop {
            message = match self.try_send(message) {
                Ok(()) => {
                    if woken {
                        self.pass_on_room();
                    } else {
                        spend();
                    }
                    return Ok(());
                }
                Err(TrySendError::Disconnected(message)) => {
                    return Err(SendTimeoutError::Disconnected(message));
                }
                Err(TrySendError::Full(message)) => message,
            };
            if patience.spin() {
                continue;
            }
            if has_passed(deadline) {
                spend();
                return Err(SendTimeoutError::Timeout(message));
            }
            let guard = self.senders.lock();
            if !self.buffer.is_blocked() {
                continue;
            }
            let limit = Limit::cancellable(deadline);
            match guard.wait(NOTICE, Reason::Send, self.object(), limit) {
                Outcome::Woken => woken = true,
                Outcome::Expired => woken = false,
                Outcome::Cancelled => return Err(SendTimeoutError::Disconnected(message)),
            }
        }
    }

    /// Wakes the next sender, if there is room for it: from one that was woken.
    pub(super) fn pass_on_room(&self) {
        if B::BOUNDED && !self.senders.is_empty() && !self.buffer.is_blocked() {
            self.senders.wake_one();
        }
    }

    // Receiving.

    #[inline]
    pub(super) fn try_recv(&self) -> Result<B::Message, TryRecvError> {
        loop {
            match self.buffer.pop() {
                Popped::Message(message) => {
                    self.made_room();
                    return Ok(message);
                }
                Popped::Void => self.made_room(),
                Popped::Empty => return Err(TryRecvError::Empty),
                Popped::Closed => return Err(TryRecvError::Disconnected),
            }
        }
    }

    #[inline]
    fn made_room(&self) {
        if B::BOUNDED {
            self.senders.wake_one();
        }
    }

    pub(super) fn recv(&self, deadline: Option<u64>) -> Result<B::Message, RecvTimeoutError> {
        let mut woken = false;
        let mut patience = Patience::new();
        loop {
            match self.try_recv() {
                Ok(message) => {
                    if woken {
                        self.pass_on_message();
                    } else {
                        spend();
                    }
                    return Ok(message);
                }
                Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
                Err(TryRecvError::Empty) => {}
            }
            if patience.spin() {
                continue;
            }
            if has_passed(deadline) {
                spend();
                return Err(RecvTimeoutError::Timeout);
            }
            let guard = self.receivers.lock();
            if !self.buffer.is_idle() {
                continue;
            }
            let place = Place::new(None);
            let limit = Limit::cancellable(deadline);
            let outcome = guard.wait(place.token(), Reason::Receive, self.object(), limit);
            if let Some(message) = place.take() {
                return Ok(message);
            }
            match outcome {
                Outcome::Woken => woken = true,
                Outcome::Expired => woken = false,
                Outcome::Cancelled => return Err(RecvTimeoutError::Disconnected),
            }
        }
    }

    /// Wakes the next receiver, if there is something for it: from one that was woken.
    pub(super) fn pass_on_message(&self) {
        if !self.receivers.is_empty() && !self.buffer.is_idle() {
            self.receivers.wake_one();
        }
    }

    // For futures.

    pub(super) fn receivers(&self) -> &WaitQueue {
        &self.receivers
    }

    pub(super) fn senders(&self) -> &WaitQueue {
        &self.senders
    }

    /// The receivers' lock, if a receiver has nothing to do but wait.
    pub(super) fn lock_idle(&self) -> Option<QueueGuard<'_>> {
        let guard = self.receivers.lock();
        self.buffer.is_idle().then_some(guard)
    }

    /// The senders' lock, if a sender has nothing to do but wait.
    pub(super) fn lock_blocked(&self) -> Option<QueueGuard<'_>> {
        let guard = self.senders.lock();
        self.buffer.is_blocked().then_some(guard)
    }

    // For selects.

    pub(super) fn join_receivers<'q>(
        &'q self,
        place: Queued<'_, 'q>,
        landing: Option<&Landing>,
    ) -> Option<Joined> {
        let token = landing.map_or(NOTICE, Landing::token);
        Some(place.join(self.lock_idle()?, token))
    }

    pub(super) fn join_senders<'q>(&'q self, place: Queued<'_, 'q>) -> Option<Joined> {
        Some(place.join(self.lock_blocked()?, NOTICE))
    }

    pub(super) fn hold(&self) -> Result<Hold, Refusal> {
        self.buffer.hold()
    }

    pub(super) fn commit(&self, hold: Hold, message: B::Message) -> Result<(), B::Message> {
        let committed = self.buffer.commit(hold, message);
        self.receivers.wake_one();
        if self.buffer.is_closed() {
            // By receivers, for a sender is here: perhaps they emptied it before the commit.
            self.discard();
        }
        committed
    }

    /// Gives a held place up. Unless messages may be dropped here, what lies behind it in a
    /// channel without receivers stays until the channel goes.
    pub(super) fn cancel(&self, hold: Hold, may_drop: bool) {
        self.buffer.cancel(hold);
        self.receivers.wake_one();
        if may_drop && self.buffer.is_closed() {
            // As in `commit`: nobody else drops it.
            self.discard();
        }
    }
}

#[inline]
pub(super) fn has_passed(deadline: Option<u64>) -> bool {
    deadline.is_some_and(|deadline| deadline <= clock::now_ns())
}
