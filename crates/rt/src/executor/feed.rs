//! What is under way for a map: takes items from the input, starts them in chunks, and holds what
//! runs until its results are given.
//!
//! All of it happens in the calls of `next`; between them nothing is taken from the input. Who
//! runs a chunk leaves its place and the time of its end with the [`Ends`], and that is all that
//! is shared.
//!
//! # Order of things in a call
//!
//! Results at hand are given at once. Else what has ended is noted, and if the chunk that is due is
//! among it, its results are next; before they are given, up to two chunks are started, so that the pool
//! has more to do, not less, while the caller deals with them. Else one chunk is started after
//! the other until the buffer or the pool is full, and only then the caller waits.
//!
//! A pool that is full is waited for only while nothing of ours is under way and there is no result at
//! hand; else what ends of ours makes room. So a map over a pool that others use makes progress,
//! if they do.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ropewalk_kernel::clock;
use ropewalk_kernel::wait::{Limit, spend};

use super::progress::Watched;
use super::sizes::{Sizes, TARGET_NS};
use super::starting::sealed::Start;
use super::starting::{Chunk, Running, share, take_begun};
use super::{Patience, Refusal};
use crate::JoinError;
use crate::cancel::WaitError;
use crate::results::Arrivals;
use crate::results::sealed::Source;

/// Where those who run a chunk say that it has ended.
struct Ends {
    arrivals: Arrivals,
    /// By place.
    times: Mutex<Vec<Times>>,
}

/// When a chunk was begun, if that is known, and when it ended: clock nanoseconds.
#[derive(Clone, Copy, Default)]
struct Times {
    begun: Option<u64>,
    ended: u64,
}

impl Ends {
    fn times(&self) -> MutexGuard<'_, Vec<Times>> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, place: usize) {
        let times = Times {
            begun: take_begun(),
            ended: clock::now_ns(),
        };
        self.times()[place] = times;
        self.arrivals.add(place);
    }
}

/// A chunk under way.
struct Slot<R> {
    /// The number of its first item.
    first: usize,
    len: usize,
    submitted: u64,
    ended: bool,
    running: Running<R>,
}

/// What came of an attempt to start a chunk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Started {
    Yes,
    /// The buffer or the pool is full.
    NoRoom,
    NothingLeft,
}

pub(super) struct Feed<'p, S: Start, I> {
    starter: S,
    /// The input, until it has ended or is not to be asked any more.
    items: Option<I>,
    /// Packed, but not taken by the pool yet: number of the first, length, and the work itself.
    refused: Option<(usize, usize, S::Work)>,
    /// To be started one by one.
    singly: VecDeque<S::Item>,
    /// How many were taken from the input, and of those, how many given.
    taken: usize,
    given: usize,
    /// How many are over.
    over: u64,
    slots: Vec<Option<Slot<S::Output>>>,
    free: Vec<usize>,
    /// The places of the slots in the order in which they are to be given: of all that run, or,
    /// if the order is that in which they come, of those that have ended.
    due: VecDeque<usize>,
    ordered: bool,
    ends: Arc<Ends>,
    /// Results to be given, and the number of the next.
    ready: std::vec::IntoIter<Result<S::Output, JoinError>>,
    number: usize,
    pub(super) sizes: Sizes,
    pub(super) buffer: Option<usize>,
    pub(super) watched: Option<Watched<'p>>,
    /// Whether it took long to take the last chunk from the input.
    is_slow: bool,
}

/// An item's result, and its number.
type Numbered<T> = (usize, Result<T, JoinError>);

impl<'p, S: Start, I: Iterator<Item = S::Item>> Feed<'p, S, I> {
    pub(super) fn new(starter: S, items: I, ordered: bool) -> Self {
        Feed {
            sizes: Sizes::new(starter.width(), starter.largest_chunk()),
            starter,
            items: Some(items),
            refused: None,
            singly: VecDeque::new(),
            taken: 0,
            given: 0,
            over: 0,
            slots: Vec::new(),
            free: Vec::new(),
            due: VecDeque::new(),
            ordered,
            ends: Arc::new(Ends {
                arrivals: Arrivals::new(),
                times: Mutex::default(),
            }),
            ready: Vec::new().into_iter(),
            number: 0,
            buffer: None,
            watched: None,
            is_slow: false,
        }
    }

    /// The next result and its number; `None` if all were given.
    pub(super) fn next_within(
        &mut self,
        deadline: Option<u64>,
    ) -> Result<Option<Numbered<S::Output>>, WaitError>
    where
        S::Output: Send + 'static,
    {
        if let Some(watched) = &mut self.watched {
            watched.start(left_in(&self.items).map(|total| total as u64));
        }
        loop {
            if let Some(result) = self.ready.next() {
                self.given += 1;
                self.number += 1;
                spend();
                return Ok(Some((self.number - 1, result)));
            }
            self.note_ends();
            if let Some(slot) = self.take_due() {
                self.number = slot.first;
                self.ready = outcomes(slot).into_iter();
                if self.start_next(Patience::No)? == Started::Yes && !self.is_slow {
                    self.start_next(Patience::No)?;
                }
                continue;
            }
            let patience = match deadline {
                _ if self.under_way() > 0 => Patience::No,
                None => Patience::Wait,
                Some(deadline) => Patience::Until(instant_of(deadline)),
            };
            match self.start_next(patience)? {
                Started::Yes => continue,
                Started::NothingLeft if self.under_way() == 0 => {
                    if let Some(watched) = &mut self.watched {
                        watched.finish();
                    }
                    return Ok(None);
                }
                Started::NothingLeft | Started::NoRoom => {}
            }
            let outcome = self.ends.arrivals.wait(Limit::cancellable(deadline));
            if let Some(why) = WaitError::of(outcome) {
                return Err(why);
            }
        }
    }

    /// How many items can come at most: those taken and not given, and those in the input.
    pub(super) fn size_hint(&self) -> (usize, Option<usize>) {
        let most = self
            .items
            .as_ref()
            .map_or(Some(0), |items| items.size_hint().1);
        let here = self.taken - self.given + self.singly.len();
        // The deadline, a cancellation or a closed pool may end it early.
        (0, most.and_then(|most| most.checked_add(here)))
    }

    fn under_way(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Sees who has ended meanwhile.
    fn note_ends(&mut self) {
        let before = self.over;
        while let Some(place) = self.ends.arrivals.take() {
            let Times { begun, ended } = self.ends.times()[place];
            let slot = self.slots[place].as_mut().expect("it ends once");
            slot.ended = true;
            self.over += slot.len as u64;
            if !matches!(slot.running, Running::Refused(_)) {
                let begun = begun.filter(|begun| *begun >= slot.submitted);
                self.sizes.note(slot.len, slot.submitted, begun, ended);
            }
            if !self.ordered {
                self.due.push_back(place);
            }
        }
        if let Some(watched) = &mut self.watched
            && self.over != before
        {
            watched.advance(self.over);
        }
    }

    /// Takes out the chunk whose results are to be given next, if it has ended.
    fn take_due(&mut self) -> Option<Slot<S::Output>> {
        let place = *self.due.front()?;
        let slot = self.slots[place].take_if(|slot| slot.ended)?;
        self.due.pop_front();
        self.free.push(place);
        Some(slot)
    }

    /// Starts the next chunk, if there is room for it; waits for the pool's as it is told.
    fn start_next(&mut self, patience: Patience) -> Result<Started, WaitError>
    where
        S::Output: Send + 'static,
    {
        if self.refused.is_none() {
            match self.pack_next() {
                Ok(packed) => self.refused = Some(packed),
                Err(why) => return Ok(why),
            }
        }
        let (first, len, work) = self.refused.take().expect("there is one");
        let submitted = clock::now_ns();
        let error = match self.starter.start(work, patience) {
            Ok(running) => {
                self.hold(first, len, submitted, running);
                return Ok(Started::Yes);
            }
            Err(error) => error,
        };
        match error.reason {
            Refusal::Full => {
                self.refused = Some((first, len, error.work));
                return Ok(Started::NoRoom);
            }
            Refusal::TimedOut => {
                self.refused = Some((first, len, error.work));
                return Err(WaitError::Timeout);
            }
            Refusal::Cancelled => {
                self.refused = Some((first, len, error.work));
                return Err(WaitError::Cancelled);
            }
            Refusal::Encode(_) if len > 1 => {
                // One of them can't be sent: the others can.
                if let Some(items) = self.starter.unpack(error.work) {
                    self.taken -= len;
                    self.singly.extend(items);
                    return Ok(Started::Yes);
                }
            }
            Refusal::Encode(_) => {}
            // It won't take any more, so no more is taken from the input.
            _ => {
                self.items = None;
                self.singly.clear();
            }
        }
        let refused = share(JoinError::Failed(Box::new(error.reason)), len);
        self.hold(first, len, submitted, Running::Refused(refused));
        Ok(Started::Yes)
    }

    /// Takes the items of the next chunk from the input, if there is room for it in the buffer.
    fn pack_next(&mut self) -> Result<(usize, usize, S::Work), Started> {
        if self.singly.is_empty() && self.items.is_none() {
            return Err(Started::NothingLeft);
        }
        let mut len = match self.singly.len() {
            0 => self.sizes.next(left_in(&self.items), self.buffer),
            _ => 1,
        };
        let here = self.taken - self.given;
        let is_full = match self.buffer {
            Some(buffer) => here > 0 && here + len > buffer,
            None => self.under_way() >= 2 * self.sizes.width(),
        };
        if is_full {
            return Err(Started::NoRoom);
        }
        let chunk = match self.singly.pop_front() {
            Some(item) => vec![item],
            None => self.take_items(len),
        };
        len = chunk.len();
        if len == 0 {
            return Err(Started::NothingLeft);
        }
        let first = self.taken;
        self.taken += len;
        Ok((first, len, self.starter.pack(chunk)))
    }

    /// Takes up to `len` items; fewer, if the input is slow: then those that are there should not wait.
    fn take_items(&mut self, len: usize) -> Vec<S::Item> {
        let mut chunk = Vec::with_capacity(len);
        let (begun, mut tick) = (clock::now_ns(), clock::tick_ns());
        self.is_slow = false;
        while chunk.len() < len && !self.is_slow {
            match self.items.as_mut().and_then(Iterator::next) {
                Some(item) => chunk.push(item),
                None => {
                    self.items = None;
                    break;
                }
            }
            // The exact time costs more than a quick item: asked for now and then, and when
            // it is clear that some has passed.
            let now = clock::tick_ns();
            if now != tick || chunk.len().is_power_of_two() {
                tick = now;
                self.is_slow = clock::now_ns() - begun > TARGET_NS;
            }
        }
        chunk
    }

    fn hold(&mut self, first: usize, len: usize, submitted: u64, running: Running<S::Output>)
    where
        S::Output: Send + 'static,
    {
        let place = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.ends.times().push(Times::default());
            self.slots.len() - 1
        });
        let ends = Arc::clone(&self.ends);
        match &running {
            Running::One(handle) => handle.before_end(move |_| ends.add(place)),
            Running::Many(handle) => handle.before_end(move |_| ends.add(place)),
            Running::Refused(_) => ends.add(place),
        }
        self.slots[place] = Some(Slot {
            first,
            len,
            submitted,
            ended: false,
            running,
        });
        if self.ordered {
            self.due.push_back(place);
        }
    }
}

impl<S: Start, I> Feed<'_, S, I> {
    /// The number of the first item that has not been given.
    pub(super) fn oldest(&self) -> usize {
        if self.ready.len() > 0 {
            return self.number;
        }
        let running = self.slots.iter().flatten().map(|slot| slot.first);
        running.min().unwrap_or(self.taken)
    }

    /// Cancels what is under way, and takes no more.
    pub(super) fn end(&mut self) {
        self.items = None;
        self.singly.clear();
        self.refused = None;
        let mut left: Vec<_> = self.slots.iter().flatten().collect();
        // The last first: else what is queued might begin in the place of what runs.
        left.sort_unstable_by_key(|slot| Reverse(slot.first));
        for slot in left.into_iter().filter(|slot| !slot.ended) {
            match &slot.running {
                Running::One(handle) => handle.cancel(),
                Running::Many(handle) => handle.cancel(),
                Running::Refused(_) => {}
            }
        }
        if let Some(watched) = &mut self.watched {
            watched.finish();
        }
    }
}

impl<S: Start, I> Drop for Feed<'_, S, I> {
    fn drop(&mut self) {
        self.end();
    }
}

/// How many items the input has, if it knows.
fn left_in<I: Iterator>(items: &Option<I>) -> Option<usize> {
    let (least, most) = items.as_ref().map_or((0, Some(0)), I::size_hint);
    most.filter(|most| *most == least)
}

/// What came of a chunk that has ended, or is about to: its callback was called.
fn outcomes<R: Send + 'static>(slot: Slot<R>) -> Chunk<R> {
    match slot.running {
        Running::One(mut handle) => {
            handle.wait_for_end();
            vec![handle.take_result()]
        }
        Running::Many(mut handle) => {
            handle.wait_for_end();
            match handle.take_result() {
                Ok(results) if results.len() == slot.len => results,
                Ok(_) => share(JoinError::Dropped, slot.len),
                Err(error) => share(error, slot.len),
            }
        }
        Running::Refused(results) => results,
    }
}

/// A point on the clock as `std` has it.
fn instant_of(deadline_ns: u64) -> Instant {
    let left = deadline_ns.saturating_sub(clock::now_ns());
    Instant::now() + Duration::from_nanos(left)
}
