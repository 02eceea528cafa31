//! Results one after another, in the order in which they come.
//!
//! Each handle gets one callback, which puts the handle's number into a queue. So a result
//! costs the same, however many are still to come.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ropewalk_kernel::clock;
use ropewalk_kernel::wait::{AsyncWait, Limit, Outcome, Reason, WaitQueue, spend};

use super::joinable::Joinable;
use crate::JoinError;

/// Numbers of those that have arrived, for one taker.
///
/// `count` is how many there are to take: it grows after one is in the list, and shrinks before
/// one is taken out. It is what the taker looks at (`SeqCst`) with the queue locked, so that no
/// other lock is taken inside it.
pub(crate) struct Arrivals {
    list: Mutex<VecDeque<usize>>,
    count: AtomicUsize,
    queue: WaitQueue,
}

impl Arrivals {
    pub(crate) const fn new() -> Arrivals {
        Arrivals {
            list: Mutex::new(VecDeque::new()),
            count: AtomicUsize::new(0),
            queue: WaitQueue::new(),
        }
    }

    fn list(&self) -> MutexGuard<'_, VecDeque<usize>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, number: usize) {
        self.list().push_back(number);
        self.count.fetch_add(1, Ordering::SeqCst);
        if self.queue.is_empty() {
            return;
        }
        let waiter = self.queue.lock().claim_next();
        if let Some(waiter) = waiter {
            // They come in crowds.
            waiter.wake_later();
        }
    }

    /// Takes the next; only one may take at a time.
    pub(crate) fn take(&self) -> Option<usize> {
        if self.count.load(Ordering::SeqCst) == 0 {
            return None;
        }
        self.count.fetch_sub(1, Ordering::SeqCst);
        self.list().pop_front()
    }

    /// Waits until there is one to take.
    pub(crate) fn wait(&self, limit: Limit) -> Outcome {
        loop {
            let guard = self.queue.lock();
            if self.count.load(Ordering::SeqCst) != 0 {
                return Outcome::Woken;
            }
            let object = std::ptr::from_ref(self) as usize;
            let outcome = guard.wait(0, Reason::Join, object, limit);
            if outcome != Outcome::Woken {
                // Perhaps one came in the same moment.
                return match self.count.load(Ordering::SeqCst) {
                    0 => outcome,
                    _ => Outcome::Woken,
                };
            }
        }
    }

    fn poll(&self, waiter: &mut AsyncWait, context: &Context<'_>) -> Poll<usize> {
        loop {
            if let Some(number) = self.take() {
                waiter.leave(&self.queue);
                return Poll::Ready(number);
            }
            waiter.prepare(context);
            let guard = self.queue.lock();
            if self.count.load(Ordering::SeqCst) == 0 {
                // SAFETY: it leaves this queue when it is ready, above, or its future is
                // dropped, which borrows the arrivals.
                unsafe { waiter.join(guard) };
                return Poll::Pending;
            }
        }
    }
}

/// Gives the results one after another, in the order in which they come, each with the number of
/// its handle. Mirrors Python's `concurrent.futures.as_completed`.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::{channel, coroutine, results};
///
/// let (news, slow) = channel::bounded(1);
/// let handles = [
///     coroutine::spawn(move || slow.recv().unwrap()),
///     coroutine::spawn(|| "the quick one's"),
/// ];
/// let mut order = Vec::new();
/// for (index, result) in results::as_completed(handles) {
///     order.push((index, result.unwrap()));
///     // Whoever waits for this can end now.
///     let _ = news.try_send("the slow one's");
/// }
/// assert_eq!(order, [(1, "the quick one's"), (0, "the slow one's")]);
/// ```
pub fn as_completed<H: Joinable>(handles: impl IntoIterator<Item = H>) -> AsCompleted<H> {
    limited(handles, None)
}

/// As [`as_completed`], but ends after `timeout` from now, whatever has come until then.
pub fn as_completed_timeout<H: Joinable>(
    handles: impl IntoIterator<Item = H>,
    timeout: Duration,
) -> AsCompleted<H> {
    limited(handles, Some(clock::deadline_after(timeout)))
}

fn limited<H: Joinable>(
    handles: impl IntoIterator<Item = H>,
    deadline: Option<u64>,
) -> AsCompleted<H> {
    let handles: Vec<Option<H>> = handles.into_iter().map(Some).collect();
    let arrivals = Arc::new(Arrivals::new());
    for (index, handle) in handles.iter().enumerate() {
        let arrivals = Arc::clone(&arrivals);
        if let Some(handle) = handle {
            handle.before_end(move |_| arrivals.add(index));
        }
    }
    AsCompleted {
        left: handles.len(),
        handles,
        arrivals,
        deadline,
    }
}

/// Results in the order in which they come; from [`as_completed`].
///
/// Ends when all have come, when its deadline has passed, or when the caller is cancelled while it
/// waits. [`len`](Self::len) says how many have not come, and
/// [`into_handles`](Self::into_handles) gives their handles back. Dropping it lets them go on.
///
/// # Panics
///
/// `next` panics if it must wait inside [`no_wait`](crate::coroutine::no_wait), and in the one
/// task that is left.
pub struct AsCompleted<H> {
    /// By number; those whose results were given are gone.
    handles: Vec<Option<H>>,
    left: usize,
    arrivals: Arc<Arrivals>,
    deadline: Option<u64>,
}

impl<H: Joinable> AsCompleted<H> {
    /// The number of those whose results have not been given yet.
    pub fn len(&self) -> usize {
        self.left
    }

    /// Says whether all results have been given.
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// Gives the next result if it has come already.
    pub fn try_next(&mut self) -> Option<(usize, Result<H::Value, JoinError>)> {
        let number = self.arrivals.take()?;
        spend();
        Some(self.finish(number))
    }

    /// As `next`, for `timeout` at most, if the iterator's own deadline is not earlier.
    pub fn next_timeout(
        &mut self,
        timeout: Duration,
    ) -> Option<(usize, Result<H::Value, JoinError>)> {
        self.next_until(Some(clock::deadline_after(timeout)))
    }

    /// As `next`, until a point in time at most, if the iterator's own deadline is not earlier.
    pub fn next_deadline(
        &mut self,
        deadline: Instant,
    ) -> Option<(usize, Result<H::Value, JoinError>)> {
        self.next_until(Some(clock::instant_to_ns(deadline)))
    }

    /// Gives a future of the next result, or `None` if all have been given. It knows no deadline.
    /// Dropped, it has taken nothing.
    pub fn next_async(&mut self) -> NextCompleted<'_, H> {
        NextCompleted {
            all: self,
            waiter: AsyncWait::new(),
        }
    }

    /// The handles whose results have not been given, in their order.
    pub fn into_handles(self) -> Vec<H> {
        self.handles.into_iter().flatten().collect()
    }

    fn next_until(
        &mut self,
        deadline: Option<u64>,
    ) -> Option<(usize, Result<H::Value, JoinError>)> {
        if self.left == 0 {
            return None;
        }
        if let Some(next) = self.try_next() {
            return Some(next);
        }
        if self.left == 1 {
            let last = self.handles.iter().flatten().next_back();
            last.expect("one is left").check_not_self();
        }
        let deadline = match (deadline, self.deadline) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        match self.arrivals.wait(Limit::cancellable(deadline)) {
            Outcome::Woken => self.try_next(),
            _ => None,
        }
    }

    fn finish(&mut self, number: usize) -> (usize, Result<H::Value, JoinError>) {
        let mut handle = self.handles[number].take().expect("each arrives once");
        self.left -= 1;
        // Its callback was called: it is about to end.
        handle.wait_for_end();
        (number, handle.take_result())
    }
}

impl<H: Joinable> Iterator for AsCompleted<H> {
    type Item = (usize, Result<H::Value, JoinError>);

    fn next(&mut self) -> Option<Self::Item> {
        self.next_until(None)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // The deadline or a cancellation may end it early.
        (0, Some(self.left))
    }
}

impl<H> fmt::Debug for AsCompleted<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

/// The next result, for `async` code; from [`AsCompleted::next_async`].
#[must_use = "futures do nothing unless polled"]
pub struct NextCompleted<'a, H> {
    all: &'a mut AsCompleted<H>,
    waiter: AsyncWait,
}

impl<H: Joinable> Future for NextCompleted<'_, H> {
    type Output = Option<(usize, Result<H::Value, JoinError>)>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if this.all.left == 0 {
            return Poll::Ready(None);
        }
        this.all
            .arrivals
            .poll(&mut this.waiter, context)
            .map(|number| Some(this.all.finish(number)))
    }
}

impl<H> Drop for NextCompleted<'_, H> {
    fn drop(&mut self) {
        // A wake that nobody looked at is no loss: what arrived is still there.
        self.waiter.leave(&self.all.arrivals.queue);
    }
}

impl<H> fmt::Debug for NextCompleted<'_, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NextCompleted").finish_non_exhaustive()
    }
}
