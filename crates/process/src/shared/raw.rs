//! Values and arrays without a lock; Python's `RawValue` and `RawArray`.
//!
//! Nothing but the elements is in memory that anybody writes to, so there is no state that a
//! killed process could leave half done, and nothing to argue about but the size of a store.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use zerocopy::IntoBytes;

use super::mapping::{BODY, Kind, Mapping, shape_of};
use super::plain::Plain;
use super::section::{OWN, copy_out, store};

pub(super) static VALUE: Kind = Kind {
    number: 3,
    name: "raw value",
    bury: |_, _| {},
};

pub(super) static ARRAY: Kind = Kind {
    number: 4,
    name: "raw array",
    bury: |_, _| {},
};

const LEN: usize = OWN;

/// An array of plain data in shared memory, without a lock.
///
/// Elements of 1, 2, 4 and 8 bytes (with an alignment of as much) are read and written at once,
/// without ordering towards anything else. Larger ones may be seen half written when several
/// processes access them at the same time: use them where only one writes at a time, or use an
/// [`Array`](super::Array).
///
/// # Examples
///
/// ```
/// use ropewalk_process::shared::RawArray;
///
/// let pixels = RawArray::<u8>::new(1 << 20).unwrap();
/// pixels.write(100, &[1, 2, 3]);
/// assert_eq!(pixels.get(101), 2);
/// ```
pub struct RawArray<T> {
    pub(super) mapping: Arc<Mapping>,
    len: usize,
    elements: PhantomData<fn() -> T>,
}

/// A value of plain data in shared memory, without a lock; see [`RawArray`] on what that means.
///
/// # Examples
///
/// ```
/// use ropewalk_process::shared::RawValue;
///
/// let progress = RawValue::new(0_u64).unwrap();
/// progress.set(3);
/// assert_eq!(progress.get(), 3);
/// ```
pub struct RawValue<T>(pub(super) RawArray<T>);

impl<T: Plain> RawArray<T> {
    /// Makes an array of `len` elements, all of whose bytes are zero.
    ///
    /// # Errors
    ///
    /// If the system gives no memory or descriptor for it.
    pub fn new(len: usize) -> io::Result<RawArray<T>> {
        RawArray::create(&ARRAY, len, &[])
    }

    /// Makes an array with these elements.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn from_slice(elements: &[T]) -> io::Result<RawArray<T>> {
        RawArray::create(&ARRAY, elements.len(), elements)
    }

    fn create(kind: &'static Kind, len: usize, elements: &[T]) -> io::Result<RawArray<T>> {
        const { assert!(size_of::<T>() != 0, "elements without size can't be shared") };
        const { assert!(align_of::<T>() <= 64, "too large an alignment") };
        let too_large = || io::Error::new(io::ErrorKind::InvalidInput, "too large to be shared");
        let bytes = len.checked_mul(size_of::<T>()).ok_or_else(too_large)?;
        let mapping = Mapping::create(kind, shape_of::<T>(), bytes, |region| {
            region.long(LEN).store(len as u64, Ordering::Relaxed);
            region.copy_in(BODY, elements.as_bytes());
        })?;
        Ok(RawArray {
            mapping,
            len,
            elements: PhantomData,
        })
    }

    /// The array that is mapped here.
    pub(super) fn of(mapping: Arc<Mapping>) -> io::Result<RawArray<T>> {
        let len = mapping.region.long(LEN).load(Ordering::Relaxed) as usize;
        let bytes = len.checked_mul(size_of::<T>());
        if bytes.is_none_or(|bytes| bytes > mapping.region.len() - BODY) {
            let why = "not a shared array: its length is not that of its memory";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(RawArray {
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
        self.read(index, &mut element);
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

    /// Reads elements from index `start` on, one after the other.
    ///
    /// # Panics
    ///
    /// If there are not as many elements from there on.
    pub fn read(&self, start: usize, elements: &mut [T]) {
        let offset = self.offset(start, elements.len());
        if self.at_once() {
            for (index, element) in elements.iter_mut().enumerate() {
                let at = offset + index * size_of::<T>();
                copy_out(&self.mapping.region, at, element.as_mut_bytes());
            }
        } else {
            let bytes = elements.as_mut_bytes();
            self.mapping.region.copy_out(offset, bytes);
        }
    }

    /// Writes elements from index `start` on, one after the other.
    ///
    /// # Panics
    ///
    /// If there are not as many elements from there on.
    pub fn write(&self, start: usize, elements: &[T]) {
        let offset = self.offset(start, elements.len());
        if self.at_once() {
            for (index, element) in elements.iter().enumerate() {
                let at = offset + index * size_of::<T>();
                store(&self.mapping.region, at, element.as_bytes());
            }
        } else {
            self.mapping.region.copy_in(offset, elements.as_bytes());
        }
    }

    /// Reads all elements.
    pub fn to_vec(&self) -> Vec<T> {
        let mut elements = vec![T::new_zeroed(); self.len];
        self.read(0, &mut elements);
        elements
    }

    /// Gives the elements one after the other, each as it is when its turn comes.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = T> + ExactSizeIterator {
        (0..self.len).map(|index| self.get(index))
    }

    /// Whether elements must be accessed one by one to be accessed at once.
    fn at_once(&self) -> bool {
        matches!(size_of::<T>(), 2 | 4) && align_of::<T>() == size_of::<T>()
    }

    fn offset(&self, start: usize, len: usize) -> usize {
        let inside = self.len.checked_sub(start).is_some_and(|left| len <= left);
        assert!(
            inside,
            "{len} elements from index {start} on are outside an array of {}",
            self.len
        );
        BODY + start * size_of::<T>()
    }
}

impl<T: Plain> RawValue<T> {
    /// Makes a value.
    ///
    /// # Errors
    ///
    /// If the system gives no memory or descriptor for it.
    pub fn new(value: T) -> io::Result<RawValue<T>> {
        Ok(RawValue(RawArray::create(&VALUE, 1, &[value])?))
    }

    /// Reads it.
    pub fn get(&self) -> T {
        self.0.get(0)
    }

    /// Writes it.
    pub fn set(&self, value: T) {
        self.0.set(0, value);
    }
}

impl<T> Clone for RawArray<T> {
    fn clone(&self) -> RawArray<T> {
        RawArray {
            mapping: Arc::clone(&self.mapping),
            len: self.len,
            elements: PhantomData,
        }
    }
}

impl<T> Clone for RawValue<T> {
    fn clone(&self) -> RawValue<T> {
        RawValue(self.0.clone())
    }
}

impl<T: Plain + fmt::Debug> fmt::Debug for RawArray<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T: Plain + fmt::Debug> fmt::Debug for RawValue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RawValue").field(&self.get()).finish()
    }
}
