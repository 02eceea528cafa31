//! A runtime of one's own: how many workers, which driver, and a clean end.

mod calls;
mod handle;

pub use calls::{Closed, DelayedCall};
pub use handle::RuntimeHandle;

use std::fmt;
use std::future::Future;
use std::io;
use std::num::NonZero;
use std::panic::Location;
use std::time::{Duration, Instant};

use ropewalk_kernel::driver::DriverKind;
use ropewalk_kernel::runtime::{self, Config, StillRunning};
use ropewalk_kernel::watcher::Watch;

use crate::coroutine::TrySpawnError;
use crate::future::block_on;
use crate::join::JoinHandle;
use crate::task::Info;

/// Workers and the coroutines that run on them.
///
/// Most programs need none: [`spawn`](crate::spawn) starts a global one. Several may live
/// side by side. Dropping a runtime stops it at once; [`shutdown`](Self::shutdown) waits, and
/// [`close`](Self::close) cancels and waits.
///
/// # As an event loop
///
/// What is spawned runs on the workers' own threads from the start. A thread may stay with the
/// runtime until one thing is done ([`run`](Self::run),
/// [`run_until_complete`](Self::run_until_complete)) or until somebody says
/// [`stop`](Self::stop) ([`run_forever`](Self::run_forever)). [`call_soon`](Self::call_soon),
/// [`call_later`](Self::call_later) and [`call_at`](Self::call_at) may be used from any thread.
///
/// ```
/// use std::time::Duration;
/// let runtime = ropewalk_rt::Runtime::builder().workers(1).build()?;
/// let handle = runtime.handle();
/// runtime.call_later(Duration::from_millis(2), move || handle.stop());
/// runtime.run_forever();
/// assert_eq!(runtime.run_until_complete(async { 6 * 7 }), 42);
/// runtime.close(Duration::from_secs(5)).expect("nothing is left");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Where the system is short
///
/// - Processors: if nothing is said there is a worker for each that the process may use; its
///   affinity and a cgroup's quota count.
/// - Descriptors and threads (`ulimit -n`, `-u`, a cgroup's `pids.max`): too few for the workers
///   are an error of the start. Afterwards the operation that wants one fails, and an accept may
///   be repeated.
/// - Memory: stacks are reserved in slabs, and used as they are touched. Where the system refuses
///   a slab (`ulimit -v` or `-d`; `vm.overcommit_memory=2`, which counts reservations in full) a
///   new coroutine waits for the stack of another, which is told once on standard error. A
///   cgroup's `memory.max` counts what was touched; the system kills who needs more.
/// - io_uring: a kernel, sandbox or container without it leaves epoll.
/// - `fork` without `exec`: the child has none of the threads. What would wait for them is
///   refused, in plain words; only before the first use is a runtime of the child's own possible.
pub struct Runtime {
    inner: runtime::Runtime,
    handle: RuntimeHandle,
}

impl Runtime {
    /// Starts a runtime with default settings: a worker for each processor, io_uring where it
    /// works, else epoll; `ROPEWALK_WORKERS` and `ROPEWALK_DRIVER` override.
    ///
    /// # Errors
    ///
    /// As [`RuntimeBuilder::build`].
    pub fn new() -> io::Result<Runtime> {
        Runtime::builder().build()
    }

    /// Starts describing a runtime.
    pub fn builder() -> RuntimeBuilder {
        RuntimeBuilder {
            config: Config::default(),
            inspect: false,
        }
    }

    /// Runs `f` as a coroutine of this runtime and waits for its value. `f` may borrow.
    ///
    /// Coroutines that `f` spawned and did not join go on.
    ///
    /// # Panics
    ///
    /// With `f`'s panic; inside [`no_wait`](crate::coroutine::no_wait); and if the runtime
    /// is shut down before `f` starts.
    ///
    /// # Examples
    ///
    /// ```
    /// let runtime = ropewalk_rt::Runtime::builder().workers(1).build()?;
    /// let sum = runtime.run(|| {
    ///     let half = ropewalk_rt::spawn(|| 21);
    ///     2 * half.join().unwrap()
    /// });
    /// assert_eq!(sum, 42);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn run<F, T>(&self, f: F) -> T
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        let _inside = self.handle.enter();
        self.inner.run(Location::caller(), f)
    }

    /// Runs `future` on this runtime, in a coroutine, and waits for its output. It may borrow.
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run).
    #[track_caller]
    pub fn run_until_complete<F>(&self, future: F) -> F::Output
    where
        F: Future + Send,
        F::Output: Send,
    {
        self.run(|| block_on(future))
    }

    /// Waits until somebody calls [`stop`](Self::stop); returns at once if somebody did since
    /// the last time.
    ///
    /// Coroutines run whether or not a thread is in here. Several threads may be: one `stop`
    /// lets all of them go.
    pub fn run_forever(&self) {
        self.handle.run_forever();
    }

    /// Lets those go who are in [`run_forever`](Self::run_forever), or the next who comes.
    /// Coroutines and delayed calls go on.
    pub fn stop(&self) {
        self.handle.stop();
    }

    /// Says whether a thread is in [`run`](Self::run),
    /// [`run_until_complete`](Self::run_until_complete) or [`run_forever`](Self::run_forever).
    pub fn is_running(&self) -> bool {
        self.handle.is_running()
    }

    /// What others may hold of this runtime, to spawn on it, have it call something or stop it.
    pub fn handle(&self) -> RuntimeHandle {
        self.handle.clone()
    }

    /// Has the runtime call `f` as soon as it can: after the calls that are due already, never
    /// beside another call. From any thread; waits for nobody, not even at a
    /// [limit](RuntimeBuilder::max_coroutines) on coroutines.
    ///
    /// The calls are made by one coroutine, under no [`Token`](crate::cancel::Token): one that
    /// waits holds up those behind it, and nothing else. A panic of `f` is reported by the panic
    /// hook and ends `f` alone.
    pub fn call_soon<F>(&self, f: F) -> DelayedCall
    where
        F: FnOnce() + Send + 'static,
    {
        self.handle.call_soon(f).expect(OPEN)
    }

    /// As [`call_soon`](Self::call_soon), `delay` from now. Calls of the same time are made as
    /// they were asked for.
    pub fn call_later<F>(&self, delay: Duration, f: F) -> DelayedCall
    where
        F: FnOnce() + Send + 'static,
    {
        self.handle.call_later(delay, f).expect(OPEN)
    }

    /// As [`call_later`](Self::call_later), at a point in time.
    pub fn call_at<F>(&self, when: Instant, f: F) -> DelayedCall
    where
        F: FnOnce() + Send + 'static,
    {
        self.handle.call_at(when, f).expect(OPEN)
    }

    /// Says that of all threads outside only `outer_threads` know this runtime, and wait for it.
    pub(crate) fn close_to_outsiders(&self, outer_threads: usize) {
        self.inner.close_to_outsiders(outer_threads);
    }

    /// Spawns a coroutine on this runtime, from anywhere.
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.handle.spawn(f)
    }

    /// Spawns a coroutine on this runtime's worker with this index, from anywhere; see
    /// [`coroutine::spawn_on`](crate::coroutine::spawn_on).
    ///
    /// # Errors
    ///
    /// `InvalidInput` if there is no such worker.
    #[track_caller]
    pub fn spawn_on<F, T>(&self, worker: usize, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.handle.spawn_on(worker, f)
    }

    /// Spawns a coroutine on this runtime unless it is full, from anywhere; see
    /// [`coroutine::try_spawn`](crate::coroutine::try_spawn).
    ///
    /// # Errors
    ///
    /// The closure, if the runtime has as many coroutines as it may have.
    #[track_caller]
    pub fn try_spawn<F, T>(&self, f: F) -> Result<JoinHandle<T>, TrySpawnError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.handle.try_spawn(f)
    }

    /// Spawns a future as an async task on this runtime, from anywhere; see
    /// [`spawn_async`](crate::spawn_async).
    #[track_caller]
    pub fn spawn_async<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.handle.spawn_async(future)
    }

    /// How many of its coroutines have not ended.
    pub fn live(&self) -> u64 {
        self.inner.live()
    }

    /// Its coroutines that have not ended, oldest first.
    pub fn list(&self) -> Vec<Info> {
        self.inner.living().into_iter().map(Info::new).collect()
    }

    /// Looks at every one of its coroutines and async tasks: see [`inspect`](crate::inspect).
    pub fn dump(&self) -> crate::inspect::Dump {
        crate::inspect::dump_of(&self.inner)
    }

    /// The number of its workers.
    pub fn workers(&self) -> usize {
        self.inner.workers()
    }

    /// How often the watcher found one of its workers kept by a coroutine that computed, or
    /// blocked the thread, for too long; see [`RuntimeBuilder::watch`].
    pub fn kept(&self) -> u64 {
        self.inner.kept()
    }

    /// The driver it uses.
    pub fn driver(&self) -> DriverKind {
        self.inner.driver()
    }

    /// Waits until no coroutine is left, for `patience` at most, then stops the workers. A
    /// coroutine of another runtime may call this: its worker is free for others meanwhile.
    ///
    /// Delayed calls that are not due are dropped at once. Closures that never started are
    /// dropped at the end, and their handles say so. Coroutines that have started are never
    /// unwound: those that are left stay parked for ever, with the threads they are on.
    ///
    /// # Errors
    ///
    /// Who was left.
    ///
    /// # Panics
    ///
    /// If called from one of the runtime's own coroutines.
    pub fn shutdown(self, patience: Duration) -> Result<(), StillRunning> {
        self.handle.calls().close();
        self.inner.shutdown(patience)
    }

    /// As [`shutdown`](Self::shutdown), but cancels every coroutine and async task first, and
    /// those that are spawned meanwhile: each has `grace` to end after its waits have
    /// failed.
    ///
    /// # Errors
    ///
    /// Who was left: who computes on, or shields itself, or waits for a lock.
    ///
    /// # Panics
    ///
    /// If called from one of the runtime's own coroutines.
    pub fn close(self, grace: Duration) -> Result<(), StillRunning> {
        self.handle.calls().close();
        self.inner.close(grace)
    }
}

/// Why a call can't be refused: who has a runtime has not shut it down.
const OPEN: &str = "a runtime that is there is open";

impl Drop for Runtime {
    fn drop(&mut self) {
        self.handle.calls().clear();
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("workers", &self.workers())
            .field("driver", &self.driver().as_str())
            .field("live", &self.live())
            .finish_non_exhaustive()
    }
}

/// How a [`Runtime`] is to be made.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct RuntimeBuilder {
    config: Config,
    inspect: bool,
}

impl RuntimeBuilder {
    /// Sets the number of workers: 1 to 1024.
    pub fn workers(mut self, workers: usize) -> RuntimeBuilder {
        self.config.workers = Some(workers);
        self
    }

    /// Chooses the driver.
    pub fn driver(mut self, driver: DriverKind) -> RuntimeBuilder {
        self.config.driver = Some(driver);
        self
    }

    /// Sets the usable stack of coroutines that don't ask for another, in bytes.
    pub fn stack_size(mut self, bytes: usize) -> RuntimeBuilder {
        self.config.stack_bytes = bytes;
        self
    }

    /// Names the workers' threads: `name-0`, `name-1` and so on.
    pub fn thread_name(mut self, name: impl Into<String>) -> RuntimeBuilder {
        self.config.thread_name = name.into();
        self
    }

    /// Sets how many coroutines and async tasks there may be at once; 0 for no limit, which is
    /// what there is if nothing is said.
    ///
    /// At the limit whoever spawns waits for an end, and
    /// [`try_spawn`](crate::coroutine::try_spawn) gives the closure back. The one that runs
    /// under [`Runtime::run`] counts. The wait is not a cancellation point; a dump calls it
    /// "waiting for a place to spawn".
    ///
    /// A coroutine keeps its own place while it waits for another. So a limit must leave room
    /// for all who wait for one another: parents that fill it, and then wait to spawn the
    /// children they wait for, wait for ever. Where a wait is not possible (inside
    /// [`no_wait`](crate::coroutine::no_wait), in an `on_done` callback, while a panic unwinds)
    /// `spawn` goes over the limit.
    ///
    /// # Examples
    ///
    /// ```
    /// use ropewalk_rt::Runtime;
    ///
    /// let runtime = Runtime::builder().workers(2).max_coroutines(100).build()?;
    /// for _ in 0..10_000 {
    ///     runtime.spawn(|| assert!(ropewalk_rt::coroutine::count() <= 100));
    /// }
    /// # runtime.shutdown(std::time::Duration::from_secs(60)).unwrap();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn max_coroutines(mut self, count: usize) -> RuntimeBuilder {
        self.config.coroutines_max = NonZero::new(count);
        self
    }

    /// Sets how long a coroutine may keep its worker, by computing or by a call that blocks
    /// the thread, before the watcher tells of it; `None` switches the watcher off for this
    /// runtime. If not said: `ROPEWALK_WATCH` (`off`, or a time such as `20ms` or `1s`), else
    /// 10 ms. At least a millisecond.
    ///
    /// The watcher is a thread of the process. It tells on standard error, once for each spawn
    /// site, who keeps a worker, with a backtrace; counts it ([`Runtime::kept`]); and has other
    /// workers take over what the kept one has not started. To see the stack it sends the
    /// worker's thread a `SIGURG`, unless the program has a handler of its own for that: a
    /// system call that can't be restarted (`nanosleep`, `poll`) then ends with `EINTR`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use ropewalk_rt::Runtime;
    ///
    /// let runtime = Runtime::builder()
    ///     .workers(1)
    ///     .watch(Duration::from_secs(1))
    ///     .build()?;
    /// assert_eq!(runtime.run(|| 6 * 7), 42);
    /// assert_eq!(runtime.kept(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn watch(mut self, patience: impl Into<Option<Duration>>) -> RuntimeBuilder {
        self.config.watch = patience.into().map_or(Watch::Off, Watch::After);
        self
    }

    /// Switches the socket of [`inspect::serve`](crate::inspect::serve()) on, for the rest of the
    /// process's life. Without it the environment variable `ROPEWALK_INSPECT` decides.
    pub fn inspect(mut self, on: bool) -> RuntimeBuilder {
        self.inspect = on;
        self
    }

    /// Starts the workers.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for settings, also of the environment, that make no sense; the reason
    /// why a driver that was asked for by name can't be had; what starting threads gives; and
    /// those of [`inspect::serve`](crate::inspect::serve()), if that was asked for.
    pub fn build(self) -> io::Result<Runtime> {
        let runtime = runtime::Runtime::new(self.config).map(|inner| {
            let handle = RuntimeHandle::of(inner.remote());
            Runtime { inner, handle }
        })?;
        if self.inspect {
            crate::inspect::serve()?.keep();
        }
        Ok(runtime)
    }
}
