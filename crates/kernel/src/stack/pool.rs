//! The pool of stacks of one worker.
//!
//! Last in, first out: the stack given back last is the one whose memory is warmest. A
//! pool keeps the memory of its latest stacks only. When a size has more than the
//! watermark and a batch besides, the batch that has lain longest gives its memory back and
//! goes to the slab's depot under one lock; when it has none, a batch of what others gave
//! back comes from there. So the lock and the system call are paid once a batch, not
//! once a stack, and a burst of a million coroutines does not leave its worker with the
//! memory of a million stacks.
//!
//! A pool is used by its worker alone. Its tally can be read by any thread: the worker
//! stores (there is one writer, so no read-modify-write), others load.

use std::cell::RefCell;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::slab::{self, CLASSES, SizeClass, Slot};
use super::{Stack, memory};

/// How many stacks move between a pool and the depot at a time.
const BATCH: usize = memory::DISCARDS_MAX;

/// How many stacks of a size a pool keeps with their memory, unless told otherwise.
///
/// At the one or two pages that most coroutines touch that is a megabyte or two a worker.
const HOT_MAX: usize = 256;

/// Stacks that wait on one worker to be used again.
#[derive(Debug)]
pub struct StackPool {
    shelves: RefCell<[Vec<Slot>; CLASSES]>,
    hot_max: usize,
    tally: Arc<Tally>,
}

/// What a pool, or all pools together, have handed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolCounts {
    /// Stacks taken and not given back.
    pub in_use: usize,
    /// The most there have been in use at once; for all pools together, the sum of each
    /// one's most.
    pub in_use_max: usize,
    /// Stacks that wait in the pool.
    pub pooled: usize,
}

#[derive(Debug, Default)]
struct Tally {
    in_use: AtomicUsize,
    in_use_max: AtomicUsize,
    pooled: AtomicUsize,
}

impl Tally {
    fn counts(&self) -> PoolCounts {
        PoolCounts {
            in_use: self.in_use.load(Ordering::Relaxed),
            in_use_max: self.in_use_max.load(Ordering::Relaxed),
            pooled: self.pooled.load(Ordering::Relaxed),
        }
    }

    fn note_taken(&self) {
        let in_use = self.in_use.load(Ordering::Relaxed) + 1;
        self.in_use.store(in_use, Ordering::Relaxed);
        if in_use > self.in_use_max.load(Ordering::Relaxed) {
            self.in_use_max.store(in_use, Ordering::Relaxed);
        }
    }

    fn note_given(&self) {
        let in_use = self.in_use.load(Ordering::Relaxed);
        self.in_use
            .store(in_use.saturating_sub(1), Ordering::Relaxed);
    }

    fn note_shelf(&self, before: usize, after: usize) {
        let pooled = self.pooled.load(Ordering::Relaxed) + after - before;
        self.pooled.store(pooled, Ordering::Relaxed);
    }
}

/// The tallies of the pools there are.
static TALLIES: Mutex<Vec<Arc<Tally>>> = Mutex::new(Vec::new());

/// Adds up the counts of all pools.
pub(super) fn counts() -> PoolCounts {
    let tallies = TALLIES.lock().unwrap_or_else(PoisonError::into_inner);
    tallies
        .iter()
        .map(|tally| tally.counts())
        .fold(PoolCounts::default(), |sum, counts| PoolCounts {
            in_use: sum.in_use + counts.in_use,
            in_use_max: sum.in_use_max + counts.in_use_max,
            pooled: sum.pooled + counts.pooled,
        })
}

impl StackPool {
    /// Makes an empty pool that keeps the memory of up to 256 stacks of each size.
    pub fn new() -> StackPool {
        StackPool::with_hot_max(HOT_MAX)
    }

    /// Makes an empty pool that keeps the memory of up to `hot_max` stacks of each size
    /// (and a batch of 32 more, before that batch leaves).
    pub fn with_hot_max(hot_max: usize) -> StackPool {
        let tally = Arc::new(Tally::default());
        TALLIES
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::clone(&tally));
        StackPool {
            shelves: RefCell::default(),
            hot_max,
            tally,
        }
    }

    /// Takes a stack with at least `usable_bytes` above its guard.
    ///
    /// Its contents are undefined: zeroes, or what its last user left there.
    ///
    /// # Errors
    ///
    /// As [`Stack::new`].
    pub fn take(&self, usable_bytes: usize) -> io::Result<Stack> {
        let class = SizeClass::for_usable(usable_bytes)?;
        let shelf = &mut self.shelves.borrow_mut()[class.index()];
        let before = shelf.len();
        if before == 0 {
            slab::take_free(class, BATCH, shelf);
        }
        let slot = match shelf.pop() {
            Some(slot) => slot,
            None => slab::take(class)?,
        };
        self.tally.note_taken();
        self.tally.note_shelf(before, shelf.len());
        Ok(Stack::from_slot(slot, class))
    }

    /// Takes back a stack that nothing uses any more.
    pub fn give(&self, stack: Stack) {
        let (slot, class) = stack.into_slot();
        let shelf = &mut self.shelves.borrow_mut()[class.index()];
        let before = shelf.len();
        shelf.push(slot);
        if shelf.len() >= self.hot_max.saturating_add(BATCH) {
            send_back(class, shelf, BATCH);
        }
        self.tally.note_given();
        self.tally.note_shelf(before, shelf.len());
    }

    /// Gives the memory of all stacks that wait here back, and the stacks to all workers.
    ///
    /// For a worker that goes idle: costs 0.3 µs a stack, or 1.5 µs before Linux 6.14.
    pub fn trim(&self) {
        let mut shelves = self.shelves.borrow_mut();
        for class in SizeClass::all() {
            let shelf = &mut shelves[class.index()];
            if !shelf.is_empty() {
                send_back(class, shelf, shelf.len());
                shelf.shrink_to(BATCH);
            }
        }
        self.tally.pooled.store(0, Ordering::Relaxed);
    }

    /// Counts the stacks taken from and waiting in this pool.
    pub fn counts(&self) -> PoolCounts {
        self.tally.counts()
    }
}

/// Makes the `count` slots that have lain longest cold, and moves them to the depot.
fn send_back(class: SizeClass, shelf: &mut Vec<Slot>, count: usize) {
    Slot::discard(&mut shelf[..count], class);
    slab::give(class, shelf.drain(..count));
}

impl Default for StackPool {
    fn default() -> StackPool {
        StackPool::new()
    }
}

impl Drop for StackPool {
    fn drop(&mut self) {
        self.trim();
        let mut tallies = TALLIES.lock().unwrap_or_else(PoisonError::into_inner);
        tallies.retain(|tally| !Arc::ptr_eq(tally, &self.tally));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::testing::*;
    use crate::stack::{counts, memory, overflow};

    /// The addresses of stacks, to look at when they are the pool's again.
    fn residents(slots: &[(std::ptr::NonNull<u8>, usize)]) -> usize {
        slots
            .iter()
            .filter(|&&(at, bytes)| memory::resident_to_end(at, bytes) != 0)
            .count()
    }

    fn touch(stack: &Stack) -> (std::ptr::NonNull<u8>, usize) {
        // SAFETY: ours.
        unsafe { stack.header_ptr().write(1) };
        (
            std::ptr::NonNull::new(stack.limit()).unwrap(),
            stack.usable_bytes(),
        )
    }

    #[test]
    fn the_stack_given_last_is_taken_first() {
        let pool = StackPool::new();
        let [first, second] = [pool.take(0).unwrap(), pool.take(0).unwrap()];
        let [first_at, second_at] = [first.slot_base(), second.slot_base()];
        pool.give(first);
        pool.give(second);
        let again = [pool.take(0).unwrap(), pool.take(0).unwrap()];
        assert_eq!(
            again.each_ref().map(Stack::slot_base),
            [second_at, first_at]
        );
    }

    // Alone: a pool takes along what others have given back of a size.
    #[test]
    fn sizes_are_kept_apart() {
        let output = in_child(module_path!(), "sizes_are_kept_apart", || {
            let pool = StackPool::new();
            let small = pool.take(0).unwrap();
            pool.give(small);
            let large = pool.take(2 << 20).unwrap();
            assert!(large.usable_bytes() >= 2 << 20);
            let counts = |in_use, pooled| PoolCounts {
                in_use,
                in_use_max: 1,
                pooled,
            };
            assert_eq!(pool.counts(), counts(1, 1));
            pool.give(large);
            assert_eq!(pool.counts(), counts(0, 2));
        });
        assert_passed(&output);
    }

    #[test]
    fn above_the_watermark_memory_goes_back() {
        // A size that no other test uses, so that nobody else takes the slots.
        let bytes = 6 << 20;
        let pool = StackPool::with_hot_max(40);
        let stacks: Vec<Stack> = (0..200).map(|_| pool.take(bytes).unwrap()).collect();
        let slots: Vec<_> = stacks.iter().map(touch).collect();
        assert_eq!(residents(&slots), 200);
        stacks.into_iter().for_each(|stack| pool.give(stack));
        let hot = pool.counts().pooled;
        assert!((40..40 + BATCH).contains(&hot), "{hot}");
        assert_eq!(residents(&slots), hot, "those in the pool, and no others");
        assert_eq!(
            residents(&slots[200 - hot..]),
            hot,
            "the last ones are the warm ones"
        );
        pool.trim();
        assert_eq!((residents(&slots), pool.counts().pooled), (0, 0));
    }

    #[test]
    fn what_one_pool_gives_back_another_takes() {
        let bytes = 200 << 20;
        let pool = StackPool::with_hot_max(0);
        let stacks: Vec<Stack> = (0..BATCH).map(|_| pool.take(bytes).unwrap()).collect();
        let mut given: Vec<_> = stacks.iter().map(Stack::slot_base).collect();
        stacks.into_iter().for_each(|stack| pool.give(stack));
        let other = StackPool::new();
        let stacks: Vec<Stack> = (0..BATCH).map(|_| other.take(bytes).unwrap()).collect();
        let mut taken: Vec<_> = stacks.iter().map(Stack::slot_base).collect();
        given.sort();
        taken.sort();
        assert_eq!(taken, given);
    }

    #[test]
    fn a_pool_that_goes_leaves_no_stack_behind() {
        let output = in_child(
            module_path!(),
            "a_pool_that_goes_leaves_no_stack_behind",
            || {
                let rss = status_bytes("VmRSS");
                let pool = StackPool::with_hot_max(usize::MAX);
                let stacks: Vec<Stack> = (0..2000).map(|_| pool.take(0).unwrap()).collect();
                for stack in &stacks {
                    // SAFETY: ours.
                    unsafe { std::ptr::write_bytes(stack.limit(), 1, stack.usable_bytes()) };
                }
                stacks.into_iter().for_each(|stack| pool.give(stack));
                assert!(status_bytes("VmRSS") > rss + 2000 * (64 << 10) / 2);
                drop(pool);
                let after = counts();
                assert_eq!((after.in_use, after.slabs.slots_free), (0, 2000));
                let kept = status_bytes("VmRSS").saturating_sub(rss);
                assert!(kept < 8 << 20, "{kept} bytes kept");
            },
        );
        assert_passed(&output);
    }

    #[test]
    fn guards_outlive_the_memory() {
        let output = in_child(module_path!(), "guards_outlive_the_memory", || {
            overflow::install();
            let _alt = overflow::install_thread();
            let pool = StackPool::with_hot_max(0);
            let stacks: Vec<Stack> = (0..64).map(|_| pool.take(0).unwrap()).collect();
            let bases: Vec<_> = stacks.iter().map(Stack::slot_base).collect();
            stacks.into_iter().for_each(|stack| pool.give(stack));
            let again = pool.take(0).unwrap();
            assert!(bases.contains(&again.slot_base()));
            run_on(again, || recurse(u64::MAX));
        });
        assert!(
            stderr(&output).contains("overflowed its stack"),
            "{}",
            stderr(&output)
        );
    }
}
