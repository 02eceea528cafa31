//! Why an operation of a queue did not do what was asked.

use std::error::Error;
use std::fmt;

/// Why an item was not put into a queue; holds the item.
///
/// Which of the three can happen depends on the form: only a timed or `try_` one finds the queue
/// [`Full`](PutError::Full), only one that waits is [`Cancelled`](PutError::Cancelled).
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PutError<T> {
    /// There was no room, or none in time.
    Full(T),
    /// The queue is closed.
    Closed(T),
    /// The caller was cancelled while it waited for room.
    Cancelled(T),
}

/// Why no item was got from a queue.
///
/// Which of the three can happen depends on the form: only a timed or `try_` one finds the queue
/// [`Empty`](GetError::Empty), only one that waits is [`Cancelled`](GetError::Cancelled).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GetError {
    /// There was no item, or none in time.
    Empty,
    /// The queue is closed, and nothing is left in it.
    Closed,
    /// The caller was cancelled while it waited for an item.
    Cancelled,
}

/// More items were reported done than were put into the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyDone;

impl<T> PutError<T> {
    /// Takes the item back.
    pub fn into_inner(self) -> T {
        match self {
            PutError::Full(item) | PutError::Closed(item) | PutError::Cancelled(item) => item,
        }
    }

    /// Says whether there was no room, or none in time.
    pub fn is_full(&self) -> bool {
        matches!(self, PutError::Full(_))
    }

    /// Says whether the queue is closed.
    pub fn is_closed(&self) -> bool {
        matches!(self, PutError::Closed(_))
    }

    /// Says whether the caller was cancelled.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, PutError::Cancelled(_))
    }

    fn as_str(&self) -> &'static str {
        match self {
            PutError::Full(_) => "the queue is full",
            PutError::Closed(_) => "the queue is closed",
            PutError::Cancelled(_) => "cancelled while waiting for room in a queue",
        }
    }
}

impl<T> fmt::Debug for PutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PutError::Full(_) => "Full(..)",
            PutError::Closed(_) => "Closed(..)",
            PutError::Cancelled(_) => "Cancelled(..)",
        })
    }
}

impl<T> fmt::Display for PutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl<T> Error for PutError<T> {}

impl GetError {
    /// Says whether there was no item, or none in time.
    pub fn is_empty(&self) -> bool {
        matches!(self, GetError::Empty)
    }

    /// Says whether the queue is closed, and nothing left in it.
    pub fn is_closed(&self) -> bool {
        matches!(self, GetError::Closed)
    }

    /// Says whether the caller was cancelled.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, GetError::Cancelled)
    }
}

impl fmt::Display for GetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            GetError::Empty => "the queue is empty",
            GetError::Closed => "the queue is closed and empty",
            GetError::Cancelled => "cancelled while waiting for an item of a queue",
        })
    }
}

impl Error for GetError {}

impl fmt::Display for TooManyDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("more items were reported done than were put into the queue")
    }
}

impl Error for TooManyDone {}
