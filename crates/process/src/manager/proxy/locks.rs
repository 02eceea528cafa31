//! Locks and conditions between processes.

use std::marker::PhantomData;
use std::time::{Duration, Instant};

use super::super::client::{Handle, Lease};
use super::super::wire::WaitOp;
use super::super::{Refusal, Result};
use super::{after, proxy};

fn acquire(handle: &Handle) -> Result<Lease> {
    let answer = handle.wait(WaitOp::Acquire { wait: true })?;
    Lease::of(handle, answer)?.ok_or_else(|| Refusal::NotHeld.into())
}

fn try_acquire(handle: &Handle) -> Result<Option<Lease>> {
    Lease::of(handle, handle.wait(WaitOp::Acquire { wait: false })?)
}

fn acquire_until(handle: &Handle, deadline: Instant) -> Result<Option<Lease>> {
    match handle.wait_until(WaitOp::Acquire { wait: true }, deadline)? {
        Some(answer) => Lease::of(handle, answer),
        None => Ok(None),
    }
}

proxy! {
    /// A lock; from [`Manager::lock`](crate::manager::Manager::lock).
    ///
    /// Who waits gets it in the order of coming. It ends with its holder's process.
    ///
    /// # Cancellation
    ///
    /// Waits are cancellation points: a cancelled one doesn't have the lock.
    ///
    /// # Examples
    ///
    /// ```
    /// # use ropewalk_process::manager::Manager;
    /// # let server = Manager::builder().serve()?;
    /// # let manager = server.manager()?;
    /// let lock = manager.lock()?;
    /// let guard = lock.lock()?;
    /// assert!(lock.try_lock()?.is_none());
    /// drop(guard);
    /// assert!(lock.try_lock()?.is_some());
    /// # Ok::<(), ropewalk_process::manager::Error>(())
    /// ```
    LockProxy: Lock
}

/// A held [`LockProxy`]; dropping it gives the lock back. May be sent to another thread.
#[must_use = "the lock is given back at once"]
pub struct LockGuard(Lease);

proxy! {
    /// A re-entrant lock: the thread or coroutine that holds it may lock it again. From
    /// [`Manager::rlock`](crate::manager::Manager::rlock).
    ///
    /// # Cancellation
    ///
    /// As [`LockProxy`].
    RLockProxy: RLock
}

/// A held [`RLockProxy`]; it is given back with the last of its task's guards. Stays with its
/// task.
///
/// ```compile_fail
/// fn is_send<T: Send>() {}
/// is_send::<ropewalk_process::manager::RLockGuard>();
/// ```
#[must_use = "the lock is given back at once"]
pub struct RLockGuard(Lease, PhantomData<*const ()>);

proxy! {
    /// A lock, and waiting for those who hold it to say that something changed; from
    /// [`Manager::condition`](crate::manager::Manager::condition).
    ///
    /// # Examples
    ///
    /// ```
    /// # use ropewalk_process::manager::Manager;
    /// # let server = Manager::builder().serve()?;
    /// # let manager = server.manager()?;
    /// use ropewalk_rt::coroutine;
    ///
    /// let (condition, ready) = (manager.condition()?, manager.value(false)?);
    /// coroutine::scope(|scope| {
    ///     let waiter = scope.spawn(|| {
    ///         let mut guard = condition.lock()?;
    ///         while !ready.get::<bool>()? {
    ///             guard.wait()?;
    ///         }
    ///         Ok::<(), ropewalk_process::manager::Error>(())
    ///     });
    ///     let guard = condition.lock()?;
    ///     ready.set(true)?;
    ///     guard.notify_all()?;
    ///     drop(guard);
    ///     waiter.join().unwrap()
    /// })?;
    /// # Ok::<(), ropewalk_process::manager::Error>(())
    /// ```
    ConditionProxy: Condition
}

/// A held [`ConditionProxy`]; dropping it gives the lock back.
#[must_use = "the lock is given back at once"]
pub struct ConditionGuard {
    handle: Handle,
    /// None after a wait that failed.
    lease: Option<Lease>,
}

impl LockProxy {
    /// Locks, waiting until it can.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn lock(&self) -> Result<LockGuard> {
        acquire(&self.0).map(LockGuard)
    }

    /// Locks if nobody holds it.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn try_lock(&self) -> Result<Option<LockGuard>> {
        Ok(try_acquire(&self.0)?.map(LockGuard))
    }

    /// Locks, waiting for `timeout` at most.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn lock_timeout(&self, timeout: Duration) -> Result<Option<LockGuard>> {
        self.lock_deadline(after(timeout))
    }

    /// Locks, waiting until a point in time at most.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn lock_deadline(&self, deadline: Instant) -> Result<Option<LockGuard>> {
        Ok(acquire_until(&self.0, deadline)?.map(LockGuard))
    }

    /// Says whether somebody holds it.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn is_locked(&self) -> Result<bool> {
        self.0.wait(WaitOp::IsLocked)?.yes()
    }
}

impl LockGuard {
    /// Gives the lock back, and waits until the manager says so.
    ///
    /// # Errors
    ///
    /// [`Lost`](crate::manager::Error::Lost) or
    /// [`ShutDown`](crate::manager::Error::ShutDown): it was held until the connection ended,
    /// and others may have had it since.
    pub fn unlock(self) -> Result<()> {
        self.0.release()
    }
}

impl RLockProxy {
    /// Locks, waiting until it can; at once if the caller holds it already.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn lock(&self) -> Result<RLockGuard> {
        Ok(RLockGuard(acquire(&self.0)?, PhantomData))
    }

    /// Locks if nobody else holds it.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn try_lock(&self) -> Result<Option<RLockGuard>> {
        Ok(try_acquire(&self.0)?.map(|lease| RLockGuard(lease, PhantomData)))
    }

    /// Locks, waiting for `timeout` at most.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn lock_timeout(&self, timeout: Duration) -> Result<Option<RLockGuard>> {
        self.lock_deadline(after(timeout))
    }

    /// Locks, waiting until a point in time at most.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn lock_deadline(&self, deadline: Instant) -> Result<Option<RLockGuard>> {
        let lease = acquire_until(&self.0, deadline)?;
        Ok(lease.map(|lease| RLockGuard(lease, PhantomData)))
    }

    /// Says whether somebody holds it.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn is_locked(&self) -> Result<bool> {
        self.0.wait(WaitOp::IsLocked)?.yes()
    }
}

impl RLockGuard {
    /// Gives one locking back, and waits until the manager says so.
    ///
    /// # Errors
    ///
    /// As [`LockGuard::unlock`].
    pub fn unlock(self) -> Result<()> {
        self.0.release()
    }
}

impl ConditionProxy {
    /// Locks, waiting until it can.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn lock(&self) -> Result<ConditionGuard> {
        acquire(&self.0).map(|lease| self.guard(lease))
    }

    /// Locks if nobody holds it.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn try_lock(&self) -> Result<Option<ConditionGuard>> {
        Ok(try_acquire(&self.0)?.map(|lease| self.guard(lease)))
    }

    /// Locks, waiting for `timeout` at most.
    ///
    /// # Errors
    ///
    /// As all calls.
    pub fn lock_timeout(&self, timeout: Duration) -> Result<Option<ConditionGuard>> {
        let lease = acquire_until(&self.0, after(timeout))?;
        Ok(lease.map(|lease| self.guard(lease)))
    }

    fn guard(&self, lease: Lease) -> ConditionGuard {
        ConditionGuard {
            handle: self.0.clone(),
            lease: Some(lease),
        }
    }
}

impl ConditionGuard {
    /// Gives the lock up, waits for a notification, and has the lock again.
    ///
    /// There are no wake-ups without a notification, but others may have changed things before
    /// the lock was had: look again.
    ///
    /// # Errors
    ///
    /// As all calls; the lock is not held any more then, and all that is done with this guard
    /// fails with [`NotHeld`](crate::manager::Refusal::NotHeld).
    ///
    /// # Cancellation
    ///
    /// A cancelled wait doesn't hold the lock. A notification that it had got already wakes
    /// another.
    pub fn wait(&mut self) -> Result<()> {
        let (handle, lease) = self.take()?;
        let answer = handle.wait(WaitOp::Wait { lease })?;
        self.lease = Lease::of(&handle, answer)?;
        Ok(())
    }

    /// As [`wait`](Self::wait), for `timeout` at most; says whether it was notified. Has the
    /// lock again in either case, which may take longer.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&mut self, timeout: Duration) -> Result<bool> {
        self.wait_deadline(after(timeout))
    }

    /// As [`wait_timeout`](Self::wait_timeout), until a point in time.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_deadline(&mut self, deadline: Instant) -> Result<bool> {
        let (handle, lease) = self.take()?;
        match handle.wait_until(WaitOp::Wait { lease }, deadline)? {
            Some(answer) => {
                self.lease = Lease::of(&handle, answer)?;
                Ok(true)
            }
            None => {
                self.lease = Some(acquire(&handle)?);
                Ok(false)
            }
        }
    }

    /// Waits as long as `condition` is true.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait), and those of `condition`.
    pub fn wait_while(&mut self, mut condition: impl FnMut() -> Result<bool>) -> Result<()> {
        while condition()? {
            self.wait()?;
        }
        Ok(())
    }

    /// Wakes one who waits; says whether there was one.
    ///
    /// # Errors
    ///
    /// [`NotHeld`](crate::manager::Refusal::NotHeld) after a wait that failed; else as all
    /// calls.
    pub fn notify_one(&self) -> Result<bool> {
        Ok(self.notify(1)? > 0)
    }

    /// Wakes all who wait; gives how many.
    ///
    /// # Errors
    ///
    /// As [`notify_one`](Self::notify_one).
    pub fn notify_all(&self) -> Result<usize> {
        self.notify(u64::MAX)
    }

    /// Gives the lock back, and waits until the manager says so.
    ///
    /// # Errors
    ///
    /// [`NotHeld`](crate::manager::Refusal::NotHeld) after a wait that failed; else as
    /// [`LockGuard::unlock`].
    pub fn unlock(mut self) -> Result<()> {
        self.lease.take().ok_or(Refusal::NotHeld)?.release()
    }

    fn notify(&self, count: u64) -> Result<usize> {
        let lease = self.lease.as_ref().ok_or(Refusal::NotHeld)?.number();
        self.handle.wait(WaitOp::Notify { lease, count })?.count()
    }

    fn take(&mut self) -> Result<(Handle, u64)> {
        let lease = self.lease.take().ok_or(Refusal::NotHeld)?;
        Ok(lease.into_parts())
    }
}

macro_rules! debug {
    ($($guard:ident),*) => {
        $(
            impl std::fmt::Debug for $guard {
                fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str(concat!(stringify!($guard), " { .. }"))
                }
            }
        )*
    };
}
pub(super) use debug;

debug!(LockGuard, RLockGuard, ConditionGuard);
