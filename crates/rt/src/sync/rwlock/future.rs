//! Locking in `async` code.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use ropewalk_kernel::wait::AsyncWait;

use super::raw::{Kind, RawRwLock};
use super::{RwLock, RwLockReadGuard, RwLockUpgradableReadGuard, RwLockWriteGuard};

/// Locks an [`RwLock`] for reading; see [`RwLockExt`](super::RwLockExt::read_async).
///
/// It is woken when readers may come in, and then competes for the lock.
#[must_use = "futures do nothing unless polled"]
pub struct RwLockRead<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    waiting: Option<AsyncWait>,
}

/// Locks an [`RwLock`] for writing; see [`RwLockExt`](super::RwLockExt::write_async).
///
/// It is woken in its turn and then competes for the lock. Dropped, it lets the next have its
/// turn.
#[must_use = "futures do nothing unless polled"]
pub struct RwLockWrite<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    waiting: Option<AsyncWait>,
}

/// Locks an [`RwLock`] for reading, as the one who may upgrade; see
/// [`RwLockExt`](super::RwLockExt::upgradable_read_async).
///
/// It is woken when readers may come in, and then competes for the lock.
#[must_use = "futures do nothing unless polled"]
pub struct RwLockUpgradableRead<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    waiting: Option<AsyncWait>,
}

fn raw<T: ?Sized>(lock: &RwLock<T>) -> &RawRwLock {
    // SAFETY: whoever uses it here unlocks nothing.
    unsafe { lock.raw() }
}

impl<'a, T: ?Sized> RwLockRead<'a, T> {
    pub(super) fn new(lock: &'a RwLock<T>) -> RwLockRead<'a, T> {
        RwLockRead {
            lock,
            waiting: None,
        }
    }
}

impl<'a, T: ?Sized> RwLockWrite<'a, T> {
    pub(super) fn new(lock: &'a RwLock<T>) -> RwLockWrite<'a, T> {
        RwLockWrite {
            lock,
            waiting: None,
        }
    }
}

impl<'a, T: ?Sized> RwLockUpgradableRead<'a, T> {
    pub(super) fn new(lock: &'a RwLock<T>) -> RwLockUpgradableRead<'a, T> {
        RwLockUpgradableRead {
            lock,
            waiting: None,
        }
    }
}

impl<'a, T: ?Sized> Future for RwLockRead<'a, T> {
    type Output = RwLockReadGuard<'a, T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<RwLockReadGuard<'a, T>> {
        let this = self.get_mut();
        let lock = this.lock;
        raw(lock)
            .poll_take(Kind::Read, &mut this.waiting, context)
            // SAFETY: taken for this guard.
            .map(|()| unsafe { lock.make_read_guard_unchecked() })
    }
}

impl<'a, T: ?Sized> Future for RwLockWrite<'a, T> {
    type Output = RwLockWriteGuard<'a, T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<RwLockWriteGuard<'a, T>> {
        let this = self.get_mut();
        let lock = this.lock;
        raw(lock)
            .poll_take(Kind::Write, &mut this.waiting, context)
            // SAFETY: taken for this guard.
            .map(|()| unsafe { lock.make_write_guard_unchecked() })
    }
}

impl<'a, T: ?Sized> Future for RwLockUpgradableRead<'a, T> {
    type Output = RwLockUpgradableReadGuard<'a, T>;

    fn poll(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<RwLockUpgradableReadGuard<'a, T>> {
        let this = self.get_mut();
        let lock = this.lock;
        raw(lock)
            .poll_take(Kind::Upgradable, &mut this.waiting, context)
            // SAFETY: taken for this guard.
            .map(|()| unsafe { lock.make_upgradable_guard_unchecked() })
    }
}

impl<T: ?Sized> Drop for RwLockRead<'_, T> {
    fn drop(&mut self) {
        raw(self.lock).give_up(Kind::Read, &mut self.waiting);
    }
}

impl<T: ?Sized> Drop for RwLockWrite<'_, T> {
    fn drop(&mut self) {
        raw(self.lock).give_up(Kind::Write, &mut self.waiting);
    }
}

impl<T: ?Sized> Drop for RwLockUpgradableRead<'_, T> {
    fn drop(&mut self) {
        raw(self.lock).give_up(Kind::Upgradable, &mut self.waiting);
    }
}

impl<T: ?Sized> fmt::Debug for RwLockRead<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLockRead").finish_non_exhaustive()
    }
}

impl<T: ?Sized> fmt::Debug for RwLockWrite<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLockWrite").finish_non_exhaustive()
    }
}

impl<T: ?Sized> fmt::Debug for RwLockUpgradableRead<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLockUpgradableRead")
            .finish_non_exhaustive()
    }
}
