//! Queues of work between producers and consumers: first in first out, last in first out, by
//! priority. They offer what Python's `queue` does, and `close` as Python 3.13 shuts down.
//!
//! Unlike a [`channel`](crate::channel), a queue is one object that both sides share, by
//! reference or in an [`Arc`](std::sync::Arc), or as a `static`; and it counts what was put in
//! against what was reported done, so that [`join`](QueueOf::join) can wait for all of it.
//!
//! | Python | here |
//! |---|---|
//! | `Queue(maxsize)`, `LifoQueue`, `PriorityQueue` | [`Queue::with_maxsize`], [`Queue::unbounded`], ... |
//! | `put`, `put(timeout=)`, `put_nowait` | [`put`](QueueOf::put), `put_timeout`, [`try_put`](QueueOf::try_put), `put_async` |
//! | `get`, `get(timeout=)`, `get_nowait` | [`get`](QueueOf::get), `get_timeout`, [`try_get`](QueueOf::try_get), `get_async` |
//! | `qsize`, `empty`, `full` | `len`, `is_empty`, `is_full` |
//! | `task_done` (`ValueError`), `join` | [`task_done`](QueueOf::task_done) ([`TooManyDone`]), [`join`](QueueOf::join) |
//! | `shutdown()`, `shutdown(immediate=True)` | [`close`](QueueOf::close), [`close_now`](QueueOf::close_now) |
//! | `Full`, `Empty`, `ShutDown` | [`PutError`] (with the item), [`GetError`] |
//!
//! # Cancellation
//!
//! All that waits here is a cancellation point. What can be had at once is had all the same. A
//! future dropped before it is ready has taken nothing; one that puts takes its item with it.
//!
//! # How it works
//!
//! The items and the counts are under one lock, of the operating system: it is held for
//! moments, never while waiting. Three wait queues hold those who wait for an item, for room and
//! for the end. A waiter joins its wait queue while it still holds the lock, and whoever changes
//! something does so under the lock and wakes after it: so either the waiter sees the change or
//! the other sees the waiter. Each item put wakes one taker, each item got wakes one putter.
//! Who is woken looks again, and may find that another was faster; then it waits on. So a wait
//! that ends for its deadline or a cancellation was not woken, and owes nothing; a future that
//! was woken and is dropped, or is ready without needing that wake, passes it on.
//!
//! Lock order: the queue's lock, then a wait queue's. No foreign code runs under the lock but
//! the comparison of priorities: where that would wait or use its own queue it panics.

mod discipline;
mod error;
mod future;

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ropewalk_kernel::clock;
use ropewalk_kernel::wait::{Limit, Outcome, Reason, WaitQueue, check_may_wait, spend};

pub use discipline::{ByPriority, Discipline, Fifo, Lifo};
pub use error::{GetError, PutError, TooManyDone};
pub use future::{GetFuture, JoinFuture, PutFuture};

use crate::cancel::{Cancelled, WaitError};

/// A queue that gives items out in the order in which they were put in.
///
/// # Examples
///
/// Workers that share a queue, and somebody who waits until all is done:
///
/// ```
/// use ropewalk_rt::{coroutine, queue::Queue};
/// use std::sync::atomic::{AtomicU32, Ordering};
///
/// let jobs = Queue::with_maxsize(2);
/// let sum = AtomicU32::new(0);
/// coroutine::scope(|s| {
///     for _ in 0..3 {
///         s.spawn(|| {
///             while let Ok(job) = jobs.get() {
///                 sum.fetch_add(job, Ordering::Relaxed);
///                 jobs.task_done().unwrap();
///             }
///         });
///     }
///     for job in 1..=10 {
///         jobs.put(job).unwrap();
///     }
///     jobs.join().unwrap();
///     assert_eq!(sum.load(Ordering::Relaxed), 55);
///     jobs.close();
/// });
/// ```
pub type Queue<T> = QueueOf<Fifo<T>>;

/// A queue that gives the newest item out first.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::queue::LifoQueue;
///
/// let plates = LifoQueue::unbounded();
/// plates.put("lower").unwrap();
/// plates.put("upper").unwrap();
/// assert_eq!(plates.get(), Ok("upper"));
/// ```
pub type LifoQueue<T> = QueueOf<Lifo<T>>;

/// A queue of pairs of a priority and an item, that gives the smallest priority out first, and
/// of equal ones the oldest. Items need not be comparable.
///
/// For the largest first use [`Reverse`](std::cmp::Reverse). Comparing must not wait, nor use
/// this queue: it panics then, and the pair is dropped.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::queue::PriorityQueue;
///
/// static TASKS: PriorityQueue<u8, &str> = PriorityQueue::unbounded();
///
/// TASKS.put((2, "sleep")).unwrap();
/// TASKS.put((1, "eat")).unwrap();
/// TASKS.put((1, "drink")).unwrap();
/// assert_eq!(TASKS.get(), Ok((1, "eat")));
/// assert_eq!(TASKS.get(), Ok((1, "drink")));
/// assert_eq!(TASKS.get(), Ok((2, "sleep")));
/// ```
pub type PriorityQueue<P, T> = QueueOf<ByPriority<P, T>>;

/// A queue that gives its items out in the order of `D`: see [`Queue`], [`LifoQueue`] and
/// [`PriorityQueue`].
pub struct QueueOf<D> {
    state: Mutex<State<D>>,
    /// 0 for no limit.
    maxsize: usize,
    takers: WaitQueue,
    putters: WaitQueue,
    joiners: WaitQueue,
    /// The thread that compares priorities under the lock, as [`this_thread`] names it; else 0.
    comparing: AtomicUsize,
}

struct State<D> {
    items: D,
    closed: bool,
    /// Items put in and not reported done.
    unfinished: usize,
    /// How often `unfinished` has fallen to 0. Who waits for the end waits for a change of
    /// this: so it misses none, however soon the next item comes.
    ends: usize,
}

impl<T> QueueOf<Fifo<T>> {
    /// Makes a queue without a limit.
    pub const fn unbounded() -> Queue<T> {
        QueueOf::with(Fifo(VecDeque::new()), 0)
    }

    /// Makes a queue that holds up to `maxsize` items; 0 is no limit. Memory is taken as items
    /// come, so that any number will do.
    pub const fn with_maxsize(maxsize: usize) -> Queue<T> {
        QueueOf::with(Fifo(VecDeque::new()), maxsize)
    }
}

impl<T> QueueOf<Lifo<T>> {
    /// Makes a queue without a limit.
    pub const fn unbounded() -> LifoQueue<T> {
        QueueOf::with(Lifo(Vec::new()), 0)
    }

    /// Makes a queue that holds up to `maxsize` items; 0 is no limit. Memory is taken as items
    /// come, so that any number will do.
    pub const fn with_maxsize(maxsize: usize) -> LifoQueue<T> {
        QueueOf::with(Lifo(Vec::new()), maxsize)
    }
}

impl<P, T> QueueOf<ByPriority<P, T>> {
    /// Makes a queue without a limit.
    pub const fn unbounded() -> PriorityQueue<P, T> {
        PriorityQueue::with_maxsize(0)
    }

    /// Makes a queue that holds up to `maxsize` items; 0 is no limit. Memory is taken as items
    /// come, so that any number will do.
    pub const fn with_maxsize(maxsize: usize) -> PriorityQueue<P, T> {
        let items = ByPriority {
            items: BTreeMap::new(),
            next: 0,
        };
        QueueOf::with(items, maxsize)
    }
}

impl<D> QueueOf<D> {
    const fn with(items: D, maxsize: usize) -> QueueOf<D> {
        QueueOf {
            state: Mutex::new(State {
                items,
                closed: false,
                unfinished: 0,
                ends: 0,
            }),
            maxsize,
            takers: WaitQueue::new(),
            putters: WaitQueue::new(),
            joiners: WaitQueue::new(),
            comparing: AtomicUsize::new(0),
        }
    }
}

impl<D: Discipline> Default for QueueOf<D> {
    /// Makes a queue without a limit.
    fn default() -> QueueOf<D> {
        QueueOf::with(D::empty(), 0)
    }
}

/// Putting in.
impl<D: Discipline> QueueOf<D> {
    /// Puts an item in, waiting for room.
    ///
    /// # Errors
    ///
    /// Gives the item back if the queue is closed, before or meanwhile, or the caller is
    /// cancelled while it waits.
    ///
    /// # Panics
    ///
    /// If it must wait inside [`no_wait`](crate::coroutine::no_wait).
    pub fn put(&self, item: D::Item) -> Result<(), PutError<D::Item>> {
        self.put_within(item, || None)
    }

    /// Puts an item in if there is room.
    ///
    /// # Errors
    ///
    /// Gives the item back if the queue is full or closed.
    pub fn try_put(&self, item: D::Item) -> Result<(), PutError<D::Item>> {
        let result = self.put_if_room(self.lock(), item);
        if result.is_ok() {
            spend();
        }
        result
    }

    /// Puts an item in, waiting for room for `timeout` at most.
    ///
    /// # Errors
    ///
    /// Gives the item back: [`Full`](PutError::Full) if there was no room in time, else as
    /// [`put`](Self::put).
    ///
    /// # Panics
    ///
    /// As [`put`](Self::put).
    pub fn put_timeout(&self, item: D::Item, timeout: Duration) -> Result<(), PutError<D::Item>> {
        self.put_within(item, || Some(clock::deadline_after(timeout)))
    }

    /// Puts an item in, waiting for room until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`put_timeout`](Self::put_timeout).
    ///
    /// # Panics
    ///
    /// As [`put`](Self::put).
    pub fn put_deadline(&self, item: D::Item, deadline: Instant) -> Result<(), PutError<D::Item>> {
        self.put_within(item, || Some(clock::instant_to_ns(deadline)))
    }

    /// Gives a future that puts an item in when there is room. Dropped before it is ready, it
    /// drops the item.
    ///
    /// # Errors
    ///
    /// Gives the item back if the queue is closed.
    pub fn put_async(&self, item: D::Item) -> PutFuture<'_, D> {
        PutFuture::new(self, item)
    }

    fn put_within(
        &self,
        item: D::Item,
        deadline: impl FnOnce() -> Option<u64>,
    ) -> Result<(), PutError<D::Item>> {
        match self.try_put(item) {
            Err(PutError::Full(item)) => self.put_waiting(item, deadline()),
            result => result,
        }
    }

    #[cold]
    fn put_waiting(&self, item: D::Item, deadline: Option<u64>) -> Result<(), PutError<D::Item>> {
        check_may_wait();
        let limit = Limit::cancellable(deadline);
        let mut outcome = Outcome::Woken;
        loop {
            let state = self.lock();
            if !self.must_wait_to_put(&state) {
                return self.put_if_room(state, item);
            }
            match outcome {
                Outcome::Woken => {}
                Outcome::Expired => return Err(PutError::Full(item)),
                Outcome::Cancelled => return Err(PutError::Cancelled(item)),
            }
            let guard = self.putters.lock();
            drop(state);
            outcome = guard.wait(0, Reason::Queue, self.address(), limit);
        }
    }

    /// Puts an item in or gives it back, and wakes.
    fn put_if_room(
        &self,
        mut state: MutexGuard<'_, State<D>>,
        item: D::Item,
    ) -> Result<(), PutError<D::Item>> {
        if state.closed {
            return Err(PutError::Closed(item));
        }
        if self.is_full_with(&state) {
            return Err(PutError::Full(item));
        }
        if D::COMPARES {
            let _comparing = Comparing::by_this_thread(&self.comparing);
            state.items.push(item);
        } else {
            state.items.push(item);
        }
        state.unfinished += 1;
        drop(state);
        self.takers.wake_one();
        Ok(())
    }
}

/// Getting out.
impl<D: Discipline> QueueOf<D> {
    /// Gets the item whose turn it is, waiting for one.
    ///
    /// # Errors
    ///
    /// If the queue is closed and nothing is left in it, or the caller is cancelled while it
    /// waits.
    ///
    /// # Panics
    ///
    /// If it must wait inside [`no_wait`](crate::coroutine::no_wait).
    pub fn get(&self) -> Result<D::Item, GetError> {
        self.get_within(|| None)
    }

    /// Gets the item whose turn it is, if there is one.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn try_get(&self) -> Result<D::Item, GetError> {
        let item = self.get_if_any(self.lock());
        if item.is_ok() {
            spend();
        }
        item
    }

    /// Gets the item whose turn it is, waiting for one for `timeout` at most.
    ///
    /// # Errors
    ///
    /// [`Empty`](GetError::Empty) if there was none in time, else as [`get`](Self::get).
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    pub fn get_timeout(&self, timeout: Duration) -> Result<D::Item, GetError> {
        self.get_within(|| Some(clock::deadline_after(timeout)))
    }

    /// Gets the item whose turn it is, waiting for one until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`get_timeout`](Self::get_timeout).
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    pub fn get_deadline(&self, deadline: Instant) -> Result<D::Item, GetError> {
        self.get_within(|| Some(clock::instant_to_ns(deadline)))
    }

    /// Gives a future that gets the item whose turn it is when there is one. Dropped before it
    /// is ready, it has got nothing.
    ///
    /// # Errors
    ///
    /// If the queue is closed and nothing is left in it.
    pub fn get_async(&self) -> GetFuture<'_, D> {
        GetFuture::new(self)
    }

    fn get_within(&self, deadline: impl FnOnce() -> Option<u64>) -> Result<D::Item, GetError> {
        match self.try_get() {
            Err(GetError::Empty) => self.get_waiting(deadline()),
            result => result,
        }
    }

    #[cold]
    fn get_waiting(&self, deadline: Option<u64>) -> Result<D::Item, GetError> {
        check_may_wait();
        let limit = Limit::cancellable(deadline);
        let mut outcome = Outcome::Woken;
        loop {
            let state = self.lock();
            if !self.must_wait_to_get(&state) {
                return self.get_if_any(state);
            }
            match outcome {
                Outcome::Woken => {}
                Outcome::Expired => return Err(GetError::Empty),
                Outcome::Cancelled => return Err(GetError::Cancelled),
            }
            let guard = self.takers.lock();
            drop(state);
            outcome = guard.wait(0, Reason::Queue, self.address(), limit);
        }
    }

    /// Gets an item, and wakes.
    fn get_if_any(&self, mut state: MutexGuard<'_, State<D>>) -> Result<D::Item, GetError> {
        let item = state.items.pop();
        let closed = state.closed;
        drop(state);
        match item {
            Some(item) => {
                self.putters.wake_one();
                Ok(item)
            }
            None if closed => Err(GetError::Closed),
            None => Err(GetError::Empty),
        }
    }
}

/// Being done.
impl<D: Discipline> QueueOf<D> {
    /// Reports that an item got from the queue is done with.
    ///
    /// # Errors
    ///
    /// If more are reported done than were put in; the count stays at none.
    pub fn task_done(&self) -> Result<(), TooManyDone> {
        let mut state = self.lock();
        let Some(left) = state.unfinished.checked_sub(1) else {
            return Err(TooManyDone);
        };
        let ended = state.finish(left);
        drop(state);
        if ended {
            self.joiners.wake_all();
        }
        Ok(())
    }

    /// Counts the items that were put in and are not reported done: those in the queue, and
    /// those that were got and are in work.
    pub fn unfinished(&self) -> usize {
        self.lock().unfinished
    }

    /// Waits until all that was put in is reported done. Returns at once if it is; and if items
    /// come again in the very moment all was done, they are not waited for.
    ///
    /// # Errors
    ///
    /// If the caller is cancelled while it waits.
    ///
    /// # Panics
    ///
    /// If it must wait inside [`no_wait`](crate::coroutine::no_wait).
    pub fn join(&self) -> Result<(), Cancelled> {
        self.join_within(None).map_err(|_| Cancelled::current())
    }

    /// Waits until all that was put in is reported done, for `timeout` at most.
    ///
    /// # Errors
    ///
    /// If the time is over, or the caller is cancelled while it waits.
    ///
    /// # Panics
    ///
    /// As [`join`](Self::join).
    pub fn join_timeout(&self, timeout: Duration) -> Result<(), WaitError> {
        self.join_within(Some(clock::deadline_after(timeout)))
    }

    /// Waits until all that was put in is reported done, until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`join_timeout`](Self::join_timeout).
    ///
    /// # Panics
    ///
    /// As [`join`](Self::join).
    pub fn join_deadline(&self, deadline: Instant) -> Result<(), WaitError> {
        self.join_within(Some(clock::instant_to_ns(deadline)))
    }

    /// Gives a future that is ready when all that was put in is reported done.
    pub fn join_async(&self) -> JoinFuture<'_, D> {
        JoinFuture::new(self)
    }

    fn join_within(&self, deadline: Option<u64>) -> Result<(), WaitError> {
        let limit = Limit::cancellable(deadline);
        let mut state = self.lock();
        if state.unfinished == 0 {
            drop(state);
            spend();
            return Ok(());
        }
        let seen = state.ends;
        loop {
            let guard = self.joiners.lock();
            drop(state);
            let outcome = guard.wait(0, Reason::Queue, self.address(), limit);
            state = self.lock();
            if state.ends != seen {
                return Ok(());
            }
            if let Some(error) = WaitError::of(outcome) {
                return Err(error);
            }
        }
    }
}

/// Closing.
impl<D: Discipline> QueueOf<D> {
    /// Closes the queue: nothing more can be put in; what is in it can be got, and then
    /// [`GetError::Closed`]. Who waits for room is refused, who waits for an item is told. Those
    /// who [`join`](Self::join) wait on, until what is left is done.
    ///
    /// Does nothing if it is closed.
    pub fn close(&self) {
        self.lock().closed = true;
        self.wake_for_closing();
    }

    /// Closes the queue and takes out what is in it, in the order of their turn. These items
    /// count as done; those in work must still be reported for [`join`](Self::join) to return.
    ///
    /// Of a queue that is closed it takes out what is left.
    pub fn close_now(&self) -> Vec<D::Item> {
        let mut state = self.lock();
        state.closed = true;
        let items = std::mem::replace(&mut state.items, D::empty());
        // More may be reported done than were got.
        let left = state.unfinished.saturating_sub(items.count());
        let ended = state.finish(left);
        drop(state);
        self.wake_for_closing();
        if ended {
            self.joiners.wake_all();
        }
        items.into_vec()
    }

    /// Says whether the queue is closed.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn wake_for_closing(&self) {
        self.takers.wake_all();
        self.putters.wake_all();
    }
}

/// Looking.
impl<D: Discipline> QueueOf<D> {
    /// Counts the items in the queue.
    pub fn len(&self) -> usize {
        self.lock().items.count()
    }

    /// Says whether nothing is in the queue.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Says whether the queue holds as many items as it may; never without a limit.
    pub fn is_full(&self) -> bool {
        self.is_full_with(&self.lock())
    }

    /// Gives the most items the queue holds; 0 for no limit.
    pub fn maxsize(&self) -> usize {
        self.maxsize
    }

    fn is_full_with(&self, state: &State<D>) -> bool {
        self.maxsize != 0 && state.items.count() >= self.maxsize
    }

    fn must_wait_to_put(&self, state: &State<D>) -> bool {
        !state.closed && self.is_full_with(state)
    }

    fn must_wait_to_get(&self, state: &State<D>) -> bool {
        !state.closed && state.items.count() == 0
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    fn lock(&self) -> MutexGuard<'_, State<D>> {
        assert!(
            !D::COMPARES || self.comparing.load(Ordering::Relaxed) != this_thread(),
            "a comparison of priorities uses the queue it is made for"
        );
        // Poisoned by a comparison that panicked: nothing was changed then.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D> State<D> {
    /// Sets the count of what is not done; says whether that was the end.
    fn finish(&mut self, left: usize) -> bool {
        let ended = left == 0 && self.unfinished != 0;
        self.unfinished = left;
        self.ends = self.ends.wrapping_add(usize::from(ended));
        ended
    }
}

impl<D: Discipline> fmt::Debug for QueueOf<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("QueueOf")
            .field("len", &state.items.count())
            .field("maxsize", &self.maxsize)
            .field("unfinished", &state.unfinished)
            .field("closed", &state.closed)
            .finish_non_exhaustive()
    }
}

/// A number of the calling thread's own, not 0. It may change at each wait.
fn this_thread() -> usize {
    thread_local!(static MARK: Cell<u8> = const { Cell::new(0) });
    MARK.with(|mark| std::ptr::from_ref(mark) as usize)
}

/// Notes the thread that compares under the lock, as long as it does: nothing can come between
/// that might wait.
struct Comparing<'q>(&'q AtomicUsize);

impl Comparing<'_> {
    fn by_this_thread(by: &AtomicUsize) -> Comparing<'_> {
        by.store(this_thread(), Ordering::Relaxed);
        Comparing(by)
    }
}

impl Drop for Comparing<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Relaxed);
    }
}
