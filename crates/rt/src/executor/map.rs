//! A function applied to many items by a pool: the iterator over the results.

use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use ropewalk_kernel::clock;

use super::Progress;
use super::feed::Feed;
use super::progress::Watched;
use super::starting::Start;
use crate::JoinError;
use crate::cancel::WaitError;

/// Results of a function applied to many items by a pool; from [`RunTask::map`](super::RunTask::map)
/// and its kin.
///
/// # Laziness
///
/// Nothing happens until the first `next`, and nothing between two calls but what the pool has been given.
/// Inside `next` items are taken from the input, in chunks, as long as there is room in the buffer: by
/// default for twice as many chunks as the pool runs at once, besides the one whose results are being
/// given. So an endless input is fine, and a slow consumer holds the input back. If the input waits, `next` does.
///
/// # Errors of items
///
/// Each item has an outcome of its own: an item that panics, or whose worker dies, is an `Err` in its place,
/// and the others go on. A panic harms no other item of its chunk. The *death* of a worker fails all
/// items of the chunk it had, as nobody knows which of them were done, and doing them again might do
/// harm; that is why pools of processes make chunks of one item unless they are [told to](Self::chunk). If
/// the pool takes no more work (it was closed), or can't run the function at all, the items that were taken
/// give an error that says so, and the input is left alone from then on.
///
/// # Cancellation
///
/// `next` is a cancellation point. A caller that is cancelled while it waits gets
/// [`JoinError::WaitCancelled`] as the last item; after a [`timeout`](Self::timeout) the last
/// item is [`JoinError::TimedOut`]: so a map that was cut short can't be taken for a complete one. Then, and
/// when it is dropped, what is under way is [cancelled](crate::JoinHandle::cancel).
///
/// # Examples
///
/// ```
/// use ropewalk_rt::executor::{CoroutinePool, RunTask};
///
/// fn square(n: u64) -> u64 {
///     n * n
/// }
///
/// let pool = CoroutinePool::new(4);
/// let squares: Result<Vec<u64>, _> = pool.map(square, 1..=5).collect();
/// assert_eq!(squares.unwrap(), [1, 4, 9, 16, 25]);
///
/// let first = pool.map(square, 1..).find(|square| matches!(square, Ok(n) if *n > 1000));
/// assert_eq!(first.unwrap().unwrap(), 1024);
/// ```
#[must_use = "a map does nothing until it is iterated over"]
pub struct Map<'p, S: Start, I, O = InOrder> {
    feed: Feed<'p, S, I>,
    deadline: Option<u64>,
    over: bool,
    order: PhantomData<O>,
}

/// A [`Map`] that gives its results in the order in which they come, each with its item's number.
pub type MapUnordered<'p, S, I> = Map<'p, S, I, AsTheyCome>;

/// The results in the order of their items.
#[derive(Clone, Copy, Debug)]
pub enum InOrder {}

/// The results in the order in which they come, each with the number of its item, from 0 on.
#[derive(Clone, Copy, Debug)]
pub enum AsTheyCome {}

/// The order of a [`Map`]: [`InOrder`] or [`AsTheyCome`].
///
/// It can't be implemented outside this crate.
pub trait Order: sealed::Order {}

impl<O: sealed::Order> Order for O {}

mod sealed {
    use super::JoinError;

    pub trait Order {
        const IN_ORDER: bool;
        type Item<R>;
        fn item<R>(number: usize, result: Result<R, JoinError>) -> Self::Item<R>;
    }

    impl Order for super::InOrder {
        const IN_ORDER: bool = true;
        type Item<R> = Result<R, JoinError>;

        fn item<R>(_number: usize, result: Result<R, JoinError>) -> Self::Item<R> {
            result
        }
    }

    impl Order for super::AsTheyCome {
        const IN_ORDER: bool = false;
        type Item<R> = (usize, Result<R, JoinError>);

        fn item<R>(number: usize, result: Result<R, JoinError>) -> Self::Item<R> {
            (number, result)
        }
    }
}

impl<'p, S, I, O> Map<'p, S, I, O>
where
    S: Start,
    I: Iterator<Item = S::Item>,
    O: Order,
{
    pub(super) fn new(starter: S, items: I) -> Self {
        Map {
            feed: Feed::new(starter, items, O::IN_ORDER),
            deadline: None,
            over: false,
            order: PhantomData,
        }
    }

    /// Has `size` items run by a worker one after the other, as one piece of work.
    ///
    /// By default a chunk has as many as take half a millisecond, by measuring those before; at first it
    /// is one. Automatic chunks get smaller again towards the end, if the input knows its length. Where a few items
    /// take far longer than the others, ask for chunks of 1.
    ///
    /// # Panics
    ///
    /// If `size` is 0.
    pub fn chunk(mut self, size: usize) -> Self {
        assert!(size > 0, "a chunk has at least one item");
        self.feed.sizes.fix(size);
        self
    }

    /// Has at most `items` items taken from the input whose results were not given yet.
    ///
    /// Chunks are never bigger than that.
    ///
    /// # Panics
    ///
    /// If `items` is 0.
    pub fn buffer(mut self, items: usize) -> Self {
        assert!(items > 0, "a buffer has room for at least one item");
        self.feed.buffer = Some(items);
        self
    }

    /// Ends it `timeout` from now, if it has not ended until then: the last item is
    /// [`JoinError::TimedOut`].
    pub fn timeout(self, timeout: Duration) -> Self {
        self.until(clock::deadline_after(timeout))
    }

    /// As [`timeout`](Self::timeout), at a point in time.
    pub fn deadline(self, deadline: Instant) -> Self {
        self.until(clock::instant_to_ns(deadline))
    }

    /// Has `observer` told of how far it is: a [`Progress`], or a closure `|done, total|`.
    ///
    /// It is told by `next`, also while that waits for a result that others have overtaken.
    pub fn with_progress(mut self, observer: impl Progress + Send + 'p) -> Self {
        self.feed.watched = Some(Watched::new(observer));
        self
    }

    fn until(mut self, deadline: u64) -> Self {
        self.deadline = Some(deadline);
        self
    }
}

impl<S, I, O> Map<'_, S, I, O>
where
    S: Start<Output: Send + 'static>,
    I: Iterator<Item = S::Item>,
    O: Order,
{
    /// As `next`, for `timeout` at most.
    ///
    /// # Errors
    ///
    /// [`WaitError`] if there was no result in time, or the caller was cancelled while it waited. Nothing is
    /// lost: it may be asked again.
    pub fn next_timeout(
        &mut self,
        timeout: Duration,
    ) -> Result<Option<<Self as Iterator>::Item>, WaitError> {
        self.next_until(clock::deadline_after(timeout))
    }

    /// As [`next_timeout`](Self::next_timeout), until a point in time at most.
    ///
    /// # Errors
    ///
    /// As [`next_timeout`](Self::next_timeout).
    pub fn next_deadline(
        &mut self,
        deadline: Instant,
    ) -> Result<Option<<Self as Iterator>::Item>, WaitError> {
        self.next_until(clock::instant_to_ns(deadline))
    }

    fn next_until(&mut self, limit: u64) -> Result<Option<O::Item<S::Output>>, WaitError> {
        if self.over {
            return Ok(None);
        }
        let own = self.deadline.filter(|own| *own <= limit);
        match self.feed.next_within(Some(own.unwrap_or(limit))) {
            Ok(next) => Ok(self.give(next)),
            Err(WaitError::Timeout) if own.is_some() => Ok(self.cut(WaitError::Timeout)),
            Err(why) => Err(why),
        }
    }

    fn give(
        &mut self,
        next: Option<(usize, Result<S::Output, JoinError>)>,
    ) -> Option<O::Item<S::Output>> {
        self.over = next.is_none();
        next.map(|(number, result)| O::item(number, result))
    }

    /// Ends it before all was given.
    fn cut(&mut self, why: WaitError) -> Option<O::Item<S::Output>> {
        self.over = true;
        self.feed.end();
        let error = match why {
            WaitError::Timeout => JoinError::TimedOut,
            WaitError::Cancelled => JoinError::WaitCancelled,
        };
        Some(O::item(self.feed.oldest(), Err(error)))
    }
}

impl<S, I, O> Iterator for Map<'_, S, I, O>
where
    S: Start<Output: Send + 'static>,
    I: Iterator<Item = S::Item>,
    O: Order,
{
    type Item = O::Item<S::Output>;

    /// # Panics
    ///
    /// If it must wait inside [`no_wait`](crate::coroutine::no_wait); and as the input and an observer of
    /// its progress do.
    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        match self.feed.next_within(self.deadline) {
            Ok(next) => self.give(next),
            Err(why) => self.cut(why),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self.over {
            true => (0, Some(0)),
            false => self.feed.size_hint(),
        }
    }
}

impl<S, I, O> std::iter::FusedIterator for Map<'_, S, I, O>
where
    S: Start<Output: Send + 'static>,
    I: Iterator<Item = S::Item>,
    O: Order,
{
}

impl<S: Start, I, O> fmt::Debug for Map<'_, S, I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("next", &self.feed.oldest())
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}
