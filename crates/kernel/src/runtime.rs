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

use std::any::Any;
use std::io;
use std::num::NonZero;
use std::panic::Location;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Condvar, Mutex, Once, OnceLock, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use crossbeam_deque::Injector;

use crate::cancel;
use crate::choices::Choices;
use crate::clock;
use crate::driver::{Addressed, Driver, DriverKind, Futures, Letter, Signal};
use crate::fork;
use crate::future;
use crate::host::{Host, HostPool};
use crate::inspect::counters;
use crate::outcome::JoinError;
use crate::places::Places;
use crate::record::{self, LOCAL, Record, Snapshot};
use crate::remote::Remote;
use crate::scope::ScopeState;
use crate::stack::{self, StackPool};
use crate::task::{self, Handle, Options, Role};
use crate::wait::{self, Limit, Reason, WaitQueue};
use crate::watcher::{self, Post, Watch};
use crate::worker::{Counts, Fresh, Inbox, Sleepers, Worker, WorkerShared};

#[doc(hidden)]
pub use crate::stall::OwnThread;

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
    pub(crate) sleepers: Sleepers,
    pub(crate) choices: Choices,
    state: AtomicU8,
    injected: AtomicU64,
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
            .filter(|&at| !self.workers[at].kept.load(Ordering::Relaxed))
            .min_by_key(|&at| self.workers[at].live_started())?;
        let there = self.workers[lighter].live_started();
        (lighter != index && there + there / 8 + THRESHOLD / 2 < here).then_some(lighter)
    }

    /// Has another worker take over what a kept one has not started.
    pub(crate) fn rescue(&self, index: usize) {
        let kept = &self.workers[index];
        let left = !kept.placed.is_empty() || !kept.stealer.is_empty();
        if left || !self.injector.is_empty() {
            self.rouse_one();
        }
    }

    pub(crate) fn report_no_stack(&self, error: &io::Error) {
        if !self.no_stack_told.swap(true, Ordering::Relaxed) {
            eprintln!("ropewalk: no stack for a new coroutine, it must wait: {error}");
        }
    }

    /// Waits for a place for one more task, if there is a limit.
    #[inline]
    pub(crate) fn admit(&self) {
        if let Some(places) = &self.places {
            places.take(|| self.is_stopping());
        }
    }

    /// Takes a place for one more task, if one is free.
    fn try_admit(&self) -> bool {
        self.places.as_ref().is_none_or(Places::try_take)
    }

    /// Lets those go on who wait for a place: none will come free.
    fn open_places(&self) {
        if let Some(places) = &self.places {
            places.open();
        }
    }

    #[inline]
    pub(crate) fn give_place(&self) {
        if let Some(places) = &self.places {
            places.give();
        }
    }

    /// Says whether there is such a worker as the options ask for.
    fn check_worker(&self, options: &Options) -> io::Result<()> {
        match options.worker {
            Some(index) if index >= self.workers.len() => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "there is no worker {index}: the runtime has {}, from 0 on",
                    self.workers.len()
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Starts a task that has its place, on a worker that there is.
    ///
    /// # Safety
    ///
    /// What the closure and its value borrow outlives the task.
    unsafe fn start<F, T>(
        self: &Arc<Self>,
        options: Options,
        scope: Option<&Arc<ScopeState>>,
        site: &'static Location<'static>,
        closure: F,
    ) -> Handle<T>
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        let pinned = options.worker;
        let worker =
            Worker::current().filter(|worker| Arc::as_ptr(&worker.shared) == Arc::as_ptr(self));
        // SAFETY: the caller's contract.
        let task = unsafe { task::prepare(worker, Role::Stealable, options, scope, site, closure) };
        // SAFETY: prepared for this `T`; the handle's reference.
        let handle = unsafe { Handle::new(task) };
        match (worker, pinned) {
            (Some(worker), None) => worker.spawn(task),
            (Some(worker), Some(index)) => worker.spawn_pinned(task, index),
            (None, None) => self.inject(task, Arc::as_ptr(self)),
            (None, Some(index)) => self.inject_pinned(task, Arc::as_ptr(self), index),
        }
        handle
    }

    /// Spawns on this runtime, waiting for a place if there is a limit.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if there is no such worker as the options ask for, `Unsupported` in a
    /// forked child.
    ///
    /// # Safety
    ///
    /// What the closure and its value borrow outlives the task.
    pub(crate) unsafe fn spawn_unchecked<F, T>(
        self: &Arc<Self>,
        options: Options,
        site: &'static Location<'static>,
        closure: F,
    ) -> io::Result<Handle<T>>
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        fork::check()?;
        self.check_worker(&options)?;
        self.admit();
        // SAFETY: the caller's contract.
        Ok(unsafe { self.start(options, None, site, closure) })
    }

    /// As [`spawn_unchecked`](Self::spawn_unchecked), but gives the closure back where that would
    /// wait, or give an error.
    ///
    /// # Safety
    ///
    /// As there.
    pub(crate) unsafe fn try_spawn_unchecked<F, T>(
        self: &Arc<Self>,
        options: Options,
        site: &'static Location<'static>,
        closure: F,
    ) -> Result<Handle<T>, Refused<F>>
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        if let Err(error) = fork::check().and_then(|()| self.check_worker(&options)) {
            return Err(Refused {
                error: Some(error),
                closure,
            });
        }
        if !self.try_admit() {
            return Err(Refused {
                error: None,
                closure,
            });
        }
        // SAFETY: the caller's contract.
        Ok(unsafe { self.start(options, None, site, closure) })
    }

    /// Queues an unstarted task for one worker, from outside the workers.
    fn inject_pinned(&self, task: NonNull<Record>, runtime: *const Shared, index: usize) {
        // SAFETY: just prepared.
        let record = unsafe { task.as_ref() };
        record.runtime.store(runtime.cast_mut(), Ordering::Relaxed);
        record.born_ns.store(clock::now_ns(), Ordering::Relaxed);
        #[cfg(feature = "tracing")]
        crate::trace::spawned(record);
        self.injected.fetch_add(1, Ordering::AcqRel);
        self.pin(task, index);
    }

    /// Hands a task to the one worker that is to run it.
    pub(crate) fn pin(&self, task: NonNull<Record>, index: usize) {
        // SAFETY: prepared, and in no queue yet.
        unsafe { task.as_ref() }.set_flag(LOCAL);
        self.workers[index].pinned.push(Fresh(task));
        fence(Ordering::SeqCst);
        if self.is_stopping() {
            self.cancel_queued();
        } else {
            self.workers[index].rouse();
        }
    }

    /// Queues an unstarted task from outside the workers.
    pub(crate) fn inject(&self, task: NonNull<Record>, runtime: *const Shared) {
        // SAFETY: just prepared.
        let record = unsafe { task.as_ref() };
        record.runtime.store(runtime.cast_mut(), Ordering::Relaxed);
        record.born_ns.store(clock::now_ns(), Ordering::Relaxed);
        self.injected.fetch_add(1, Ordering::AcqRel);
        self.injector.push(Fresh(task));
        fence(Ordering::SeqCst);
        if self.is_stopping() {
            self.cancel_queued();
        } else {
            self.rouse_one();
        }
    }

    /// Queues an async task that was woken from outside the workers.
    pub(crate) fn inject_again(&self, task: NonNull<Record>) {
        self.injector.push(Fresh(task));
        fence(Ordering::SeqCst);
        if self.is_stopping() {
            self.cancel_queued();
        } else {
            self.rouse_one();
        }
    }

    /// Drops the closures in the queues that all may take from.
    fn cancel_queued(&self) {
        let queues = self
            .workers
            .iter()
            .flat_map(|worker| [&worker.placed, &worker.pinned]);
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

    fn cancel(&self, Fresh(task): Fresh) {
        // SAFETY: taken from a queue, so ours.
        unsafe {
            end_unstarted(task, || {
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
    fn cancel_all(&self) {
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
    // SAFETY: the runner's reference keeps it.
    let behaviour = unsafe { task.as_ref() }.behaviour.get();
    let behaviour = behaviour.expect("a live record has a behaviour");
    // SAFETY: it runs nowhere, and the caller is its runner.
    unsafe {
        (behaviour.cancel)(task.as_ref());
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

/// Cancels the tasks that are at home with this worker. In the worker's loop: none of them runs,
/// and none can end meanwhile, so that what is marked is no later user of the record.
pub(crate) fn cancel_all_of(worker: &Worker, mut runnable: impl FnMut(NonNull<Record>)) {
    worker.cancelling.set(true);
    for (task, id) in record::of_runtime(Arc::as_ptr(&worker.shared)) {
        // SAFETY: type-stable.
        let record = unsafe { task.as_ref() };
        // A sleeping async task is polled once more, by whichever worker, which marks it as it
        // starts it. One that waits inside a poll is parked here like a coroutine; its phase is
        // read before its home, which is written before.
        future::wake(record);
        let asleep = future::is_between_polls(record);
        let here = std::ptr::eq(record.home.load(Ordering::SeqCst), worker.me());
        if asleep || !here || record.has(record::THREAD) {
            continue;
        }
        record.set_flag(record::CANCELLED);
        if let Some(task) = cancel::receive_letter(worker, task, id) {
            runnable(task);
        }
    }
}

/// A closure that `try_spawn` gives back.
pub struct Refused<F> {
    /// Why, if it was not for want of a place.
    pub error: Option<io::Error>,
    /// What was to run.
    pub closure: F,
}

/// A set of workers and what runs on them.
///
/// Dropping it stops it at once, as [`shutdown`](Self::shutdown) without any patience.
pub struct Runtime {
    shared: Arc<Shared>,
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
}

/// Coroutines that had not ended when their runtime was stopped. They stay parked for ever.
#[derive(Clone, Debug)]
pub struct StillRunning {
    /// Who is left.
    pub left: Vec<Snapshot>,
}

impl std::fmt::Display for StillRunning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} coroutines had not ended at the deadline",
            self.left.len()
        )?;
        for left in self.left.iter().take(20) {
            write!(f, "\n  {left}")?;
        }
        if self.left.len() > 20 {
            write!(f, "\n  and {} more", self.left.len() - 20)?;
        }
        Ok(())
    }
}

impl std::error::Error for StillRunning {}

impl Runtime {
    /// Starts the workers.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for settings (also of the environment) that make no sense,
    /// `Unsupported` or the system's error for a driver that is not to be had, and what
    /// starting a thread gives.
    pub fn new(config: Config) -> io::Result<Runtime> {
        fork::check()?;
        fork::notice();
        let (driver, asked) = driver_of(&config)?;
        match Runtime::with_driver(&config, driver) {
            // A ring for each worker takes locked memory (before Linux 5.12) and descriptors.
            Err(_) if driver == DriverKind::IoUring && !asked => {
                Runtime::with_driver(&config, DriverKind::Epoll)
            }
            result => result,
        }
    }

    fn with_driver(config: &Config, driver: DriverKind) -> io::Result<Runtime> {
        let workers = workers_of(config)?;
        let patience_ns = watcher::patience_of(config.watch)?;
        let stack_bytes = match config.stack_bytes {
            0 => stack::DEFAULT_BYTES,
            bytes => bytes,
        };
        let stack_bytes = stack::usable_bytes_for(stack_bytes)?;
        stack::overflow::describe_with(Host::describe);
        check_name(&config.thread_name)?;
        stack::overflow::install();
        install_panic_hook();
        let mut deques = Vec::with_capacity(workers);
        let mut shared = Vec::with_capacity(workers);
        for index in 0..workers {
            let deque = crossbeam_deque::Worker::new_fifo();
            shared.push(WorkerShared {
                inbox: Inbox::new(),
                placed: Injector::new(),
                pinned: Injector::new(),
                stealer: deque.stealer(),
                asleep: AtomicBool::new(false),
                futures: Futures::new(),
                signal: Signal::new()
                    .map_err(|error| not_started(index, workers, "its eventfd", &error))?,
                letters: Mutex::new(Some(Vec::new())),
                has_letters: AtomicBool::new(false),
                sleeps_for_ever: AtomicBool::new(false),
                visitors: AtomicUsize::new(0),
                post: Post::new(),
                kept: AtomicBool::new(false),
                counts: Counts::default(),
                beat_ns: AtomicU64::new(clock::now_ns()),
                roused_ns: AtomicU64::new(0),
            });
            deques.push(deque);
        }
        let shared = Arc::new(Shared {
            workers: shared.into(),
            injector: Injector::new(),
            sleepers: Sleepers::new(workers),
            choices: Choices::new(config.seed),
            state: AtomicU8::new(RUNNING),
            injected: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            quiet: WaitQueue::new(),
            places: config.coroutines_max.map(|max| Places::new(max.get())),
            driver,
            stack_bytes,
            no_stack_told: AtomicBool::new(false),
            stopped: Mutex::new(0),
            stopped_changed: Condvar::new(),
            closed: AtomicUsize::new(0),
            stall_told: AtomicBool::new(false),
            extension: OnceLock::new(),
        });
        RUNTIMES
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::downgrade(&shared));
        let runtime = Runtime {
            shared,
            threads: Mutex::new(Vec::new()),
        };
        runtime.start_threads(deques, config)?;
        if let Some(patience_ns) = patience_ns {
            watcher::watch(&runtime.shared, patience_ns);
        }
        if let Some(started) = ON_START.get() {
            started();
        }
        Ok(runtime)
    }

    fn start_threads(
        &self,
        deques: Vec<crossbeam_deque::Worker<Fresh>>,
        config: &Config,
    ) -> io::Result<()> {
        let prefix = if config.thread_name.is_empty() {
            "ropewalk"
        } else {
            config.thread_name.as_str()
        };
        let (report, reports) = std::sync::mpsc::channel();
        let mut result = Ok(());
        let mut started = 0;
        for (index, deque) in deques.into_iter().enumerate() {
            let shared = Arc::clone(&self.shared);
            let report = report.clone();
            let thread = thread::Builder::new()
                .name(format!("{prefix}-{index}"))
                .spawn(move || worker_thread(shared, index, deque, &report));
            match thread {
                Ok(thread) => {
                    self.threads
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(thread);
                    started += 1;
                }
                Err(error) => {
                    let workers = self.shared.workers.len();
                    result = Err(not_started(index, workers, "its thread", &error));
                    break;
                }
            }
        }
        for _ in 0..started {
            let report = reports
                .recv()
                .unwrap_or_else(|_| Err(io::Error::other("a worker died")));
            if report.is_err() && result.is_ok() {
                result = report;
            }
        }
        // On failure the runtime is dropped by the caller, which stops those that started.
        result
    }

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
        // The wait below must not be refused once the closure runs.
        wait::check_may_wait();
        let options = Options {
            name: Some("main".into()),
            ..Options::default()
        };
        // SAFETY: joined below, which nothing can cut short: it was checked that waiting
        // is allowed, and a join has no deadline and is not cancelled.
        let handle = unsafe { self.shared.spawn_unchecked(options, site, closure) };
        let handle = handle.unwrap_or_else(|error| panic!("{error}"));
        match handle.join_uncancelled() {
            Ok(value) => value,
            Err(JoinError::Panicked(payload)) => std::panic::resume_unwind(payload),
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
            worker.rouse();
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

    /// Waits until nothing runs any more, `patience` at most, then stops the workers.
    ///
    /// Closures that never started are dropped; their handles say so.
    ///
    /// # Errors
    ///
    /// Who had not ended. They stay parked for ever, on their workers' threads, which
    /// don't exit.
    ///
    /// # Panics
    ///
    /// In a coroutine of this runtime, which could never end by itself.
    pub fn shutdown(&self, patience: Duration) -> Result<(), StillRunning> {
        self.stop(clock::deadline_after(patience), false)
    }

    /// As [`shutdown`](Self::shutdown), and cancels all tasks first, also those that are spawned
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// As [`shutdown`](Self::shutdown).
    ///
    /// # Panics
    ///
    /// As [`shutdown`](Self::shutdown).
    pub fn close(&self, grace: Duration) -> Result<(), StillRunning> {
        self.stop(clock::deadline_after(grace), true)
    }

    fn is_inside(&self) -> bool {
        Worker::current()
            .is_some_and(|worker| Arc::as_ptr(&worker.shared) == Arc::as_ptr(&self.shared))
    }

    fn stop(&self, deadline: u64, cancelling: bool) -> Result<(), StillRunning> {
        // How often those that were spawned since are looked for.
        const AGAIN_NS: u64 = 20_000_000;
        assert!(
            !self.is_inside(),
            "a runtime can't be shut down from one of its own coroutines"
        );
        let shared = &self.shared;
        if shared.state.load(Ordering::SeqCst) == STOPPING || fork::is_child() {
            // A child has none of the threads that would have to end.
            return Ok(());
        }
        shared.state.store(DRAINING, Ordering::SeqCst);
        let mut cancel_again = cancelling;
        while shared.live() != 0 && (cancel_again || clock::now_ns() < deadline) {
            let mut until = deadline;
            if cancelling {
                shared.cancel_all();
                cancel_again = false;
                until = deadline.min(clock::now_ns() + AGAIN_NS);
            }
            let guard = shared.quiet.lock();
            if shared.live() == 0 {
                break;
            }
            guard.wait(
                0,
                Reason::Quiet,
                Arc::as_ptr(shared) as usize,
                Limit::until(Some(until)),
            );
        }
        shared.state.store(STOPPING, Ordering::SeqCst);
        shared.open_places();
        for worker in &shared.workers {
            worker.rouse();
        }
        self.await_workers(deadline);
        watcher::forget(shared, false);
        shared.cancel_queued();
        let left = self.living();
        // They never end: a program must not wait for that.
        left.iter().for_each(|task| record::give_up(task.id));
        if left.is_empty() {
            Ok(())
        } else {
            Err(StillRunning { left })
        }
    }

    /// Waits for the workers to leave their loops. One that computes on may never do.
    fn await_workers(&self, deadline: u64) {
        const GRACE_NS: u64 = 1_000_000_000;
        let shared = &self.shared;
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let mut stopped = shared
            .stopped
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let until = deadline.max(clock::now_ns()).saturating_add(GRACE_NS);
        while *stopped < threads.len() {
            if shared.live() == 0 {
                stopped = shared
                    .stopped_changed
                    .wait(stopped)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let Some(left) = until.checked_sub(clock::now_ns()).filter(|left| *left != 0) else {
                break;
            };
            let left = Duration::from_nanos(left.min(GRACE_NS));
            stopped = shared
                .stopped_changed
                .wait_timeout(stopped, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        drop(stopped);
        for (index, thread) in threads.into_iter().enumerate() {
            // Those with coroutines left never exit.
            if shared.workers[index].live_started() == 0 && shared.live() == 0 {
                let _ = thread.join();
            }
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if fork::is_child() {
            return;
        }
        counters::retire(self);
        for worker in &self.workers {
            while worker.visitors.load(Ordering::Acquire) != 0 {
                thread::yield_now();
            }
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if self.is_inside() {
            // The last owner is one of its own coroutines: it can't wait for itself.
            self.shared.state.store(STOPPING, Ordering::SeqCst);
            for worker in &self.shared.workers {
                worker.rouse();
            }
            watcher::forget(&self.shared, true);
            return;
        }
        let _ = self.stop(clock::now_ns(), false);
    }
}

fn workers_of(config: &Config) -> io::Result<usize> {
    const WORKERS_MAX: usize = 1024;
    let invalid = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
    let (workers, said_by) = match config.workers {
        Some(workers) => (workers, ""),
        None => match std::env::var("ROPEWALK_WORKERS") {
            Err(std::env::VarError::NotUnicode(text)) => {
                return Err(invalid(format!(
                    "ROPEWALK_WORKERS={text:?} is not a number"
                )));
            }
            Ok(text) if !text.is_empty() => {
                let workers = text.parse().map_err(|_| {
                    invalid(format!(
                        "ROPEWALK_WORKERS={text} is not a number of workers"
                    ))
                })?;
                (workers, "ROPEWALK_WORKERS asks for ")
            }
            _ => (thread::available_parallelism().map_or(1, NonZero::get), ""),
        },
    };
    if workers == 0 || workers > WORKERS_MAX {
        return Err(invalid(format!(
            "{said_by}{workers} workers: use 1 to {WORKERS_MAX}"
        )));
    }
    Ok(workers)
}

/// The driver, and whether it was asked for by name.
fn driver_of(config: &Config) -> io::Result<(DriverKind, bool)> {
    let asked = match config.driver {
        Some(driver) => Some(driver),
        None => DriverKind::from_env()?,
    };
    match asked {
        Some(driver) => driver.check().map(|()| (driver, true)),
        None => Ok((DriverKind::probe(), false)),
    }
}

/// Why a runtime could not start.
fn not_started(index: usize, workers: usize, what: &str, error: &io::Error) -> io::Error {
    let hint = match error.raw_os_error() {
        Some(libc::EMFILE) => "; see ulimit -n",
        Some(libc::ENFILE) => "; see fs.file-max",
        Some(libc::EAGAIN) => "; see ulimit -u, and the limits of the cgroup",
        Some(libc::ENOMEM) => "; see ulimit -v and ulimit -l, and the limits of the cgroup",
        _ => "",
    };
    io::Error::new(
        error.kind(),
        format!("worker {index} of {workers} can't have {what}: {error}{hint}"),
    )
}

fn worker_thread(
    shared: Arc<Shared>,
    index: usize,
    deque: crossbeam_deque::Worker<Fresh>,
    report: &std::sync::mpsc::Sender<io::Result<()>>,
) {
    let driver = match Driver::new(shared.driver, &shared.workers[index].signal) {
        Ok(driver) => driver,
        Err(error) => {
            let what = format!("its {} driver", shared.driver.as_str());
            let workers = shared.workers.len();
            let _ = report.send(Err(not_started(index, workers, &what, &error)));
            shared.note_stopped();
            return;
        }
    };
    if let Some(home) = driver.home() {
        shared.workers[index].futures.serve(home);
    }
    let overflow = stack::overflow::install_thread();
    let hosts = HostPool::new(
        StackPool::new(),
        shared.stack_bytes,
        &raw const shared.workers[index],
    );
    let worker = Worker::new(Arc::clone(&shared), index, deque, driver, hosts);
    let _ = report.send(Ok(()));
    // A panic of the kernel's own must not unwind this thread: rule 1.
    let guard = wait::AbortOnUnwind;
    worker.run();
    worker.take_all(&mut |task| shared.cancel(task));
    std::mem::forget(guard);
    if shared.workers[index].live_started() != 0 {
        // Soundness rule 1: this thread, and the stacks it owns, stay for ever. Its driver is
        // polled no more: descriptors that others use find another home.
        worker.driver.close();
        shared.workers[index].futures.leave();
        shared.workers[index].close_letters();
        shared.note_stopped();
        loop {
            thread::park();
        }
    }
    worker.leave();
    worker.driver.close();
    shared.workers[index].futures.leave();
    shared.workers[index].close_letters();
    drop(worker);
    drop(overflow);
    shared.note_stopped();
}

/// Spawns a coroutine on the caller's runtime, or on the global one.
///
/// # Errors
///
/// Those of the global runtime's start, if that is what it takes.
///
/// # Safety
///
/// What the closure and its value borrow outlives the task: it is `'static`, or `scope` is
/// waited for before the borrow ends.
#[inline]
pub unsafe fn spawn_unchecked<F, T>(
    options: Options,
    scope: Option<&Arc<ScopeState>>,
    site: &'static Location<'static>,
    closure: F,
) -> io::Result<Handle<T>>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    let Some(worker) = Worker::current() else {
        fork::check()?;
        let shared = &Runtime::global()?.shared;
        shared.check_worker(&options)?;
        shared.admit();
        // SAFETY: the caller's contract.
        return Ok(unsafe { shared.start(options, scope, site, closure) });
    };
    let pinned = options.worker;
    if pinned.is_some() {
        worker.shared.check_worker(&options)?;
    }
    if worker.limited {
        worker.shared.admit();
    }
    // SAFETY: the caller's contract.
    let task =
        unsafe { task::prepare(Some(worker), Role::Stealable, options, scope, site, closure) };
    // SAFETY: prepared for this `T`; the handle's reference.
    let handle = unsafe { Handle::new(task) };
    match pinned {
        None => worker.spawn(task),
        Some(index) => worker.spawn_pinned(task, index),
    }
    Ok(handle)
}

/// As [`spawn_unchecked`], but gives the closure back where that would wait for a place, or give
/// an error.
///
/// # Errors
///
/// The closure, and why.
pub fn try_spawn<F, T>(
    options: Options,
    site: &'static Location<'static>,
    closure: F,
) -> Result<Handle<T>, Refused<F>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let shared = match Worker::current() {
        Some(worker) => &worker.shared,
        None => match fork::check().and_then(|()| Runtime::global()) {
            Ok(runtime) => &runtime.shared,
            Err(error) => {
                return Err(Refused {
                    error: Some(error),
                    closure,
                });
            }
        },
    };
    // SAFETY: `'static`.
    unsafe { shared.try_spawn_unchecked(options, site, closure) }
}

/// The index of the worker that the caller runs on.
pub fn current_worker() -> Option<usize> {
    Worker::current().map(|worker| worker.index)
}

/// Spawns a coroutine that stays on the caller's worker, for closures that are not `Send`.
///
/// # Panics
///
/// Outside a coroutine.
pub fn spawn_local<F, T>(
    options: Options,
    site: &'static Location<'static>,
    closure: F,
) -> Handle<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    let worker = Worker::current().filter(|worker| worker.current_record().is_some());
    let worker = worker.expect("spawn_local needs a coroutine to be called from");
    assert!(
        options.worker.is_none_or(|index| index == worker.index),
        "spawn_local can't spawn on another worker"
    );
    if worker.limited {
        worker.shared.admit();
    }
    // SAFETY: `'static`.
    let task = unsafe { task::prepare(Some(worker), Role::Local, options, None, site, closure) };
    // SAFETY: prepared for this `T`; the handle's reference.
    let handle = unsafe { Handle::new(task) };
    worker.spawn(task);
    handle
}

/// Starts an OS thread whose handle, name and place among the living are a coroutine's.
///
/// # Errors
///
/// What starting a thread gives.
pub fn spawn_thread<F, T>(
    options: Options,
    site: &'static Location<'static>,
    closure: F,
) -> io::Result<Handle<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let mut builder = thread::Builder::new();
    if let Some(name) = &options.name {
        check_name(name)?;
        builder = builder.name(name.to_string());
    }
    if options.stack_bytes != 0 {
        builder = builder.stack_size(options.stack_bytes);
    }
    let worker = Worker::current();
    // SAFETY: `'static`.
    let task = unsafe { task::prepare(worker, Role::Thread, options, None, site, closure) };
    // SAFETY: prepared for this `T`; the handle's reference.
    let handle = unsafe { Handle::new(task) };
    THREADS_BEGUN.fetch_add(1, Ordering::AcqRel);
    let fresh = Fresh(task);
    let started = builder.spawn(move || {
        let Fresh(task) = { fresh };
        // SAFETY: this thread is the task's runner, and its reference keeps the record.
        unsafe {
            let record = task.as_ref();
            record.started.store(true, Ordering::Relaxed);
            let behaviour = record
                .behaviour
                .get()
                .expect("a live record has a behaviour");
            task::identity::with_record(record, || {
                cancel::enter_thread(record);
                (behaviour.run)(record);
                cancel::exit_thread();
            });
            task::complete(task, || ());
        }
    });
    match started {
        Ok(_detached) => Ok(handle),
        Err(error) => {
            // SAFETY: it never ran, and nobody else will.
            unsafe { end_unstarted(task, || ()) };
            Err(error)
        }
    }
}

/// A thread's name can't hold a NUL: std would panic.
fn check_name(name: &str) -> io::Result<()> {
    if name.contains('\0') {
        let text = format!("the thread name {name:?} contains a NUL");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(())
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

/// Waits until every task that isn't a daemon has ended, but for the caller.
///
/// Tasks that are spawned meanwhile count too.
pub fn wait_for_others() {
    if fork::is_child() {
        return;
    }
    let me = task::Task::current().id();
    loop {
        let before = begun_everywhere();
        let living = record::living(std::ptr::null());
        match living.iter().find(|task| !task.daemon && task.id != me) {
            Some(other) => record::wait_end(other.id),
            // Nobody was there. If nobody came while we looked, none slipped by.
            None if begun_everywhere() == before => return,
            None => {}
        }
    }
}

/// Wraps the panic hook that is there, once: a panic in a coroutine says which one, and
/// a wait inside the hook blocks the thread instead of letting others run.
fn install_panic_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            wait::mark_panic_hook(|| {
                previous(info);
                tell_coroutine();
            });
        }));
    });
}

fn tell_coroutine() {
    let Some(record) = Worker::current().and_then(Worker::current_record) else {
        return;
    };
    let local = if record.has(LOCAL) { "local " } else { "" };
    if let Some(snapshot) = record::snapshot(record, std::ptr::null()) {
        let name = snapshot.name.as_deref().unwrap_or("unnamed");
        match snapshot.site {
            Some(site) => eprintln!(
                "in {local}coroutine '{name}' (id {}) from {site}",
                snapshot.id
            ),
            None => eprintln!("in {local}coroutine '{name}' (id {})", snapshot.id),
        }
    }
}
