//! The blocking pool: elastic threads for what no driver can do.
//!
//! `unblock` hands a closure to a thread and parks the calling coroutine until it is done.
//! The closure may borrow: the call returns only after the closure has, and nothing
//! unwinds or forgets a parked coroutine's frame.
//!
//! At most [`THREADS_MAX`] threads; a job that finds all busy waits in the queue. Idle
//! threads leave after [`IDLE_MAX`].

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::wait::{AbortOnUnwind, Limit, Reason, WaitQueue, in_coroutine};

/// The most threads the pool has.
pub const THREADS_MAX: usize = 512;
/// How long a thread without work stays.
pub const IDLE_MAX: Duration = Duration::from_secs(10);

struct Pool {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    named: usize,
    submitted: u64,
}

enum Job {
    /// On the frame of a coroutine that waits for it.
    Awaited(*mut (dyn FnMut() + Send)),
    /// Its own master.
    Detached(Box<dyn FnOnce() + Send>),
}

// SAFETY: the closures are `Send`, and an awaited one's owner waits until it has run.
unsafe impl Send for Job {}

static POOL: Mutex<Pool> = Mutex::new(Pool {
    jobs: VecDeque::new(),
    threads: 0,
    idle: 0,
    named: 0,
    submitted: 0,
});
static WORK: Condvar = Condvar::new();

fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `f` where it may block: a coroutine parks while a thread of the pool runs it; a
/// plain thread runs it itself.
///
/// # Panics
///
/// With `f`'s panic; and in a `no_wait` section of a coroutine.
pub fn unblock<F, T>(f: F) -> T
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    if !in_coroutine() {
        return f();
    }
    crate::wait::check_may_wait();
    let mut f = Some(f);
    let mut outcome: Option<Result<T, Box<dyn Any + Send>>> = None;
    let finished = AtomicBool::new(false);
    let done = WaitQueue::new();
    {
        let guard = AbortOnUnwind;
        let mut job = || {
            let f = f.take().expect("a job runs once");
            outcome = Some(catch_unwind(AssertUnwindSafe(f)));
            // Set and woken under the queue's lock: once it is free the frame may go.
            let mut queue = done.lock();
            finished.store(true, Ordering::SeqCst);
            let claimed = queue.claim_next();
            drop(queue);
            if let Some(claimed) = claimed {
                claimed.wake();
            }
        };
        let job: *mut (dyn FnMut() + Send + '_) = &raw mut job;
        // SAFETY: only the lifetime changes; the frame is not left before the job is done.
        let job: *mut (dyn FnMut() + Send + 'static) = unsafe { std::mem::transmute(job) };
        submit(Job::Awaited(job));
        let queue = done.lock();
        if !finished.load(Ordering::SeqCst) {
            queue.wait(0, Reason::Blocking, 0, Limit::NONE);
        } else {
            drop(queue);
        }
        std::mem::forget(guard);
    }
    match outcome.expect("the job has run") {
        Ok(value) => value,
        Err(payload) => resume_unwind(payload),
    }
}

/// Has a thread of the pool run `f`, and doesn't wait: for what must go on although nobody
/// may be waiting for it any more. A panic ends with it; the panic hook has told of it.
pub fn detach<F>(f: F)
where
    F: FnOnce() + Send + 'static,
{
    submit(Job::Detached(Box::new(f)));
}

fn submit(job: Job) {
    let mut pool = pool();
    pool.jobs.push_back(job);
    pool.submitted += 1;
    let short = pool.idle < pool.jobs.len();
    if short && pool.threads < THREADS_MAX {
        pool.threads += 1;
        pool.named += 1;
        let name = format!("ropewalk-blocking-{}", pool.named);
        if let Err(error) = thread::Builder::new().name(name).spawn(serve) {
            pool.threads -= 1;
            if pool.threads == 0 {
                // Nobody will ever come: run what there is here, blocking the worker.
                let jobs = std::mem::take(&mut pool.jobs);
                drop(pool);
                eprintln!("ropewalk: no thread for blocking work ({error}); doing it in place");
                for job in jobs {
                    run(job);
                }
                return;
            }
        }
    }
    drop(pool);
    WORK.notify_one();
}

fn serve() {
    let mut pool = pool();
    loop {
        if let Some(job) = pool.jobs.pop_front() {
            drop(pool);
            run(job);
            pool = self::pool();
            continue;
        }
        pool.idle += 1;
        let (next, waited) = WORK
            .wait_timeout(pool, IDLE_MAX)
            .unwrap_or_else(PoisonError::into_inner);
        pool = next;
        pool.idle -= 1;
        if waited.timed_out() && pool.jobs.is_empty() {
            pool.threads -= 1;
            return;
        }
    }
}

fn run(job: Job) {
    match job {
        // SAFETY: its owner waits until it has run, and it is run once. It doesn't unwind.
        Job::Awaited(job) => unsafe { (*job)() },
        Job::Detached(job) => drop(catch_unwind(AssertUnwindSafe(job))),
    }
}

/// How many threads the pool has that have nothing to do at this moment, and no job on its way
/// to them.
pub(crate) fn idle_threads() -> usize {
    let pool = pool();
    pool.idle.saturating_sub(pool.jobs.len())
}

/// How many threads the pool has at this moment.
pub fn threads() -> usize {
    pool().threads
}

/// What the pool has and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolCounts {
    /// Its threads.
    pub threads: usize,
    /// Those with nothing to do.
    pub idle: usize,
    /// Jobs that wait for a thread.
    pub queued: usize,
    /// Jobs that were ever handed to it.
    pub submitted: u64,
}

/// Counts threads and jobs.
pub fn counts() -> PoolCounts {
    let pool = pool();
    PoolCounts {
        threads: pool.threads,
        idle: pool.idle,
        queued: pool.jobs.len(),
        submitted: pool.submitted,
    }
}
