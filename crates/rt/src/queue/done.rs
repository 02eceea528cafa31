//! Reporting items done, and waiting until all are.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ropewalk_kernel::clock;
use ropewalk_kernel::wait::{AsyncWait, Limit, Reason, spend};

use super::{Discipline, QueueOf, TooManyDone};
use crate::cancel::{Cancelled, WaitError};

/// Being done.
impl<D: Discipline> QueueOf<D> {
    /// Reports that an item got from the queue is done with.
    ///
    /// # Errors
    ///
    /// If more are reported done than were put in; the count stays at none.
    pub fn task_done(&self) -> Result<(), TooManyDone> {
        let mut state = self.lock();
        let Some(left) = state.unfinished.checked_sub(1) else {
            return Err(TooManyDone);
        };
        let ended = state.finish(left);
        drop(state);
        if ended {
            self.joiners.wake_all();
        }
        Ok(())
    }

    /// Counts the items that were put in and are not reported done: those in the queue, and
    /// those that were got and are in work.
    pub fn unfinished(&self) -> usize {
        self.lock().unfinished
    }

    /// Waits until all that was put in is reported done. Returns at once if it is; and if items
    /// come again in the very moment all was done, they are not waited for.
    ///
    /// # Errors
    ///
    /// If the caller is cancelled while it waits.
    ///
    /// # Panics
    ///
    /// If it must wait inside [`no_wait`](crate::coroutine::no_wait).
    pub fn join(&self) -> Result<(), Cancelled> {
        self.join_within(None).map_err(|_| Cancelled::current())
    }

    /// Waits until all that was put in is reported done, for `timeout` at most.
    ///
    /// # Errors
    ///
    /// If the time is over, or the caller is cancelled while it waits.
    ///
    /// # Panics
    ///
    /// As [`join`](Self::join).
    pub fn join_timeout(&self, timeout: Duration) -> Result<(), WaitError> {
        self.join_within(Some(clock::deadline_after(timeout)))
    }

    /// Waits until all that was put in is reported done, until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`join_timeout`](Self::join_timeout).
    ///
    /// # Panics
    ///
    /// As [`join`](Self::join).
    pub fn join_deadline(&self, deadline: Instant) -> Result<(), WaitError> {
        self.join_within(Some(clock::instant_to_ns(deadline)))
    }

    /// Gives a future that is ready when all that was put in is reported done.
    pub fn join_async(&self) -> JoinFuture<'_, D> {
        JoinFuture::new(self)
    }

    fn join_within(&self, deadline: Option<u64>) -> Result<(), WaitError> {
        let limit = Limit::cancellable(deadline);
        let mut state = self.lock();
        if state.unfinished == 0 {
            drop(state);
            spend();
            return Ok(());
        }
        let seen = state.ends;
        loop {
            let guard = self.joiners.lock();
            drop(state);
            let outcome = guard.wait(0, Reason::Queue, self.address(), limit);
            state = self.lock();
            if state.ends != seen {
                return Ok(());
            }
            if let Some(error) = WaitError::of(outcome) {
                return Err(error);
            }
        }
    }
}

/// Waits until all is done; from [`QueueOf::join_async`].
#[must_use = "a future does nothing until it is awaited"]
pub struct JoinFuture<'a, D: Discipline> {
    queue: &'a QueueOf<D>,
    /// How many ends there had been at the first poll.
    seen: Option<usize>,
    wait: AsyncWait,
}

impl<'a, D: Discipline> JoinFuture<'a, D> {
    pub(super) fn new(queue: &'a QueueOf<D>) -> JoinFuture<'a, D> {
        JoinFuture {
            queue,
            seen: None,
            wait: AsyncWait::new(),
        }
    }
}

impl<D: Discipline> Future for JoinFuture<'_, D> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let queue = this.queue;
        let mut state = queue.lock();
        let seen = *this.seen.get_or_insert(state.ends);
        if state.unfinished > 0 && state.ends == seen {
            drop(state);
            this.wait.prepare(context);
            state = queue.lock();
            if state.unfinished > 0 && state.ends == seen {
                let guard = queue.joiners.lock();
                drop(state);
                // SAFETY: it leaves this queue when it is ready, below, or dropped, and the
                // queue is borrowed for longer.
                unsafe { this.wait.join(guard) };
                return Poll::Pending;
            }
        }
        drop(state);
        this.wait.leave(&queue.joiners);
        Poll::Ready(())
    }
}

impl<D: Discipline> Drop for JoinFuture<'_, D> {
    fn drop(&mut self) {
        // A wake that nobody looked at is no loss: everybody was woken.
        self.wait.leave(&self.queue.joiners);
    }
}

impl<D: Discipline> fmt::Debug for JoinFuture<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinFuture { .. }")
    }
}
