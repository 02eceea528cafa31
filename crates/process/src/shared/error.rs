//! Why a shared lock was not simply taken.

use std::error::Error;
use std::fmt;

/// The holder of a lock died, and what the lock guards may be half changed. The lock is held:
/// by the guard in here.
///
/// [`recover`](Self::recover) gives the guard and says that all is well again. Dropped without
/// that, the lock is given back, and the next who takes it is told the same.
pub struct HolderDied<G> {
    pub(super) pid: Option<u32>,
    pub(super) guard: G,
}

impl<G> HolderDied<G> {
    /// The process id of the holder, if it is still known. It may be another process's by now.
    pub fn pid(&self) -> Option<u32> {
        self.pid
    }
}

impl<G: Recover> HolderDied<G> {
    /// Declares that what the lock guards is in order, and goes on with the lock held.
    pub fn recover(self) -> G {
        self.guard.mark_recovered();
        self.guard
    }
}

/// The guards of shared locks.
pub trait Recover: sealed::Sealed {
    /// Takes the mark off that a holder died.
    #[doc(hidden)]
    fn mark_recovered(&self);
}

pub(super) mod sealed {
    pub trait Sealed {}
}

fn describe(pid: Option<u32>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match pid {
        Some(pid) => write!(f, "process {pid} died while it held the lock"),
        None => f.write_str("a process died while it held the lock"),
    }
}

impl<G> fmt::Display for HolderDied<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe(self.pid, f)
    }
}

impl<G> fmt::Debug for HolderDied<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HolderDied")
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

impl<G> Error for HolderDied<G> {}

/// Why a shared lock was not simply taken.
///
/// Which of these can happen depends on the form: only `try_` ones find the lock
/// [`Busy`](LockError::Busy), only timed ones end by [`Timeout`](LockError::Timeout).
pub enum LockError<G> {
    /// It was taken, but its last holder died; see [`HolderDied`].
    HolderDied(HolderDied<G>),
    /// Somebody holds it.
    Busy,
    /// The time was over.
    Timeout,
    /// The caller was cancelled while it waited.
    Cancelled,
}

impl<G: Recover> LockError<G> {
    /// The guard, with what the dead holder left declared to be in order; else the error.
    ///
    /// # Errors
    ///
    /// Itself, if the lock was not taken.
    pub fn recover(self) -> Result<G, LockError<G>> {
        match self {
            LockError::HolderDied(died) => Ok(died.recover()),
            other => Err(other),
        }
    }
}

impl<G> LockError<G> {
    /// Says whether the holder died.
    pub fn is_holder_died(&self) -> bool {
        matches!(self, LockError::HolderDied(_))
    }

    /// Says whether somebody holds the lock.
    pub fn is_busy(&self) -> bool {
        matches!(self, LockError::Busy)
    }

    /// Says whether the time was over.
    pub fn is_timeout(&self) -> bool {
        matches!(self, LockError::Timeout)
    }

    /// Says whether the caller was cancelled.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, LockError::Cancelled)
    }
}

impl<G> From<HolderDied<G>> for LockError<G> {
    fn from(died: HolderDied<G>) -> LockError<G> {
        LockError::HolderDied(died)
    }
}

impl<G> fmt::Display for LockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::HolderDied(died) => died.fmt(f),
            LockError::Busy => f.write_str("the lock is held"),
            LockError::Timeout => f.write_str("timed out waiting for the lock"),
            LockError::Cancelled => f.write_str("cancelled while waiting for the lock"),
        }
    }
}

impl<G> fmt::Debug for LockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::HolderDied(died) => died.fmt(f),
            LockError::Busy => f.write_str("Busy"),
            LockError::Timeout => f.write_str("Timeout"),
            LockError::Cancelled => f.write_str("Cancelled"),
        }
    }
}

impl<G> Error for LockError<G> {}
