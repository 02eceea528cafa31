//! Why a task ended without a value.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::io;
use std::process::ExitStatus;

/// Why joining gave no value.
#[non_exhaustive]
pub enum JoinError {
    /// The task panicked, with this payload.
    Panicked(PanicPayload),
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
    /// The work took longer than it was allowed, and was ended.
    TimedOut,
    /// The process that ran the work ended before it.
    WorkerDied {
        /// The process's id; it may have been used again since.
        pid: u32,
        /// Its exit code, or the signal that ended it.
        status: ExitStatus,
    },
}

/// What a panic carried.
///
/// That may be anything that is `Send`. By reference it gives only what is `Sync` too, so that
/// the error that holds it can be shared, and goes into `Box<dyn Error + Send + Sync>` and its
/// like.
pub struct PanicPayload(Box<dyn Any + Send>);

// SAFETY: whoever has a reference may be on another thread than the owner. No method gives a
// reference to the payload but as `&str`, `String` or `RemotePanic`, which are `Sync`; asking for
// its `TypeId` reads nothing of it. The field is private, so this module upholds that.
unsafe impl Sync for PanicPayload {}

impl PanicPayload {
    /// Gives what was carried, to go on with [`resume_unwind`](std::panic::resume_unwind).
    pub fn into_inner(self) -> Box<dyn Any + Send> {
        self.0
    }

    /// The message, if it is a string, or comes from another process.
    pub fn message(&self) -> Option<&str> {
        let text = self.0.downcast_ref::<&'static str>().copied();
        text.or_else(|| self.0.downcast_ref::<String>().map(String::as_str))
            .or_else(|| self.remote().map(|panic| panic.message.as_str()))
    }

    /// The panic of another process, if it was one.
    pub fn remote(&self) -> Option<&RemotePanic> {
        self.0.downcast_ref()
    }
}

impl From<Box<dyn Any + Send>> for PanicPayload {
    fn from(payload: Box<dyn Any + Send>) -> PanicPayload {
        PanicPayload(payload)
    }
}

impl fmt::Debug for PanicPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message() {
            Some(message) => write!(f, "PanicPayload({message:?})"),
            None => f.write_str("PanicPayload(..)"),
        }
    }
}

/// A panic in another process: the payload of the [`JoinError::Panicked`] it gives here.
#[derive(Clone, Debug)]
pub struct RemotePanic {
    /// What the panic said.
    pub message: String,
    /// Where it was, as `file:line:column`.
    pub location: Option<String>,
    /// The stack, unless the other process was told not to look at it (`RUST_BACKTRACE=0`, or
    /// `RUST_LIB_BACKTRACE=0`).
    pub backtrace: Option<String>,
    /// The process's id.
    pub pid: u32,
}

impl fmt::Display for RemotePanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (process {}", self.message, self.pid)?;
        if let Some(location) = &self.location {
            write!(f, ", {location}")?;
        }
        f.write_str(")")
    }
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

    /// Says whether the work was ended because it took too long.
    pub fn is_timeout(&self) -> bool {
        matches!(self, JoinError::TimedOut)
    }

    /// Says whether the process that ran the work ended before it.
    pub fn is_worker_death(&self) -> bool {
        matches!(self, JoinError::WorkerDied { .. })
    }

    /// The panic of another process, if it was one.
    pub fn remote_panic(&self) -> Option<&RemotePanic> {
        match self {
            JoinError::Panicked(payload) => payload.remote(),
            _ => None,
        }
    }

    /// The panic's message, if it panicked with one that is a string, or in another process.
    pub fn panic_message(&self) -> Option<&str> {
        match self {
            JoinError::Panicked(payload) => payload.message(),
            _ => None,
        }
    }

    /// Takes the panic's payload, to go on with
    /// [`resume_unwind`](std::panic::resume_unwind).
    ///
    /// # Errors
    ///
    /// The error itself if the task did not panic.
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send>, JoinError> {
        match self {
            JoinError::Panicked(payload) => Ok(payload.into_inner()),
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
        if let Some(panic) = self.remote_panic() {
            return write!(f, "the task panicked: {panic}");
        }
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
            (JoinError::TimedOut, _) => f.write_str("the task took too long and was ended"),
            (JoinError::WorkerDied { pid, status }, _) => {
                write!(f, "the worker process {pid} died: {status}")
            }
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
            (JoinError::TimedOut, _) => f.write_str("JoinError::TimedOut"),
            (JoinError::WorkerDied { pid, status }, _) => {
                write!(f, "JoinError::WorkerDied({pid}, {status})")
            }
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

impl From<JoinError> for io::Error {
    /// Keeps what a promise was failed with, and `TimedOut`; of a panic, the message stays.
    fn from(error: JoinError) -> io::Error {
        match error {
            JoinError::Failed(error) => io::Error::other(error),
            JoinError::TimedOut => io::Error::new(io::ErrorKind::TimedOut, error.to_string()),
            other => io::Error::other(other.to_string()),
        }
    }
}
