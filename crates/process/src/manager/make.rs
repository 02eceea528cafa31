//! Making objects, and finding them by name.

use std::sync::Arc;

use serde::Serialize;

use super::client::{Handle, Link};
use super::wire::{Answer, Call, Packed, Spec};
use super::{
    ArrayProxy, BarrierProxy, ConditionProxy, DictProxy, EventProxy, ListProxy, LockProxy, Manager,
    NamespaceProxy, ObjectProxy, QueueProxy, RLockProxy, Result, SemaphoreProxy, Served,
    ValueProxy,
};

/// Makes objects of a name, or finds those there are; from [`Manager::named`].
#[derive(Debug)]
pub struct Named<'m> {
    manager: &'m Manager,
    name: String,
}

fn make(link: &Arc<Link>, name: Option<&str>, spec: Spec<Packed>) -> Result<Handle> {
    let name = name.map(str::to_owned);
    let answer = link.call(&Call::Make { name, spec }, None)?;
    match answer.expect("only a deadline ends a call without an answer") {
        Answer::Object { object, kind } => Ok(Handle::made(link, object, kind)),
        other => Err(other.unexpected()),
    }
}

fn pack<T: Serialize>(values: impl IntoIterator<Item = T>) -> Result<Vec<Packed>> {
    values.into_iter().map(|value| Packed::of(&value)).collect()
}

impl Manager {
    /// Makes objects under a name, by which others find them: each of [`Named`]'s methods gives
    /// the object of that name, which it makes if there is none.
    pub fn named(&self, name: impl Into<String>) -> Named<'_> {
        Named {
            manager: self,
            name: name.into(),
        }
    }
}

/// The same methods for objects with and without a name.
macro_rules! makers {
    ($($(#[$doc:meta])* fn $method:ident $([$($generics:tt)*])? (
        $($arg:ident: $type:ty),*
    ) -> $proxy:ident { $spec:expr })*) => {
        impl Manager {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                ///
                /// As [all calls](crate::manager#errors-of-all-calls).
                pub fn $method $(<$($generics)*>)? (&self, $($arg: $type),*) -> Result<$proxy> {
                    make(&self.link, None, $spec).map($proxy)
                }
            )*
        }

        impl Named<'_> {
            $(
                $(#[$doc])*
                ///
                /// If there is one of the name already, it is given as it is.
                ///
                /// # Errors
                ///
                /// [`WrongKind`](super::Refusal::WrongKind) if the name is another kind of
                /// object's; else as all calls.
                pub fn $method $(<$($generics)*>)? (&self, $($arg: $type),*) -> Result<$proxy> {
                    make(&self.manager.link, Some(&self.name), $spec).map($proxy)
                }
            )*
        }
    };
}

makers! {
    /// Makes an empty dict.
    fn dict() -> DictProxy { Spec::Dict }

    /// Makes a namespace without names.
    fn namespace() -> NamespaceProxy { Spec::Namespace }

    /// Makes an empty list.
    fn list() -> ListProxy { Spec::List(Vec::new()) }

    /// Makes an array of these values; their number stays.
    fn array[T: Serialize](values: impl IntoIterator<Item = T>) -> ArrayProxy {
        Spec::Array(pack(values)?)
    }

    /// Makes a single value.
    fn value(value: impl Serialize) -> ValueProxy {
        Spec::Cell(Packed::of(&value)?)
    }

    /// Makes a queue that always has room.
    fn queue() -> QueueProxy { Spec::Queue { capacity: None } }

    /// Makes a queue with room for so many items; 0 is refused.
    fn bounded_queue(capacity: usize) -> QueueProxy {
        Spec::Queue { capacity: Some(capacity as u64) }
    }

    /// Makes a lock that nobody holds.
    fn lock() -> LockProxy { Spec::Lock }

    /// Makes a re-entrant lock that nobody holds.
    fn rlock() -> RLockProxy { Spec::RLock }

    /// Makes a semaphore with so many permits.
    fn semaphore(permits: u32) -> SemaphoreProxy {
        Spec::Semaphore { permits: u64::from(permits), bounded: false }
    }

    /// Makes a semaphore that never has more permits than at first.
    fn bounded_semaphore(permits: u32) -> SemaphoreProxy {
        Spec::Semaphore { permits: u64::from(permits), bounded: true }
    }

    /// Makes a condition, with a lock of its own.
    fn condition() -> ConditionProxy { Spec::Condition }

    /// Makes an event that is not set.
    fn event() -> EventProxy { Spec::Event }

    /// Makes a barrier for so many; 0 is refused.
    fn barrier(parties: u32) -> BarrierProxy {
        Spec::Barrier { parties: u64::from(parties) }
    }

    /// Makes an object of a type that the server knows: see [`Served`].
    fn object[T: Served](args: T::Args) -> ObjectProxy {
        Spec::Served { name: T::NAME.to_owned(), args: Packed::of(&args)? }
    }

    /// Makes an object of a type that the server knows, but this program need not.
    fn object_of(type_name: &str, args: impl Serialize) -> ObjectProxy {
        Spec::Served { name: type_name.to_owned(), args: Packed::of(&args)? }
    }
}
