//! Setting a watched value, and waiting until nobody looks any more.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ropewalk_kernel::clock;
use ropewalk_kernel::wait::{AsyncWait, Limit, Outcome, Reason};

use super::super::SendError;
use super::{CLOSED, ONE_VERSION, Receiver, Ref, Sender, Shared};
use crate::cancel::{Cancelled, WaitError};

impl<T> Sender<T> {
    /// Sets the value and tells the receivers. Waits for those who borrow it just now; not a
    /// cancellation point.
    ///
    /// # Errors
    ///
    /// Gives the value back if there are no receivers.
    ///
    /// # Panics
    ///
    /// If it must wait inside [`no_wait`](crate::coroutine::no_wait).
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        if self.is_closed() {
            return Err(SendError(value));
        }
        drop(self.send_replace(value));
        Ok(())
    }

    /// Sets the value, whether or not there are receivers; gives the one before.
    ///
    /// # Panics
    ///
    /// As [`send`](Self::send).
    pub fn send_replace(&self, value: T) -> T {
        let mut value = value;
        self.send_modify(|place| std::mem::swap(place, &mut value));
        value
    }

    /// Changes the value in place, whether or not there are receivers. If `change` panics,
    /// nobody is told, and the value stays as it was left.
    ///
    /// # Panics
    ///
    /// As [`send`](Self::send), and as `change` does.
    pub fn send_modify(&self, change: impl FnOnce(&mut T)) {
        self.send_if_modified(|value| {
            change(value);
            true
        });
    }

    /// Changes the value in place, and tells the receivers if `change` says true. Returns what it
    /// says.
    ///
    /// # Panics
    ///
    /// As [`send_modify`](Self::send_modify).
    pub fn send_if_modified(&self, change: impl FnOnce(&mut T) -> bool) -> bool {
        let mut value = self.shared.value.write();
        let modified = change(&mut value);
        if modified {
            self.shared.state.fetch_add(ONE_VERSION, Ordering::SeqCst);
        }
        drop(value);
        if modified {
            self.shared.changes.wake_all();
        }
        modified
    }

    /// Borrows the value.
    ///
    /// # Panics
    ///
    /// As [`send`](Self::send).
    pub fn borrow(&self) -> Ref<'_, T> {
        self.shared.borrow()
    }

    /// Makes a receiver; the value as it is now counts as seen.
    pub fn subscribe(&self) -> Receiver<T> {
        Shared::subscribe(&self.shared, self.shared.version())
    }

    /// Counts the receivers.
    pub fn receiver_count(&self) -> usize {
        self.shared.receivers.load(Ordering::SeqCst)
    }

    /// Says whether there are no receivers.
    pub fn is_closed(&self) -> bool {
        self.receiver_count() == 0
    }

    /// Waits until there are no receivers.
    ///
    /// # Errors
    ///
    /// If the caller is cancelled while it waits.
    ///
    /// # Panics
    ///
    /// If it must wait inside [`no_wait`](crate::coroutine::no_wait).
    pub fn closed(&self) -> Result<(), Cancelled> {
        self.closed_within(Limit::cancellable(None))
            .map_err(|_| Cancelled::current())
    }

    /// Waits until there are no receivers, for `timeout` at most.
    ///
    /// # Errors
    ///
    /// If the time is over, or the caller is cancelled while it waits.
    ///
    /// # Panics
    ///
    /// As [`closed`](Self::closed).
    pub fn closed_timeout(&self, timeout: Duration) -> Result<(), WaitError> {
        self.closed_within(Limit::cancellable(Some(clock::deadline_after(timeout))))
    }

    /// Waits until there are no receivers, until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`closed_timeout`](Self::closed_timeout).
    ///
    /// # Panics
    ///
    /// As [`closed`](Self::closed).
    pub fn closed_deadline(&self, deadline: Instant) -> Result<(), WaitError> {
        self.closed_within(Limit::cancellable(Some(clock::instant_to_ns(deadline))))
    }

    /// Gives a future that is ready when there are no receivers.
    pub fn closed_async(&self) -> ClosedFuture<'_, T> {
        ClosedFuture {
            sender: self,
            wait: AsyncWait::new(),
        }
    }

    fn closed_within(&self, limit: Limit) -> Result<(), WaitError> {
        let mut outcome = Outcome::Woken;
        loop {
            let guard = self.shared.leaves.lock();
            if self.is_closed() {
                return Ok(());
            }
            if let Some(error) = WaitError::of(outcome) {
                return Err(error);
            }
            outcome = guard.wait(0, Reason::Send, self.shared.address(), limit);
        }
    }

    /// Says whether both set the same value.
    pub fn same_channel(&self, other: &Sender<T>) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.shared.senders.fetch_add(1, Ordering::Relaxed);
        Sender {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.shared.senders.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.shared.state.fetch_or(CLOSED, Ordering::SeqCst);
            self.shared.changes.wake_all();
        }
    }
}

/// Waits in `async` code until the receivers are gone; from [`Sender::closed_async`].
#[must_use = "a future does nothing until it is awaited"]
pub struct ClosedFuture<'a, T> {
    sender: &'a Sender<T>,
    wait: AsyncWait,
}

impl<T> Future for ClosedFuture<'_, T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let leaves = &this.sender.shared.leaves;
        if !this.sender.is_closed() {
            this.wait.prepare(context);
            let guard = leaves.lock();
            if !this.sender.is_closed() {
                // SAFETY: it leaves this queue when it is ready, below, or dropped, and the
                // sender holds what the queue is in.
                unsafe { this.wait.join(guard) };
                return Poll::Pending;
            }
        }
        this.wait.leave(leaves);
        Poll::Ready(())
    }
}

impl<T> Drop for ClosedFuture<'_, T> {
    fn drop(&mut self) {
        self.wait.leave(&self.sender.shared.leaves);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender { .. }")
    }
}

impl<T> fmt::Debug for ClosedFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClosedFuture { .. }")
    }
}
