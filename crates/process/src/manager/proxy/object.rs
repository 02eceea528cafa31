//! Objects of the user's types.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::super::Result;
use super::super::wire::{Call, Packed};
use super::{after, proxy};

proxy! {
    /// An object of a type of the user's: see [`Served`](crate::manager::Served).
    ObjectProxy: Served
}

impl ObjectProxy {
    /// Calls a method. Several arguments are a tuple, none is `()`.
    ///
    /// # Errors
    ///
    /// [`NoSuchMethod`](crate::manager::Refusal::NoSuchMethod);
    /// [`Unsuitable`](crate::manager::Refusal::Unsuitable) if the arguments are of other types
    /// than the method's; [`Failed`](crate::manager::Refusal::Failed) or
    /// [`Panicked`](crate::manager::Refusal::Panicked) if it did; else as all calls.
    ///
    /// # Cancellation
    ///
    /// The caller waits no longer, and the method's own waits are cancelled.
    pub fn call<R: DeserializeOwned>(&self, method: &str, args: impl Serialize) -> Result<R> {
        self.0.call(&self.method(method, args)?)?.some()
    }

    /// As [`call`](Self::call), waiting for `timeout` at most; then as if it was cancelled.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    pub fn call_timeout<R: DeserializeOwned>(
        &self,
        method: &str,
        args: impl Serialize,
        timeout: Duration,
    ) -> Result<Option<R>> {
        let call = self.method(method, args)?;
        let answer = self.0.link()?.call(&call, Some(after(timeout)))?;
        answer.map(|answer| answer.some()).transpose()
    }

    fn method(&self, name: &str, args: impl Serialize) -> Result<Call<Packed>> {
        Ok(Call::Method {
            object: self.0.object(),
            method: name.to_owned(),
            args: Packed::of(&args)?,
        })
    }
}
