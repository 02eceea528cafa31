//! Values by index: lists, and arrays whose length doesn't change.

use std::ops::Range;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::wire::{Answer, DataOp, Packed};
use super::super::{Result, Update};
use super::data::some_there;
use super::proxy;

proxy! {
    /// Values by index, of any types; from [`Manager::list`](crate::manager::Manager::list).
    ///
    /// # Examples
    ///
    /// ```
    /// # use ropewalk_process::manager::{Manager, Value};
    /// # let server = Manager::builder().serve()?;
    /// # let manager = server.manager()?;
    /// let list = manager.list()?;
    /// list.push(3)?;
    /// list.push("two")?;
    /// assert_eq!(list.to_vec::<Value>()?, [Value::from(3), Value::from("two")]);
    /// # Ok::<(), ropewalk_process::manager::Error>(())
    /// ```
    ListProxy: List
}

proxy! {
    /// Values by index; their number stays. From
    /// [`Manager::array`](crate::manager::Manager::array).
    ArrayProxy: Array
}

/// What lists and arrays have in common.
macro_rules! by_index {
    ($proxy:ident) => {
        impl $proxy {
            /// The value at an index, if there is one.
            ///
            /// # Errors
            ///
            /// [`WrongType`](crate::manager::Error::WrongType) if it isn't a `T`; else as all
            /// calls.
            pub fn get<T: DeserializeOwned>(&self, index: usize) -> Result<Option<T>> {
                self.0.data(DataOp::At(index as u64))?.value()
            }

            /// Replaces the value at an index.
            ///
            /// # Errors
            ///
            /// [`OutOfRange`](crate::manager::Refusal::OutOfRange); else as all calls.
            pub fn set(&self, index: usize, value: impl Serialize) -> Result<()> {
                let op = DataOp::Set(index as u64, Packed::of(&value)?);
                self.0.data(op)?.done()
            }

            /// Changes the value at an index in one step; gives what it is then.
            ///
            /// # Errors
            ///
            /// [`OutOfRange`](crate::manager::Refusal::OutOfRange); another refusal if the value
            /// can't be changed so; else as all calls.
            pub fn update<T: DeserializeOwned>(&self, index: usize, update: Update) -> Result<T> {
                self.0.data(DataOp::UpdateAt(index as u64, update))?.some()
            }

            /// Replaces the value at an index if it is `expected`; else gives what it is.
            ///
            /// # Errors
            ///
            /// [`OutOfRange`](crate::manager::Refusal::OutOfRange); else as all calls.
            pub fn compare_exchange<T: Serialize + DeserializeOwned>(
                &self,
                index: usize,
                expected: &T,
                new: &T,
            ) -> Result<std::result::Result<(), T>> {
                let op = DataOp::ExchangeAt {
                    index: index as u64,
                    expected: Packed::of(expected)?,
                    new: Packed::of(&new)?,
                };
                some_there(self.0.data(op)?.exchanged()?)
            }

            /// The values in a range, as far as there are any, as they are at one moment.
            ///
            /// # Errors
            ///
            /// As [`get`](Self::get).
            pub fn slice<T: DeserializeOwned>(&self, range: Range<usize>) -> Result<Vec<T>> {
                let op = DataOp::Slice(range.start as u64, range.end as u64);
                self.0.data(op)?.values()
            }

            /// All values, as they are at one moment.
            ///
            /// # Errors
            ///
            /// As [`get`](Self::get).
            pub fn to_vec<T: DeserializeOwned>(&self) -> Result<Vec<T>> {
                self.slice(0..usize::MAX)
            }

            /// How many there are.
            ///
            /// # Errors
            ///
            /// As all calls.
            pub fn len(&self) -> Result<usize> {
                self.0.data(DataOp::Len)?.count()
            }

            /// Says whether there are none.
            ///
            /// # Errors
            ///
            /// As all calls.
            pub fn is_empty(&self) -> Result<bool> {
                Ok(self.len()? == 0)
            }

            /// The first index of a value, if it is there.
            ///
            /// # Errors
            ///
            /// As all calls.
            pub fn position(&self, value: impl Serialize) -> Result<Option<usize>> {
                match self.0.data(DataOp::Position(Packed::of(&value)?))? {
                    Answer::Done => Ok(None),
                    other => other.count().map(Some),
                }
            }

            /// Sorts the values, by the order of [`Value`](crate::manager::Value).
            ///
            /// # Errors
            ///
            /// As all calls.
            pub fn sort(&self) -> Result<()> {
                self.0.data(DataOp::Sort)?.done()
            }

            /// Turns the order round.
            ///
            /// # Errors
            ///
            /// As all calls.
            pub fn reverse(&self) -> Result<()> {
                self.0.data(DataOp::Reverse)?.done()
            }
        }
    };
}

by_index!(ListProxy);
by_index!(ArrayProxy);

impl ListProxy {
    /// Appends a value; gives its index.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn push(&self, value: impl Serialize) -> Result<usize> {
        self.0.data(DataOp::Push(Packed::of(&value)?))?.count()
    }

    /// Takes the last one out.
    ///
    /// # Errors
    ///
    /// As all calls; a value that is not a `T` is taken out all the same.
    pub fn pop<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        self.0.data(DataOp::Pop)?.value()
    }

    /// Puts a value before the one at an index, or at the end.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`](crate::manager::Refusal::OutOfRange); else as all calls.
    pub fn insert(&self, index: usize, value: impl Serialize) -> Result<()> {
        let op = DataOp::InsertAt(index as u64, Packed::of(&value)?);
        self.0.data(op)?.done()
    }

    /// Takes the value at an index out.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`](crate::manager::Refusal::OutOfRange); else as [`pop`](Self::pop).
    pub fn remove<T: DeserializeOwned>(&self, index: usize) -> Result<T> {
        self.0.data(DataOp::RemoveAt(index as u64))?.some()
    }

    /// Appends several values in one step.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn extend<T: Serialize>(&self, values: impl IntoIterator<Item = T>) -> Result<()> {
        let values = values.into_iter().map(|value| Packed::of(&value));
        self.0
            .data(DataOp::Append(values.collect::<Result<_>>()?))?
            .done()
    }

    /// Takes all out.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn clear(&self) -> Result<()> {
        self.0.data(DataOp::Clear)?.done()
    }
}
