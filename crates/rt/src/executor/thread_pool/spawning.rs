//! How work comes into a pool of threads: a place in the queue, a priority, a ticket.

use std::panic::Location;
use std::time::Duration;

use ropewalk_kernel::task::Options;
use ropewalk_kernel::wait::may_wait;

use super::ThreadPool;
use super::core::Ticket;
use super::threads::state;
use crate::JoinError;
use crate::cancel::WaitError;
use crate::coroutine::{self, Scope};
use crate::executor::{
    Patience, Portable, Refusal, RunTask, SpawnClosure, SubmitError, TaskFn, call_each,
};
use crate::join::JoinHandle;

/// How one closure is to be run by a [`ThreadPool`]; made by [`ThreadPool::options`].
#[derive(Clone, Debug)]
#[must_use = "options do nothing until `spawn`"]
pub struct SpawnOptions<'pool, S = ()> {
    pool: &'pool ThreadPool<S>,
    options: Options,
    priority: i32,
}

impl<S> ThreadPool<S> {
    /// Takes a place in the queue, which the caller owes a ticket.
    fn take_place(&self, patience: Patience) -> Result<(), Refusal> {
        let common = &self.common;
        if let Some(refusal) = common.refusal() {
            return Err(refusal);
        }
        let permit = match common.places.try_acquire() {
            Some(permit) => permit,
            None => {
                let waited = match patience {
                    Patience::No => return Err(Refusal::Full),
                    _ if !may_wait() => return Err(Refusal::Full),
                    Patience::Wait => common.places.acquire().map_err(|_| WaitError::Cancelled),
                    Patience::Until(deadline) => common.places.acquire_deadline(deadline),
                };
                waited.map_err(|error| match error {
                    WaitError::Timeout => Refusal::TimedOut,
                    _ => Refusal::Cancelled,
                })?
            }
        };
        if let Some(refusal) = common.refusal() {
            return Err(refusal);
        }
        permit.forget();
        Ok(())
    }

    fn hand_in<W, F, T>(
        &self,
        (options, priority): (Options, i32),
        site: &'static Location<'static>,
        patience: Patience,
        work: W,
        wrap: impl FnOnce(W) -> F,
    ) -> Result<JoinHandle<T>, SubmitError<W>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        if let Err(refusal) = self.take_place(patience) {
            return Err(SubmitError::new(refusal, work));
        }
        let ticket = Ticket::new(&self.common);
        let wrap = |work| {
            let run = wrap(work);
            move || {
                let _begun = ticket.begin();
                run()
            }
        };
        let remote = &self.remote;
        match remote.hand_in(options, priority, site, work, wrap) {
            Ok(handle) => Ok(handle.into()),
            Err(refused) => {
                let error = refused.error.map_or_else(|| "no room".into(), Into::into);
                Err(SubmitError::new(Refusal::Broken(error), refused.closure))
            }
        }
    }

    /// Gives the pool a closure; waits for a place in its queue. A cancellation point.
    ///
    /// Cancelling the handle of a closure that has not started has it never run. In one that runs
    /// each wait that is a cancellation point ends with its own error from then on: cancellation
    /// is requested, and the thread can't be forced.
    ///
    /// # Errors
    ///
    /// [`SubmitError`], with the closure: the pool is closed or broken; the caller was cancelled;
    /// it may not wait (in an `on_done` callback) and there was no place; or there is no thread,
    /// and none can be had ([`Refusal::Broken`] with the system's error; a later try may work).
    #[track_caller]
    pub fn spawn<F, T>(&self, closure: F) -> Result<JoinHandle<T>, SubmitError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.options().spawn(closure)
    }

    /// As [`spawn`](Self::spawn), without waiting.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn); [`Refusal::Full`] if there is no place.
    #[track_caller]
    pub fn try_spawn<F, T>(&self, closure: F) -> Result<JoinHandle<T>, SubmitError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.options().try_spawn(closure)
    }

    /// As [`spawn`](Self::spawn), waiting for a place no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn); [`Refusal::TimedOut`] if there was no place.
    #[track_caller]
    pub fn spawn_timeout<F, T>(
        &self,
        closure: F,
        timeout: Duration,
    ) -> Result<JoinHandle<T>, SubmitError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.options().spawn_timeout(closure, timeout)
    }

    /// As [`spawn`](Self::spawn), for a closure that is lent the state of the thread it runs on.
    /// Tasks of one thread may take turns when they wait: each has `&S`.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    #[track_caller]
    pub fn spawn_with<F, T>(&self, closure: F) -> Result<JoinHandle<T>, SubmitError<F>>
    where
        S: 'static,
        F: FnOnce(&S) -> T + Send + 'static,
        T: Send + 'static,
    {
        self.options().spawn_with(closure)
    }

    /// Starts saying how a closure is to be run: its priority, name and stack.
    ///
    /// ```
    /// use ropewalk_rt::executor::ThreadPool;
    ///
    /// let pool = ThreadPool::new(2)?;
    /// let urgent = pool.options().priority(10).name("urgent").spawn(|| 42)?;
    /// assert_eq!(urgent.join().unwrap(), 42);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn options(&self) -> SpawnOptions<'_, S> {
        SpawnOptions {
            pool: self,
            options: Options::default(),
            priority: 0,
        }
    }

    /// Runs `closure` as a task of the pool and waits for its value; the closure may borrow. In one
    /// of the pool's own tasks it is just called.
    ///
    /// It takes no place in the queue. What runs inside uses the pool's threads:
    /// [`join`](crate::executor::join), [`slice`](crate::executor::slice),
    /// [`scope`](crate::scope) and [`spawn`](crate::spawn) spread over them. The wait is not a
    /// cancellation point.
    ///
    /// # Panics
    ///
    /// With the closure's panic; if the pool is closed, broken, or has no thread and can't have
    /// one; and inside [`no_wait`](crate::coroutine::no_wait).
    ///
    /// # Examples
    ///
    /// ```
    /// use ropewalk_rt::executor::{ThreadPool, join};
    ///
    /// fn fib(n: u32) -> u64 {
    ///     if n < 2 {
    ///         return n.into();
    ///     }
    ///     let (a, b) = join(|| fib(n - 1), || fib(n - 2));
    ///     a + b
    /// }
    /// let pool = ThreadPool::new(2)?;
    /// assert_eq!(pool.install(|| fib(16)), 987);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn install<F, T>(&self, closure: F) -> T
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        if self.remote.is_inside() {
            return closure();
        }
        if let Some(refusal) = self.common.refusal() {
            panic!("{refusal}");
        }
        let options = Options {
            name: Some("install".into()),
            ..Options::default()
        };
        self.runtime.run_with(options, Location::caller(), closure)
    }

    /// As [`scope`](crate::scope), on the pool's threads: tasks spawned in it may borrow, and have
    /// ended when it returns.
    ///
    /// # Panics
    ///
    /// As [`install`](Self::install) and [`scope`](crate::scope).
    ///
    /// # Examples
    ///
    /// ```
    /// use ropewalk_rt::executor::ThreadPool;
    ///
    /// let pool = ThreadPool::new(2)?;
    /// let words = ["warp", "weft"];
    /// let lengths = pool.scope(|s| {
    ///     let handles = words.map(|word| s.spawn(move || word.len()));
    ///     handles.map(|handle| handle.join().unwrap())
    /// });
    /// assert_eq!(lengths, [4, 4]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn scope<'env, F, T>(&self, f: F) -> T
    where
        F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T + Send,
        T: Send,
    {
        self.install(|| coroutine::scope(f))
    }
}

impl<S> SpawnOptions<'_, S> {
    /// Sets the priority; 0 if not said. A closure of a higher priority starts before those of a
    /// lower one that are queued, and before all without one if it is above 0; below 0 it starts
    /// when nothing else is queued. Those of one priority start in the order they came in, but
    /// for what several threads take at the same time. What has started is not concerned.
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// Names the task, for dumps and panics.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.options.name = Some(name.into().into());
        self
    }

    /// Sets the usable stack of the task's coroutine, in bytes.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.options.stack_bytes = bytes;
        self
    }

    /// As [`ThreadPool::spawn`].
    ///
    /// # Errors
    ///
    /// As there.
    #[track_caller]
    pub fn spawn<F, T>(self, closure: F) -> Result<JoinHandle<T>, SubmitError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.start(closure, Patience::Wait)
    }

    /// As [`ThreadPool::try_spawn`].
    ///
    /// # Errors
    ///
    /// As there.
    #[track_caller]
    pub fn try_spawn<F, T>(self, closure: F) -> Result<JoinHandle<T>, SubmitError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.start(closure, Patience::No)
    }

    /// As [`ThreadPool::spawn_timeout`].
    ///
    /// # Errors
    ///
    /// As there.
    #[track_caller]
    pub fn spawn_timeout<F, T>(
        self,
        closure: F,
        timeout: Duration,
    ) -> Result<JoinHandle<T>, SubmitError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.start(closure, Patience::within(timeout))
    }

    /// As [`ThreadPool::spawn_with`].
    ///
    /// # Errors
    ///
    /// As there.
    #[track_caller]
    pub fn spawn_with<F, T>(self, closure: F) -> Result<JoinHandle<T>, SubmitError<F>>
    where
        S: 'static,
        F: FnOnce(&S) -> T + Send + 'static,
        T: Send + 'static,
    {
        let how = (self.options, self.priority);
        let site = Location::caller();
        let lend = |closure: F| move || closure(&state::<S>());
        self.pool.hand_in(how, site, Patience::Wait, closure, lend)
    }

    #[track_caller]
    fn start<F, T>(self, closure: F, patience: Patience) -> Result<JoinHandle<T>, SubmitError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let how = (self.options, self.priority);
        let site = Location::caller();
        self.pool.hand_in(how, site, patience, closure, |it| it)
    }
}

impl<S> SpawnClosure for ThreadPool<S> {
    #[track_caller]
    fn start_closure<F, T>(
        &self,
        closure: F,
        patience: Patience,
    ) -> Result<JoinHandle<T>, SubmitError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.options().start(closure, patience)
    }
}

impl<S> RunTask for ThreadPool<S> {
    #[track_caller]
    fn start<F, A>(
        &self,
        task: F,
        args: A,
        patience: Patience,
    ) -> Result<JoinHandle<F::Output>, SubmitError<A>>
    where
        F: TaskFn<A, Output: Portable>,
        A: Portable,
    {
        let how = (Options::default(), 0);
        let call = |args: A| move || task.call(args);
        self.hand_in(how, Location::caller(), patience, args, call)
    }

    #[track_caller]
    fn start_chunk<F, A>(
        &self,
        task: F,
        list: Vec<A>,
        patience: Patience,
    ) -> Result<JoinHandle<Vec<Result<F::Output, JoinError>>>, SubmitError<Vec<A>>>
    where
        F: TaskFn<A, Output: Portable>,
        A: Portable,
    {
        let how = (Options::default(), 0);
        let call = |list: Vec<A>| move || call_each(list, |args| task.call(args));
        self.hand_in(how, Location::caller(), patience, list, call)
    }

    /// As many as it has threads at most.
    fn width(&self) -> usize {
        self.max_threads()
    }
}
