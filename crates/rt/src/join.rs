//! The read side of everything that runs: the handle that joins it.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ropewalk_kernel::clock;
use ropewalk_kernel::task::{End, Handle};

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
    /// [`JoinError`] if the task panicked, or never ran because its runtime was shut down.
    ///
    /// # Panics
    ///
    /// Inside [`no_wait`](crate::coroutine::no_wait), if the task has not ended.
    pub fn join(self) -> Result<T, JoinError> {
        self.0.join().map_err(JoinError)
    }

    /// As [`join`](Self::join), but gives the handle back if the task has not ended after
    /// `timeout`.
    ///
    /// # Errors
    ///
    /// The handle itself: the task goes on.
    pub fn join_timeout(self, timeout: Duration) -> Result<Result<T, JoinError>, Self> {
        self.0.wait(Some(clock::deadline_after(timeout)));
        self.try_join()
    }

    /// As [`join_timeout`](Self::join_timeout), until a point in time.
    ///
    /// # Errors
    ///
    /// The handle itself: the task goes on.
    pub fn join_deadline(self, deadline: Instant) -> Result<Result<T, JoinError>, Self> {
        self.0.wait(Some(clock::instant_to_ns(deadline)));
        self.try_join()
    }

    /// Takes the value if the task has ended.
    ///
    /// # Errors
    ///
    /// The handle itself: the task goes on.
    pub fn try_join(self) -> Result<Result<T, JoinError>, Self> {
        match self.0.try_join() {
            Ok(outcome) => Ok(outcome.map_err(JoinError)),
            Err(handle) => Err(JoinHandle(handle)),
        }
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
        self.0
            .poll(context)
            .map(|outcome| outcome.map_err(JoinError))
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

/// Why a task ended without a value.
pub struct JoinError(pub(crate) End);

impl JoinError {
    /// Says whether the task panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self.0, End::Panicked(_))
    }

    /// Says whether the task never ran, because its runtime was shut down.
    pub fn is_shutdown(&self) -> bool {
        matches!(self.0, End::Dropped)
    }

    /// The panic's message, if it panicked with one that is a string.
    pub fn panic_message(&self) -> Option<&str> {
        let End::Panicked(payload) = &self.0 else {
            return None;
        };
        let text = payload.downcast_ref::<&str>().copied();
        text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
    }

    /// Takes the panic's payload, to go on with
    /// [`resume_unwind`](std::panic::resume_unwind).
    ///
    /// # Errors
    ///
    /// The error itself if the task did not panic.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send>, JoinError> {
        match self.0 {
            End::Panicked(payload) => Ok(payload),
            End::Dropped => Err(self),
        }
    }

    /// As [`try_into_panic`](Self::try_into_panic).
    ///
    /// # Panics
    ///
    /// If the task did not panic.
    pub fn into_panic(self) -> Box<dyn Any + Send> {
        self.try_into_panic().expect("the task panicked")
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.0, self.panic_message()) {
            (End::Panicked(_), Some(message)) => write!(f, "the task panicked: {message}"),
            (End::Panicked(_), None) => f.write_str("the task panicked"),
            (End::Dropped, _) => f.write_str("the runtime was shut down before the task ran"),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.0, self.panic_message()) {
            (End::Panicked(_), Some(message)) => write!(f, "JoinError::Panicked({message:?})"),
            (End::Panicked(_), None) => f.write_str("JoinError::Panicked(..)"),
            (End::Dropped, _) => f.write_str("JoinError::Shutdown"),
        }
    }
}

impl std::error::Error for JoinError {}
