//! A fixed number of elements of plain data that several processes read and write.
//!
//! What is written goes through a section (see `section`): it is there as a whole or not at
//! all, also if the writer is killed in the middle. What is read without the lock is checked
//! against the version. So nobody ever sees a torn element, or half a range.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ropewalk_rt::cancel::WaitError;
use zerocopy::IntoBytes;

use super::mapping::{BODY, Kind, Mapping, shape_of};
use super::plain::Plain;
use super::section::{OWN, Range, Section};
use super::sleeping::{Limit, Stop};

pub(super) static KIND: Kind = Kind {
    number: 2,
    name: "array",
    bury: |_, _| {},
};

const LEN: usize = OWN;

/// An array of plain data in memory that several processes share; Python's
/// `multiprocessing.Array`, with its lock inside.
///
/// Its length is fixed. Elements are copied in and out: there is no reference into it, as
/// another process may write it at any time. Every operation is atomic: a range is written, and
/// read, as a whole. Reading does not wait for a slow writer's closure. A process that is killed
/// while it writes leaves the elements as they were or as they should have become, and nobody
/// waiting.
///
/// Give a clone to another process as an argument; the clones are all the same array. None of
/// its operations is a cancellation point but those with a time limit.
///
/// # Examples
///
/// ```
/// use ropewalk_process::shared::Array;
///
/// let scores = Array::<i32>::new(5).unwrap();
/// scores.set(1, 7);
/// scores.write(2, &[1, 2, 3]);
/// scores.update(1, |score| *score *= 6);
/// assert_eq!(scores.to_vec(), [0, 42, 1, 2, 3]);
///
/// scores.update_range(1..3, |part| part.swap(0, 1));
/// assert_eq!(scores.read(..3), [0, 1, 42]);
/// assert_eq!(scores.iter().sum::<i32>(), 48);
/// ```
pub struct Array<T> {
    pub(super) mapping: Arc<Mapping>,
    len: usize,
    elements: PhantomData<fn() -> T>,
}

impl<T: Plain> Array<T> {
    /// Makes an array of `len` elements, all of whose bytes are zero.
    ///
    /// # Errors
    ///
    /// If the system gives no memory or descriptor for it.
    pub fn new(len: usize) -> io::Result<Array<T>> {
        Array::create(&KIND, len, &[])
    }

    /// Makes an array with these elements.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn from_slice(elements: &[T]) -> io::Result<Array<T>> {
        Array::create(&KIND, elements.len(), elements)
    }

    pub(super) fn create(kind: &'static Kind, len: usize, elements: &[T]) -> io::Result<Array<T>> {
        const { assert!(size_of::<T>() != 0, "elements without size can't be shared") };
        const { assert!(align_of::<T>() <= 64, "too large an alignment") };
        // The elements, and as many again for the notes of the largest range.
        let too_large = || io::Error::new(io::ErrorKind::InvalidInput, "too large to be shared");
        let bytes = len.checked_mul(size_of::<T>()).ok_or_else(too_large)?;
        let both = bytes
            .checked_next_multiple_of(8)
            .and_then(|bytes| bytes.checked_mul(2))
            .ok_or_else(too_large)?;
        u32::try_from(len).map_err(|_| too_large())?;
        let mapping = Mapping::create(kind, shape_of::<T>(), both, |region| {
            region.word(LEN).store(len as u32, Ordering::Relaxed);
            region.copy_in(BODY, elements.as_bytes());
        })?;
        Ok(Array {
            mapping,
            len,
            elements: PhantomData,
        })
    }

    /// The array that is mapped here.
    pub(super) fn of(mapping: Arc<Mapping>) -> io::Result<Array<T>> {
        let len = mapping.region.word(LEN).load(Ordering::Relaxed) as usize;
        let fits = len
            .checked_mul(size_of::<T>())
            .and_then(|bytes| bytes.checked_next_multiple_of(8)?.checked_mul(2))
            .is_some_and(|bytes| bytes <= mapping.region.len() - BODY);
        if !fits {
            let why = "not a shared array: its length is not that of its memory";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(Array {
            mapping,
            len,
            elements: PhantomData,
        })
    }

    /// How many elements it has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Says whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Reads an element.
    ///
    /// # Panics
    ///
    /// If there is none of this index.
    pub fn get(&self, index: usize) -> T {
        let mut element = [T::new_zeroed()];
        let offset = self.offset(index, 1);
        self.mapping.read_range(offset, element.as_mut_bytes());
        element[0]
    }

    /// Writes an element.
    ///
    /// # Panics
    ///
    /// If there is none of this index.
    pub fn set(&self, index: usize, element: T) {
        self.write(index, &[element]);
    }

    /// Reads the elements of a range as they are at one moment.
    ///
    /// # Panics
    ///
    /// If not all of the range is inside.
    pub fn read(&self, range: impl RangeBounds<usize>) -> Vec<T> {
        let (start, len) = self.bounds(range);
        let mut elements = vec![T::new_zeroed(); len];
        let offset = self.offset(start, len);
        self.mapping.read_range(offset, elements.as_mut_bytes());
        elements
    }

    /// Reads all elements as they are at one moment.
    pub fn to_vec(&self) -> Vec<T> {
        self.read(..)
    }

    /// Writes elements from index `start` on, all at one moment.
    ///
    /// # Panics
    ///
    /// If there are not as many elements from there on.
    pub fn write(&self, start: usize, elements: &[T]) {
        self.offset(start, elements.len());
        let mut section = self.mapping.enter_now();
        self.put(&mut section, start, elements);
    }

    /// Makes all elements of a range the same, at one moment.
    ///
    /// # Panics
    ///
    /// If not all of the range is inside.
    pub fn fill(&self, range: impl RangeBounds<usize>, element: T) {
        let (start, len) = self.bounds(range);
        self.write(start, &vec![element; len]);
    }

    /// Changes an element: nobody else writes the array between `f`'s reading and writing.
    ///
    /// `f` must not change this array in another way: that would wait for itself. If `f`
    /// panics nothing is changed.
    ///
    /// # Panics
    ///
    /// If there is no element of this index, and with `f`'s panic.
    pub fn update<R>(&self, index: usize, f: impl FnOnce(&mut T) -> R) -> R {
        self.offset(index, 1);
        self.update_one(self.mapping.enter_now(), index, f)
    }

    /// Changes a range of elements: nobody else writes the array meanwhile, and the changes are
    /// seen all at one moment. As for the rest see [`update`](Self::update).
    ///
    /// # Panics
    ///
    /// If not all of the range is inside, and with `f`'s panic.
    pub fn update_range<R>(
        &self,
        range: impl RangeBounds<usize>,
        f: impl FnOnce(&mut [T]) -> R,
    ) -> R {
        let (start, len) = self.bounds(range);
        self.update_in(self.mapping.enter_now(), start, len, f)
    }

    /// As [`update_range`](Self::update_range), if nobody else writes just now; else gives `f`
    /// back.
    ///
    /// # Errors
    ///
    /// `f`, if somebody else writes.
    ///
    /// # Panics
    ///
    /// As [`update_range`](Self::update_range).
    pub fn try_update_range<R, F>(&self, range: impl RangeBounds<usize>, f: F) -> Result<R, F>
    where
        F: FnOnce(&mut [T]) -> R,
    {
        let (start, len) = self.bounds(range);
        match self.mapping.try_enter() {
            Some(section) => Ok(self.update_in(section, start, len, f)),
            None => Err(f),
        }
    }

    /// As [`update_range`](Self::update_range), waiting for `timeout` at most.
    ///
    /// # Errors
    ///
    /// If the time is over, or the caller is cancelled, before `f` is called.
    ///
    /// # Panics
    ///
    /// As [`update_range`](Self::update_range).
    pub fn update_range_timeout<R>(
        &self,
        range: impl RangeBounds<usize>,
        timeout: Duration,
        f: impl FnOnce(&mut [T]) -> R,
    ) -> Result<R, WaitError> {
        self.update_range_within(range, Limit::within(timeout), f)
    }

    /// As [`update_range`](Self::update_range), waiting until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`update_range_timeout`](Self::update_range_timeout).
    ///
    /// # Panics
    ///
    /// As [`update_range`](Self::update_range).
    pub fn update_range_deadline<R>(
        &self,
        range: impl RangeBounds<usize>,
        deadline: Instant,
        f: impl FnOnce(&mut [T]) -> R,
    ) -> Result<R, WaitError> {
        self.update_range_within(range, Limit::until(deadline), f)
    }

    fn update_range_within<R>(
        &self,
        range: impl RangeBounds<usize>,
        limit: Limit,
        f: impl FnOnce(&mut [T]) -> R,
    ) -> Result<R, WaitError> {
        let (start, len) = self.bounds(range);
        let section = self
            .mapping
            .enter(limit)
            .map_err(<Stop as Into<WaitError>>::into)?;
        Ok(self.update_in(section, start, len, f))
    }

    /// Gives the elements one after the other, each as it is when its turn comes.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = T> + ExactSizeIterator {
        (0..self.len).map(|index| self.get(index))
    }

    fn update_in<R>(
        &self,
        section: Section<'_>,
        start: usize,
        len: usize,
        f: impl FnOnce(&mut [T]) -> R,
    ) -> R {
        self.update_copy(section, start, &mut vec![T::new_zeroed(); len], f)
    }

    pub(super) fn update_one<R>(
        &self,
        section: Section<'_>,
        index: usize,
        f: impl FnOnce(&mut T) -> R,
    ) -> R {
        let mut element = [T::new_zeroed()];
        self.update_copy(section, index, &mut element, |element| f(&mut element[0]))
    }

    /// Has `f` change a copy of the elements from `start` on, and writes it back.
    fn update_copy<R>(
        &self,
        mut section: Section<'_>,
        start: usize,
        elements: &mut [T],
        f: impl FnOnce(&mut [T]) -> R,
    ) -> R {
        let offset = self.offset(start, elements.len());
        // Nobody else writes.
        self.mapping
            .region
            .copy_out(offset, elements.as_mut_bytes());
        let result = f(elements);
        self.put(&mut section, start, elements);
        result
    }

    fn put(&self, section: &mut Section<'_>, start: usize, elements: &[T]) {
        section.commit_range(Range {
            offset: self.offset(start, elements.len()),
            bytes: elements.as_bytes(),
            notes: BODY + (self.len * size_of::<T>()).next_multiple_of(8),
        });
    }

    /// Where the elements from `start` on stand, of which there must be `len`.
    fn offset(&self, start: usize, len: usize) -> usize {
        let inside = self.len.checked_sub(start).is_some_and(|left| len <= left);
        assert!(
            inside,
            "{len} elements from index {start} on are outside an array of {}",
            self.len
        );
        BODY + start * size_of::<T>()
    }

    /// The start and length of a range.
    fn bounds(&self, range: impl RangeBounds<usize>) -> (usize, usize) {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(last) => last.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => self.len,
        };
        assert!(
            start <= end && end <= self.len,
            "the range {start}..{end} is outside an array of {}",
            self.len
        );
        (start, end - start)
    }
}

impl<T> Clone for Array<T> {
    fn clone(&self) -> Array<T> {
        Array {
            mapping: Arc::clone(&self.mapping),
            len: self.len,
            elements: PhantomData,
        }
    }
}

impl<T: Plain + fmt::Debug> fmt::Debug for Array<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
