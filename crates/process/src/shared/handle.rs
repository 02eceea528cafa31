//! How handles of shared objects travel to other processes.
//!
//! A handle is its descriptor, of which a message carries the number; see `pass`. The process
//! that receives it checks that the memory is of the right kind and element type.

use std::os::fd::AsFd;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Error as _, Serialize, Serializer};

use super::array::Array;
use super::mapping::{Kind, Mapping, shape_of};
use super::plain::Plain;
use super::raw::{RawArray, RawValue};
use super::semaphore::Semaphore;
use super::value::Value;
use super::{Barrier, BoundedSemaphore, Condition, Event, Lock, RLock};
use crate::pass;

/// Attaches an object's descriptor to the message.
pub(crate) fn send<S: Serializer>(mapping: &Mapping, serializer: S) -> Result<S::Ok, S::Error> {
    let file = mapping.descriptor().map_err(S::Error::custom)?;
    let number = pass::attach(file.as_fd()).map_err(S::Error::custom)?;
    number.serialize(serializer)
}

/// Maps the object whose descriptor came with the message.
pub(crate) fn receive<'de, D: Deserializer<'de>>(
    kind: &'static Kind,
    shape: u64,
    deserializer: D,
) -> Result<Arc<Mapping>, D::Error> {
    let number = u32::deserialize(deserializer)?;
    let file = pass::detach(number).map_err(D::Error::custom)?;
    Mapping::attach(kind, shape, file).map_err(D::Error::custom)
}

macro_rules! travel {
    ($($object:ident, $kind:path;)*) => {$(
        /// Works only where descriptors travel along: see the module.
        impl Serialize for $object {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                send(&self.mapping, serializer)
            }
        }

        impl<'de> Deserialize<'de> for $object {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$object, D::Error> {
                let mapping = receive(&$kind, 0, deserializer)?;
                Ok($object { mapping })
            }
        }
    )*};
}

travel! {
    Lock, super::lock::KIND;
    RLock, super::rlock::KIND;
    Semaphore, super::semaphore::KIND;
    Event, super::event::KIND;
    Condition, super::condition::KIND;
    Barrier, super::barrier::KIND;
}

/// Works only where descriptors travel along: see the module.
impl Serialize for BoundedSemaphore {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        send(&self.inner.mapping, serializer)
    }
}

impl<'de> Deserialize<'de> for BoundedSemaphore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<BoundedSemaphore, D::Error> {
        let mapping = receive(&super::semaphore::BOUNDED, 0, deserializer)?;
        let inner = Semaphore { mapping };
        Ok(BoundedSemaphore { inner })
    }
}

macro_rules! travel_plain {
    ($($object:ident, $kind:path, |$this:ident| $mapping:expr, |$made:ident| $make:expr;)*) => {$(
        /// Works only where descriptors travel along: see the module.
        impl<T: Plain> Serialize for $object<T> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let $this = self;
                send($mapping, serializer)
            }
        }

        impl<'de, T: Plain> Deserialize<'de> for $object<T> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$object<T>, D::Error> {
                let $made = receive(&$kind, shape_of::<T>(), deserializer)?;
                $make.map_err(D::Error::custom)
            }
        }
    )*};
}

travel_plain! {
    Array, super::array::KIND, |this| &this.mapping, |made| Array::of(made);
    Value, super::value::KIND, |this| &this.0.mapping, |made| Array::of(made).map(Value);
    RawArray, super::raw::ARRAY, |this| &this.mapping, |made| RawArray::of(made);
    RawValue, super::raw::VALUE, |this| &this.0.mapping, |made| RawArray::of(made).map(RawValue);
}
