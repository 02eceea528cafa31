//! Places for coroutines: the limit on how many a runtime has at once.
//!
//! Whoever spawns takes a place, and waits for one if none is free; the end of a task, or of a
//! closure that never ran, gives its place back. `left` is how many are free; a place that is
//! given back goes straight to the first who waits.
//!
//! A spawner that may not wait (inside `no_wait`, in a callback, on a worker outside any
//! coroutine) goes over the limit, and `left` below zero: back-pressure is for those who can
//! be pressed. So does one whose runtime is stopping, as then nobody gives places back.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::wait::{Limit, Reason, WaitQueue, in_coroutine, may_wait};
use crate::worker::Worker;

pub(crate) struct Places {
    left: AtomicI64,
    waiters: WaitQueue,
}

impl Places {
    pub(crate) fn new(count: usize) -> Places {
        Places {
            left: AtomicI64::new(i64::try_from(count).unwrap_or(i64::MAX)),
            waiters: WaitQueue::new(),
        }
    }

    /// Takes a place if one is free.
    pub(crate) fn try_take(&self) -> bool {
        let mut left = self.left.load(Ordering::SeqCst);
        while left > 0 {
            match self.left.compare_exchange_weak(
                left,
                left - 1,
                Ordering::SeqCst,
                Ordering::SeqCst,
            ) {
                Ok(_) => return true,
                Err(seen) => left = seen,
            }
        }
        false
    }

    /// Takes a place, waiting for it if the caller may wait and the runtime isn't `stopping`.
    pub(crate) fn take(&self, stopping: impl Fn() -> bool) {
        // A worker outside any coroutine must not block: it is what gives places back.
        let must_not = Worker::current().is_some() && !in_coroutine();
        if self.try_take() {
            return;
        }
        if must_not || !may_wait() || std::thread::panicking() {
            self.left.fetch_sub(1, Ordering::SeqCst);
            return;
        }
        let guard = self.waiters.lock();
        if self.try_take() {
            return;
        }
        if stopping() {
            self.left.fetch_sub(1, Ordering::SeqCst);
            return;
        }
        // Woken with a place, or by `open` without one, which is then of no account.
        guard.wait(
            0,
            Reason::Place,
            std::ptr::from_ref(self) as usize,
            Limit::NONE,
        );
    }

    /// Takes a place, free or not.
    pub(crate) fn take_over(&self) {
        self.left.fetch_sub(1, Ordering::SeqCst);
    }

    /// Gives a place back.
    pub(crate) fn give(&self) {
        self.left.fetch_add(1, Ordering::SeqCst);
        while !self.waiters.is_empty() {
            let mut waiters = self.waiters.lock();
            if waiters.is_empty() || !self.try_take() {
                return;
            }
            let claimed = waiters.claim_next();
            drop(waiters);
            match claimed {
                Some(claimed) => return claimed.wake(),
                None => self.left.fetch_add(1, Ordering::SeqCst),
            };
        }
    }

    /// Lets all who wait go on without a place: the runtime stops.
    pub(crate) fn open(&self) {
        self.waiters.wake_all();
    }
}
