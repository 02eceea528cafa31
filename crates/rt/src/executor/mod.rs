//! Pools that run work: one way to give it to them, whatever they run it in.
//!
//! | pool | runs work in | takes | dropped |
//! |---|---|---|---|
//! | [`ThreadPool`] | coroutines on threads of its own, which come and go | closures, tasks | waits |
//! | [`CoroutinePool`] | coroutines of the caller's runtime, so many at once | closures, tasks | waits |
//! | `process::ProcessPool` | processes, which may die | tasks | kills |
//!
//! *Closures* stay in this process ([`SpawnClosure`]). *Tasks* are functions whose arguments and results
//! may go to another ([`RunTask`]); for pools of processes they are registered with
//! `#[ropewalk::task]` or [`register!`](crate::register). Code over [`Pool`] works with all.
//!
//! Giving work to a pool waits for a place in its queue, which is bounded; the `try_` and
//! `_timeout` forms give the work back. What comes of it is a [`JoinHandle`], as of anything
//! that runs: see [`results`](crate::results) for many of them.
//!
//! # Coming from Python
//!
//! | `concurrent.futures` | here |
//! |---|---|
//! | `ThreadPoolExecutor(n)` | [`ThreadPool::new`]; for what only waits, [`CoroutinePool::new`] |
//! | `ProcessPoolExecutor(n)` | `ProcessPool::new` |
//! | `submit(f, *args)` | [`submit(f, (args,))`](RunTask::submit), [`spawn(closure)`](SpawnClosure::spawn) |
//! | `map(f, items, timeout=, chunksize=)` | [`map(f, items)`](RunTask::map)[`.timeout(t)`](Map::timeout)[`.chunk(n)`](Map::chunk), lazy |
//! | `map(f, a, b)` | [`starmap(f, a.zip(b))`](RunTask::starmap) |
//! | `future.result(timeout)` | [`join`](JoinHandle::join), [`join_timeout`](JoinHandle::join_timeout), which gives the handle back |
//! | `future.exception()` | the [`JoinError`] of `join` |
//! | `future.cancel()` | [`cancel`](JoinHandle::cancel): also of what runs, as far as the pool can |
//! | `future.done()`, `add_done_callback` | [`is_finished`](JoinHandle::is_finished), [`on_done`](JoinHandle::on_done) |
//! | `as_completed`, `wait` | [`results::as_completed`](crate::results::as_completed), [`results::wait`](crate::results::wait) |
//! | `shutdown(wait, cancel_futures)` | [`shutdown(wait, cancel_pending)`](Pool::shutdown) |
//!
//! | `multiprocessing.Pool` | here |
//! |---|---|
//! | `apply(f, args)` | `pool.submit(f, args)?.join()` |
//! | `apply_async(f, args, callback=, error_callback=)` | `pool.submit(f, args)?`, with [`on_done`](JoinHandle::on_done) |
//! | `map`, `starmap` | [`map`](RunTask::map), [`starmap`](RunTask::starmap), and `collect` |
//! | `imap(f, items, chunksize)` | [`map`](RunTask::map)[`.chunk(n)`](Map::chunk) |
//! | `imap_unordered` | [`map_unordered`](RunTask::map_unordered), with the items' numbers |
//! | `map_async`, `starmap_async` | a `map` in a coroutine: `spawn(move \|\| pool.map(f, items).collect())` |
//! | `it.next(timeout)` | [`next_timeout`](Map::next_timeout) |
//! | `result.get(timeout)`, `ready()`, `wait(timeout)` | [`join_timeout`](JoinHandle::join_timeout), [`is_finished`](JoinHandle::is_finished), [`results::wait`](crate::results::wait) |
//! | `close`, `terminate`, `join` | [`close`](Pool::close), [`terminate`](Pool::terminate), [`join`](Pool::join) |
//!
//! # In this folder
//!
//! `task` says what can be called, `tasks` is the table of functions that other processes can be
//! told to call, `refusal` why a pool took nothing. `map` is the iterator over results, `feed` what is
//! under way for it, `sizes` how big its chunks are, `starting` how it gives them to a pool. `join` and
//! `slice` spread work over the workers that the caller runs on, without a pool.

mod coroutine_pool;
mod end;
mod feed;
mod insight;
mod join;
mod map;
pub mod panics;
mod progress;
mod refusal;
mod sizes;
pub mod slice;
mod starting;
mod task;
pub mod tasks;
pub mod thread_pool;

use std::time::{Duration, Instant};

use crate::{JoinError, JoinHandle};

pub use coroutine_pool::CoroutinePool;
pub use end::{Pool, PoolJoinError};
pub use insight::WorkerInsight;
pub use join::join;
pub use map::{AsTheyCome, InOrder, Map, MapUnordered, Order};
pub use progress::Progress;
pub use refusal::{Patience, Refusal, SubmitError};
pub use starting::{Closures, Singles, Start, Tasks, call_each};
pub use task::{Portable, TaskFn};
pub use thread_pool::ThreadPool;

/// The handle of many calls that are run as one piece of work.
pub type ChunkHandle<T> = JoinHandle<Vec<Result<T, JoinError>>>;

/// A pool that runs *tasks*: functions with arguments that may go to another process.
///
/// All pools are one, so that which of them runs the work is a matter of one word.
pub trait RunTask {
    /// Gives the pool a call of `task` with the tuple of its arguments; waits for a place in its
    /// queue as `patience` says.
    ///
    /// # Errors
    ///
    /// [`SubmitError`], with the arguments.
    fn start<F, A>(
        &self,
        task: F,
        args: A,
        patience: Patience,
    ) -> Result<JoinHandle<F::Output>, SubmitError<A>>
    where
        F: TaskFn<A, Output: Portable>,
        A: Portable;

    /// As [`start`](Self::start) for many calls that are run as one piece of work, one after the
    /// other; it gives the results in the same order. A call that panics doesn't end the rest;
    /// the death of a process that runs them does.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    fn start_chunk<F, A>(
        &self,
        task: F,
        list: Vec<A>,
        patience: Patience,
    ) -> Result<ChunkHandle<F::Output>, SubmitError<Vec<A>>>
    where
        F: TaskFn<A, Output: Portable>,
        A: Portable;

    /// How many pieces of work run at once, at most.
    fn width(&self) -> usize;

    /// How many calls may go into one piece of work where nobody says how many: 1 if a process
    /// that dies would take them all along.
    fn largest_chunk(&self) -> usize {
        usize::MAX
    }

    /// Applies `task` to each item and gives the results in the items' order. Lazy: see [`Map`].
    #[expect(clippy::type_complexity, reason = "the names say what it is made of")]
    fn map<F, I>(
        &self,
        task: F,
        items: I,
    ) -> Map<'_, Tasks<'_, Self, F, (I::Item,)>, Singles<I::IntoIter>>
    where
        I: IntoIterator<Item: Portable>,
        F: TaskFn<(I::Item,), Output: Portable>,
    {
        Map::new(Tasks::new(self, task), Singles::new(items))
    }

    /// As [`map`](Self::map), but gives the results in the order in which they come, each with its
    /// item's number.
    #[expect(clippy::type_complexity, reason = "the names say what it is made of")]
    fn map_unordered<F, I>(
        &self,
        task: F,
        items: I,
    ) -> MapUnordered<'_, Tasks<'_, Self, F, (I::Item,)>, Singles<I::IntoIter>>
    where
        I: IntoIterator<Item: Portable>,
        F: TaskFn<(I::Item,), Output: Portable>,
    {
        Map::new(Tasks::new(self, task), Singles::new(items))
    }

    /// As [`map`](Self::map) for functions of any number of arguments: each item is the tuple of them.
    fn starmap<F, I>(&self, task: F, items: I) -> Map<'_, Tasks<'_, Self, F, I::Item>, I::IntoIter>
    where
        I: IntoIterator<Item: Portable>,
        F: TaskFn<I::Item, Output: Portable>,
    {
        Map::new(Tasks::new(self, task), items.into_iter())
    }

    /// As [`starmap`](Self::starmap), but gives the results in the order in which they come, each
    /// with its item's number.
    fn starmap_unordered<F, I>(
        &self,
        task: F,
        items: I,
    ) -> MapUnordered<'_, Tasks<'_, Self, F, I::Item>, I::IntoIter>
    where
        I: IntoIterator<Item: Portable>,
        F: TaskFn<I::Item, Output: Portable>,
    {
        Map::new(Tasks::new(self, task), items.into_iter())
    }

    /// Gives the pool a call of `task`; waits for a place in its queue. A cancellation point.
    ///
    /// # Errors
    ///
    /// [`SubmitError`], with the arguments.
    #[track_caller]
    fn submit<F, A>(&self, task: F, args: A) -> Result<JoinHandle<F::Output>, SubmitError<A>>
    where
        F: TaskFn<A, Output: Portable>,
        A: Portable,
    {
        self.start(task, args, Patience::Wait)
    }

    /// As [`submit`](Self::submit), without waiting.
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit); [`Refusal::Full`] if there is no place.
    #[track_caller]
    fn try_submit<F, A>(&self, task: F, args: A) -> Result<JoinHandle<F::Output>, SubmitError<A>>
    where
        F: TaskFn<A, Output: Portable>,
        A: Portable,
    {
        self.start(task, args, Patience::No)
    }

    /// As [`submit`](Self::submit), waiting for a place no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit); [`Refusal::TimedOut`] if there was no place.
    #[track_caller]
    fn submit_timeout<F, A>(
        &self,
        task: F,
        args: A,
        timeout: Duration,
    ) -> Result<JoinHandle<F::Output>, SubmitError<A>>
    where
        F: TaskFn<A, Output: Portable>,
        A: Portable,
    {
        self.start(task, args, Patience::within(timeout))
    }

    /// As [`submit_timeout`](Self::submit_timeout), until a point in time.
    ///
    /// # Errors
    ///
    /// As [`submit_timeout`](Self::submit_timeout).
    #[track_caller]
    fn submit_deadline<F, A>(
        &self,
        task: F,
        args: A,
        deadline: Instant,
    ) -> Result<JoinHandle<F::Output>, SubmitError<A>>
    where
        F: TaskFn<A, Output: Portable>,
        A: Portable,
    {
        self.start(task, args, Patience::Until(deadline))
    }
}

/// A pool in this process: it takes any closure.
pub trait SpawnClosure {
    /// Gives the pool a closure; waits for a place in its queue as `patience` says.
    ///
    /// # Errors
    ///
    /// [`SubmitError`], with the closure.
    fn start_closure<F, T>(
        &self,
        closure: F,
        patience: Patience,
    ) -> Result<JoinHandle<T>, SubmitError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static;

    /// Applies `f` to each item and gives the results in the items' order. Lazy: see [`Map`].
    fn spawn_map<F, I, T>(
        &self,
        items: I,
        f: F,
    ) -> Map<'_, Closures<'_, Self, F, I::Item, T>, I::IntoIter>
    where
        Self: RunTask,
        I: IntoIterator<Item: Send + 'static>,
        F: Fn(I::Item) -> T + Send + Sync + 'static,
        T: Send + 'static,
    {
        Map::new(Closures::new(self, f), items.into_iter())
    }

    /// As [`spawn_map`](Self::spawn_map), but gives the results in the order in which they come,
    /// each with its item's number.
    fn spawn_map_unordered<F, I, T>(
        &self,
        items: I,
        f: F,
    ) -> MapUnordered<'_, Closures<'_, Self, F, I::Item, T>, I::IntoIter>
    where
        Self: RunTask,
        I: IntoIterator<Item: Send + 'static>,
        F: Fn(I::Item) -> T + Send + Sync + 'static,
        T: Send + 'static,
    {
        Map::new(Closures::new(self, f), items.into_iter())
    }

    /// Gives the pool a closure; waits for a place in its queue. A cancellation point.
    ///
    /// # Errors
    ///
    /// [`SubmitError`], with the closure.
    #[track_caller]
    fn spawn<F, T>(&self, closure: F) -> Result<JoinHandle<T>, SubmitError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.start_closure(closure, Patience::Wait)
    }

    /// As [`spawn`](Self::spawn), without waiting.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn); [`Refusal::Full`] if there is no place.
    #[track_caller]
    fn try_spawn<F, T>(&self, closure: F) -> Result<JoinHandle<T>, SubmitError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.start_closure(closure, Patience::No)
    }

    /// As [`spawn`](Self::spawn), waiting for a place no longer than `timeout`.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn); [`Refusal::TimedOut`] if there was no place.
    #[track_caller]
    fn spawn_timeout<F, T>(
        &self,
        closure: F,
        timeout: Duration,
    ) -> Result<JoinHandle<T>, SubmitError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.start_closure(closure, Patience::within(timeout))
    }
}

impl Patience {
    /// Until `timeout` from now; for ever, if that is out of the clock's range.
    pub fn within(timeout: Duration) -> Patience {
        match Instant::now().checked_add(timeout) {
            Some(deadline) => Patience::Until(deadline),
            None => Patience::Wait,
        }
    }
}
