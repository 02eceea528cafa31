//! A slot, and the states of its state word.
//!
//! # States
//!
//! The word has the task's position (29 bits of it) and its state:
//!
//! ```text
//!                 worker, CAS            worker
//!         ┌─▶ READY ────────▶ RUNNING ────────▶ DONE ─┐
//!  parent │     │ parent, CAS                          │ parent, once it has the result
//!         │     └───────────▶ REVOKED ───────────────┐ │
//!         └───────────────────────────────────────────┴─┘  (next lap: position + slots)
//! ```
//!
//! READY → RUNNING and READY → REVOKED exclude each other: a task is either run by the worker
//! or taken back by the parent. RUNNING → DONE is the worker's alone. If the worker dies, the
//! one slot in state RUNNING names the task that it took with it.
//!
//! The parent goes past a REVOKED slot when its turn to be collected comes, and may then use it
//! for the next lap before the worker has been there. So a worker that finds a *later* position
//! than the one it is looking for knows that its own was revoked. An earlier position (or a DONE of
//! the lap before) means that the task isn't there yet. Positions are compared modulo 2²⁹, of
//! which a ring has at most 2¹⁶ in use, with whole laps of revoked ones between worker and
//! parent at the very most as long as nobody collects them.
//!
//! # Orderings
//!
//! What is in the slot is written before the state is stored with Release, and read after it
//! was loaded with Acquire (or by a compare-exchange that acquires). READY and DONE are followed by
//! a look at the other side's bell: see `bell` for the fence between.

use std::sync::atomic::Ordering;

use super::{Layout, SLOT_HEAD};
use crate::memory::Region;

pub(crate) const READY: u32 = 1;
pub(crate) const RUNNING: u32 = 2;
pub(crate) const DONE: u32 = 3;
pub(crate) const REVOKED: u32 = 4;

const STATE_BITS: u32 = 3;

/// What a state word says, seen from a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It is about this position.
    This(u32),
    /// About an earlier one.
    Earlier,
    /// About a later one.
    Later,
}

pub(crate) fn word_of(position: u64, state: u32) -> u32 {
    ((position as u32) << STATE_BITS) | state
}

fn seen(word: u32, position: u64) -> Seen {
    let there = word & !((1 << STATE_BITS) - 1);
    let here = (position as u32) << STATE_BITS;
    match there.wrapping_sub(here) as i32 {
        0 => Seen::This(word & ((1 << STATE_BITS) - 1)),
        less if less < 0 => Seen::Earlier,
        _ => Seen::Later,
    }
}

/// Where a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the slot.
    Inline,
    /// In the arena of its direction, at this offset from the arena's start.
    Arena(u32),
    /// In a file that comes separately.
    Parcel,
}

const IN_SLOT: u32 = 0;
const IN_ARENA: u32 = 1;
const IN_PARCEL: u32 = 2;

/// What stands in a slot before the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// What to call, or how it came out; the pool's business.
    pub(crate) code: u32,
    pub(crate) place: Place,
    /// The payload's length.
    pub(crate) len: u64,
    /// Of a result: how long the task took.
    pub(crate) spent_ns: u64,
}

/// One slot of a mapping.
#[derive(Clone, Copy)]
pub(crate) struct Slot<'r> {
    region: &'r Region,
    offset: usize,
    position: u64,
}

impl<'r> Slot<'r> {
    pub(crate) fn new(region: &'r Region, layout: &Layout, position: u64) -> Slot<'r> {
        Slot {
            region,
            offset: layout.slot(position),
            position,
        }
    }

    /// Looks at the state; acquires what it publishes.
    pub(crate) fn look(&self) -> Seen {
        let word = self.region.word(self.offset).load(Ordering::Acquire);
        seen(word, self.position)
    }

    /// Publishes what was written.
    pub(crate) fn publish(&self, state: u32) {
        let word = word_of(self.position, state);
        self.region.word(self.offset).store(word, Ordering::Release);
    }

    /// Moves from READY to `state`; says whether it was READY.
    pub(crate) fn take_ready(&self, state: u32) -> bool {
        let from = word_of(self.position, READY);
        let to = word_of(self.position, state);
        self.region
            .word(self.offset)
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    pub(crate) fn write_head(&self, head: Head) {
        let (place, offset) = match head.place {
            Place::Inline => (IN_SLOT, 0),
            Place::Arena(offset) => (IN_ARENA, offset),
            Place::Parcel => (IN_PARCEL, 0),
        };
        let word = |at: usize, value| {
            self.region
                .word(self.offset + at)
                .store(value, Ordering::Relaxed);
        };
        word(4, head.code);
        word(8, place);
        word(12, offset);
        let long = |at: usize, value| {
            self.region
                .long(self.offset + at)
                .store(value, Ordering::Relaxed);
        };
        long(16, head.len);
        long(24, head.spent_ns);
    }

    /// Reads each word of the head once. `None` if it names no place there is.
    pub(crate) fn read_head(&self) -> Option<Head> {
        let word = |at: usize| self.region.word(self.offset + at).load(Ordering::Relaxed);
        let long = |at: usize| self.region.long(self.offset + at).load(Ordering::Relaxed);
        let place = match word(8) {
            IN_SLOT => Place::Inline,
            IN_ARENA => Place::Arena(word(12)),
            IN_PARCEL => Place::Parcel,
            _ => return None,
        };
        Some(Head {
            code: word(4),
            place,
            len: long(16),
            spent_ns: long(24),
        })
    }

    /// Where an inline payload is in the mapping.
    pub(crate) fn inline(&self) -> usize {
        self.offset + SLOT_HEAD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_compared_around_the_wrap() {
        let wrap = 1 << 29;
        for at in [0, 1, 255, wrap - 1, wrap, wrap + 5, 7 * wrap + 3] {
            assert_eq!(seen(word_of(at, READY), at), Seen::This(READY));
            assert_eq!(seen(word_of(at + 256, REVOKED), at), Seen::Later);
            assert_eq!(seen(word_of(at, DONE), at + 256), Seen::Earlier);
        }
    }

    #[test]
    fn fresh_memory_is_about_nothing_yet() {
        assert_eq!(seen(0, 0), Seen::This(0));
        assert_eq!(seen(0, 1), Seen::Earlier);
        assert_eq!(seen(0, 255), Seen::Earlier);
    }

    #[test]
    fn a_head_is_read_as_written_and_a_strange_place_refused() {
        let layout = Layout {
            slots: 4,
            arena: 4096,
        };
        let region = Region::new(layout.bytes()).unwrap();
        let slot = Slot::new(&region, &layout, 6);
        let head = Head {
            code: 7,
            place: Place::Arena(64),
            len: 1 << 40,
            spent_ns: u64::MAX,
        };
        slot.write_head(head);
        assert_eq!(slot.read_head(), Some(head));
        region.word(layout.slot(6) + 8).store(99, Ordering::Relaxed);
        assert_eq!(slot.read_head(), None);
    }

    #[test]
    fn a_ready_task_is_either_run_or_revoked() {
        let layout = Layout { slots: 4, arena: 0 };
        let region = Region::new(layout.bytes()).unwrap();
        let slot = Slot::new(&region, &layout, 2);
        assert!(!slot.take_ready(RUNNING));
        slot.publish(READY);
        assert!(slot.take_ready(RUNNING));
        assert!(!slot.take_ready(REVOKED));
        assert_eq!(slot.look(), Seen::This(RUNNING));
    }
}
