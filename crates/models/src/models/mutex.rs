//! The raw mutex.

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::thread;

use super::{DEADLOCK, RACE, Who, fails, holds};
use crate::rt::mutex::RawMutex;
use crate::shim::clock;
use crate::shim::lock_api::{RawMutex as _, RawMutexTimed as _};

struct Counter {
    mutex: RawMutex,
    count: UnsafeCell<usize>,
}

// SAFETY: the count is used under the mutex, which the models check.
unsafe impl Send for Counter {}
// SAFETY: as above.
unsafe impl Sync for Counter {}

impl Counter {
    fn new() -> Arc<Counter> {
        Arc::new(Counter {
            mutex: RawMutex::init(),
            count: UnsafeCell::new(0),
        })
    }

    /// Adds one and unlocks.
    fn add(&self) {
        // SAFETY: loom checks that this is the only use.
        self.count.with_mut(|count| unsafe { *count += 1 });
        // SAFETY: locked by the caller.
        unsafe { self.mutex.unlock() };
    }

    fn check(&self, count: usize) {
        assert!(!self.mutex.is_locked(), "it is left locked");
        self.mutex.lock();
        // SAFETY: as above.
        self.count.with(|now| assert_eq!(unsafe { *now }, count));
        // SAFETY: locked above.
        unsafe { self.mutex.unlock() };
    }
}

/// Two threads and the main one lock, `rounds` times each.
fn three_lock(who: [Who; 2], rounds: usize) {
    let counter = Counter::new();
    let others = who.map(|who| {
        let counter = Arc::clone(&counter);
        thread::spawn(move || {
            who.run(|| {
                for _ in 0..rounds {
                    counter.mutex.lock();
                    counter.add();
                }
            });
        })
    });
    counter.mutex.lock();
    counter.add();
    for other in others {
        other.join().unwrap();
    }
    counter.check(1 + 2 * rounds);
}

/// One gives up at its deadline while two others lock.
fn one_gives_up(who: Who) {
    clock::begin();
    let counter = Counter::new();
    let timed = {
        let counter = Arc::clone(&counter);
        thread::spawn(move || {
            who.run(|| {
                let locked = counter.mutex.try_lock_for(std::time::Duration::ZERO);
                if locked {
                    counter.add();
                }
                usize::from(locked)
            })
        })
    };
    let other = {
        let counter = Arc::clone(&counter);
        thread::spawn(move || {
            counter.mutex.lock();
            counter.add();
        })
    };
    counter.mutex.lock();
    clock::pass();
    counter.add();
    other.join().unwrap();
    let locked = timed.join().unwrap();
    counter.check(2 + locked);
}

#[test]
fn one_at_a_time_and_nobody_waits_for_ever() {
    holds(2, || three_lock([Who::Thread, Who::Thread], 1));
    holds(2, || three_lock([Who::Coroutine, Who::Thread], 1));
}

#[test]
fn a_deadline_loses_no_unlock() {
    holds(2, || one_gives_up(Who::Thread));
    holds(2, || one_gives_up(Who::Coroutine));
}
