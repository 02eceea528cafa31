//! A value that changes, and those who want to know: each receiver sees the newest value, and
//! may miss those between.
//!
//! # States
//!
//! `state` holds in its lowest bit that the senders are gone, and above it the version: how
//! often the value was sent. A receiver keeps the version that it saw last; so no change is
//! missed, however long it looks elsewhere. The last value of all can still be seen when
//! the senders are gone.
//!
//! # Orderings
//!
//! The version changes (`SeqCst`) while the value is locked for writing, so who reads it
//! under the lock knows which value it belongs to. Who changes `state` or a count then looks for
//! waiters; a waiter takes the queue's lock, reads (`SeqCst`), then joins. Waiters are always woken
//! all at once: a wake that one doesn't look at is nobody else's.
//!
//! Lock order: the value's lock, or a queue's; never both.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use ropewalk_kernel::clock;
use ropewalk_kernel::wait::{AsyncWait, Limit, Outcome, Reason, WaitQueue, spend};

use super::{RecvError, RecvTimeoutError, SendError};
use crate::cancel::{Cancelled, WaitError};
use crate::sync::{RwLock, RwLockReadGuard};

const CLOSED: usize = 1;
const ONE_VERSION: usize = 2;

/// Makes a watched value; mirrors tokio's `watch`. The first value counts as seen.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::{channel::watch, coroutine};
///
/// let (sender, mut receiver) = watch::channel(0);
/// let seen = coroutine::spawn(move || receiver.wait_for(|n| *n >= 2).map(|n| *n));
/// sender.send(1).unwrap();
/// sender.send(2).unwrap();
/// assert_eq!(seen.join().unwrap(), Ok(2));
/// ```
pub fn channel<T>(initial: T) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        value: RwLock::new(initial),
        state: AtomicUsize::new(0),
        senders: AtomicUsize::new(1),
        receivers: AtomicUsize::new(1),
        changes: WaitQueue::new(),
        leaves: WaitQueue::new(),
    });
    let sender = Sender {
        shared: Arc::clone(&shared),
    };
    (sender, Receiver { shared, seen: 0 })
}

struct Shared<T> {
    value: RwLock<T>,
    state: AtomicUsize,
    senders: AtomicUsize,
    receivers: AtomicUsize,
    /// Those who wait for a change.
    changes: WaitQueue,
    /// Those who wait until the receivers are gone.
    leaves: WaitQueue,
}

impl<T> Shared<T> {
    /// The version, if it is another than `seen`, or that there will be none; `None` as long as
    /// there may be one.
    fn look(&self, seen: usize) -> Option<Result<usize, RecvError>> {
        let state = self.state.load(Ordering::SeqCst);
        let version = state & !CLOSED;
        if version != seen {
            Some(Ok(version))
        } else {
            (state & CLOSED != 0).then_some(Err(RecvError))
        }
    }

    /// Waits for a version other than `seen`.
    fn wait(&self, seen: usize, limit: Limit) -> Result<usize, RecvTimeoutError> {
        let mut outcome = Outcome::Woken;
        loop {
            let guard = self.changes.lock();
            if let Some(found) = self.look(seen) {
                return Ok(found?);
            }
            match outcome {
                Outcome::Woken => {}
                Outcome::Expired => return Err(RecvTimeoutError::Timeout),
                Outcome::Cancelled => return Err(RecvTimeoutError::Disconnected),
            }
            outcome = guard.wait(0, Reason::Receive, self.address(), limit);
        }
    }

    fn borrow(&self) -> Ref<'_, T> {
        Ref(self.value.read())
    }

    fn subscribe(shared: &Arc<Shared<T>>, seen: usize) -> Receiver<T> {
        // The count can't overflow: an `Arc` is made for each, whose own count aborts before.
        shared.receivers.fetch_add(1, Ordering::Relaxed);
        Receiver {
            shared: Arc::clone(shared),
            seen,
        }
    }

    fn version(&self) -> usize {
        self.state.load(Ordering::SeqCst) & !CLOSED
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }
}

/// The side that sets the value; clone it for more senders.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// A side that sees the value; clone it for more receivers.
///
/// Waiting for a change is a cancellation point: a cancelled wait fails as if the senders
/// were gone.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// The version seen last.
    seen: usize,
}

/// The value, borrowed: nobody can change it meanwhile, senders wait.
pub struct Ref<'a, T>(RwLockReadGuard<'a, T>);

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

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Ref<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender { .. }")
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

impl<T> fmt::Debug for ClosedFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClosedFuture { .. }")
    }
}
