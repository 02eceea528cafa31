//! Coroutines that borrow and may fail: the first failure cancels the rest.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ropewalk_kernel::cancel::{Token, shield};
use ropewalk_kernel::task::Options;
use ropewalk_kernel::wait;

use super::joinable::sealed::Source;
use crate::coroutine::{Scope, ScopedJoinHandle};
use crate::task::Task;

/// Where coroutines are spawned that may fail; see [`try_scope`].
pub struct TryScope<'scope, 'env: 'scope, E> {
    scope: Scope<'scope, 'env>,
    token: Token,
    first: Mutex<First<E>>,
}

/// What went wrong first.
struct First<E> {
    /// Whether anything has, even if a joiner has taken it.
    failed: bool,
    error: Option<E>,
    panic: Option<Payload>,
}

type Payload = Box<dyn Any + Send>;

/// What a child leaves to its joiner.
enum Left<T, E> {
    Value(T),
    /// It failed, but not first.
    Error(E),
    /// It failed first: the error is in the scope.
    FirstError,
    /// It panicked, but not first.
    Panic(Payload),
    /// It panicked first: the payload is in the scope.
    FirstPanic,
}

/// Runs `f`, which may spawn coroutines that borrow from outside it and may fail, and waits
/// for all of them before returning. The first failure cancels the rest.
///
/// As [`scope`](crate::scope), but closure and children give a `Result`. When one of them gives an error or
/// panics, the others are cancelled, and so is `f`: each of their waits that is a cancellation
/// point ends with an error. They clean up and return. A child that has not begun yet begins all
/// the same, so that joining it always gives a value or an error of its own; a long computation
/// may ask [`cancel::check`](crate::cancel::check) first. The scope's wait is not cancellable, but a
/// cancellation of the caller reaches all its children.
///
/// # Errors
///
/// That of the child that failed first, if nobody [joined](TryScopedJoinHandle::join) it; else that
/// of `f`. (The error of a child that was joined is the joiner's, who may pass it on by `?`.)
///
/// # Panics
///
/// With `f`'s panic, or the first of a child's; and inside
/// [`no_wait`](crate::coroutine::no_wait), before `f` runs.
///
/// # Examples
///
/// ```
/// use std::num::ParseIntError;
/// use ropewalk_rt::results::try_scope;
///
/// fn sum(words: &[&str]) -> Result<u32, ParseIntError> {
///     try_scope(|s| {
///         let numbers: Vec<_> = words.iter().map(|word| s.spawn(|| word.parse::<u32>())).collect();
///         numbers.into_iter().map(|number| number.join()).sum()
///     })
/// }
/// assert_eq!(sum(&["1", "20", "300"]), Ok(321));
/// assert!(sum(&["1", "twenty", "300"]).is_err());
/// ```
pub fn try_scope<'env, F, T, E>(f: F) -> Result<T, E>
where
    F: for<'scope> FnOnce(&'scope TryScope<'scope, 'env, E>) -> Result<T, E>,
    E: Send + 'env,
{
    // The wait below must not be refused once children run.
    wait::check_may_wait();
    let scope = TryScope {
        // SAFETY: the wait below, which nothing comes between.
        scope: unsafe { Scope::begin() },
        token: Token::new(),
        first: Mutex::new(First {
            failed: false,
            error: None,
            panic: None,
        }),
    };
    let result = catch_unwind(AssertUnwindSafe(|| scope.token.run(|| f(&scope))));
    if !matches!(result, Ok(Ok(_))) {
        // Errors that come of the cancellation are not first.
        scope.first().failed = true;
        scope.token.cancel();
    }
    scope.scope.wait_for_children();
    let (error, panic) = {
        let mut first = scope.first();
        (first.error.take(), first.panic.take())
    };
    match (result, panic, error) {
        (Err(payload), _, _) | (Ok(_), Some(payload), _) => resume_unwind(payload),
        (Ok(_), None, Some(error)) => Err(error),
        (Ok(result), None, None) => result,
    }
}

impl<'scope, E: Send> TryScope<'scope, '_, E> {
    /// Spawns a coroutine that may borrow what outlives the scope, and may fail.
    ///
    /// # Panics
    ///
    /// If the global runtime must be started and can't be.
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> TryScopedJoinHandle<'scope, T, E>
    where
        F: FnOnce() -> Result<T, E> + Send + 'scope,
        T: Send + 'scope,
        E: 'scope,
    {
        let child = move || {
            let result = catch_unwind(AssertUnwindSafe(|| self.token.run(f)));
            self.settle(result)
        };
        let site = Location::caller();
        // Spawned under the token it would be refused its start after a failure, and have no
        // result.
        match shield(|| self.scope.start(Options::default(), site, child)) {
            Ok(handle) => TryScopedJoinHandle {
                handle,
                first: &self.first,
            },
            Err(error) => panic!("the global runtime can't be started: {error}"),
        }
    }

    /// Cancels the children that run, and those that come, and the scope's closure. They end
    /// with errors of their own, if they wait.
    pub fn cancel(&self) {
        self.token.cancel();
    }

    /// Sorts out what the calling child made.
    fn settle<T>(&self, result: std::thread::Result<Result<T, E>>) -> Left<T, E> {
        let left = match result {
            Ok(Ok(value)) => return Left::Value(value),
            Ok(Err(error)) => {
                let mut first = self.first();
                if first.failed {
                    Left::Error(error)
                } else {
                    first.error = Some(error);
                    first.failed = true;
                    Left::FirstError
                }
            }
            Err(payload) => {
                let mut first = self.first();
                first.failed = true;
                if first.panic.is_some() {
                    Left::Panic(payload)
                } else {
                    first.panic = Some(payload);
                    Left::FirstPanic
                }
            }
        };
        self.token.cancel();
        left
    }
}

impl<E> TryScope<'_, '_, E> {
    fn first(&self) -> MutexGuard<'_, First<E>> {
        lock(&self.first)
    }
}

fn lock<E>(first: &Mutex<First<E>>) -> MutexGuard<'_, First<E>> {
    first.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<E> fmt::Debug for TryScope<'_, '_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryScope")
            .field("failed", &self.first().failed)
            .finish_non_exhaustive()
    }
}

/// The right to join a child of a [`try_scope`].
pub struct TryScopedJoinHandle<'scope, T, E> {
    handle: ScopedJoinHandle<'scope, Left<T, E>>,
    first: &'scope Mutex<First<E>>,
}

impl<T, E> TryScopedJoinHandle<'_, T, E> {
    /// Waits for the end and takes the value. Not a cancellation point: the child is cancelled
    /// with the scope.
    ///
    /// # Errors
    ///
    /// The child's. It is then the caller's to deal with, or to pass on.
    ///
    /// # Panics
    ///
    /// With the child's panic; if the child never ran as its runtime was shut down; in the
    /// child itself; and if it must wait inside [`no_wait`](crate::coroutine::no_wait).
    pub fn join(mut self) -> Result<T, E> {
        self.handle.wait_for_end();
        let left = match self.handle.take_result() {
            Ok(left) => left,
            Err(error) => panic!("a child of `try_scope` never ran: {error}"),
        };
        let payload = match left {
            Left::Value(value) => return Ok(value),
            Left::Error(error) => return Err(error),
            Left::FirstError => match lock(self.first).error.take() {
                Some(error) => return Err(error),
                None => unreachable!("the first error is there until its child is joined"),
            },
            Left::Panic(payload) => payload,
            Left::FirstPanic => match lock(self.first).panic.take() {
                Some(payload) => payload,
                None => unreachable!("the first panic is there until its child is joined"),
            },
        };
        resume_unwind(payload)
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
}

impl<T, E> fmt::Debug for TryScopedJoinHandle<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TryScopedJoinHandle")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}
