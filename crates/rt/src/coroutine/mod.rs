//! Coroutines: like threads, but many.
//!
//! A coroutine starts on whichever worker is free, and then stays on that worker's thread
//! to its end: it may keep what isn't `Send` across a wait, and `thread_local!`s stay put.
//! It gives way only where it waits; see the crate's front page for the limits this brings.

mod builder;
mod refused;
mod scope;

pub use builder::Builder;
pub use refused::TrySpawnError;
pub use scope::{Scope, ScopedJoinHandle, scope};

pub use crate::task::{Info, Task};
pub use crate::{JoinError, JoinHandle};
pub use ropewalk_kernel::wait::{in_coroutine, no_wait};

use std::io;
use std::panic::Location;
use std::time::{Duration, Instant};

use ropewalk_kernel::runtime;
use ropewalk_kernel::task::Options;
use ropewalk_kernel::{clock, living_everywhere, wait};

/// Spawns a coroutine and gives the handle to join it with.
///
/// On the caller's runtime; outside one, on the global runtime, which this starts if
/// need be. The coroutine may run on any of the runtime's workers. If the runtime has a limit
/// on coroutines ([`max_coroutines`](crate::RuntimeBuilder::max_coroutines)) and is full, this
/// waits for one of them to end; [`try_spawn`] doesn't.
///
/// # Panics
///
/// If the global runtime must be started and can't be: see [`Builder::spawn`] for an error
/// in its place.
///
/// # Examples
///
/// ```
/// let handle = ropewalk_rt::coroutine::spawn(|| 6 * 7);
/// assert_eq!(handle.join().unwrap(), 42);
/// ```
#[inline]
#[track_caller]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    // SAFETY: `'static`.
    let handle =
        unsafe { runtime::spawn_unchecked(Options::default(), None, Location::caller(), f) };
    match handle {
        Ok(handle) => JoinHandle::from(handle),
        Err(error) => panic!("the global runtime can't be started: {error}"),
    }
}

/// Spawns a coroutine as [`spawn`], unless it would have to wait for a place: then the closure
/// comes back.
///
/// # Errors
///
/// The closure, if the runtime has as many coroutines as it
/// [may have](crate::RuntimeBuilder::max_coroutines), or the global one can't be started.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::{Runtime, coroutine};
///
/// let runtime = Runtime::builder().workers(1).max_coroutines(1).build()?;
/// runtime.run(|| {
///     // The one that asks is the one there may be.
///     let refused = coroutine::try_spawn(|| 42).unwrap_err();
///     assert!(refused.is_full());
///     assert_eq!(refused.into_inner()(), 42);
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn try_spawn<F, T>(f: F) -> Result<JoinHandle<T>, TrySpawnError<F>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Builder::new().try_spawn(f)
}

/// Spawns a coroutine on the worker with this index, counted from 0; it is never stolen.
///
/// Of the caller's runtime, or outside one of the global runtime. The closure must be `Send`,
/// as the worker may be another than the caller's; see [`spawn_local`] for one that isn't.
///
/// # Errors
///
/// `InvalidInput` if there is no such worker; those of the global runtime's start.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::{Runtime, coroutine};
///
/// let runtime = Runtime::builder().workers(2).build()?;
/// runtime.run(|| {
///     for index in 0..2 {
///         let handle = coroutine::spawn_on(index, coroutine::worker).unwrap();
///         assert_eq!(handle.join().unwrap(), Some(index));
///     }
///     assert!(coroutine::spawn_on(2, || ()).is_err());
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[track_caller]
pub fn spawn_on<F, T>(worker: usize, f: F) -> io::Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Builder::new().on_worker(worker).spawn(f)
}

/// The index of the worker that the caller runs on; `None` outside any runtime.
pub fn worker() -> Option<usize> {
    runtime::current_worker()
}

/// Spawns a coroutine on the caller's worker, for a closure that isn't `Send`.
///
/// # Panics
///
/// Outside a coroutine: there is no worker to stay on.
#[track_caller]
pub fn spawn_local<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    JoinHandle::from(runtime::spawn_local(
        Options::default(),
        Location::caller(),
        f,
    ))
}

/// Lets others run, then goes on. On a plain thread: `std::thread::yield_now`.
///
/// # Panics
///
/// Inside [`no_wait`].
#[inline]
pub fn yield_now() {
    wait::yield_now();
}

/// Sleeps for at least `duration`; late by less than 0.1 ms plus what the worker is busy.
///
/// # Panics
///
/// Inside [`no_wait`].
pub fn sleep(duration: Duration) {
    wait::sleep_until(clock::deadline_after(duration));
}

/// Sleeps until `deadline`, as [`sleep`].
///
/// # Panics
///
/// Inside [`no_wait`].
pub fn sleep_until(deadline: Instant) {
    wait::sleep_until(clock::instant_to_ns(deadline));
}

/// The calling coroutine; on a plain thread, the thread.
pub fn current() -> Task {
    Task::current()
}

/// The coroutines of all runtimes that have not ended, oldest first.
///
/// A look at a moving thing: each was alive when it was looked at.
pub fn list() -> Vec<Info> {
    living_everywhere()
        .into_iter()
        .filter(|task| !task.thread)
        .map(Info::new)
        .collect()
}

/// The number of coroutines that have not ended; costs as much as [`list`].
pub fn count() -> usize {
    list().len()
}
