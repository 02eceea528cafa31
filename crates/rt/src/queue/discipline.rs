//! In which order a queue gives its items out.

use std::collections::{BTreeMap, VecDeque};

use ropewalk_kernel::wait::no_wait;

/// An order in which items are given out: [`Fifo`], [`Lifo`] or [`ByPriority`].
///
/// Its methods are called under the queue's lock.
pub trait Discipline: Sealed {
    /// What is put into the queue and got from it.
    type Item;

    /// Whether [`push`](Self::push) runs foreign code.
    #[doc(hidden)]
    const COMPARES: bool;

    /// Holds nothing, and has allocated nothing.
    #[doc(hidden)]
    fn empty() -> Self;

    /// Adds an item. If it unwinds, nothing was added.
    #[doc(hidden)]
    fn push(&mut self, item: Self::Item);

    /// Takes the item whose turn it is. Runs no foreign code.
    #[doc(hidden)]
    fn pop(&mut self) -> Option<Self::Item>;

    /// Counts the items.
    #[doc(hidden)]
    fn count(&self) -> usize;

    /// All items, in the order of their turn.
    #[doc(hidden)]
    fn into_vec(self) -> Vec<Self::Item>;
}

/// Can't be named outside, so that nobody outside can implement a [`Discipline`].
pub trait Sealed: Sized {}

/// First in, first out.
pub struct Fifo<T>(pub(super) VecDeque<T>);

/// Last in, first out.
pub struct Lifo<T>(pub(super) Vec<T>);

/// The smallest priority first; among equal ones, first in, first out.
///
/// A sorted map and not a heap, as it compares only before it changes anything: a comparison
/// that panics leaves nothing half done.
pub struct ByPriority<P, T> {
    pub(super) items: BTreeMap<(P, u64), T>,
    /// The number of the next item, which tells equal priorities apart.
    pub(super) next: u64,
}

impl<T> Sealed for Fifo<T> {}
impl<T> Sealed for Lifo<T> {}
impl<P: Ord, T> Sealed for ByPriority<P, T> {}

impl<T> Discipline for Fifo<T> {
    type Item = T;

    const COMPARES: bool = false;

    fn empty() -> Fifo<T> {
        Fifo(VecDeque::new())
    }

    fn push(&mut self, item: T) {
        self.0.push_back(item);
    }

    fn pop(&mut self) -> Option<T> {
        self.0.pop_front()
    }

    fn count(&self) -> usize {
        self.0.len()
    }

    fn into_vec(self) -> Vec<T> {
        self.0.into()
    }
}

impl<T> Discipline for Lifo<T> {
    type Item = T;

    const COMPARES: bool = false;

    fn empty() -> Lifo<T> {
        Lifo(Vec::new())
    }

    fn push(&mut self, item: T) {
        self.0.push(item);
    }

    fn pop(&mut self) -> Option<T> {
        self.0.pop()
    }

    fn count(&self) -> usize {
        self.0.len()
    }

    fn into_vec(mut self) -> Vec<T> {
        self.0.reverse();
        self.0
    }
}

impl<P: Ord, T> Discipline for ByPriority<P, T> {
    type Item = (P, T);

    const COMPARES: bool = true;

    fn empty() -> ByPriority<P, T> {
        ByPriority {
            items: BTreeMap::new(),
            next: 0,
        }
    }

    fn push(&mut self, (priority, item): (P, T)) {
        let number = self.next;
        // The caller's worker holds the queue's lock.
        no_wait(|| self.items.insert((priority, number), item));
        self.next = number + 1;
    }

    fn pop(&mut self) -> Option<(P, T)> {
        let ((priority, _), item) = self.items.pop_first()?;
        Some((priority, item))
    }

    fn count(&self) -> usize {
        self.items.len()
    }

    fn into_vec(self) -> Vec<(P, T)> {
        self.items
            .into_iter()
            .map(|((priority, _), item)| (priority, item))
            .collect()
    }
}
