//! A pool of worker processes that may die.
//!
//! `builder` says how it is to be, `submit` takes tasks, `state` is what is known under the
//! pool's lock (with `queue`, `lane` and `job`), `collector` and `keeper` are its two threads,
//! `worker` is the other process, and `wire` what both sides say; `output` brings what workers
//! print, `insight` tells about them. How bytes get across is `ring`'s matter.

mod builder;
mod collector;
mod error;
mod insight;
mod job;
mod keeper;
mod lane;
mod output;
mod queue;
mod state;
mod submit;
mod wire;
mod worker;

pub use builder::ProcessPoolBuilder;
pub use error::PoolBroken;
pub use insight::{PoolInsight, WorkerInsight};
pub use submit::WithTimeout;

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ropewalk_kernel::wait::may_wait;
use ropewalk_rt::JoinError;
use ropewalk_rt::executor::{self, Pool, PoolJoinError};
use ropewalk_rt::sync::{Event, Semaphore};
use rustix::event::EventfdFlags;

use self::builder::Settings;
use self::collector::Collector;
use self::keeper::Keeper;
use self::state::{After, Stage, State};
use crate::StartError;
use crate::launch::Launch;
use crate::memory::Region;
use crate::ring::parcel::Allowance;
use crate::start;

/// How many tasks with large arguments may have a descriptor each, besides two for each worker.
const PARCELS: usize = 32;

/// Encodes the initialiser's arguments for one more worker: its task, the bytes, and the
/// descriptors that go with them.
type Initializer = Arc<dyn Fn() -> Result<(u32, Vec<u8>, Vec<OwnedFd>), StartError> + Send + Sync>;

/// Worker processes that run tasks; mirrors Python's `ProcessPoolExecutor` and
/// `multiprocessing.Pool`.
///
/// The workers are this program, started again: the function that is called, and its
/// arguments, must make sense there. So it takes *tasks*, functions that are registered with
/// `#[ropewalk::task]`, by means of [`RunTask`](ropewalk_rt::executor::RunTask), as all
/// pools do. Arguments and results are serialised; for large ones of bytes use
/// `serde_bytes::ByteBuf` or `bytes::Bytes`, which are copied in one go, where a `Vec<u8>` is
/// serialised byte by byte.
///
/// # When a worker dies
///
/// A task may panic, exit, abort, overflow its stack, be killed for using too much memory, or
/// never end: nothing but this task is harmed. A panic comes back as
/// [`JoinError::Panicked`] with a
/// [`RemotePanic`](ropewalk_rt::RemotePanic); a worker's death fails the one task it was running
/// with [`JoinError::WorkerDied`]. Tasks it was given ahead are run by others, and another
/// worker takes its place. No task is run twice, nor tried again by itself.
///
/// Cancelling the handle of a task takes it out of the queue, or, if it runs, kills its worker;
/// so does a [time-out](ProcessPoolBuilder::task_timeout). In either case it really stops.
///
/// # Its end
///
/// Dropping the pool [terminates](Self::terminate) it and waits until its workers are gone.
/// Before that, [`shutdown`](Self::shutdown), or [`close`](Self::close) and
/// [`join`](Self::join), let it finish its work. If this process ends in whatever way, its
/// workers end too.
///
/// # In workers
///
/// Tasks run one after the other on a coroutine of the worker's main runtime. What they print
/// comes out where this process prints. State that outlasts a task goes into statics; an
/// [initialiser](ProcessPoolBuilder::initializer) may prepare them. SIGINT does nothing
/// there: Ctrl-C is this process's to handle. A worker can't have a pool of its own.
///
/// # Examples
///
/// ```
/// use ropewalk_process::ProcessPool;
/// use ropewalk_rt::executor::RunTask;
///
/// fn square(n: u64) -> u64 {
///     n * n
/// }
///
/// ropewalk_rt::register! { "square" => square }
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     // `#[ropewalk::main]` does this.
///     ropewalk_process::init();
///
///     let pool = ProcessPool::new(2)?;
///     let handle = pool.submit(square, (12,))?;
///     assert_eq!(handle.join()?, 144);
///     pool.shutdown(true, false)?;
///     Ok(())
/// }
/// ```
pub struct ProcessPool {
    inner: Arc<Inner>,
}

/// What the pool and its threads share.
struct Inner {
    settings: Settings,
    state: Mutex<State>,
    /// The bell that wakes the collector, at offset 0: all workers have this region.
    bell: Region,
    /// The collector has something else to look at than results.
    attention: AtomicBool,
    /// Large results that are being decoded.
    settling: AtomicUsize,
    /// Places in the queue.
    room: Semaphore,
    /// Large arguments that may have a file of their own while they wait.
    parcels: Allowance,
    /// An eventfd that wakes the keeper.
    keeper: OwnedFd,
    /// Both threads are done.
    ended: Event,
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake_keeper(&self) {
        // Full means that it has been woken.
        let _ = rustix::io::write(&self.keeper, &1_u64.to_ne_bytes());
    }

    /// The keeper has been woken, and looks at everything.
    fn drain_keeper(&self) {
        let mut count = [0; 8];
        // Nothing there means that something else has woken it.
        let _ = rustix::io::read(&self.keeper, &mut count);
    }
}

impl ProcessPool {
    /// Starts a pool with `n` workers and default settings. A good number is that of the cores:
    /// [`builder`](Self::builder) takes it if not told otherwise.
    ///
    /// # Errors
    ///
    /// As [`ProcessPoolBuilder::build`].
    ///
    /// # Panics
    ///
    /// With 0.
    pub fn new(n: usize) -> Result<ProcessPool, StartError> {
        ProcessPool::builder().workers(n).build()
    }

    /// Starts describing a pool.
    pub fn builder() -> ProcessPoolBuilder {
        ProcessPoolBuilder::new()
    }

    fn start(settings: Settings) -> Result<ProcessPool, StartError> {
        Launch::check()?;
        if start::kind() == Some(wire::KIND) {
            let inside = "a worker of a pool".to_owned();
            return Err(StartError::Nested { inside });
        }
        let keeper = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(std::io::Error::from)?;
        let inner = Arc::new(Inner {
            state: Mutex::new(State::new(settings.workers)),
            bell: Region::new(64)?,
            attention: AtomicBool::new(false),
            settling: AtomicUsize::new(0),
            room: Semaphore::new(settings.queue),
            parcels: Allowance::new(PARCELS + 2 * settings.workers),
            keeper,
            ended: Event::new(),
            settings,
        });
        let keeper = Keeper::begin(Arc::clone(&inner))?;
        let collector = Collector::new(Arc::clone(&inner));
        // Dropped if a thread can't be started: it ends what there is.
        let pool = ProcessPool { inner };
        thread::Builder::new()
            .name("ropewalk-pool-keeper".to_owned())
            .spawn(move || keeper.run())?;
        thread::Builder::new()
            .name("ropewalk-pool".to_owned())
            .spawn(move || collector.run())?;
        Ok(pool)
    }

    /// Takes no more tasks; those there are will be done, and then the workers end. Submitters
    /// that wait for a place in the queue are refused as soon as there is one.
    pub fn close(&self) {
        let mut after = After::default();
        {
            let mut state = self.inner.state();
            if matches!(state.stage, Stage::Open) {
                state.stage = Stage::Closed;
            }
            state.end_if_done(&mut after);
        }
        self.inner.finish(after);
    }

    /// Takes no more tasks, gives up all there are, and kills the workers: joining gives
    /// [`JoinError::Cancelled`] for each task that had no outcome. Doesn't wait; see
    /// [`join`](Self::join).
    pub fn terminate(&self) {
        let mut after = After::default();
        {
            let mut state = self.inner.state();
            if matches!(state.stage, Stage::Open | Stage::Closed) {
                state.give_up(Stage::Terminated, &mut after, || JoinError::Cancelled);
            }
        }
        self.inner.finish(after);
    }

    /// Waits until all tasks are done and all workers gone, after [`close`](Self::close) or
    /// [`terminate`](Self::terminate). A cancellation point.
    ///
    /// # Errors
    ///
    /// [`PoolJoinError::StillOpen`], or if the caller is cancelled.
    pub fn join(&self) -> Result<(), PoolJoinError> {
        self.check_closed()?;
        let waited = self.inner.ended.wait();
        waited.map_err(|_| PoolJoinError::Cancelled)
    }

    /// As [`join`](Self::join), for `timeout` at most. The pool goes on if that is over; it may
    /// be [terminated](Self::terminate) then.
    ///
    /// # Errors
    ///
    /// [`PoolJoinError::TimedOut`], which says how much is left; else as [`join`](Self::join).
    pub fn join_timeout(&self, timeout: Duration) -> Result<(), PoolJoinError> {
        self.check_closed()?;
        let waited = self.inner.ended.wait_timeout(timeout);
        waited.map_err(|error| self.not_joined(error.is_timeout()))
    }

    /// As [`join_timeout`](Self::join_timeout), until a point in time.
    ///
    /// # Errors
    ///
    /// As [`join_timeout`](Self::join_timeout).
    pub fn join_deadline(&self, deadline: Instant) -> Result<(), PoolJoinError> {
        self.check_closed()?;
        let waited = self.inner.ended.wait_deadline(deadline);
        waited.map_err(|error| self.not_joined(error.is_timeout()))
    }

    fn check_closed(&self) -> Result<(), PoolJoinError> {
        match self.inner.state().stage {
            Stage::Open => Err(PoolJoinError::StillOpen),
            _ => Ok(()),
        }
    }

    fn not_joined(&self, timeout: bool) -> PoolJoinError {
        if !timeout {
            return PoolJoinError::Cancelled;
        }
        let state = self.inner.state();
        let lanes = state.lanes.iter().flatten();
        let running = lanes.filter(|lane| !lane.in_flight.is_empty()).count();
        PoolJoinError::TimedOut {
            pending: state.outstanding().saturating_sub(running),
            running,
        }
    }

    /// Takes no more tasks. With `cancel_pending` those that have not begun are given up
    /// ([`JoinError::Cancelled`]); the others are done. With `wait` it returns when that is so and
    /// the workers are gone; else at once.
    ///
    /// # Errors
    ///
    /// [`PoolJoinError::Cancelled`] if the caller is cancelled while it waits.
    pub fn shutdown(&self, wait: bool, cancel_pending: bool) -> Result<(), PoolJoinError> {
        Pool::shutdown(self, wait, cancel_pending)
    }

    /// Takes no more tasks, and gives up those that have not begun: joining them gives
    /// [`JoinError::Cancelled`]. The others are done.
    pub fn cancel_pending(&self) {
        let mut after = After::default();
        {
            let mut state = self.inner.state();
            if matches!(state.stage, Stage::Open) {
                state.stage = Stage::Closed;
            }
            state.cancel_pending(&mut after);
            state.end_if_done(&mut after);
        }
        self.inner.finish(after);
    }

    /// As [`shutdown`](Self::shutdown) with `wait`, for `timeout` at most.
    ///
    /// # Errors
    ///
    /// [`PoolJoinError::TimedOut`], which says how much is left. The pool goes on with it; it
    /// may be [terminated](Self::terminate) then.
    pub fn shutdown_timeout(
        &self,
        timeout: Duration,
        cancel_pending: bool,
    ) -> Result<(), PoolJoinError> {
        self.shutdown(false, cancel_pending)?;
        self.join_timeout(timeout)
    }

    /// Says whether the pool takes tasks.
    pub fn is_open(&self) -> bool {
        matches!(self.inner.state().stage, Stage::Open)
    }
}

impl Pool for ProcessPool {
    fn close(&self) {
        ProcessPool::close(self);
    }

    fn is_closed(&self) -> bool {
        !self.is_open()
    }

    fn cancel_pending(&self) {
        ProcessPool::cancel_pending(self);
    }

    fn terminate(&self) {
        ProcessPool::terminate(self);
    }

    fn join_until(&self, deadline: Option<Instant>) -> Result<(), PoolJoinError> {
        match deadline {
            Some(deadline) => self.join_deadline(deadline),
            None => ProcessPool::join(self),
        }
    }

    fn insights(&self) -> Vec<executor::WorkerInsight> {
        let insight = |worker: WorkerInsight| {
            let mut insight = executor::WorkerInsight::new(worker.name);
            insight.tasks = worker.tasks;
            insight.busy = worker.busy;
            insight.idle = worker.idle;
            insight.start_up = worker.start_up;
            insight
        };
        self.insight().workers.into_iter().map(insight).collect()
    }
}

impl Drop for ProcessPool {
    /// Terminates the pool, and waits until its workers are gone: no zombie is left.
    fn drop(&mut self) {
        self.terminate();
        // The workers have been killed, so it doesn't take long. Where nothing may wait, and if the
        // caller is cancelled, it happens in the background.
        if may_wait() {
            let _ = self.inner.ended.wait();
        }
    }
}

impl fmt::Debug for ProcessPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.inner.state();
        f.debug_struct("ProcessPool")
            .field("name", &self.inner.settings.name)
            .field("workers", &self.inner.settings.workers)
            .field("stage", &state.stage)
            .field("outstanding", &state.outstanding())
            .finish_non_exhaustive()
    }
}
