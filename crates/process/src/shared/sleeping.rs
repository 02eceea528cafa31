//! Waiting for a word of shared memory, from threads and from coroutines.
//!
//! # Slices
//!
//! A process that should have woken others may be killed the moment before. So nobody sleeps
//! without end: every sleep is a *slice*, after which the sleeper looks at its condition again,
//! and at whether those it waits for are alive. Slices grow from [`FIRST`] to [`LONGEST`], so a
//! long wait costs some 15 looks a second, and a wake that was never sent, or a death, is
//! noticed after [`LONGEST`] at the latest. In the ordinary case a wake ends the slice at once.
//!
//! # Coroutines
//!
//! A coroutine must not block its worker, and the kernel wakes only threads from a futex. So it
//! waits at a *doorbell*, for which a thread of the blocking pool sleeps. There is one doorbell
//! for each word and value that is waited for, however many coroutines wait: a thousand that
//! wait for one event need one thread. The thread sleeps for [`LONGEST`] at most, so it is
//! soon gone when nobody listens any more; if it was woken and nobody listens, it passes the
//! wake on.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ropewalk_kernel::wait::{Limit as WaitLimit, Outcome, Reason, WaitQueue};
use ropewalk_kernel::{blocking, clock, wait};
use ropewalk_rt::cancel::{self, Cancelled, WaitError};

use super::mapping::Mapping;
use super::steps::step;
use crate::memory::Region;
use crate::memory::futex::{self, Waited};

/// The first slice of a wait.
const FIRST: Duration = Duration::from_millis(2);
/// The longest slice.
pub(super) const LONGEST: Duration = Duration::from_millis(64);

/// How long a wait may last, and whether it is a cancellation point.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    until: Option<Instant>,
    cancellable: bool,
}

impl Limit {
    /// For ever; not a cancellation point.
    pub(crate) const NONE: Limit = Limit {
        until: None,
        cancellable: false,
    };

    /// For ever, unless cancelled.
    pub(crate) const CANCELLABLE: Limit = Limit {
        until: None,
        cancellable: true,
    };

    /// For this time, unless cancelled.
    pub(crate) fn within(timeout: Duration) -> Limit {
        Limit {
            // Beyond what the clock can express is for ever.
            until: Instant::now().checked_add(timeout),
            cancellable: true,
        }
    }

    /// Until then, unless cancelled.
    pub(crate) fn until(deadline: Instant) -> Limit {
        Limit {
            until: Some(deadline),
            cancellable: true,
        }
    }

    /// Until then, for what `lock_api` offers.
    pub(super) fn deadline(self) -> Option<Instant> {
        self.until
    }

    pub(super) fn is_cancellable(self) -> bool {
        self.cancellable
    }
}

/// Why a wait ended without what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Timeout,
    Cancelled,
}

impl Stop {
    /// The error of a wait that had no deadline.
    pub(crate) fn only_cancelled(self) -> Cancelled {
        debug_assert!(self == Stop::Cancelled, "a wait without deadline");
        Cancelled::current()
    }

    /// Of a wait that can't be stopped.
    pub(crate) fn never<T>(self) -> T {
        unreachable!("a wait without limit ended: {self:?}")
    }
}

impl From<Stop> for WaitError {
    fn from(stop: Stop) -> WaitError {
        match stop {
            Stop::Timeout => WaitError::Timeout,
            Stop::Cancelled => WaitError::Cancelled,
        }
    }
}

/// How a slice of sleep ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pause {
    /// Somebody woke it, or the word is another by now.
    Woken,
    /// Nothing came: look around.
    SliceOver,
}

/// The slices of one wait, growing.
pub(crate) struct Slices(Duration);

impl Slices {
    pub(crate) fn new() -> Slices {
        Slices(FIRST)
    }

    fn next(&mut self) -> Duration {
        let slice = self.0;
        self.0 = (slice * 2).min(LONGEST);
        slice
    }
}

/// What coroutines of this process wait for in one mapping.
#[derive(Default)]
pub(super) struct Doorbells(Mutex<Vec<Arc<Doorbell>>>);

struct Doorbell {
    offset: usize,
    expected: u32,
    rung: AtomicBool,
    queue: WaitQueue,
}

impl Doorbells {
    fn table(&self) -> MutexGuard<'_, Vec<Arc<Doorbell>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Mapping {
    /// Sleeps for one slice at most, as long as the word at `offset` is `expected`.
    ///
    /// An error means that the time was over, or the caller cancelled, before: the caller
    /// looks at its condition once more before it gives up.
    pub(crate) fn sleep(
        self: &Arc<Mapping>,
        offset: usize,
        expected: u32,
        limit: Limit,
        slices: &mut Slices,
    ) -> Result<Pause, Stop> {
        let now = Instant::now();
        if limit.until.is_some_and(|until| until <= now) {
            return Err(Stop::Timeout);
        }
        let slice_end = now + slices.next();
        let end = limit.until.map_or(slice_end, |until| until.min(slice_end));
        wait::check_may_wait();
        if wait::in_coroutine() {
            return self.listen(offset, expected, limit, end);
        }
        if limit.cancellable && cancel::check().is_err() {
            return Err(Stop::Cancelled);
        }
        match futex::wait(self.region.word(offset), expected, Some(end)) {
            Waited::TimedOut => Ok(Pause::SliceOver),
            Waited::Woken | Waited::Changed => Ok(Pause::Woken),
        }
    }

    /// [`sleep`](Self::sleep) for a coroutine.
    fn listen(
        self: &Arc<Mapping>,
        offset: usize,
        expected: u32,
        limit: Limit,
        end: Instant,
    ) -> Result<Pause, Stop> {
        let bell = self.doorbell(offset, expected);
        let queue = bell.queue.lock();
        if bell.rung.load(Ordering::SeqCst) {
            return Ok(Pause::Woken);
        }
        let deadline = Some(clock::instant_to_ns(end));
        let limit = if limit.cancellable {
            WaitLimit::cancellable(deadline)
        } else {
            WaitLimit::until(deadline)
        };
        let object = std::ptr::from_ref(self.region.word(offset)) as usize;
        let outcome = queue.wait(0, Reason::Blocking, object, limit);
        if bell.rung.load(Ordering::SeqCst) {
            return Ok(Pause::Woken);
        }
        match outcome {
            Outcome::Woken => Ok(Pause::Woken),
            Outcome::Expired => Ok(Pause::SliceOver),
            Outcome::Cancelled => Err(Stop::Cancelled),
        }
    }

    /// The doorbell for this value of this word; has a thread wait if it is new.
    fn doorbell(self: &Arc<Mapping>, offset: usize, expected: u32) -> Arc<Doorbell> {
        let mut table = self.doorbells.table();
        let same = |bell: &&Arc<Doorbell>| bell.offset == offset && bell.expected == expected;
        if let Some(bell) = table.iter().find(same) {
            return Arc::clone(bell);
        }
        let bell = Arc::new(Doorbell {
            offset,
            expected,
            rung: AtomicBool::new(false),
            queue: WaitQueue::new(),
        });
        table.push(Arc::clone(&bell));
        drop(table);
        // Not the mapping: a process that is done with it is to leave it at once.
        let (region, bells) = (Arc::clone(&self.region), Arc::clone(&self.doorbells));
        let ours = Arc::clone(&bell);
        blocking::detach(move || bells.attend(&region, ours));
        bell
    }
}

impl Doorbells {
    /// Waits for a doorbell's word, on a thread that may block, and rings it.
    fn attend(&self, region: &Region, bell: Arc<Doorbell>) {
        let word = region.word(bell.offset);
        let waited = futex::wait(word, bell.expected, Some(Instant::now() + LONGEST));
        self.table().retain(|other| !Arc::ptr_eq(other, &bell));
        bell.rung.store(true, Ordering::SeqCst);
        bell.queue.wake_all();
        // Out of the table, it gets no new listeners.
        if waited == Waited::Woken && Arc::strong_count(&bell) == 1 {
            futex::wake(word, 1);
        }
    }
}

/// Two words to sleep on until something about an object changes: how often it has, and
/// how many may be asleep, which spares the others a system call.
///
/// A sleeper reads the count, looks at its condition, counts itself, and sleeps unless the
/// count is another. Who changes the condition then raises the count, and wakes if anybody has
/// counted itself. All `SeqCst`: either the sleeper's comparison sees the count, or the waker's
/// look the sleeper. A waker that found nobody asleep sets the sleepers to none, unless one has
/// counted itself since; a sleeper that did so before, and was not asleep yet, finds the count
/// raised. One that is killed costs a needless call. A sleeper that is done and leaves something
/// for others wakes the next.
#[derive(Clone, Copy)]
pub(crate) struct Bell {
    pub(crate) count: usize,
    pub(crate) asleep: usize,
}

impl Bell {
    fn words(self, mapping: &Mapping) -> (&AtomicU32, &AtomicU32) {
        let region = &mapping.region;
        (region.word(self.count), region.word(self.asleep))
    }

    /// The count to give to [`sleep`](Self::sleep); read before the condition.
    pub(crate) fn seen(self, mapping: &Mapping) -> u32 {
        self.words(mapping).0.load(Ordering::SeqCst)
    }

    /// Sleeps for a slice at most, unless the count is another.
    pub(crate) fn sleep(
        self,
        mapping: &Arc<Mapping>,
        seen: u32,
        limit: Limit,
        slices: &mut Slices,
    ) -> Result<Pause, Stop> {
        self.words(mapping).1.fetch_add(1, Ordering::SeqCst);
        mapping.sleep(self.count, seen, limit, slices)
    }

    /// Tells one sleeper.
    pub(crate) fn ring_one(self, mapping: &Mapping) {
        self.ring(mapping, 1);
    }

    fn ring(self, mapping: &Mapping, sleepers: u32) {
        step();
        let (count, asleep) = self.words(mapping);
        count.fetch_add(1, Ordering::SeqCst);
        let counted = asleep.load(Ordering::SeqCst);
        if counted != 0 && futex::wake(count, sleepers) < sleepers as usize {
            // Nobody is left. If one has come, it stays counted.
            _ = asleep.compare_exchange(counted, 0, Ordering::SeqCst, Ordering::SeqCst);
        }
    }

    /// Wakes one more sleeper, for what was not changed but left over.
    pub(crate) fn ring_next(self, mapping: &Mapping) {
        if self.words(mapping).1.load(Ordering::SeqCst) != 0 {
            self.ring_one(mapping);
        }
    }

    /// Tells all sleepers.
    pub(crate) fn ring_all(self, mapping: &Mapping) {
        self.ring(mapping, u32::MAX);
    }
}
