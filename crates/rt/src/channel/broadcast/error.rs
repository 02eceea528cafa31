//! Why a receive gave no message.

use std::error::Error;
use std::fmt;

/// Why [`recv`](super::Receiver::recv) received nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvError {
    /// The receiver was too slow, and missed so many messages. It goes on with the oldest that
    /// is there.
    Lagged(u64),
    /// All messages have been received and the senders are gone, or the wait was cancelled.
    Closed,
}

/// Why [`try_recv`](super::Receiver::try_recv) received nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// No message is there.
    Empty,
    /// The receiver was too slow, and missed so many messages. It goes on with the oldest that
    /// is there.
    Lagged(u64),
    /// All messages have been received and the senders are gone.
    Closed,
}

/// Why a timed receive received nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvTimeoutError {
    /// No message came in time.
    Timeout,
    /// The receiver was too slow, and missed so many messages. It goes on with the oldest that
    /// is there.
    Lagged(u64),
    /// All messages have been received and the senders are gone, or the wait was cancelled.
    Closed,
}

fn say_lagged(f: &mut fmt::Formatter<'_>, missed: u64) -> fmt::Result {
    write!(f, "missed {missed} messages of a broadcast channel")
}

const CLOSED: &str = "receiving on an empty broadcast channel whose senders are gone";

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            RecvError::Lagged(missed) => say_lagged(f, missed),
            RecvError::Closed => f.write_str(CLOSED),
        }
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            TryRecvError::Empty => f.write_str("receiving on an empty broadcast channel"),
            TryRecvError::Lagged(missed) => say_lagged(f, missed),
            TryRecvError::Closed => f.write_str(CLOSED),
        }
    }
}

impl fmt::Display for RecvTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            RecvTimeoutError::Timeout => f.write_str("timed out receiving on a broadcast channel"),
            RecvTimeoutError::Lagged(missed) => say_lagged(f, missed),
            RecvTimeoutError::Closed => f.write_str(CLOSED),
        }
    }
}

impl Error for RecvError {}
impl Error for TryRecvError {}
impl Error for RecvTimeoutError {}
