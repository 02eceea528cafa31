//! Receiving from a broadcast channel.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ropewalk_kernel::clock;
use ropewalk_kernel::wait::{AsyncWait, Limit, Outcome, Reason, check_may_wait, spend};

use super::{Receiver, RecvError, RecvTimeoutError, Shared, TryRecvError};

impl<T: Clone> Receiver<T> {
    /// Receives the next message, waiting for it. The last receiver of a message gets it without
    /// cloning.
    ///
    /// # Errors
    ///
    /// If messages were missed, or all have been received and the senders are gone, or the wait
    /// was cancelled.
    ///
    /// # Panics
    ///
    /// If it must wait inside [`no_wait`](crate::coroutine::no_wait). If cloning the message does:
    /// it counts as received then.
    pub fn recv(&mut self) -> Result<T, RecvError> {
        self.recv_within(|| None).map_err(|error| match error {
            RecvTimeoutError::Lagged(missed) => RecvError::Lagged(missed),
            RecvTimeoutError::Closed | RecvTimeoutError::Timeout => RecvError::Closed,
        })
    }

    /// Receives the next message if it is there.
    ///
    /// # Errors
    ///
    /// If it is not, or messages were missed.
    ///
    /// # Panics
    ///
    /// If cloning the message does.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        // Bound first: the lock is let go before the message is cloned.
        let taken = self.shared.lock().take(&mut self.next);
        let message = taken?;
        spend();
        Ok(Arc::unwrap_or_clone(message))
    }

    /// Receives the next message, waiting for `timeout` at most.
    ///
    /// # Errors
    ///
    /// If the time is over, else as [`recv`](Self::recv).
    ///
    /// # Panics
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.recv_within(|| Some(clock::deadline_after(timeout)))
    }

    /// Receives the next message, waiting until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`recv_timeout`](Self::recv_timeout).
    ///
    /// # Panics
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_deadline(&mut self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.recv_within(|| Some(clock::instant_to_ns(deadline)))
    }

    /// Gives a future that receives the next message. Dropped before it is ready, it has
    /// received nothing.
    ///
    /// # Errors
    ///
    /// If messages were missed, or all have been received and the senders are gone.
    pub fn recv_async(&mut self) -> RecvFuture<'_, T> {
        RecvFuture {
            receiver: self,
            wait: AsyncWait::new(),
        }
    }

    fn recv_within(
        &mut self,
        deadline: impl FnOnce() -> Option<u64>,
    ) -> Result<T, RecvTimeoutError> {
        let mut received = self.try_recv();
        if matches!(received, Err(TryRecvError::Empty)) {
            self.wait(deadline())?;
            received = self.try_recv();
        }
        received.map_err(|error| match error {
            TryRecvError::Lagged(missed) => RecvTimeoutError::Lagged(missed),
            // Not empty: nobody else takes what the wait found.
            TryRecvError::Closed | TryRecvError::Empty => RecvTimeoutError::Closed,
        })
    }

    /// Waits until a receive need not wait.
    fn wait(&self, deadline: Option<u64>) -> Result<(), RecvTimeoutError> {
        check_may_wait();
        let shared = &*self.shared;
        let limit = Limit::cancellable(deadline);
        let mut outcome = Outcome::Woken;
        loop {
            let ring = shared.lock();
            if !ring.is_quiet(self.next) {
                return Ok(());
            }
            match outcome {
                Outcome::Woken => {}
                Outcome::Expired => return Err(RecvTimeoutError::Timeout),
                Outcome::Cancelled => return Err(RecvTimeoutError::Closed),
            }
            let guard = shared.waiting.lock();
            drop(ring);
            let object = std::ptr::from_ref(shared) as usize;
            outcome = guard.wait(0, Reason::Receive, object, limit);
        }
    }
}

impl<T> Receiver<T> {
    /// Makes a receiver of the messages that are sent from now on.
    pub fn resubscribe(&self) -> Receiver<T> {
        Shared::subscribe(&self.shared)
    }

    /// Counts the messages that can be received now.
    pub fn len(&self) -> usize {
        let ring = self.shared.lock();
        (ring.end() - self.next.max(ring.first)) as usize
    }

    /// Says whether no message can be received now.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Says whether the senders are gone; there may be messages left.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().senders == 0
    }

    /// Says whether both receive from the same channel.
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut ring = self.shared.lock();
        ring.receivers -= 1;
        let from = self.next.saturating_sub(ring.first) as usize;
        let mut done = 0;
        for slot in ring.slots.range_mut(from..) {
            slot.unseen -= 1;
            done += usize::from(slot.unseen == 0);
        }
        // This one was the last to see them, and all before them are gone.
        debug_assert!(done == 0 || from == 0);
        ring.first += done as u64;
        let gone: Vec<_> = ring.slots.drain(..done).collect();
        drop(ring);
        drop(gone);
    }
}

/// Receives a message; from [`Receiver::recv_async`].
#[must_use = "a future does nothing until it is awaited"]
pub struct RecvFuture<'a, T> {
    receiver: &'a mut Receiver<T>,
    wait: AsyncWait,
}

impl<T: Clone> Future for RecvFuture<'_, T> {
    type Output = Result<T, RecvError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Receiver { shared, next } = &mut *this.receiver;
        let mut ring = shared.lock();
        if ring.is_quiet(*next) {
            drop(ring);
            this.wait.prepare(context);
            ring = shared.lock();
            if ring.is_quiet(*next) {
                let guard = shared.waiting.lock();
                drop(ring);
                // SAFETY: it leaves this queue when it is ready, below, or dropped, and the
                // receiver holds what the queue is in.
                unsafe { this.wait.join(guard) };
                return Poll::Pending;
            }
        }
        let taken = ring.take(next);
        drop(ring);
        this.wait.leave(&shared.waiting);
        Poll::Ready(match taken {
            Ok(message) => Ok(Arc::unwrap_or_clone(message)),
            Err(TryRecvError::Lagged(missed)) => Err(RecvError::Lagged(missed)),
            Err(TryRecvError::Closed | TryRecvError::Empty) => Err(RecvError::Closed),
        })
    }
}

impl<T> Drop for RecvFuture<'_, T> {
    fn drop(&mut self) {
        self.wait.leave(&self.receiver.shared.waiting);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver { .. }")
    }
}

impl<T> fmt::Debug for RecvFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecvFuture { .. }")
    }
}
