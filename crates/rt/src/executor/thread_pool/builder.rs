//! How a pool of threads is to be made.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::num::NonZero;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use crossbeam_utils::CachePadded;
use ropewalk_kernel::driver::DriverKind;
use ropewalk_kernel::runtime::{Config, HookRef, Lazy, Runtime};
use ropewalk_kernel::watcher::Watch;

use super::ThreadPool;
use super::core::{Common, Counts};
use super::threads::{Maker, Threads};
use crate::sync::Semaphore;

/// How a [`ThreadPool`] is to be made.
#[must_use = "a builder does nothing until `build`"]
pub struct ThreadPoolBuilder<S = ()> {
    config: Config,
    lazy: Lazy,
    queue: usize,
    concurrency: Option<usize>,
    name: Option<Box<dyn Fn(usize) -> String + Send + Sync>>,
    initializer: Option<Box<dyn Fn() + Send + Sync>>,
    state: Maker<S>,
}

/// Places in the queue, if nothing is said.
const QUEUE: usize = 65_536;
/// How long a thread idles, if nothing is said.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

impl ThreadPoolBuilder {
    pub(super) fn new() -> ThreadPoolBuilder {
        let config = Config {
            thread_name: "ropewalk-pool".into(),
            // Blocking a thread is what a pool is for.
            watch: Watch::Off,
            ..Config::default()
        };
        ThreadPoolBuilder {
            config,
            lazy: Lazy {
                threads_min: 0,
                keep_alive: Some(KEEP_ALIVE),
            },
            queue: QUEUE,
            concurrency: None,
            name: None,
            initializer: None,
            state: Box::new(|| ()),
        }
    }
}

impl<S: 'static> ThreadPoolBuilder<S> {
    /// Sets how many threads there are at most: 1 to 1024. If not said: one for each core this
    /// process may use.
    pub fn max_threads(mut self, max: usize) -> ThreadPoolBuilder<S> {
        self.config.workers = Some(max);
        self
    }

    /// Sets how many threads there are from the start, and stay; 0 if not said.
    pub fn min_threads(mut self, min: usize) -> ThreadPoolBuilder<S> {
        self.lazy.threads_min = min;
        self
    }

    /// Sets how long a thread idles before it ends; `None`: it stays. 30 s if not said. One on
    /// which a coroutine waits does not end.
    pub fn keep_alive(mut self, time: impl Into<Option<Duration>>) -> ThreadPoolBuilder<S> {
        self.lazy.keep_alive = time.into();
        self
    }

    /// Names the threads: `name` is given the worker's number, from 0 on. Linux keeps 15 bytes.
    /// It is called by whoever needs the thread, and must neither wait nor use the pool: if it
    /// panics, as waits do in it, the thread is called as without it.
    pub fn name<F>(mut self, name: F) -> ThreadPoolBuilder<S>
    where
        F: Fn(usize) -> String + Send + Sync + 'static,
    {
        self.name = Some(Box::new(name));
        self
    }

    /// Names the threads `name-0`, `name-1` and so on; `ropewalk-pool` if not said.
    pub fn thread_name(mut self, name: impl Into<String>) -> ThreadPoolBuilder<S> {
        self.config.thread_name = name.into();
        self.name = None;
        self
    }

    /// Sets how many closures may be queued, not counting those that have started; 65,536 if
    /// not said.
    pub fn queue(mut self, places: usize) -> ThreadPoolBuilder<S> {
        self.queue = places;
        self
    }

    /// Sets how many tasks may be in progress at once, those included that wait; no limit if not
    /// said. A task that waits for another of the same pool counts, too: with as many of them as
    /// there is room none goes on.
    pub fn concurrency(mut self, tasks: usize) -> ThreadPoolBuilder<S> {
        self.concurrency = Some(tasks);
        self
    }

    /// Has `f` run on each thread before its first task. It is no coroutine: what waits in it
    /// blocks the thread.
    ///
    /// If it panics, the pool is broken: what has not started is dropped (handles say
    /// [`JoinError::Failed`](crate::JoinError::Failed) with a [`PoolBroken`](super::PoolBroken)),
    /// what runs goes on, new work is refused with
    /// [`Refusal::Broken`](crate::executor::Refusal::Broken).
    pub fn initializer<F>(mut self, f: F) -> ThreadPoolBuilder<S>
    where
        F: Fn() + Send + Sync + 'static,
    {
        self.initializer = Some(Box::new(f));
        self
    }

    /// Has each thread make a value of its own when it starts, after the initialiser, which
    /// [`spawn_with`](ThreadPool::spawn_with) lends to its tasks; dropped when the thread ends. A
    /// panic in `make` breaks the pool, like one in the initialiser.
    pub fn state<T, F>(self, make: F) -> ThreadPoolBuilder<T>
    where
        T: 'static,
        F: Fn() -> T + Send + Sync + 'static,
    {
        ThreadPoolBuilder {
            config: self.config,
            lazy: self.lazy,
            queue: self.queue,
            concurrency: self.concurrency,
            name: self.name,
            initializer: self.initializer,
            state: Box::new(make),
        }
    }

    /// Sets the usable stack of the coroutines that tasks run on, in bytes.
    pub fn stack_size(mut self, bytes: usize) -> ThreadPoolBuilder<S> {
        self.config.stack_bytes = bytes;
        self
    }

    /// Chooses the driver for I/O.
    pub fn driver(mut self, driver: DriverKind) -> ThreadPoolBuilder<S> {
        self.config.driver = Some(driver);
        self
    }

    /// Makes the pool, and starts the threads it has at least.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for numbers that make no sense (no threads, more than 1024, more at least
    /// than at most, no place in the queue, no room for a task) and names with a NUL; else as
    /// [`RuntimeBuilder::build`](crate::RuntimeBuilder::build).
    pub fn build(self) -> io::Result<ThreadPool<S>> {
        let invalid = |text: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        let mut config = self.config;
        let cores = || thread::available_parallelism().map_or(1, NonZero::get);
        let max = *config.workers.get_or_insert_with(cores);
        if self.lazy.threads_min > max {
            return invalid("a pool can't have more threads at least than at most");
        }
        if self.queue == 0 || self.queue > Semaphore::MAX_PERMITS {
            return invalid("a pool's queue needs a place, and not more than can be counted");
        }
        if self.concurrency == Some(0) {
            return invalid("a pool needs room for a task in progress");
        }
        let common = Arc::new(Common {
            places: Semaphore::new(self.queue),
            queue: self.queue,
            room: self.concurrency.map(Semaphore::new),
            closed: AtomicBool::new(false),
            broken: OnceLock::new(),
            thread_name: config.thread_name.clone(),
            names: (0..max).map(|_| OnceLock::new()).collect(),
            counts: (0..max)
                .map(|_| CachePadded::new(Counts::default()))
                .collect(),
        });
        config.lazy = Some(self.lazy);
        config.hooks = Some(HookRef(Arc::new(Threads {
            common: Arc::clone(&common),
            name: self.name,
            initializer: self.initializer,
            state: self.state,
        })));
        let runtime = Runtime::new(config)?;
        Ok(ThreadPool {
            common,
            remote: runtime.remote(),
            runtime: Arc::new(runtime),
            state: PhantomData,
        })
    }
}

impl<S> fmt::Debug for ThreadPoolBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPoolBuilder")
            .field("max_threads", &self.config.workers)
            .field("min_threads", &self.lazy.threads_min)
            .field("keep_alive", &self.lazy.keep_alive)
            .field("queue", &self.queue)
            .field("concurrency", &self.concurrency)
            .finish_non_exhaustive()
    }
}
