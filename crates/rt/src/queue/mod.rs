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
mod done;
mod error;
mod getting;
mod putting;

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ropewalk_kernel::wait::{AsyncWait, WaitQueue};

pub use discipline::{ByPriority, Discipline, Fifo, Lifo};
pub use done::JoinFuture;
pub use error::{GetError, PutError, TooManyDone};
pub use getting::GetFuture;
pub use putting::PutFuture;

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
        // The writer is foreign code: the lock is let go before.
        let (len, unfinished, closed) = {
            let state = self.lock();
            (state.items.count(), state.unfinished, state.closed)
        };
        f.debug_struct("QueueOf")
            .field("len", &len)
            .field("maxsize", &self.maxsize)
            .field("unfinished", &unfinished)
            .field("closed", &closed)
            .finish_non_exhaustive()
    }
}

/// Leaves `queue`; a wake that came meanwhile goes to the next.
fn pass_on(wait: &mut AsyncWait, queue: &WaitQueue) {
    if wait.leave(queue) {
        queue.wake_one();
    }
}

/// A number of the calling thread's own, not 0.
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
