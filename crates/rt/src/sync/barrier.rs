//! A place where a number of tasks wait for one another.
//!
//! # States
//!
//! `arrived` counts who waits in this round; `round` goes up when the last one comes. Both
//! change only under the queue's lock. A waiter keeps the round it came in and may go when the
//! round is another; whoever gives up takes itself out of the count, under the lock, and only
//! if its round still runs.
//!
//! # Orderings
//!
//! All who arrive take the lock one after the other, so the last has seen what the others did
//! before; the rest see it through `round`, which is written with `Release` and read with
//! `Acquire`.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ropewalk_kernel::wait::{
    AsyncWait, Limit, Outcome, QueueGuard, Reason, WaitQueue, check_may_wait,
};

use super::{only_cancelled, until, wait_error, within};
use crate::cancel::{Cancelled, WaitError};

/// Lets a number of tasks go on together, again and again; mirrors `std::sync::Barrier`.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::{coroutine, sync::Barrier};
///
/// let barrier = Barrier::new(3);
/// let leaders = coroutine::scope(|s| {
///     let all: Vec<_> = (0..3).map(|_| s.spawn(|| barrier.wait())).collect();
///     let results = all.into_iter().map(|one| one.join().unwrap());
///     results.filter(|result| result.is_leader()).count()
/// });
/// assert_eq!(leaders, 1);
/// ```
pub struct Barrier {
    size: usize,
    arrived: AtomicUsize,
    round: AtomicUsize,
    queue: WaitQueue,
}

/// Says whether its holder came last to a [`Barrier`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BarrierWaitResult(bool);

impl BarrierWaitResult {
    /// Says whether this is the one of its round that came last.
    pub fn is_leader(&self) -> bool {
        self.0
    }
}

impl fmt::Debug for BarrierWaitResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierWaitResult")
            .field("is_leader", &self.is_leader())
            .finish()
    }
}

impl Barrier {
    /// Makes a barrier that lets `n` at a time go. With 0 or 1 nobody ever waits.
    pub const fn new(n: usize) -> Barrier {
        Barrier {
            size: n,
            arrived: AtomicUsize::new(0),
            round: AtomicUsize::new(0),
            queue: WaitQueue::new(),
        }
    }

    /// Waits until all have come. Not a cancellation point: the others rely on this one.
    ///
    /// # Panics
    ///
    /// Inside [`no_wait`](crate::coroutine::no_wait).
    pub fn wait(&self) -> BarrierWaitResult {
        match self.wait_within(Limit::NONE) {
            Ok(result) => result,
            Err(error) => unreachable!("a wait without limit ended: {error:?}"),
        }
    }

    /// Waits until all have come, or the caller is cancelled.
    ///
    /// # Errors
    ///
    /// If the caller is cancelled while it waits; it is then not counted as having come.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_cancellable(&self) -> Result<BarrierWaitResult, Cancelled> {
        self.wait_within(Limit::cancellable(None))
            .map_err(only_cancelled)
    }

    /// Waits until all have come, for `timeout` at most.
    ///
    /// # Errors
    ///
    /// If the time is over, or the caller is cancelled while it waits. It is then not counted
    /// as having come: the others wait for one more.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<BarrierWaitResult, WaitError> {
        self.wait_within(within(timeout))
    }

    /// Waits until all have come, until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`wait_timeout`](Self::wait_timeout).
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_deadline(&self, deadline: Instant) -> Result<BarrierWaitResult, WaitError> {
        self.wait_within(until(deadline))
    }

    /// Gives a future that comes to the barrier at its first poll and is ready when all have
    /// come. Dropped before, it is not counted any more.
    pub fn wait_async(&self) -> BarrierWait<'_> {
        BarrierWait {
            barrier: self,
            progress: Progress::Away,
            wait: AsyncWait::new(),
        }
    }

    fn wait_within(&self, limit: Limit) -> Result<BarrierWaitResult, WaitError> {
        check_may_wait();
        let mut guard = self.queue.lock();
        let Some(round) = self.arrive(&guard) else {
            drop(guard);
            self.queue.wake_all();
            return Ok(BarrierWaitResult(true));
        };
        loop {
            let object = std::ptr::from_ref(self) as usize;
            let outcome = guard.wait(0, Reason::Barrier, object, limit);
            if self.is_over(round) {
                return Ok(BarrierWaitResult(false));
            }
            guard = self.queue.lock();
            if self.is_over(round) {
                return Ok(BarrierWaitResult(false));
            }
            if outcome != Outcome::Woken {
                self.depart(&guard);
                return Err(wait_error(outcome));
            }
        }
    }

    /// Counts the caller; gives the round it must wait for the end of, or nothing if it is
    /// the last.
    fn arrive(&self, _held: &QueueGuard<'_>) -> Option<usize> {
        let round = self.round.load(Ordering::Relaxed);
        let arrived = self.arrived.load(Ordering::Relaxed) + 1;
        if arrived < self.size {
            self.arrived.store(arrived, Ordering::Relaxed);
            return Some(round);
        }
        self.arrived.store(0, Ordering::Relaxed);
        self.round.store(round.wrapping_add(1), Ordering::Release);
        None
    }

    /// Takes the caller out of the count of the round that still runs.
    fn depart(&self, _held: &QueueGuard<'_>) {
        let arrived = self.arrived.load(Ordering::Relaxed);
        self.arrived.store(arrived - 1, Ordering::Relaxed);
    }

    fn is_over(&self, round: usize) -> bool {
        self.round.load(Ordering::Acquire) != round
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier").finish_non_exhaustive()
    }
}

/// Waits at a [`Barrier`] in `async` code; see [`Barrier::wait_async`].
#[must_use = "futures do nothing unless polled"]
pub struct BarrierWait<'a> {
    barrier: &'a Barrier,
    progress: Progress,
    wait: AsyncWait,
}

enum Progress {
    Away,
    Arrived { round: usize },
    Gone,
}

impl Future for BarrierWait<'_> {
    type Output = BarrierWaitResult;

    /// # Panics
    ///
    /// If polled again after it was ready.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<BarrierWaitResult> {
        let this = self.get_mut();
        let barrier = this.barrier;
        this.wait.prepare(context);
        let guard = barrier.queue.lock();
        let round = match this.progress {
            Progress::Away => barrier.arrive(&guard),
            Progress::Arrived { round } => Some(round),
            Progress::Gone => {
                drop(guard);
                panic!("`BarrierWait` polled after it was ready");
            }
        };
        let leader = match round {
            Some(round) if !barrier.is_over(round) => {
                this.progress = Progress::Arrived { round };
                // SAFETY: it leaves this queue when it is ready, below, or dropped, and the
                // barrier is borrowed for longer.
                unsafe { this.wait.join(guard) };
                return Poll::Pending;
            }
            Some(_) => {
                drop(guard);
                false
            }
            None => {
                drop(guard);
                barrier.queue.wake_all();
                true
            }
        };
        this.progress = Progress::Gone;
        this.wait.leave(&barrier.queue);
        Poll::Ready(BarrierWaitResult(leader))
    }
}

impl Drop for BarrierWait<'_> {
    fn drop(&mut self) {
        self.wait.leave(&self.barrier.queue);
        if let Progress::Arrived { round } = self.progress {
            let guard = self.barrier.queue.lock();
            if !self.barrier.is_over(round) {
                self.barrier.depart(&guard);
            }
        }
    }
}

impl fmt::Debug for BarrierWait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BarrierWait").finish_non_exhaustive()
    }
}
