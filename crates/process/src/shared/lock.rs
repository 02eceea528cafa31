//! Mutual exclusion between the tasks of several processes.
//!
//! # States
//!
//! One task of each process passes the process's gate, an ordinary [`Mutex`] of this runtime,
//! and then competes for the lock's word with those of other processes; it keeps both while it
//! holds the lock. So a thousand waiting coroutines of a process are one waiter for the others.
//! The word's states, and what happens at each point where a process is killed, are in `word`.
//!
//! `died` is not 0 from when a dead holder was noticed until somebody has declared that all is
//! in order; it is the dead one's process id, or [`UNKNOWN`]. It is written by who holds the
//! lock. Killed between taking the lock over and writing it, the one who took over is itself
//! the dead holder whom the next one reports.
//!
//! [`Mutex`]: ropewalk_rt::sync::Mutex

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ropewalk_kernel::wait;
use ropewalk_rt::sync::MutexGuard;

use super::error::{HolderDied, LockError, Recover, sealed};
use super::mapping::{Kind, Mapping};
use super::section::OWN;
use super::sleeping::{Limit, Stop};
use super::word::Died;

pub(super) static KIND: Kind = Kind {
    number: 5,
    name: "lock",
    bury: |_, _| {},
};

/// The word; after it the mark of a dead holder.
pub(super) const WORD: usize = OWN;
const DIED: usize = OWN + 4;
/// A dead holder whose process id is not known any more.
const UNKNOWN: u32 = u32::MAX;

/// A lock that several processes share; Python's `multiprocessing.Lock`.
///
/// A holder that dies is reported to the next who takes the lock, never waited for. Tasks of one
/// process exclude one another just as those of several do. Give a clone to another process as
/// an argument; the clones are all the same lock.
///
/// [`lock`](Self::lock) is not a cancellation point, the other forms that wait are.
///
/// # Examples
///
/// ```
/// use ropewalk_process::shared::Lock;
///
/// let lock = Lock::new().unwrap();
/// let guard = lock.lock().unwrap();
/// assert!(lock.try_lock().unwrap_err().is_busy());
/// drop(guard);
/// assert!(lock.try_lock().is_ok());
/// ```
///
/// If a dead holder does no harm:
///
/// ```
/// # let lock = ropewalk_process::shared::Lock::new().unwrap();
/// use ropewalk_process::shared::HolderDied;
///
/// let guard = lock.lock().unwrap_or_else(HolderDied::recover);
/// ```
#[derive(Clone)]
pub struct Lock {
    pub(super) mapping: Arc<Mapping>,
}

/// A [`Lock`] that is held, until this is dropped.
#[must_use = "the lock is given back when the guard is dropped"]
pub struct LockGuard<'a> {
    pub(super) lock: &'a Lock,
    gate: MutexGuard<'a, ()>,
}

impl Lock {
    /// Makes a lock that nobody holds.
    ///
    /// # Errors
    ///
    /// If the system gives no memory or descriptor for it.
    pub fn new() -> io::Result<Lock> {
        let mapping = Mapping::create(&KIND, 0, 0, |_| ())?;
        Ok(Lock { mapping })
    }

    /// Locks, waiting as long as it takes.
    ///
    /// # Errors
    ///
    /// If the last holder died, with the lock held.
    ///
    /// # Panics
    ///
    /// If it must wait inside [`no_wait`](ropewalk_rt::coroutine::no_wait).
    pub fn lock(&self) -> Result<LockGuard<'_>, HolderDied<LockGuard<'_>>> {
        match self.lock_within(Limit::NONE) {
            Ok(guard) => Ok(guard),
            Err(LockError::HolderDied(died)) => Err(died),
            Err(other) => unreachable!("a wait without limit ended: {other}"),
        }
    }

    /// Locks, unless the caller is cancelled while it waits.
    ///
    /// # Errors
    ///
    /// If the last holder died, with the lock held; if the caller is cancelled.
    ///
    /// # Panics
    ///
    /// As [`lock`](Self::lock).
    pub fn lock_cancellable(&self) -> Result<LockGuard<'_>, LockError<LockGuard<'_>>> {
        self.lock_within(Limit::CANCELLABLE)
    }

    /// Locks if that is possible at once.
    ///
    /// # Errors
    ///
    /// If somebody holds the lock; if the last holder died, with the lock held.
    pub fn try_lock(&self) -> Result<LockGuard<'_>, LockError<LockGuard<'_>>> {
        let gate = self.mapping.gate.try_lock().ok_or(LockError::Busy)?;
        let died = self.mapping.try_lock_word(WORD).ok_or(LockError::Busy)?;
        self.held(gate, died)
    }

    /// Locks, waiting for `timeout` at most.
    ///
    /// # Errors
    ///
    /// As [`lock_cancellable`](Self::lock_cancellable), and if the time is over.
    ///
    /// # Panics
    ///
    /// As [`lock`](Self::lock).
    pub fn lock_timeout(
        &self,
        timeout: Duration,
    ) -> Result<LockGuard<'_>, LockError<LockGuard<'_>>> {
        self.lock_within(Limit::within(timeout))
    }

    /// Locks, waiting until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`lock_timeout`](Self::lock_timeout).
    ///
    /// # Panics
    ///
    /// As [`lock`](Self::lock).
    pub fn lock_deadline(
        &self,
        deadline: Instant,
    ) -> Result<LockGuard<'_>, LockError<LockGuard<'_>>> {
        self.lock_within(Limit::until(deadline))
    }

    /// Says whether somebody who is alive holds it at this moment.
    pub fn is_locked(&self) -> bool {
        self.mapping.word_is_locked(WORD)
    }

    fn lock_within(&self, limit: Limit) -> Result<LockGuard<'_>, LockError<LockGuard<'_>>> {
        wait::spend();
        let gate = self.mapping.pass_gate(limit)?;
        let died = self.mapping.lock_word(WORD, limit)?;
        self.held(gate, died)
    }

    fn held<'a>(
        &'a self,
        gate: MutexGuard<'a, ()>,
        died: Option<Died>,
    ) -> Result<LockGuard<'a>, LockError<LockGuard<'a>>> {
        let guard = LockGuard { lock: self, gate };
        match mark(&self.mapping, died) {
            None => Ok(guard),
            Some(pid) => Err(LockError::HolderDied(HolderDied { pid, guard })),
        }
    }
}

/// Notes that a holder died, and tells whether one did since the last recovery. The lock is held.
pub(super) fn mark(mapping: &Mapping, died: Option<Died>) -> Option<Option<u32>> {
    let word = mapping.region.word(DIED);
    if let Some(Died(pid)) = died {
        word.store(pid.unwrap_or(UNKNOWN), Ordering::Release);
    }
    match word.load(Ordering::Relaxed) {
        0 => None,
        UNKNOWN => Some(None),
        pid => Some(Some(pid)),
    }
}

/// Takes the mark off. The lock is held.
pub(super) fn unmark(mapping: &Mapping) {
    mapping.region.word(DIED).store(0, Ordering::Release);
}

impl LockGuard<'_> {
    /// Declares that what the lock guards is in order, after a
    /// [`Condition`](super::Condition) has told that a holder died.
    pub fn recover(&self) {
        unmark(&self.lock.mapping);
    }

    /// Gives the lock back while `f` runs.
    pub(super) fn unlocked<R>(&mut self, f: impl FnOnce() -> R) -> R {
        let mapping = &self.lock.mapping;
        mapping.unlock_word(WORD);
        let result = MutexGuard::unlocked(&mut self.gate, f);
        let died = match mapping.lock_word(WORD, Limit::NONE) {
            Ok(died) => died,
            Err(stop) => stop.never(),
        };
        mark(mapping, died);
        result
    }

    /// The report that a holder died, if there is one that nobody has recovered from.
    pub(super) fn died_meanwhile(&self) -> Option<HolderDied<()>> {
        let pid = mark(&self.lock.mapping, None)?;
        Some(HolderDied { pid, guard: () })
    }
}

impl Drop for LockGuard<'_> {
    fn drop(&mut self) {
        self.lock.mapping.unlock_word(WORD);
    }
}

impl sealed::Sealed for LockGuard<'_> {}

impl Recover for LockGuard<'_> {
    fn mark_recovered(&self) {
        unmark(&self.lock.mapping);
    }
}

impl<G> From<Stop> for LockError<G> {
    fn from(stop: Stop) -> LockError<G> {
        match stop {
            Stop::Timeout => LockError::Timeout,
            Stop::Cancelled => LockError::Cancelled,
        }
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock")
            .field("is_locked", &self.is_locked())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for LockGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockGuard").finish_non_exhaustive()
    }
}
