//! Coroutines that belong together: joined and cancelled as one, and bounded in number.
//!
//! `places` counts them and does the waiting, `map` applies a function to many items.

mod error;
mod map;
mod places;

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ropewalk_kernel::cancel::{Cancelled, Token};
use ropewalk_kernel::clock;
use ropewalk_kernel::runtime;
use ropewalk_kernel::task::Options;
use ropewalk_kernel::wait::{AsyncWait, Limit, Outcome};

use crate::cancel::WaitError;
use crate::future;
use crate::join::JoinHandle;
use crate::task::Task;

pub use error::{NotDone, SpawnError};
pub use map::{Map, MapUnordered};
pub use places::GroupJoin;

pub(crate) use places::Place;
use places::Shared;

/// Coroutines that are joined and cancelled together; perhaps only so many at once.
///
/// Mirrors gevent's `Group` and `Pool`, and eventlet's `GreenPool`. Share it by reference or in
/// an [`Arc`]. Dropping it cancels nothing and waits for nobody: the coroutines go on by
/// themselves. Where they must not outlive the caller, use a [`scope`](crate::scope).
///
/// # Cancellation
///
/// The coroutines stand under a token of the group's own, which is below that of whoever made the
/// group; not under that of who spawns them.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::Group;
///
/// let group = Group::with_limit(2);
/// let lengths: Vec<usize> = group
///     .map(["one", "two", "three"], |word| word.len())
///     .map(Result::unwrap)
///     .collect();
/// assert_eq!(lengths, [3, 3, 5]);
/// ```
pub struct Group {
    shared: Arc<Shared>,
    token: Token,
}

impl Default for Group {
    fn default() -> Self {
        Group::new()
    }
}

impl Group {
    /// Makes a group without a limit.
    pub fn new() -> Group {
        Group::with_limit(usize::MAX)
    }

    /// Makes a group of which at most `limit` run at once.
    ///
    /// # Panics
    ///
    /// If `limit` is 0: nothing could ever run.
    pub fn with_limit(limit: usize) -> Group {
        assert!(
            limit > 0,
            "a group with a limit of 0 could never run anything"
        );
        Group {
            shared: Arc::new(Shared::new(limit)),
            token: Token::new(),
        }
    }

    /// Spawns a coroutine in the group, when there is room; waits for it if need be.
    ///
    /// If the caller is cancelled while it waits, or the group was [cancelled](Self::cancel), `f`
    /// never runs and joining gives [`JoinError::Cancelled`](crate::JoinError::Cancelled).
    ///
    /// # Panics
    ///
    /// If it must wait inside [`no_wait`](crate::coroutine::no_wait); if the global runtime
    /// must be started and can't be.
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        match self.shared.enter(Limit::cancellable(None)) {
            Ok(place) => self.spawn_in(place, f),
            Err(_) => start(&over(), Location::caller(), f),
        }
    }

    /// Spawns a coroutine in the group if there is room.
    ///
    /// # Errors
    ///
    /// With the closure, if there is none.
    ///
    /// # Panics
    ///
    /// If the global runtime must be started and can't be.
    #[track_caller]
    pub fn try_spawn<F, T>(&self, f: F) -> Result<JoinHandle<T>, SpawnError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        match self.shared.try_enter() {
            Some(place) => Ok(self.spawn_in(place, f)),
            None => Err(SpawnError { f, why: None }),
        }
    }

    /// As [`spawn`](Self::spawn), waiting for `timeout` at most.
    ///
    /// # Errors
    ///
    /// With the closure, if there was no room until then, or the caller was cancelled while it
    /// waited.
    ///
    /// # Panics
    ///
    /// As [`spawn`](Self::spawn).
    #[track_caller]
    pub fn spawn_timeout<F, T>(
        &self,
        timeout: Duration,
        f: F,
    ) -> Result<JoinHandle<T>, SpawnError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.spawn_until(clock::deadline_after(timeout), f)
    }

    /// As [`spawn`](Self::spawn), waiting until a point in time at most.
    ///
    /// # Errors
    ///
    /// As [`spawn_timeout`](Self::spawn_timeout).
    ///
    /// # Panics
    ///
    /// As [`spawn`](Self::spawn).
    #[track_caller]
    pub fn spawn_deadline<F, T>(
        &self,
        deadline: Instant,
        f: F,
    ) -> Result<JoinHandle<T>, SpawnError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.spawn_until(clock::instant_to_ns(deadline), f)
    }

    /// Spawns a future as a task of the group, as [`spawn_async`](crate::spawn_async), when there is
    /// room; waits for it as [`spawn`](Self::spawn) does, also in async code, which holds
    /// a stack for that while.
    ///
    /// # Panics
    ///
    /// As [`spawn`](Self::spawn).
    #[track_caller]
    pub fn spawn_async<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let site = Location::caller();
        let Ok(place) = self.shared.enter(Limit::cancellable(None)) else {
            let spawn = || future::spawn_with(Options::default(), site, future);
            return started(over().run(spawn));
        };
        started(self.spawn_async_in(place, site, future))
    }

    /// Takes a place, waiting for it as long as `limit` allows.
    pub(crate) fn enter(&self, limit: Limit) -> Result<Place, WaitError> {
        self.shared.enter(limit)
    }

    /// Takes a place if there is one.
    pub(crate) fn try_enter(&self) -> Option<Place> {
        self.shared.try_enter()
    }

    /// Spawns a future in a place that was taken.
    pub(crate) fn spawn_async_in<F>(
        &self,
        place: Place,
        site: &'static Location<'static>,
        future: F,
    ) -> io::Result<JoinHandle<F::Output>>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let number = place.number();
        let run = async move {
            place.begin();
            let value = future.await;
            drop(place);
            value
        };
        let spawn = || future::spawn_with(Options::default(), site, run);
        let handle = self.token.run(spawn)?;
        self.shared.know(number, || handle.task());
        Ok(handle)
    }

    /// Says whether the caller is one of the group.
    pub(crate) fn is_member(&self) -> bool {
        self.shared.is_member()
    }

    /// As [`join`](Self::join), as long as `limit` allows.
    pub(crate) fn wait_idle(&self, limit: Limit) -> Outcome {
        self.shared.wait_idle(limit)
    }

    /// Cancels those that run, and those spawned from now on: these never start. As
    /// [`Token::cancel`].
    pub fn cancel(&self) {
        self.token.cancel();
    }

    /// Says whether the group was cancelled, or whoever made it.
    pub fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until none is left: also of those that are spawned meanwhile. Their closures are over
    /// then; their handles may take a moment longer to say so.
    ///
    /// # Errors
    ///
    /// If the caller is cancelled while it waits.
    ///
    /// # Panics
    ///
    /// In a coroutine of the group, which would wait for itself; and if it must wait inside
    /// [`no_wait`](crate::coroutine::no_wait).
    pub fn join(&self) -> Result<(), Cancelled> {
        match self.shared.wait_idle(Limit::cancellable(None)) {
            Outcome::Woken => Ok(()),
            _ => Err(Cancelled::current()),
        }
    }

    /// As [`join`](Self::join), for `timeout` at most.
    ///
    /// # Errors
    ///
    /// With those that are left.
    ///
    /// # Panics
    ///
    /// As [`join`](Self::join).
    pub fn join_timeout(&self, timeout: Duration) -> Result<(), NotDone> {
        self.join_until(clock::deadline_after(timeout))
    }

    /// As [`join`](Self::join), until a point in time at most.
    ///
    /// # Errors
    ///
    /// With those that are left.
    ///
    /// # Panics
    ///
    /// As [`join`](Self::join).
    pub fn join_deadline(&self, deadline: Instant) -> Result<(), NotDone> {
        self.join_until(clock::instant_to_ns(deadline))
    }

    /// Gives a future that is ready when none is left.
    pub fn join_async(&self) -> GroupJoin<'_> {
        GroupJoin {
            shared: &self.shared,
            waiter: AsyncWait::new(),
        }
    }

    /// The number of those that run or are about to.
    pub fn len(&self) -> usize {
        self.shared.running()
    }

    /// Says whether none is left.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many may run at once; `None` for any number.
    pub fn limit(&self) -> Option<usize> {
        (self.shared.limit != usize::MAX).then_some(self.shared.limit)
    }

    /// Those that run or are about to, oldest first.
    pub fn tasks(&self) -> Vec<Task> {
        self.shared.tasks()
    }

    fn join_until(&self, deadline: u64) -> Result<(), NotDone> {
        let outcome = self.shared.wait_idle(Limit::cancellable(Some(deadline)));
        match WaitError::of(outcome) {
            None => Ok(()),
            Some(why) => Err(NotDone {
                tasks: self.tasks(),
                why,
            }),
        }
    }

    #[track_caller]
    fn spawn_until<F, T>(&self, deadline: u64, f: F) -> Result<JoinHandle<T>, SpawnError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        match self.shared.enter(Limit::cancellable(Some(deadline))) {
            Ok(place) => Ok(self.spawn_in(place, f)),
            Err(why) => Err(SpawnError { f, why: Some(why) }),
        }
    }

    #[track_caller]
    fn spawn_in<F, T>(&self, place: Place, f: F) -> JoinHandle<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let number = place.number();
        let run = move || {
            place.begin();
            let value = f();
            drop(place);
            value
        };
        let handle = start(&self.token, Location::caller(), run);
        self.shared.know(number, || handle.task());
        handle
    }
}

/// Spawns a coroutine under `token`.
fn start<F, T>(token: &Token, site: &'static Location<'static>, f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let spawn = || {
        // SAFETY: `'static`.
        unsafe { runtime::spawn_unchecked(Options::default(), None, site, f) }
    };
    started(token.run(spawn).map(JoinHandle::from))
}

fn started<T>(spawned: io::Result<JoinHandle<T>>) -> JoinHandle<T> {
    match spawned {
        Ok(handle) => handle,
        Err(error) => panic!("the global runtime can't be started: {error}"),
    }
}

/// A token under which nothing starts.
fn over() -> Token {
    let token = Token::root();
    token.cancel();
    token
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group")
            .field("len", &self.len())
            .field("limit", &self.limit())
            .field("is_cancelled", &self.is_cancelled())
            .finish()
    }
}
