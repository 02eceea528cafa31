//! Coroutines that borrow: a scope doesn't end before its children have.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ropewalk_kernel::runtime;
use ropewalk_kernel::scope::ScopeState;
use ropewalk_kernel::task::Options;
use ropewalk_kernel::wait;

use crate::task::Task;
use crate::{JoinError, JoinHandle};

/// Where scoped coroutines are spawned; see [`scope`].
pub struct Scope<'scope, 'env: 'scope> {
    state: Arc<ScopeState>,
    // Invariant in both, as std's: a longer or shorter scope would let borrows escape.
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// Runs `f`, which may spawn coroutines that borrow from outside it, and waits for all of
/// them before returning; mirrors [`std::thread::scope`].
///
/// Works in coroutines and on plain threads. The wait is not cancellable.
///
/// # Panics
///
/// With `f`'s panic; if a child panicked and was not joined; and inside
/// [`no_wait`](super::no_wait), before `f` runs.
///
/// # Examples
///
/// ```
/// let words = ["one", "two", "three"];
/// let total: usize = ropewalk_rt::coroutine::scope(|s| {
///     let lengths: Vec<_> = words.iter().map(|word| s.spawn(|| word.len())).collect();
///     lengths.into_iter().map(|length| length.join().unwrap()).sum()
/// });
/// assert_eq!(total, 11);
/// ```
///
/// What a child borrows must outlive the scope:
///
/// ```compile_fail
/// ropewalk_rt::coroutine::scope(|s| {
///     let inside = String::from("gone when the closure returns");
///     s.spawn(|| inside.len());
/// });
/// ```
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    // The wait below must not be refused once children run.
    wait::check_may_wait();
    // SAFETY: the wait below, which nothing comes between.
    let scope = unsafe { Scope::begin() };
    let result = catch_unwind(AssertUnwindSafe(|| f(&scope)));
    scope.wait_for_children();
    match result {
        Err(payload) => resume_unwind(payload),
        Ok(_) if scope.state.panicked() => panic!("a scoped coroutine panicked"),
        Ok(value) => value,
    }
}

impl<'scope, 'env> Scope<'scope, 'env> {
    /// # Safety
    ///
    /// The caller calls `wait_for_children` before it lets go of the scope, and does not give
    /// it away.
    pub(crate) unsafe fn begin() -> Self {
        Scope {
            state: Arc::new(ScopeState::new()),
            scope: PhantomData,
            env: PhantomData,
        }
    }

    pub(crate) fn wait_for_children(&self) {
        self.state.wait();
    }

    /// Spawns a coroutine that may borrow what outlives the scope.
    ///
    /// # Panics
    ///
    /// If the global runtime must be started and can't be.
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        match self.start(Options::default(), Location::caller(), f) {
            Ok(handle) => handle,
            Err(error) => panic!("the global runtime can't be started: {error}"),
        }
    }

    pub(crate) fn start<F, T>(
        &'scope self,
        options: Options,
        site: &'static Location<'static>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        // SAFETY: `scope` waits for the state's count before anything of `'scope` ends,
        // and the kernel lets the count fall after all that the child borrowed is gone.
        let handle = unsafe { runtime::spawn_unchecked(options, Some(&self.state), site, f) }?;
        Ok(ScopedJoinHandle {
            handle: JoinHandle::from(handle),
            scope: PhantomData,
        })
    }
}

/// The right to join a scoped coroutine.
pub struct ScopedJoinHandle<'scope, T> {
    handle: JoinHandle<T>,
    scope: PhantomData<&'scope ()>,
}

impl<T> ScopedJoinHandle<'_, T> {
    /// Waits for the end and takes the value; a panic is then the caller's to deal with.
    ///
    /// # Errors
    ///
    /// As [`JoinHandle::join`].
    pub fn join(self) -> Result<T, JoinError> {
        self.handle.join()
    }

    /// As [`JoinHandle::join_timeout`].
    ///
    /// # Errors
    ///
    /// The handle itself: the child goes on.
    pub fn join_timeout(self, timeout: Duration) -> Result<Result<T, JoinError>, Self> {
        let scope = self.scope;
        self.handle
            .join_timeout(timeout)
            .map_err(|handle| ScopedJoinHandle { handle, scope })
    }

    /// As [`JoinHandle::join_deadline`].
    ///
    /// # Errors
    ///
    /// The handle itself: the child goes on.
    pub fn join_deadline(self, deadline: Instant) -> Result<Result<T, JoinError>, Self> {
        let scope = self.scope;
        self.handle
            .join_deadline(deadline)
            .map_err(|handle| ScopedJoinHandle { handle, scope })
    }

    /// As [`JoinHandle::try_join`].
    ///
    /// # Errors
    ///
    /// The handle itself: the child goes on.
    pub fn try_join(self) -> Result<Result<T, JoinError>, Self> {
        let scope = self.scope;
        self.handle
            .try_join()
            .map_err(|handle| ScopedJoinHandle { handle, scope })
    }

    /// As [`JoinHandle::cancel`].
    pub fn cancel(&self) {
        self.handle.cancel();
    }

    /// As [`JoinHandle::on_done`].
    pub fn on_done<F>(&self, callback: F)
    where
        F: FnOnce(&Result<T, JoinError>) + Send + 'static,
    {
        self.handle.on_done(callback);
    }

    /// Says whether the child has ended.
    pub fn is_finished(&self) -> bool {
        self.handle.is_finished()
    }

    /// The child's id.
    pub fn id(&self) -> u64 {
        self.handle.id()
    }

    /// The child, by its id.
    pub fn task(&self) -> Task {
        self.handle.task()
    }

    pub(crate) fn inner(&self) -> &JoinHandle<T> {
        &self.handle
    }

    pub(crate) fn inner_mut(&mut self) -> &mut JoinHandle<T> {
        &mut self.handle
    }
}

impl<T> fmt::Debug for ScopedJoinHandle<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScopedJoinHandle")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}
