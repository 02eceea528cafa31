//! Changing several words of a shared object as if it were one step, whoever is killed.
//!
//! # States
//!
//! A [`Section`] holds the object's lock. Inside it words are read freely; changes are made by
//! [`commit`](Section::commit) only, all at once:
//!
//! 1. what will be written is noted in the log: words with their offsets, and one range of bytes;
//! 2. the log is declared complete: one store, after which the change has happened;
//! 3. it is written to where it belongs;
//! 4. the log is declared empty.
//!
//! Killed before 2, nothing was changed. Killed between 2 and 4, the next holder of the lock
//! learns that its predecessor died and does 3 (again) and 4 before anything else; doing 3 twice
//! is no different from once, as nobody else was in between. A change of a single word, or of
//! one aligned element of up to 8 bytes, is one store and needs no log.
//!
//! # Readers without the lock
//!
//! The version is odd while a range is being written and raised by each. Who reads a range
//! without the lock reads the version before and after (see [`Mapping::read_range`]); odd or
//! changed, what was read is thrown away. A dead writer leaves it odd or the log complete, and
//! readers then go through the lock, which repairs both.
//!
//! # Orderings
//!
//! The writer makes the version odd, then a `Release` fence, then the data; the reader reads
//! the data, then an `Acquire` fence, then the version: if any of the data is new, so is the
//! version it sees. Making it even is a `Release` store, which the reader's first load acquires.
//! Completing the log is a `Release` store so that no compiler moves the notes behind it; that
//! the next holder sees them is argued in `word`.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use ropewalk_rt::cancel;
use ropewalk_rt::sync::{MutexExt, MutexGuard};

use super::mapping::{LOG, Mapping, WORDS};
use super::sleeping::{Limit, Stop};
use super::steps::{copy_in, is_killed, step};
use crate::memory::Region;

const LOCK: usize = WORDS;
pub(super) const VERSION: usize = WORDS + 4;
/// Where an object's own words begin.
pub(crate) const OWN: usize = WORDS + 8;

const ENTRIES: usize = LOG + 32;
const ENTRIES_MAX: usize = 16;
const RANGE_OFFSET: usize = LOG + 8;
const RANGE_LEN: usize = LOG + 16;
const RANGE_NOTES: usize = LOG + 24;
/// In the log's word beside the number of entries: there is a range.
const WITH_RANGE: u32 = 1 << 31;

/// How often a range is read without the lock before the lock is taken.
const UNLOCKED_TRIES: u32 = 16;

/// The lock of an object's memory, held.
pub(crate) struct Section<'a> {
    pub(crate) mapping: &'a Arc<Mapping>,
    _gate: MutexGuard<'a, ()>,
}

/// Bytes to be written, and where in the region they may be noted before.
pub(crate) struct Range<'a> {
    pub(crate) offset: usize,
    pub(crate) bytes: &'a [u8],
    pub(crate) notes: usize,
}

impl Mapping {
    /// Waits for the gate of this process.
    pub(super) fn pass_gate(&self, limit: Limit) -> Result<MutexGuard<'_, ()>, Stop> {
        match (limit.deadline(), limit.is_cancellable()) {
            (None, false) => Ok(self.gate.lock()),
            (None, true) => self.gate.lock_cancellable().map_err(|_| Stop::Cancelled),
            (Some(until), _) => self.gate.try_lock_until(until).ok_or_else(stop_now),
        }
    }

    /// Takes the lock of the memory, and repairs what a dead holder left half done.
    pub(crate) fn enter(self: &Arc<Mapping>, limit: Limit) -> Result<Section<'_>, Stop> {
        let gate = self.pass_gate(limit)?;
        let died = self.lock_word(LOCK, limit)?;
        let section = Section {
            mapping: self,
            _gate: gate,
        };
        step();
        if died.is_some() {
            section.repair();
        }
        Ok(section)
    }

    /// As [`enter`](Self::enter), for as long as it takes.
    pub(crate) fn enter_now(self: &Arc<Mapping>) -> Section<'_> {
        match self.enter(Limit::NONE) {
            Ok(section) => section,
            Err(stop) => stop.never(),
        }
    }

    /// As [`enter`](Self::enter), if it is possible at once.
    pub(crate) fn try_enter(self: &Arc<Mapping>) -> Option<Section<'_>> {
        let gate = self.gate.try_lock()?;
        let died = self.try_lock_word(LOCK)?;
        let section = Section {
            mapping: self,
            _gate: gate,
        };
        step();
        if died.is_some() {
            section.repair();
        }
        Some(section)
    }

    /// Reads a range as it was at one moment; waits for a section only if writers never pause.
    pub(crate) fn read_range(self: &Arc<Mapping>, offset: usize, bytes: &mut [u8]) {
        let version = self.region.word(VERSION);
        for _ in 0..UNLOCKED_TRIES {
            let before = version.load(Ordering::Acquire);
            if before.is_multiple_of(2) {
                copy_out(&self.region, offset, bytes);
                fence(Ordering::Acquire);
                if version.load(Ordering::Relaxed) == before {
                    return;
                }
            }
            std::hint::spin_loop();
        }
        let section = self.enter_now();
        copy_out(&section.mapping.region, offset, bytes);
    }
}

/// Why a timed wait has ended just now.
pub(super) fn stop_now() -> Stop {
    match cancel::check() {
        Ok(()) => Stop::Timeout,
        Err(_) => Stop::Cancelled,
    }
}

impl Section<'_> {
    /// Reads a word.
    pub(crate) fn get(&self, offset: usize) -> u32 {
        self.mapping.region.word(offset).load(Ordering::Relaxed)
    }

    /// Changes these words, all or none of them, whenever this process is killed.
    pub(crate) fn commit(&mut self, words: &[(usize, u32)]) {
        let region = &self.mapping.region;
        match words {
            [] => return,
            [(offset, value)] => return region.word(*offset).store(*value, Ordering::Release),
            _ => {}
        }
        self.note_words(words);
        region
            .word(LOG)
            .store(words.len() as u32, Ordering::Release);
        step();
        self.apply(words.len());
        region.word(LOG).store(0, Ordering::Release);
        step();
    }

    /// Writes this range, all or nothing of it, whenever this process is killed; readers
    /// without the lock see all or nothing of it too.
    pub(crate) fn commit_range(&mut self, range: Range<'_>) {
        let region = &self.mapping.region;
        let len = range.bytes.len();
        if len == 0 {
            return;
        }
        if matches!(len, 1 | 2 | 4 | 8) && range.offset.is_multiple_of(len) {
            self.write(|| store(region, range.offset, range.bytes));
            return;
        }
        copy_in(region, range.notes, range.bytes);
        for (at, value) in [
            (RANGE_OFFSET, range.offset),
            (RANGE_LEN, len),
            (RANGE_NOTES, range.notes),
        ] {
            region.long(at).store(value as u64, Ordering::Relaxed);
            step();
        }
        region.word(LOG).store(WITH_RANGE, Ordering::Release);
        step();
        self.write(|| copy_in(region, range.offset, range.bytes));
        region.word(LOG).store(0, Ordering::Release);
        step();
    }

    /// Settles the affairs of a participant that died, if there are any.
    pub(crate) fn bury(&mut self, slot: usize) {
        (self.mapping.kind.bury)(self, slot);
    }

    /// Settles the affairs of all who died.
    pub(crate) fn bury_dead(&mut self) {
        let table = self.mapping.table();
        let region = &self.mapping.region;
        for slot in table.used(region) {
            if slot != self.mapping.slot()
                && (self.get(table.count_at(slot)) != 0 || self.get(table.pid_at(slot)) != 0)
                && table.is_empty(region, slot)
            {
                self.bury(slot);
            }
        }
    }

    fn note_words(&self, words: &[(usize, u32)]) {
        assert!(words.len() <= ENTRIES_MAX, "too many words for one step");
        for (index, (offset, value)) in words.iter().enumerate() {
            let at = ENTRIES + index * 8;
            let region = &self.mapping.region;
            region.word(at).store(*offset as u32, Ordering::Relaxed);
            region.word(at + 4).store(*value, Ordering::Relaxed);
            step();
        }
    }

    /// Writes the words noted in the log to where they belong.
    fn apply(&self, words: usize) {
        let region = &self.mapping.region;
        for index in 0..words.min(ENTRIES_MAX) {
            let at = ENTRIES + index * 8;
            let offset = self.get(at) as usize;
            // What is not a word of ours was not noted by us: the memory is damaged.
            if offset.is_multiple_of(4) && offset >= WORDS && offset + 4 <= region.len() {
                region
                    .word(offset)
                    .store(self.get(at + 4), Ordering::Release);
                step();
            }
        }
    }

    /// Changes a range under an odd version.
    fn write(&self, change: impl FnOnce()) {
        let version = self.mapping.region.word(VERSION);
        // Odd already after a death.
        let odd = version.load(Ordering::Relaxed) | 1;
        version.store(odd, Ordering::Relaxed);
        fence(Ordering::Release);
        step();
        change();
        version.store(odd.wrapping_add(1), Ordering::Release);
        step();
    }

    /// Finishes what the previous holder had declared complete.
    fn repair(&self) {
        let region = &self.mapping.region;
        let log = region.word(LOG).load(Ordering::Acquire);
        if log & WITH_RANGE != 0 {
            let read = |at| region.long(at).load(Ordering::Relaxed) as usize;
            let (offset, len, notes) = (read(RANGE_OFFSET), read(RANGE_LEN), read(RANGE_NOTES));
            let inside = |start: usize| {
                start
                    .checked_add(len)
                    .is_some_and(|end| end <= region.len())
            };
            if inside(offset) && inside(notes) {
                let mut bytes = Vec::new();
                region.append_to(notes, len, &mut bytes);
                self.write(|| copy_in(region, offset, &bytes));
            }
        } else {
            self.apply(log as usize);
        }
        if !self.get(VERSION).is_multiple_of(2) {
            self.write(|| ());
        }
        region.word(LOG).store(0, Ordering::Release);
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        if !is_killed() {
            self.mapping.unlock_word(LOCK);
        }
    }
}

/// Stores an element of 1, 2, 4 or 8 bytes at once; others byte by byte.
pub(crate) fn store(region: &Region, offset: usize, bytes: &[u8]) {
    match *bytes {
        [a, b] => region
            .short(offset)
            .store(u16::from_ne_bytes([a, b]), Ordering::Relaxed),
        [a, b, c, d] => region
            .word(offset)
            .store(u32::from_ne_bytes([a, b, c, d]), Ordering::Relaxed),
        _ => region.copy_in(offset, bytes),
    }
}

/// Loads an element of 1, 2, 4 or 8 bytes at once if it is aligned; others byte by byte.
pub(crate) fn copy_out(region: &Region, offset: usize, bytes: &mut [u8]) {
    match bytes.len() {
        2 if offset.is_multiple_of(2) => {
            let short = region.short(offset).load(Ordering::Relaxed);
            bytes.copy_from_slice(&short.to_ne_bytes());
        }
        4 if offset.is_multiple_of(4) => {
            let word = region.word(offset).load(Ordering::Relaxed);
            bytes.copy_from_slice(&word.to_ne_bytes());
        }
        _ => region.copy_out(offset, bytes),
    }
}
