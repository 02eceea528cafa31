//! Semaphores, events and barriers between processes.

use std::time::{Duration, Instant};

use super::super::client::Lease;
use super::super::wire::{Answer, WaitOp};
use super::super::{Refusal, Result};
use super::locks::debug;
use super::{after, proxy};

proxy! {
    /// A number of permits; from [`Manager::semaphore`](crate::manager::Manager::semaphore) and
    /// [`Manager::bounded_semaphore`](crate::manager::Manager::bounded_semaphore).
    ///
    /// Who waits is served in the order of coming. Permits end with their holder's process;
    /// but for those that were [forgotten](Permit::forget).
    ///
    /// # Cancellation
    ///
    /// Waits are cancellation points: a cancelled one has no permit.
    ///
    /// # Examples
    ///
    /// ```
    /// # use ropewalk_process::manager::{Manager, Refusal};
    /// # let server = Manager::builder().serve()?;
    /// # let manager = server.manager()?;
    /// let semaphore = manager.bounded_semaphore(2)?;
    /// let both = semaphore.acquire_many(2)?;
    /// assert!(semaphore.try_acquire()?.is_none());
    /// drop(both);
    /// assert_eq!(semaphore.release(1).unwrap_err().refusal(), Some(&Refusal::TooManyReleases));
    /// # Ok::<(), ropewalk_process::manager::Error>(())
    /// ```
    SemaphoreProxy: Semaphore
}

/// Permits of a [`SemaphoreProxy`]; dropping it gives them back. May be sent to another thread.
#[must_use = "the permits are given back at once"]
pub struct Permit(Lease);

proxy! {
    /// A flag that others wait for; from [`Manager::event`](crate::manager::Manager::event).
    ///
    /// # Cancellation
    ///
    /// Waits are cancellation points.
    EventProxy: Event
}

proxy! {
    /// A place where a number of tasks wait for one another; from
    /// [`Manager::barrier`](crate::manager::Manager::barrier).
    ///
    /// One who gives up waiting (its time is over, it is cancelled, its process dies) breaks
    /// it: the others' waits, and all later ones, fail with
    /// [`Broken`](crate::manager::Refusal::Broken) until a [`reset`](Self::reset).
    BarrierProxy: Barrier
}

impl SemaphoreProxy {
    /// Takes a permit, waiting for one.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn acquire(&self) -> Result<Permit> {
        self.acquire_many(1)
    }

    /// Takes several permits at once, waiting until there are as many.
    ///
    /// # Errors
    ///
    /// A refusal if a bounded semaphore never has as many; else as all calls.
    pub fn acquire_many(&self, count: u32) -> Result<Permit> {
        let answer = self.0.wait(permits(count, true))?;
        Ok(Permit(Lease::of(&self.0, answer)?.ok_or(Refusal::NotHeld)?))
    }

    /// Takes a permit if there is one.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn try_acquire(&self) -> Result<Option<Permit>> {
        let answer = self.0.wait(permits(1, false))?;
        Ok(Lease::of(&self.0, answer)?.map(Permit))
    }

    /// Takes a permit, waiting for `timeout` at most.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Option<Permit>> {
        self.acquire_deadline(after(timeout))
    }

    /// Takes a permit, waiting until a point in time at most.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn acquire_deadline(&self, deadline: Instant) -> Result<Option<Permit>> {
        match self.0.wait_until(permits(1, true), deadline)? {
            Some(answer) => Ok(Lease::of(&self.0, answer)?.map(Permit)),
            None => Ok(None),
        }
    }

    /// Adds permits: those that were forgotten, or more than there were, unless it is bounded.
    ///
    /// # Errors
    ///
    /// [`TooManyReleases`](Refusal::TooManyReleases) if it is bounded and there would be more
    /// than at first; else as all calls.
    pub fn release(&self, count: u32) -> Result<()> {
        let count = u64::from(count);
        self.0.wait(WaitOp::AddPermits { count })?.done()
    }

    /// How many permits are free.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn available_permits(&self) -> Result<usize> {
        self.0.wait(WaitOp::Available)?.count()
    }
}

fn permits<V>(count: u32, wait: bool) -> WaitOp<V> {
    WaitOp::Permits {
        count: u64::from(count),
        wait,
    }
}

impl Permit {
    /// Gives it back, and waits until the manager says so.
    ///
    /// # Errors
    ///
    /// As [`LockGuard::unlock`](crate::manager::LockGuard::unlock).
    pub fn release(self) -> Result<()> {
        self.0.release()
    }

    /// Takes the permits away for good, or until somebody
    /// [releases](SemaphoreProxy::release) them: a process may acquire, another release.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn forget(self) -> Result<()> {
        let (handle, lease) = self.0.into_parts();
        handle.wait(WaitOp::Forget { lease })?.done()
    }
}

debug!(Permit);

impl EventProxy {
    /// Sets it: those who wait go on.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn set(&self) -> Result<()> {
        self.0.wait(WaitOp::Set)?.done()
    }

    /// Takes it back.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn clear(&self) -> Result<()> {
        self.0.wait(WaitOp::Unset)?.done()
    }

    /// Says whether it is set.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn is_set(&self) -> Result<bool> {
        self.0.wait(WaitOp::IsSet)?.yes()
    }

    /// Waits until it is set.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn wait(&self) -> Result<()> {
        self.0.wait(WaitOp::WaitSet)?.done()
    }

    /// As [`wait`](Self::wait), for `timeout` at most; says whether it is set.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<bool> {
        self.wait_deadline(after(timeout))
    }

    /// As [`wait_timeout`](Self::wait_timeout), until a point in time.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn wait_deadline(&self, deadline: Instant) -> Result<bool> {
        match self.0.wait_until(WaitOp::WaitSet, deadline)? {
            Some(answer) => answer.done().map(|()| true),
            None => Ok(false),
        }
    }
}

impl BarrierProxy {
    /// Waits until as many have come as it is for; gives the order of coming, from 0.
    ///
    /// # Errors
    ///
    /// [`Broken`](Refusal::Broken); else as all calls.
    pub fn wait(&self) -> Result<usize> {
        self.0.wait(WaitOp::Arrive)?.count()
    }

    /// As [`wait`](Self::wait), for `timeout` at most: then it is broken, and `None`.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<Option<usize>> {
        match self.0.wait_until(WaitOp::Arrive, after(timeout))? {
            Some(answer) => answer.count().map(Some),
            None => Ok(None),
        }
    }

    /// Breaks it.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn abort(&self) -> Result<()> {
        self.0.wait(WaitOp::Abort)?.done()
    }

    /// Makes it whole again; those who wait at it now fail.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn reset(&self) -> Result<()> {
        self.0.wait(WaitOp::Reset)?.done()
    }

    /// How many it is for.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn parties(&self) -> Result<usize> {
        Ok(self.state()?.0)
    }

    /// How many wait at it.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn waiting(&self) -> Result<usize> {
        Ok(self.state()?.1)
    }

    /// Says whether it is broken.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn is_broken(&self) -> Result<bool> {
        Ok(self.state()?.2)
    }

    fn state(&self) -> Result<(usize, usize, bool)> {
        match self.0.wait(WaitOp::BarrierState)? {
            Answer::BarrierState {
                parties,
                waiting,
                broken,
            } => Ok((parties as usize, waiting as usize, broken)),
            other => Err(other.unexpected()),
        }
    }
}
