//! Waiting until all clones of a handle are gone.
//!
//! # States
//!
//! `members` counts the handles. It only falls to 0 once: a clone is made from a living handle,
//! and a wait that gave up counts itself in again only if others are still there.
//!
//! # Orderings
//!
//! A handle leaves with a `SeqCst` read-modify-write and then looks for waiters; a waiter takes
//! the queue's lock, reads the count with `SeqCst`, then joins.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ropewalk_kernel::wait::{AsyncWait, Limit, Outcome, Reason, WaitQueue, check_may_wait};

use super::{until, wait_error, within};
use crate::cancel::WaitError;

/// Lets one wait for many to finish; mirrors crossbeam's `WaitGroup`.
///
/// Each participant holds a clone and drops it when it is done. As all clones share one
/// allocation, making a group is not `const`, unlike the others of this module.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::{coroutine, sync::WaitGroup};
///
/// let group = WaitGroup::new();
/// for _ in 0..4 {
///     let member = group.clone();
///     coroutine::spawn(move || {
///         coroutine::yield_now();
///         drop(member);
///     });
/// }
/// group.wait();
/// ```
pub struct WaitGroup {
    inner: Arc<Inner>,
}

struct Inner {
    members: AtomicUsize,
    queue: WaitQueue,
}

impl WaitGroup {
    /// Makes a group with one member, the handle.
    pub fn new() -> WaitGroup {
        WaitGroup {
            inner: Arc::new(Inner {
                members: AtomicUsize::new(1),
                queue: WaitQueue::new(),
            }),
        }
    }

    /// Drops this handle and waits until all the others are dropped, too. Not a cancellation
    /// point.
    ///
    /// # Panics
    ///
    /// If it must wait inside [`no_wait`](crate::coroutine::no_wait).
    pub fn wait(self) {
        if let Err(unfinished) = self.wait_within(Limit::NONE) {
            unreachable!("a wait without limit ended: {unfinished}");
        }
    }

    /// As [`wait`](Self::wait), unless the caller is cancelled.
    ///
    /// # Errors
    ///
    /// If the caller is cancelled while it waits; the handle is in the error.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_cancellable(self) -> Result<(), Unfinished> {
        self.wait_within(Limit::cancellable(None))
    }

    /// As [`wait`](Self::wait), for `timeout` at most.
    ///
    /// # Errors
    ///
    /// If the time is over, or the caller is cancelled while it waits. The handle, a member
    /// again, is in the error.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(self, timeout: Duration) -> Result<(), Unfinished> {
        self.wait_within(within(timeout))
    }

    /// As [`wait`](Self::wait), until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`wait_timeout`](Self::wait_timeout).
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_deadline(self, deadline: Instant) -> Result<(), Unfinished> {
        self.wait_within(until(deadline))
    }

    /// Drops this handle; gives a future that is ready when all the others are dropped, too.
    pub fn wait_async(self) -> WaitGroupWait {
        WaitGroupWait {
            inner: Arc::clone(&self.inner),
            wait: AsyncWait::new(),
        }
    }

    fn wait_within(self, limit: Limit) -> Result<(), Unfinished> {
        check_may_wait();
        let inner = Arc::clone(&self.inner);
        drop(self);
        loop {
            let guard = inner.queue.lock();
            if inner.members.load(Ordering::SeqCst) == 0 {
                return Ok(());
            }
            let object = Arc::as_ptr(&inner) as usize;
            let outcome = guard.wait(0, Reason::Barrier, object, limit);
            if outcome == Outcome::Woken {
                continue;
            }
            let one_more = |members: usize| (members > 0).then(|| members + 1);
            return match inner
                .members
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_more)
            {
                Ok(_) => Err(Unfinished {
                    group: WaitGroup { inner },
                    error: wait_error(outcome),
                }),
                Err(_) => Ok(()),
            };
        }
    }
}

impl Default for WaitGroup {
    fn default() -> WaitGroup {
        WaitGroup::new()
    }
}

impl Clone for WaitGroup {
    fn clone(&self) -> WaitGroup {
        self.inner.members.fetch_add(1, Ordering::Relaxed);
        WaitGroup {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl Drop for WaitGroup {
    fn drop(&mut self) {
        if self.inner.members.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.inner.queue.wake_all();
        }
    }
}

impl fmt::Debug for WaitGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitGroup")
            .field("members", &self.inner.members.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}

/// A wait for a [`WaitGroup`] that ended before the group did.
#[derive(Debug)]
pub struct Unfinished {
    /// The handle that waited, a member of the group again.
    pub group: WaitGroup,
    /// Why it waits no longer.
    pub error: WaitError,
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the group has not finished: {}", self.error)
    }
}

impl std::error::Error for Unfinished {}

/// Waits for a [`WaitGroup`] in `async` code; see [`WaitGroup::wait_async`].
#[must_use = "futures do nothing unless polled"]
pub struct WaitGroupWait {
    inner: Arc<Inner>,
    wait: AsyncWait,
}

impl Future for WaitGroupWait {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let inner = &*this.inner;
        if inner.members.load(Ordering::Acquire) != 0 {
            this.wait.prepare(context);
            let guard = inner.queue.lock();
            if inner.members.load(Ordering::SeqCst) != 0 {
                // SAFETY: it leaves this queue when it is ready, below, or dropped, and the
                // future holds what the queue is in.
                unsafe { this.wait.join(guard) };
                return Poll::Pending;
            }
        }
        this.wait.leave(&inner.queue);
        Poll::Ready(())
    }
}

impl Drop for WaitGroupWait {
    fn drop(&mut self) {
        // A wake that nobody looked at is no loss: everybody was woken.
        self.wait.leave(&self.inner.queue);
    }
}

impl fmt::Debug for WaitGroupWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitGroupWait").finish_non_exhaustive()
    }
}
