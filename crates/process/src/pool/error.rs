//! Why a pool of processes could not go on, or not yet end.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// The pool's workers can't be started: several in a row ended before they were ready.
#[derive(Clone, Debug)]
pub struct PoolBroken {
    pub(super) why: Arc<str>,
}

impl PoolBroken {
    /// What became of the last one.
    pub fn why(&self) -> &str {
        &self.why
    }
}

impl fmt::Display for PoolBroken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the pool's workers don't start: {}", self.why)
    }
}

impl Error for PoolBroken {}

/// Why [`ProcessPool::join`](super::ProcessPool::join) came back without the pool's end.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolJoinError {
    /// The pool still takes tasks, so it would never end: close it first.
    NotClosed,
    /// The caller was cancelled while it waited.
    Cancelled,
    /// The time was over, with so many tasks still to be done.
    TimedOut {
        /// Tasks that no worker had begun.
        pending: usize,
        /// Tasks that were being run.
        running: usize,
    },
}

impl fmt::Display for PoolJoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PoolJoinError::NotClosed => {
                f.write_str("the pool is still open and would never end: close it before joining")
            }
            PoolJoinError::Cancelled => f.write_str("cancelled while waiting for the pool's end"),
            PoolJoinError::TimedOut { pending, running } => write!(
                f,
                "the pool has not ended in time: {running} tasks are running, {pending} have not \
                 begun"
            ),
        }
    }
}

impl Error for PoolJoinError {}
