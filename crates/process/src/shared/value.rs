//! One value of plain data that several processes read and write.
//!
//! It is an array of one element, and what `array` says holds for it: it is never torn, neither
//! by readers and writers at the same time nor by a writer that is killed.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use ropewalk_rt::cancel::WaitError;

use super::array::Array;
use super::mapping::Kind;
use super::plain::Plain;

pub(super) static KIND: Kind = Kind {
    number: 1,
    name: "value",
    bury: |_, _| {},
};

/// A value of plain data in memory that several processes share; Python's
/// `multiprocessing.Value`, with its lock inside.
///
/// It is copied in and out: there is no reference to it, as another process may write it at any
/// time. [`update`](Self::update) is how to change it depending on what it is. Reading does not
/// wait for a slow writer's closure. A process that is killed while it writes leaves the value
/// as it was or as it should have become, and nobody waiting.
///
/// It goes over the caller's stack: for kilobytes and more take an [`Array`](super::Array).
///
/// Give a clone to another process as an argument; the clones are all the same value. None of
/// its operations is a cancellation point but those with a time limit.
///
/// # Examples
///
/// ```
/// use ropewalk_process::shared::Value;
///
/// let count = Value::new(0_u64).unwrap();
/// let same = count.clone();
/// same.update(|count| *count += 5);
/// assert_eq!(count.get(), 5);
/// assert_eq!(count.replace(1), 5);
/// ```
pub struct Value<T>(pub(super) Array<T>);

impl<T: Plain> Value<T> {
    /// Makes a value.
    ///
    /// # Errors
    ///
    /// If the system gives no memory or descriptor for it.
    pub fn new(value: T) -> io::Result<Value<T>> {
        Ok(Value(Array::create(&KIND, 1, &[value])?))
    }

    /// Reads it.
    pub fn get(&self) -> T {
        self.0.get(0)
    }

    /// Writes it.
    pub fn set(&self, value: T) {
        self.0.set(0, value);
    }

    /// Writes it and gives what it was.
    pub fn replace(&self, value: T) -> T {
        self.update(|old| std::mem::replace(old, value))
    }

    /// Changes it: nobody else writes between `f`'s reading and writing.
    ///
    /// `f` must not change this value in another way: that would wait for itself. If `f`
    /// panics nothing is changed.
    ///
    /// # Panics
    ///
    /// With `f`'s panic.
    pub fn update<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        self.0.update(0, f)
    }

    /// As [`update`](Self::update), if nobody else writes just now.
    ///
    /// # Errors
    ///
    /// `f`, if somebody else writes.
    ///
    /// # Panics
    ///
    /// With `f`'s panic.
    pub fn try_update<R, F: FnOnce(&mut T) -> R>(&self, f: F) -> Result<R, F> {
        match self.0.mapping.try_enter() {
            Some(section) => Ok(self.0.update_one(section, 0, f)),
            None => Err(f),
        }
    }

    /// As [`update`](Self::update), waiting for `timeout` at most.
    ///
    /// # Errors
    ///
    /// If the time is over, or the caller is cancelled, before `f` is called.
    ///
    /// # Panics
    ///
    /// With `f`'s panic.
    pub fn update_timeout<R>(
        &self,
        timeout: Duration,
        f: impl FnOnce(&mut T) -> R,
    ) -> Result<R, WaitError> {
        self.0
            .update_range_timeout(.., timeout, |value| f(&mut value[0]))
    }

    /// As [`update`](Self::update), waiting until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`update_timeout`](Self::update_timeout).
    ///
    /// # Panics
    ///
    /// With `f`'s panic.
    pub fn update_deadline<R>(
        &self,
        deadline: Instant,
        f: impl FnOnce(&mut T) -> R,
    ) -> Result<R, WaitError> {
        self.0
            .update_range_deadline(.., deadline, |value| f(&mut value[0]))
    }
}

impl<T> Clone for Value<T> {
    fn clone(&self) -> Value<T> {
        Value(self.0.clone())
    }
}

impl<T: Plain + fmt::Debug> fmt::Debug for Value<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Value").field(&self.get()).finish()
    }
}
