//! A single value.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::wire::{DataOp, Packed};
use super::super::{Result, Update};
use super::proxy;

proxy! {
    /// One value, of any type; from [`Manager::value`](crate::manager::Manager::value).
    ///
    /// # Examples
    ///
    /// ```
    /// # use ropewalk_process::manager::{Manager, Update};
    /// # let server = Manager::builder().serve()?;
    /// # let manager = server.manager()?;
    /// let best = manager.value(10)?;
    /// best.update::<i64>(Update::max(12))?;
    /// assert_eq!(best.compare_exchange(&10, &0)?, Err(12));
    /// assert_eq!(best.get::<i64>()?, 12);
    /// # Ok::<(), ropewalk_process::manager::Error>(())
    /// ```
    ValueProxy: Cell
}

impl ValueProxy {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// [`WrongType`](crate::manager::Error::WrongType) if it isn't a `T`; else as all calls.
    pub fn get<T: DeserializeOwned>(&self) -> Result<T> {
        self.0.data(DataOp::Load)?.some()
    }

    /// Replaces it.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn set(&self, value: impl Serialize) -> Result<()> {
        self.0.data(DataOp::Store(Packed::of(&value)?)).map(drop)
    }

    /// Replaces it, and gives what it was.
    ///
    /// # Errors
    ///
    /// As all calls; if the old value is not a `T`, it is replaced all the same.
    pub fn swap<T: Serialize + DeserializeOwned>(&self, value: T) -> Result<T> {
        self.0.data(DataOp::Store(Packed::of(&value)?))?.some()
    }

    /// Changes it in one step; gives what it is then.
    ///
    /// # Errors
    ///
    /// A [`Refusal`](crate::manager::Refusal) if it isn't of a type that can be changed so; else
    /// as all calls.
    pub fn update<T: DeserializeOwned>(&self, update: Update) -> Result<T> {
        self.0.data(DataOp::UpdateIt(update))?.some()
    }

    /// Replaces it if it is `expected`; else gives what it is.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn compare_exchange<T: Serialize + DeserializeOwned>(
        &self,
        expected: &T,
        new: &T,
    ) -> Result<std::result::Result<(), T>> {
        let op = DataOp::ExchangeIt {
            expected: Packed::of(expected)?,
            new: Packed::of(&new)?,
        };
        some_there(self.0.data(op)?.exchanged()?)
    }
}

/// An exchange where there always is a value.
pub(super) fn some_there<T>(
    exchanged: std::result::Result<(), Option<T>>,
) -> Result<std::result::Result<(), T>> {
    match exchanged {
        Ok(()) => Ok(Ok(())),
        Err(Some(there)) => Ok(Err(there)),
        Err(None) => Err(super::super::Refusal::NoSuchKey.into()),
    }
}
