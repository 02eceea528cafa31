//! Why a pool's end was not waited for.

use std::error::Error;
use std::fmt;

/// Why nobody waited for a pool's end, or not until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolJoinError {
    /// The pool was neither closed nor terminated: it has no end.
    StillOpen,
    /// The caller is one of the pool's own tasks, for which it would wait.
    Inside,
    /// The caller was cancelled while it waited.
    Cancelled,
    /// The pool had not ended at the deadline.
    TimedOut,
}

impl fmt::Display for PoolJoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PoolJoinError::StillOpen => "the pool is open: close or terminate it before joining it",
            PoolJoinError::Inside => "one of a pool's own tasks can't wait for the pool's end",
            PoolJoinError::Cancelled => "cancelled while waiting for the pool's end",
            PoolJoinError::TimedOut => "the pool had not ended at the deadline",
        })
    }
}

impl Error for PoolJoinError {}
