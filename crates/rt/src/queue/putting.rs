//! Putting items in, and waiting for room.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::MutexGuard;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ropewalk_kernel::clock;
use ropewalk_kernel::wait::{AsyncWait, Limit, Outcome, Reason, check_may_wait, spend};

use super::{Comparing, Discipline, PutError, QueueOf, State, pass_on};

/// Putting in.
impl<D: Discipline> QueueOf<D> {
    /// Puts an item in, waiting for room.
    ///
    /// # Errors
    ///
    /// Gives the item back if the queue is closed, before or meanwhile, or the caller is
    /// cancelled while it waits.
    ///
    /// # Panics
    ///
    /// If it must wait inside [`no_wait`](crate::coroutine::no_wait).
    pub fn put(&self, item: D::Item) -> Result<(), PutError<D::Item>> {
        self.put_within(item, || None)
    }

    /// Puts an item in if there is room.
    ///
    /// # Errors
    ///
    /// Gives the item back if the queue is full or closed.
    pub fn try_put(&self, item: D::Item) -> Result<(), PutError<D::Item>> {
        let result = self.put_if_room(self.lock(), item);
        if result.is_ok() {
            spend();
        }
        result
    }

    /// Puts an item in, waiting for room for `timeout` at most.
    ///
    /// # Errors
    ///
    /// Gives the item back: [`Full`](PutError::Full) if there was no room in time, else as
    /// [`put`](Self::put).
    ///
    /// # Panics
    ///
    /// As [`put`](Self::put).
    pub fn put_timeout(&self, item: D::Item, timeout: Duration) -> Result<(), PutError<D::Item>> {
        self.put_within(item, || Some(clock::deadline_after(timeout)))
    }

    /// Puts an item in, waiting for room until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`put_timeout`](Self::put_timeout).
    ///
    /// # Panics
    ///
    /// As [`put`](Self::put).
    pub fn put_deadline(&self, item: D::Item, deadline: Instant) -> Result<(), PutError<D::Item>> {
        self.put_within(item, || Some(clock::instant_to_ns(deadline)))
    }

    /// Gives a future that puts an item in when there is room. Dropped before it is ready, it
    /// drops the item.
    ///
    /// # Errors
    ///
    /// Gives the item back if the queue is closed.
    pub fn put_async(&self, item: D::Item) -> PutFuture<'_, D> {
        PutFuture::new(self, item)
    }

    fn put_within(
        &self,
        item: D::Item,
        deadline: impl FnOnce() -> Option<u64>,
    ) -> Result<(), PutError<D::Item>> {
        match self.try_put(item) {
            Err(PutError::Full(item)) => self.put_waiting(item, deadline()),
            result => result,
        }
    }

    #[cold]
    fn put_waiting(&self, item: D::Item, deadline: Option<u64>) -> Result<(), PutError<D::Item>> {
        check_may_wait();
        let limit = Limit::cancellable(deadline);
        let mut outcome = Outcome::Woken;
        loop {
            let state = self.lock();
            if !self.must_wait_to_put(&state) {
                return self.put_if_room(state, item);
            }
            match outcome {
                Outcome::Woken => {}
                Outcome::Expired => return Err(PutError::Full(item)),
                Outcome::Cancelled => return Err(PutError::Cancelled(item)),
            }
            let guard = self.putters.lock();
            drop(state);
            outcome = guard.wait(0, Reason::Queue, self.address(), limit);
        }
    }

    /// Puts an item in or gives it back, and wakes.
    fn put_if_room(
        &self,
        mut state: MutexGuard<'_, State<D>>,
        item: D::Item,
    ) -> Result<(), PutError<D::Item>> {
        if state.closed {
            return Err(PutError::Closed(item));
        }
        if self.is_full_with(&state) {
            return Err(PutError::Full(item));
        }
        if D::COMPARES {
            let _comparing = Comparing::by_this_thread(&self.comparing);
            state.items.push(item);
        } else {
            state.items.push(item);
        }
        state.unfinished += 1;
        drop(state);
        self.takers.wake_one();
        Ok(())
    }
}

/// Puts an item in; from [`QueueOf::put_async`].
#[must_use = "a future does nothing until it is awaited"]
pub struct PutFuture<'a, D: Discipline> {
    queue: &'a QueueOf<D>,
    /// Until the future is ready.
    item: Option<D::Item>,
    wait: AsyncWait,
}

// The item is moved in and out, never pinned.
impl<D: Discipline> Unpin for PutFuture<'_, D> {}

impl<'a, D: Discipline> PutFuture<'a, D> {
    pub(super) fn new(queue: &'a QueueOf<D>, item: D::Item) -> PutFuture<'a, D> {
        PutFuture {
            queue,
            item: Some(item),
            wait: AsyncWait::new(),
        }
    }
}

impl<D: Discipline> Future for PutFuture<'_, D> {
    type Output = Result<(), PutError<D::Item>>;

    /// # Panics
    ///
    /// If it was ready before.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        spend();
        let this = self.get_mut();
        let queue = this.queue;
        let mut state = queue.lock();
        if queue.must_wait_to_put(&state) {
            drop(state);
            this.wait.prepare(context);
            state = queue.lock();
            if queue.must_wait_to_put(&state) {
                let guard = queue.putters.lock();
                drop(state);
                // SAFETY: it leaves this queue when it is ready, below, or dropped, and the
                // queue is borrowed for longer.
                unsafe { this.wait.join(guard) };
                return Poll::Pending;
            }
        }
        let item = this.item.take().expect("polled after it was ready");
        let result = queue.put_if_room(state, item);
        pass_on(&mut this.wait, &queue.putters);
        Poll::Ready(result)
    }
}

impl<D: Discipline> Drop for PutFuture<'_, D> {
    fn drop(&mut self) {
        pass_on(&mut self.wait, &self.queue.putters);
    }
}

impl<D: Discipline> fmt::Debug for PutFuture<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PutFuture { .. }")
    }
}
