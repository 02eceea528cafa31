//! How a pool of threads ends: closing, terminating, waiting, dropping.
//!
//! `closed` is set once and looked at before a closure is handed in. One that slipped past is
//! handed in all the same, and runs, or is dropped by the end of the runtime: its handle tells.
//! The runtime stops its threads when whoever waits has seen that nothing is left.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use ropewalk_kernel::clock;
use ropewalk_kernel::wait::{Limit, Outcome, may_wait};

use super::{ThreadInsight, ThreadPool};
use crate::JoinError;
use crate::executor::{Pool, PoolJoinError, WorkerInsight};

impl<S> ThreadPool<S> {
    /// Takes no more work; what is queued and what runs goes on. More calls change nothing.
    pub fn close(&self) {
        self.common.closed.store(true, Ordering::SeqCst);
    }

    /// Says whether it takes no more work.
    pub fn is_closed(&self) -> bool {
        self.common.refusal().is_some()
    }

    /// Takes no more work, and drops what is queued: handles say
    /// [`Cancelled`](JoinError::Cancelled). What runs goes on.
    pub fn cancel_pending(&self) {
        self.close();
        let remote = &self.remote;
        remote.refuse_handed_in(Box::new(|| JoinError::Cancelled));
    }

    /// As [`cancel_pending`](Self::cancel_pending), and requests the cancellation of what runs,
    /// with all it has spawned: each wait that is a cancellation point ends with its own error from
    /// now on. Threads can't be killed: a task that computes, or blocks its thread, goes on, and
    /// what a task returns is its value. Returns at once; [`join`](Self::join) waits.
    pub fn terminate(&self) {
        self.cancel_pending();
        self.remote.cancel_all();
    }

    /// Takes no more work; drops what is queued if `cancel_pending`; waits for the end if `wait`.
    ///
    /// # Errors
    ///
    /// As [`join`](Self::join).
    pub fn shutdown(&self, wait: bool, cancel_pending: bool) -> Result<(), PoolJoinError> {
        Pool::shutdown(self, wait, cancel_pending)
    }

    /// Waits until all that was given to the pool has ended, with all it has spawned, and its
    /// threads too. A cancellation point.
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
        if self.remote.is_inside() {
            return Err(PoolJoinError::Inside);
        }
        match self.runtime.wait_quiet(limit) {
            Outcome::Woken => {}
            Outcome::Expired => {
                let (pending, running) = (self.queued(), self.running());
                return Err(PoolJoinError::TimedOut { pending, running });
            }
            Outcome::Cancelled => return Err(PoolJoinError::Cancelled),
        }
        // Nothing is left that could take time.
        let _nobody = self.runtime.shutdown(Duration::ZERO);
        Ok(())
    }
}

impl<S> Pool for ThreadPool<S> {
    fn close(&self) {
        ThreadPool::close(self);
    }

    fn is_closed(&self) -> bool {
        ThreadPool::is_closed(self)
    }

    fn cancel_pending(&self) {
        ThreadPool::cancel_pending(self);
    }

    fn terminate(&self) {
        ThreadPool::terminate(self);
    }

    fn join_until(&self, deadline: Option<Instant>) -> Result<(), PoolJoinError> {
        let deadline = deadline.map(clock::instant_to_ns);
        self.join_limited(Limit::cancellable(deadline))
    }

    fn insights(&self) -> Vec<WorkerInsight> {
        let insight = |thread: ThreadInsight| {
            let mut insight = WorkerInsight::new(self.common.name(thread.worker));
            insight.tasks = thread.tasks;
            insight.busy = thread.busy;
            insight.idle = thread.idle_time;
            insight.start_up = thread.start_up;
            insight
        };
        self.thread_insights().into_iter().map(insight).collect()
    }
}

impl<S> Drop for ThreadPool<S> {
    /// Closes it and waits for the end, or has a thread wait where the caller can't.
    fn drop(&mut self) {
        self.close();
        if !self.remote.is_inside() && may_wait() {
            self.runtime.wait_quiet(Limit::NONE);
            return;
        }
        let runtime = Arc::clone(&self.runtime);
        let waiter = thread::Builder::new().name("ropewalk-pool-end".into());
        let waiter = waiter.spawn(move || {
            runtime.wait_quiet(Limit::NONE);
        });
        if waiter.is_err() {
            // Nobody can wait. What is queued is dropped by the end of the runtime, and says so.
            self.remote.cancel_all();
        }
    }
}
