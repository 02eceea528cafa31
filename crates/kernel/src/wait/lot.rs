//! The lot: waiting for an address, for objects that have no room for a queue.
//!
//! A table of [`WaitQueue`]s; a key is hashed to one of them, and is the token of who waits
//! there. It is compared, never followed. As with Linux's futex and WebKit's parking lot
//! (Pizlo, "Locking in WebKit", 2016), the waiter says by a closure, under the queue's lock,
//! whether there is still a reason to wait; whoever changes that calls [`unpark_one`] or
//! [`unpark_all`] after it.
//!
//! Keys that share a queue share its lock, and the walk over its waiters; nothing else.

use super::queue::WaitQueue;
use super::{Limit, Outcome, Reason};

const QUEUES: usize = 256;

static TABLE: [Padded; QUEUES] = [const { Padded(WaitQueue::new()) }; QUEUES];

/// Alone on its cache line.
#[repr(align(64))]
struct Padded(WaitQueue);

/// The queue that a key is hashed to (Fibonacci hashing: Knuth, TAOCP 3, 6.4).
fn queue(key: usize) -> &'static WaitQueue {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    let hash = (key as u64).wrapping_mul(GOLDEN) >> (64 - QUEUES.ilog2());
    &TABLE[hash as usize].0
}

/// Waits until somebody unparks `key`, as long as `limit` allows; `None` if `validate`, called
/// under the lock, says that there is nothing to wait for.
///
/// # Panics
///
/// Inside [`no_wait`](super::no_wait). `validate` must not panic, wait, or use the lot.
pub fn park(
    key: usize,
    reason: Reason,
    limit: Limit,
    validate: impl FnOnce() -> bool,
) -> Option<Outcome> {
    let guard = queue(key).lock();
    if !validate() {
        return None;
    }
    Some(guard.wait(key, reason, key, limit))
}

/// Wakes the first who waits for `key`; says whether there was one.
pub fn unpark_one(key: usize) -> bool {
    let queue = queue(key);
    if queue.is_empty() {
        return false;
    }
    let claimed = queue.lock().claim_with_token(key);
    let found = claimed.is_some();
    if let Some(claimed) = claimed {
        claimed.wake();
    }
    found
}

/// Wakes all who wait for `key` at this moment; gives their number.
pub fn unpark_all(key: usize) -> usize {
    const BATCH: usize = 16;
    let queue = queue(key);
    let mut left = queue.lock().count_with_token(key);
    let mut woken = 0;
    while left > 0 {
        let mut batch: [Option<super::Claimed>; BATCH] = Default::default();
        let mut guard = queue.lock();
        let mut taken = 0;
        for place in batch.iter_mut().take(left) {
            *place = guard.claim_with_token(key);
            taken += usize::from(place.is_some());
        }
        drop(guard);
        batch.into_iter().flatten().for_each(super::Claimed::wake);
        woken += taken;
        left = if taken == 0 { 0 } else { left - taken };
    }
    woken
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

    use super::*;

    /// A lock of one byte, which waits in the lot.
    struct ByteLock(AtomicU8);

    const FREE: u8 = 0;
    const HELD: u8 = 1;
    const WAITED_FOR: u8 = 2;

    impl ByteLock {
        fn key(&self) -> usize {
            std::ptr::from_ref(self) as usize
        }

        fn lock(&self) {
            let uncontended =
                self.0
                    .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed);
            if uncontended.is_err() {
                while self.0.swap(WAITED_FOR, Ordering::SeqCst) != FREE {
                    park(self.key(), Reason::Lock, Limit::NONE, || {
                        self.0.load(Ordering::SeqCst) == WAITED_FOR
                    });
                }
            }
        }

        fn unlock(&self) {
            if self.0.swap(FREE, Ordering::SeqCst) == WAITED_FOR {
                unpark_one(self.key());
            }
        }
    }

    #[test]
    fn locks_of_one_byte_exclude() {
        const LOCKS: usize = 300;
        let locks: Vec<ByteLock> = (0..LOCKS).map(|_| ByteLock(AtomicU8::new(FREE))).collect();
        let counts: Vec<AtomicUsize> = (0..LOCKS).map(|_| AtomicUsize::new(0)).collect();
        std::thread::scope(|s| {
            for thread in 0..4 {
                let (locks, counts) = (&locks, &counts);
                s.spawn(move || {
                    for turn in 0..3000 {
                        // Few of them are fought for; all share the table.
                        let which = (turn * (thread + 1)) % if turn % 2 == 0 { 3 } else { LOCKS };
                        locks[which].lock();
                        let before = counts[which].load(Ordering::Relaxed);
                        std::thread::yield_now();
                        counts[which].store(before + 1, Ordering::Relaxed);
                        locks[which].unlock();
                    }
                });
            }
        });
        let sum: usize = counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum();
        assert_eq!(sum, 4 * 3000);
    }

    #[test]
    fn a_key_wakes_its_own_waiters_alone() {
        // All in one queue: keys that differ by a multiple of nothing in particular, found by
        // looking.
        let first = 0x1000;
        let second = (first + 8..)
            .find(|key| std::ptr::eq(queue(*key), queue(first)))
            .unwrap();
        assert!(!unpark_one(first) && unpark_all(second) == 0);
        let woken = AtomicUsize::new(0);
        std::thread::scope(|s| {
            for key in [first, second, second] {
                let woken = &woken;
                s.spawn(move || {
                    let outcome = park(key, Reason::Event, Limit::NONE, || true);
                    assert_eq!(outcome, Some(Outcome::Woken));
                    woken.fetch_add(if key == first { 1 } else { 10 }, Ordering::SeqCst);
                });
            }
            while queue(first).lock().count_with_token(second) < 2 {
                std::thread::yield_now();
            }
            assert_eq!(unpark_all(second), 2);
            while woken.load(Ordering::SeqCst) < 20 {
                std::thread::yield_now();
            }
            while !unpark_one(first) {
                std::thread::yield_now();
            }
        });
        assert_eq!(woken.into_inner(), 21);
    }

    #[test]
    fn nothing_to_wait_for_and_too_late() {
        let key = 0xABCD;
        assert_eq!(park(key, Reason::Event, Limit::NONE, || false), None);
        let soon = Limit::until(Some(crate::clock::now_ns() + 1_000_000));
        assert_eq!(
            park(key, Reason::Event, soon, || true),
            Some(Outcome::Expired)
        );
        assert!(!unpark_one(key));
    }
}
