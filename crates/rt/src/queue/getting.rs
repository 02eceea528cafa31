//! Getting items out, and waiting for one.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::MutexGuard;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ropewalk_kernel::clock;
use ropewalk_kernel::wait::{AsyncWait, Limit, Outcome, Reason, check_may_wait, spend};

use super::{Discipline, GetError, QueueOf, State, pass_on};

/// Getting out.
impl<D: Discipline> QueueOf<D> {
    /// Gets the item whose turn it is, waiting for one.
    ///
    /// # Errors
    ///
    /// If the queue is closed and nothing is left in it, or the caller is cancelled while it
    /// waits.
    ///
    /// # Panics
    ///
    /// If it must wait inside [`no_wait`](crate::coroutine::no_wait).
    pub fn get(&self) -> Result<D::Item, GetError> {
        self.get_within(|| None)
    }

    /// Gets the item whose turn it is, if there is one.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn try_get(&self) -> Result<D::Item, GetError> {
        let item = self.get_if_any(self.lock());
        if item.is_ok() {
            spend();
        }
        item
    }

    /// Gets the item whose turn it is, waiting for one for `timeout` at most.
    ///
    /// # Errors
    ///
    /// [`Empty`](GetError::Empty) if there was none in time, else as [`get`](Self::get).
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    pub fn get_timeout(&self, timeout: Duration) -> Result<D::Item, GetError> {
        self.get_within(|| Some(clock::deadline_after(timeout)))
    }

    /// Gets the item whose turn it is, waiting for one until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`get_timeout`](Self::get_timeout).
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    pub fn get_deadline(&self, deadline: Instant) -> Result<D::Item, GetError> {
        self.get_within(|| Some(clock::instant_to_ns(deadline)))
    }

    /// Gives a future that gets the item whose turn it is when there is one. Dropped before it
    /// is ready, it has got nothing.
    ///
    /// # Errors
    ///
    /// If the queue is closed and nothing is left in it.
    pub fn get_async(&self) -> GetFuture<'_, D> {
        GetFuture::new(self)
    }

    fn get_within(&self, deadline: impl FnOnce() -> Option<u64>) -> Result<D::Item, GetError> {
        match self.try_get() {
            Err(GetError::Empty) => self.get_waiting(deadline()),
            result => result,
        }
    }

    #[cold]
    fn get_waiting(&self, deadline: Option<u64>) -> Result<D::Item, GetError> {
        check_may_wait();
        let limit = Limit::cancellable(deadline);
        let mut outcome = Outcome::Woken;
        loop {
            let state = self.lock();
            if !self.must_wait_to_get(&state) {
                return self.get_if_any(state);
            }
            match outcome {
                Outcome::Woken => {}
                Outcome::Expired => return Err(GetError::Empty),
                Outcome::Cancelled => return Err(GetError::Cancelled),
            }
            let guard = self.takers.lock();
            drop(state);
            outcome = guard.wait(0, Reason::Queue, self.address(), limit);
        }
    }

    /// Gets an item, and wakes.
    fn get_if_any(&self, mut state: MutexGuard<'_, State<D>>) -> Result<D::Item, GetError> {
        let item = state.items.pop();
        let closed = state.closed;
        drop(state);
        match item {
            Some(item) => {
                self.putters.wake_one();
                Ok(item)
            }
            None if closed => Err(GetError::Closed),
            None => Err(GetError::Empty),
        }
    }
}

/// Gets an item; from [`QueueOf::get_async`].
#[must_use = "a future does nothing until it is awaited"]
pub struct GetFuture<'a, D: Discipline> {
    queue: &'a QueueOf<D>,
    wait: AsyncWait,
}

impl<'a, D: Discipline> GetFuture<'a, D> {
    pub(super) fn new(queue: &'a QueueOf<D>) -> GetFuture<'a, D> {
        GetFuture {
            queue,
            wait: AsyncWait::new(),
        }
    }
}

impl<D: Discipline> Future for GetFuture<'_, D> {
    type Output = Result<D::Item, GetError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        spend();
        let this = self.get_mut();
        let queue = this.queue;
        let mut state = queue.lock();
        if queue.must_wait_to_get(&state) {
            drop(state);
            this.wait.prepare(context);
            state = queue.lock();
            if queue.must_wait_to_get(&state) {
                let guard = queue.takers.lock();
                drop(state);
                // SAFETY: it leaves this queue when it is ready, below, or dropped, and the
                // queue is borrowed for longer.
                unsafe { this.wait.join(guard) };
                return Poll::Pending;
            }
        }
        let result = queue.get_if_any(state);
        pass_on(&mut this.wait, &queue.takers);
        Poll::Ready(result)
    }
}

impl<D: Discipline> Drop for GetFuture<'_, D> {
    fn drop(&mut self) {
        pass_on(&mut self.wait, &self.queue.takers);
    }
}

impl<D: Discipline> fmt::Debug for GetFuture<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GetFuture { .. }")
    }
}
