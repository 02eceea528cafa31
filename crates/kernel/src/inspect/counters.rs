//! The counters of all workers, read at one time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::blocking;
use crate::clock;
use crate::runtime::{self, Shared};
use crate::stack::{self, StackCounts};
use crate::wait::Reason;
use crate::worker::{Histogram, WorkerShared};

/// What one worker, or all, did since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Tasks spawned.
    pub spawned: u64,
    /// Times that a task was begun on a stack: an async task begins with each poll.
    pub started: u64,
    /// Tasks ended.
    pub completed: u64,
    /// Coroutines resumed.
    pub resumed: u64,
    /// Batches of unstarted tasks taken from other workers.
    pub stolen: u64,
    /// Polls of async tasks that were pending.
    pub paused: u64,
    /// Times that one coroutine kept the worker for too long.
    pub kept: u64,
    /// Times that a coroutine parked, by the number of its reason.
    pub parks: [u64; Reason::COUNT],
    /// Timers set.
    pub timers: u64,
    /// Looks at the driver.
    pub polls: u64,
    /// Looks at the driver that had news.
    pub batches: u64,
    /// News of the driver: completions, or events of readiness.
    pub completions: u64,
    /// Tasks in the run queue: a look at a moment.
    pub queue_len: u64,
    /// From runnable to running: samples.
    pub latency: Latency,
}

/// Times, counted by powers of two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latency {
    /// The place `n` counts times below `2^n` nanoseconds, and not below half of that.
    pub buckets: [u64; Histogram::BUCKETS],
    /// Their sum.
    pub sum_ns: u64,
    /// The longest.
    pub max_ns: u64,
}

impl Default for Latency {
    fn default() -> Latency {
        Latency {
            buckets: [0; Histogram::BUCKETS],
            sum_ns: 0,
            max_ns: 0,
        }
    }
}

impl Latency {
    /// How many times were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// A time that no more than `1 - quantile` of all exceed; 0 if there are none.
    pub fn quantile_ns(&self, quantile: f64) -> u64 {
        let below = (quantile * self.count() as f64).ceil() as u64;
        let mut seen = 0;
        for (digits, count) in self.buckets.iter().enumerate() {
            seen += count;
            if *count != 0 && seen >= below {
                return (1u64 << digits).saturating_sub(1).min(self.max_ns);
            }
        }
        self.max_ns
    }

    fn add(&mut self, other: &Latency) {
        for (sum, count) in self.buckets.iter_mut().zip(other.buckets) {
            *sum += count;
        }
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
    }
}

impl Counters {
    fn of(worker: &WorkerShared) -> Counters {
        let counts = &worker.counts;
        let (buckets, sum_ns, max_ns) = counts.latency.read();
        let mut parks = [0; Reason::COUNT];
        for (count, counter) in parks.iter_mut().zip(&counts.parks) {
            *count = counter.load(Ordering::Relaxed);
        }
        Counters {
            spawned: counts.spawned.load(Ordering::Relaxed),
            started: counts.started.load(Ordering::Relaxed),
            completed: counts.completed.load(Ordering::Relaxed),
            resumed: counts.resumed.load(Ordering::Relaxed),
            stolen: counts.stolen.load(Ordering::Relaxed),
            paused: counts.paused.load(Ordering::Relaxed),
            kept: counts.kept.load(Ordering::Relaxed),
            parks,
            timers: counts.timers.load(Ordering::Relaxed),
            polls: counts.polls.load(Ordering::Relaxed),
            batches: counts.batches.load(Ordering::Relaxed),
            completions: counts.completions.load(Ordering::Relaxed),
            queue_len: counts.queued.load(Ordering::Relaxed)
                + (worker.stealer.len() + worker.placed.len()) as u64,
            latency: Latency {
                buckets,
                sum_ns,
                max_ns,
            },
        }
    }

    fn add(&mut self, other: &Counters) {
        self.spawned += other.spawned;
        self.started += other.started;
        self.completed += other.completed;
        self.resumed += other.resumed;
        self.stolen += other.stolen;
        self.paused += other.paused;
        self.kept += other.kept;
        for (sum, count) in self.parks.iter_mut().zip(other.parks) {
            *sum += count;
        }
        self.timers += other.timers;
        self.polls += other.polls;
        self.batches += other.batches;
        self.completions += other.completions;
        self.queue_len += other.queue_len;
        self.latency.add(&other.latency);
    }
}

/// One worker's counters.
#[derive(Clone, Debug)]
pub struct WorkerCounters {
    /// Its runtime, numbered from 0 in the order of their starts.
    pub runtime: usize,
    /// Its index in the runtime.
    pub index: usize,
    /// What it counted.
    pub counters: Counters,
}

/// All counters of the process.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Nanoseconds since the first use of the clock.
    pub uptime_ns: u64,
    /// Coroutines and async tasks that have not ended.
    pub live: u64,
    /// The workers of all living runtimes.
    pub workers: Vec<WorkerCounters>,
    /// All workers, those of runtimes that have gone too.
    pub total: Counters,
    /// The stacks.
    pub stacks: StackCounts,
    /// The most of a stack that was found used by a survey that measured; 0 without any.
    pub stack_used_max: usize,
    /// The blocking pool.
    pub blocking: blocking::PoolCounts,
}

/// What workers counted that have gone.
static GONE: Mutex<Option<Box<Counters>>> = Mutex::new(None);
/// The most of a stack that was found used.
static STACK_USED_MAX: AtomicUsize = AtomicUsize::new(0);

pub(super) fn note_stack_used(bytes: usize) {
    STACK_USED_MAX.fetch_max(bytes, Ordering::Relaxed);
}

/// Keeps the counts of a runtime that goes.
pub(crate) fn retire(shared: &Shared) {
    let mut gone = GONE.lock().unwrap_or_else(PoisonError::into_inner);
    let gone = gone.get_or_insert_default();
    for worker in &shared.workers {
        gone.add(&Counters::of(worker));
    }
    // From outside the workers; and what was dropped without having run.
    gone.spawned += shared.injected_count();
    gone.completed += shared.cancelled_count();
    gone.queue_len = 0;
}

/// Reads the counters of all workers.
pub fn read() -> Reading {
    let runtimes = runtime::living_runtimes();
    let mut workers = Vec::new();
    let mut total = Counters::default();
    let mut live = 0;
    for (runtime, shared) in runtimes.iter().enumerate() {
        for (index, worker) in shared.workers.iter().enumerate() {
            let counters = Counters::of(worker);
            total.add(&counters);
            workers.push(WorkerCounters {
                runtime,
                index,
                counters,
            });
        }
        total.spawned += shared.injected_count();
        total.completed += shared.cancelled_count();
        total.queue_len += shared.injector.len() as u64;
        live += shared.live();
    }
    let gone = GONE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(gone) = &*gone {
        total.add(gone);
    }
    drop(gone);
    Reading {
        uptime_ns: clock::now_ns(),
        live,
        workers,
        total,
        stacks: stack::counts(),
        stack_used_max: STACK_USED_MAX.load(Ordering::Relaxed),
        blocking: blocking::counts(),
    }
}
