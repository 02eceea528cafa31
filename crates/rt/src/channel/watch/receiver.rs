//! Seeing a watched value, and waiting until it changes.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use ropewalk_kernel::clock;
use ropewalk_kernel::wait::{AsyncWait, Limit, spend};

use super::super::{RecvError, RecvTimeoutError};
use super::{ONE_VERSION, Receiver, Ref, Shared};

impl<T> Receiver<T> {
    /// Borrows the newest value, which doesn't count as seen by that. Waits for a sender that is
    /// changing it; not a cancellation point.
    ///
    /// Senders wait for the borrow to end, and receivers that come after them: borrowing twice in
    /// one task may wait for ever.
    ///
    /// # Panics
    ///
    /// If it must wait inside [`no_wait`](crate::coroutine::no_wait).
    pub fn borrow(&self) -> Ref<'_, T> {
        self.shared.borrow()
    }

    /// As [`borrow`](Self::borrow); the value counts as seen.
    ///
    /// # Panics
    ///
    /// As [`borrow`](Self::borrow).
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let value = self.shared.borrow();
        self.seen = self.shared.version();
        value
    }

    /// Says whether there is a value that has not been seen.
    ///
    /// # Errors
    ///
    /// If there is none and the senders are gone.
    pub fn has_changed(&self) -> Result<bool, RecvError> {
        let found = self.shared.look(self.seen).transpose()?;
        Ok(found.is_some())
    }

    /// Counts the newest value as not seen.
    pub fn mark_changed(&mut self) {
        self.seen = self.shared.version().wrapping_sub(ONE_VERSION);
    }

    /// Counts the newest value as seen.
    pub fn mark_unchanged(&mut self) {
        self.seen = self.shared.version();
    }

    /// Waits for a value that has not been seen, and counts it as seen.
    ///
    /// # Errors
    ///
    /// If the newest value has been seen and the senders are gone, or the wait was cancelled.
    ///
    /// # Panics
    ///
    /// If it must wait inside [`no_wait`](crate::coroutine::no_wait).
    pub fn changed(&mut self) -> Result<(), RecvError> {
        self.changed_within(|| None).map_err(|_| RecvError)
    }

    /// As [`changed`](Self::changed), for `timeout` at most.
    ///
    /// # Errors
    ///
    /// If the time is over, else as [`changed`](Self::changed).
    ///
    /// # Panics
    ///
    /// As [`changed`](Self::changed).
    pub fn changed_timeout(&mut self, timeout: Duration) -> Result<(), RecvTimeoutError> {
        self.changed_within(|| Some(clock::deadline_after(timeout)))
    }

    /// As [`changed`](Self::changed), until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`changed_timeout`](Self::changed_timeout).
    ///
    /// # Panics
    ///
    /// As [`changed`](Self::changed).
    pub fn changed_deadline(&mut self, deadline: Instant) -> Result<(), RecvTimeoutError> {
        self.changed_within(|| Some(clock::instant_to_ns(deadline)))
    }

    /// Gives a future for [`changed`](Self::changed). Dropped before it is ready, it has seen
    /// nothing.
    ///
    /// # Errors
    ///
    /// If the newest value has been seen and the senders are gone.
    pub fn changed_async(&mut self) -> ChangedFuture<'_, T> {
        ChangedFuture {
            version: NewVersion::new(&self.shared, self.seen),
            seen: &mut self.seen,
        }
    }

    fn changed_within(
        &mut self,
        deadline: impl FnOnce() -> Option<u64>,
    ) -> Result<(), RecvTimeoutError> {
        self.seen = match self.shared.look(self.seen) {
            Some(found) => {
                spend();
                found?
            }
            None => {
                let limit = Limit::cancellable(deadline());
                self.shared.wait(self.seen, limit)?
            }
        };
        Ok(())
    }

    /// Waits until the value is one for which `condition` says true, and borrows it; it counts
    /// as seen. The present value is looked at first. `condition` sees the newest value each
    /// time, not every one.
    ///
    /// # Errors
    ///
    /// If the senders are gone and have left another value, or the wait was cancelled.
    ///
    /// # Panics
    ///
    /// As [`borrow`](Self::borrow) and [`changed`](Self::changed), and as `condition` does.
    pub fn wait_for(&mut self, condition: impl FnMut(&T) -> bool) -> Result<Ref<'_, T>, RecvError> {
        self.wait_for_within(condition, None).map_err(|_| RecvError)
    }

    /// As [`wait_for`](Self::wait_for), for `timeout` at most.
    ///
    /// # Errors
    ///
    /// If the time is over, else as [`wait_for`](Self::wait_for).
    ///
    /// # Panics
    ///
    /// As [`wait_for`](Self::wait_for).
    pub fn wait_for_timeout(
        &mut self,
        condition: impl FnMut(&T) -> bool,
        timeout: Duration,
    ) -> Result<Ref<'_, T>, RecvTimeoutError> {
        self.wait_for_within(condition, Some(clock::deadline_after(timeout)))
    }

    /// As [`wait_for`](Self::wait_for), until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`wait_for_timeout`](Self::wait_for_timeout).
    ///
    /// # Panics
    ///
    /// As [`wait_for`](Self::wait_for).
    pub fn wait_for_deadline(
        &mut self,
        condition: impl FnMut(&T) -> bool,
        deadline: Instant,
    ) -> Result<Ref<'_, T>, RecvTimeoutError> {
        self.wait_for_within(condition, Some(clock::instant_to_ns(deadline)))
    }

    /// As [`wait_for`](Self::wait_for), in `async` code.
    ///
    /// # Errors
    ///
    /// If the senders are gone and have left another value.
    pub async fn wait_for_async(
        &mut self,
        mut condition: impl FnMut(&T) -> bool,
    ) -> Result<Ref<'_, T>, RecvError> {
        let Receiver { shared, seen } = self;
        loop {
            if let Some(value) = Receiver::find(shared, seen, &mut condition) {
                return Ok(value);
            }
            *seen = NewVersion::new(shared, *seen).await?;
        }
    }

    fn wait_for_within(
        &mut self,
        mut condition: impl FnMut(&T) -> bool,
        deadline: Option<u64>,
    ) -> Result<Ref<'_, T>, RecvTimeoutError> {
        let Receiver { shared, seen } = self;
        loop {
            if let Some(value) = Receiver::find(shared, seen, &mut condition) {
                return Ok(value);
            }
            *seen = shared.wait(*seen, Limit::cancellable(deadline))?;
        }
    }

    /// Borrows the newest value, which is seen by that, if `condition` says true.
    fn find<'s>(
        shared: &'s Shared<T>,
        seen: &mut usize,
        condition: &mut impl FnMut(&T) -> bool,
    ) -> Option<Ref<'s, T>> {
        let value = shared.borrow();
        *seen = shared.version();
        condition(&value).then_some(value)
    }

    /// Says whether both see the same value.
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

/// The clone has seen what this one has.
impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        Shared::subscribe(&self.shared, self.seen)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if self.shared.receivers.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.shared.leaves.wake_all();
        }
    }
}

/// Waits for a change in `async` code; from [`Receiver::changed_async`].
#[must_use = "a future does nothing until it is awaited"]
pub struct ChangedFuture<'a, T> {
    version: NewVersion<'a, T>,
    seen: &'a mut usize,
}

impl<T> Future for ChangedFuture<'_, T> {
    type Output = Result<(), RecvError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let version = ready!(Pin::new(&mut this.version).poll(context))?;
        *this.seen = version;
        Poll::Ready(Ok(()))
    }
}

/// Waits for a version other than `seen`.
struct NewVersion<'a, T> {
    shared: &'a Shared<T>,
    seen: usize,
    wait: AsyncWait,
}

impl<'a, T> NewVersion<'a, T> {
    fn new(shared: &'a Shared<T>, seen: usize) -> NewVersion<'a, T> {
        NewVersion {
            shared,
            seen,
            wait: AsyncWait::new(),
        }
    }
}

impl<T> Future for NewVersion<'_, T> {
    type Output = Result<usize, RecvError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let shared = this.shared;
        let found = match shared.look(this.seen) {
            Some(found) => found,
            None => {
                this.wait.prepare(context);
                let guard = shared.changes.lock();
                let Some(found) = shared.look(this.seen) else {
                    // SAFETY: it leaves this queue when it is ready, below, or dropped, and the
                    // queue is borrowed for longer.
                    unsafe { this.wait.join(guard) };
                    return Poll::Pending;
                };
                drop(guard);
                found
            }
        };
        this.wait.leave(&shared.changes);
        Poll::Ready(found)
    }
}

impl<T> Drop for NewVersion<'_, T> {
    fn drop(&mut self) {
        self.wait.leave(&self.shared.changes);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver { .. }")
    }
}

impl<T> fmt::Debug for ChangedFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChangedFuture { .. }")
    }
}
