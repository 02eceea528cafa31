//! The bounded buffer: a ring of stamped slots.
//!
//! The algorithm is Dmitry Vyukov's bounded MPMC queue (1024cores.net, 2010): each slot carries
//! a stamp that says whose turn it is, so that senders contend for the tail only, and receivers
//! for the head only.
//!
//! # Positions and stamps
//!
//! A position is a slot's index (above two spare bits) plus a lap; it grows by [`Ring::next`] and
//! wraps. `tail` is the position that is sent to next, `head` the one received from next.
//! A slot's stamp is the position it serves, and in the two lowest bits its state:
//!
//! ```text
//!            tail moved           message written             head moved, message read
//!   p FREE ──────────────▶ (busy) ───────────────▶ p FULL ───────────────────────────▶ p+lap FREE
//!                            └─hold▶ p HELD ─commit▶ ▲
//!                                      └───cancel──▶ p VOID ──── head moved, skipped ──▶ p+lap FREE
//! ```
//!
//! Who moved the tail over a position owns the slot until it writes FULL, HELD or VOID; who moved
//! the head over it owns it until it writes the next lap's FREE. Both happen within a few
//! instructions, so the other side spins. A slot is HELD while a `select` that has been promised
//! this place evaluates its message, which may take as long as the user likes: receivers take the
//! ring for empty there, and the commit wakes them.
//!
//! The lowest bit of `tail` closes the ring; it is set once and fails all sends from then on.
//!
//! # Orderings
//!
//! A stamp is stored with `Release` and read with `Acquire` or stronger, which is what carries the
//! message. `head` and `tail` are moved with `SeqCst`, as are the commits of held slots: senders
//! look for waiting receivers after moving the tail (and receivers for senders after the head),
//! and a waiter reads both ends, `SeqCst`, after it took its queue's lock. That is the protocol at
//! the head of `ropewalk_kernel::wait`: either the waiter sees the move or the mover the waiter.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_utils::{Backoff, CachePadded};

use super::buffered::{Buffer, Hold, Popped, Refusal};

const FREE: usize = 0;
const FULL: usize = 1;
const HELD: usize = 2;
const VOID: usize = 3;
/// The bits of a stamp that hold its state.
const STATE: usize = 3;
const INDEX_SHIFT: u32 = 2;
/// The bit of `tail` that closes the ring.
const CLOSED: usize = 1;

pub(super) struct Ring<T> {
    head: CachePadded<AtomicUsize>,
    tail: CachePadded<AtomicUsize>,
    slots: Box<[Slot<T>]>,
    /// How far apart the positions of one slot in two laps are: a power of two.
    lap: usize,
}

struct Slot<T> {
    stamp: AtomicUsize,
    message: UnsafeCell<MaybeUninit<T>>,
}

// SAFETY: a slot's message belongs to one thread at a time, by its stamp.
unsafe impl<T: Send> Send for Ring<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Ring<T> {}

impl<T> Ring<T> {
    /// # Panics
    ///
    /// If `capacity` is 0, or beyond what memory could hold.
    pub(super) fn new(capacity: usize) -> Ring<T> {
        assert!(capacity > 0, "a ring has slots");
        let lap = capacity
            .checked_next_power_of_two()
            .and_then(|slots| slots.checked_mul(1 << INDEX_SHIFT))
            .filter(|&lap| lap <= isize::MAX as usize)
            .expect("a channel's capacity is out of range");
        let slots = (0..capacity)
            .map(|index| Slot {
                stamp: AtomicUsize::new((index << INDEX_SHIFT) | FREE),
                message: UnsafeCell::new(MaybeUninit::uninit()),
            })
            .collect();
        Ring {
            head: CachePadded::new(AtomicUsize::new(0)),
            tail: CachePadded::new(AtomicUsize::new(0)),
            slots,
            lap,
        }
    }

    #[inline]
    fn slot(&self, position: usize) -> &Slot<T> {
        let index = (position & (self.lap - 1)) >> INDEX_SHIFT;
        debug_assert!(index < self.slots.len());
        // SAFETY: positions are made by `next` only, which keeps the index in range.
        unsafe { self.slots.get_unchecked(index) }
    }

    #[inline]
    fn next(&self, position: usize) -> usize {
        let index = (position & (self.lap - 1)) >> INDEX_SHIFT;
        if index + 1 < self.slots.len() {
            position + (1 << INDEX_SHIFT)
        } else {
            (position & !(self.lap - 1)).wrapping_add(self.lap)
        }
    }

    /// Moves the tail over a free slot, which is the caller's then.
    #[inline]
    fn claim_tail(&self) -> Result<usize, Refusal> {
        let backoff = Backoff::new();
        let mut tail = self.tail.load(Ordering::Relaxed);
        loop {
            if tail & CLOSED != 0 {
                return Err(Refusal::Closed);
            }
            let stamp = self.slot(tail).stamp.load(Ordering::Acquire);
            if stamp == tail | FREE {
                match self.tail.compare_exchange_weak(
                    tail,
                    self.next(tail),
                    Ordering::SeqCst,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => return Ok(tail),
                    Err(seen) => {
                        tail = seen;
                        backoff.spin();
                    }
                }
                continue;
            }
            if (stamp & !STATE).wrapping_add(self.lap) == tail {
                // Still the last lap's.
                if self.head.load(Ordering::SeqCst).wrapping_add(self.lap) == tail {
                    return Err(Refusal::Full);
                }
            }
            // Its receiver is about to free it, or this tail is old.
            backoff.snooze();
            tail = self.tail.load(Ordering::Relaxed);
        }
    }
}

impl<T> Buffer for Ring<T> {
    type Message = T;
    const BOUNDED: bool = true;

    #[inline]
    fn push(&self, message: T) -> Result<(), (Refusal, T)> {
        match self.claim_tail() {
            Ok(position) => {
                let slot = self.slot(position);
                // SAFETY: who moved the tail over a slot owns it.
                unsafe { (*slot.message.get()).write(message) };
                slot.stamp.store(position | FULL, Ordering::Release);
                Ok(())
            }
            Err(refusal) => Err((refusal, message)),
        }
    }

    #[inline]
    fn pop(&self) -> Popped<T> {
        let backoff = Backoff::new();
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            let slot = self.slot(head);
            let stamp = slot.stamp.load(Ordering::SeqCst);
            if stamp == head | FULL || stamp == head | VOID {
                match self.head.compare_exchange_weak(
                    head,
                    self.next(head),
                    Ordering::SeqCst,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => {
                        let popped = if stamp & STATE == FULL {
                            // SAFETY: who moved the head over a full slot owns its message.
                            Popped::Message(unsafe { (*slot.message.get()).assume_init_read() })
                        } else {
                            Popped::Void
                        };
                        slot.stamp
                            .store(head.wrapping_add(self.lap) | FREE, Ordering::Release);
                        return popped;
                    }
                    Err(seen) => {
                        head = seen;
                        backoff.spin();
                    }
                }
                continue;
            }
            if stamp == head | HELD {
                return Popped::Empty;
            }
            if stamp == head | FREE {
                let tail = self.tail.load(Ordering::SeqCst);
                if tail & !STATE == head {
                    return if tail & CLOSED != 0 {
                        Popped::Closed
                    } else {
                        Popped::Empty
                    };
                }
            }
            // Its sender is about to fill it, or this head is old.
            backoff.snooze();
            head = self.head.load(Ordering::Relaxed);
        }
    }

    fn is_idle(&self) -> bool {
        let head = self.head.load(Ordering::SeqCst);
        let tail = self.tail.load(Ordering::SeqCst);
        // Equal, which also says that it is open; or the first place is held.
        tail == head || self.slot(head).stamp.load(Ordering::SeqCst) == head | HELD
    }

    #[inline]
    fn is_empty(&self) -> bool {
        let head = self.head.load(Ordering::SeqCst);
        let tail = self.tail.load(Ordering::SeqCst);
        tail & !STATE == head
    }

    fn is_blocked(&self) -> bool {
        let tail = self.tail.load(Ordering::SeqCst);
        let head = self.head.load(Ordering::SeqCst);
        // Not if it is closed: that bit makes them unequal.
        head.wrapping_add(self.lap) == tail
    }

    fn len(&self) -> usize {
        loop {
            let tail = self.tail.load(Ordering::SeqCst);
            let head = self.head.load(Ordering::SeqCst);
            if self.tail.load(Ordering::SeqCst) != tail {
                continue;
            }
            let index = |position: usize| (position & (self.lap - 1)) >> INDEX_SHIFT;
            let (first, end) = (index(head), index(tail & !STATE));
            return if first < end {
                end - first
            } else if first > end {
                self.slots.len() - first + end
            } else if tail & !STATE == head {
                0
            } else {
                self.slots.len()
            };
        }
    }

    fn capacity(&self) -> Option<usize> {
        Some(self.slots.len())
    }

    fn close(&self) -> bool {
        self.tail.fetch_or(CLOSED, Ordering::SeqCst) & CLOSED == 0
    }

    fn is_closed(&self) -> bool {
        self.tail.load(Ordering::SeqCst) & CLOSED != 0
    }

    fn hold(&self) -> Result<Hold, Refusal> {
        let position = self.claim_tail()?;
        self.slot(position)
            .stamp
            .store(position | HELD, Ordering::Release);
        Ok(Hold(position))
    }

    fn commit(&self, hold: Hold, message: T) -> Result<(), T> {
        if self.is_closed() {
            self.cancel(hold);
            return Err(message);
        }
        let slot = self.slot(hold.0);
        // SAFETY: a held slot is its holder's, which has the `Hold`.
        unsafe { (*slot.message.get()).write(message) };
        slot.stamp.swap(hold.0 | FULL, Ordering::SeqCst);
        Ok(())
    }

    fn cancel(&self, hold: Hold) {
        self.slot(hold.0)
            .stamp
            .swap(hold.0 | VOID, Ordering::SeqCst);
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        // Nobody else is here, so what is behind a place that is still held (its `Hold` was
        // forgotten) can be reached too.
        let mut position = self.head.load(Ordering::Relaxed);
        let end = self.tail.load(Ordering::Relaxed) & !STATE;
        while position != end {
            let slot = self.slot(position);
            if slot.stamp.load(Ordering::Relaxed) == position | FULL {
                // SAFETY: full, and not looked at again.
                unsafe { (*slot.message.get()).assume_init_drop() };
            }
            position = self.next(position);
        }
    }
}
