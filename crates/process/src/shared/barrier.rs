//! A place where tasks of several processes wait for one another.
//!
//! # States
//!
//! All changes are sections.
//!
//! | word | |
//! |---|---|
//! | `state` | the number of the round, and in the lowest bit whether the barrier is broken |
//! | `arrived` | how many wait in this round |
//! | `history` | of the last 32 rounds, the newest in the lowest bit, which were broken off |
//! | `died` | the process whose death broke it |
//!
//! and each participant's count in the table is how many of its tasks arrived in which round.
//! The last to arrive begins the next round; who waits sees that `state` is another, and by
//! `history` whether its own round was completed or broken off.
//!
//! # Who is killed, and where
//!
//! A process that took part (had the barrier mapped) and died without giving its handles up
//! breaks the barrier, whether it had arrived or not: the others can't know whether it would have.
//! Those who wait look for such ones before their first sleep and after each slice, and the last
//! to arrive before it opens the barrier. A process
//! that is killed after its section completed the round and before it woke the others has
//! completed it: they find the new round after their slice.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ropewalk_kernel::wait;

use super::mapping::{Kind, Mapping};
use super::section::{OWN, Section};
use super::sleeping::{Limit, Pause, Slices, Stop};
use crate::memory::futex;

pub(super) static KIND: Kind = Kind {
    number: 11,
    name: "barrier",
    bury,
};

const PARTIES: usize = OWN;
const STATE: usize = OWN + 4;
const ARRIVED: usize = OWN + 8;
const HISTORY: usize = OWN + 12;
const DIED: usize = OWN + 16;
const BROKEN: u32 = 1;

fn bury(section: &mut Section<'_>, slot: usize) {
    let table = section.mapping.table();
    let (count, at) = (table.count_at(slot), table.pid_at(slot));
    let pid = section.get(at);
    if pid == 0 {
        // It left in an orderly way; its count is of a round that is over.
        return section.commit(&[(count, 0)]);
    }
    let state = section.get(STATE) | BROKEN;
    section.commit(&[(STATE, state), (DIED, pid), (count, 0), (at, 0)]);
    futex::wake_all(section.mapping.region.word(STATE));
}

/// Lets a number of tasks of several processes go on together, again and again; Python's
/// `multiprocessing.Barrier`.
///
/// A process that dies without having given its handles of the barrier up breaks it: then
/// waiting is an error for all, until it is [`reset`](Barrier::reset). (So does one that ends
/// by `std::process::exit` with a handle in its hands.) Give a clone to another process as an
/// argument; the clones are all the same barrier.
///
/// # Examples
///
/// ```
/// use ropewalk_process::shared::Barrier;
///
/// let barrier = Barrier::new(3).unwrap();
/// let leaders = ropewalk_rt::scope(|s| {
///     let all: Vec<_> = (0..3).map(|_| s.spawn(|| barrier.wait().unwrap())).collect();
///     let results = all.into_iter().map(|one| one.join().unwrap());
///     results.filter(|result| result.is_leader()).count()
/// });
/// assert_eq!(leaders, 1);
/// ```
#[derive(Clone)]
pub struct Barrier {
    pub(super) mapping: Arc<Mapping>,
}

/// Says whether its holder came last to a shared [`Barrier`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// Says whether this is the one of its round that came last.
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

/// Why waiting at a shared [`Barrier`] ended before all had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarrierError {
    /// It is broken.
    Broken {
        /// The process whose death did it, if it was that and its id is known.
        died: Option<u32>,
    },
    /// The time was over. The caller is not counted as having come.
    Timeout,
    /// The caller was cancelled. It is not counted as having come.
    Cancelled,
}

impl BarrierError {
    /// Says whether the barrier is broken.
    pub fn is_broken(&self) -> bool {
        matches!(self, BarrierError::Broken { .. })
    }
}

impl fmt::Display for BarrierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BarrierError::Broken { died: Some(pid) } => {
                write!(f, "the barrier is broken: process {pid} died")
            }
            BarrierError::Broken { died: None } => f.write_str("the barrier is broken"),
            BarrierError::Timeout => f.write_str("timed out waiting at the barrier"),
            BarrierError::Cancelled => f.write_str("cancelled while waiting at the barrier"),
        }
    }
}

impl std::error::Error for BarrierError {}

impl From<Stop> for BarrierError {
    fn from(stop: Stop) -> BarrierError {
        match stop {
            Stop::Timeout => BarrierError::Timeout,
            Stop::Cancelled => BarrierError::Cancelled,
        }
    }
}

impl Barrier {
    /// Makes a barrier that lets `parties` at a time go. With 0 or 1 nobody ever waits.
    ///
    /// # Errors
    ///
    /// If the system gives no memory or descriptor for it, or there are more than 65,535 parties.
    pub fn new(parties: usize) -> io::Result<Barrier> {
        let too_many = |_| io::Error::new(io::ErrorKind::InvalidInput, "too many parties");
        let parties = u16::try_from(parties).map_err(too_many)?;
        let mapping = Mapping::create(&KIND, 0, 0, |region| {
            region
                .word(PARTIES)
                .store(parties.into(), Ordering::Relaxed);
        })?;
        Ok(Barrier { mapping })
    }

    /// How many it lets go at a time.
    pub fn parties(&self) -> usize {
        self.mapping.region.word(PARTIES).load(Ordering::Relaxed) as usize
    }

    /// How many wait at this moment.
    pub fn waiting(&self) -> usize {
        self.mapping.region.word(ARRIVED).load(Ordering::Relaxed) as usize
    }

    /// Says whether it is broken.
    pub fn is_broken(&self) -> bool {
        self.state() & BROKEN != 0
    }

    /// Waits until all have come. Not a cancellation point: the others rely on this one.
    ///
    /// # Errors
    ///
    /// If the barrier is broken, or breaks meanwhile.
    ///
    /// # Panics
    ///
    /// If it must wait inside [`no_wait`](ropewalk_rt::coroutine::no_wait).
    pub fn wait(&self) -> Result<BarrierWaitResult, BarrierError> {
        self.wait_within(Limit::NONE)
    }

    /// Waits until all have come, or the caller is cancelled.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait), and if the caller is cancelled.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_cancellable(&self) -> Result<BarrierWaitResult, BarrierError> {
        self.wait_within(Limit::CANCELLABLE)
    }

    /// Waits until all have come, for `timeout` at most.
    ///
    /// # Errors
    ///
    /// As [`wait_cancellable`](Self::wait_cancellable), and if the time is over.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<BarrierWaitResult, BarrierError> {
        self.wait_within(Limit::within(timeout))
    }

    /// Waits until all have come, until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`wait_timeout`](Self::wait_timeout).
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_deadline(&self, deadline: Instant) -> Result<BarrierWaitResult, BarrierError> {
        self.wait_within(Limit::until(deadline))
    }

    /// Breaks it: who waits, and who comes, gets an error until it is reset.
    pub fn abort(&self) {
        let mut section = self.mapping.enter_now();
        section.commit(&[(STATE, section.get(STATE) | BROKEN), (DIED, 0)]);
        drop(section);
        futex::wake_all(self.mapping.region.word(STATE));
    }

    /// Makes it whole and empty again. Who waits gets the error that it is broken.
    pub fn reset(&self) {
        let mut section = self.mapping.enter_now();
        section.bury_dead();
        let state = section.get(STATE);
        if state & BROKEN == 0 && section.get(ARRIVED) == 0 {
            return;
        }
        let history = section.get(HISTORY) << 1 | 1;
        section.commit(&[
            (STATE, next_round(state)),
            (ARRIVED, 0),
            (HISTORY, history),
            (DIED, 0),
        ]);
        drop(section);
        futex::wake_all(self.mapping.region.word(STATE));
    }

    fn state(&self) -> u32 {
        self.mapping.region.word(STATE).load(Ordering::Acquire)
    }

    fn broken(&self) -> BarrierError {
        let pid = self.mapping.region.word(DIED).load(Ordering::Acquire);
        let died = (pid != 0).then_some(pid);
        BarrierError::Broken { died }
    }

    fn wait_within(&self, limit: Limit) -> Result<BarrierWaitResult, BarrierError> {
        wait::spend();
        let Some(state) = self.arrive()? else {
            return Ok(BarrierWaitResult(true));
        };
        let mut slices = Slices::new();
        let mut look = true;
        loop {
            if look {
                self.mapping.enter_now().bury_dead();
            }
            if let Some(ended) = self.ended(state) {
                return ended;
            }
            match self.mapping.sleep(STATE, state, limit, &mut slices) {
                Ok(pause) => look = pause == Pause::SliceOver,
                Err(stop) => {
                    return match self.leave(state) {
                        Some(ended) => ended,
                        None => Err(stop.into()),
                    };
                }
            }
        }
    }

    /// Is counted; gives the state to wait in, or `None` to the last of a round.
    pub(super) fn arrive(&self) -> Result<Option<u32>, BarrierError> {
        let mut section = self.mapping.enter_now();
        let arrived = section.get(ARRIVED).saturating_add(1);
        let last = arrived >= section.get(PARTIES);
        if last {
            // One that had come and died does not count as having come.
            section.bury_dead();
        }
        let state = section.get(STATE);
        if state & BROKEN != 0 {
            return Err(self.broken());
        }
        if last {
            let history = section.get(HISTORY) << 1;
            section.commit(&[(STATE, next_round(state)), (ARRIVED, 0), (HISTORY, history)]);
            drop(section);
            futex::wake_all(self.mapping.region.word(STATE));
            return Ok(None);
        }
        let (count, mine) = self.mine(&section, state);
        section.commit(&[(ARRIVED, arrived), (count, mine.wrapping_add(1))]);
        Ok(Some(state))
    }

    /// Is not counted any more, unless the round has ended.
    fn leave(&self, state: u32) -> Option<Result<BarrierWaitResult, BarrierError>> {
        let mut section = self.mapping.enter_now();
        if let Some(ended) = self.ended(state) {
            return Some(ended);
        }
        let arrived = section.get(ARRIVED).saturating_sub(1);
        let (count, mine) = self.mine(&section, state);
        // The round stands above the count.
        let mine = if mine & 0xffff > 1 { mine - 1 } else { 0 };
        section.commit(&[(ARRIVED, arrived), (count, mine)]);
        None
    }

    /// Where this process's count stands, and what it is in the round of `state`: the round in
    /// its upper half, the count in its lower.
    fn mine(&self, section: &Section<'_>, state: u32) -> (usize, u32) {
        let count = self.mapping.table().count_at(self.mapping.slot());
        let round = (state >> 1) << 16;
        let now = section.get(count);
        let mine = if now & 0xffff_0000 == round {
            now
        } else {
            round
        };
        (count, mine)
    }

    /// How the round that `state` stands for has ended, if it has.
    pub(super) fn ended(&self, state: u32) -> Option<Result<BarrierWaitResult, BarrierError>> {
        let now = self.state();
        if now == state {
            return None;
        }
        // Rounds since then; the history of the one that ended last is its lowest bit.
        let since = (now >> 1).wrapping_sub(state >> 1) & (u32::MAX >> 1);
        let whole = match since {
            0 => false,
            1..=32 => {
                let history = self.mapping.region.word(HISTORY).load(Ordering::Acquire);
                history >> (since - 1) & 1 == 0
            }
            _ => false,
        };
        Some(if whole {
            Ok(BarrierWaitResult(false))
        } else {
            Err(self.broken())
        })
    }
}

fn next_round(state: u32) -> u32 {
    (state & !BROKEN).wrapping_add(2)
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier")
            .field("parties", &self.parties())
            .field("waiting", &self.waiting())
            .field("is_broken", &self.is_broken())
            .finish_non_exhaustive()
    }
}
