//! Acquiring in `async` code.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use ropewalk_kernel::wait::{AsyncWait, spend};

use super::permit::{OwnedSemaphorePermit, Owner, SemaphorePermit, Source};

/// Takes permits; see [`Semaphore::acquire_async`](super::Semaphore::acquire_async).
///
/// Dropped before it is ready, it has taken nothing, and lets the next waiter have its turn.
#[must_use = "futures do nothing unless polled"]
pub struct Acquire<'a> {
    source: Source<'a>,
    wants: usize,
    waiting: Option<AsyncWait>,
}

impl<'a> Acquire<'a> {
    pub(super) fn new(source: Source<'a>, wants: usize) -> Acquire<'a> {
        Acquire {
            source,
            wants,
            waiting: None,
        }
    }
}

impl<'a> Future for Acquire<'a> {
    type Output = SemaphorePermit<'a>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<SemaphorePermit<'a>> {
        spend();
        let this = self.get_mut();
        let permits = &this.source.semaphore().permits;
        permits
            .poll_take(this.wants, &mut this.waiting, context)
            .map(|()| SemaphorePermit::new(this.source, this.wants))
    }
}

impl Drop for Acquire<'_> {
    fn drop(&mut self) {
        self.source.semaphore().permits.give_up(&mut self.waiting);
    }
}

impl fmt::Debug for Acquire<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acquire")
            .field("wants", &self.wants)
            .finish_non_exhaustive()
    }
}

/// Takes permits that keep their semaphore alive; see
/// [`Semaphore::acquire_owned_async`](super::Semaphore::acquire_owned_async).
///
/// Dropped before it is ready, it has taken nothing, and lets the next waiter have its turn.
#[must_use = "futures do nothing unless polled"]
pub struct AcquireOwned {
    owner: Owner,
    wants: usize,
    waiting: Option<AsyncWait>,
}

impl AcquireOwned {
    pub(super) fn new(owner: Owner, wants: usize) -> AcquireOwned {
        AcquireOwned {
            owner,
            wants,
            waiting: None,
        }
    }
}

impl Future for AcquireOwned {
    type Output = OwnedSemaphorePermit;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<OwnedSemaphorePermit> {
        spend();
        let this = self.get_mut();
        let source = this.owner.source();
        let permits = &source.semaphore().permits;
        permits
            .poll_take(this.wants, &mut this.waiting, context)
            .map(|()| OwnedSemaphorePermit::new(this.owner.clone(), this.wants))
    }
}

impl Drop for AcquireOwned {
    fn drop(&mut self) {
        let source = self.owner.source();
        source.semaphore().permits.give_up(&mut self.waiting);
    }
}

impl fmt::Debug for AcquireOwned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcquireOwned")
            .field("wants", &self.wants)
            .finish_non_exhaustive()
    }
}
