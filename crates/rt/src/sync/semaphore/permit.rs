//! What is held of a semaphore.

use std::fmt;
use std::sync::Arc;

use super::{BoundedSemaphore, Semaphore};

/// Where permits go back to.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    Plain(&'a Semaphore),
    Bounded(&'a BoundedSemaphore),
}

impl Source<'_> {
    pub(super) fn semaphore(&self) -> &Semaphore {
        match self {
            Source::Plain(semaphore) => semaphore,
            Source::Bounded(bounded) => bounded.inner(),
        }
    }

    #[inline]
    fn give(&self, n: usize) {
        if n == 0 {
            return;
        }
        match self {
            Source::Plain(semaphore) => semaphore.add_permits(n),
            Source::Bounded(bounded) => {
                if let Err(error) = bounded.release_many(n)
                    && !std::thread::panicking()
                {
                    panic!("a permit came back that had been released by hand: {error}");
                }
            }
        }
    }
}

/// A source that is kept alive.
#[derive(Clone)]
pub(super) enum Owner {
    Plain(Arc<Semaphore>),
    Bounded(Arc<BoundedSemaphore>),
}

impl Owner {
    pub(super) fn source(&self) -> Source<'_> {
        match self {
            Owner::Plain(semaphore) => Source::Plain(semaphore),
            Owner::Bounded(bounded) => Source::Bounded(bounded),
        }
    }
}

/// Permits of a semaphore, given back when this is dropped.
///
/// Any task may drop it.
#[must_use = "permits go back when their guard is dropped"]
pub struct SemaphorePermit<'a> {
    source: Source<'a>,
    permits: usize,
}

impl<'a> SemaphorePermit<'a> {
    #[inline]
    pub(super) fn new(source: Source<'a>, permits: usize) -> SemaphorePermit<'a> {
        SemaphorePermit { source, permits }
    }

    /// How many permits this is.
    pub fn permits(&self) -> usize {
        self.permits
    }

    /// Keeps the permits taken for good, or until somebody releases as many by hand.
    pub fn forget(mut self) {
        self.permits = 0;
    }

    /// Splits `n` permits off, if this has as many.
    pub fn split(&mut self, n: usize) -> Option<SemaphorePermit<'a>> {
        self.permits = self.permits.checked_sub(n)?;
        Some(SemaphorePermit::new(self.source, n))
    }

    /// Adds another's permits to this.
    ///
    /// # Panics
    ///
    /// If they are of another semaphore.
    pub fn merge(&mut self, mut other: SemaphorePermit<'_>) {
        assert!(
            std::ptr::eq(self.source.semaphore(), other.source.semaphore()),
            "permits of two semaphores can't be merged"
        );
        self.permits += std::mem::take(&mut other.permits);
    }

    pub(super) fn owned_by(mut self, owner: &Arc<Semaphore>) -> OwnedSemaphorePermit {
        let permits = std::mem::take(&mut self.permits);
        OwnedSemaphorePermit::new(Owner::Plain(Arc::clone(owner)), permits)
    }

    pub(super) fn owned_by_bounded(
        mut self,
        owner: &Arc<BoundedSemaphore>,
    ) -> OwnedSemaphorePermit {
        let permits = std::mem::take(&mut self.permits);
        OwnedSemaphorePermit::new(Owner::Bounded(Arc::clone(owner)), permits)
    }
}

impl Drop for SemaphorePermit<'_> {
    #[inline]
    fn drop(&mut self) {
        self.source.give(self.permits);
    }
}

impl fmt::Debug for SemaphorePermit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SemaphorePermit")
            .field("permits", &self.permits)
            .finish_non_exhaustive()
    }
}

/// As [`SemaphorePermit`], but keeps the semaphore alive instead of borrowing it.
#[must_use = "permits go back when their guard is dropped"]
pub struct OwnedSemaphorePermit {
    owner: Owner,
    permits: usize,
}

impl OwnedSemaphorePermit {
    pub(super) fn new(owner: Owner, permits: usize) -> OwnedSemaphorePermit {
        OwnedSemaphorePermit { owner, permits }
    }

    /// How many permits this is.
    pub fn permits(&self) -> usize {
        self.permits
    }

    /// Keeps the permits taken for good, or until somebody releases as many by hand.
    pub fn forget(mut self) {
        self.permits = 0;
    }

    /// Splits `n` permits off, if this has as many.
    pub fn split(&mut self, n: usize) -> Option<OwnedSemaphorePermit> {
        self.permits = self.permits.checked_sub(n)?;
        Some(OwnedSemaphorePermit::new(self.owner.clone(), n))
    }

    /// Adds another's permits to this.
    ///
    /// # Panics
    ///
    /// If they are of another semaphore.
    pub fn merge(&mut self, mut other: OwnedSemaphorePermit) {
        let (mine, others) = (self.owner.source(), other.owner.source());
        assert!(
            std::ptr::eq(mine.semaphore(), others.semaphore()),
            "permits of two semaphores can't be merged"
        );
        self.permits += std::mem::take(&mut other.permits);
    }
}

impl Drop for OwnedSemaphorePermit {
    fn drop(&mut self) {
        self.owner.source().give(self.permits);
    }
}

impl fmt::Debug for OwnedSemaphorePermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedSemaphorePermit")
            .field("permits", &self.permits)
            .finish_non_exhaustive()
    }
}
