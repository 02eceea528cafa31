//! A word by which one side sleeps until the other has something for it.
//!
//! # States
//!
//! ```text
//!   AWAKE ──sleeper──▶ ASLEEP ──ringer, swap, then futex wake──▶ AWAKE
//!     └────sleeper───▶ NAPPING (has set itself an alarm: ring only if it matters)
//! ```
//!
//! # Orderings
//!
//! The sleeper stores ASLEEP and then looks once more for work; the ringer publishes work and then
//! looks at the word. A `SeqCst` fence between the two steps on either side makes sure that
//! not both miss the other (the store-buffer pattern). The price on the ringer's side is a fence
//! for each batch it publishes, and no system call as long as the sleeper is awake.
//!
//! # A ringer that dies
//!
//! A worker killed between its swap and the wake leaves the parent asleep with the word AWAKE. So
//! whoever learns of a death calls [`Bell::ring_always`], after which the parent looks at all
//! its workers. The other way round there is nothing to mend: without its parent a worker ends.

use std::sync::atomic::{Ordering, fence};
use std::time::Instant;

use crate::memory::{Region, futex};

const AWAKE: u32 = 0;
const ASLEEP: u32 = 1;
const NAPPING: u32 = 2;

/// The bell of one sleeper.
#[derive(Clone, Copy)]
pub(crate) struct Bell<'r> {
    region: &'r Region,
    offset: usize,
}

impl<'r> Bell<'r> {
    /// The bell whose word is at `offset`.
    pub(crate) fn new(region: &'r Region, offset: usize) -> Bell<'r> {
        Bell { region, offset }
    }

    /// Wakes the sleeper if it sleeps; `urgent` also if it naps. Says whether it was woken.
    pub(crate) fn ring(&self, urgent: bool) -> bool {
        let word = self.region.word(self.offset);
        fence(Ordering::SeqCst);
        match word.load(Ordering::Relaxed) {
            ASLEEP => {}
            NAPPING if urgent => {}
            _ => return false,
        }
        if word.swap(AWAKE, Ordering::SeqCst) == AWAKE {
            return false;
        }
        futex::wake(word, 1);
        true
    }

    /// Wakes the sleeper whatever the word says.
    pub(crate) fn ring_always(&self) {
        let word = self.region.word(self.offset);
        fence(Ordering::SeqCst);
        word.store(AWAKE, Ordering::SeqCst);
        futex::wake_all(word);
    }

    /// Sleeps until somebody rings or `deadline` passes, unless `has_work` finds some; blocks the
    /// thread. It may also come back for no reason. A `nap` is only ended early by an urgent ring.
    pub(crate) fn sleep(
        &self,
        nap: bool,
        deadline: Option<Instant>,
        has_work: impl FnOnce() -> bool,
    ) {
        let word = self.region.word(self.offset);
        let state = if nap { NAPPING } else { ASLEEP };
        word.store(state, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if !has_work() {
            futex::wait(word, state, deadline);
        }
        word.store(AWAKE, Ordering::Relaxed);
    }
}

/// How long to look for work before going to sleep, learnt from whether it helped.
///
/// Spinning saves the sleeper's and the ringer's system call, but on a machine with few cores it
/// takes the processor from whoever would bring the work. So the time is halved when it was in vain
/// and doubled when it was not; a spin in vain costs less and less, down to a few looks.
pub(crate) struct Spin {
    ns: u64,
    most_ns: u64,
}

impl Spin {
    const LEAST_NS: u64 = 500;

    /// Up to `most_ns` at a time.
    pub(crate) fn new(most_ns: u64) -> Spin {
        Spin {
            ns: most_ns / 4,
            most_ns,
        }
    }

    /// Looks until `found` or the time is over; says which.
    pub(crate) fn until(&mut self, mut found: impl FnMut() -> bool) -> bool {
        let mut looks = 0_u32;
        let mut until = 0;
        loop {
            if found() {
                self.ns = (self.ns * 2).clamp(Self::LEAST_NS, self.most_ns);
                return true;
            }
            std::hint::spin_loop();
            looks += 1;
            if looks.is_multiple_of(32) {
                let now = super::now_ns();
                if until == 0 {
                    until = now + self.ns;
                } else if now >= until {
                    self.ns = (self.ns / 2).max(Self::LEAST_NS);
                    return false;
                }
            }
        }
    }
}
