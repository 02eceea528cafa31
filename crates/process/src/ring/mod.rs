//! The way between a pool and one of its workers: one mapping, in which tasks go one way and
//! results the other, without a system call and without a lock that a killed worker could hold.
//!
//! `slot` has the states of a slot, `sender` and `reader` the parent's two sides, `runner` the
//! worker's, `bell` how each is woken, `arena` the room for what doesn't fit into a slot,
//! and `parcel` how what fits nowhere travels: in a sealed file of its own.
//!
//! # The mapping
//!
//! ```text
//!   header                       slots                     arena out        arena back
//!   bells, counters, status │ N × 256 bytes │ payloads of tasks │ payloads of results
//! ```
//!
//! A slot is one task's whole life: the parent writes the task into it, the worker runs it and
//! writes its result into the same slot. Tasks are run in the order of their slots, so results
//! come in that order too. There are no indices to be read from the mapping: the place of each
//! side is its own secret, and whether it may go on stands in the slot's state word. Slot `p % N`
//! is used again for the task `p + N` once the parent has taken the result of `p`: so a worker
//! that was given a task always has room for its result, and never waits for the parent.
//!
//! # Trust
//!
//! The worker may be killed at any instruction, and may write anything anywhere in the mapping.
//! So the parent copies out what it reads there, checks it, and then believes only this much:
//! that these bytes are what the worker claims to be a result. What tasks are where, which payload
//! they had and whether they were taken back is known from the parent's own memory. The
//! worker trusts the parent, who could have started anything in its place, but reads nothing
//! through references either.

pub(crate) mod arena;
pub(crate) mod bell;
pub(crate) mod parcel;
pub(crate) mod payload;
pub(crate) mod reader;
pub(crate) mod runner;
pub(crate) mod sender;
pub(crate) mod slot;

#[cfg(test)]
mod tests;

use std::io;

use serde::{Deserialize, Serialize};

use crate::memory::Region;

/// Bytes of a slot: four cache lines.
pub(crate) const SLOT: usize = 256;
/// Bytes of a slot before its payload.
pub(crate) const SLOT_HEAD: usize = 32;
/// The largest payload that fits into a slot.
pub(crate) const INLINE: usize = SLOT - SLOT_HEAD;

/// Offsets in the header, a cache line for each writer.
pub(crate) mod header {
    /// Word: 1 while the worker sleeps. A [`Bell`](super::bell::Bell).
    pub(crate) const WORKER_BELL: usize = 0;
    /// Word, written by the parent: how many slots it has finished with, modulo 2³².
    pub(crate) const COLLECTED: usize = 64;
    /// Word, written by the parent: not 0 if the worker is to end once it has nothing to run.
    pub(crate) const STOP: usize = 68;
    /// Long, written by the worker: tasks it has run.
    pub(crate) const DONE: usize = 128;
    /// Long, likewise: nanoseconds it has spent on them.
    pub(crate) const BUSY_NS: usize = 136;
    /// Long, likewise: its resident memory in bytes, when it last looked.
    pub(crate) const RESIDENT: usize = 144;
    /// Long, likewise: when the task it runs was begun, in nanoseconds of the monotonic clock.
    pub(crate) const BEGUN_NS: usize = 152;
    /// How long the header is.
    pub(crate) const BYTES: usize = 256;
}

/// How a mapping is divided; the worker is told at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Layout {
    /// How many slots; a power of two.
    pub(crate) slots: u32,
    /// Bytes of each of the two arenas.
    pub(crate) arena: u32,
}

impl Layout {
    /// Bytes of the whole.
    pub(crate) fn bytes(&self) -> usize {
        self.arena_back() + self.arena as usize
    }

    /// Where the payloads of tasks are.
    pub(crate) fn arena_out(&self) -> usize {
        header::BYTES + self.slots as usize * SLOT
    }

    /// Where the payloads of results are.
    pub(crate) fn arena_back(&self) -> usize {
        self.arena_out() + self.arena as usize
    }

    /// The largest payload that is put into an arena: a quarter of it, so that several find
    /// room. What is larger goes as a parcel.
    pub(crate) fn arena_max(&self) -> usize {
        self.arena as usize / 4
    }

    /// Where the slot of a position is.
    pub(crate) fn slot(&self, position: u64) -> usize {
        let index = position & u64::from(self.slots - 1);
        header::BYTES + index as usize * SLOT
    }

    /// Refuses a region that is too small for this, or a layout that makes no sense.
    pub(crate) fn check(&self, region: &Region) -> io::Result<()> {
        let sound = self.slots.is_power_of_two()
            && self.slots <= 1 << 16
            && self.arena.is_multiple_of(64)
            && region.len() >= self.bytes();
        if sound {
            return Ok(());
        }
        let why = "a worker's memory is not divided as its parent says";
        Err(io::Error::new(io::ErrorKind::InvalidData, why))
    }
}

/// The monotonic clock, which is the same for all processes of a machine.
pub(crate) fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    // Neither is ever negative on this clock.
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
