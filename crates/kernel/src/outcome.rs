//! Why a task ended without a value.

use std::any::Any;
use std::error::Error;
use std::fmt;

/// Why joining gave no value.
#[non_exhaustive]
pub enum JoinError {
    /// The task panicked, with this payload.
    Panicked(Box<dyn Any + Send>),
    /// The task was cancelled before it started, or, an async task, between two polls.
    Cancelled,
    /// The task's runtime was shut down before the task started.
    Shutdown,
    /// It is the caller who was cancelled, while waiting. The task goes on, without a handle.
    WaitCancelled,
    /// A promise was failed with this error.
    Failed(Box<dyn Error + Send + Sync>),
    /// A promise was dropped without a value.
    Dropped,
}

impl JoinError {
    /// Says whether the task panicked.
    pub fn is_panic(&self) -> bool {
        matches!(self, JoinError::Panicked(_))
    }

    /// Says whether the task was cancelled before it had a value.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, JoinError::Cancelled)
    }

    /// Says whether the caller was cancelled while it waited for the task.
    pub fn is_wait_cancelled(&self) -> bool {
        matches!(self, JoinError::WaitCancelled)
    }

    /// Says whether the task never ran, because its runtime was shut down.
    pub fn is_shutdown(&self) -> bool {
        matches!(self, JoinError::Shutdown)
    }

    /// The panic's message, if it panicked with one that is a string.
    pub fn panic_message(&self) -> Option<&str> {
        let JoinError::Panicked(payload) = self else {
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
        match self {
            JoinError::Panicked(payload) => Ok(payload),
            other => Err(other),
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
        match (self, self.panic_message()) {
            (_, Some(message)) => write!(f, "the task panicked: {message}"),
            (JoinError::Panicked(_), None) => f.write_str("the task panicked"),
            (JoinError::Cancelled, _) => {
                f.write_str("the task was cancelled before it had a value")
            }
            (JoinError::Shutdown, _) => {
                f.write_str("the runtime was shut down before the task ran")
            }
            (JoinError::WaitCancelled, _) => {
                f.write_str("the wait for the task was cancelled; the task goes on")
            }
            (JoinError::Failed(error), _) => write!(f, "the promise failed: {error}"),
            (JoinError::Dropped, _) => f.write_str("the promise was dropped without a value"),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.panic_message()) {
            (_, Some(message)) => write!(f, "JoinError::Panicked({message:?})"),
            (JoinError::Panicked(_), None) => f.write_str("JoinError::Panicked(..)"),
            (JoinError::Cancelled, _) => f.write_str("JoinError::Cancelled"),
            (JoinError::Shutdown, _) => f.write_str("JoinError::Shutdown"),
            (JoinError::WaitCancelled, _) => f.write_str("JoinError::WaitCancelled"),
            (JoinError::Failed(error), _) => write!(f, "JoinError::Failed({error:?})"),
            (JoinError::Dropped, _) => f.write_str("JoinError::Dropped"),
        }
    }
}

impl Error for JoinError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            JoinError::Failed(error) => Some(error.as_ref()),
            _ => None,
        }
    }
}
