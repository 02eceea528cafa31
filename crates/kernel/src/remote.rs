//! What others hold of a runtime: a handle that may outlive it.

use std::any::Any;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::sync::Arc;

use crate::driver::DriverKind;
use crate::future;
use crate::record::{self, Snapshot};
use crate::runtime::{Refusal, Refused, Runtime, SeatSeen, Shared};
use crate::task::{Handle, Options};
use crate::worker::Worker;

/// A runtime, from anywhere: does not keep its workers running.
///
/// What is spawned after the runtime has stopped ends unstarted, and its handle says so.
#[derive(Clone)]
pub struct Remote(Arc<Shared>);

impl Remote {
    pub(crate) fn of(shared: &Arc<Shared>) -> Remote {
        Remote(Arc::clone(shared))
    }

    /// The runtime of the calling coroutine or async task; `None` outside.
    pub fn current() -> Option<Remote> {
        Worker::current().map(|worker| Remote::of(&worker.shared))
    }

    /// The global runtime, started if need be.
    ///
    /// # Errors
    ///
    /// As [`Runtime::new`].
    pub fn global() -> io::Result<Remote> {
        Runtime::global().map(Runtime::remote)
    }

    /// Spawns `closure` on the runtime, waiting for a place if there is a limit.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if there is no such worker as the options ask for, `Unsupported` in a
    /// forked child.
    pub fn spawn<F, T>(
        &self,
        options: Options,
        site: &'static Location<'static>,
        closure: F,
    ) -> io::Result<Handle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        // SAFETY: `'static`.
        unsafe { self.0.spawn_unchecked(options, site, closure) }
    }

    /// As [`spawn`](Self::spawn), but gives the closure back where that would wait, or give an
    /// error.
    ///
    /// # Errors
    ///
    /// The closure, and why.
    pub fn try_spawn<F, T>(
        &self,
        options: Options,
        site: &'static Location<'static>,
        closure: F,
    ) -> Result<Handle<T>, Refused<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        // SAFETY: `'static`.
        unsafe { self.0.try_spawn_unchecked(options, site, closure) }
    }

    /// Hands a closure in to the runtime, which `wrap` makes of `work`: closures of a priority
    /// above 0 start before those that are queued, those below 0 after them.
    ///
    /// # Errors
    ///
    /// The work, and why: `Unsupported` in a forked child, and what starting the first thread of
    /// a lazy runtime gives.
    pub fn hand_in<W, F, T>(
        &self,
        options: Options,
        priority: i32,
        site: &'static Location<'static>,
        work: W,
        wrap: impl FnOnce(W) -> F,
    ) -> Result<Handle<T>, Refused<W>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.0.hand_in(options, priority, site, work, wrap)
    }

    /// Refuses, from now on, what was handed in and has not started: its handles say `refusal`. What
    /// such tasks have spawned themselves is not concerned.
    pub fn refuse_handed_in(&self, refusal: Refusal) {
        self.0.refuse_handed_in(refusal);
    }

    /// Cancels all tasks, also those to come.
    pub fn cancel_all(&self) {
        self.0.cancel_all();
    }

    /// How many threads the workers have.
    pub fn threads(&self) -> usize {
        self.0.threads_up()
    }

    /// Looks at each worker's thread.
    pub fn seats(&self) -> Vec<SeatSeen> {
        self.0.seats()
    }

    /// Says whether the caller runs on one of its workers.
    pub fn is_inside(&self) -> bool {
        Worker::current().is_some_and(|worker| Arc::ptr_eq(&worker.shared, &self.0))
    }

    /// Spawns a future as a task of the runtime.
    pub fn spawn_async<F>(
        &self,
        options: Options,
        site: &'static Location<'static>,
        future: F,
    ) -> Handle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        future::spawn_on(&self.0, options, site, future)
    }

    /// Says whether the runtime has stopped.
    pub fn is_stopped(&self) -> bool {
        self.0.is_stopping()
    }

    /// How many tasks have been spawned and not ended.
    pub fn live(&self) -> u64 {
        self.0.live()
    }

    /// Looks at each task that has not ended.
    pub fn living(&self) -> Vec<Snapshot> {
        record::living(Arc::as_ptr(&self.0))
    }

    /// The number of workers.
    pub fn workers(&self) -> usize {
        self.0.workers.len()
    }

    /// The driver in use.
    pub fn driver(&self) -> DriverKind {
        self.0.driver
    }

    /// The one thing that a layer above keeps with the runtime; made when first asked for.
    pub fn extension(
        &self,
        make: impl FnOnce() -> Arc<dyn Any + Send + Sync>,
    ) -> Arc<dyn Any + Send + Sync> {
        Arc::clone(self.0.extension(make))
    }
}
