//! Waiting, with a lock given back meanwhile, until another process says that something changed.
//!
//! # States
//!
//! All changes are sections.
//!
//! | word | |
//! |---|---|
//! | `waiting` | how many tasks wait; each participant's count in the table is its share |
//! | `granted` | how many of them may go but have not gone yet; never more than `waiting` |
//! | `tail` | the number of the next waiter |
//! | `limit` | what `tail` was at the last notification |
//!
//! A waiter takes a number *before* it gives the lock back. A notification grants as many as it
//! is asked for and there are, and sets `limit`. A waiter whose number is below `limit` goes if
//! there is a grant, and takes it along. So nobody who came after a notification takes what was
//! meant for those before it. Who gives up leaves `waiting`; if everybody left is granted, so is
//! the one who gives up, and it goes as notified.
//!
//! # Who is killed, and where
//!
//! - A notifier before its section commits: nobody was notified. After: the grants are there, and
//!   sleepers find them after their slice if they weren't woken.
//! - A waiter: grants belong to nobody in particular, so whoever of the others looks next takes
//!   what a dead one left. Whoever buries it takes its share off `waiting`, and cuts `granted` to
//!   that. (Until then a notification may count a dead one: the grant remains, and at worst a
//!   later waiter goes without reason, as it may with any condition variable.)
//! - Between giving the lock back and sleeping, or between going and locking: as a waiter, or as
//!   somebody who wants a lock.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ropewalk_kernel::wait;

use super::error::LockError;
use super::lock::LockGuard;
use super::mapping::{Kind, Mapping};
use super::section::{OWN, Section};
use super::sleeping::{Bell, Limit, Pause, Slices, Stop};

pub(super) static KIND: Kind = Kind {
    number: 10,
    name: "condition",
    bury,
};

const WAITING: usize = OWN;
const GRANTED: usize = OWN + 4;
const TAIL: usize = OWN + 8;
const LIMIT: usize = OWN + 12;
const BELL: Bell = Bell {
    count: OWN + 16,
    asleep: OWN + 20,
};

fn bury(section: &mut Section<'_>, slot: usize) {
    let table = section.mapping.table();
    let (count, pid) = (table.count_at(slot), table.pid_at(slot));
    let waiting = section.get(WAITING).saturating_sub(section.get(count));
    let granted = section.get(GRANTED).min(waiting);
    section.commit(&[(WAITING, waiting), (GRANTED, granted), (count, 0), (pid, 0)]);
}

/// A condition variable that several processes share; Python's `multiprocessing.Condition`,
/// used with a [`Lock`](super::Lock) of its own choice, as std's.
///
/// A waiter may go without having been notified, now and then; look at what is waited for in a
/// loop. A notification is never lost because a process was killed. Give clones of the condition
/// and of its lock to another process as arguments.
///
/// # Examples
///
/// ```
/// use ropewalk_process::shared::{Condition, Lock, Value};
///
/// let (lock, changed) = (Lock::new().unwrap(), Condition::new().unwrap());
/// let stage = Value::new(0_u32).unwrap();
///
/// ropewalk_rt::scope(|s| {
///     s.spawn(|| {
///         let _guard = lock.lock().unwrap();
///         stage.set(1);
///         changed.notify_all();
///     });
///     let mut guard = lock.lock().unwrap();
///     while stage.get() == 0 {
///         changed.wait(&mut guard).unwrap();
///     }
/// });
/// ```
#[derive(Clone)]
pub struct Condition {
    pub(super) mapping: Arc<Mapping>,
}

impl Condition {
    /// Makes a condition that nobody waits for.
    ///
    /// # Errors
    ///
    /// If the system gives no memory or descriptor for it.
    pub fn new() -> io::Result<Condition> {
        let mapping = Mapping::create(&KIND, 0, 0, |_| ())?;
        Ok(Condition { mapping })
    }

    /// Gives the lock back, waits for a notification, and locks again. Not a cancellation point.
    ///
    /// # Errors
    ///
    /// Only that a holder of the lock has died meanwhile. The lock is held in any case; see
    /// [`LockGuard::recover`].
    ///
    /// # Panics
    ///
    /// Inside [`no_wait`](ropewalk_rt::coroutine::no_wait).
    pub fn wait(&self, guard: &mut LockGuard<'_>) -> Result<(), LockError<()>> {
        self.wait_within(guard, Limit::NONE)
    }

    /// As [`wait`](Self::wait), unless the caller is cancelled.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait), and if the caller is cancelled while it waits. The lock is
    /// held in any case.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_cancellable(&self, guard: &mut LockGuard<'_>) -> Result<(), LockError<()>> {
        self.wait_within(guard, Limit::CANCELLABLE)
    }

    /// As [`wait`](Self::wait), for `timeout` at most (locking again may take longer).
    ///
    /// # Errors
    ///
    /// As [`wait_cancellable`](Self::wait_cancellable), and if the time is over.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(
        &self,
        guard: &mut LockGuard<'_>,
        timeout: Duration,
    ) -> Result<(), LockError<()>> {
        self.wait_within(guard, Limit::within(timeout))
    }

    /// As [`wait`](Self::wait), until `deadline` at most (locking again may take longer).
    ///
    /// # Errors
    ///
    /// As [`wait_timeout`](Self::wait_timeout).
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_deadline(
        &self,
        guard: &mut LockGuard<'_>,
        deadline: Instant,
    ) -> Result<(), LockError<()>> {
        self.wait_within(guard, Limit::until(deadline))
    }

    /// Waits as long as `condition` says so; Python's `wait_for`, the other way round.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait), and with `condition`'s panic.
    pub fn wait_while(
        &self,
        guard: &mut LockGuard<'_>,
        mut condition: impl FnMut() -> bool,
    ) -> Result<(), LockError<()>> {
        while condition() {
            self.wait(guard)?;
        }
        Ok(())
    }

    /// Lets one go that waits, if there is one.
    pub fn notify_one(&self) {
        self.notify(1);
    }

    /// Lets up to `n` go that wait.
    pub fn notify(&self, n: usize) {
        let mut section = self.mapping.enter_now();
        let waiting = section.get(WAITING);
        if waiting == 0 {
            return;
        }
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        let granted = section.get(GRANTED).saturating_add(n).min(waiting);
        let tail = section.get(TAIL);
        section.commit(&[(GRANTED, granted), (LIMIT, tail)]);
        drop(section);
        BELL.ring_all(&self.mapping);
    }

    /// Lets all go that wait.
    pub fn notify_all(&self) {
        self.notify(usize::MAX);
    }

    fn wait_within(&self, guard: &mut LockGuard<'_>, limit: Limit) -> Result<(), LockError<()>> {
        wait::check_may_wait();
        let number = self.register();
        let waited = guard.unlocked(|| self.wait_for_grant(number, limit));
        match guard.died_meanwhile() {
            Some(died) => Err(LockError::HolderDied(died)),
            None => Ok(waited?),
        }
    }

    fn share(&self) -> usize {
        self.mapping.table().count_at(self.mapping.slot())
    }

    /// Takes a number.
    pub(super) fn register(&self) -> u32 {
        let mut section = self.mapping.enter_now();
        let number = section.get(TAIL);
        let share = self.share();
        section.commit(&[
            (WAITING, section.get(WAITING).wrapping_add(1)),
            (share, section.get(share).wrapping_add(1)),
            (TAIL, number.wrapping_add(1)),
        ]);
        number
    }

    pub(super) fn wait_for_grant(&self, number: u32, limit: Limit) -> Result<(), Stop> {
        let mut slices = Slices::new();
        loop {
            let seen = BELL.seen(&self.mapping);
            if self.go(number, false) {
                return Ok(());
            }
            match BELL.sleep(&self.mapping, seen, limit, &mut slices) {
                Ok(Pause::SliceOver) => self.mapping.enter_now().bury_dead(),
                Ok(Pause::Woken) => {}
                Err(_) if self.go(number, true) => return Ok(()),
                Err(stop) => return Err(stop),
            }
        }
    }

    /// Goes if there is a grant; or, to give up, in any case. Says whether as notified.
    pub(super) fn go(&self, number: u32, give_up: bool) -> bool {
        let mut section = self.mapping.enter_now();
        let (waiting, granted) = (section.get(WAITING), section.get(GRANTED));
        let came_before = (number.wrapping_sub(section.get(LIMIT)) as i32) < 0;
        let notified = granted != 0 && (came_before && !give_up || granted == waiting);
        if !notified && !give_up {
            return false;
        }
        let share = self.share();
        section.commit(&[
            (WAITING, waiting.saturating_sub(1)),
            (share, section.get(share).saturating_sub(1)),
            (GRANTED, granted - u32::from(notified)),
        ]);
        notified
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition").finish_non_exhaustive()
    }
}
