//! Coroutines that belong together: joined and cancelled as one, and bounded in number.
//!
//! # States
//!
//! `running` is the number of places taken. A place is taken before its coroutine is spawned,
//! with a `SeqCst` read-modify-write, and lies in its closure; when that is gone, having run
//! or not, the place is given back in the same way, and then one who waits for room is woken,
//! and with the last place all who wait for the end. Those look at `running` (`SeqCst`) with
//! their queue locked, then join it: see "Orderings" in the kernel's `wait`. A place that
//! is free may be taken by others than whom it woke, who then waits on.

mod map;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ropewalk_kernel::cancel::{self, Cancelled, Token};
use ropewalk_kernel::clock;
use ropewalk_kernel::runtime;
use ropewalk_kernel::task::Options;
use ropewalk_kernel::wait::{AsyncWait, Limit, Outcome, Reason, WaitQueue};

use crate::cancel::WaitError;
use crate::join::JoinHandle;
use crate::task::Task;

pub use map::{Map, MapUnordered};

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

struct Shared {
    limit: usize,
    running: AtomicUsize,
    members: Mutex<Members>,
    /// Who waits for room.
    room: WaitQueue,
    /// Who waits for the end of all.
    idle: WaitQueue,
}

#[derive(Default)]
struct Members {
    last: u64,
    /// By number, oldest first; a task is not known until it was spawned.
    tasks: BTreeMap<u64, Option<Task>>,
}

/// The right of one coroutine to run in the group.
struct Place {
    shared: Arc<Shared>,
    number: u64,
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
            shared: Arc::new(Shared {
                limit,
                running: AtomicUsize::new(0),
                members: Mutex::default(),
                room: WaitQueue::new(),
                idle: WaitQueue::new(),
            }),
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
            Err(_) => {
                let over = Token::root();
                over.cancel();
                start(&over, Location::caller(), f)
            }
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

    /// Cancels those that run, and those spawned from now on: these never start. As
    /// [`Token::cancel`].
    pub fn cancel(&self) {
        self.token.cancel();
    }

    /// Says whether the group was cancelled, or whoever made it.
    pub fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until none is left: also of those that are spawned meanwhile.
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
        self.shared.running.load(Ordering::Acquire)
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
        let members = self.shared.members();
        members.tasks.values().flatten().cloned().collect()
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
        let number = place.number;
        let run = move || {
            // Before anything else: who joins the group in here is to be told.
            place.shared.know(number, Task::current);
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
    match token.run(spawn) {
        Ok(handle) => JoinHandle(handle),
        Err(error) => panic!("the global runtime can't be started: {error}"),
    }
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

impl Shared {
    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_enter(self: &Arc<Self>) -> Option<Place> {
        self.running
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |running| {
                (running < self.limit).then_some(running + 1)
            })
            .ok()?;
        let mut members = self.members();
        members.last += 1;
        let number = members.last;
        members.tasks.insert(number, None);
        drop(members);
        Some(Place {
            shared: Arc::clone(self),
            number,
        })
    }

    fn enter(self: &Arc<Self>, limit: Limit) -> Result<Place, WaitError> {
        loop {
            if let Some(place) = self.try_enter() {
                return Ok(place);
            }
            let guard = self.room.lock();
            if self.running.load(Ordering::SeqCst) < self.limit {
                continue;
            }
            let object = Arc::as_ptr(self) as usize;
            let outcome = guard.wait(0, Reason::Semaphore, object, limit);
            if let Some(why) = WaitError::of(outcome) {
                // Perhaps there is room since the same moment.
                return self.try_enter().ok_or(why);
            }
        }
    }

    fn wait_idle(&self, limit: Limit) -> Outcome {
        loop {
            if self.running.load(Ordering::SeqCst) == 0 {
                return Outcome::Woken;
            }
            self.check_not_member();
            let guard = self.idle.lock();
            if self.running.load(Ordering::SeqCst) == 0 {
                return Outcome::Woken;
            }
            let object = std::ptr::from_ref(self) as usize;
            let outcome = guard.wait(0, Reason::Join, object, limit);
            if outcome != Outcome::Woken {
                return match self.running.load(Ordering::SeqCst) {
                    0 => Outcome::Woken,
                    _ => outcome,
                };
            }
        }
    }

    fn check_not_member(&self) {
        let me = cancel::current_id();
        let is_member = self
            .members()
            .tasks
            .values()
            .flatten()
            .any(|task| task.id() == me);
        assert!(
            !is_member,
            "a group can't be joined by one of its own: it would wait for itself"
        );
    }

    /// Notes which task has the place `number`, if it still has it.
    fn know(&self, number: u64, task: impl FnOnce() -> Task) {
        if let Some(place) = self.members().tasks.get_mut(&number)
            && place.is_none()
        {
            *place = Some(task());
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let task = self.shared.members().tasks.remove(&self.number);
        drop(task);
        let left = self.shared.running.fetch_sub(1, Ordering::SeqCst) - 1;
        self.shared.room.wake_one();
        if left == 0 {
            self.shared.idle.wake_all();
        }
    }
}

/// There was no room in the [`Group`] for another; holds the closure.
pub struct SpawnError<F> {
    f: F,
    why: Option<WaitError>,
}

impl<F> SpawnError<F> {
    /// The closure, which did not run.
    pub fn into_inner(self) -> F {
        self.f
    }

    /// Says whether it was waited for until the time was over.
    pub fn is_timeout(&self) -> bool {
        self.why == Some(WaitError::Timeout)
    }

    /// Says whether the caller was cancelled while it waited.
    pub fn is_cancelled(&self) -> bool {
        self.why == Some(WaitError::Cancelled)
    }
}

impl<F> fmt::Display for SpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no room in the group")?;
        match self.why {
            Some(why) => write!(f, ": {why}"),
            None => Ok(()),
        }
    }
}

impl<F> fmt::Debug for SpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpawnError")
            .field("why", &self.why)
            .finish_non_exhaustive()
    }
}

impl<F> std::error::Error for SpawnError<F> {}

/// Some of a [`Group`] have not ended.
#[derive(Debug)]
pub struct NotDone {
    tasks: Vec<Task>,
    why: WaitError,
}

impl NotDone {
    /// Those that have not ended, oldest first.
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// Why they were not waited for any longer.
    pub fn reason(&self) -> WaitError {
        self.why
    }
}

impl fmt::Display for NotDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} of the group have not ended",
            self.why,
            self.tasks.len()
        )
    }
}

impl std::error::Error for NotDone {}

/// Waits for the end of all of a [`Group`]; from [`Group::join_async`].
#[must_use = "futures do nothing unless polled"]
pub struct GroupJoin<'a> {
    shared: &'a Shared,
    waiter: AsyncWait,
}

impl Future for GroupJoin<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let shared = this.shared;
        if shared.running.load(Ordering::SeqCst) != 0 {
            shared.check_not_member();
            this.waiter.prepare(context);
            let guard = shared.idle.lock();
            if shared.running.load(Ordering::SeqCst) != 0 {
                // SAFETY: it leaves this queue when it is ready, below, or dropped, and the
                // group is borrowed for longer.
                unsafe { this.waiter.join(guard) };
                return Poll::Pending;
            }
        }
        this.waiter.leave(&shared.idle);
        Poll::Ready(())
    }
}

impl Drop for GroupJoin<'_> {
    fn drop(&mut self) {
        // A wake that nobody looked at is no loss: everybody was woken.
        self.waiter.leave(&self.shared.idle);
    }
}

impl fmt::Debug for GroupJoin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupJoin").finish_non_exhaustive()
    }
}
