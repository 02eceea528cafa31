//! Async code on the same workers: tasks without a stack, and time for futures.
//!
//! Locks, channels, queues and results have a form for `async` code, a future that works on
//! any executor; [`spawn_async`] is ours. A future may also call the blocking forms: then the
//! task holds a stack for that while, as a coroutine does, and the worker goes on with
//! others.

use std::fmt;
use std::future::Future;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ropewalk_kernel::task::Options;
use ropewalk_kernel::{clock, future};

use crate::cancel::Elapsed;
use crate::join::JoinHandle;

pub use ropewalk_kernel::wait::{block_on, block_on_cancellable};

/// Spawns a future as a task of its own and gives the handle to join or await it with.
///
/// On the caller's runtime; outside one, on the global runtime, which this starts if need
/// be. Between two polls the task has no stack: a record of 192 bytes and the boxed future.
/// Whichever worker is free polls it. Cancelling it through its handle, or its token, drops the
/// future at its next turn.
///
/// # Panics
///
/// If the global runtime must be started and can't be: see [`Builder::spawn_async`].
///
/// [`Builder::spawn_async`]: crate::coroutine::Builder::spawn_async
///
/// # Examples
///
/// ```
/// let parts: Vec<_> = (1..=3).map(|n| ropewalk_rt::spawn_async(async move { n * n })).collect();
/// let sum = ropewalk_rt::spawn_async(async move {
///     let mut sum = 0;
///     for part in parts {
///         sum += part.await.unwrap();
///     }
///     sum
/// });
/// assert_eq!(sum.join().unwrap(), 14);
/// ```
#[track_caller]
pub fn spawn_async<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    match spawn_with(Options::default(), Location::caller(), future) {
        Ok(handle) => handle,
        Err(error) => panic!("the global runtime can't be started: {error}"),
    }
}

pub(crate) fn spawn_with<F>(
    options: Options,
    site: &'static Location<'static>,
    future: F,
) -> io::Result<JoinHandle<F::Output>>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    future::spawn(options, site, future).map(JoinHandle::from)
}

/// Is ready after `duration`; on any executor. Late by as much as
/// [`coroutine::sleep`](crate::coroutine::sleep).
pub fn sleep_async(duration: Duration) -> Sleep {
    Sleep(future::Sleep::new(clock::deadline_after(duration)))
}

/// Is ready at `deadline`; on any executor.
pub fn sleep_until_async(deadline: Instant) -> Sleep {
    Sleep(future::Sleep::new(clock::instant_to_ns(deadline)))
}

/// A point in time as a future; from [`sleep_async`].
#[must_use = "a future does nothing until it is awaited"]
pub struct Sleep(future::Sleep);

impl Future for Sleep {
    type Output = ();

    /// # Panics
    ///
    /// Outside the workers, if the global runtime must be started and can't be.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.0).poll(context)
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sleep { .. }")
    }
}

/// Gives `future` until `limit` is over, then drops it; the form of
/// [`cancel::timeout`](crate::cancel::timeout) for `async` code.
///
/// A future that is ready is taken, also when the time is over.
///
/// # Errors
///
/// [`Elapsed`] if it was not ready in time.
pub async fn timeout_async<F: Future>(limit: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut sleep = std::pin::pin!(sleep_async(limit));
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Ok(output));
        }
        sleep.as_mut().poll(context).map(|()| Err(Elapsed::new(())))
    })
    .await
}

/// Lets others run once.
pub async fn yield_async() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
