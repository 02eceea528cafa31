//! A value that changes, and those who want to know: each receiver sees the newest value, and
//! may miss those between.
//!
//! # States
//!
//! `state` holds in its lowest bit that the senders are gone, and above it the version: how
//! often the value was sent. A receiver keeps the version that it saw last; so no change is
//! missed, however long it looks elsewhere. The last value of all can still be seen when
//! the senders are gone.
//!
//! # Orderings
//!
//! The version changes (`SeqCst`) while the value is locked for writing, so who reads it
//! under the lock knows which value it belongs to. Who changes `state` or a count then looks for
//! waiters; a waiter takes the queue's lock, reads (`SeqCst`), then joins. Waiters are always woken
//! all at once: a wake that one doesn't look at is nobody else's.
//!
//! Lock order: the value's lock, or a queue's; never both.

mod receiver;
mod sender;

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ropewalk_kernel::wait::{Limit, Outcome, Reason, WaitQueue};

pub use receiver::ChangedFuture;
pub use sender::ClosedFuture;

use super::{RecvError, RecvTimeoutError};
use crate::sync::{RwLock, RwLockReadGuard};

const CLOSED: usize = 1;
const ONE_VERSION: usize = 2;

/// Makes a watched value; mirrors tokio's `watch`. The first value counts as seen.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::{channel::watch, coroutine};
///
/// let (sender, mut receiver) = watch::channel(0);
/// let seen = coroutine::spawn(move || receiver.wait_for(|n| *n >= 2).map(|n| *n));
/// sender.send(1).unwrap();
/// sender.send(2).unwrap();
/// assert_eq!(seen.join().unwrap(), Ok(2));
/// ```
pub fn channel<T>(initial: T) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        value: RwLock::new(initial),
        state: AtomicUsize::new(0),
        senders: AtomicUsize::new(1),
        receivers: AtomicUsize::new(1),
        changes: WaitQueue::new(),
        leaves: WaitQueue::new(),
    });
    let sender = Sender {
        shared: Arc::clone(&shared),
    };
    (sender, Receiver { shared, seen: 0 })
}

struct Shared<T> {
    value: RwLock<T>,
    state: AtomicUsize,
    senders: AtomicUsize,
    receivers: AtomicUsize,
    /// Those who wait for a change.
    changes: WaitQueue,
    /// Those who wait until the receivers are gone.
    leaves: WaitQueue,
}

impl<T> Shared<T> {
    /// The version, if it is another than `seen`, or that there will be none; `None` as long as
    /// there may be one.
    fn look(&self, seen: usize) -> Option<Result<usize, RecvError>> {
        let state = self.state.load(Ordering::SeqCst);
        let version = state & !CLOSED;
        if version != seen {
            Some(Ok(version))
        } else {
            (state & CLOSED != 0).then_some(Err(RecvError))
        }
    }

    /// Waits for a version other than `seen`.
    fn wait(&self, seen: usize, limit: Limit) -> Result<usize, RecvTimeoutError> {
        let mut outcome = Outcome::Woken;
        loop {
            let guard = self.changes.lock();
            if let Some(found) = self.look(seen) {
                return Ok(found?);
            }
            match outcome {
                Outcome::Woken => {}
                Outcome::Expired => return Err(RecvTimeoutError::Timeout),
                Outcome::Cancelled => return Err(RecvTimeoutError::Disconnected),
            }
            outcome = guard.wait(0, Reason::Receive, self.address(), limit);
        }
    }

    fn borrow(&self) -> Ref<'_, T> {
        Ref(self.value.read())
    }

    fn subscribe(shared: &Arc<Shared<T>>, seen: usize) -> Receiver<T> {
        // The count can't overflow: an `Arc` is made for each, whose own count aborts before.
        shared.receivers.fetch_add(1, Ordering::Relaxed);
        Receiver {
            shared: Arc::clone(shared),
            seen,
        }
    }

    fn version(&self) -> usize {
        self.state.load(Ordering::SeqCst) & !CLOSED
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }
}

/// The side that sets the value; clone it for more senders.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// A side that sees the value; clone it for more receivers.
///
/// Waiting for a change is a cancellation point: a cancelled wait fails as if the senders
/// were gone.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// The version seen last.
    seen: usize,
}

/// The value, borrowed: nobody can change it meanwhile, senders wait. So let it go before waiting
/// or awaiting anything.
pub struct Ref<'a, T>(RwLockReadGuard<'a, T>);

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Ref<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
