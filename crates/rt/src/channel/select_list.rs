//! Selecting from a list that is put together while the program runs.

use std::fmt;
use std::time::{Duration, Instant};

use ropewalk_kernel::clock;

use super::error::{ReadyTimeoutError, SelectTimeoutError, TryReadyError, TrySelectError};
use super::select::{Arm, Entry, SelectedOperation, Wait, run_ready, run_select};
use super::{Receiver, Sender};
use crate::join::JoinHandle;

/// Selects from operations that are put together while the program runs.
///
/// The counterpart for a list that is known when the program is written is
/// [`select!`](crate::select).
///
/// # Examples
///
/// ```
/// use ropewalk_rt::channel::{self, Select};
///
/// let channels: Vec<_> = (0..5).map(|_| channel::unbounded()).collect();
/// channels[3].0.send("here").unwrap();
/// let mut select = Select::new();
/// for (_, receiver) in &channels {
///     select.recv(receiver);
/// }
/// let operation = select.select();
/// assert_eq!(operation.index(), 3);
/// assert_eq!(operation.recv(&channels[3].1), Ok("here"));
/// ```
#[derive(Clone)]
pub struct Select<'a> {
    entries: Vec<Entry<'a>>,
    next_index: usize,
    biased: bool,
}

impl<'a> Select<'a> {
    /// Makes an empty list. Of operations that can be done, a random one will be chosen.
    pub fn new() -> Select<'a> {
        Select {
            entries: Vec::with_capacity(4),
            next_index: 0,
            biased: false,
        }
    }

    /// Makes an empty list. Of operations that can be done, the one added first will be chosen.
    pub fn new_biased() -> Select<'a> {
        Select {
            biased: true,
            ..Select::new()
        }
    }

    fn add(&mut self, arm: &'a (dyn Arm + 'a)) -> usize {
        let index = self.next_index;
        self.entries.push(Entry::new(arm, index));
        self.next_index += 1;
        index
    }

    /// Adds a send, and gives its index.
    pub fn send<T>(&mut self, sender: &'a Sender<T>) -> usize {
        self.add(sender)
    }

    /// Adds a receive, and gives its index.
    pub fn recv<T>(&mut self, receiver: &'a Receiver<T>) -> usize {
        self.add(receiver)
    }

    /// Adds the end of a task, and gives its index.
    pub fn join<T>(&mut self, handle: &'a JoinHandle<T>) -> usize {
        self.add(handle)
    }

    /// Takes an operation out. The indices of the others stay.
    ///
    /// # Panics
    ///
    /// If there is no operation with this index.
    pub fn remove(&mut self, index: usize) {
        assert!(
            index < self.next_index,
            "index out of bounds; {index} >= {}",
            self.next_index,
        );
        let position = self.entries.iter().position(|entry| entry.index == index);
        self.entries
            .swap_remove(position.expect("no operation with this index"));
    }

    /// Puts what a biased choice relies on right: the order in which operations were added.
    fn ordered(&mut self) -> &mut [Entry<'a>] {
        if self.biased && !self.entries.is_sorted_by_key(|entry| entry.index) {
            self.entries.sort_unstable_by_key(|entry| entry.index);
        }
        &mut self.entries
    }

    fn run(&mut self, wait: Wait) -> Option<SelectedOperation<'a>> {
        let biased = self.biased;
        run_select(self.ordered(), wait, biased)
    }

    fn run_ready(&mut self, wait: Wait) -> Option<usize> {
        let biased = self.biased;
        run_ready(self.ordered(), wait, biased)
    }

    /// Selects an operation that can be done at once.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn try_select(&mut self) -> Result<SelectedOperation<'a>, TrySelectError> {
        self.run(Wait::Now).ok_or(TrySelectError)
    }

    /// Waits until one of the operations can be done. If the wait is cancelled, it gives one of
    /// them, which will fail as if its channel were disconnected.
    ///
    /// # Panics
    ///
    /// If there are no operations.
    pub fn select(&mut self) -> SelectedOperation<'a> {
        self.assert_any();
        self.run(Wait::Until(None))
            .expect("a select without a deadline")
    }

    /// As [`select`](Self::select), for `timeout` at most.
    ///
    /// # Errors
    ///
    /// If no operation could be done in time.
    pub fn select_timeout(
        &mut self,
        timeout: Duration,
    ) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        self.run(Wait::Until(Some(clock::deadline_after(timeout))))
            .ok_or(SelectTimeoutError)
    }

    /// As [`select`](Self::select), until `deadline` at most.
    ///
    /// # Errors
    ///
    /// If no operation could be done in time.
    pub fn select_deadline(
        &mut self,
        deadline: Instant,
    ) -> Result<SelectedOperation<'a>, SelectTimeoutError> {
        self.run(Wait::Until(Some(clock::instant_to_ns(deadline))))
            .ok_or(SelectTimeoutError)
    }

    /// Gives the index of an operation that could be done at once, or would fail at once. By the
    /// time it is tried somebody else may have been faster.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn try_ready(&mut self) -> Result<usize, TryReadyError> {
        self.run_ready(Wait::Now).ok_or(TryReadyError)
    }

    /// Waits until one of the operations could be done, and gives its index. By the time it is
    /// tried somebody else may have been faster. If the wait is cancelled it gives any.
    ///
    /// # Panics
    ///
    /// If there are no operations.
    pub fn ready(&mut self) -> usize {
        self.assert_any();
        self.run_ready(Wait::Until(None))
            .expect("a select without a deadline")
    }

    /// As [`ready`](Self::ready), for `timeout` at most.
    ///
    /// # Errors
    ///
    /// If no operation became ready in time.
    pub fn ready_timeout(&mut self, timeout: Duration) -> Result<usize, ReadyTimeoutError> {
        self.run_ready(Wait::Until(Some(clock::deadline_after(timeout))))
            .ok_or(ReadyTimeoutError)
    }

    /// As [`ready`](Self::ready), until `deadline` at most.
    ///
    /// # Errors
    ///
    /// If no operation became ready in time.
    pub fn ready_deadline(&mut self, deadline: Instant) -> Result<usize, ReadyTimeoutError> {
        self.run_ready(Wait::Until(Some(clock::instant_to_ns(deadline))))
            .ok_or(ReadyTimeoutError)
    }

    /// Empties the list, for use with other operations.
    pub fn recycle<'b>(self) -> Select<'b> {
        let Select {
            mut entries,
            biased,
            ..
        } = self;
        entries.clear();
        // An empty vector: the library turns it into one of the other type in place.
        let entries = entries
            .into_iter()
            .map(|_| unreachable!("it was cleared"))
            .collect();
        Select {
            entries,
            next_index: 0,
            biased,
        }
    }

    fn assert_any(&self) {
        assert!(
            !self.entries.is_empty(),
            "no operations have been added to `Select`"
        );
    }
}

impl Default for Select<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Select<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Select { .. }")
    }
}
