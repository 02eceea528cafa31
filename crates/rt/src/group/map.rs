//! A bounded map over an iterator: each item in a coroutine of the group.

use std::collections::VecDeque;
use std::fmt;
use std::iter::Fuse;
use std::sync::Arc;

use ropewalk_kernel::wait::{Limit, Outcome};

use super::{Group, Place};
use crate::JoinError;
use crate::join::JoinHandle;
use crate::results::Arrivals;
use crate::results::sealed::Source;

impl Group {
    /// Applies `f` to each item in a coroutine of its own and gives the results in the items'
    /// order. Lazy: items are taken, and coroutines spawned, inside `next`, so that those running
    /// and those whose results were not taken yet are never more than the group's limit. In a
    /// group without a limit the first `next` takes all items.
    ///
    /// It ends early if the caller is cancelled while it waits. Dropped, it lets those
    /// that run go on.
    ///
    /// # Panics
    ///
    /// `next` panics as [`spawn`](Self::spawn) does.
    pub fn map<I, F, R>(&self, items: I, f: F) -> Map<'_, I::IntoIter, F, R>
    where
        I: IntoIterator,
        I::Item: Send + 'static,
        F: Fn(I::Item) -> R + Send + Sync + 'static,
        R: Send + 'static,
    {
        Map {
            source: Spawner::new(self, items, f),
            running: VecDeque::new(),
        }
    }

    /// As [`map`](Self::map), but gives the results in the order in which they come, each with
    /// its item's number.
    pub fn map_unordered<I, F, R>(&self, items: I, f: F) -> MapUnordered<'_, I::IntoIter, F, R>
    where
        I: IntoIterator,
        I::Item: Send + 'static,
        F: Fn(I::Item) -> R + Send + Sync + 'static,
        R: Send + 'static,
    {
        MapUnordered {
            source: Spawner::new(self, items, f),
            taken: 0,
            running: Vec::new(),
            free: Vec::new(),
            arrivals: Arc::new(Arrivals::new()),
        }
    }
}

/// Takes items and starts their coroutines.
struct Spawner<'g, I: Iterator, F> {
    group: &'g Group,
    items: Fuse<I>,
    f: Arc<F>,
}

impl<'g, I: Iterator, F> Spawner<'g, I, F> {
    fn new(group: &'g Group, items: impl IntoIterator<IntoIter = I>, f: F) -> Self {
        Spawner {
            group,
            items: items.into_iter().fuse(),
            f: Arc::new(f),
        }
    }

    /// Starts one more, if there is an item and `running` may grow. Waits for room only
    /// if none is running.
    fn start<R>(&mut self, running: usize) -> Option<JoinHandle<R>>
    where
        I::Item: Send + 'static,
        F: Fn(I::Item) -> R + Send + Sync + 'static,
        R: Send + 'static,
    {
        let shared = &self.group.shared;
        if running >= shared.limit {
            return None;
        }
        // The place first: an item that was taken is not given back.
        let place: Place = match running {
            0 => shared.enter(Limit::cancellable(None)).ok()?,
            _ => shared.try_enter()?,
        };
        let item = self.items.next()?;
        let f = Arc::clone(&self.f);
        Some(self.group.spawn_in(place, move || f(item)))
    }
}

/// Results in the order of the items; from [`Group::map`].
pub struct Map<'g, I: Iterator, F, R> {
    source: Spawner<'g, I, F>,
    running: VecDeque<JoinHandle<R>>,
}

impl<I, F, R> Iterator for Map<'_, I, F, R>
where
    I: Iterator,
    I::Item: Send + 'static,
    F: Fn(I::Item) -> R + Send + Sync + 'static,
    R: Send + 'static,
{
    type Item = Result<R, JoinError>;

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(handle) = self.source.start(self.running.len()) {
            self.running.push_back(handle);
        }
        let first = self.running.front()?;
        match first.wait_within(Limit::cancellable(None)) {
            Outcome::Woken => self
                .running
                .pop_front()
                .map(|mut first| first.take_result()),
            _ => None,
        }
    }
}

impl<I: Iterator, F, R> fmt::Debug for Map<'_, I, F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("running", &self.running.len())
            .finish_non_exhaustive()
    }
}

/// Results in the order in which they come; from [`Group::map_unordered`].
pub struct MapUnordered<'g, I: Iterator, F, R> {
    source: Spawner<'g, I, F>,
    /// How many items were taken.
    taken: usize,
    /// The handles, with the numbers of their items, and the free places among them.
    running: Vec<Option<(usize, JoinHandle<R>)>>,
    free: Vec<usize>,
    arrivals: Arc<Arrivals>,
}

impl<I, F, R> Iterator for MapUnordered<'_, I, F, R>
where
    I: Iterator,
    I::Item: Send + 'static,
    F: Fn(I::Item) -> R + Send + Sync + 'static,
    R: Send + 'static,
{
    type Item = (usize, Result<R, JoinError>);

    fn next(&mut self) -> Option<Self::Item> {
        while let Some(handle) = self.source.start(self.running.len() - self.free.len()) {
            let place = self.free.pop().unwrap_or_else(|| {
                self.running.push(None);
                self.running.len() - 1
            });
            let arrivals = Arc::clone(&self.arrivals);
            handle.before_end(move |_| arrivals.add(place));
            self.running[place] = Some((self.taken, handle));
            self.taken += 1;
        }
        if self.running.len() == self.free.len() {
            return None;
        }
        if self.arrivals.wait(Limit::cancellable(None)) != Outcome::Woken {
            return None;
        }
        let place = self.arrivals.take()?;
        let (number, mut handle) = self.running[place].take().expect("it arrives once");
        self.free.push(place);
        // Its callback was called: it is about to end.
        handle.wait_for_end();
        Some((number, handle.take_result()))
    }
}

impl<I: Iterator, F, R> fmt::Debug for MapUnordered<'_, I, F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapUnordered")
            .field("running", &(self.running.len() - self.free.len()))
            .finish_non_exhaustive()
    }
}
