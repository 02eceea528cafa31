//! So many in so much time.
//!
//! The generic cell rate algorithm (GCRA, ITU-T I.371): one number, the time at which the
//! permits given out so far are paid for. Who comes takes the next place behind it and sleeps
//! until it is its turn; there is no queue, and nobody has to be woken.
//!
//! The number is kept in n-ths of a nanosecond for a limiter of n permits, so that nothing is
//! rounded however odd the rate.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ropewalk_kernel::cancel::Cancelled;
use ropewalk_kernel::clock;
use ropewalk_kernel::wait::{self, Outcome, sleep_until};

use crate::cancel::WaitError;
use crate::future::sleep_until_async;

/// Gives out a number of permits in a period of time, and lets callers wait for theirs.
///
/// Permits are evenly spaced, unless a [`burst`](Self::burst) is allowed: then so many may be
/// taken at once after a pause. Callers have their turn in the order in which they came. A permit
/// is used up by taking it: there is nothing to give back.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
/// use ropewalk_rt::sync::RateLimiter;
///
/// let limiter = RateLimiter::new(1_000, Duration::from_secs(1));
/// let start = Instant::now();
/// for _ in 0..5 {
///     limiter.acquire().unwrap();
/// }
/// // The first at once, each other a millisecond after the one before.
/// assert!(start.elapsed() >= Duration::from_millis(4));
///
/// let limiter = RateLimiter::new(1, Duration::from_secs(3600));
/// assert!(limiter.try_acquire());
/// assert!(!limiter.try_acquire());
/// ```
pub struct RateLimiter {
    permits: u32,
    period: Duration,
    burst: u32,
    /// When what was given out is paid for, in `permits`-ths of a nanosecond.
    paid: Mutex<u128>,
}

/// A place in time that was taken.
struct Turn {
    /// Clock nanoseconds.
    when: u64,
    paid_before: u128,
    paid_after: u128,
}

impl RateLimiter {
    /// Allows `permits` in each `period`, evenly spaced.
    ///
    /// # Panics
    ///
    /// If either is 0.
    pub const fn new(permits: u32, period: Duration) -> RateLimiter {
        assert!(permits != 0, "a rate of no permits lets nobody pass");
        assert!(!period.is_zero(), "a rate needs a period of time");
        RateLimiter {
            permits,
            period,
            burst: 1,
            paid: Mutex::new(0),
        }
    }

    /// Allows up to `burst` permits at once, after a pause in which they came due: a token bucket
    /// that holds `burst` and is full at first. In one period up to `permits + burst` may pass.
    ///
    /// # Panics
    ///
    /// If it is 0.
    #[must_use = "the limiter with the burst is what this returns"]
    pub const fn burst(mut self, burst: u32) -> RateLimiter {
        assert!(burst != 0, "a burst of no permits lets nobody pass");
        self.burst = burst;
        self
    }

    /// What one permit costs.
    fn price(&self) -> u128 {
        self.period.as_nanos()
    }

    /// Takes the next place for `n` permits, if it comes no later than `latest`.
    fn take(&self, n: u32, latest: u64) -> Option<Turn> {
        let scale = u128::from(self.permits);
        let now = clock::now_ns();
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = (*paid).max(u128::from(now) * scale);
        let after = begin + u128::from(n) * self.price();
        let ready = after.saturating_sub(u128::from(self.burst) * self.price());
        let when = u64::try_from(ready.div_ceil(scale)).unwrap_or(u64::MAX);
        // As it is due now, it is due by any deadline.
        if when > now && when > latest {
            return None;
        }
        let paid_before = std::mem::replace(&mut *paid, after);
        Some(Turn {
            when,
            paid_before,
            paid_after: after,
        })
    }

    /// Gives a place back that was not used, if nobody stands behind it.
    fn give_back(&self, turn: &Turn) {
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        if *paid == turn.paid_after {
            *paid = turn.paid_before;
        }
    }

    fn wait(&self, n: u32, latest: u64) -> Result<(), WaitError> {
        let turn = self.take(n, latest).ok_or(WaitError::Timeout)?;
        if turn.when <= clock::now_ns() {
            wait::spend();
            return Ok(());
        }
        match sleep_until(turn.when) {
            Outcome::Cancelled => {
                self.give_back(&turn);
                Err(WaitError::Cancelled)
            }
            _ => Ok(()),
        }
    }

    /// Waits for a permit.
    ///
    /// # Errors
    ///
    /// [`Cancelled`] if the caller is cancelled meanwhile. Its turn is then given back, or, if
    /// others stand behind it, passes unused.
    pub fn acquire(&self) -> Result<(), Cancelled> {
        self.acquire_many(1)
    }

    /// Waits for `n` permits; more than the burst take as long as they need.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_many(&self, n: u32) -> Result<(), Cancelled> {
        self.wait(n, u64::MAX).map_err(|_| Cancelled::current())
    }

    /// Takes a permit if one is due.
    pub fn try_acquire(&self) -> bool {
        self.try_acquire_many(1)
    }

    /// Takes `n` permits, if they are due.
    pub fn try_acquire_many(&self, n: u32) -> bool {
        self.take(n, 0).is_some()
    }

    /// As [`acquire`](Self::acquire), if the turn comes within `timeout`.
    ///
    /// # Errors
    ///
    /// [`WaitError::Timeout`], at once, if it comes later: no permit was taken.
    /// [`WaitError::Cancelled`] as for [`acquire`](Self::acquire).
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<(), WaitError> {
        self.wait(1, clock::deadline_after(timeout))
    }

    /// As [`acquire_timeout`](Self::acquire_timeout), until a point in time.
    ///
    /// # Errors
    ///
    /// As [`acquire_timeout`](Self::acquire_timeout).
    pub fn acquire_deadline(&self, deadline: Instant) -> Result<(), WaitError> {
        self.wait(1, clock::instant_to_ns(deadline))
    }

    /// The form of [`acquire`](Self::acquire) for `async` code; takes its turn when first
    /// polled, and gives it back as `acquire` does when it is dropped.
    pub async fn acquire_async(&self) {
        struct Unused<'l>(&'l RateLimiter, Turn);
        impl Drop for Unused<'_> {
            fn drop(&mut self) {
                self.0.give_back(&self.1);
            }
        }
        let turn = self.take(1, u64::MAX).expect("no deadline");
        if turn.when > clock::now_ns() {
            let unused = Unused(self, turn);
            sleep_until_async(clock::ns_to_instant(unused.1.when)).await;
            std::mem::forget(unused);
        }
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field("permits", &self.permits)
            .field("period", &self.period)
            .field("burst", &self.burst)
            .finish_non_exhaustive()
    }
}
