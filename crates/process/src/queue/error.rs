//! Why an operation of a process queue did not do what was asked.

use std::error::Error;
use std::fmt;

/// Why an item was not put into a queue; holds the item.
///
/// Which can happen depends on the form: only a timed or `try_` one finds the queue
/// [`Full`](PutError::Full), only one that waits is [`Cancelled`](PutError::Cancelled).
#[non_exhaustive]
pub enum PutError<T> {
    /// There was no room, or none in time.
    Full(T),
    /// The queue is closed.
    Closed(T),
    /// The caller was cancelled while it waited for room.
    Cancelled(T),
    /// Its encoding is larger than all the room of the queue.
    TooLarge {
        /// The item.
        item: T,
        /// The bytes it takes in the queue.
        bytes: usize,
        /// The bytes that the queue has.
        capacity: usize,
    },
    /// It can't be encoded.
    Encode {
        /// The item.
        item: T,
        /// Why.
        error: Box<dyn Error + Send + Sync>,
    },
    /// The queue's memory was damaged by a process that wrote over it; the queue is unusable.
    Damaged(T),
}

/// Why no item was got from a queue.
///
/// Which can happen depends on the form: only a timed or `try_` one finds the queue
/// [`Empty`](GetError::Empty), only one that waits is [`Cancelled`](GetError::Cancelled).
#[derive(Debug)]
#[non_exhaustive]
pub enum GetError {
    /// There was no item, or none in time.
    Empty,
    /// The queue is closed, and nothing is left in it.
    Closed,
    /// The caller was cancelled while it waited for an item.
    Cancelled,
    /// What was got is no item; it is not in the queue any more.
    Decode(Box<dyn Error + Send + Sync>),
    /// The queue's memory was damaged by a process that wrote over it; the queue is unusable.
    Damaged,
}

impl<T> PutError<T> {
    /// Takes the item back.
    pub fn into_inner(self) -> T {
        match self {
            PutError::Full(item) | PutError::Closed(item) | PutError::Cancelled(item) => item,
            PutError::TooLarge { item, .. } | PutError::Encode { item, .. } => item,
            PutError::Damaged(item) => item,
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
}

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

impl<T> fmt::Display for PutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PutError::Full(_) => f.write_str("the queue is full"),
            PutError::Closed(_) => f.write_str("the queue is closed"),
            PutError::Cancelled(_) => f.write_str("cancelled while waiting for room in a queue"),
            PutError::TooLarge {
                bytes, capacity, ..
            } => write!(
                f,
                "an item of {bytes} bytes is too large for a queue of {capacity} bytes"
            ),
            PutError::Encode { error, .. } => write!(f, "the item can't be encoded: {error}"),
            PutError::Damaged(_) => f.write_str("the queue's memory is damaged"),
        }
    }
}

impl<T> fmt::Debug for PutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PutError({self})")
    }
}

impl fmt::Display for GetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            GetError::Empty => f.write_str("the queue is empty"),
            GetError::Closed => f.write_str("the queue is closed and empty"),
            GetError::Cancelled => f.write_str("cancelled while waiting for an item of a queue"),
            GetError::Decode(error) => write!(f, "what was got is no item: {error}"),
            GetError::Damaged => f.write_str("the queue's memory is damaged"),
        }
    }
}

impl<T> Error for PutError<T> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            PutError::Encode { error, .. } => Some(error.as_ref()),
            _ => None,
        }
    }
}

impl Error for GetError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            GetError::Decode(error) => Some(error.as_ref()),
            _ => None,
        }
    }
}
