//! Permits that several processes share.
//!
//! # States
//!
//! `available` is how many permits are free; each participant's count in the table is how many
//! it holds. Both change together, in a section, so they always add up, and when a participant
//! died, whoever buries it moves what its count says back to `available`. A permit that is
//! forgotten leaves the holder's count and comes back by [`release`](Semaphore::release) only.
//!
//! # Who is killed, and where
//!
//! - Before its section has committed: nothing happened.
//! - Between committing and waking: sleepers look for themselves after their slice.
//! - Holding permits, or woken for one: sleepers bury the dead after each slice, and a task
//!   that finds no permit does before it first sleeps.
//!
//! Who takes a permit and leaves another one wakes the next.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ropewalk_kernel::wait;
use ropewalk_rt::cancel::{Cancelled, WaitError};

use super::mapping::{Kind, Mapping};
use super::section::{OWN, Section};
use super::sleeping::{Bell, Limit, Pause, Slices, Stop};

pub(super) static KIND: Kind = Kind {
    number: 7,
    name: "semaphore",
    bury,
};

pub(super) static BOUNDED: Kind = Kind {
    number: 8,
    name: "bounded semaphore",
    bury,
};

const AVAILABLE: usize = OWN;
const BOUND: usize = OWN + 4;
const BELL: Bell = Bell {
    count: OWN + 8,
    asleep: OWN + 12,
};

/// The most permits a shared semaphore can have.
const PERMITS_MAX: u32 = u32::MAX >> 1;

/// Gives back what a dead participant held.
fn bury(section: &mut Section<'_>, slot: usize) {
    let table = section.mapping.table();
    let (count, pid) = (table.count_at(slot), table.pid_at(slot));
    let held = section.get(count);
    let available = section.get(AVAILABLE).saturating_add(held).min(PERMITS_MAX);
    section.commit(&[(AVAILABLE, available), (count, 0), (pid, 0)]);
    if held != 0 {
        BELL.ring_one(section.mapping);
    }
}

/// A number of permits that several processes share; Python's `multiprocessing.Semaphore`.
///
/// A permit belongs to the process that acquired it, and is given back when that process dies.
/// For a semaphore as a signal, where one process gives and another takes, let the taker
/// [`forget`](SemaphorePermit::forget) what it acquired. Give a clone to another process as an
/// argument; the clones are all the same semaphore.
///
/// Waiting is a cancellation point.
///
/// # Examples
///
/// ```
/// use ropewalk_process::shared::Semaphore;
///
/// let semaphore = Semaphore::new(2).unwrap();
/// let first = semaphore.acquire().unwrap();
/// let second = semaphore.acquire().unwrap();
/// assert!(semaphore.try_acquire().is_none());
/// drop(first);
/// semaphore.try_acquire().unwrap().forget();
/// assert_eq!(semaphore.available_permits(), 0);
/// semaphore.release();
/// assert_eq!(semaphore.available_permits(), 1);
/// # drop(second);
/// ```
#[derive(Clone)]
pub struct Semaphore {
    pub(super) mapping: Arc<Mapping>,
}

/// A [`Semaphore`] that never has more permits than it began with; Python's
/// `multiprocessing.BoundedSemaphore`.
///
/// # Examples
///
/// ```
/// use ropewalk_process::shared::BoundedSemaphore;
///
/// let semaphore = BoundedSemaphore::new(1).unwrap();
/// assert!(semaphore.release().is_err());
/// semaphore.acquire().unwrap().forget();
/// assert!(semaphore.release().is_ok());
/// ```
#[derive(Clone)]
pub struct BoundedSemaphore {
    pub(super) inner: Semaphore,
}

/// A permit of a shared semaphore, given back when this is dropped.
#[must_use = "the permit is given back when this is dropped"]
pub struct SemaphorePermit<'a> {
    semaphore: &'a Semaphore,
}

/// More permits were released than the semaphore may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyReleases {
    bound: usize,
}

impl Semaphore {
    /// Makes a semaphore with this many permits.
    ///
    /// # Errors
    ///
    /// If the system gives no memory or descriptor for it, or there are more than 2³¹ − 1
    /// permits.
    pub fn new(permits: usize) -> io::Result<Semaphore> {
        Semaphore::create(&KIND, permits, PERMITS_MAX)
    }

    fn create(kind: &'static Kind, permits: usize, bound: u32) -> io::Result<Semaphore> {
        let permits = u32::try_from(permits)
            .ok()
            .filter(|permits| *permits <= PERMITS_MAX)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "too many permits"))?;
        let mapping = Mapping::create(kind, 0, 0, |region| {
            region.word(AVAILABLE).store(permits, Ordering::Relaxed);
            region.word(BOUND).store(bound, Ordering::Relaxed);
        })?;
        Ok(Semaphore { mapping })
    }

    /// How many permits are free at this moment.
    pub fn available_permits(&self) -> usize {
        let available = self.mapping.region.word(AVAILABLE);
        available.load(Ordering::Relaxed) as usize
    }

    /// Acquires a permit, waiting for one.
    ///
    /// # Errors
    ///
    /// If the caller is cancelled while it waits.
    ///
    /// # Panics
    ///
    /// If it must wait inside [`no_wait`](ropewalk_rt::coroutine::no_wait).
    pub fn acquire(&self) -> Result<SemaphorePermit<'_>, Cancelled> {
        self.acquire_within(Limit::CANCELLABLE)
            .map_err(Stop::only_cancelled)
    }

    /// Acquires a permit if one is free.
    pub fn try_acquire(&self) -> Option<SemaphorePermit<'_>> {
        let took = self.take() || (self.bury_dead() && self.take());
        took.then(|| SemaphorePermit { semaphore: self })
    }

    /// Acquires a permit, waiting for `timeout` at most.
    ///
    /// # Errors
    ///
    /// If the time is over, or the caller is cancelled while it waits.
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<SemaphorePermit<'_>, WaitError> {
        Ok(self.acquire_within(Limit::within(timeout))?)
    }

    /// Acquires a permit, waiting until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Self::acquire_timeout).
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_deadline(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, WaitError> {
        Ok(self.acquire_within(Limit::until(deadline))?)
    }

    /// Adds a permit.
    ///
    /// # Panics
    ///
    /// If there were more than 2³¹ − 1 then.
    pub fn release(&self) {
        if let Err(error) = self.try_release() {
            panic!("{error}");
        }
    }

    fn try_release(&self) -> Result<(), TooManyReleases> {
        let mut section = self.mapping.enter_now();
        let available = section.get(AVAILABLE);
        let bound = section.get(BOUND);
        // What others hold counts as well.
        let table = self.mapping.table();
        let held: u64 = table
            .used(&self.mapping.region)
            .map(|slot| u64::from(section.get(table.count_at(slot))))
            .sum();
        if u64::from(available) + held >= u64::from(bound) {
            let bound = bound as usize;
            return Err(TooManyReleases { bound });
        }
        section.commit(&[(AVAILABLE, available.wrapping_add(1))]);
        drop(section);
        BELL.ring_one(&self.mapping);
        Ok(())
    }

    fn acquire_within(&self, limit: Limit) -> Result<SemaphorePermit<'_>, Stop> {
        wait::spend();
        let mut slices = Slices::new();
        let mut look = true;
        loop {
            let seen = BELL.seen(&self.mapping);
            if self.take() || (look && self.bury_dead() && self.take()) {
                return Ok(SemaphorePermit { semaphore: self });
            }
            let pause = BELL.sleep(&self.mapping, seen, limit, &mut slices);
            match pause {
                Ok(pause) => look = pause == Pause::SliceOver,
                // Perhaps released in the same moment.
                Err(_) if self.take() => return Ok(SemaphorePermit { semaphore: self }),
                Err(stop) => return Err(stop),
            }
        }
    }

    /// Takes a permit if one is free.
    fn take(&self) -> bool {
        if self.available_permits() == 0 {
            return false;
        }
        let mut section = self.mapping.enter_now();
        let available = section.get(AVAILABLE);
        if available == 0 {
            return false;
        }
        let count = self.mapping.table().count_at(self.mapping.slot());
        let held = section.get(count);
        section.commit(&[(AVAILABLE, available - 1), (count, held.wrapping_add(1))]);
        drop(section);
        if available > 1 {
            BELL.ring_next(&self.mapping);
        }
        true
    }

    /// Gives the permits of the dead back; says whether there are any free now.
    fn bury_dead(&self) -> bool {
        self.mapping.enter_now().bury_dead();
        self.available_permits() != 0
    }

    /// Takes a permit off the count of this process, and gives it back if `free`.
    fn put_back(&self, free: bool) {
        let mut section = self.mapping.enter_now();
        let count = self.mapping.table().count_at(self.mapping.slot());
        let held = section.get(count);
        let available = section.get(AVAILABLE).wrapping_add(u32::from(free));
        section.commit(&[(AVAILABLE, available), (count, held.saturating_sub(1))]);
        drop(section);
        if free {
            BELL.ring_one(&self.mapping);
        }
    }
}

impl BoundedSemaphore {
    /// Makes a semaphore with this many permits, and never more.
    ///
    /// # Errors
    ///
    /// As [`Semaphore::new`].
    pub fn new(permits: usize) -> io::Result<BoundedSemaphore> {
        let bound = permits.min(PERMITS_MAX as usize) as u32;
        let inner = Semaphore::create(&BOUNDED, permits, bound)?;
        Ok(BoundedSemaphore { inner })
    }

    /// The most permits it has.
    pub fn bound(&self) -> usize {
        let bound = self.inner.mapping.region.word(BOUND);
        bound.load(Ordering::Relaxed) as usize
    }

    /// How many permits are free at this moment.
    pub fn available_permits(&self) -> usize {
        self.inner.available_permits()
    }

    /// Acquires a permit, waiting for one.
    ///
    /// # Errors
    ///
    /// If the caller is cancelled while it waits.
    ///
    /// # Panics
    ///
    /// If it must wait inside [`no_wait`](ropewalk_rt::coroutine::no_wait).
    pub fn acquire(&self) -> Result<SemaphorePermit<'_>, Cancelled> {
        self.inner.acquire()
    }

    /// Acquires a permit if one is free.
    pub fn try_acquire(&self) -> Option<SemaphorePermit<'_>> {
        self.inner.try_acquire()
    }

    /// Acquires a permit, waiting for `timeout` at most.
    ///
    /// # Errors
    ///
    /// If the time is over, or the caller is cancelled while it waits.
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<SemaphorePermit<'_>, WaitError> {
        self.inner.acquire_timeout(timeout)
    }

    /// Acquires a permit, waiting until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Self::acquire_timeout).
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_deadline(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, WaitError> {
        self.inner.acquire_deadline(deadline)
    }

    /// Adds a permit, in the place of one that was forgotten.
    ///
    /// # Errors
    ///
    /// If there would be more permits, free and held, than in the beginning.
    pub fn release(&self) -> Result<(), TooManyReleases> {
        self.inner.try_release()
    }
}

impl SemaphorePermit<'_> {
    /// Keeps the permit taken for good, also when this process dies; or until somebody
    /// releases one by hand.
    pub fn forget(self) {
        self.semaphore.put_back(false);
        std::mem::forget(self);
    }
}

impl Drop for SemaphorePermit<'_> {
    fn drop(&mut self) {
        self.semaphore.put_back(true);
    }
}

impl TooManyReleases {
    /// How many permits the semaphore began with.
    pub fn bound(&self) -> usize {
        self.bound
    }
}

impl fmt::Display for TooManyReleases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "released more than the {} permits there are", self.bound)
    }
}

impl std::error::Error for TooManyReleases {}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("available_permits", &self.available_permits())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for BoundedSemaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundedSemaphore")
            .field("available_permits", &self.available_permits())
            .field("bound", &self.bound())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SemaphorePermit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SemaphorePermit").finish_non_exhaustive()
    }
}
