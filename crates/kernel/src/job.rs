//! Fork and join: two closures, of which the second may run elsewhere meanwhile.
//!
//! The second half lies in the caller's frame, as a `Job`, and stands in the deque of the
//! caller's worker while the first half runs. There is one reference to it, in the deque:
//!
//! ```text
//!   pushed ──taken back──▶ run in place, or dropped if the first half panicked
//!      └───────stolen────▶ a coroutine of the thief's runs it ──▶ done: the joiner goes on
//! ```
//!
//! Whoever has taken the reference out owns the closure. The frame stays until the job is done
//! or was taken back, whatever happens in the first half: a panic there is held back until
//! then, and the wait is not ended by a cancellation.
//!
//! # The end
//!
//! `progress` belongs to whoever holds the queue's lock. The runner's last touch of the frame is
//! its giving back the lock under which it wrote `Done`; the joiner looks under the lock alone,
//! also when it was woken, so that it leaves the frame after that.
//!
//! # Cancellation
//!
//! A stolen half stands under the token under which `join` was called: the caller doesn't leave
//! it before. If the joiner itself is cancelled it passes that on, once, and waits on.

use std::cell::{Cell, UnsafeCell};
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::atomic::Ordering;
use std::thread;

use crate::cancel;
use crate::outcome::JoinError;
use crate::record::{Behaviour, CANCELLED, DAEMON, DETACHED, REF, Record};
use crate::runtime::spawn_unchecked;
use crate::task::{self, Handle, Options, Role};
use crate::wait::{AbortOnUnwind, Limit, Outcome, Reason, WaitQueue, may_wait};
use crate::worker::Worker;

/// What is in the deques: the one reference to a job.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct JobRef(NonNull<Job>);

// SAFETY: the closure behind it and its result are `Send`, and whoever takes the reference out
// of the deque is the only one to touch them; all else in the job is locked, or is not written
// once the job was pushed.
unsafe impl Send for JobRef {}

/// The second half of a join, but for its types.
struct Job {
    /// Runs it and says that it is done. Never unwinds.
    run: unsafe fn(NonNull<Job>),
    site: &'static Location<'static>,
    joiner: NonNull<Record>,
    /// The joiner's token, or null.
    token: *const cancel::Node,
    queue: WaitQueue,
    /// Under the queue's lock.
    progress: Cell<Progress>,
}

#[derive(Clone, Copy)]
enum Progress {
    /// Not begun by a coroutine of its own.
    Waiting,
    /// As above, and the joiner was cancelled.
    Cancelled,
    Running(NonNull<Record>),
    Done,
}

impl Job {
    /// Says that it is done, and lets the joiner go on.
    ///
    /// # Safety
    ///
    /// By the runner, whose result is in place. The job may be gone when this returns.
    unsafe fn finish(this: NonNull<Job>) {
        let claimed = {
            // SAFETY: not done, so its frame is there; not touched after the lock is given back.
            let job = unsafe { this.as_ref() };
            let mut queue = job.queue.lock();
            job.progress.set(Progress::Done);
            queue.claim_next()
        };
        if let Some(claimed) = claimed {
            claimed.wake();
        }
    }

    /// Waits until a thief, or the worker's loop, has run it.
    #[cold]
    #[inline(never)]
    fn wait(&self) {
        let guard = AbortOnUnwind;
        let mut limit = Limit::cancellable(None);
        loop {
            let queue = self.queue.lock();
            if matches!(self.progress.get(), Progress::Done) {
                break;
            }
            let object = std::ptr::from_ref(self) as usize;
            if queue.wait(0, Reason::Join, object, limit) == Outcome::Cancelled {
                limit = Limit::NONE;
                self.pass_cancellation_on();
            }
        }
        std::mem::forget(guard);
    }

    /// Cancels the half that runs elsewhere, if it is the joiner itself that is cancelled: under
    /// the joiner's token it stands too.
    fn pass_cancellation_on(&self) {
        // SAFETY: the calling coroutine's.
        if !unsafe { self.joiner.as_ref() }.has(CANCELLED) {
            return;
        }
        let queue = self.queue.lock();
        let runner = match self.progress.get() {
            Progress::Running(runner) => runner,
            Progress::Waiting => return self.progress.set(Progress::Cancelled),
            Progress::Cancelled | Progress::Done => return,
        };
        // SAFETY: it is not done, and can't be while we hold the lock: the runner's reference
        // keeps the record.
        let record = unsafe { runner.as_ref() };
        record.life.fetch_add(REF, Ordering::Relaxed);
        let id = record.id();
        drop(queue);
        cancel::cancel_task(runner, id);
        // SAFETY: the reference taken above.
        unsafe { task::release(runner) };
    }
}

/// The second half of a join, in the frame of its caller.
#[repr(C)]
struct Half<B, RB> {
    job: Job,
    closure: UnsafeCell<MaybeUninit<B>>,
    result: UnsafeCell<MaybeUninit<thread::Result<RB>>>,
}

impl<B: FnOnce() -> RB, RB> Half<B, RB> {
    #[inline]
    fn new(joiner: &Record, site: &'static Location<'static>, closure: B) -> Half<B, RB> {
        Half {
            job: Job {
                run: Self::run,
                site,
                joiner: NonNull::from(joiner),
                token: cancel::address_of(joiner),
                queue: WaitQueue::new(),
                progress: Cell::new(Progress::Waiting),
            },
            closure: UnsafeCell::new(MaybeUninit::new(closure)),
            result: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// # Safety
    ///
    /// The caller took the job's reference out of its deque, and does this once.
    #[inline]
    unsafe fn take_closure(&self) -> B {
        // SAFETY: written by `new`, and the caller's alone.
        unsafe { (*self.closure.get()).assume_init_read() }
    }

    unsafe fn run(job: NonNull<Job>) {
        // SAFETY: `run` is in jobs that are a half's first field alone, and the reference was
        // made from the half's.
        let half = unsafe { job.cast::<Half<B, RB>>().as_ref() };
        // SAFETY: called once, by who has taken the reference out.
        let closure = unsafe { half.take_closure() };
        let result = catch_unwind(AssertUnwindSafe(closure));
        // SAFETY: the runner's until it says that it is done.
        unsafe { (*half.result.get()).write(result) };
        // SAFETY: as above.
        unsafe { Job::finish(job) };
    }
}

/// Runs both closures, perhaps at the same time, and gives what they gave.
///
/// A panic of one of them goes on once both are over; if both panic it is `a`'s.
#[inline]
pub fn join<A, B, RA, RB>(site: &'static Location<'static>, a: A, b: B) -> (RA, RB)
where
    A: FnOnce() -> RA + Send,
    B: FnOnce() -> RB + Send,
    RA: Send,
    RB: Send,
{
    if let Some(worker) = Worker::current()
        && let Some(record) = worker.current_record()
        && may_wait()
    {
        join_here(worker, record, site, a, b)
    } else {
        join_elsewhere(site, a, b)
    }
}

#[inline]
fn join_here<A, B, RA, RB>(
    worker: &Worker,
    record: &Record,
    site: &'static Location<'static>,
    a: A,
    b: B,
) -> (RA, RB)
where
    A: FnOnce() -> RA,
    B: FnOnce() -> RB,
{
    let half = Half::new(record, site, b);
    let job = JobRef(NonNull::from(&half).cast());
    worker.push_job(job);
    // From here on the frame stays until the job is back or done: nothing unwinds.
    let first = catch_unwind(AssertUnwindSafe(a));
    if worker.take_back(job) {
        // SAFETY: just taken back.
        let b = unsafe { half.take_closure() };
        return match first {
            Ok(first) => (first, b()),
            Err(payload) => {
                drop(b);
                resume_unwind(payload)
            }
        };
    }
    half.job.wait();
    // SAFETY: it is done: the result is in place, and ours.
    let second = unsafe { half.result.get().read().assume_init() };
    both(first, second)
}

fn both<RA, RB>(first: thread::Result<RA>, second: thread::Result<RB>) -> (RA, RB) {
    match (first, second) {
        (Ok(first), Ok(second)) => (first, second),
        (Err(payload), _) | (Ok(_), Err(payload)) => resume_unwind(payload),
    }
}

/// From a plain thread: on the global runtime. Where nothing may wait, or nobody is there to
/// help, one after the other.
#[cold]
fn join_elsewhere<A, B, RA, RB>(site: &'static Location<'static>, a: A, b: B) -> (RA, RB)
where
    A: FnOnce() -> RA + Send,
    B: FnOnce() -> RB + Send,
    RA: Send,
    RB: Send,
{
    let mut halves = Some((a, b));
    if Worker::current().is_none() && may_wait() {
        let run = || {
            let (a, b) = halves.take().expect("it runs once");
            join(site, a, b)
        };
        // SAFETY: what it borrows is here until it has ended: that is waited for just below.
        let handle = unsafe { spawn_unchecked(Options::default(), None, site, run) };
        match handle.map(Handle::join_uncancelled) {
            Ok(Ok(results)) => return results,
            Ok(Err(JoinError::Panicked(payload))) => resume_unwind(payload.into_inner()),
            // It never began: the caller is cancelled, or there is no runtime to be had.
            Ok(Err(_)) | Err(_) => {}
        }
    }
    let (a, b) = halves.take().expect("not begun");
    (a(), b())
}

// --- On a coroutine of its own --------------------------------------------------------------

const BEHAVIOUR: Behaviour = Behaviour {
    run,
    cancel: forget,
    drop_outcome: task::drop_outcome::<()>,
};

/// Makes an unstarted task that runs the job.
///
/// # Safety
///
/// The caller has taken the reference out of a deque, and is in its loop.
pub(crate) unsafe fn task_of(worker: &Worker, job: JobRef) -> NonNull<Record> {
    // SAFETY: neither taken back nor done, so its frame is there.
    let this = unsafe { job.0.as_ref() };
    // SAFETY: the joiner is in that frame.
    let joiner = unsafe { this.joiner.as_ref() };
    let options = Options {
        daemon: Some(joiner.has(DAEMON)),
        ..Options::default()
    };
    // SAFETY: what the job borrows outlives its joiner's frame, which waits for the task.
    let task = unsafe { task::prepare_with(Some(worker), Role::Local, options, None, this.site) };
    // SAFETY: just prepared; the joiner is in the frame in which it named its token.
    unsafe {
        let record = task.as_ref();
        record.parent.store(joiner.id(), Ordering::Relaxed);
        // Nobody has a handle.
        record.life.store(REF | DETACHED, Ordering::Relaxed);
        cancel::put_under(record, this.token);
        record.behaviour.set(Some(&BEHAVIOUR));
        task::put::<JobRef>(record, job);
        task::publish(Some(worker), task);
    }
    task
}

unsafe fn run(record: &Record) -> bool {
    // SAFETY: the runner's, put there by `task_of`.
    let JobRef(job) = unsafe { task::take::<JobRef>(record) };
    let run = {
        // SAFETY: not done, so its frame is there.
        let this = unsafe { job.as_ref() };
        let _queue = this.queue.lock();
        if let Progress::Cancelled = this.progress.get() {
            record.set_flag(CANCELLED);
        }
        this.progress.set(Progress::Running(NonNull::from(record)));
        this.run
    };
    // Also if it is cancelled: its joiner waits for it, and could have run it itself.
    if task::has_besides(record) {
        cancel::enter(record);
    }
    // SAFETY: ours to run, once. The frame may be gone after it.
    unsafe { run(job) };
    let mut outcome: Result<(), JoinError> = Ok(());
    if task::has_besides(record) {
        outcome = task::end_besides(record, outcome);
    }
    // SAFETY: the runner's, and the job was taken out.
    unsafe { task::put(record, outcome) };
    true
}

/// Ends one that never ran, as its runtime stops: its joiner never goes on either.
unsafe fn forget(record: &Record, error: JoinError) {
    // SAFETY: the caller's. The reference that was there needs no dropping.
    unsafe { task::put::<Result<(), JoinError>>(record, Err(error)) };
}
