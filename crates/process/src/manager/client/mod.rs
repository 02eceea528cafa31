//! The client: one connection for each manager this process uses, shared by all its proxies.

mod handle;
mod link;
mod links;

pub(super) use handle::{Handle, Lease};
pub(super) use link::Link;
pub(super) use links::link_to;

use super::wire::{Answer, Packed};
use super::{Error, Result};

impl Answer<Packed> {
    /// An answer of another shape than the call has.
    pub(super) fn unexpected(self) -> Error {
        match self {
            Answer::Refused(refusal) => Error::Refused(refusal),
            Answer::ShutDown => Error::ShutDown,
            other => Error::WrongType(format!("the manager answered with {other:?}")),
        }
    }

    pub(super) fn done(self) -> Result<()> {
        match self {
            Answer::Done => Ok(()),
            other => Err(other.unexpected()),
        }
    }

    pub(super) fn yes(self) -> Result<bool> {
        match self {
            Answer::Yes(yes) => Ok(yes),
            other => Err(other.unexpected()),
        }
    }

    pub(super) fn count(self) -> Result<usize> {
        match self {
            Answer::Count(count) => Ok(usize::try_from(count).unwrap_or(usize::MAX)),
            other => Err(other.unexpected()),
        }
    }

    pub(super) fn value<T: serde::de::DeserializeOwned>(self) -> Result<Option<T>> {
        match self {
            Answer::Value(value) => value.map(|packed| packed.get()).transpose(),
            other => Err(other.unexpected()),
        }
    }

    pub(super) fn some<T: serde::de::DeserializeOwned>(self) -> Result<T> {
        match self {
            Answer::Value(Some(value)) => value.get(),
            other => Err(other.unexpected()),
        }
    }

    pub(super) fn values<T: serde::de::DeserializeOwned>(self) -> Result<Vec<T>> {
        match self {
            Answer::Values(values) => values.iter().map(Packed::get).collect(),
            other => Err(other.unexpected()),
        }
    }

    pub(super) fn exchanged<T: serde::de::DeserializeOwned>(
        self,
    ) -> Result<std::result::Result<(), Option<T>>> {
        match self {
            Answer::Exchanged(Ok(())) => Ok(Ok(())),
            Answer::Exchanged(Err(there)) => {
                Ok(Err(there.map(|packed| packed.get()).transpose()?))
            }
            other => Err(other.unexpected()),
        }
    }
}
