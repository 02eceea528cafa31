//! A value that is set once.
//!
//! The value is written by whoever runs the one run of a [`Once`], before it is done, and only
//! read by who has seen that it is.

use std::cell::UnsafeCell;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::{Duration, Instant};

use super::once::{Once, OnceWait};
use crate::cancel::WaitError;

/// A place that is written once and then only read; mirrors `std::sync::OnceLock`.
///
/// An initialiser may wait. One that panics leaves the place empty, for the next to try.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::sync::OnceLock;
///
/// static NAME: OnceLock<String> = OnceLock::new();
///
/// assert_eq!(NAME.get(), None);
/// assert_eq!(NAME.get_or_init(|| "rope".to_string()), "rope");
/// assert_eq!(NAME.set("walk".to_string()), Err("walk".to_string()));
/// ```
pub struct OnceLock<T> {
    once: Once,
    value: UnsafeCell<MaybeUninit<T>>,
    /// Drops a `T`.
    owns: PhantomData<T>,
}

// SAFETY: the value is written once, by one task, before `once` is done, and shared after. It
// may be dropped by another than the one that made it: so `Send`, too.
unsafe impl<T: Send + Sync> Sync for OnceLock<T> {}
// SAFETY: with the lock goes the value.
unsafe impl<T: Send> Send for OnceLock<T> {}
impl<T: RefUnwindSafe + UnwindSafe> RefUnwindSafe for OnceLock<T> {}
impl<T: UnwindSafe> UnwindSafe for OnceLock<T> {}

impl<T> OnceLock<T> {
    /// Makes an empty one.
    pub const fn new() -> OnceLock<T> {
        OnceLock {
            once: Once::new(),
            value: UnsafeCell::new(MaybeUninit::uninit()),
            owns: PhantomData,
        }
    }

    /// The value, if it is there. Never waits.
    #[inline]
    pub fn get(&self) -> Option<&T> {
        // SAFETY: seen to be done.
        self.once.is_completed().then(|| unsafe { self.value() })
    }

    /// The value, if it is there.
    #[inline]
    pub fn get_mut(&mut self) -> Option<&mut T> {
        if !self.once.is_completed() {
            return None;
        }
        // SAFETY: seen to be done, so it was written; ours alone.
        Some(unsafe { self.value.get_mut().assume_init_mut() })
    }

    /// Puts `value` in. Waits if an initialiser is running, until it has ended.
    ///
    /// # Errors
    ///
    /// If there is a value; `value` comes back.
    ///
    /// # Panics
    ///
    /// As [`get_or_init`](Self::get_or_init).
    pub fn set(&self, value: T) -> Result<(), T> {
        let mut value = Some(value);
        self.get_or_init(|| value.take().expect("an initialiser runs once"));
        value.map_or(Ok(()), Err)
    }

    /// The value, made by `f` if there is none. If another makes it, waits for that.
    ///
    /// # Panics
    ///
    /// As `f` does; if `f` comes back to this same place; if it must wait inside
    /// [`no_wait`](crate::coroutine::no_wait).
    #[inline]
    pub fn get_or_init(&self, f: impl FnOnce() -> T) -> &T {
        enum Never {}
        match self.get_or_try_init(|| Ok::<T, Never>(f())) {
            Ok(value) => value,
            Err(never) => match never {},
        }
    }

    /// The value, made by `f` if there is none.
    ///
    /// # Errors
    ///
    /// If `f` ran and failed; the place stays empty, for the next to try.
    ///
    /// # Panics
    ///
    /// As [`get_or_init`](Self::get_or_init).
    #[inline]
    pub fn get_or_try_init<E>(&self, f: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        if !self.once.is_completed() {
            self.init(f)?;
        }
        // SAFETY: seen to be done, above or in `init`.
        Ok(unsafe { self.value() })
    }

    #[cold]
    fn init<E>(&self, f: impl FnOnce() -> Result<T, E>) -> Result<(), E> {
        if let Some(running) = self.once.begin() {
            let value = f()?;
            // SAFETY: the one run is ours and not complete: nobody else reads or writes.
            unsafe { (*self.value.get()).write(value) };
            running.complete();
        }
        Ok(())
    }

    /// The value, made by the future that `f` gives if there is none. If that future is
    /// dropped or panics, the next one is tried.
    pub async fn get_or_init_async<F, Fut>(&self, f: F) -> &T
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = T>,
    {
        if !self.once.is_completed()
            && let Some(running) = self.once.begin_async().await
        {
            let value = f().await;
            // SAFETY: the one run is ours and not complete: nobody else reads or writes.
            unsafe { (*self.value.get()).write(value) };
            running.complete();
        }
        // SAFETY: seen to be done, or completed by us.
        unsafe { self.value() }
    }

    /// Waits for the value that somebody else puts in. Not a cancellation point.
    ///
    /// # Panics
    ///
    /// If it must wait inside [`no_wait`](crate::coroutine::no_wait), or in the initialiser.
    pub fn wait(&self) -> &T {
        self.once.wait();
        // SAFETY: waited for it to be done.
        unsafe { self.value() }
    }

    /// As [`wait`](Self::wait), for `timeout` at most.
    ///
    /// # Errors
    ///
    /// If the time is over, or the caller is cancelled while it waits.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<&T, WaitError> {
        self.once.wait_timeout(timeout)?;
        // SAFETY: waited for it to be done.
        Ok(unsafe { self.value() })
    }

    /// As [`wait`](Self::wait), until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`wait_timeout`](Self::wait_timeout).
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_deadline(&self, deadline: Instant) -> Result<&T, WaitError> {
        self.once.wait_deadline(deadline)?;
        // SAFETY: waited for it to be done.
        Ok(unsafe { self.value() })
    }

    /// Waits in `async` code for the value that somebody else puts in.
    pub async fn wait_async(&self) -> &T {
        let wait: OnceWait<'_> = self.once.wait_async();
        wait.await;
        // SAFETY: waited for it to be done.
        unsafe { self.value() }
    }

    /// The value, taken out of a lock that is given up.
    pub fn into_inner(mut self) -> Option<T> {
        self.take()
    }

    /// Takes the value out and leaves the place empty.
    pub fn take(&mut self) -> Option<T> {
        if !self.once.is_completed() {
            return None;
        }
        self.once = Once::new();
        // SAFETY: it was done, so the value was written; it counts as gone from here on.
        Some(unsafe { self.value.get_mut().assume_init_read() })
    }

    /// # Safety
    ///
    /// The caller has seen that `once` is done.
    #[inline]
    unsafe fn value(&self) -> &T {
        debug_assert!(self.once.is_completed());
        // SAFETY: written before `once` was done, and not written again while shared.
        unsafe { (*self.value.get()).assume_init_ref() }
    }
}

impl<T> Drop for OnceLock<T> {
    fn drop(&mut self) {
        if self.once.is_completed() {
            // SAFETY: written, and not used again.
            unsafe { self.value.get_mut().assume_init_drop() };
        }
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> OnceLock<T> {
        OnceLock::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tuple = f.debug_tuple("OnceLock");
        match self.get() {
            Some(value) => tuple.field(value),
            None => tuple.field(&format_args!("<empty>")),
        };
        tuple.finish()
    }
}

impl<T> From<T> for OnceLock<T> {
    fn from(value: T) -> OnceLock<T> {
        let lock = OnceLock::new();
        if lock.set(value).is_err() {
            unreachable!("a new lock is empty");
        }
        lock
    }
}

impl<T: Clone> Clone for OnceLock<T> {
    fn clone(&self) -> OnceLock<T> {
        match self.get() {
            Some(value) => OnceLock::from(value.clone()),
            None => OnceLock::new(),
        }
    }
}

impl<T: PartialEq> PartialEq for OnceLock<T> {
    fn eq(&self, other: &OnceLock<T>) -> bool {
        self.get() == other.get()
    }
}

impl<T: Eq> Eq for OnceLock<T> {}
