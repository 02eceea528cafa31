//! The lock that many may share for reading.
//!
//! `raw` is the lock itself, `api` its face towards `lock_api`, `future` locks in `async` code; the guards are `lock_api`'s.

mod api;
mod future;
mod raw;

pub use future::{RwLockRead, RwLockUpgradableRead, RwLockWrite};
pub use raw::RawRwLock;

use std::time::Duration;

use crate::cancel::Cancelled;

/// A value that many may read at a time, or one may change.
///
/// A reader that comes while a writer waits, waits behind it: reading twice in one task may
/// therefore wait for ever; `read_recursive` doesn't. Readers that wait go together when it is
/// their turn, so neither kind keeps the other out. `upgradable_read` admits readers but no
/// second of its kind, and can become a `write` without letting go. `read()`, `write()` and
/// upgrading are not cancellation points; the timed and
/// [`_cancellable`](RwLockExt::read_cancellable) forms are. Guards are `Send`. Futures are woken
/// when it is their turn and compete with whoever comes; in an endless stream of writers they
/// may have to wait long.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::{coroutine, sync::RwLock};
///
/// static NAMES: RwLock<Vec<&str>> = RwLock::new(Vec::new());
///
/// coroutine::scope(|s| {
///     s.spawn(|| NAMES.write().push("rope"));
///     s.spawn(|| NAMES.write().push("walk"));
/// });
/// assert_eq!(NAMES.read().len(), 2);
/// ```
pub type RwLock<T> = lock_api::RwLock<RawRwLock, T>;

/// A [`RwLock`] locked for reading.
pub type RwLockReadGuard<'a, T> = lock_api::RwLockReadGuard<'a, RawRwLock, T>;

/// A [`RwLock`] locked for writing.
pub type RwLockWriteGuard<'a, T> = lock_api::RwLockWriteGuard<'a, RawRwLock, T>;

/// A [`RwLock`] locked for reading, by the one who may go on to write.
pub type RwLockUpgradableReadGuard<'a, T> = lock_api::RwLockUpgradableReadGuard<'a, RawRwLock, T>;

/// A [`RwLock`] locked for reading, narrowed to a part of its value.
pub type MappedRwLockReadGuard<'a, T> = lock_api::MappedRwLockReadGuard<'a, RawRwLock, T>;

/// A [`RwLock`] locked for writing, narrowed to a part of its value.
pub type MappedRwLockWriteGuard<'a, T> = lock_api::MappedRwLockWriteGuard<'a, RawRwLock, T>;

/// As [`RwLockReadGuard`], keeping the lock alive.
pub type ArcRwLockReadGuard<T> = lock_api::ArcRwLockReadGuard<RawRwLock, T>;

/// As [`RwLockWriteGuard`], keeping the lock alive.
pub type ArcRwLockWriteGuard<T> = lock_api::ArcRwLockWriteGuard<RawRwLock, T>;

/// As [`RwLockUpgradableReadGuard`], keeping the lock alive.
pub type ArcRwLockUpgradableReadGuard<T> = lock_api::ArcRwLockUpgradableReadGuard<RawRwLock, T>;

/// What an [`RwLock`] offers beside `lock_api`'s methods.
pub trait RwLockExt<T: ?Sized> {
    /// Locks for reading, unless the caller is cancelled while it waits.
    ///
    /// # Errors
    ///
    /// If the caller is cancelled while it waits. A lock that is free counts first.
    fn read_cancellable(&self) -> Result<RwLockReadGuard<'_, T>, Cancelled>;

    /// Locks for writing, unless the caller is cancelled while it waits.
    ///
    /// # Errors
    ///
    /// As [`read_cancellable`](Self::read_cancellable).
    fn write_cancellable(&self) -> Result<RwLockWriteGuard<'_, T>, Cancelled>;

    /// Locks for reading, as the one who may upgrade, unless the caller is cancelled while it
    /// waits.
    ///
    /// # Errors
    ///
    /// As [`read_cancellable`](Self::read_cancellable).
    fn upgradable_read_cancellable(&self) -> Result<RwLockUpgradableReadGuard<'_, T>, Cancelled>;

    /// Gives a future that locks for reading. Dropped before it is ready, it has locked
    /// nothing.
    fn read_async(&self) -> RwLockRead<'_, T>;

    /// Gives a future that locks for writing. Dropped before it is ready, it has locked
    /// nothing.
    fn write_async(&self) -> RwLockWrite<'_, T>;

    /// Gives a future that locks for reading, as the one who may upgrade. Dropped before it is
    /// ready, it has locked nothing.
    fn upgradable_read_async(&self) -> RwLockUpgradableRead<'_, T>;
}

impl<T: ?Sized> RwLockExt<T> for RwLock<T> {
    fn read_cancellable(&self) -> Result<RwLockReadGuard<'_, T>, Cancelled> {
        self.try_read_for(Duration::MAX)
            .ok_or_else(Cancelled::current)
    }

    fn write_cancellable(&self) -> Result<RwLockWriteGuard<'_, T>, Cancelled> {
        self.try_write_for(Duration::MAX)
            .ok_or_else(Cancelled::current)
    }

    fn upgradable_read_cancellable(&self) -> Result<RwLockUpgradableReadGuard<'_, T>, Cancelled> {
        self.try_upgradable_read_for(Duration::MAX)
            .ok_or_else(Cancelled::current)
    }

    fn read_async(&self) -> RwLockRead<'_, T> {
        RwLockRead::new(self)
    }

    fn write_async(&self) -> RwLockWrite<'_, T> {
        RwLockWrite::new(self)
    }

    fn upgradable_read_async(&self) -> RwLockUpgradableRead<'_, T> {
        RwLockUpgradableRead::new(self)
    }
}
