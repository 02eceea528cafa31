//! What a worker counts of itself. Each counter has one writer, so that counting is a load and a
//! store; others read.
//!
//! # Queue latency
//!
//! The time from runnable to running is sampled, at no cost to what is not: each housekeeping
//! marks the coroutine that stands last in the run queue, and its resume gives a sample; a fresh
//! task that is begun right after a housekeeping gives one; and so does each wake-up of a worker
//! that slept, from the signal to its being back in its loop.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::wait::Reason;

/// Counters with one writer, the worker.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) spawned: AtomicU64,
    pub(crate) started: AtomicU64,
    pub(crate) completed: AtomicU64,
    pub(crate) resumed: AtomicU64,
    pub(crate) stolen: AtomicU64,
    /// How often an async task was put aside until its waker calls.
    pub(crate) paused: AtomicU64,
    /// How often the watcher found the worker kept; written by the watcher alone.
    pub(crate) kept: AtomicU64,
    /// How often a coroutine parked, by reason.
    pub(crate) parks: [AtomicU64; Reason::COUNT],
    /// Timers set.
    pub(crate) timers: AtomicU64,
    /// Looks at the driver.
    pub(crate) polls: AtomicU64,
    /// Looks that had news, and how many news.
    pub(crate) batches: AtomicU64,
    pub(crate) completions: AtomicU64,
    /// What was runnable or unstarted at the last housekeeping, but for what others can see.
    pub(crate) queued: AtomicU64,
    pub(crate) latency: Histogram,
}

impl Counts {
    #[inline]
    pub(crate) fn add(counter: &AtomicU64) {
        Counts::add_many(counter, 1);
    }

    #[inline]
    pub(crate) fn add_many(counter: &AtomicU64, more: u64) {
        // One writer: no read-modify-write is needed.
        counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Release);
    }

    /// A number that moves whenever the worker turns to another task.
    pub(crate) fn stamp(&self) -> u64 {
        [&self.resumed, &self.started, &self.completed, &self.paused]
            .into_iter()
            .fold(0, |sum, counter| {
                sum.wrapping_add(counter.load(Ordering::Relaxed))
            })
    }
}

/// Times by powers of two.
pub(crate) struct Histogram {
    /// The bucket `n` counts times of `n` binary digits: below `2^n` nanoseconds.
    buckets: [AtomicU64; Histogram::BUCKETS],
    sum_ns: AtomicU64,
    max_ns: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram {
            buckets: [const { AtomicU64::new(0) }; Histogram::BUCKETS],
            sum_ns: AtomicU64::new(0),
            max_ns: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    pub(crate) const BUCKETS: usize = 48;

    pub(crate) fn note(&self, ns: u64) {
        let bucket = (u64::BITS - ns.leading_zeros()) as usize;
        Counts::add(&self.buckets[bucket.min(Histogram::BUCKETS - 1)]);
        Counts::add_many(&self.sum_ns, ns);
        if ns > self.max_ns.load(Ordering::Relaxed) {
            self.max_ns.store(ns, Ordering::Relaxed);
        }
    }

    /// Counts, sum and maximum.
    pub(crate) fn read(&self) -> ([u64; Histogram::BUCKETS], u64, u64) {
        let mut counts = [0; Histogram::BUCKETS];
        for (count, bucket) in counts.iter_mut().zip(&self.buckets) {
            *count = bucket.load(Ordering::Relaxed);
        }
        (
            counts,
            self.sum_ns.load(Ordering::Relaxed),
            self.max_ns.load(Ordering::Relaxed),
        )
    }
}
