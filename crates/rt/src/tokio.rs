//! Crates that need tokio, from blocking code: one tokio runtime in the background.
//!
//! tokio's sockets, timers and tasks belong to a tokio runtime, which drives them on threads of
//! its own. [`wait`] polls a future on the calling coroutine, where it may borrow and need not be
//! `Send`; when it is pending only the coroutine waits, and tokio's threads wake it. What the
//! future spawns runs on tokio's threads.
//!
//! The runtime starts when first needed, with a thread for each core, and is never stopped; a
//! program that has one already gives it to [`init`].
//!
//! tokio finds its runtime through a thread-local guard, and wants guards to be dropped in the
//! reverse order. Coroutines of a worker that wait inside a poll would not keep to that: so
//! a worker enters once, when it first polls such a future, and for good.
//!
//! # Examples
//!
//! ```
//! use std::time::Duration;
//!
//! let name = String::from("tokio");
//! let answer = ropewalk_rt::spawn(move || {
//!     ropewalk_rt::tokio::wait(async {
//!         tokio::time::sleep(Duration::from_millis(1)).await;
//!         tokio::spawn(async { 40 }).await.unwrap() + name.len() - 3
//!     })
//! });
//! assert_eq!(answer.join().unwrap(), 42);
//! ```

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};

use ::tokio::runtime::{Builder, Handle, Runtime};
use ropewalk_kernel::remote::Remote;

use crate::cancel::Cancelled;
use crate::future::{block_on, block_on_cancellable};

static HANDLE: OnceLock<Handle> = OnceLock::new();
static STARTING: Mutex<()> = Mutex::new(());

thread_local! {
    /// Whether the thread, a worker, has entered the runtime.
    static ENTERED: Cell<bool> = const { Cell::new(false) };
}

/// Gives the tokio runtime to use, for programs that have one: before the first use.
///
/// # Errors
///
/// Gives `handle` back if there is one already.
pub fn init(handle: Handle) -> Result<(), Handle> {
    let _one = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    HANDLE.set(handle)
}

/// The handle of the tokio runtime; started if need be. What is spawned through it runs on
/// tokio's threads, and its handle can be given to [`wait`].
///
/// # Errors
///
/// Those of tokio's start: threads, or descriptors, that can't be had.
pub fn handle() -> io::Result<&'static Handle> {
    if let Some(handle) = HANDLE.get() {
        return Ok(handle);
    }
    let _one = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    if HANDLE.get().is_none() {
        let runtime: Runtime = Builder::new_multi_thread()
            .enable_all()
            .thread_name("ropewalk-tokio")
            .build()?;
        let _ = HANDLE.set(runtime.handle().clone());
        // For as long as the program runs.
        std::mem::forget(runtime);
    }
    Ok(HANDLE.get().expect("just set"))
}

/// Runs a future that needs tokio and waits for its output: a coroutine parks, a thread blocks.
///
/// It is polled here, so it may borrow and need not be `Send`; `block_in_place` and `spawn_local`
/// don't work in it. This is not a cancellation point: [`wait_cancellable`] is.
///
/// # Panics
///
/// As the future does; and if the tokio runtime must be started and can't be: see [`handle`].
pub fn wait<F: Future>(future: F) -> F::Output {
    block_on(with_context(future))
}

/// As [`wait`], and ends when the caller is cancelled, or its deadline passes: the future is
/// dropped then.
///
/// # Errors
///
/// [`Cancelled`].
///
/// # Panics
///
/// As [`wait`].
pub fn wait_cancellable<F: Future>(future: F) -> Result<F::Output, Cancelled> {
    block_on_cancellable(with_context(future))
}

/// Makes a future that needs tokio one that any executor may poll, as
/// [`spawn_async`](crate::spawn_async).
pub fn with_context<F: Future>(future: F) -> WithContext<F> {
    WithContext {
        future: Some(Box::pin(future)),
    }
}

/// A future that is polled, and dropped, inside the tokio runtime; from [`with_context`].
#[must_use = "a future does nothing until it is awaited"]
pub struct WithContext<F> {
    future: Option<Pin<Box<F>>>,
}

/// Calls `f` where tokio finds its runtime.
fn inside<T>(f: impl FnOnce() -> T) -> T {
    let handle = match handle() {
        Ok(handle) => handle,
        Err(error) => panic!("the tokio runtime can't be started: {error}"),
    };
    if Remote::current().is_none() {
        // A thread keeps to the order of its guards, and may belong to somebody else.
        let _entered = handle.enter();
        return f();
    }
    if !ENTERED.replace(true) {
        std::mem::forget(handle.enter());
    }
    f()
}

impl<F: Future> Future for WithContext<F> {
    type Output = F::Output;

    /// # Panics
    ///
    /// As [`wait`].
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let future = self.future.as_mut().expect("there until it is dropped");
        inside(|| future.as_mut().poll(context))
    }
}

impl<F> Drop for WithContext<F> {
    fn drop(&mut self) {
        let future = self.future.take();
        // Never polled: then it has nothing of tokio's either, and no runtime need be started.
        if HANDLE.get().is_some() {
            inside(|| drop(future));
        }
    }
}

impl<F> fmt::Debug for WithContext<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WithContext { .. }")
    }
}
