//! Code that runs once, however many come.
//!
//! # States
//!
//! ```text
//!   NEW ──begin──▶ RUNNING ──the closure returned──▶ DONE
//!    ▲                │
//!    └────────────────┘  it panicked, or failed, or its future was dropped
//! ```
//!
//! `begin` is one compare-exchange; whoever made it is the only one to leave RUNNING. `owner`
//! is the id of the task inside the closure, and 0 while nobody is or a future is.
//!
//! # Orderings
//!
//! DONE is stored with `SeqCst` and read with `Acquire`: who sees it sees what the closure
//! wrote. Leaving RUNNING is followed by a look for waiters; a waiter takes the queue's lock,
//! reads the state with `SeqCst`, then joins.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ropewalk_kernel::cancel::current_id;
use ropewalk_kernel::wait::{AsyncWait, Limit, Outcome, Reason, WaitQueue};

use super::{until, wait_error, within};
use crate::cancel::WaitError;

const NEW: u8 = 0;
const RUNNING: u8 = 1;
const DONE: u8 = 2;

/// Runs a closure once; mirrors `std::sync::Once`.
///
/// Without poisoning: if the closure panics, the next caller's closure runs. The closure may
/// wait; whoever comes meanwhile waits for its end, which is no cancellation point.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::sync::Once;
///
/// static START: Once = Once::new();
///
/// START.call_once(|| println!("once"));
/// START.call_once(|| unreachable!("a second time"));
/// assert!(START.is_completed());
/// ```
pub struct Once {
    state: AtomicU8,
    owner: AtomicU64,
    queue: WaitQueue,
}

impl Once {
    /// Makes one that has not run.
    pub const fn new() -> Once {
        Once {
            state: AtomicU8::new(NEW),
            owner: AtomicU64::new(0),
            queue: WaitQueue::new(),
        }
    }

    /// Runs `f` if nothing ran to its end here yet; returns when something has.
    ///
    /// # Panics
    ///
    /// As `f` does; if `f` comes back to this same `Once`; if it must wait inside
    /// [`no_wait`](crate::coroutine::no_wait).
    #[inline]
    pub fn call_once(&self, f: impl FnOnce()) {
        if self.is_completed() {
            return;
        }
        if let Some(running) = self.begin() {
            f();
            running.complete();
        }
    }

    /// Says whether a closure has run to its end.
    #[inline]
    pub fn is_completed(&self) -> bool {
        self.state.load(Ordering::Acquire) == DONE
    }

    /// Waits until somebody's closure has run to its end. Not a cancellation point.
    ///
    /// # Panics
    ///
    /// If it must wait inside [`no_wait`](crate::coroutine::no_wait), or in the closure itself.
    pub fn wait(&self) {
        if let Err(error) = self.wait_within(Limit::NONE) {
            unreachable!("a wait without limit ended: {error:?}");
        }
    }

    /// As [`wait`](Self::wait), for `timeout` at most.
    ///
    /// # Errors
    ///
    /// If the time is over, or the caller is cancelled while it waits.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> Result<(), WaitError> {
        self.wait_within(within(timeout))
    }

    /// As [`wait`](Self::wait), until `deadline` at most.
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

    /// Gives a future that is ready when somebody's closure has run to its end.
    pub fn wait_async(&self) -> OnceWait<'_> {
        OnceWait {
            once: self,
            wanted: |state| state == DONE,
            wait: AsyncWait::new(),
        }
    }

    /// Starts the one run, or waits for the end of somebody else's; gives nothing if that
    /// went well.
    pub(super) fn begin(&self) -> Option<Running<'_>> {
        loop {
            match self.try_begin(true) {
                Begun::Running(running) => return Some(running),
                Begun::Done => return None,
                Begun::Elsewhere => {
                    let result = self.wait_while(Limit::NONE, |state| state == RUNNING);
                    debug_assert!(result.is_ok(), "a wait without limit");
                }
            }
        }
    }

    /// As [`begin`](Self::begin), for an initialiser that is a future.
    pub(super) async fn begin_async(&self) -> Option<Running<'_>> {
        loop {
            match self.try_begin(false) {
                Begun::Running(running) => return Some(running),
                Begun::Done => return None,
                Begun::Elsewhere => {
                    let wait = OnceWait {
                        once: self,
                        wanted: |state| state != RUNNING,
                        wait: AsyncWait::new(),
                    };
                    wait.await;
                }
            }
        }
    }

    fn try_begin(&self, owned: bool) -> Begun<'_> {
        match self
            .state
            .compare_exchange(NEW, RUNNING, Ordering::Acquire, Ordering::Acquire)
        {
            Ok(_) => {
                let owner = if owned { current_id() } else { 0 };
                self.owner.store(owner, Ordering::Relaxed);
                Begun::Running(Running { once: self })
            }
            Err(DONE) => Begun::Done,
            Err(_) => Begun::Elsewhere,
        }
    }

    fn wait_within(&self, limit: Limit) -> Result<(), WaitError> {
        self.wait_while(limit, |state| state != DONE)
    }

    /// Waits for as long as the state is one of those.
    fn wait_while(&self, limit: Limit, those: impl Fn(u8) -> bool) -> Result<(), WaitError> {
        if !those(self.state.load(Ordering::Acquire)) {
            return Ok(());
        }
        self.refuse_recursion();
        loop {
            let guard = self.queue.lock();
            if !those(self.state.load(Ordering::SeqCst)) {
                return Ok(());
            }
            let object = std::ptr::from_ref(self) as usize;
            match guard.wait(0, Reason::Once, object, limit) {
                Outcome::Woken => {}
                _ if !those(self.state.load(Ordering::Acquire)) => return Ok(()),
                outcome => return Err(wait_error(outcome)),
            }
        }
    }

    /// An initialiser that waits for itself would wait for ever.
    fn refuse_recursion(&self) {
        // Relaxed: only one's own store can match.
        if self.owner.load(Ordering::Relaxed) == current_id() {
            panic!("an initialiser came back to what it initialises");
        }
    }
}

impl Default for Once {
    fn default() -> Once {
        Once::new()
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once")
            .field("is_completed", &self.is_completed())
            .finish_non_exhaustive()
    }
}

enum Begun<'a> {
    Running(Running<'a>),
    Done,
    Elsewhere,
}

/// The one run under way. Dropped without [`complete`](Running::complete), it leaves the next
/// one to try.
pub(super) struct Running<'a> {
    once: &'a Once,
}

impl Running<'_> {
    pub(super) fn complete(self) {
        self.end(DONE);
        std::mem::forget(self);
    }

    fn end(&self, state: u8) {
        self.once.owner.store(0, Ordering::Relaxed);
        self.once.state.store(state, Ordering::SeqCst);
        self.once.queue.wake_all();
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.end(NEW);
    }
}

/// Waits for a [`Once`] in `async` code; see [`Once::wait_async`].
#[must_use = "futures do nothing unless polled"]
pub struct OnceWait<'a> {
    once: &'a Once,
    /// Which states it waits for.
    wanted: fn(u8) -> bool,
    wait: AsyncWait,
}

impl Future for OnceWait<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let once = this.once;
        if !(this.wanted)(once.state.load(Ordering::Acquire)) {
            this.wait.prepare(context);
            let guard = once.queue.lock();
            if !(this.wanted)(once.state.load(Ordering::SeqCst)) {
                // SAFETY: it leaves this queue when it is ready, below, or dropped, and the
                // `Once` is borrowed for longer.
                unsafe { this.wait.join(guard) };
                return Poll::Pending;
            }
        }
        this.wait.leave(&once.queue);
        Poll::Ready(())
    }
}

impl Drop for OnceWait<'_> {
    fn drop(&mut self) {
        // A wake that nobody looked at is no loss: everybody was woken.
        self.wait.leave(&self.once.queue);
    }
}

impl fmt::Debug for OnceWait<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnceWait").finish_non_exhaustive()
    }
}
