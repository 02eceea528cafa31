//! A runtime of one's own: how many workers, which driver, and a clean end.

use std::fmt;
use std::io;
use std::panic::Location;
use std::time::Duration;

use ropewalk_kernel::driver::DriverKind;
use ropewalk_kernel::runtime::{self, Config, StillRunning};
use ropewalk_kernel::task::Options;

use crate::join::JoinHandle;
use crate::task::Info;

/// Workers and the coroutines that run on them.
///
/// Most programs need none: [`spawn`](crate::spawn) starts a global one. Several may live
/// side by side. Dropping a runtime stops it at once; [`shutdown`](Self::shutdown) waits.
pub struct Runtime {
    inner: runtime::Runtime,
}

impl Runtime {
    /// Starts a runtime with default settings: a worker for each core, io_uring where it
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
        self.inner.run(Location::caller(), f)
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
        // SAFETY: `'static`.
        JoinHandle(unsafe {
            self.inner
                .spawn_unchecked(Options::default(), Location::caller(), f)
        })
    }

    /// How many of its coroutines have not ended.
    pub fn live(&self) -> u64 {
        self.inner.live()
    }

    /// Its coroutines that have not ended, oldest first.
    pub fn list(&self) -> Vec<Info> {
        self.inner.living().into_iter().map(Info::new).collect()
    }

    /// The number of its workers.
    pub fn workers(&self) -> usize {
        self.inner.workers()
    }

    /// The driver it uses.
    pub fn driver(&self) -> DriverKind {
        self.inner.driver()
    }

    /// Waits until no coroutine is left, for `patience` at most, then stops the workers.
    ///
    /// Closures that never started are dropped, and their handles say so. Coroutines that
    /// have started are never unwound: those that are left stay parked for ever, with the
    /// threads they are on.
    ///
    /// # Errors
    ///
    /// Who was left.
    ///
    /// # Panics
    ///
    /// If called from one of the runtime's own coroutines.
    pub fn shutdown(self, patience: Duration) -> Result<(), StillRunning> {
        self.inner.shutdown(patience)
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

    /// Starts the workers.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for settings, also of the environment, that make no sense; the reason
    /// why a driver that was asked for by name can't be had; and what starting threads gives.
    pub fn build(self) -> io::Result<Runtime> {
        runtime::Runtime::new(self.config).map(|inner| Runtime { inner })
    }
}
