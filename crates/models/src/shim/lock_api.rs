//! What is used of `lock_api`, with a function for the constant.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "whole and public, as what it stands for"
)]

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use loom::cell::UnsafeCell;

pub struct GuardSend;

/// # Safety
///
/// As `lock_api`'s.
pub unsafe trait RawMutex {
    type GuardMarker;

    fn init() -> Self;
    fn lock(&self);
    fn try_lock(&self) -> bool;

    /// # Safety
    ///
    /// The caller holds the lock.
    unsafe fn unlock(&self);
    fn is_locked(&self) -> bool;
}

/// # Safety
///
/// As `lock_api`'s.
pub unsafe trait RawMutexFair: RawMutex {
    /// # Safety
    ///
    /// The caller holds the lock.
    unsafe fn unlock_fair(&self);

    /// # Safety
    ///
    /// The caller holds the lock.
    unsafe fn bump(&self);
}

/// # Safety
///
/// As `lock_api`'s.
pub unsafe trait RawMutexTimed: RawMutex {
    type Duration;
    type Instant;

    fn try_lock_for(&self, timeout: Self::Duration) -> bool;
    fn try_lock_until(&self, deadline: Self::Instant) -> bool;
}

/// Checks that what it guards has one user at a time.
pub struct Mutex<R, T: ?Sized> {
    raw: R,
    witness: UnsafeCell<()>,
    value: std::cell::UnsafeCell<T>,
}

// SAFETY: as for `lock_api`'s.
unsafe impl<R: Send, T: ?Sized + Send> Send for Mutex<R, T> {}
// SAFETY: as above.
unsafe impl<R: Sync, T: ?Sized + Send> Sync for Mutex<R, T> {}

impl<R: RawMutex, T> Mutex<R, T> {
    pub fn new(value: T) -> Mutex<R, T> {
        Mutex {
            raw: R::init(),
            witness: UnsafeCell::new(()),
            value: std::cell::UnsafeCell::new(value),
        }
    }
}

impl<R: RawMutex, T: ?Sized> Mutex<R, T> {
    pub fn lock(&self) -> MutexGuard<'_, R, T> {
        self.raw.lock();
        // SAFETY: locked above.
        unsafe { self.make_guard_unchecked() }
    }

    pub fn is_locked(&self) -> bool {
        self.raw.is_locked()
    }

    /// # Safety
    ///
    /// It is used as guards do.
    pub unsafe fn raw(&self) -> &R {
        &self.raw
    }

    /// # Safety
    ///
    /// The lock was taken for this guard.
    pub unsafe fn make_guard_unchecked(&self) -> MutexGuard<'_, R, T> {
        MutexGuard {
            mutex: self,
            marker: PhantomData,
        }
    }
}

impl<R: RawMutexTimed, T: ?Sized> Mutex<R, T> {
    pub fn try_lock_for(&self, timeout: R::Duration) -> Option<MutexGuard<'_, R, T>> {
        self.raw
            .try_lock_for(timeout)
            // SAFETY: locked above.
            .then(|| unsafe { self.make_guard_unchecked() })
    }
}

pub struct MutexGuard<'a, R: RawMutex, T: ?Sized> {
    mutex: &'a Mutex<R, T>,
    marker: PhantomData<R>,
}

impl<'a, R: RawMutex, T: ?Sized> MutexGuard<'a, R, T> {
    pub fn mutex(guard: &MutexGuard<'a, R, T>) -> &'a Mutex<R, T> {
        guard.mutex
    }
}

impl<R: RawMutexFair, T: ?Sized> MutexGuard<'_, R, T> {
    pub fn unlock_fair(guard: Self) {
        let raw = &guard.mutex.raw;
        std::mem::forget(guard);
        // SAFETY: the guard that was forgotten held the lock.
        unsafe { raw.unlock_fair() };
    }

    pub fn bump(guard: &mut Self) {
        // SAFETY: the guard holds the lock, and is borrowed meanwhile.
        unsafe { guard.mutex.raw.bump() };
    }
}

impl<R: RawMutex, T: ?Sized> Deref for MutexGuard<'_, R, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.mutex.witness.with(|_| ());
        // SAFETY: the lock is held.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<R: RawMutex, T: ?Sized> DerefMut for MutexGuard<'_, R, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.mutex.witness.with_mut(|_| ());
        // SAFETY: the lock is held.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<R: RawMutex, T: ?Sized> Drop for MutexGuard<'_, R, T> {
    fn drop(&mut self) {
        // SAFETY: the lock is held by this guard.
        unsafe { self.mutex.raw.unlock() };
    }
}
