//! A worker: one thread that runs coroutines, keeps their timers and drives their I/O.
//!
//! # What a worker has
//!
//! | queue | holds | filled by | emptied by |
//! |---|---|---|---|
//! | `next` | one coroutine woken just now | this worker | this worker |
//! | `run` | started coroutines | this worker | this worker |
//! | `fresh` | unstarted closures | this worker | this worker, thieves |
//! | `fresh_local` | unstarted closures that are not `Send`, or all if there is one worker | this worker | this worker |
//! | `inbox` | started coroutines woken by others | anybody | this worker |
//! | `pinned` | unstarted closures that are to run here | anybody | this worker |
//! | `placed` | unstarted closures placed here by others | other workers | all workers |
//! | `jobs` | second halves of joins whose first half runs or waits | this worker | this worker, thieves |
//!
//! A started coroutine is only ever in its home worker's queues: it never changes threads.
//!
//! # Order
//!
//! A woken coroutine runs next, but not more than [`NEXT_STREAK_MAX`] such in a row. Then
//! started and fresh work take turns of [`TURN`] each; jobs of this worker's own count as fresh,
//! and are every second of what is started. Every [`HOUSEKEEPING`] resumes, and before idling, the worker
//! looks at its inbox, its timers and its driver. One that finds nothing else steals jobs.
//!
//! # Sleeping
//!
//! `asleep` is the protocol between a worker that is about to block and whoever has
//! something for it:
//!
//! ```text
//!   worker:  asleep = true (SeqCst); look at every queue once more; block in the driver
//!   others:  push (SeqCst read-modify-write, or a store and a fence); asleep.swap(false)?
//!            signal the driver
//! ```
//!
//! In the single order of the four, either the worker's look finds the push or the pusher
//! finds `asleep` set. A signal costs a system call only if the target sleeps.
//!
//! Jobs are pushed far more often than anything else, and nearly all are taken back: see
//! `jobs.rs` for when their pusher leaves the fence out.

mod counts;
mod idle;
mod jobs;
mod queue;

pub(crate) use counts::{Counts, Histogram};
use idle::Idling;
pub(crate) use idle::Sleepers;
pub(crate) use queue::{Inbox, ReadyQueue, RunQueue};

use std::cell::{Cell, UnsafeCell};
use std::collections::HashMap;
use std::marker::PhantomPinned;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard};

use crossbeam_deque::{Injector, Stealer};

use crate::cancel;
use crate::clock;
use crate::driver::{Addressed, Driver, IoWait, Letter};
use crate::fork;
use crate::future::Entry;
use crate::host::{Host, HostPool};
use crate::inspect::walk::Walker;
use crate::job::JobRef;
use crate::record::{self, Magazine, Record};
use crate::runtime::{self, Seat, Shared};
use crate::timer::{TimerNode, Wheel};
use crate::wait::{Reason, Wait};
use crate::watcher::Post;

/// How many coroutines woken just now may run before the others have their turn.
const NEXT_STREAK_MAX: u32 = 16;
/// How many started (fresh) tasks run before fresh (started) ones have their turn.
const TURN: u32 = 16;
/// Resumes between two looks at inbox, timers and driver.
const HOUSEKEEPING: u32 = 64;
/// Operations that a coroutine may do without waiting before it gives way.
const BUDGET: u32 = 128;

/// Grows whenever a worker of any runtime finds no stack for a coroutine. The others then give
/// back what lies idle with them: otherwise one could keep all there are.
static STACKS_WANTED: AtomicU64 = AtomicU64::new(0);

/// A record on its way to a worker that starts it.
pub(crate) struct Fresh(pub(crate) NonNull<Record>);

// SAFETY: an unstarted record that isn't LOCAL holds a closure that is `Send`; LOCAL ones
// never enter a queue of `Fresh` that others see.
unsafe impl Send for Fresh {}

/// What a worker has that others may steal: unstarted tasks, and jobs.
pub(crate) type Deques = (
    crossbeam_deque::Worker<Fresh>,
    crossbeam_deque::Worker<JobRef>,
);

/// What others see of a worker.
pub(crate) struct WorkerShared {
    pub(crate) inbox: Inbox,
    pub(crate) placed: Injector<Fresh>,
    pub(crate) pinned: Injector<Fresh>,
    pub(crate) stealer: Stealer<Fresh>,
    pub(crate) jobs: Stealer<JobRef>,
    pub(crate) seat: Seat,
    pub(crate) asleep: AtomicBool,
    pub(crate) signal: crate::driver::Signal,
    /// Where futures that wait for descriptors register.
    pub(crate) futures: crate::driver::Futures,
    /// Letters for the driver: what must be done on this worker's thread. `None` once the
    /// worker reads no more.
    pub(crate) letters: Mutex<Option<Vec<Letter>>>,
    pub(crate) has_letters: AtomicBool,
    /// Whether it sleeps, and has no timer that would wake it; see `stall.rs`.
    pub(crate) sleeps_for_ever: AtomicBool,
    /// How many threads are making a coroutine of this worker runnable. Once its record is in
    /// the inbox the coroutine may run, end, and its runtime with it: what is touched after
    /// that is kept by this count, which the end of `Shared` waits for.
    pub(crate) visitors: AtomicUsize,
    /// Where the watcher finds it; and whether the watcher found it kept by one coroutine.
    pub(crate) post: Post,
    pub(crate) kept: AtomicBool,
    /// Whether its thread is kept by the runtime's own doing; see `watcher::excuse`.
    pub(crate) excused: AtomicBool,
    pub(crate) counts: Counts,
    /// Clock nanoseconds at which it was last seen in its loop.
    pub(crate) beat_ns: AtomicU64,
    /// Clock nanoseconds at which it was last woken; 0 once it is awake.
    pub(crate) roused_ns: AtomicU64,
}

impl WorkerShared {
    /// Wakes the worker if it sleeps. The caller has pushed something before.
    ///
    /// Says whether it did: one that is being woken already is not woken again.
    pub(crate) fn rouse(&self) -> bool {
        self.rouse_for_visitor().is_some()
    }

    /// As [`rouse`](Self::rouse); gives what kept the runtime meanwhile, if anything had to. A
    /// visitor drops it when it counts no more: if it is the last owner, the runtime's end waits for
    /// all visitors.
    fn rouse_for_visitor(&self) -> Option<Option<Arc<Shared>>> {
        let asleep =
            self.asleep.load(Ordering::SeqCst) && self.asleep.swap(false, Ordering::SeqCst);
        asleep.then(|| {
            self.roused_ns.store(clock::now_ns(), Ordering::Relaxed);
            if self.seat.is_taken() {
                self.signal.send();
                return None;
            }
            self.seat.call(self)
        })
    }

    /// As [`rouse`](Self::rouse), if it has a thread: there is something to see, not to run.
    pub(crate) fn nudge(&self) {
        if self.seat.is_taken() {
            self.rouse();
        }
    }

    /// Sends a letter to the worker's driver. One that reads no more drops it: nothing is left
    /// to be done there, and letters that lay on would keep their runtime, and it them.
    ///
    /// Says whether the letter was taken.
    pub(crate) fn post(&self, letter: Letter) -> bool {
        let refused = match &mut *self.letters() {
            Some(letters) => {
                letters.push(letter);
                None
            }
            None => Some(letter),
        };
        let taken = refused.is_none();
        if taken {
            self.has_letters.store(true, Ordering::SeqCst);
            self.rouse();
        }
        taken
    }

    fn letters(&self) -> MutexGuard<'_, Option<Vec<Letter>>> {
        self.letters
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Says whether something is there that it will find when it wakes.
    pub(crate) fn has_mail(&self) -> bool {
        !self.inbox.is_empty()
            || self.has_letters.load(Ordering::SeqCst)
            || !self.placed.is_empty()
            || !self.pinned.is_empty()
            || !self.stealer.is_empty()
            || !self.jobs.is_empty()
    }

    /// Reads letters again: a thread has come.
    pub(crate) fn open_letters(&self) {
        self.letters().get_or_insert_default();
    }

    /// Reads no more letters. By the worker, once its driver is polled no more.
    pub(crate) fn close_letters(&self) {
        let unread = self.letters().take();
        drop(unread);
    }

    /// How many coroutines live on their stacks here; a hint.
    pub(crate) fn live_started(&self) -> u64 {
        let completed = self.counts.completed.load(Ordering::Relaxed);
        let paused = self.counts.paused.load(Ordering::Relaxed);
        self.counts
            .started
            .load(Ordering::Relaxed)
            .saturating_sub(completed + paused)
    }

    /// Notes that one coroutine keeps it. The watcher's.
    pub(crate) fn note_kept(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }

    /// Counts that one coroutine keeps it. The watcher's.
    pub(crate) fn count_kept(&self) {
        Counts::add(&self.counts.kept);
    }
}

pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) index: usize,
    me: NonNull<WorkerShared>,
    /// The coroutine that runs; written by this worker, and read by the watcher too.
    current: AtomicPtr<Record>,
    next: Cell<*const Record>,
    next_streak: Cell<u32>,
    run: ReadyQueue,
    fresh: crossbeam_deque::Worker<Fresh>,
    fresh_local: RunQueue,
    jobs: crossbeam_deque::Worker<JobRef>,
    job_turn: Cell<u32>,
    turn: Cell<u32>,
    ticks: Cell<u32>,
    budget: Cell<u32>,
    idling: Idling,
    alone: bool,
    /// With what a resumed coroutine is to walk its stack, and park again; see `inspect`.
    walking: Cell<*mut Walker>,
    /// Whether the runtime has a limit on coroutines.
    pub(crate) limited: bool,
    pub(crate) driver: Driver,
    wheel: UnsafeCell<Wheel>,
    hosts: HostPool,
    /// [`STACKS_WANTED`] when this worker last gave its idle stacks back.
    stacks_given: Cell<u64>,
    magazine: Magazine,
    ids: Cell<(u64, u64)>,
    /// Whether what it starts is cancelled: its runtime closes.
    pub(crate) cancelling: Cell<bool>,
    /// Clock nanoseconds of the last housekeeping.
    pub(crate) now: Cell<u64>,
    /// Who stood last in the run queue at a housekeeping, and when that was.
    sampled: Cell<*const Record>,
    sampled_ns: Cell<u64>,
    /// The span of the task that ended just now.
    #[cfg(feature = "tracing")]
    ended: Cell<Option<tracing::Span>>,
}

thread_local! {
    static CURRENT: Cell<*const Worker> = const { Cell::new(ptr::null()) };
}

impl Worker {
    pub(crate) fn new(
        shared: Arc<Shared>,
        index: usize,
        (fresh, jobs): Deques,
        driver: Driver,
        hosts: HostPool,
    ) -> Worker {
        let me = NonNull::from(&shared.workers[index]);
        let alone = shared.workers.len() == 1;
        let limited = shared.places.is_some();
        let cancelling = shared.cancelling.load(Ordering::SeqCst);
        let now = clock::now_ns();
        Worker {
            shared,
            index,
            me,
            current: AtomicPtr::new(ptr::null_mut()),
            next: Cell::new(ptr::null()),
            next_streak: Cell::new(0),
            run: ReadyQueue::new(),
            fresh,
            fresh_local: RunQueue::new(),
            jobs,
            job_turn: Cell::new(0),
            turn: Cell::new(0),
            ticks: Cell::new(0),
            budget: Cell::new(BUDGET),
            idling: Idling::default(),
            alone,
            walking: Cell::new(ptr::null_mut()),
            limited,
            driver,
            wheel: UnsafeCell::new(Wheel::new(now)),
            hosts,
            stacks_given: Cell::new(STACKS_WANTED.load(Ordering::SeqCst)),
            magazine: Magazine::default(),
            ids: Cell::new((0, 0)),
            cancelling: Cell::new(cancelling),
            now: Cell::new(now),
            sampled: Cell::new(ptr::null()),
            sampled_ns: Cell::new(0),
            #[cfg(feature = "tracing")]
            ended: Cell::new(None),
        }
    }

    /// The calling thread's worker.
    #[inline]
    pub(crate) fn current() -> Option<&'static Worker> {
        // SAFETY: set by `enter` for as long as the worker lives on this thread; a
        // coroutine that sees it never runs elsewhere.
        unsafe { CURRENT.get().as_ref() }
    }

    #[cfg(ropewalk_thread_switch)]
    pub(crate) fn current_ptr() -> *const Worker {
        CURRENT.get()
    }

    #[cfg(ropewalk_thread_switch)]
    pub(crate) fn set_current(worker: *const Worker) {
        CURRENT.set(worker);
    }

    #[inline]
    pub(crate) fn me(&self) -> &WorkerShared {
        // SAFETY: lies in `shared`, which this worker holds.
        unsafe { self.me.as_ref() }
    }

    /// The coroutine that runs on this worker, if one does.
    #[inline]
    pub(crate) fn current_record(&self) -> Option<&'static Record> {
        // SAFETY: alive while it runs; and type-stable.
        unsafe { self.current.load(Ordering::Relaxed).as_ref() }
    }

    #[inline]
    fn set_running(&self, record: *const Record) {
        // Relaxed: it is this thread's, and the watcher only looks.
        self.current.store(record.cast_mut(), Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn magazine(&self) -> &Magazine {
        &self.magazine
    }

    pub(crate) fn hosts(&self) -> &HostPool {
        &self.hosts
    }

    #[inline]
    pub(crate) fn take_id(&self) -> u64 {
        const BLOCK: u64 = 1024;
        let (mut next, mut end) = self.ids.get();
        if next == end {
            next = record::take_ids(BLOCK);
            end = next + BLOCK;
        }
        self.ids.set((next + 1, end));
        next
    }

    // --- Spawning -------------------------------------------------------------------

    /// Queues an unstarted task.
    #[inline]
    pub(crate) fn spawn(&self, task: NonNull<Record>) {
        self.enrol(task);
        // Without others to steal it, a fresh task needs no deque.
        // SAFETY: just prepared.
        if self.alone || unsafe { task.as_ref() }.has(record::LOCAL) {
            self.fresh_local.push(task);
        } else {
            self.spawn_among(task);
        }
    }

    /// Counts an unstarted task among this runtime's.
    #[inline]
    fn enrol(&self, task: NonNull<Record>) {
        // SAFETY: just prepared.
        let record = unsafe { task.as_ref() };
        record
            .runtime
            .store(Arc::as_ptr(&self.shared).cast_mut(), Ordering::Relaxed);
        record.born_ns.store(self.now.get(), Ordering::Relaxed);
        #[cfg(feature = "tracing")]
        crate::trace::spawned(record);
        Counts::add(&self.me().counts.spawned);
    }

    /// Queues an unstarted task for one worker of this runtime.
    #[cold]
    pub(crate) fn spawn_pinned(&self, task: NonNull<Record>, index: usize) {
        // SAFETY: just prepared.
        let record = unsafe { task.as_ref() };
        if index == self.index {
            record.set_flag(record::LOCAL);
            self.spawn(task);
            return;
        }
        record
            .runtime
            .store(Arc::as_ptr(&self.shared).cast_mut(), Ordering::Relaxed);
        record.born_ns.store(self.now.get(), Ordering::Relaxed);
        Counts::add(&self.me().counts.spawned);
        self.shared.pin(task, index);
    }

    /// Queues an unstarted task by its priority.
    #[cold]
    pub(crate) fn spawn_ranked(&self, task: NonNull<Record>, priority: i32) {
        // SAFETY: just prepared.
        let record = unsafe { task.as_ref() };
        record
            .runtime
            .store(Arc::as_ptr(&self.shared).cast_mut(), Ordering::Relaxed);
        record.born_ns.store(self.now.get(), Ordering::Relaxed);
        #[cfg(feature = "tracing")]
        crate::trace::spawned(record);
        Counts::add(&self.me().counts.spawned);
        self.shared.push_ranked(task, priority);
    }

    fn spawn_among(&self, task: NonNull<Record>) {
        if let Some(other) = self.shared.lighter_than(self.index) {
            let other = &self.shared.workers[other];
            other.placed.push(Fresh(task));
            fence(Ordering::SeqCst);
            other.rouse();
            return;
        }
        self.fresh.push(Fresh(task));
        fence(Ordering::SeqCst);
        self.shared.rouse_one();
    }

    /// Takes an unstarted task that this worker may start.
    #[inline]
    fn pop_fresh(&self) -> Option<NonNull<Record>> {
        let stealable = || self.fresh.pop().map(|Fresh(task)| task);
        // A lone worker's deque only has what came from outside: looked at now and then.
        let mask = if self.alone { 15 } else { 1 };
        if self.ticks.get() & mask != 0 {
            self.fresh_local.pop().or_else(stealable)
        } else {
            stealable().or_else(|| self.fresh_local.pop())
        }
    }

    /// As [`pop_fresh`](Self::pop_fresh), for running: nothing starts after the stop.
    #[inline]
    fn start_fresh(&self) -> Option<NonNull<Record>> {
        if self.shared.is_stopping() {
            return None;
        }
        if self.shared.ranked.is_ahead() {
            return self.start_ahead();
        }
        self.pop_fresh()
    }

    /// A fresh task or a job, of which either comes first every other time.
    #[inline]
    fn start_something(&self) -> Option<NonNull<Record>> {
        if self.jobs.is_empty() {
            return self.start_fresh();
        }
        let turn = self.job_turn.get().wrapping_add(1);
        self.job_turn.set(turn);
        if turn.is_multiple_of(2) {
            self.start_fresh().or_else(|| self.start_job())
        } else {
            self.start_job().or_else(|| self.start_fresh())
        }
    }

    /// Offers a host whose task has ended the next one to run on the same stack: a fresh
    /// one, when its turn it is.
    #[inline]
    pub(crate) fn offer_fresh(&self, stack_bytes: usize) -> Option<NonNull<Record>> {
        let ticks = self.ticks.get();
        let turn = self.turn.get();
        let started_waiting = !self.next.get().is_null() || !self.run.is_empty();
        if (started_waiting && turn < TURN)
            || !self.jobs.is_empty()
            || ticks.wrapping_add(1).is_multiple_of(HOUSEKEEPING)
        {
            return None;
        }
        if cfg!(feature = "tracing") {
            // Who is told of beginnings and ends is told in the loop.
            return None;
        }
        let task = self.start_fresh()?;
        // SAFETY: a queued record is alive.
        let asked = unsafe { task.as_ref() }.stack_bytes.get();
        if !self.hosts.suits(stack_bytes, asked) {
            // Rare: a size of its own. Start it from the loop, before any other.
            self.fresh_local.push(task);
            return None;
        }
        self.ticks.set(ticks.wrapping_add(1));
        let turn = turn.max(TURN) + 1;
        self.turn.set(if turn == 2 * TURN { 0 } else { turn });
        Some(task)
    }

    /// Marks a task as started here, on `host`, and as the one that runs.
    #[inline]
    pub(crate) fn begin(&self, task: NonNull<Record>, host: &Host) {
        // SAFETY: taken from a queue, so alive and ours.
        let record = unsafe { task.as_ref() };
        record.set_host(ptr::from_ref(host).cast_mut());
        record.home.store(self.me.as_ptr(), Ordering::Relaxed);
        record.started.store(true, Ordering::Relaxed);
        if self.cancelling.get() {
            record.set_flag(record::CANCELLED);
        }
        Counts::add(&self.me().counts.started);
        self.budget.set(BUDGET);
        self.set_running(record);
    }

    /// Marks the running task as ended: from here on its stack's code is the kernel's own.
    #[inline]
    pub(crate) fn note_completed(&self) {
        #[cfg(feature = "tracing")]
        self.ended
            .set(self.current_record().and_then(crate::trace::take));
        self.set_running(ptr::null());
        Counts::add(&self.me().counts.completed);
        if self.limited {
            self.shared.give_place();
        }
    }

    /// Marks the running async task as waiting for its waker: it is on no stack any more.
    pub(crate) fn note_paused(&self) {
        self.set_running(ptr::null());
        Counts::add(&self.me().counts.paused);
    }

    /// Queues an async task that was woken.
    pub(crate) fn reschedule(&self, task: NonNull<Record>) {
        if self.alone {
            self.fresh_local.push(task);
        } else {
            self.spawn_among(task);
        }
    }

    // --- Running --------------------------------------------------------------------

    /// Runs until the runtime stops.
    pub(crate) fn run(&self) {
        CURRENT.set(self);
        // SAFETY: `leave` undoes it; a worker that never leaves stays where it is.
        unsafe { self.me().post.enter(&self.current) };
        loop {
            let ticks = self.ticks.get().wrapping_add(1);
            self.ticks.set(ticks);
            if ticks.is_multiple_of(HOUSEKEEPING) {
                self.keep_house();
                if self.shared.is_stopping() {
                    break;
                }
            }
            if let Some(task) = self.choose() {
                self.resume(task);
            } else if !self.idle() {
                break;
            }
        }
    }

    /// Undoes `run`, once nothing of this worker's is left on a stack.
    pub(crate) fn leave(&self) {
        // What is left in the timers are those of futures that nobody here polls any more.
        self.fire(u64::MAX);
        self.hosts.clear();
        self.me().post.leave();
        CURRENT.set(ptr::null());
    }

    /// The task to run now.
    #[inline]
    fn choose(&self) -> Option<NonNull<Record>> {
        if let Some(next) = NonNull::new(self.next.get().cast_mut()) {
            self.next.set(ptr::null());
            let streak = self.next_streak.get();
            if streak < NEXT_STREAK_MAX {
                self.next_streak.set(streak + 1);
                return Some(next);
            }
            self.run.push(next);
        }
        self.next_streak.set(0);
        let turn = self.turn.get();
        if turn < TURN {
            if let Some(task) = self.run.pop() {
                self.turn.set(turn + 1);
                return Some(task);
            }
            self.turn.set(TURN);
        }
        if let Some(task) = self.start_something() {
            let turn = self.turn.get() + 1;
            self.turn.set(if turn == 2 * TURN { 0 } else { turn });
            return Some(task);
        }
        self.turn.set(0);
        self.run.pop()
    }

    #[inline]
    fn resume(&self, task: NonNull<Record>) {
        // SAFETY: a runnable record is alive.
        let record = unsafe { task.as_ref() };
        let mut host = NonNull::new(record.host());
        if host.is_none() {
            host = self.host_for(task);
        }
        let Some(host) = host else { return };
        self.budget.set(BUDGET);
        self.set_running(record);
        if ptr::eq(record, self.sampled.get()) {
            self.note_latency();
        }
        Counts::add(&self.me().counts.resumed);
        #[cfg(feature = "tracing")]
        let turn = crate::trace::Turn::begin(record);
        // SAFETY: our host, from the worker's loop.
        unsafe { host.as_ref().resume() };
        #[cfg(feature = "tracing")]
        turn.end(self.current_record(), self.ended.take());
        self.set_running(ptr::null());
    }

    #[cold]
    fn note_latency(&self) {
        self.sampled.set(ptr::null());
        let latency = clock::now_ns().saturating_sub(self.sampled_ns.get());
        self.me().counts.latency.note(latency);
    }

    /// Notes what is queued, and whose turn is to be measured.
    fn sample_queue(&self) {
        if self.sampled.get().is_null()
            && let Some(last) = self.run.last()
        {
            self.sampled.set(last.as_ptr());
            self.sampled_ns.set(self.now.get());
        }
        self.note_queued();
    }

    fn note_queued(&self) {
        let next = usize::from(!self.next.get().is_null());
        let queued = self.run.len() as usize + self.fresh_local.len() + next;
        self.me()
            .counts
            .queued
            .store(queued as u64, Ordering::Relaxed);
    }

    /// Gives a fresh task its host; with no memory for one it goes back to the queue, and waits.
    fn host_for(&self, task: NonNull<Record>) -> Option<NonNull<Host>> {
        // SAFETY: a queued record is alive.
        let record = unsafe { task.as_ref() };
        match self.hosts.take(record.stack_bytes.get()) {
            Ok(host) => {
                // SAFETY: from the pool, so alive and ours.
                let this = unsafe { host.as_ref() };
                this.assign(task);
                // The clock was read just now, if this is the turn after a housekeeping.
                let first = !record.started.load(Ordering::Relaxed);
                if first && self.ticks.get().is_multiple_of(HOUSEKEEPING) {
                    let born = record.born_ns.load(Ordering::Relaxed);
                    let latency = self.now.get().saturating_sub(born);
                    self.me().counts.latency.note(latency);
                }
                self.begin(task, this);
                Some(host)
            }
            Err(error) => {
                self.without_stack(task, &error);
                None
            }
        }
    }

    #[cold]
    fn without_stack(&self, task: NonNull<Record>, error: &std::io::Error) {
        self.shared.report_no_stack(error);
        // It waits for a stack to be freed, behind everything that may free one, and where
        // others can take it who have one. They are asked for those that lie idle with them.
        // SAFETY: a queued record is alive.
        if self.alone || unsafe { task.as_ref() }.has(record::LOCAL) {
            self.fresh_local.push(task);
        } else {
            self.fresh.push(Fresh(task));
        }
        STACKS_WANTED.fetch_add(1, Ordering::SeqCst);
        for other in &self.shared.workers {
            other.nudge();
        }
        // With nothing else alive here the wait would be for ever, but memory may come back
        // from outside: look again after a pause.
        if self.run.is_empty() && self.next.get().is_null() {
            let pause_ns = 1_000_000;
            self.driver.poll(self, Some(pause_ns));
            self.keep_house();
        }
    }

    /// Gives back the memory of idle hosts that are too many; all of them, if somebody has
    /// found no stack since.
    fn trim_hosts(&self) {
        let wanted = STACKS_WANTED.load(Ordering::SeqCst);
        if self.stacks_given.replace(wanted) == wanted {
            self.hosts.trim();
        } else {
            self.hosts.clear();
        }
    }

    /// Looks at inbox, letters, timers and driver.
    fn keep_house(&self) {
        fork::end_worker();
        self.receive();
        self.driver.poll(self, Some(0));
        self.fire_timers();
        self.sample_queue();
        self.trim_hosts();
        if self.run.is_empty() || self.ticks.get().is_multiple_of(HOUSEKEEPING * 4) {
            self.take_placed();
        }
    }

    /// Takes what others made runnable.
    fn receive(&self) {
        let me = self.me();
        me.inbox.drain(|record| self.run.push(record));
        if me.has_letters.load(Ordering::Relaxed) {
            me.has_letters.store(false, Ordering::SeqCst);
            let letters = me.letters().as_mut().map(std::mem::take);
            for letter in letters.into_iter().flatten() {
                self.open(letter);
            }
        }
    }

    fn open(&self, letter: Letter) {
        match letter {
            Letter::Release(registration) => drop(registration),
            Letter::Cancel(Addressed(record), id) => {
                if let Some(record) = cancel::receive_letter(self, record, id) {
                    self.run.push(record);
                }
            }
            Letter::CancelAll => runtime::cancel_all_of(self, |record| self.run.push(record)),
            Letter::Probe(Addressed(record), id, probe) => probe.answer(self, record, id),
            Letter::Inquire(inquiry) => {
                if let Some(rest) = inquiry.answer(self) {
                    self.me().post(Letter::Inquire(rest));
                }
            }
            Letter::Watch(home) => self.driver.watch(self, home),
            Letter::Arm(entry) => entry.arm(self),
            Letter::Disarm(entry) => entry.disarm(self),
        }
    }

    fn fire_timers(&self) {
        let now = clock::now_ns();
        self.now.set(now);
        self.me().beat_ns.store(now, Ordering::Relaxed);
        self.fire(now);
    }

    fn fire(&self, now: u64) {
        // SAFETY: one worker; `expire` doesn't touch the wheel.
        while let Some(node) = unsafe { (*self.wheel.get()).pop_expired(now) } {
            let alarm = node.cast::<Alarm>();
            // SAFETY: every node in the wheel is an alarm's first field, and armed alarms
            // are alive.
            let expired = match unsafe { alarm.as_ref() }.target {
                // SAFETY: an armed alarm's target lives in the same frame.
                Target::Wait(wait) => unsafe { wait.as_ref().expire() },
                // SAFETY: as above.
                Target::Io(io) => unsafe { io.as_ref().expire() },
                Target::Future(entry) => {
                    // SAFETY: armed entries are kept by the wheel's own reference.
                    unsafe { Entry::expire(entry) };
                    None
                }
            };
            if let Some(record) = expired {
                self.run.push(record);
            }
        }
    }

    /// Nanoseconds until the next timer; `None` without one.
    fn until_timer(&self) -> Option<u64> {
        // SAFETY: one worker, a short look.
        let next = unsafe { (*self.wheel.get()).next_deadline_ns() }?;
        Some(next.saturating_sub(clock::now_ns()))
    }

    // --- Waiting --------------------------------------------------------------------

    /// Leaves the calling coroutine's stack until somebody makes the coroutine runnable.
    #[inline]
    pub(crate) fn park(&self, record: &Record, reason: Reason, object: usize) {
        record.note(reason, object);
        record.since_ns.store(self.now.get(), Ordering::Relaxed);
        Counts::add(&self.me().counts.parks[reason as usize]);
        // SAFETY: a running coroutine has a host.
        let host = unsafe { &*record.host() };
        host.suspend();
        while !self.walking.get().is_null() {
            self.walk_own(host);
            host.suspend();
        }
        record.note(Reason::None, 0);
    }

    #[cold]
    #[inline(never)]
    fn walk_own(&self, host: &Host) {
        // SAFETY: on the frame of `walk`, which waits below us and does not touch it.
        let walker = unsafe { &mut *self.walking.replace(ptr::null_mut()) };
        let (limit, top) = host.bounds();
        walker.walk_here(limit, top);
    }

    /// The host of a coroutine that is parked here, if it is. In the worker's loop.
    pub(crate) fn host_of(&self, record: &Record) -> Option<&Host> {
        if !ptr::eq(record.home.load(Ordering::Relaxed), self.me.as_ptr()) {
            return None;
        }
        // The record may be on its way to another worker, or already there. The host it names
        // is a host's memory in any case, and says whether it is ours.
        // SAFETY: hosts lie in headers of stacks, which are never unmapped.
        let host = unsafe { record.host().as_ref() }?;
        host.is_running(record, self.me.as_ptr()).then_some(host)
    }

    /// Has a parked coroutine walk its stack.
    ///
    /// # Safety
    ///
    /// In the worker's loop; `host` is what [`host_of`](Self::host_of) gave.
    pub(crate) unsafe fn walk(&self, record: &Record, host: &Host, walker: &mut Walker) {
        self.walking.set(walker);
        let before = self.current.load(Ordering::Relaxed);
        self.set_running(record);
        // SAFETY: our host, from the worker's loop, parked: `park` walks the stack and
        // suspends again.
        unsafe { host.resume() };
        self.set_running(before);
        self.walking.set(ptr::null_mut());
    }

    /// When the waits of coroutines on this worker end by themselves, by record.
    pub(crate) fn wait_deadlines(&self) -> HashMap<usize, u64> {
        let mut found = HashMap::new();
        // SAFETY: one worker, and nothing below comes back here.
        unsafe { &*self.wheel.get() }.for_each(|node, deadline_ns| {
            let alarm = node.cast::<Alarm>();
            // SAFETY: as in `fire`.
            let record = match unsafe { alarm.as_ref() }.target {
                // SAFETY: as in `fire`.
                Target::Wait(wait) => unsafe { wait.as_ref() }.coroutine(),
                // SAFETY: as in `fire`.
                Target::Io(io) => Some(unsafe { io.as_ref() }.coroutine()),
                Target::Future(_) => None,
            };
            if let Some(record) = record {
                found.insert(record.as_ptr() as usize, deadline_ns);
            }
        });
        found
    }

    /// Makes a parked coroutine runnable on its home worker: next, or behind the others.
    ///
    /// # Safety
    ///
    /// The caller has claimed its wait, and does this once.
    #[inline]
    pub(crate) unsafe fn unpark(task: NonNull<Record>, next: bool) {
        // SAFETY: parked or about to be, so alive.
        let home = unsafe { task.as_ref() }.home.load(Ordering::Relaxed);
        match Worker::current() {
            Some(worker) if ptr::eq(worker.me.as_ptr(), home) => {
                if !next {
                    worker.run.push(task);
                } else if let Some(old) =
                    NonNull::new(worker.next.replace(task.as_ptr()).cast_mut())
                {
                    worker.run.push(old);
                }
            }
            _ => {
                // SAFETY: a worker with a parked coroutine doesn't go away, nor does what
                // others see of it.
                let home = unsafe { &*home };
                home.visitors.fetch_add(1, Ordering::Relaxed);
                home.inbox.push(task);
                let kept = home.rouse_for_visitor();
                home.visitors.fetch_sub(1, Ordering::Release);
                drop(kept);
            }
        }
    }

    /// Says whether the calling thread is the home of a coroutine that waits.
    #[inline]
    pub(crate) fn is_home_of(task: NonNull<Record>) -> bool {
        // SAFETY: a waiting task is alive.
        let home = unsafe { task.as_ref() }.home.load(Ordering::Relaxed);
        Worker::current().is_some_and(|worker| ptr::eq(worker.me.as_ptr(), home))
    }

    /// Makes a coroutine of this worker runnable, from its driver.
    pub(crate) fn runnable(&self, task: NonNull<Record>) {
        self.run.push(task);
    }

    /// Gives way to what else can run here.
    #[inline]
    pub(crate) fn yield_now(&self, record: &Record) {
        self.run.push(NonNull::from(record));
        self.park(record, Reason::Yielded, 0);
    }

    /// Counts an operation that succeeded without waiting; gives way when there were many.
    #[inline]
    pub(crate) fn spend(&self, record: &Record) {
        let left = self.budget.get() - 1;
        if left != 0 {
            self.budget.set(left);
        } else if crate::wait::may_wait() && !std::thread::panicking() {
            self.yield_now(record);
        } else {
            self.budget.set(BUDGET);
        }
    }

    /// As [`spend`](Self::spend), for a poll: says whether it must give way by itself.
    #[inline]
    pub(crate) fn spent(&self) -> bool {
        let left = self.budget.get() - 1;
        self.budget.set(if left == 0 { BUDGET } else { left });
        left == 0
    }

    /// Sets an alarm.
    ///
    /// # Safety
    ///
    /// The alarm and its target stay where they are until [`disarm`](Self::disarm), by
    /// this worker.
    #[inline]
    pub(crate) unsafe fn arm(&self, alarm: &Alarm, deadline_ns: u64) {
        Counts::add(&self.me().counts.timers);
        // SAFETY: the contract above; derived from the whole alarm.
        unsafe { (*self.wheel.get()).insert(NonNull::from(alarm).cast(), deadline_ns) };
    }

    /// Unsets an alarm, if it has not gone off.
    ///
    /// # Safety
    ///
    /// It was armed by this worker.
    #[inline]
    pub(crate) unsafe fn disarm(&self, alarm: &Alarm) {
        if alarm.node.is_linked() {
            // SAFETY: linked in our wheel.
            unsafe { (*self.wheel.get()).remove(NonNull::from(alarm).cast()) };
        }
    }
}

/// A place in the timers, with what is to happen.
#[repr(C)]
pub(crate) struct Alarm {
    node: TimerNode,
    target: Target,
    pinned: PhantomPinned,
}

enum Target {
    Wait(NonNull<Wait>),
    Io(NonNull<IoWait>),
    Future(NonNull<Entry>),
}

impl Alarm {
    pub(crate) fn for_wait(wait: &Wait) -> Alarm {
        let target = Target::Wait(NonNull::from(wait));
        Alarm {
            node: TimerNode::new(),
            target,
            pinned: PhantomPinned,
        }
    }

    /// An alarm that lies in `entry`, and is its first field.
    pub(crate) fn for_future(entry: NonNull<Entry>) -> Alarm {
        Alarm {
            node: TimerNode::new(),
            target: Target::Future(entry),
            pinned: PhantomPinned,
        }
    }

    pub(crate) fn is_armed(&self) -> bool {
        self.node.is_linked()
    }

    pub(crate) fn for_io(io: &IoWait) -> Alarm {
        let target = Target::Io(NonNull::from(io));
        Alarm {
            node: TimerNode::new(),
            target,
            pinned: PhantomPinned,
        }
    }
}
