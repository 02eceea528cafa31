//! Mutual exclusion between tasks of several processes, where the holder may lock again.
//!
//! As `lock`, but the gate is a re-entrant one, and the word in shared memory is taken by the
//! first and given back by the last of a task's lockings. How many there are is kept in this
//! process's mapping, and changed by the gate's holder only; a process that dies takes it along.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ropewalk_kernel::wait;
use ropewalk_rt::sync::{ReentrantMutexExt, ReentrantMutexGuard};

use super::error::{HolderDied, LockError, Recover, sealed};
use super::lock::{WORD, mark, unmark};
use super::mapping::{Kind, Mapping};
use super::section::stop_now;
use super::sleeping::{Limit, Stop};

pub(super) static KIND: Kind = Kind {
    number: 6,
    name: "re-entrant lock",
    bury: |_, _| {},
};

/// A lock that several processes share, which the task that holds it may lock again; Python's
/// `multiprocessing.RLock`.
///
/// It is free when every guard is gone. The holder is a task: a coroutine or a thread of one of
/// the processes. As for dead holders and cancellation see [`Lock`](super::Lock); a task that
/// locks again is told again until [`recover`](HolderDied::recover) was called.
///
/// # Examples
///
/// ```
/// use ropewalk_process::shared::RLock;
///
/// let lock = RLock::new().unwrap();
/// let outer = lock.lock().unwrap();
/// let inner = lock.lock().unwrap();
/// drop(outer);
/// assert!(lock.is_locked());
/// drop(inner);
/// assert!(!lock.is_locked());
/// ```
#[derive(Clone)]
pub struct RLock {
    pub(super) mapping: Arc<Mapping>,
}

/// An [`RLock`] that is held, until this and all others of its task are dropped.
///
/// It stays with its task:
///
/// ```compile_fail
/// fn is_send<T: Send>() {}
/// is_send::<ropewalk_process::shared::RLockGuard<'static>>();
/// ```
#[must_use = "the lock is given back when the guard is dropped"]
pub struct RLockGuard<'a> {
    lock: &'a RLock,
    _turn: ReentrantMutexGuard<'a, ()>,
}

impl RLock {
    /// Makes a lock that nobody holds.
    ///
    /// # Errors
    ///
    /// If the system gives no memory or descriptor for it.
    pub fn new() -> io::Result<RLock> {
        let mapping = Mapping::create(&KIND, 0, 0, |_| ())?;
        Ok(RLock { mapping })
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
    pub fn lock(&self) -> Result<RLockGuard<'_>, HolderDied<RLockGuard<'_>>> {
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
    pub fn lock_cancellable(&self) -> Result<RLockGuard<'_>, LockError<RLockGuard<'_>>> {
        self.lock_within(Limit::CANCELLABLE)
    }

    /// Locks if that is possible at once.
    ///
    /// # Errors
    ///
    /// If another task holds the lock; if the last holder died, with the lock held.
    pub fn try_lock(&self) -> Result<RLockGuard<'_>, LockError<RLockGuard<'_>>> {
        let turn = self.mapping.turns.try_lock().ok_or(LockError::Busy)?;
        self.enter(turn, |mapping| {
            mapping.try_lock_word(WORD).ok_or(LockError::Busy)
        })
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
    ) -> Result<RLockGuard<'_>, LockError<RLockGuard<'_>>> {
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
    ) -> Result<RLockGuard<'_>, LockError<RLockGuard<'_>>> {
        self.lock_within(Limit::until(deadline))
    }

    /// Says whether somebody who is alive holds it at this moment.
    pub fn is_locked(&self) -> bool {
        self.mapping.word_is_locked(WORD)
    }

    fn lock_within(&self, limit: Limit) -> Result<RLockGuard<'_>, LockError<RLockGuard<'_>>> {
        wait::spend();
        let turns = &self.mapping.turns;
        let turn = match (limit.deadline(), limit.is_cancellable()) {
            (None, false) => turns.lock(),
            (None, true) => turns
                .lock_cancellable()
                .map_err(|_| LockError::from(Stop::Cancelled))?,
            (Some(until), _) => turns
                .try_lock_until(until)
                .ok_or_else(|| LockError::from(stop_now()))?,
        };
        self.enter(turn, |mapping| Ok(mapping.lock_word(WORD, limit)?))
    }

    /// Takes the word for the first of a task's lockings.
    fn enter<'a>(
        &'a self,
        turn: ReentrantMutexGuard<'a, ()>,
        lock: impl FnOnce(
            &'a Arc<Mapping>,
        ) -> Result<Option<super::word::Died>, LockError<RLockGuard<'a>>>,
    ) -> Result<RLockGuard<'a>, LockError<RLockGuard<'a>>> {
        let mapping = &self.mapping;
        let depth = mapping.depth.load(Ordering::Relaxed);
        let died = if depth == 0 { lock(mapping)? } else { None };
        mapping.depth.store(depth + 1, Ordering::Relaxed);
        let guard = RLockGuard {
            lock: self,
            _turn: turn,
        };
        match mark(mapping, died) {
            None => Ok(guard),
            Some(pid) => Err(LockError::HolderDied(HolderDied { pid, guard })),
        }
    }
}

impl Drop for RLockGuard<'_> {
    fn drop(&mut self) {
        let mapping = &self.lock.mapping;
        let depth = mapping.depth.load(Ordering::Relaxed) - 1;
        mapping.depth.store(depth, Ordering::Relaxed);
        if depth == 0 {
            mapping.unlock_word(WORD);
        }
    }
}

impl sealed::Sealed for RLockGuard<'_> {}

impl Recover for RLockGuard<'_> {
    fn mark_recovered(&self) {
        unmark(&self.lock.mapping);
    }
}

impl fmt::Debug for RLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RLock")
            .field("is_locked", &self.is_locked())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RLockGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RLockGuard").finish_non_exhaustive()
    }
}
