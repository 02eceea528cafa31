//! The read side of everything that runs: the handle that joins it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ropewalk_kernel::clock;
use ropewalk_kernel::outcome::JoinError;
use ropewalk_kernel::task::Handle;
use ropewalk_kernel::wait::Limit;

use crate::task::Task;

/// The right to wait for a coroutine or a thread and to take its value.
///
/// Dropping it lets the task go on by itself. In `async` code it is a future.
pub struct JoinHandle<T>(pub(crate) Handle<T>);

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
        self.0.join()
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
        self.0.try_join().map_err(JoinHandle)
    }

    fn join_limited(self, deadline: u64) -> Result<Result<T, JoinError>, Self> {
        // Cancelled or too late, the handle goes back: nothing is lost.
        self.0.wait(Limit::cancellable(Some(deadline)));
        self.try_join()
    }

    /// Cancels the task.
    ///
    /// One that has not started never does, and joining it gives [`JoinError::Cancelled`]. In
    /// one that runs, each wait that is a cancellation point ends with its own error from now
    /// on: it should clean up and return, and what it returns is its value. An async task's
    /// future is dropped at its next turn. What the task has spawned goes on, unless it stands
    /// under a [`Token`](crate::cancel::Token) or scope of its own that is cancelled with it.
    pub fn cancel(&self) {
        self.0.cancel();
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
        self.0.on_done(callback);
    }

    /// Says whether the task has ended, so that joining it would not wait.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// The task's id; never reused in this process.
    pub fn id(&self) -> u64 {
        self.0.id()
    }

    /// The task, to ask for its name or whether it lives, also after the handle is gone.
    pub fn task(&self) -> Task {
        Task(self.0.task())
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, JoinError>;

    /// # Panics
    ///
    /// If polled again after it was ready.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll(context)
    }
}

// The handle has no self-references: what a poll registers is boxed.
impl<T> Unpin for JoinHandle<T> {}

impl<T> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}
