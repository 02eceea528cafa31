//! A semaphore that notices when more is given back than was taken.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ropewalk_kernel::wait::Limit;

use super::super::{only_cancelled, until, within};
use super::permit::{Owner, Source};
use super::{Acquire, AcquireOwned, OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use crate::cancel::{Cancelled, WaitError};

/// A [`Semaphore`] that never holds more permits than it began with; mirrors Python's
/// `threading.BoundedSemaphore`.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::sync::BoundedSemaphore;
///
/// let gate = BoundedSemaphore::new(1);
/// gate.acquire().expect("nobody cancels").forget();
/// assert!(gate.release().is_ok());
/// assert!(gate.release().is_err());
/// ```
pub struct BoundedSemaphore {
    inner: Semaphore,
    bound: usize,
}

/// More permits were released than had been acquired; nothing was released.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyReleases {
    bound: usize,
}

impl TooManyReleases {
    /// How many permits the semaphore began with.
    pub fn bound(&self) -> usize {
        self.bound
    }
}

impl fmt::Display for TooManyReleases {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a semaphore of {} released too many times", self.bound)
    }
}

impl Error for TooManyReleases {}

impl BoundedSemaphore {
    /// Makes a semaphore with `permits` permits, and never more.
    ///
    /// # Panics
    ///
    /// With more than [`Semaphore::MAX_PERMITS`].
    pub const fn new(permits: usize) -> BoundedSemaphore {
        BoundedSemaphore {
            inner: Semaphore::new(permits),
            bound: permits,
        }
    }

    /// How many permits it began with.
    pub fn bound(&self) -> usize {
        self.bound
    }

    /// How many permits are there to take at this moment.
    pub fn available_permits(&self) -> usize {
        self.inner.available_permits()
    }

    /// As [`Semaphore::acquire`].
    ///
    /// # Errors
    ///
    /// If the caller is cancelled while it waits.
    ///
    /// # Panics
    ///
    /// As [`acquire_many`](Self::acquire_many).
    pub fn acquire(&self) -> Result<SemaphorePermit<'_>, Cancelled> {
        self.acquire_many(1)
    }

    /// As [`Semaphore::try_acquire`].
    pub fn try_acquire(&self) -> Option<SemaphorePermit<'_>> {
        self.try_acquire_many(1)
    }

    /// As [`Semaphore::acquire_timeout`].
    ///
    /// # Errors
    ///
    /// If the time is over, or the caller is cancelled while it waits.
    ///
    /// # Panics
    ///
    /// As [`acquire_many`](Self::acquire_many).
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<SemaphorePermit<'_>, WaitError> {
        self.take(1, within(timeout)).map(|()| self.permit(1))
    }

    /// As [`Semaphore::acquire_deadline`].
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Self::acquire_timeout).
    ///
    /// # Panics
    ///
    /// As [`acquire_many`](Self::acquire_many).
    pub fn acquire_deadline(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, WaitError> {
        self.take(1, until(deadline)).map(|()| self.permit(1))
    }

    /// As [`Semaphore::acquire_async`].
    ///
    /// # Panics
    ///
    /// As [`acquire_many_async`](Self::acquire_many_async).
    pub fn acquire_async(&self) -> Acquire<'_> {
        self.acquire_many_async(1)
    }

    /// As [`Semaphore::acquire_many`].
    ///
    /// # Errors
    ///
    /// If the caller is cancelled while it waits.
    ///
    /// # Panics
    ///
    /// If `n` is more than the bound, which would wait for ever; if it must wait inside
    /// [`no_wait`](crate::coroutine::no_wait).
    pub fn acquire_many(&self, n: usize) -> Result<SemaphorePermit<'_>, Cancelled> {
        self.take(n, Limit::cancellable(None))
            .map(|()| self.permit(n))
            .map_err(only_cancelled)
    }

    /// As [`Semaphore::try_acquire_many`].
    pub fn try_acquire_many(&self, n: usize) -> Option<SemaphorePermit<'_>> {
        self.inner.permits.try_take(n).then(|| self.permit(n))
    }

    /// As [`Semaphore::acquire_many_timeout`].
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Self::acquire_timeout).
    ///
    /// # Panics
    ///
    /// As [`acquire_many`](Self::acquire_many).
    pub fn acquire_many_timeout(
        &self,
        n: usize,
        timeout: Duration,
    ) -> Result<SemaphorePermit<'_>, WaitError> {
        self.take(n, within(timeout)).map(|()| self.permit(n))
    }

    /// As [`Semaphore::acquire_many_deadline`].
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Self::acquire_timeout).
    ///
    /// # Panics
    ///
    /// As [`acquire_many`](Self::acquire_many).
    pub fn acquire_many_deadline(
        &self,
        n: usize,
        deadline: Instant,
    ) -> Result<SemaphorePermit<'_>, WaitError> {
        self.take(n, until(deadline)).map(|()| self.permit(n))
    }

    /// As [`Semaphore::acquire_many_async`].
    ///
    /// # Panics
    ///
    /// If `n` is more than the bound, which would wait for ever.
    pub fn acquire_many_async(&self, n: usize) -> Acquire<'_> {
        self.check(n);
        Acquire::new(Source::Bounded(self), n)
    }

    /// As [`Semaphore::acquire_owned`].
    ///
    /// # Errors
    ///
    /// If the caller is cancelled while it waits.
    ///
    /// # Panics
    ///
    /// As [`acquire_many`](Self::acquire_many).
    pub fn acquire_owned(self: &Arc<Self>) -> Result<OwnedSemaphorePermit, Cancelled> {
        self.acquire_many_owned(1)
    }

    /// As [`Semaphore::acquire_many_owned`].
    ///
    /// # Errors
    ///
    /// If the caller is cancelled while it waits.
    ///
    /// # Panics
    ///
    /// As [`acquire_many`](Self::acquire_many).
    pub fn acquire_many_owned(
        self: &Arc<Self>,
        n: usize,
    ) -> Result<OwnedSemaphorePermit, Cancelled> {
        self.acquire_many(n)
            .map(|permit| permit.owned_by_bounded(self))
    }

    /// As [`Semaphore::try_acquire_owned`].
    pub fn try_acquire_owned(self: &Arc<Self>) -> Option<OwnedSemaphorePermit> {
        self.try_acquire()
            .map(|permit| permit.owned_by_bounded(self))
    }

    /// As [`Semaphore::acquire_owned_timeout`].
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Self::acquire_timeout).
    ///
    /// # Panics
    ///
    /// As [`acquire_many`](Self::acquire_many).
    pub fn acquire_owned_timeout(
        self: &Arc<Self>,
        timeout: Duration,
    ) -> Result<OwnedSemaphorePermit, WaitError> {
        self.acquire_timeout(timeout)
            .map(|permit| permit.owned_by_bounded(self))
    }

    /// As [`Semaphore::acquire_owned_deadline`].
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Self::acquire_timeout).
    ///
    /// # Panics
    ///
    /// As [`acquire_many`](Self::acquire_many).
    pub fn acquire_owned_deadline(
        self: &Arc<Self>,
        deadline: Instant,
    ) -> Result<OwnedSemaphorePermit, WaitError> {
        self.acquire_deadline(deadline)
            .map(|permit| permit.owned_by_bounded(self))
    }

    /// As [`Semaphore::try_acquire_many_owned`].
    pub fn try_acquire_many_owned(self: &Arc<Self>, n: usize) -> Option<OwnedSemaphorePermit> {
        self.try_acquire_many(n)
            .map(|permit| permit.owned_by_bounded(self))
    }

    /// As [`Semaphore::acquire_many_owned_timeout`].
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Self::acquire_timeout).
    ///
    /// # Panics
    ///
    /// As [`acquire_many`](Self::acquire_many).
    pub fn acquire_many_owned_timeout(
        self: &Arc<Self>,
        n: usize,
        timeout: Duration,
    ) -> Result<OwnedSemaphorePermit, WaitError> {
        self.acquire_many_timeout(n, timeout)
            .map(|permit| permit.owned_by_bounded(self))
    }

    /// As [`Semaphore::acquire_many_owned_deadline`].
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Self::acquire_timeout).
    ///
    /// # Panics
    ///
    /// As [`acquire_many`](Self::acquire_many).
    pub fn acquire_many_owned_deadline(
        self: &Arc<Self>,
        n: usize,
        deadline: Instant,
    ) -> Result<OwnedSemaphorePermit, WaitError> {
        self.acquire_many_deadline(n, deadline)
            .map(|permit| permit.owned_by_bounded(self))
    }

    /// As [`Semaphore::acquire_owned_async`].
    ///
    /// # Panics
    ///
    /// As [`acquire_many_async`](Self::acquire_many_async).
    pub fn acquire_owned_async(self: &Arc<Self>) -> AcquireOwned {
        self.acquire_many_owned_async(1)
    }

    /// As [`Semaphore::acquire_many_owned_async`].
    ///
    /// # Panics
    ///
    /// As [`acquire_many_async`](Self::acquire_many_async).
    pub fn acquire_many_owned_async(self: &Arc<Self>, n: usize) -> AcquireOwned {
        self.check(n);
        AcquireOwned::new(Owner::Bounded(Arc::clone(self)), n)
    }

    /// Gives one permit back.
    ///
    /// # Errors
    ///
    /// If all permits are there; nothing is changed.
    pub fn release(&self) -> Result<(), TooManyReleases> {
        self.release_many(1)
    }

    /// Gives `n` permits back.
    ///
    /// # Errors
    ///
    /// If there were then more than in the beginning; nothing is changed.
    pub fn release_many(&self, n: usize) -> Result<(), TooManyReleases> {
        self.inner
            .permits
            .give(n, self.bound)
            .map_err(|()| TooManyReleases { bound: self.bound })
    }

    pub(super) fn inner(&self) -> &Semaphore {
        &self.inner
    }

    fn take(&self, n: usize, limit: Limit) -> Result<(), WaitError> {
        self.check(n);
        self.inner.take(n, limit)
    }

    fn check(&self, n: usize) {
        assert!(
            n <= self.bound,
            "{n} permits wanted of a semaphore that has {}",
            self.bound
        );
    }

    fn permit(&self, n: usize) -> SemaphorePermit<'_> {
        SemaphorePermit::new(Source::Bounded(self), n)
    }
}

impl fmt::Debug for BoundedSemaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundedSemaphore")
            .field("available_permits", &self.available_permits())
            .field("bound", &self.bound)
            .finish_non_exhaustive()
    }
}
