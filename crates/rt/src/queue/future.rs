//! Waiting for a queue in `async` code.
//!
//! A future is woken, never handed anything: it looks again when it is polled. A wake that came
//! to one that is dropped, or that was ready without it, is passed on.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use ropewalk_kernel::wait::{AsyncWait, WaitQueue};

use super::{Discipline, GetError, PutError, QueueOf};

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

/// Leaves `queue`; a wake that came meanwhile goes to the next.
fn pass_on(wait: &mut AsyncWait, queue: &WaitQueue) {
    if wait.leave(queue) {
        queue.wake_one();
    }
}
