//! A flag that many can wait for.
//!
//! # States
//!
//! `state` holds the flag in its lowest bit and above it how often the flag was raised. A
//! waiter keeps the state it saw when it came, flag down; it may go as soon as the state has
//! another count. So it goes even if the flag was taken down again before it could look, and
//! neither a wake too many nor one that a future dropped can mislead anybody.
//!
//! # Orderings
//!
//! `set` raises the flag with a `SeqCst` read-modify-write and then looks for waiters; a
//! waiter takes the queue's lock, reads the state with `SeqCst`, then joins. See "Orderings"
//! in the kernel's `wait`.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ropewalk_kernel::wait::{AsyncWait, Limit, Outcome, Reason, WaitQueue, spend};

use super::{only_cancelled, until, wait_error, within};
use crate::cancel::{Cancelled, WaitError};

const SET: usize = 1;
const ONE_RAISE: usize = 2;

/// A flag to wait for; mirrors Python's `threading.Event`.
///
/// Who waited when [`set`](Event::set) was called goes on, even if the flag is cleared at once
/// afterwards.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::{coroutine, sync::Event};
///
/// static READY: Event = Event::new();
///
/// let waiter = coroutine::spawn(|| READY.wait());
/// READY.set();
/// assert!(waiter.join().unwrap().is_ok());
/// assert!(READY.is_set());
/// ```
#[derive(Default)]
pub struct Event {
    state: AtomicUsize,
    queue: WaitQueue,
}

impl Event {
    /// Makes an event whose flag is down.
    pub const fn new() -> Event {
        Event {
            state: AtomicUsize::new(0),
            queue: WaitQueue::new(),
        }
    }

    /// Says whether the flag is up.
    #[inline]
    pub fn is_set(&self) -> bool {
        self.state.load(Ordering::Acquire) & SET != 0
    }

    /// Raises the flag and lets everybody go who waits; does nothing if it is up.
    pub fn set(&self) {
        let raise = |state: usize| (state & SET == 0).then(|| state.wrapping_add(ONE_RAISE) | SET);
        let raised = self
            .state
            .fetch_update(Ordering::SeqCst, Ordering::Acquire, raise);
        if raised.is_ok() {
            self.queue.wake_all();
        }
    }

    /// Takes the flag down.
    pub fn clear(&self) {
        self.state.fetch_and(!SET, Ordering::AcqRel);
    }

    /// Waits until the flag is up.
    ///
    /// # Errors
    ///
    /// If the caller is cancelled while it waits. A flag that is up already counts first.
    ///
    /// # Panics
    ///
    /// If it must wait inside [`no_wait`](crate::coroutine::no_wait).
    pub fn wait(&self) -> Result<(), Cancelled> {
        self.wait_within(Limit::cancellable(None))
            .map_err(only_cancelled)
    }

    /// Waits until the flag is up, for `timeout` at most.
    ///
    /// # Errors
    ///
    /// If the time is over, or the caller is cancelled while it waits.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<(), WaitError> {
        if self.is_set() {
            spend();
            return Ok(());
        }
        self.wait_within(within(timeout))
    }

    /// Waits until the flag is up, until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`wait_timeout`](Self::wait_timeout).
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_deadline(&self, deadline: Instant) -> Result<(), WaitError> {
        self.wait_within(until(deadline))
    }

    /// Gives a future that is ready when the flag is up. It waits from its first poll on.
    pub fn wait_async(&self) -> EventWait<'_> {
        EventWait {
            event: self,
            seen: None,
            wait: AsyncWait::new(),
        }
    }

    fn wait_within(&self, limit: Limit) -> Result<(), WaitError> {
        let seen = self.state.load(Ordering::Acquire);
        if seen & SET != 0 {
            spend();
            return Ok(());
        }
        loop {
            let guard = self.queue.lock();
            if self.state.load(Ordering::SeqCst) != seen {
                return Ok(());
            }
            let object = std::ptr::from_ref(self) as usize;
            match guard.wait(0, Reason::Event, object, limit) {
                Outcome::Woken => {}
                // Perhaps raised in the same moment.
                _ if self.state.load(Ordering::Acquire) != seen => return Ok(()),
                outcome => return Err(wait_error(outcome)),
            }
        }
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("is_set", &self.is_set())
            .finish_non_exhaustive()
    }
}

/// Waits for an [`Event`] in `async` code; see [`Event::wait_async`].
#[must_use = "futures do nothing unless polled"]
pub struct EventWait<'a> {
    event: &'a Event,
    /// The state at the first poll.
    seen: Option<usize>,
    wait: AsyncWait,
}

impl Future for EventWait<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let event = this.event;
        let now = event.state.load(Ordering::Acquire);
        let seen = *this.seen.get_or_insert(now);
        if seen & SET == 0 && seen == now {
            this.wait.prepare(context);
            let guard = event.queue.lock();
            if event.state.load(Ordering::SeqCst) == seen {
                // SAFETY: it leaves this queue when it is ready, below, or dropped, and the
                // event is borrowed for longer.
                unsafe { this.wait.join(guard) };
                return Poll::Pending;
            }
        }
        this.wait.leave(&event.queue);
        Poll::Ready(())
    }
}

impl Drop for EventWait<'_> {
    fn drop(&mut self) {
        // A wake that nobody looked at is no loss: everybody was woken.
        self.wait.leave(&self.event.queue);
    }
}

impl fmt::Debug for EventWait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventWait").finish_non_exhaustive()
    }
}
