//! What can be seen of a pool of threads: counts, and each worker's history.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::ThreadPool;

/// What one worker of a [`ThreadPool`] has done: a place for a thread, and those that were there.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ThreadInsight {
    /// Its number, from 0 on.
    pub worker: usize,
    /// Whether it has a thread now.
    pub alive: bool,
    /// Whether that thread idles.
    pub idle: bool,
    /// How many threads it has had.
    pub threads: u64,
    /// Tasks of the pool that have ended there.
    pub tasks: u64,
    /// Tasks of the pool that have begun there and not ended; those that wait are among them.
    pub running: u64,
    /// How long its threads had something to do.
    pub busy: Duration,
    /// How long they had nothing to do.
    pub idle_time: Duration,
    /// How long its last thread took to start, from the request to its being ready.
    pub start_up: Duration,
}

impl<S> ThreadPool<S> {
    /// How many threads it may have.
    pub fn max_threads(&self) -> usize {
        self.runtime.workers()
    }

    /// How many threads it has.
    pub fn live_threads(&self) -> usize {
        self.remote.threads()
    }

    /// How many of its threads idle.
    pub fn idle_threads(&self) -> usize {
        let seats = self.remote.seats();
        seats.iter().filter(|seat| seat.asleep).count()
    }

    /// How many closures are queued: given to the pool, and not started.
    pub fn queued(&self) -> usize {
        let common = &self.common;
        common.queue - common.places.available_permits().min(common.queue)
    }

    /// How many places its queue has.
    pub fn queue_capacity(&self) -> usize {
        self.common.queue
    }

    /// How many tasks have begun and not ended; those that wait are among them.
    pub fn running(&self) -> usize {
        let counts = &self.common.counts;
        // Ends first: never more than have begun.
        let ended: u64 = counts
            .iter()
            .map(|one| one.ended.load(Ordering::Acquire))
            .sum();
        let begun: u64 = counts
            .iter()
            .map(|one| one.begun.load(Ordering::Acquire))
            .sum();
        usize::try_from(begun.saturating_sub(ended)).unwrap_or(usize::MAX)
    }

    /// How many tasks have ended.
    pub fn completed(&self) -> u64 {
        let counts = self.common.counts.iter();
        counts.map(|one| one.ended.load(Ordering::Acquire)).sum()
    }

    /// What each worker has done.
    pub fn thread_insights(&self) -> Vec<ThreadInsight> {
        let seats = self.remote.seats();
        let workers = seats.iter().zip(&self.common.counts).enumerate();
        let look = |(worker, (seat, counts)): (usize, (_, &crossbeam_utils::CachePadded<_>))| {
            let seat: &ropewalk_kernel::runtime::SeatSeen = seat;
            let counts: &super::core::Counts = counts;
            let ended = counts.ended.load(Ordering::Acquire);
            let begun = counts.begun.load(Ordering::Acquire);
            ThreadInsight {
                worker,
                alive: seat.seated,
                idle: seat.asleep,
                threads: seat.threads,
                tasks: ended,
                running: begun.saturating_sub(ended),
                busy: Duration::from_nanos(seat.seated_ns.saturating_sub(seat.slept_ns)),
                idle_time: Duration::from_nanos(seat.slept_ns),
                start_up: Duration::from_nanos(seat.startup_ns),
            }
        };
        workers.map(look).collect()
    }
}
