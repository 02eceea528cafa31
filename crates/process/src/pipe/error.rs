//! Why a pipe sent or received nothing.

use std::error::Error;
use std::fmt;
use std::io;

use ropewalk_rt::cancel::Cancelled;

/// Why nothing was sent or received.
#[derive(Debug)]
#[non_exhaustive]
pub enum PipeError {
    /// The other side is closed in all processes; when receiving: and nothing is left.
    Closed,
    /// It would have to wait: no room to send, or no message to receive.
    WouldBlock,
    /// The time was over: the call's, or that of a deadline the caller stands under.
    TimedOut,
    /// The caller was cancelled while it waited.
    Cancelled,
    /// The message could not be serialised, or has more descriptors than can go at once.
    Encode(String),
    /// What came was not a message of this type, or its descriptors were lost because this
    /// process may open no more. That message is gone; the next is received as ever.
    Decode(String),
    /// The system's.
    System(io::Error),
}

impl PipeError {
    /// Says whether the other side is closed.
    pub fn is_closed(&self) -> bool {
        matches!(self, PipeError::Closed)
    }

    /// Says whether it would have had to wait.
    pub fn is_would_block(&self) -> bool {
        matches!(self, PipeError::WouldBlock)
    }

    /// Says whether the time was over.
    pub fn is_timed_out(&self) -> bool {
        matches!(self, PipeError::TimedOut)
    }

    /// Says whether the caller was cancelled.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, PipeError::Cancelled)
    }

    /// Says whether only this message was bad, and others can be sent and received.
    pub fn is_of_message(&self) -> bool {
        matches!(self, PipeError::Encode(_) | PipeError::Decode(_))
    }

    /// What an attempt or a wait of the socket has met.
    pub(super) fn of_io(error: io::Error) -> PipeError {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => PipeError::Closed,
            io::ErrorKind::WouldBlock => PipeError::WouldBlock,
            io::ErrorKind::TimedOut => PipeError::TimedOut,
            _ if error.get_ref().is_some_and(|inner| inner.is::<Cancelled>()) => {
                PipeError::Cancelled
            }
            _ => PipeError::System(error),
        }
    }
}

impl fmt::Display for PipeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PipeError::Closed => f.write_str("the other side of the pipe is closed"),
            PipeError::WouldBlock => f.write_str("the pipe is not ready"),
            PipeError::TimedOut => f.write_str("the pipe was not ready in time"),
            PipeError::Cancelled => f.write_str("the wait for the pipe was cancelled"),
            PipeError::Encode(why) => write!(f, "the message can't be sent: {why}"),
            PipeError::Decode(why) => write!(f, "the message can't be read: {why}"),
            PipeError::System(error) => write!(f, "the pipe failed: {error}"),
        }
    }
}

impl Error for PipeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            PipeError::System(error) => Some(error),
            _ => None,
        }
    }
}

impl From<PipeError> for io::Error {
    /// Keeps the kind: `BrokenPipe` for a closed side, `WouldBlock`, `TimedOut`,
    /// `InvalidInput` and `InvalidData` for bad messages, else the system's.
    fn from(error: PipeError) -> io::Error {
        let kind = match error {
            PipeError::Closed => io::ErrorKind::BrokenPipe,
            PipeError::WouldBlock => io::ErrorKind::WouldBlock,
            PipeError::TimedOut => io::ErrorKind::TimedOut,
            PipeError::Cancelled => io::ErrorKind::Other,
            PipeError::Encode(_) => io::ErrorKind::InvalidInput,
            PipeError::Decode(_) => io::ErrorKind::InvalidData,
            PipeError::System(error) => return error,
        };
        io::Error::new(kind, error)
    }
}

/// A message that was not sent, and why.
pub struct SendError<T> {
    /// The message.
    pub message: T,
    /// Why it was not sent.
    pub reason: PipeError,
}

impl<T> SendError<T> {
    /// Takes the message back.
    pub fn into_inner(self) -> T {
        self.message
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendError")
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl<T> Error for SendError<T> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.reason.source()
    }
}

impl<T> From<SendError<T>> for io::Error {
    fn from(error: SendError<T>) -> io::Error {
        error.reason.into()
    }
}
