//! How pools end, and why an end was not waited for.

use std::error::Error;
use std::fmt;
use std::time::{Duration, Instant};

use super::{RunTask, WorkerInsight};

/// What all pools have besides taking work: an end, and workers that can be looked at.
///
/// Pools have the same methods of their own; this is for code that is to work with any pool.
/// What happens when one is dropped is each pool's own: those of this process wait for their
/// work, a pool of processes kills its workers.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::executor::{CoroutinePool, Pool, PoolJoinError, RunTask};
///
/// fn square(n: u64) -> u64 {
///     n * n
/// }
///
/// fn squares(pool: impl Pool) -> Result<Vec<u64>, PoolJoinError> {
///     let squares = pool.map(square, 0..10).map(Result::unwrap).collect();
///     pool.shutdown(true, false)?;
///     Ok(squares)
/// }
///
/// assert_eq!(squares(CoroutinePool::new(4)).unwrap()[9], 81);
/// ```
pub trait Pool: RunTask {
    /// Takes no more work; what is queued and what runs goes on. More calls change nothing.
    fn close(&self);

    /// Says whether it takes no more work.
    fn is_closed(&self) -> bool;

    /// Takes no more work, and drops what is queued: handles say
    /// [`Cancelled`](crate::JoinError::Cancelled). What runs goes on.
    fn cancel_pending(&self);

    /// As [`cancel_pending`](Self::cancel_pending), and cancels what runs, by whatever means the pool has: a
    /// request where threads are concerned, a signal that kills for processes. Returns at once;
    /// [`join`](Self::join) waits.
    fn terminate(&self);

    /// Waits until all that was given to the pool has ended. A cancellation point.
    ///
    /// # Errors
    ///
    /// [`PoolJoinError`]: the pool is open, the caller is one of its tasks, or was cancelled.
    fn join(&self) -> Result<(), PoolJoinError> {
        self.join_until(None)
    }

    /// As [`join`](Self::join), for `timeout` at most.
    ///
    /// # Errors
    ///
    /// As [`join`](Self::join); [`PoolJoinError::TimedOut`] if it had not ended by then.
    fn join_timeout(&self, timeout: Duration) -> Result<(), PoolJoinError> {
        self.join_until(Instant::now().checked_add(timeout))
    }

    /// As [`join`](Self::join), until a point in time, if there is one.
    ///
    /// # Errors
    ///
    /// As [`join_timeout`](Self::join_timeout).
    fn join_until(&self, deadline: Option<Instant>) -> Result<(), PoolJoinError>;

    /// Takes no more work; drops what is queued if `cancel_pending`; waits for the end if `wait`.
    ///
    /// # Errors
    ///
    /// As [`join`](Self::join).
    fn shutdown(&self, wait: bool, cancel_pending: bool) -> Result<(), PoolJoinError> {
        self.close();
        if cancel_pending {
            self.cancel_pending();
        }
        if wait { self.join() } else { Ok(()) }
    }

    /// What each worker has done: thread, process, or place of a [`CoroutinePool`](super::CoroutinePool).
    fn insights(&self) -> Vec<WorkerInsight>;
}

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
    TimedOut {
        /// How many pieces of work had not begun.
        pending: usize,
        /// How many had begun and not ended.
        running: usize,
    },
}

impl fmt::Display for PoolJoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PoolJoinError::StillOpen => "the pool is open: close or terminate it before joining it",
            PoolJoinError::Inside => "one of a pool's own tasks can't wait for the pool's end",
            PoolJoinError::Cancelled => "cancelled while waiting for the pool's end",
            PoolJoinError::TimedOut { pending, running } => {
                return write!(
                    f,
                    "the pool has not ended in time: {running} tasks are running, {pending} have \
                     not begun"
                );
            }
        })
    }
}

impl Error for PoolJoinError {}
