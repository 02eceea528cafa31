//! A pool of coroutines on the caller's own runtime: so many in progress at once, no more.
//!
//! A [`Group`] holds all that the pool has taken, and its limit bounds the queue. Each piece of work is
//! an async task from the start, so that while it waits for its turn (`turns`) it has no stack,
//! and can be cancelled as any task; what it then runs may block, as a coroutine does. It stands
//! under the group's token while it waits, and under the pool's while it runs, so that what is queued
//! can be cancelled without what runs.

mod turns;

use std::fmt;
use std::future::poll_fn;
use std::panic::Location;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use ropewalk_kernel::cancel::{self, Token};
use ropewalk_kernel::clock;
use ropewalk_kernel::runtime;
use ropewalk_kernel::wait::{Limit, Outcome, may_wait};

use super::{
    Patience, Pool, PoolJoinError, Portable, Refusal, RunTask, SpawnClosure, SubmitError, TaskFn,
    WorkerInsight, call_each,
};
use crate::cancel::WaitError;
use crate::group::{Group, Place};
use crate::{JoinError, JoinHandle};

use turns::Turns;

/// How many may be queued, if nothing else is said.
const QUEUE: usize = 65_536;

/// A pool that runs its work in coroutines of the caller's runtime, at most so many at once; or
/// of the global runtime, if the caller is in none.
///
/// For work that waits: requests, queries, files. It costs no threads, and a pool of thousands is
/// fine. What computes, or blocks its thread, holds up the runtime's other coroutines: give that
/// to a [`ThreadPool`](super::ThreadPool), which takes the same calls.
///
/// Work starts in the order in which it was given. It counts as *in progress* from its start to its end, also
/// while it waits. So a task that waits for another task of the same pool holds its own place
/// while it does: in a pool of `n`, `n` such tasks wait for ever.
///
/// The queue is bounded: 65,536 places if nothing else is said.
///
/// # The end
///
/// [`close`](Self::close) refuses new work and lets the old run, [`terminate`](Self::terminate)
/// cancels it, [`join`](Self::join) waits for the end. *Dropping the pool closes it and waits.* Where
/// that can't wait (in one of the pool's own tasks, in an `on_done` callback), the work goes on by itself.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::executor::CoroutinePool;
///
/// let pool = CoroutinePool::new(5);
/// let handles: Vec<_> = (0..10u64)
///     .map(|n| pool.spawn(move || n * n))
///     .collect::<Result<_, _>>()?;
/// let squares: Vec<u64> = handles.into_iter().map(|handle| handle.join().unwrap()).collect();
/// assert_eq!(squares[9], 81);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct CoroutinePool {
    group: Group,
    /// What runs stands under it, and the group's own.
    token: Token,
    turns: Arc<Turns>,
    queue: usize,
    closed: AtomicBool,
}

impl CoroutinePool {
    /// A pool of which at most `n` pieces of work are in progress.
    ///
    /// # Panics
    ///
    /// If `n` is 0: nothing could ever run.
    pub fn new(n: usize) -> CoroutinePool {
        CoroutinePool::with_queue(n, QUEUE)
    }

    /// As [`new`](Self::new), with room for `queue` that wait for their turn; it may be 0.
    ///
    /// # Panics
    ///
    /// If `n` is 0.
    pub fn with_queue(n: usize, queue: usize) -> CoroutinePool {
        assert!(n > 0, "a pool of 0 coroutines could never run anything");
        let token = Token::new();
        CoroutinePool {
            group: token.run(|| Group::with_limit(n.saturating_add(queue))),
            token,
            turns: Arc::new(Turns::new(n)),
            queue,
            closed: AtomicBool::new(false),
        }
    }

    /// Gives the pool a closure; waits for a place in its queue. A cancellation point.
    ///
    /// Cancelling the handle of a closure that has not started has it never run. In one that runs
    /// each wait that is a cancellation point ends with its own error from then on.
    ///
    /// # Errors
    ///
    /// [`SubmitError`], with the closure: the pool is closed; the caller was cancelled; or it may not
    /// wait (in an `on_done` callback) and there was no place.
    #[track_caller]
    pub fn spawn<F, T>(&self, closure: F) -> Result<JoinHandle<T>, SubmitError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.give(closure, Patience::Wait, |closure| closure)
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
        self.give(closure, Patience::No, |closure| closure)
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
        self.give(closure, Patience::within(timeout), |closure| closure)
    }

    /// How many are in progress at once, at most.
    pub fn width(&self) -> usize {
        self.turns.seats()
    }

    /// How many places the queue has.
    pub fn queue_capacity(&self) -> usize {
        self.queue
    }

    /// How many wait for their turn.
    pub fn queued(&self) -> usize {
        self.turns.counts().1
    }

    /// How many are in progress.
    pub fn running(&self) -> usize {
        self.turns.counts().0
    }

    /// What was done in each of the places for work in progress: the lower ones are filled first.
    pub fn insights(&self) -> Vec<WorkerInsight> {
        self.turns.insights()
    }

    /// Takes no more work; what is queued and what runs goes on. More calls change nothing.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Says whether it takes no more work.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst) || self.group.is_cancelled()
    }

    /// Takes no more work, and drops what is queued: handles say
    /// [`Cancelled`](JoinError::Cancelled). What runs goes on.
    pub fn cancel_pending(&self) {
        self.close();
        self.group.cancel();
    }

    /// As [`cancel_pending`](Self::cancel_pending), and cancels what runs, with all it has spawned: each
    /// wait that is a cancellation point ends with its own error from now on, and what a task returns is its
    /// value. Returns at once; [`join`](Self::join) waits.
    pub fn terminate(&self) {
        self.close();
        self.token.cancel();
    }

    /// Takes no more work; drops what is queued if `cancel_pending`; waits for the end if `wait`.
    ///
    /// # Errors
    ///
    /// As [`join`](Self::join).
    pub fn shutdown(&self, wait: bool, cancel_pending: bool) -> Result<(), PoolJoinError> {
        Pool::shutdown(self, wait, cancel_pending)
    }

    /// Waits until all that was given to the pool has ended. A cancellation point.
    ///
    /// # Errors
    ///
    /// [`PoolJoinError`]: the pool is open, the caller is one of its tasks, or was cancelled.
    ///
    /// # Panics
    ///
    /// Inside [`no_wait`](crate::coroutine::no_wait).
    pub fn join(&self) -> Result<(), PoolJoinError> {
        self.join_limited(Limit::cancellable(None))
    }

    /// As [`join`](Self::join), for `timeout` at most.
    ///
    /// # Errors
    ///
    /// As [`join`](Self::join); [`PoolJoinError::TimedOut`] if it had not ended by then.
    pub fn join_timeout(&self, timeout: Duration) -> Result<(), PoolJoinError> {
        let deadline = clock::deadline_after(timeout);
        self.join_limited(Limit::cancellable(Some(deadline)))
    }

    /// As [`join_timeout`](Self::join_timeout), until a point in time.
    ///
    /// # Errors
    ///
    /// As [`join_timeout`](Self::join_timeout).
    pub fn join_deadline(&self, deadline: Instant) -> Result<(), PoolJoinError> {
        let deadline = clock::instant_to_ns(deadline);
        self.join_limited(Limit::cancellable(Some(deadline)))
    }

    fn join_limited(&self, limit: Limit) -> Result<(), PoolJoinError> {
        if !self.is_closed() {
            return Err(PoolJoinError::StillOpen);
        }
        if self.group.is_member() {
            return Err(PoolJoinError::Inside);
        }
        match self.group.wait_idle(limit) {
            Outcome::Woken => Ok(()),
            Outcome::Expired => {
                let (running, pending) = self.turns.counts();
                Err(PoolJoinError::TimedOut { pending, running })
            }
            Outcome::Cancelled => Err(PoolJoinError::Cancelled),
        }
    }

    fn take_place(&self, patience: Patience) -> Result<Place, Refusal> {
        if self.is_closed() {
            return Err(Refusal::Closed);
        }
        if let Some(place) = self.group.try_enter() {
            return Ok(place);
        }
        let deadline = match patience {
            Patience::No => return Err(Refusal::Full),
            _ if !may_wait() => return Err(Refusal::Full),
            Patience::Wait => None,
            Patience::Until(deadline) => Some(clock::instant_to_ns(deadline)),
        };
        let place = self.group.enter(Limit::cancellable(deadline));
        match place {
            Ok(_) if self.is_closed() => Err(Refusal::Closed),
            Ok(place) => Ok(place),
            Err(WaitError::Timeout) => Err(Refusal::TimedOut),
            Err(WaitError::Cancelled) => Err(Refusal::Cancelled),
        }
    }

    /// Takes `work` if there is a place for it, and runs what `wrap` makes of it.
    #[track_caller]
    fn give<W, F, T>(
        &self,
        work: W,
        patience: Patience,
        wrap: impl FnOnce(W) -> F,
    ) -> Result<JoinHandle<T>, SubmitError<W>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let site = Location::caller();
        let place = match self.take_place(patience) {
            Ok(place) => place,
            Err(refusal) => return Err(SubmitError::new(refusal, work)),
        };
        // Nothing below fails once there is a runtime.
        if runtime::current_worker().is_none()
            && let Err(error) = runtime::Runtime::global()
        {
            return Err(SubmitError::new(Refusal::Broken(error.into()), work));
        }
        let (run, turn, token) = (wrap(work), self.turns.enter(), self.token.clone());
        let task = async move {
            let _seated = turn.await;
            // Cancelled in the midst of the poll that got the seat: the next poll is refused.
            poll_fn(|context| match cancel::check() {
                Ok(()) => Poll::Ready(()),
                Err(_) => {
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
            })
            .await;
            token.run(run)
        };
        match self.group.spawn_async_in(place, site, task) {
            Ok(handle) => Ok(handle),
            Err(error) => panic!("the runtime was there, and can't be had: {error}"),
        }
    }
}

impl SpawnClosure for CoroutinePool {
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
        self.give(closure, patience, |closure| closure)
    }
}

impl RunTask for CoroutinePool {
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
        self.give(args, patience, |args| move || task.call(args))
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
        let each = |list| move || call_each(list, |args| task.call(args));
        self.give(list, patience, each)
    }

    fn width(&self) -> usize {
        CoroutinePool::width(self)
    }
}

impl Pool for CoroutinePool {
    fn close(&self) {
        CoroutinePool::close(self);
    }

    fn is_closed(&self) -> bool {
        CoroutinePool::is_closed(self)
    }

    fn cancel_pending(&self) {
        CoroutinePool::cancel_pending(self);
    }

    fn terminate(&self) {
        CoroutinePool::terminate(self);
    }

    fn join_until(&self, deadline: Option<Instant>) -> Result<(), PoolJoinError> {
        let deadline = deadline.map(clock::instant_to_ns);
        self.join_limited(Limit::cancellable(deadline))
    }

    fn insights(&self) -> Vec<WorkerInsight> {
        CoroutinePool::insights(self)
    }
}

impl Drop for CoroutinePool {
    /// Closes it and waits for the end, if the caller can.
    fn drop(&mut self) {
        self.close();
        if may_wait() && !self.group.is_member() {
            self.group.wait_idle(Limit::NONE);
        }
    }
}

impl fmt::Debug for CoroutinePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (running, queued) = self.turns.counts();
        f.debug_struct("CoroutinePool")
            .field("width", &self.width())
            .field("running", &running)
            .field("queued", &queued)
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
