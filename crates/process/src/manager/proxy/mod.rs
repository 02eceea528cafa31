//! Proxies: what clients have of a manager's objects.

mod batch;
mod data;
mod dict;
mod list;
mod locks;
mod object;
mod places;
mod queue;

pub use batch::Batch;
pub use data::ValueProxy;
pub use dict::{DictProxy, NamespaceProxy};
pub use list::{ArrayProxy, ListProxy};
pub use locks::{ConditionGuard, ConditionProxy, LockGuard, LockProxy, RLockGuard, RLockProxy};
pub use object::ObjectProxy;
pub use places::{BarrierProxy, EventProxy, Permit, SemaphoreProxy};
pub use queue::QueueProxy;

/// A proxy: a handle of an object of one kind.
macro_rules! proxy {
    ($(#[$doc:meta])* $name:ident: $($kind:ident)|+) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq)]
        pub struct $name(pub(in $crate::manager) $crate::manager::client::Handle);

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({:?})", stringify!($name), self.0)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(
                &self,
                to: S,
            ) -> std::result::Result<S::Ok, S::Error> {
                self.0.serialize(to)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(
                from: D,
            ) -> std::result::Result<$name, D::Error> {
                let kinds = &[$($crate::manager::wire::Kind::$kind),+];
                $crate::manager::client::Handle::arrive(from, kinds).map($name)
            }
        }
    };
}
use proxy;

/// The deadline `timeout` from now; the farthest there is for one that is too long.
fn after(timeout: std::time::Duration) -> std::time::Instant {
    let now = std::time::Instant::now();
    let far = std::time::Duration::from_secs(60 * 60 * 24 * 365);
    now.checked_add(timeout).unwrap_or(now + far)
}
