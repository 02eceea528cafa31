//! What others hold of a runtime.

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ropewalk_kernel::clock;
use ropewalk_kernel::driver::DriverKind;
use ropewalk_kernel::remote::Remote;
use ropewalk_kernel::task::Options;

use super::calls::{Calls, Closed, DelayedCall};
use crate::coroutine::TrySpawnError;
use crate::join::JoinHandle;
use crate::sync::{Condvar, Mutex};
use crate::task::Info;

/// A runtime, to spawn on it, have it call something or stop it; from any thread, coroutine or
/// async task.
///
/// It does not keep the runtime running: what is spawned through it after the end never starts,
/// and its handle says [`Shutdown`](crate::JoinError::Shutdown).
#[derive(Clone)]
pub struct RuntimeHandle {
    remote: Remote,
    extra: Arc<Extra>,
}

/// What belongs to a runtime beside its workers.
struct Extra {
    calls: Arc<Calls>,
    /// Whether those in `run_forever` are to go.
    stopped: Mutex<bool>,
    stop: Condvar,
    /// How many are in `run_forever`.
    staying: AtomicUsize,
    /// How many are in that, `run` or `run_until_complete`.
    inside: AtomicUsize,
}

/// Counts who is in a runtime.
pub(super) struct Inside<'h>(&'h Extra);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

impl RuntimeHandle {
    pub(super) fn of(remote: Remote) -> RuntimeHandle {
        let extra = remote.extension(|| {
            Arc::new(Extra {
                calls: Arc::new(Calls::new()),
                stopped: Mutex::new(false),
                stop: Condvar::new(),
                staying: AtomicUsize::new(0),
                inside: AtomicUsize::new(0),
            })
        });
        let extra = extra.downcast().expect("only this layer keeps something");
        RuntimeHandle { remote, extra }
    }

    /// The runtime that the caller runs on; `None` on a plain thread.
    pub fn current() -> Option<RuntimeHandle> {
        Remote::current().map(RuntimeHandle::of)
    }

    /// The global runtime, which [`spawn`](crate::spawn) uses outside any other; started if
    /// need be.
    ///
    /// # Errors
    ///
    /// Those of its start; see [`RuntimeBuilder::build`](super::RuntimeBuilder::build).
    pub fn global() -> io::Result<RuntimeHandle> {
        Remote::global().map(RuntimeHandle::of)
    }

    pub(super) fn calls(&self) -> &Arc<Calls> {
        &self.extra.calls
    }

    pub(super) fn enter(&self) -> Inside<'_> {
        self.extra.inside.fetch_add(1, Ordering::SeqCst);
        Inside(&self.extra)
    }

    pub(super) fn run_forever(&self) {
        let _inside = self.enter();
        let extra = &self.extra;
        let mut stopped = extra.stopped.lock();
        extra.staying.fetch_add(1, Ordering::Relaxed);
        while !*stopped {
            extra.stop.wait(&mut stopped);
        }
        // The last to go closes the door again.
        if extra.staying.fetch_sub(1, Ordering::Relaxed) == 1 {
            *stopped = false;
        }
    }

    /// See [`Runtime::stop`](super::Runtime::stop).
    pub fn stop(&self) {
        *self.extra.stopped.lock() = true;
        self.extra.stop.notify_all();
    }

    /// See [`Runtime::is_running`](super::Runtime::is_running).
    pub fn is_running(&self) -> bool {
        self.extra.inside.load(Ordering::SeqCst) != 0
    }

    /// Says whether the runtime has been shut down, or dropped.
    pub fn is_closed(&self) -> bool {
        self.remote.is_stopped()
    }

    /// Spawns a coroutine on the runtime.
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let spawned = self.remote.spawn(Options::default(), Location::caller(), f);
        JoinHandle::from(spawned.unwrap_or_else(|error| panic!("{error}")))
    }

    /// Spawns a coroutine on the runtime's worker with this index; see
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
        let mut options = Options::default();
        options.on_worker(worker);
        self.remote
            .spawn(options, Location::caller(), f)
            .map(JoinHandle::from)
    }

    /// Spawns a coroutine on the runtime unless it is full; see
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
        self.remote
            .try_spawn(Options::default(), Location::caller(), f)
            .map(JoinHandle::from)
            .map_err(TrySpawnError::new)
    }

    /// Spawns a future as an async task on the runtime; see
    /// [`spawn_async`](crate::spawn_async).
    #[track_caller]
    pub fn spawn_async<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        JoinHandle::from(
            self.remote
                .spawn_async(Options::default(), Location::caller(), future),
        )
    }

    /// See [`Runtime::call_soon`](super::Runtime::call_soon).
    ///
    /// # Errors
    ///
    /// [`Closed`] if the runtime was shut down; `f` was dropped then.
    pub fn call_soon<F>(&self, f: F) -> Result<DelayedCall, Closed>
    where
        F: FnOnce() + Send + 'static,
    {
        self.call_at_ns(clock::now_ns(), f)
    }

    /// See [`Runtime::call_later`](super::Runtime::call_later).
    ///
    /// # Errors
    ///
    /// As [`call_soon`](Self::call_soon).
    pub fn call_later<F>(&self, delay: Duration, f: F) -> Result<DelayedCall, Closed>
    where
        F: FnOnce() + Send + 'static,
    {
        self.call_at_ns(clock::deadline_after(delay), f)
    }

    /// See [`Runtime::call_at`](super::Runtime::call_at).
    ///
    /// # Errors
    ///
    /// As [`call_soon`](Self::call_soon).
    pub fn call_at<F>(&self, when: Instant, f: F) -> Result<DelayedCall, Closed>
    where
        F: FnOnce() + Send + 'static,
    {
        self.call_at_ns(clock::instant_to_ns(when), f)
    }

    fn call_at_ns<F>(&self, when: u64, f: F) -> Result<DelayedCall, Closed>
    where
        F: FnOnce() + Send + 'static,
    {
        self.extra.calls.add(&self.remote, when, Box::new(f))
    }

    /// How many of its tasks have not ended.
    pub fn live(&self) -> u64 {
        self.remote.live()
    }

    /// Its tasks that have not ended, oldest first.
    pub fn list(&self) -> Vec<Info> {
        self.remote.living().into_iter().map(Info::new).collect()
    }

    /// The number of its workers.
    pub fn workers(&self) -> usize {
        self.remote.workers()
    }

    /// The driver it uses.
    pub fn driver(&self) -> DriverKind {
        self.remote.driver()
    }
}

impl fmt::Debug for RuntimeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeHandle")
            .field("workers", &self.workers())
            .field("driver", &self.driver().as_str())
            .field("live", &self.live())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
