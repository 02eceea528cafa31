//! The sleepers of one worker: a hierarchical timing wheel.
//!
//! Source: G. Varghese and T. Lauck, "Hashed and Hierarchical Timing Wheels", SOSP 1987
//! (scheme 7), with an occupancy bitmap per level so that empty slots cost nothing.
//!
//! # Shape
//! Time is counted in ticks of 2^16 ns (65.5 µs). Level 0 has a slot per tick, and a slot of
//! each further level is as wide as the whole level below it:
//!
//! | level | slot      | whole level |   | level | slot    | whole level |
//! |-------|-----------|-------------|---|-------|---------|-------------|
//! | 0     | 65.5 µs   | 4.19 ms     |   | 4     | 18.3 min| 19.5 h      |
//! | 1     | 4.19 ms   | 268 ms      |   | 5     | 19.5 h  | 52 days     |
//! | 2     | 268 ms    | 17.2 s      |   | 6     | 52 days | 9.1 years   |
//! | 3     | 17.2 s    | 18.3 min    |   | 7     | 9.1 y   | 584 years   |
//!
//! Eight levels of six bits are 48 bits of ticks, which is all that 64 bits of nanoseconds can
//! say: no deadline is out of range, so none has to be clamped and put in again.
//!
//! # Invariants
//! `now` is the tick up to which the wheel has run. A node lies at the level of the highest
//! six-bit group in which its tick differs from `now` (level 0 if they are equal), in the slot
//! that this group of its tick names. It follows that
//! - every slot in use at level 0 is at or after that of `now`, and at the other levels after
//!   it: nothing wraps around, and the lowest bit of a level's bitmap is its earliest slot;
//! - all that lies on a level is earlier than all that lies on the levels above it, so the
//!   first slot of the lowest level in use holds the earliest deadline;
//! - two nodes with the same tick are always in the same slot. Slots are queues, and are
//!   emptied downwards in order, so equal ticks fire in the order of their insertion.
//!
//! `now` may move on freely as long as it doesn't reach the start of a slot in use. When it
//! does, that slot's nodes are put in again and fall to lower levels (the *cascade*): a node is
//! moved at most once per level, seven times for the farthest deadline and two or three times
//! for a sleep of seconds.
//!
//! # Ownership
//! The nodes are intrusive: each belongs to whoever sleeps (it lies on the sleeping coroutine's
//! own stack or in its record), and the wheel only links them, so nothing is allocated after
//! [`Wheel::new`]. A slot is a ring closed by a sentinel of the same type, so unlinking asks
//! neither for the slot nor for the end of the list; if what remains is a sentinel alone, its
//! address tells whose bit to clear. All links are raw pointers and all fields cells, so the
//! owner may look at its node while it is linked. One thread only: neither the wheel nor a
//! node is `Send` or `Sync`.
//!
//! Where the nodes lie decides the cost of a million of them, because a cascade walks them one
//! by one, each a cache miss and far apart a TLB miss too. Measured on 2 cores of a cloud machine,
//! insertion + all cascades + expiry of 1,000,000: 0.2–0.3 µs each when 128 bytes apart in
//! records, 0.8–0.9 µs when each is on a stack of 256 KiB of its own.
//!
//! # Rejected
//! A binary heap (or a B-tree): O(log n) with a cache miss a step, and removal needs every
//! node's place in it. Wheels without a cascade (as Linux has had since 4.8): they fire late by
//! up to an eighth of the wait, and a sleep here is late by one tick at most.

use std::cell::Cell;
use std::marker::PhantomPinned;
use std::ptr::{self, NonNull};

/// A tick is `1 << TICK_BITS` nanoseconds.
const TICK_BITS: u32 = 16;
/// A level has `1 << SLOT_BITS` slots, one for each bit of its bitmap.
const SLOT_BITS: u32 = 6;
const SLOTS: usize = 1 << SLOT_BITS;
const LEVELS: usize = 8;

/// The tick of deadlines that never come: the last one a clock of 64 bits can show. The wheel
/// stops one tick before it.
const NEVER: u64 = u64::MAX >> TICK_BITS;

const _: () = assert!(NEVER >> (SLOT_BITS * (LEVELS as u32 - 1)) < SLOTS as u64);

/// A place in the wheel for one sleeper; also the sentinel of a slot.
///
/// Stays where it is in memory while it is linked. To get from an expired node to what contains
/// it, make it the first field of a `#[repr(C)]` struct and insert a pointer made from the whole
/// struct: the wheel gives back the very pointer that it was given.
pub(crate) struct TimerNode {
    /// The next one in the slot's ring; null while not linked.
    next: Cell<*const TimerNode>,
    prev: Cell<*const TimerNode>,
    /// When to fire. In a sentinel: a lower bound of its slot, the earliest tick that was put in
    /// since the slot was last empty.
    tick: Cell<u64>,
    /// Others point here, also while the owner holds a `&mut` to what contains it.
    _pinned: PhantomPinned,
}

impl TimerNode {
    /// Makes a node that is not linked.
    pub(crate) const fn new() -> TimerNode {
        TimerNode {
            next: Cell::new(ptr::null()),
            prev: Cell::new(ptr::null()),
            tick: Cell::new(0),
            _pinned: PhantomPinned,
        }
    }

    /// Says whether the node is in a wheel: from `insert` until `remove` or until it expires.
    pub(crate) fn is_linked(&self) -> bool {
        !self.next.get().is_null()
    }
}

/// The timing wheel of one worker. See the head of this file.
pub(crate) struct Wheel {
    /// A bit for each slot that is not empty.
    occupied: [u64; LEVELS],
    /// The tick up to which the wheel has run, `NEVER - 1` at most. Never goes back.
    now: u64,
    len: usize,
    /// The sentinels, `LEVELS * SLOTS` of them, level by level. Owned; a raw pointer and not a
    /// `Box`, because the nodes point at them.
    slots: NonNull<TimerNode>,
}

impl Wheel {
    /// Makes an empty wheel that has run up to `now_ns`, in the clock's nanoseconds.
    ///
    /// Allocates 12 KiB, and nothing later.
    pub(crate) fn new(now_ns: u64) -> Wheel {
        let slots: Box<[TimerNode]> = (0..LEVELS * SLOTS).map(|_| TimerNode::new()).collect();
        // From here on the sentinels are reached by pointers derived from this one only.
        let slots: NonNull<TimerNode> = NonNull::from(Box::leak(slots)).cast();
        for index in 0..LEVELS * SLOTS {
            // SAFETY: the index is within the allocation made above.
            unsafe { close_ring(slots.as_ptr().add(index)) };
        }
        Wheel {
            occupied: [0; LEVELS],
            now: floor_tick(now_ns),
            len: 0,
            slots,
        }
    }

    /// Links `node`, to expire at the first [`pop_expired`](Wheel::pop_expired) whose time has
    /// reached `deadline_ns` rounded up to a whole tick: never early, and at most one tick late.
    ///
    /// A deadline that has passed already expires at the next call. `u64::MAX` (and what else
    /// rounds up to the last tick of the clock's range) never expires. O(1); touches the node, a
    /// sentinel, and the node that was inserted into the slot before it.
    ///
    /// # Safety
    /// `node` is valid, is not linked, and stays valid, where it is, and on this thread until
    /// `remove` or `pop_expired` has unlinked it. It is unlinked before the wheel is dropped.
    pub(crate) unsafe fn insert(&mut self, node: NonNull<TimerNode>, deadline_ns: u64) {
        let node = node.as_ptr().cast_const();
        let tick = ceil_tick(deadline_ns).max(self.now);
        // SAFETY: the caller vouches for the node, and gives it to the wheel until it is unlinked.
        unsafe {
            debug_assert!(!(*node).is_linked(), "this timer node is linked already");
            (*node).tick.set(tick);
            self.link(node);
        }
        self.len += 1;
    }

    /// Unlinks `node` before it has expired. O(1); touches the node and its two neighbours.
    ///
    /// # Safety
    /// `node` is linked ([`TimerNode::is_linked`]), and in this wheel.
    pub(crate) unsafe fn remove(&mut self, node: NonNull<TimerNode>) {
        // SAFETY: the caller vouches for the node being linked here; by the contract of `insert`
        // it and its neighbours are valid for as long as that holds.
        unsafe {
            debug_assert!(node.as_ref().is_linked(), "this timer node is not linked");
            self.unlink(node.as_ptr());
        }
    }

    /// Unlinks and returns the next node whose time has come at `now_ns`, or None if there is
    /// none: call it until then.
    ///
    /// Earlier ticks come first, and nodes of the same tick in the order of their insertion; a
    /// deadline that had passed when it was inserted counts as one of the tick the wheel had
    /// reached by then. Nodes may be inserted and removed between two calls; one that is
    /// inserted with a deadline already passed comes out of the same round, so a caller that
    /// inserts such a node for each that it takes never sees the end.
    ///
    /// A `now_ns` below an earlier one is taken as that earlier one: time stands still.
    pub(crate) fn pop_expired(&mut self, now_ns: u64) -> Option<NonNull<TimerNode>> {
        let now = floor_tick(now_ns).max(self.now);
        while let Some((level, slot)) = self.first_slot() {
            let start = self.slot_start(level, slot);
            if start > now {
                break;
            }
            // No slot in use starts before this one: the invariants hold on the way here, and
            // from here on if this slot is emptied (level 0: if it is left when it's empty).
            self.now = start;
            if level > 0 {
                self.cascade(level, slot);
                continue;
            }
            // SAFETY: the slot's bit is set, so its ring holds a node beside the sentinel, which
            // is valid while it is linked (the contract of `insert`).
            unsafe {
                let node = (*self.sentinel(level, slot)).next.get();
                self.unlink(node);
                return Some(NonNull::new_unchecked(node.cast_mut()));
            }
        }
        self.now = now;
        None
    }

    /// Says until when, in the clock's nanoseconds, [`pop_expired`](Wheel::pop_expired) will
    /// have nothing to return; None if that is for ever. O(levels), and looks at no node.
    ///
    /// This is the earliest deadline, rounded up to a tick, unless nodes have been removed: then
    /// it may be that of a removed one. Who waits until then wakes for nothing, once: after
    /// `pop_expired(now_ns)` has returned None, this is later than `now_ns`.
    pub(crate) fn next_deadline_ns(&self) -> Option<u64> {
        let (level, slot) = self.first_slot()?;
        // SAFETY: sentinels are valid as long as the wheel.
        let tick = unsafe { (*self.sentinel(level, slot)).tick.get() };
        (tick < NEVER).then_some(tick << TICK_BITS)
    }

    /// Shows each node with its deadline, rounded up to a tick.
    pub(crate) fn for_each(&self, mut show: impl FnMut(NonNull<TimerNode>, u64)) {
        for level in 0..LEVELS {
            for slot in (0..SLOTS).filter(|slot| self.occupied[level] >> slot & 1 != 0) {
                let sentinel = self.sentinel(level, slot);
                // SAFETY: the sentinel, and all nodes in its ring, are valid while linked.
                unsafe {
                    let mut at = (*sentinel).next.get();
                    while !ptr::eq(at, sentinel) {
                        show(
                            NonNull::new_unchecked(at.cast_mut()),
                            (*at).tick.get() << TICK_BITS,
                        );
                        at = (*at).next.get();
                    }
                }
            }
        }
    }

    /// Counts the nodes in the wheel.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Finds the level and slot that hold the earliest deadline.
    fn first_slot(&self) -> Option<(usize, usize)> {
        let level = self.occupied.iter().position(|&bits| bits != 0)?;
        Some((level, self.occupied[level].trailing_zeros() as usize))
    }

    /// The first tick of a slot in use, or of a later one on the same round of its level.
    fn slot_start(&self, level: usize, slot: usize) -> u64 {
        let shift = SLOT_BITS * level as u32;
        let round = self.now >> (shift + SLOT_BITS) << (shift + SLOT_BITS);
        let start = round | (slot as u64) << shift;
        debug_assert!(start >= self.now, "a slot in use lies in the past");
        start
    }

    fn sentinel(&self, level: usize, slot: usize) -> *const TimerNode {
        debug_assert!(level < LEVELS && slot < SLOTS);
        // SAFETY: level and slot are in range, so this is within the allocation of `new`.
        unsafe { self.slots.as_ptr().add(level * SLOTS + slot) }
    }

    /// Puts a node at the end of the slot where its tick belongs, as seen from `now`.
    ///
    /// # Safety
    /// `node` is valid as `insert` asks, belongs to the wheel, is in no ring, and its tick is
    /// `now` or later and `NEVER` at most.
    unsafe fn link(&mut self, node: *const TimerNode) {
        // SAFETY: the caller vouches for the node; sentinels live as long as the wheel, and a
        // sentinel's neighbour is a sentinel or a node that is linked, and so valid.
        unsafe {
            let tick = (*node).tick.get();
            // The lowest six bits count as different, so that equal ticks give level 0.
            let top_bit = (tick ^ self.now | (SLOTS as u64 - 1)).ilog2();
            let level = (top_bit / SLOT_BITS) as usize;
            let slot = (tick >> (SLOT_BITS * level as u32)) as usize % SLOTS;

            let sentinel = self.sentinel(level, slot);
            let bit = 1 << slot;
            if self.occupied[level] & bit == 0 {
                self.occupied[level] |= bit;
                (*sentinel).tick.set(tick);
            } else if tick < (*sentinel).tick.get() {
                (*sentinel).tick.set(tick);
            }

            let last = (*sentinel).prev.get();
            (*node).prev.set(last);
            (*node).next.set(sentinel);
            (*last).next.set(node);
            (*sentinel).prev.set(node);
        }
    }

    /// Takes a node out of its ring and of the count.
    ///
    /// # Safety
    /// `node` is linked in this wheel.
    unsafe fn unlink(&mut self, node: *const TimerNode) {
        // SAFETY: the node is linked, so it and its neighbours are valid (the contract of
        // `insert` for nodes; sentinels live as long as the wheel).
        unsafe {
            let next = (*node).next.get();
            let prev = (*node).prev.get();
            (*next).prev.set(prev);
            (*prev).next.set(next);
            (*node).next.set(ptr::null());
            if next == prev {
                // Both neighbours are one: the ring was this node and its sentinel, which is in
                // the allocation that `slots` points at.
                let index = next.offset_from_unsigned(self.slots.as_ptr());
                self.occupied[index / SLOTS] &= !(1 << (index % SLOTS));
            }
        }
        self.len -= 1;
    }

    /// Empties a slot, at whose start `now` has arrived, into the levels below.
    fn cascade(&mut self, level: usize, slot: usize) {
        let sentinel = self.sentinel(level, slot);
        self.occupied[level] &= !(1 << slot);
        // SAFETY: the chain from the sentinel back to itself is made of linked nodes, which are
        // valid by the contract of `insert`. Each is left before it is linked anew, and none
        // comes back into this ring: from `now` on, the slot's nodes differ from it in lower
        // groups only.
        unsafe {
            let mut node = (*sentinel).next.get();
            close_ring(sentinel);
            while node != sentinel {
                let next = (*node).next.get();
                self.link(node);
                node = next;
            }
        }
    }
}

impl Drop for Wheel {
    fn drop(&mut self) {
        debug_assert!(
            self.len == 0,
            "a timing wheel is dropped with {} sleepers",
            self.len
        );
        let slots = ptr::slice_from_raw_parts_mut(self.slots.as_ptr(), LEVELS * SLOTS);
        // SAFETY: `new` leaked this box for the wheel alone to own, and by the contract of
        // `insert` no node points at its sentinels any more.
        drop(unsafe { Box::from_raw(slots) });
    }
}

/// Says whether a deadline is one that never comes: its node would stay in the wheel until it is
/// removed.
pub(crate) fn is_never(deadline_ns: u64) -> bool {
    ceil_tick(deadline_ns) == NEVER
}

/// Makes a ring of a sentinel alone.
///
/// # Safety
/// `sentinel` is valid.
unsafe fn close_ring(sentinel: *const TimerNode) {
    // SAFETY: the caller vouches for the sentinel.
    unsafe {
        (*sentinel).next.set(sentinel);
        (*sentinel).prev.set(sentinel);
    }
}

/// The tick that has begun at `now_ns`.
fn floor_tick(now_ns: u64) -> u64 {
    (now_ns >> TICK_BITS).min(NEVER - 1)
}

/// The first tick that begins at `deadline_ns` or later.
fn ceil_tick(deadline_ns: u64) -> u64 {
    let part = deadline_ns & ((1 << TICK_BITS) - 1);
    ((deadline_ns >> TICK_BITS) + u64::from(part != 0)).min(NEVER)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const TICK: u64 = 1 << TICK_BITS;

    /// A sleeper as the kernel has it: the node first, then what it is for.
    #[repr(C)]
    struct Sleeper {
        node: TimerNode,
        id: usize,
    }

    /// Sleepers at fixed places, and the wheel they sleep in.
    struct Bed {
        wheel: Wheel,
        sleepers: NonNull<Sleeper>,
        count: usize,
    }

    impl Bed {
        fn new(count: usize, now_ns: u64) -> Bed {
            let sleepers: Box<[Sleeper]> = (0..count)
                .map(|id| Sleeper {
                    node: TimerNode::new(),
                    id,
                })
                .collect();
            let sleepers = NonNull::from(Box::leak(sleepers)).cast();
            Bed {
                wheel: Wheel::new(now_ns),
                sleepers,
                count,
            }
        }

        fn node(&self, id: usize) -> NonNull<TimerNode> {
            assert!(id < self.count);
            // SAFETY: the index is within the allocation made in `new`.
            unsafe { self.sleepers.add(id) }.cast()
        }

        fn insert(&mut self, id: usize, deadline_ns: u64) {
            assert!(!self.is_linked(id));
            let node = self.node(id);
            // SAFETY: not linked, and the sleepers live until the wheel is empty (see drop).
            unsafe { self.wheel.insert(node, deadline_ns) };
            assert!(self.is_linked(id));
        }

        fn remove(&mut self, id: usize) {
            assert!(self.is_linked(id));
            let node = self.node(id);
            // SAFETY: it is linked, and there is only one wheel.
            unsafe { self.wheel.remove(node) };
            assert!(!self.is_linked(id));
        }

        fn is_linked(&self, id: usize) -> bool {
            // SAFETY: sleepers live as long as the bed, and are only shared.
            unsafe { self.node(id).as_ref() }.is_linked()
        }

        fn pop(&mut self, now_ns: u64) -> Option<usize> {
            let node = self.wheel.pop_expired(now_ns)?;
            // SAFETY: each node in this wheel is the first field of a `Sleeper` and was inserted
            // by a pointer made from all of them.
            let sleeper = unsafe { node.cast::<Sleeper>().as_ref() };
            assert!(!sleeper.node.is_linked());
            Some(sleeper.id)
        }

        fn pop_all(&mut self, now_ns: u64) -> Vec<usize> {
            let ids = std::iter::from_fn(|| self.pop(now_ns)).collect();
            // Nothing is left to do at this time, so a driver that waits until the next
            // deadline can't spin.
            assert!(
                self.wheel
                    .next_deadline_ns()
                    .is_none_or(|next| next > now_ns)
            );
            ids
        }
    }

    impl Drop for Bed {
        fn drop(&mut self) {
            for id in 0..self.count {
                if self.is_linked(id) {
                    self.remove(id);
                }
            }
            assert_eq!(self.wheel.occupied, [0; LEVELS]);
            let sleepers = ptr::slice_from_raw_parts_mut(self.sleepers.as_ptr(), self.count);
            // SAFETY: `new` leaked this box, and no node is linked any more.
            drop(unsafe { Box::from_raw(sleepers) });
        }
    }

    /// xorshift64*
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 >> 12;
            self.0 ^= self.0 << 25;
            self.0 ^= self.0 >> 27;
            self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
        }

        fn below(&mut self, end: usize) -> usize {
            (self.next() % end as u64) as usize
        }

        /// A number of up to `bits_max` bits, each length equally likely.
        fn magnitude(&mut self, bits_max: usize) -> u64 {
            let bits = self.below(bits_max) as u32 + 1;
            self.next() >> (u64::BITS - bits)
        }
    }

    /// What the wheel must do, on a sorted map: rounding, order and nothing else.
    #[derive(Default)]
    struct Model {
        /// By tick and order of insertion.
        sleepers: BTreeMap<(u64, u64), usize>,
        places: BTreeMap<usize, (u64, u64)>,
        inserted: u64,
        now: u64,
    }

    impl Model {
        fn insert(&mut self, id: usize, deadline_ns: u64) {
            let tick = u128::from(deadline_ns).div_ceil(u128::from(TICK)) as u64;
            let place = (tick.clamp(self.now, NEVER), self.inserted);
            self.inserted += 1;
            self.sleepers.insert(place, id);
            self.places.insert(id, place);
        }

        fn remove(&mut self, id: usize) {
            let place = self.places.remove(&id).expect("is in the model");
            self.sleepers.remove(&place);
        }

        fn pop_all(&mut self, now_ns: u64) -> Vec<usize> {
            self.now = self.now.max(now_ns / TICK).min(NEVER - 1);
            let later = self.sleepers.split_off(&(self.now + 1, 0));
            let due = std::mem::replace(&mut self.sleepers, later);
            self.places.retain(|_, place| place.0 > self.now);
            due.into_values().collect()
        }
    }

    /// A deadline at any distance, often just at a border between slots of some level.
    fn random_deadline(random: &mut Random, now_ns: u64) -> u64 {
        match random.below(8) {
            0 => now_ns.saturating_sub(random.magnitude(40)),
            1 => u64::MAX - random.magnitude(20),
            2 | 3 => {
                let width = TICK << (SLOT_BITS * random.below(LEVELS - 1) as u32);
                let border = (now_ns / width + 1 + random.magnitude(7)).saturating_mul(width);
                border
                    .saturating_add(random.magnitude(17))
                    .saturating_sub(TICK)
            }
            _ => now_ns.saturating_add(random.magnitude(64)),
        }
    }

    #[test]
    fn does_what_the_sorted_model_does() {
        let (seeds, steps) = if cfg!(miri) { (3, 300) } else { (200, 3_000) };
        for seed in 1..=seeds {
            let mut random = Random(seed * 0x9E37_79B9);
            let mut now_ns = random.magnitude(60);
            let mut bed = Bed::new(64, now_ns);
            let mut model = Model {
                now: now_ns / TICK,
                ..Model::default()
            };
            for _ in 0..steps {
                let id = random.below(bed.count);
                match random.below(4) {
                    0 => {
                        now_ns = now_ns.saturating_add(match random.below(16) {
                            0 => random.magnitude(58),
                            1 => 0,
                            _ => random.magnitude(36),
                        });
                        assert_eq!(bed.pop_all(now_ns), model.pop_all(now_ns), "seed {seed}");
                    }
                    _ if !bed.is_linked(id) => {
                        let deadline_ns = random_deadline(&mut random, now_ns);
                        bed.insert(id, deadline_ns);
                        model.insert(id, deadline_ns);
                    }
                    _ => {
                        bed.remove(id);
                        model.remove(id);
                    }
                }
                assert_eq!(bed.wheel.len(), model.sleepers.len());
                let first = model.sleepers.keys().next().map(|place| place.0);
                match (bed.wheel.next_deadline_ns(), first) {
                    (Some(next), Some(first)) => assert!(next <= first << TICK_BITS),
                    (None, first) => assert!(first.is_none_or(|first| first == NEVER)),
                    (Some(_), None) => panic!("a deadline in an empty wheel"),
                }
            }
        }
    }

    /// Steps from one `next_deadline_ns` to the next as an idle worker does, on a clock that
    /// shows odd times.
    #[test]
    fn never_early_and_one_tick_late_at_most() {
        let mut random = Random(7);
        let count = if cfg!(miri) { 40 } else { 4_000 };
        let mut bed = Bed::new(count, 12_345);
        let deadlines: Vec<u64> = (0..count).map(|_| 12_345 + random.magnitude(55)).collect();
        for (id, &deadline_ns) in deadlines.iter().enumerate() {
            bed.insert(id, deadline_ns);
        }
        let mut fired = 0;
        while let Some(now_ns) = bed.wheel.next_deadline_ns() {
            assert_eq!(bed.pop_all(now_ns - 1), [], "early");
            let ids = bed.pop_all(now_ns);
            assert!(
                !ids.is_empty(),
                "woken for nothing, though no node was removed"
            );
            for id in ids {
                assert!((deadlines[id]..deadlines[id] + TICK).contains(&now_ns));
                fired += 1;
            }
        }
        assert_eq!((fired, bed.wheel.len()), (count, 0));
    }

    #[test]
    fn equal_ticks_fire_in_order_of_insertion_also_across_a_cascade() {
        let deadline_ns = 3 * 64 * 64 * TICK + 5 * TICK;
        let mut bed = Bed::new(6, 0);
        bed.insert(3, deadline_ns);
        bed.insert(1, deadline_ns - 1);
        assert_eq!(bed.pop_all(deadline_ns - 70 * TICK), []);
        bed.insert(2, deadline_ns);
        assert_eq!(bed.pop_all(deadline_ns - 2 * TICK), []);
        bed.insert(0, deadline_ns - TICK + 1);
        bed.insert(5, deadline_ns - TICK);
        bed.insert(4, deadline_ns);
        assert_eq!(bed.pop_all(deadline_ns), [5, 3, 1, 2, 0, 4]);
    }

    #[test]
    fn a_deadline_already_passed_expires_at_once_even_if_time_stands_still() {
        let now_ns = 100 * TICK + 9;
        let mut bed = Bed::new(3, now_ns);
        bed.insert(0, now_ns - 9);
        bed.insert(1, 0);
        bed.insert(2, now_ns);
        assert_eq!(bed.wheel.next_deadline_ns(), Some(100 * TICK));
        assert_eq!(bed.pop_all(now_ns), [0, 1]);
        assert_eq!(bed.pop_all(now_ns), []);
        // Rounded up: this tick has begun already.
        assert_eq!(bed.wheel.next_deadline_ns(), Some(101 * TICK));
        assert_eq!(bed.pop_all(101 * TICK), [2]);
    }

    #[test]
    fn a_clock_that_goes_back_is_taken_to_stand_still() {
        let mut bed = Bed::new(2, 500 * TICK);
        assert_eq!(bed.pop_all(700 * TICK), []);
        bed.insert(0, 650 * TICK);
        bed.insert(1, 701 * TICK);
        assert_eq!(bed.pop(600 * TICK), Some(0));
        assert_eq!(bed.pop(600 * TICK), None);
        assert_eq!(bed.pop_all(701 * TICK), [1]);
    }

    #[test]
    fn one_jump_over_many_levels_fires_all_in_order() {
        let mut bed = Bed::new(LEVELS * 3, 1);
        let deadline = |id: usize| (TICK << (SLOT_BITS as usize * (id / 3))) * (1 + id as u64 % 3);
        for id in (0..bed.count).rev() {
            bed.insert(id, deadline(id));
        }
        assert!(bed.wheel.occupied.iter().all(|&bits| bits != 0));
        assert_eq!(bed.pop_all(u64::MAX), (0..bed.count).collect::<Vec<_>>());
    }

    #[test]
    fn the_borders_of_every_level_fire_exactly() {
        for level in 1..LEVELS as u32 {
            let border = TICK << (SLOT_BITS * level);
            for start_ns in [0, border - TICK, border - 1] {
                let mut bed = Bed::new(3, start_ns);
                for (id, deadline_ns) in [border - TICK, border, border + TICK].iter().enumerate() {
                    bed.insert(id, *deadline_ns);
                }
                assert_eq!(bed.pop_all(border - 1), [0]);
                assert_eq!(bed.pop_all(border), [1]);
                assert_eq!(bed.pop_all(border + TICK - 1), []);
                assert_eq!(bed.pop_all(border + TICK), [2]);
            }
        }
    }

    #[test]
    fn the_end_of_time_never_comes() {
        let year_ns = 365 * 24 * 3_600 * 1_000_000_000;
        let mut bed = Bed::new(4, 77);
        bed.insert(0, u64::MAX);
        assert_eq!(bed.wheel.next_deadline_ns(), None);
        bed.insert(1, u64::MAX - 1);
        bed.insert(2, u64::MAX - 2 * TICK);
        bed.insert(3, 100 * year_ns);
        assert_eq!(bed.pop_all(100 * year_ns - 1), []);
        assert_eq!(bed.pop_all(100 * year_ns + TICK), [3]);
        assert_eq!(bed.pop_all(u64::MAX - 2 * TICK), []);
        assert_eq!(bed.pop_all(u64::MAX), [2]);
        assert_eq!(bed.pop_all(u64::MAX), []);
        assert_eq!((bed.wheel.next_deadline_ns(), bed.wheel.len()), (None, 2));
        bed.remove(0);
        bed.remove(1);
        assert_eq!(bed.wheel.len(), 0);
    }

    #[test]
    fn a_removed_deadline_wakes_once_for_nothing_at_most() {
        let mut bed = Bed::new(2, 0);
        let base = 5 * 64 * 64 * TICK;
        bed.insert(0, base + 70 * TICK);
        bed.insert(1, base + 700 * TICK);
        bed.remove(0);
        assert_eq!(bed.wheel.next_deadline_ns(), Some(base + 70 * TICK));
        assert_eq!(bed.pop_all(base + 70 * TICK), []);
        assert_eq!(bed.wheel.next_deadline_ns(), Some(base + 700 * TICK));
        bed.remove(1);
        assert_eq!(bed.wheel.next_deadline_ns(), None);
    }

    #[test]
    fn nodes_may_come_and_go_between_two_pops() {
        let mut bed = Bed::new(5, 0);
        for id in 0..4 {
            bed.insert(id, 10 * TICK);
        }
        let now_ns = 20 * TICK;
        assert_eq!(bed.pop(now_ns), Some(0));
        bed.remove(1); // would have been next
        bed.remove(3); // the last in the slot
        bed.insert(4, 15 * TICK); // due too
        bed.insert(0, 20 * TICK + 1); // later
        bed.insert(1, 3 * TICK); // passed: counts as the tick that is being emptied
        assert_eq!(bed.pop_all(now_ns), [2, 1, 4]);
        assert_eq!(bed.pop_all(21 * TICK), [0]);
    }

    #[test]
    fn a_million_sleepers() {
        let count = if cfg!(miri) { 1_000 } else { 1_000_000 };
        let mut random = Random(11);
        let mut bed = Bed::new(count, 0);
        for id in 0..count {
            bed.insert(id, 10_000_000_000 + random.next() % 1_000_000_000);
        }
        for id in (0..count).step_by(4) {
            bed.remove(id);
        }
        assert_eq!(bed.wheel.len(), count - count / 4);
        let (mut now_ns, mut fired) = (0, 0);
        while bed.wheel.len() > 0 {
            now_ns += 10_000_000;
            while bed.pop(now_ns).is_some() {
                assert!(now_ns >= 10_000_000_000);
                fired += 1;
            }
        }
        assert_eq!(fired, count - count / 4);
        assert!(now_ns <= 11_010_000_000);
    }

    /// Ambiguous, and so refused by the compiler, if the type is `Send` or `Sync`.
    #[test]
    fn neither_wheel_nor_node_leaves_its_thread() {
        trait UnlessSend<T> {
            fn holds() {}
        }
        impl<T> UnlessSend<()> for T {}
        impl<T: Send> UnlessSend<u8> for T {}
        trait UnlessSync<T> {
            fn holds() {}
        }
        impl<T> UnlessSync<()> for T {}
        impl<T: Sync> UnlessSync<u8> for T {}
        <Wheel as UnlessSend<_>>::holds();
        <Wheel as UnlessSync<_>>::holds();
        <TimerNode as UnlessSend<_>>::holds();
        <TimerNode as UnlessSync<_>>::holds();
    }
}
