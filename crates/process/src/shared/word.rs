//! The lock in one word of shared memory.
//!
//! # States
//!
//! | word | |
//! |---|---|
//! | 0 | free |
//! | slot + 1, generation | held by a task of that participant |
//! | the same with `WAITED` | and somebody may be asleep, to be woken by who unlocks |
//!
//! Locking is a compare-and-swap of 0 for the own slot and generation, unlocking a swap for 0.
//! Who can't lock sets `WAITED` and sleeps on the word; once woken it locks with `WAITED`, as it
//! can't know whether it was the last.
//!
//! # Who is killed, and where
//!
//! - Holding it: the word names somebody who is gone. Whoever wants the lock asks the kernel
//!   about the holder before its first sleep and after every slice of sleep, and then swaps
//!   exactly this word for its own: one of them succeeds, and is told.
//! - Between storing 0 and waking: the lock is free, and the sleepers find it so after their
//!   slice.
//! - Woken and before locking: the same. `WAITED` is lost, so the others aren't woken but by
//!   their slices; each of them sets it again.
//! - As a waiter: the flag stays, and costs one needless wake.
//!
//! # Orderings
//!
//! `Acquire` on taking and `Release` on giving, as ever. What a killed holder wrote is seen by
//! its successor because the kernel releases the dead one's byte lock after its last store,
//! under a lock of the kernel's which the successor's question takes too.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::mapping::Mapping;
use super::participants::Participant;
use super::sleeping::{Limit, Pause, Slices, Stop};

const WAITED: u32 = 1 << 31;
const SLOT_BITS: u32 = 11;
const SPINS: u32 = 60;

/// The previous holder was killed; its process id if that is still known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Died(pub(super) Option<u32>);

impl Participant {
    fn to_word(self) -> u32 {
        (self.slot as u32 + 1) | (self.generation << SLOT_BITS)
    }

    fn of_word(word: u32) -> Participant {
        let word = word & !WAITED;
        Participant {
            slot: ((word & ((1 << SLOT_BITS) - 1)) as usize).wrapping_sub(1),
            generation: word >> SLOT_BITS,
        }
    }
}

impl Mapping {
    /// Takes the lock at `offset` if that is possible at once.
    pub(super) fn try_lock_word(&self, offset: usize) -> Option<Option<Died>> {
        let word = self.region.word(offset);
        let me = self.me.to_word();
        match word.compare_exchange(0, me, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => Some(None),
            Err(seen) => self.lock_after_dead(offset, seen).map(Some),
        }
    }

    /// Takes the lock at `offset`; tells if its holder was killed.
    pub(super) fn lock_word(
        self: &Arc<Mapping>,
        offset: usize,
        limit: Limit,
    ) -> Result<Option<Died>, Stop> {
        let word = self.region.word(offset);
        let me = self.me.to_word();
        let free = |mine| word.compare_exchange_weak(0, mine, Ordering::Acquire, Ordering::Relaxed);
        for _ in 0..SPINS {
            if free(me).is_ok() {
                return Ok(None);
            }
            std::hint::spin_loop();
        }
        let mut slices = Slices::new();
        let mut mine = me;
        let mut look = true;
        loop {
            let seen = word.load(Ordering::Relaxed);
            if seen == 0 {
                if free(mine).is_ok() {
                    return Ok(None);
                }
                continue;
            }
            if look && let Some(died) = self.lock_after_dead(offset, seen) {
                return Ok(Some(died));
            }
            let waited = seen | WAITED;
            if seen != waited
                && word
                    .compare_exchange_weak(seen, waited, Ordering::Relaxed, Ordering::Relaxed)
                    .is_err()
            {
                continue;
            }
            look = self.sleep(offset, waited, limit, &mut slices)? == Pause::SliceOver;
            mine = me | WAITED;
        }
    }

    /// Takes the lock over if the holder that `seen` names is gone.
    fn lock_after_dead(&self, offset: usize, seen: u32) -> Option<Died> {
        let holder = Participant::of_word(seen);
        if seen == 0 || holder == self.me || !self.table().is_gone(&self.region, holder) {
            return None;
        }
        let pid = self.table().pid(&self.region, holder);
        let mine = self.me.to_word() | WAITED;
        self.region
            .word(offset)
            .compare_exchange(seen, mine, Ordering::Acquire, Ordering::Relaxed)
            .ok()
            .map(|_| Died(pid))
    }

    /// Gives the lock at `offset` back.
    pub(super) fn unlock_word(&self, offset: usize) {
        let word = self.region.word(offset);
        let was = word.swap(0, Ordering::Release);
        debug_assert_eq!(Participant::of_word(was), self.me, "unlocked by another");
        if was & WAITED != 0 {
            crate::memory::futex::wake(word, 1);
        }
    }

    /// Says whether somebody who is alive holds the lock at `offset`.
    pub(super) fn word_is_locked(&self, offset: usize) -> bool {
        let seen = self.region.word(offset).load(Ordering::Relaxed);
        let holder = Participant::of_word(seen);
        seen != 0 && (holder == self.me || !self.table().is_gone(&self.region, holder))
    }
}
