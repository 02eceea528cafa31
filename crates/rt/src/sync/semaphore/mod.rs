//! Permits to share.
//!
//! [`Semaphore`] keeps the permits, in `raw`; [`BoundedSemaphore`] adds a limit; what is
//! acquired is held by the types in `permit`.

mod bounded;
mod future;
mod permit;
mod raw;

pub use bounded::{BoundedSemaphore, TooManyReleases};
pub use future::{Acquire, AcquireOwned};
pub use permit::{OwnedSemaphorePermit, SemaphorePermit};

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ropewalk_kernel::wait::{Limit, spend};

use super::{only_cancelled, until, within};
use crate::cancel::{Cancelled, WaitError};
use permit::Source;
use raw::Permits;

/// A number of permits that tasks take and give back; mirrors tokio's and Python's.
///
/// Who waits is served in the order of coming: a thread or coroutine is handed its permits,
/// and one that wants many is not passed over by those behind it. A future is woken in its
/// turn and then competes for the permits, so one that nobody polls holds nobody up; futures
/// that want many may be passed over.
///
/// A permit comes back when its guard is dropped, by whichever task. To release by hand, as in
/// Python, [`forget`](SemaphorePermit::forget) the guard and call
/// [`release`](Semaphore::release), from anywhere.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::{coroutine, sync::Semaphore};
///
/// static TABLES: Semaphore = Semaphore::new(2);
///
/// coroutine::scope(|s| {
///     for _ in 0..6 {
///         s.spawn(|| {
///             let _table = TABLES.acquire().expect("nobody cancels");
///             coroutine::yield_now();
///         });
///     }
/// });
/// assert_eq!(TABLES.available_permits(), 2);
/// ```
pub struct Semaphore {
    permits: Permits,
}

impl Semaphore {
    /// The most permits that there can be.
    pub const MAX_PERMITS: usize = Permits::MAX;

    /// Makes a semaphore with `permits` permits.
    ///
    /// # Panics
    ///
    /// With more than [`MAX_PERMITS`](Self::MAX_PERMITS).
    pub const fn new(permits: usize) -> Semaphore {
        Semaphore {
            permits: Permits::new(permits),
        }
    }

    /// How many permits are there to take at this moment.
    pub fn available_permits(&self) -> usize {
        self.permits.available()
    }

    /// Takes a permit, waiting until there is one.
    ///
    /// # Errors
    ///
    /// If the caller is cancelled while it waits.
    ///
    /// # Panics
    ///
    /// If it must wait inside [`no_wait`](crate::coroutine::no_wait).
    #[inline]
    pub fn acquire(&self) -> Result<SemaphorePermit<'_>, Cancelled> {
        self.acquire_many(1)
    }

    /// Takes a permit if there is one that nobody waits for.
    #[inline]
    pub fn try_acquire(&self) -> Option<SemaphorePermit<'_>> {
        self.try_acquire_many(1)
    }

    /// Takes a permit, waiting for `timeout` at most.
    ///
    /// # Errors
    ///
    /// If the time is over, or the caller is cancelled while it waits.
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<SemaphorePermit<'_>, WaitError> {
        self.acquire_many_timeout(1, timeout)
    }

    /// Takes a permit, waiting until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Self::acquire_timeout).
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_deadline(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, WaitError> {
        self.acquire_many_deadline(1, deadline)
    }

    /// Gives a future that takes a permit. Dropped before it is ready, it has taken none.
    pub fn acquire_async(&self) -> Acquire<'_> {
        self.acquire_many_async(1)
    }

    /// Takes `n` permits together, waiting until there are as many.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    #[inline]
    pub fn acquire_many(&self, n: usize) -> Result<SemaphorePermit<'_>, Cancelled> {
        self.take(n, Limit::cancellable(None))
            .map(|()| self.permit(n))
            .map_err(only_cancelled)
    }

    /// Takes `n` permits together if there are as many that nobody waits for.
    #[inline]
    pub fn try_acquire_many(&self, n: usize) -> Option<SemaphorePermit<'_>> {
        self.permits.try_take(n).then(|| self.permit(n))
    }

    /// Takes `n` permits together, waiting for `timeout` at most.
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Self::acquire_timeout).
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_many_timeout(
        &self,
        n: usize,
        timeout: Duration,
    ) -> Result<SemaphorePermit<'_>, WaitError> {
        self.take(n, within(timeout)).map(|()| self.permit(n))
    }

    /// Takes `n` permits together, waiting until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Self::acquire_timeout).
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_many_deadline(
        &self,
        n: usize,
        deadline: Instant,
    ) -> Result<SemaphorePermit<'_>, WaitError> {
        self.take(n, until(deadline)).map(|()| self.permit(n))
    }

    /// Gives a future that takes `n` permits together.
    pub fn acquire_many_async(&self, n: usize) -> Acquire<'_> {
        Acquire::new(Source::Plain(self), n)
    }

    /// As [`acquire`](Self::acquire), with a guard that keeps the semaphore alive.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_owned(self: &Arc<Self>) -> Result<OwnedSemaphorePermit, Cancelled> {
        self.acquire_many_owned(1)
    }

    /// As [`acquire_many`](Self::acquire_many), with a guard that keeps the semaphore alive.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_many_owned(
        self: &Arc<Self>,
        n: usize,
    ) -> Result<OwnedSemaphorePermit, Cancelled> {
        self.acquire_many(n).map(|permit| permit.owned_by(self))
    }

    /// As [`try_acquire`](Self::try_acquire), with a guard that keeps the semaphore alive.
    pub fn try_acquire_owned(self: &Arc<Self>) -> Option<OwnedSemaphorePermit> {
        self.try_acquire().map(|permit| permit.owned_by(self))
    }

    /// As [`acquire_timeout`](Self::acquire_timeout), with a guard that keeps the semaphore
    /// alive.
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Self::acquire_timeout).
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_owned_timeout(
        self: &Arc<Self>,
        timeout: Duration,
    ) -> Result<OwnedSemaphorePermit, WaitError> {
        self.acquire_timeout(timeout)
            .map(|permit| permit.owned_by(self))
    }

    /// As [`acquire_deadline`](Self::acquire_deadline), with a guard that keeps the semaphore
    /// alive.
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Self::acquire_timeout).
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_owned_deadline(
        self: &Arc<Self>,
        deadline: Instant,
    ) -> Result<OwnedSemaphorePermit, WaitError> {
        self.acquire_deadline(deadline)
            .map(|permit| permit.owned_by(self))
    }

    /// As [`try_acquire_many`](Self::try_acquire_many), with a guard that keeps the semaphore
    /// alive.
    pub fn try_acquire_many_owned(self: &Arc<Self>, n: usize) -> Option<OwnedSemaphorePermit> {
        self.try_acquire_many(n).map(|permit| permit.owned_by(self))
    }

    /// As [`acquire_many_timeout`](Self::acquire_many_timeout), with a guard that keeps the
    /// semaphore alive.
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Self::acquire_timeout).
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_many_owned_timeout(
        self: &Arc<Self>,
        n: usize,
        timeout: Duration,
    ) -> Result<OwnedSemaphorePermit, WaitError> {
        self.acquire_many_timeout(n, timeout)
            .map(|permit| permit.owned_by(self))
    }

    /// As [`acquire_many_deadline`](Self::acquire_many_deadline), with a guard that keeps the
    /// semaphore alive.
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Self::acquire_timeout).
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_many_owned_deadline(
        self: &Arc<Self>,
        n: usize,
        deadline: Instant,
    ) -> Result<OwnedSemaphorePermit, WaitError> {
        self.acquire_many_deadline(n, deadline)
            .map(|permit| permit.owned_by(self))
    }

    /// As [`acquire_async`](Self::acquire_async), with a guard that keeps the semaphore alive.
    pub fn acquire_owned_async(self: &Arc<Self>) -> AcquireOwned {
        self.acquire_many_owned_async(1)
    }

    /// As [`acquire_many_async`](Self::acquire_many_async), with a guard that keeps the semaphore
    /// alive.
    pub fn acquire_many_owned_async(self: &Arc<Self>, n: usize) -> AcquireOwned {
        AcquireOwned::new(permit::Owner::Plain(Arc::clone(self)), n)
    }

    /// Gives one permit back, or adds one.
    ///
    /// # Panics
    ///
    /// As [`add_permits`](Self::add_permits).
    #[inline]
    pub fn release(&self) {
        self.add_permits(1);
    }

    /// Gives `n` permits back, or adds as many. They need not have been acquired before.
    ///
    /// # Panics
    ///
    /// If there are then more than [`MAX_PERMITS`](Self::MAX_PERMITS).
    #[inline]
    pub fn add_permits(&self, n: usize) {
        if self.permits.give(n, Permits::MAX).is_err() {
            panic!("more than `Semaphore::MAX_PERMITS` permits");
        }
    }

    /// Takes up to `n` of the permits that are there out of circulation; gives how many.
    pub fn forget_permits(&self, n: usize) -> usize {
        self.permits.take_up_to(n)
    }

    #[inline]
    fn take(&self, n: usize, limit: Limit) -> Result<(), WaitError> {
        // Before, so as not to give way with permits in hand.
        spend();
        if self.permits.try_take(n) {
            return Ok(());
        }
        self.permits.take_slow(n, limit)
    }

    #[inline]
    fn permit(&self, n: usize) -> SemaphorePermit<'_> {
        SemaphorePermit::new(Source::Plain(self), n)
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("available_permits", &self.available_permits())
            .finish_non_exhaustive()
    }
}

/// No permits.
impl Default for Semaphore {
    fn default() -> Semaphore {
        Semaphore::new(0)
    }
}
