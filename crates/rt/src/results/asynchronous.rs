//! The forms for `async` code: they work on any executor.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::joinable::Joinable;
use super::many::{call_off, check_race};
use crate::JoinError;

/// As [`join_all`](super::join_all), for `async` code: a future of all results, in their order.
///
/// A handle is polled only once those before it are ready. Dropped, it lets the tasks go on.
pub fn join_all_async<H: Joinable>(handles: impl IntoIterator<Item = H>) -> JoinAll<H> {
    let handles: Vec<H> = handles.into_iter().collect();
    JoinAll {
        results: Vec::with_capacity(handles.len()),
        handles,
    }
}

/// A future of all results; from [`join_all_async`].
#[must_use = "futures do nothing unless polled"]
pub struct JoinAll<H: Joinable> {
    handles: Vec<H>,
    /// Those of the first handles, in order.
    results: Vec<Result<H::Value, JoinError>>,
}

impl<H: Joinable> Future for JoinAll<H> {
    type Output = Vec<Result<H::Value, JoinError>>;

    /// Empty if it is polled again after it was ready.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        while let Some(handle) = this.handles.get_mut(this.results.len()) {
            match handle.poll_result(context) {
                Poll::Ready(result) => this.results.push(result),
                Poll::Pending => return Poll::Pending,
            }
        }
        this.handles.clear();
        Poll::Ready(std::mem::take(&mut this.results))
    }
}

// Nothing is pinned: handles may be moved between polls.
impl<H: Joinable> Unpin for JoinAll<H> {}

impl<H: Joinable> fmt::Debug for JoinAll<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinAll")
            .field("left", &(self.handles.len() - self.results.len()))
            .finish_non_exhaustive()
    }
}

/// As [`race`](super::race), for `async` code: a future of the first result to come. The others
/// are [cancelled](crate::JoinHandle::cancel) then; they go on if the future is dropped before.
///
/// A poll costs as much as there are handles.
///
/// # Panics
///
/// If there are none.
pub fn race_async<H: Joinable>(handles: impl IntoIterator<Item = H>) -> Race<H> {
    let handles: Vec<H> = handles.into_iter().collect();
    check_race(&handles);
    Race { handles }
}

/// A future of the first result; from [`race_async`].
#[must_use = "futures do nothing unless polled"]
pub struct Race<H> {
    handles: Vec<H>,
}

impl<H: Joinable> Future for Race<H> {
    type Output = Result<H::Value, JoinError>;

    /// # Panics
    ///
    /// If polled again after it was ready.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        assert!(
            !this.handles.is_empty(),
            "a race was polled after it was ready"
        );
        for index in 0..this.handles.len() {
            if let Poll::Ready(result) = this.handles[index].poll_result(context) {
                let mut others = std::mem::take(&mut this.handles);
                drop(others.swap_remove(index));
                call_off(&others);
                return Poll::Ready(result);
            }
        }
        Poll::Pending
    }
}

impl<H> fmt::Debug for Race<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Race")
            .field("runners", &self.handles.len())
            .finish_non_exhaustive()
    }
}
