//! A runtime: its workers, where work enters it, and how it ends.
//!
//! # The end
//!
//! ```text
//!   RUNNING ──shutdown──▶ DRAINING ──quiet, or the deadline──▶ STOPPING
//! ```
//!
//! Nothing is unwound, ever: `catch_unwind`, `panic = "abort"`, C frames and the owners of
//! scopes would each defeat it (soundness rule 2). A worker that stops with coroutines left
//! on its stacks never lets its thread exit, and the stacks stay as they are: frames on
//! them may be borrowed from elsewhere (rule 1). Closures that never started are dropped.

mod ending;
mod ranked;
mod spawning;
mod starting;
mod threads;

pub(crate) use ending::cancel_all_of;
pub use ending::{StillRunning, wait_for_others};
pub(crate) use ranked::Ranked;
pub use ranked::Refusal;
pub use spawning::{
    Refused, current_worker, spawn_local, spawn_thread, spawn_unchecked, try_spawn, worker_count,
};
pub(crate) use threads::{Crew, Seat};
pub use threads::{HookRef, Hooks, Lazy, SeatSeen};

#[doc(hidden)]
pub use crate::stall::OwnThread;

use std::any::Any;
use std::io;
use std::num::NonZero;
use std::panic::Location;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, Weak};

use crossbeam_deque::Injector;

use crate::choices::Choices;
use crate::driver::{Addressed, DriverKind, Letter};
use crate::outcome::JoinError;
use crate::places::Places;
use crate::record::{Record, Snapshot};
use crate::remote::Remote;
use crate::task::Options;
use crate::wait::WaitQueue;
use crate::watcher::Watch;
use crate::worker::{Fresh, Sleepers, WorkerShared};
use crate::{fork, future, record, task, wait};

/// What a runtime is made with.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The number of workers; `None`: `ROPEWALK_WORKERS`, else one for each core this
    /// process may use (cgroup limits count).
    pub workers: Option<usize>,
    /// The driver; `None`: `ROPEWALK_DRIVER`, else io_uring where it works, else epoll.
    pub driver: Option<DriverKind>,
    /// Usable stack bytes of a coroutine; 0 for the default.
    pub stack_bytes: usize,
    /// What the workers' threads are called, before their number; empty for `ropewalk`.
    pub thread_name: String,
    /// A seed for the scheduler's choices, to repeat a run.
    pub seed: Option<u64>,
    /// When the watcher tells of coroutines that keep their worker.
    pub watch: Watch,
    /// How many coroutines and async tasks there may be at once; `None` for no limit.
    pub coroutines_max: Option<NonZero<usize>>,
    /// Whether threads are started when they are needed; `None`: all at the start.
    pub lazy: Option<Lazy>,
    /// What is done on each worker's thread.
    pub hooks: Option<HookRef>,
}

/// What is called whenever a runtime has started.
static ON_START: OnceLock<fn()> = OnceLock::new();

/// Has `f` called whenever a runtime has started, on the thread that started it. The first call
/// of this counts.
#[doc(hidden)]
pub fn on_start(f: fn()) {
    let _ = ON_START.set(f);
}

const RUNNING: u8 = 0;
const DRAINING: u8 = 1;
const STOPPING: u8 = 2;

/// What a runtime's workers share.
pub(crate) struct Shared {
    pub(crate) workers: Box<[WorkerShared]>,
    pub(crate) injector: Injector<Fresh>,
    pub(crate) ranked: Ranked,
    pub(crate) sleepers: Sleepers,
    pub(crate) crew: Crew,
    pub(crate) choices: Choices,
    state: AtomicU8,
    injected: AtomicU64,
    /// Whether all tasks, also those to come, are cancelled.
    pub(crate) cancelling: AtomicBool,
    /// Closures dropped at the end without having run.
    cancelled: AtomicU64,
    quiet: WaitQueue,
    /// The limit on coroutines, if there is one.
    pub(crate) places: Option<Places>,
    pub(crate) driver: DriverKind,
    stack_bytes: usize,
    no_stack_told: AtomicBool,
    /// How many workers have stopped, cleanly or not.
    stopped: Mutex<usize>,
    stopped_changed: Condvar,
    /// One more than the threads outside that are known to wait for it; 0 if it is open.
    closed: AtomicUsize,
    stall_told: AtomicBool,
    extension: OnceLock<Arc<dyn Any + Send + Sync>>,
}

impl Shared {
    pub(crate) fn is_stopping(&self) -> bool {
        self.state.load(Ordering::SeqCst) == STOPPING
    }

    /// A worker has nothing to run: maybe nobody has.
    pub(crate) fn note_idle(&self) {
        fence(Ordering::SeqCst);
        if self.state.load(Ordering::SeqCst) != RUNNING {
            self.quiet.wake_all();
        }
    }

    /// Wakes one sleeping worker, if one sleeps. The caller has pushed something, and put
    /// a fence behind it.
    #[inline]
    pub(crate) fn rouse_one(&self) {
        while let Some(index) = self.sleepers.take_one() {
            if self.workers[index].rouse() {
                return;
            }
        }
        if self.crew.is_lazy() {
            self.call_in();
        }
    }

    /// Another worker with clearly fewer coroutines than `index`, by two random choices
    /// (Mitzenmacher 2001); only looked for once there are enough for it to matter.
    pub(crate) fn lighter_than(&self, index: usize) -> Option<usize> {
        const THRESHOLD: u64 = 32;
        let here = self.workers[index].live_started();
        if here < THRESHOLD {
            return None;
        }
        let others = [(); 2].map(|()| self.choices.below(self.workers.len()));
        let lighter = others
            .into_iter()
            .filter(|&at| {
                let worker = &self.workers[at];
                worker.seat.is_taken() && !worker.kept.load(Ordering::Relaxed)
            })
            .min_by_key(|&at| self.workers[at].live_started())?;
        let there = self.workers[lighter].live_started();
        (lighter != index && there + there / 8 + THRESHOLD / 2 < here).then_some(lighter)
    }

    /// Has another worker take over what a kept one has not started.
    pub(crate) fn rescue(&self, index: usize) {
        let kept = &self.workers[index];
        let left = !kept.placed.is_empty() || !kept.stealer.is_empty() || !kept.jobs.is_empty();
        if left || !self.injector.is_empty() {
            self.rouse_one();
        }
    }

    pub(crate) fn report_no_stack(&self, error: &io::Error) {
        if !self.no_stack_told.swap(true, Ordering::Relaxed) {
            eprintln!("ropewalk: no stack for a new coroutine, it must wait: {error}");
        }
    }

    /// Drops the closures in the queues that all may take from.
    fn cancel_queued(&self) {
        let queues = self
            .workers
            .iter()
            .flat_map(|worker| [&worker.placed, &worker.pinned]);
        while let Some(task) = self.ranked.take() {
            self.cancel(task);
        }
        for queue in queues.chain([&self.injector]) {
            loop {
                match queue.steal() {
                    crossbeam_deque::Steal::Success(task) => self.cancel(task),
                    crossbeam_deque::Steal::Empty => break,
                    crossbeam_deque::Steal::Retry => {}
                }
            }
        }
    }

    fn cancel(&self, task: Fresh) {
        // SAFETY: taken from a queue, so alive and ours.
        let error = self.refusal_of(unsafe { task.0.as_ref() });
        self.end(task, error.unwrap_or(JoinError::Shutdown));
    }

    /// Ends a task that was counted and taken from a queue.
    fn end(&self, Fresh(task): Fresh, error: JoinError) {
        // SAFETY: taken from a queue, so ours.
        unsafe {
            end_unstarted_with(task, error, || {
                self.cancelled.fetch_add(1, Ordering::AcqRel);
                self.give_place();
            });
        }
    }

    /// How many coroutines have been spawned and not ended.
    ///
    /// Ends are read first, and counts only grow: 0 means that there was a moment without
    /// any.
    pub(crate) fn live(&self) -> u64 {
        let mut ended = self.cancelled.load(Ordering::Acquire);
        for worker in &self.workers {
            ended += worker.counts.completed.load(Ordering::Acquire);
        }
        let mut begun = self.injected.load(Ordering::Acquire);
        for worker in &self.workers {
            begun += worker.counts.spawned.load(Ordering::Acquire);
        }
        begun.saturating_sub(ended)
    }

    /// How many threads outside are known to wait for this runtime, if it is closed to others.
    pub(crate) fn outer_threads(&self) -> Option<usize> {
        self.closed.load(Ordering::SeqCst).checked_sub(1)
    }

    /// How many tasks were dropped at the end without having run.
    pub(crate) fn cancelled_count(&self) -> u64 {
        self.cancelled.load(Ordering::SeqCst)
    }

    pub(crate) fn injected_count(&self) -> u64 {
        self.injected.load(Ordering::SeqCst)
    }

    pub(crate) fn driver(&self) -> DriverKind {
        self.driver
    }

    pub(crate) fn living(&self) -> Vec<Snapshot> {
        record::living(self)
    }

    /// Has every worker cancel its tasks, and those it starts from now on.
    pub(crate) fn cancel_all(&self) {
        self.cancelling.store(true, Ordering::SeqCst);
        for worker in &self.workers {
            worker.post(Letter::CancelAll);
        }
    }

    /// The one thing that a layer above keeps with this runtime; made when first asked for.
    pub(crate) fn extension(
        &self,
        make: impl FnOnce() -> Arc<dyn Any + Send + Sync>,
    ) -> &Arc<dyn Any + Send + Sync> {
        self.extension.get_or_init(make)
    }

    /// Says to the first who asks that it may report a stall.
    pub(crate) fn claim_stall_report(&self) -> bool {
        !self.stall_told.swap(true, Ordering::SeqCst)
    }

    fn note_stopped(&self) {
        *self.stopped.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.stopped_changed.notify_all();
    }
}

/// Ends a task that is on no stack, without running it.
///
/// # Safety
///
/// The caller is its runner.
pub(crate) unsafe fn end_unstarted(task: NonNull<Record>, ended: impl FnOnce()) {
    // SAFETY: the caller's contract.
    unsafe { end_unstarted_with(task, JoinError::Shutdown, ended) };
}

/// As [`end_unstarted`], with this error.
///
/// # Safety
///
/// As there.
unsafe fn end_unstarted_with(task: NonNull<Record>, error: JoinError, ended: impl FnOnce()) {
    // SAFETY: the runner's reference keeps it.
    let behaviour = unsafe { task.as_ref() }.behaviour.get();
    let behaviour = behaviour.expect("a live record has a behaviour");
    // SAFETY: it runs nowhere, and the caller is its runner.
    unsafe {
        (behaviour.cancel)(task.as_ref(), error);
        task::complete(task, ended);
    }
}

/// The runtime of a task, if it is still there.
pub(crate) fn of_record(record: &Record) -> Option<Arc<Shared>> {
    let runtime = record.runtime.load(Ordering::SeqCst);
    RUNTIMES
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .iter()
        .find(|known| std::ptr::eq(known.as_ptr(), runtime))
        .and_then(Weak::upgrade)
}

/// Tells a task with this id, if the record is still its own, that it was cancelled: the flag
/// is set already.
pub(crate) fn tell_cancelled(record: NonNull<Record>, id: u64) {
    // SAFETY: type-stable.
    let this = unsafe { record.as_ref() };
    if this.id.load(Ordering::SeqCst) != id {
        return;
    }
    future::wake(this);
    let home = this.home.load(Ordering::SeqCst);
    let Some(shared) = of_record(this) else {
        return;
    };
    for worker in &shared.workers {
        // Not started a moment ago? Then any worker may be starting it.
        if home.is_null() || std::ptr::eq(worker, home) {
            worker.post(Letter::Cancel(Addressed(record), id));
        }
    }
}

/// A set of workers and what runs on them.
///
/// Dropping it stops it at once, as [`shutdown`](Self::shutdown) without any patience.
pub struct Runtime {
    shared: Arc<Shared>,
}

impl Runtime {
    /// The runtime that `spawn` uses outside any other; started when first asked for, and
    /// never stopped.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn global() -> io::Result<&'static Runtime> {
        static GLOBAL: OnceLock<Runtime> = OnceLock::new();
        static STARTING: Mutex<()> = Mutex::new(());
        fork::check()?;
        if let Some(runtime) = GLOBAL.get() {
            return Ok(runtime);
        }
        let _one = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
        if GLOBAL.get().is_none() {
            let runtime = Runtime::new(Config::default())?;
            let _ = GLOBAL.set(runtime);
        }
        Ok(GLOBAL.get().expect("just set"))
    }

    /// What others hold of this runtime.
    pub fn remote(&self) -> Remote {
        Remote::of(&self.shared)
    }

    /// Runs `closure` as a coroutine of this runtime and waits for its value.
    ///
    /// # Panics
    ///
    /// With the closure's own panic; and if the runtime was shut down before it started.
    pub fn run<F, T>(&self, site: &'static Location<'static>, closure: F) -> T
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        let options = Options {
            name: Some("main".into()),
            ..Options::default()
        };
        self.run_with(options, site, closure)
    }

    /// As [`run`](Self::run), with options of one's own.
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run).
    pub fn run_with<F, T>(
        &self,
        options: Options,
        site: &'static Location<'static>,
        closure: F,
    ) -> T
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        // The wait below must not be refused once the closure runs.
        wait::check_may_wait();
        // SAFETY: joined below, which nothing can cut short: it was checked that waiting
        // is allowed, and a join has no deadline and is not cancelled.
        let handle = unsafe { self.shared.spawn_unchecked(options, site, closure) };
        let handle = handle.unwrap_or_else(|error| panic!("{error}"));
        match handle.join_uncancelled() {
            Ok(value) => value,
            Err(JoinError::Panicked(payload)) => std::panic::resume_unwind(payload.into_inner()),
            Err(error) => panic!("{error}"),
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// How many coroutines have been spawned and not ended.
    pub fn live(&self) -> u64 {
        self.shared.live()
    }

    /// Says that nobody outside but `outer_threads` threads, which wait for this runtime, has
    /// to do with it: when all its coroutines are asleep and the process has no other thread
    /// that could wake one, the process is ended with a report.
    #[doc(hidden)]
    pub fn close_to_outsiders(&self, outer_threads: usize) {
        self.shared
            .closed
            .store(outer_threads + 1, Ordering::SeqCst);
        // Those asleep already have to say so, and to look: the first coroutine wakes one only.
        for worker in &self.shared.workers {
            worker.nudge();
        }
    }

    /// How often a coroutine was found that kept its worker for longer than the watcher's
    /// patience.
    pub fn kept(&self) -> u64 {
        let workers = self.shared.workers.iter();
        workers
            .map(|worker| worker.counts.kept.load(Ordering::Relaxed))
            .sum()
    }

    /// The number of workers.
    pub fn workers(&self) -> usize {
        self.shared.workers.len()
    }

    /// The driver in use.
    pub fn driver(&self) -> DriverKind {
        self.shared.driver
    }

    /// Looks at each coroutine that has not ended.
    pub fn living(&self) -> Vec<Snapshot> {
        record::living(Arc::as_ptr(&self.shared))
    }
}

/// All runtimes that may be alive, to count what was begun.
static RUNTIMES: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());
static THREADS_BEGUN: AtomicU64 = AtomicU64::new(0);

/// All runtimes that have not gone.
pub(crate) fn living_runtimes() -> Vec<Arc<Shared>> {
    let runtimes = RUNTIMES.lock().unwrap_or_else(PoisonError::into_inner);
    runtimes.iter().filter_map(Weak::upgrade).collect()
}

/// A number that changes when a task begins anywhere.
fn begun_everywhere() -> u64 {
    let mut runtimes = RUNTIMES.lock().unwrap_or_else(PoisonError::into_inner);
    runtimes.retain(|runtime| runtime.strong_count() > 0);
    let begun = runtimes.iter().filter_map(Weak::upgrade).map(|shared| {
        let spawned = shared
            .workers
            .iter()
            .map(|w| w.counts.spawned.load(Ordering::Acquire));
        spawned.sum::<u64>() + shared.injected.load(Ordering::Acquire)
    });
    begun.sum::<u64>() + THREADS_BEGUN.load(Ordering::Acquire)
}
