//! The read side of everything that runs: the handle that joins it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ropewalk_kernel::clock;
use ropewalk_kernel::outcome::JoinError;
use ropewalk_kernel::record;
use ropewalk_kernel::task::Handle;
use ropewalk_kernel::wait::{Limit, Outcome, WaitQueue};

use crate::promise::PromiseHandle;
use crate::task::Task;

/// The right to wait for what runs and to take its value: a coroutine, a thread, or work given
/// to a pool.
///
/// Dropping it lets the work go on by itself. In `async` code it is a future.
pub struct JoinHandle<T>(Work<T>);

/// Where the value comes from.
enum Work<T> {
    /// A task of this process.
    Task(Handle<T>),
    /// Whoever has the write side, and the work's id.
    Promise(PromiseHandle<T>, u64),
}

impl<T> From<Handle<T>> for JoinHandle<T> {
    fn from(handle: Handle<T>) -> JoinHandle<T> {
        JoinHandle(Work::Task(handle))
    }
}

/// For executors: what has no coroutine here ends with its promise.
impl<T> From<PromiseHandle<T>> for JoinHandle<T> {
    fn from(handle: PromiseHandle<T>) -> JoinHandle<T> {
        JoinHandle(Work::Promise(handle, record::take_ids(1)))
    }
}

impl<T> JoinHandle<T> {
    /// Waits for the end and takes the value.
    ///
    /// # Errors
    ///
    /// [`JoinError`] if the task panicked, or never ran because it was cancelled or its runtime
    /// was shut down; [`JoinError::WaitCancelled`] if the caller was cancelled while waiting:
    /// the task goes on.
    ///
    /// # Panics
    ///
    /// Inside [`no_wait`](crate::coroutine::no_wait), if the task has not ended; and in the task
    /// itself.
    pub fn join(self) -> Result<T, JoinError> {
        match self.0 {
            Work::Task(handle) => handle.join(),
            Work::Promise(handle, _) => handle.join(),
        }
    }

    /// As [`join`](Self::join), but gives the handle back if the task has not ended after
    /// `timeout`.
    ///
    /// # Errors
    ///
    /// The handle itself: the task goes on.
    pub fn join_timeout(self, timeout: Duration) -> Result<Result<T, JoinError>, Self> {
        self.join_limited(clock::deadline_after(timeout))
    }

    /// As [`join_timeout`](Self::join_timeout), until a point in time.
    ///
    /// # Errors
    ///
    /// The handle itself: the task goes on.
    pub fn join_deadline(self, deadline: Instant) -> Result<Result<T, JoinError>, Self> {
        self.join_limited(clock::instant_to_ns(deadline))
    }

    /// Takes the value if the task has ended.
    ///
    /// # Errors
    ///
    /// The handle itself: the task goes on.
    pub fn try_join(self) -> Result<Result<T, JoinError>, Self> {
        match self.0 {
            Work::Task(handle) => handle.try_join().map_err(JoinHandle::from),
            Work::Promise(handle, id) => handle
                .try_join()
                .map_err(|handle| JoinHandle(Work::Promise(handle, id))),
        }
    }

    fn join_limited(self, deadline: u64) -> Result<Result<T, JoinError>, Self> {
        // Cancelled or too late, the handle goes back: nothing is lost.
        self.wait(Limit::cancellable(Some(deadline)));
        self.try_join()
    }

    /// Cancels the task.
    ///
    /// Of work in another process, or of a promise, joining gives [`JoinError::Cancelled`] from
    /// now on, unless there was a value; a pool of processes ends the worker that runs it. For
    /// the rest:
    ///
    /// One that has not started never does, and joining it gives [`JoinError::Cancelled`]. In
    /// one that runs, each wait that is a cancellation point ends with its own error from now
    /// on: it should clean up and return, and what it returns is its value. An async task's
    /// future is dropped at its next turn. What the task has spawned goes on, unless it stands
    /// under a [`Token`](crate::cancel::Token) or scope of its own that is cancelled with it.
    pub fn cancel(&self) {
        match &self.0 {
            Work::Task(handle) => handle.cancel(),
            Work::Promise(handle, _) => handle.cancel(),
        }
    }

    /// Calls `callback` with the outcome once the task has ended, before joiners see it; at
    /// once if it has ended already. Callbacks are called in the order they were given.
    ///
    /// It runs on the thread that ends the task, or on the caller's, and may set events, send
    /// where there is room, and spawn; a wait inside it panics. A panic inside it is contained:
    /// the panic hook tells of it, and nothing else comes of it.
    ///
    /// # Panics
    ///
    /// If the outcome was taken from this handle already, by polling it.
    pub fn on_done<F>(&self, callback: F)
    where
        F: FnOnce(&Result<T, JoinError>) + Send + 'static,
    {
        match &self.0 {
            Work::Task(handle) => handle.on_done(callback),
            Work::Promise(handle, _) => handle.on_done(callback),
        }
    }

    /// Says whether the task has ended, so that joining it would not wait.
    pub fn is_finished(&self) -> bool {
        match &self.0 {
            Work::Task(handle) => handle.is_finished(),
            Work::Promise(handle, _) => handle.is_finished(),
        }
    }

    /// The task's id; never reused in this process.
    pub fn id(&self) -> u64 {
        match &self.0 {
            Work::Task(handle) => handle.id(),
            Work::Promise(_, id) => *id,
        }
    }

    /// The task, to ask for its name or whether it lives, also after the handle is gone.
    ///
    /// # Panics
    ///
    /// If there is none in this process: the work was given to another, or the handle was made
    /// from a promise.
    #[track_caller]
    pub fn task(&self) -> Task {
        match &self.0 {
            Work::Task(handle) => Task(handle.task()),
            Work::Promise(..) => panic!("this work is no task of this process"),
        }
    }

    pub(crate) fn done_queue(&self) -> &WaitQueue {
        match &self.0 {
            Work::Task(handle) => handle.done_queue(),
            Work::Promise(handle, _) => handle.done_queue(),
        }
    }

    /// Says whether the end has come; with the queue's lock held, for sure.
    pub(crate) fn is_done_now(&self) -> bool {
        match &self.0 {
            Work::Task(handle) => handle.is_done_now(),
            Work::Promise(handle, _) => handle.is_done_now(),
        }
    }

    pub(crate) fn wait(&self, limit: Limit) -> Outcome {
        match &self.0 {
            Work::Task(handle) => handle.wait(limit),
            Work::Promise(handle, _) => handle.wait(limit),
        }
    }

    /// Takes the outcome, which is there.
    pub(crate) fn take_outcome(&mut self) -> Result<T, JoinError> {
        match &mut self.0 {
            Work::Task(handle) => handle.take_outcome(),
            Work::Promise(handle, _) => handle.take(),
        }
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    /// # Panics
    ///
    /// If polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Work::Task(handle) => handle.poll(context),
            Work::Promise(handle, _) => Pin::new(handle).poll(context),
        }
    }
}

// Neither has self-references: what a poll registers is boxed.
impl<T> Unpin for JoinHandle<T> {}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}
