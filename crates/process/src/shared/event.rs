//! A flag that tasks of several processes wait for.
//!
//! # States
//!
//! One word: the flag in its lowest bit, above it how often it was raised. A waiter keeps the
//! word it saw, flag down, and goes as soon as the word is another; so it goes also if the flag
//! was taken down again before it could look.
//!
//! Raising is one read-modify-write and then a wake for all. Killed in between, the flag is up
//! and the sleepers find it so after their slice. Nobody counts sleepers, so a killed one leaves
//! nothing behind.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ropewalk_kernel::wait;
use ropewalk_rt::cancel::{Cancelled, WaitError};

use super::mapping::{Kind, Mapping};
use super::section::OWN;
use super::sleeping::{Limit, Slices, Stop};
use crate::memory::futex;

pub(super) static KIND: Kind = Kind {
    number: 9,
    name: "event",
    bury: |_, _| {},
};

const STATE: usize = OWN;
const SET: u32 = 1;
const ONE_RAISE: u32 = 2;

/// A flag that several processes share; Python's `multiprocessing.Event`.
///
/// Who waited when [`set`](Event::set) was called goes on, even if the flag is cleared at once
/// afterwards. Give a clone to another process as an argument; the clones are all the same
/// event. Waiting is a cancellation point.
///
/// # Examples
///
/// ```
/// use ropewalk_process::shared::Event;
///
/// let ready = Event::new().unwrap();
/// let waiter = ropewalk_rt::spawn({
///     let ready = ready.clone();
///     move || ready.wait()
/// });
/// ready.set();
/// assert!(waiter.join().unwrap().is_ok());
/// ```
#[derive(Clone)]
pub struct Event {
    pub(super) mapping: Arc<Mapping>,
}

impl Event {
    /// Makes an event whose flag is down.
    ///
    /// # Errors
    ///
    /// If the system gives no memory or descriptor for it.
    pub fn new() -> io::Result<Event> {
        let mapping = Mapping::create(&KIND, 0, 0, |_| ())?;
        Ok(Event { mapping })
    }

    /// Says whether the flag is up.
    pub fn is_set(&self) -> bool {
        self.state() & SET != 0
    }

    /// Raises the flag and lets everybody go who waits; does nothing if it is up.
    pub fn set(&self) {
        let word = self.mapping.region.word(STATE);
        let raise = |state: u32| (state & SET == 0).then(|| state.wrapping_add(ONE_RAISE) | SET);
        if word
            .fetch_update(Ordering::SeqCst, Ordering::Acquire, raise)
            .is_ok()
        {
            futex::wake_all(word);
        }
    }

    /// Takes the flag down.
    pub fn clear(&self) {
        let word = self.mapping.region.word(STATE);
        word.fetch_and(!SET, Ordering::AcqRel);
    }

    /// Waits until the flag is up.
    ///
    /// # Errors
    ///
    /// If the caller is cancelled while it waits. A flag that is up already counts first.
    ///
    /// # Panics
    ///
    /// If it must wait inside [`no_wait`](ropewalk_rt::coroutine::no_wait).
    pub fn wait(&self) -> Result<(), Cancelled> {
        self.wait_within(Limit::CANCELLABLE)
            .map_err(Stop::only_cancelled)
    }

    /// Waits until the flag is up, for `timeout` at most.
    ///
    /// # Errors
    ///
    /// If the time is over, or the caller is cancelled while it waits.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<(), WaitError> {
        Ok(self.wait_within(Limit::within(timeout))?)
    }

    /// Waits until the flag is up, until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`wait_timeout`](Self::wait_timeout).
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_deadline(&self, deadline: Instant) -> Result<(), WaitError> {
        Ok(self.wait_within(Limit::until(deadline))?)
    }

    fn state(&self) -> u32 {
        self.mapping.region.word(STATE).load(Ordering::Acquire)
    }

    fn wait_within(&self, limit: Limit) -> Result<(), Stop> {
        let seen = self.state();
        if seen & SET != 0 {
            wait::spend();
            return Ok(());
        }
        let mut slices = Slices::new();
        loop {
            let pause = self.mapping.sleep(STATE, seen, limit, &mut slices);
            if self.state() != seen {
                return Ok(());
            }
            pause?;
        }
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("is_set", &self.is_set())
            .finish_non_exhaustive()
    }
}
