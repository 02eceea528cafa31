//! A result that somebody sets by hand: one write side, one read side.
//!
//! # States
//!
//! One word says how far the promise is, and who owns the place for its outcome:
//!
//! ```text
//!   OPEN ──set, fail, drop of the write side, cancel──▶ CLAIMED ──▶ CLAIMED + DONE
//! ```
//!
//! Whoever adds CLAIMED settles the promise: it alone writes the outcome, calls the callbacks,
//! adds DONE and wakes who waits. With DONE the outcome is the read side's. GONE is added when the
//! read side is dropped: before DONE, the outcome stays the settler's, who sees GONE as it
//! adds DONE and takes it back; after, the read side drops it. CALLBACKS says that there are
//! some to be called, and DONE is only added when there are none; those that come later are
//! called by who brings them, one at a time.
//!
//! # Orderings
//!
//! All changes of the word are `SeqCst`: the settler adds DONE and then looks for waiters, who
//! take the queue's lock, read the word and then join. See "Orderings" in the kernel's `wait`.
//! DONE carries the outcome over, as a release and acquire would.

use std::cell::UnsafeCell;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ropewalk_kernel::clock;
use ropewalk_kernel::wait::{AsyncWait, Limit, Outcome, Reason, WaitQueue, no_wait, spend};

use crate::JoinError;

const CLAIMED: u8 = 1;
const DONE: u8 = 2;
const GONE: u8 = 4;
const CALLBACKS: u8 = 8;
const CANCELLED: u8 = 16;

/// Makes a promise: the side that sets the result, and the side that waits for it.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::{coroutine, promise};
///
/// let (promise, handle) = promise::promise();
/// coroutine::spawn(move || promise.set(6 * 7));
/// assert_eq!(handle.join().unwrap(), 42);
/// ```
pub fn promise<T>() -> (Promise<T>, PromiseHandle<T>) {
    let shared = Arc::new(Shared {
        word: AtomicU8::new(0),
        outcome: UnsafeCell::new(None),
        done: WaitQueue::new(),
        callbacks: Mutex::new(Callbacks {
            list: Vec::new(),
            called_by_somebody: false,
        }),
    });
    let handle = PromiseHandle {
        shared: Arc::clone(&shared),
        wait: AsyncWait::new(),
        taken: false,
    };
    (Promise { shared }, handle)
}

/// The right to set a result, once; from [`promise`].
///
/// Dropped unset, it fails with [`JoinError::Dropped`].
pub struct Promise<T> {
    shared: Arc<Shared<T>>,
}

/// The right to wait for the result of a [`Promise`] and to take it; from [`promise`].
///
/// Offers what a [`JoinHandle`](crate::JoinHandle) does. In `async` code it is a future.
pub struct PromiseHandle<T> {
    shared: Arc<Shared<T>>,
    wait: AsyncWait,
    /// Whether the outcome was taken, by a poll that was ready.
    taken: bool,
}

type Callback<T> = Box<dyn FnOnce(&Result<T, JoinError>) + Send>;

struct Shared<T> {
    word: AtomicU8,
    outcome: UnsafeCell<Option<Result<T, JoinError>>>,
    /// Who waits for the result.
    done: WaitQueue,
    callbacks: Mutex<Callbacks<T>>,
}

struct Callbacks<T> {
    list: Vec<Callback<T>>,
    /// Whether a call of `on_done` after the end is calling them. Outcomes need not be `Sync`,
    /// so two must not at once.
    called_by_somebody: bool,
}

// SAFETY: the outcome has one owner at a time, as the states say, so it is only ever sent.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl<T> Promise<T> {
    /// Sets the result and wakes who waits for it.
    ///
    /// # Errors
    ///
    /// The value, if nobody can read it any more: the read side was cancelled or dropped. (If
    /// it was dropped, but has left callbacks, these read the value.)
    pub fn set(self, value: T) -> Result<(), T> {
        self.settle(Ok(value)).map_err(|back| match back {
            Ok(value) => value,
            Err(_) => unreachable!("what was given comes back"),
        })
    }

    /// Fails with `error`: the read side gets it as [`JoinError::Failed`].
    ///
    /// # Errors
    ///
    /// The error, if nobody can read it any more, as for [`set`](Self::set).
    pub fn fail<E>(self, error: E) -> Result<(), Box<dyn Error + Send + Sync>>
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let outcome = Err(JoinError::Failed(error.into()));
        self.settle(outcome).map_err(|back| match back {
            Err(JoinError::Failed(error)) => error,
            _ => unreachable!("what was given comes back"),
        })
    }

    /// Sets or fails: passes on what another handle gave.
    ///
    /// # Errors
    ///
    /// The outcome, if nobody can read it any more, as for [`set`](Self::set).
    pub fn settle(self, outcome: Result<T, JoinError>) -> Result<(), Result<T, JoinError>> {
        self.shared.settle(outcome, 0)
    }

    /// Says whether nobody can read the result any more, so that there is no point in making it:
    /// the read side was cancelled, or dropped without leaving a callback.
    pub fn is_cancelled(&self) -> bool {
        let word = self.shared.word.load(Ordering::Acquire);
        word & CANCELLED != 0 || word & (GONE | CALLBACKS) == GONE
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        if self.shared.word.load(Ordering::Relaxed) & CLAIMED == 0 {
            // Refused only if the read side has been cancelled or is gone.
            let _ = self.shared.settle(Err(JoinError::Dropped), 0);
        }
    }
}

impl<T> fmt::Debug for Promise<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Promise")
            .field("is_cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}

impl<T> PromiseHandle<T> {
    /// Waits for the result and takes it; a cancellation point.
    ///
    /// # Errors
    ///
    /// [`JoinError::Failed`] or [`JoinError::Dropped`] as the write side did,
    /// [`JoinError::Cancelled`] after [`cancel`](Self::cancel), and
    /// [`JoinError::WaitCancelled`] if the caller was cancelled while waiting.
    ///
    /// # Panics
    ///
    /// If it must wait inside [`no_wait`].
    pub fn join(mut self) -> Result<T, JoinError> {
        match self.shared.wait(Limit::cancellable(None)) {
            Outcome::Woken => self.take(),
            _ => Err(JoinError::WaitCancelled),
        }
    }

    /// As [`join`](Self::join), but gives the handle back if there is no result after `timeout`.
    ///
    /// # Errors
    ///
    /// The handle itself, also if the caller was cancelled: nothing is lost.
    pub fn join_timeout(self, timeout: Duration) -> Result<Result<T, JoinError>, Self> {
        self.join_limited(|| clock::deadline_after(timeout))
    }

    /// As [`join_timeout`](Self::join_timeout), until a point in time.
    ///
    /// # Errors
    ///
    /// As [`join_timeout`](Self::join_timeout).
    pub fn join_deadline(self, deadline: Instant) -> Result<Result<T, JoinError>, Self> {
        self.join_limited(|| clock::instant_to_ns(deadline))
    }

    fn join_limited(self, deadline: impl FnOnce() -> u64) -> Result<Result<T, JoinError>, Self> {
        if !self.is_finished() {
            self.shared.wait(Limit::cancellable(Some(deadline())));
        }
        self.try_join()
    }

    /// Takes the result if it is there.
    ///
    /// # Errors
    ///
    /// The handle itself.
    pub fn try_join(mut self) -> Result<Result<T, JoinError>, Self> {
        if self.is_finished() {
            spend();
            Ok(self.take())
        } else {
            Err(self)
        }
    }

    /// Says whether the result is there, so that joining would not wait.
    pub fn is_finished(&self) -> bool {
        self.shared.is_done()
    }

    /// Gives the result up, if it has not been set yet: joining gives [`JoinError::Cancelled`] at
    /// once, the write side sees [`is_cancelled`](Promise::is_cancelled), and a value that
    /// it sets all the same goes back to it.
    pub fn cancel(&self) {
        // Refused if there is a result already.
        let _ = self.shared.settle(Err(JoinError::Cancelled), CANCELLED);
    }

    /// Calls `callback` with the outcome once it is there, before joiners see it; at once if it is
    /// there already. Also after this handle was dropped. Callbacks are called in the order
    /// they were given.
    ///
    /// It runs on the thread that settles the promise, or on the caller's; a wait inside it
    /// panics. A panic inside it is contained: the panic hook tells of it, and nothing else
    /// comes of it.
    ///
    /// # Panics
    ///
    /// If the outcome was taken from this handle already, by polling it.
    pub fn on_done<F>(&self, callback: F)
    where
        F: FnOnce(&Result<T, JoinError>) + Send + 'static,
    {
        assert!(!self.taken, "the result was taken from this handle");
        // SAFETY: not taken, and the read side is borrowed until the call is over.
        unsafe { self.shared.call_when_done(Box::new(callback)) };
    }

    pub(crate) fn done_queue(&self) -> &WaitQueue {
        &self.shared.done
    }

    pub(crate) fn is_done_now(&self) -> bool {
        self.shared.word.load(Ordering::SeqCst) & DONE != 0
    }

    pub(crate) fn wait(&self, limit: Limit) -> Outcome {
        self.shared.wait(limit)
    }

    /// Takes the outcome, which is there.
    ///
    /// # Panics
    ///
    /// If it is not, or was taken before.
    pub(crate) fn take(&mut self) -> Result<T, JoinError> {
        assert!(self.is_finished(), "the promise is not settled");
        assert!(
            !self.taken,
            "a promise's handle was used for its result twice"
        );
        self.taken = true;
        self.wait.leave(&self.shared.done);
        // SAFETY: with DONE the outcome is the read side's, which is borrowed exclusively.
        let outcome = unsafe { (*self.shared.outcome.get()).take() };
        outcome.expect("an outcome that was not taken")
    }
}

impl<T> Future for PromiseHandle<T> {
    type Output = Result<T, JoinError>;

    /// # Panics
    ///
    /// If polled again after it was ready.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        assert!(
            !this.taken,
            "a promise's handle was polled after it was ready"
        );
        if !this.is_finished() {
            this.wait.prepare(context);
            let guard = this.shared.done.lock();
            if this.shared.word.load(Ordering::SeqCst) & DONE == 0 {
                // SAFETY: `take` and `drop` leave the queue, which this handle keeps.
                unsafe { this.wait.join(guard) };
                return Poll::Pending;
            }
        }
        Poll::Ready(this.take())
    }
}

// No self-references: what a poll registers is boxed.
impl<T> Unpin for PromiseHandle<T> {}

impl<T> Drop for PromiseHandle<T> {
    fn drop(&mut self) {
        self.wait.leave(&self.shared.done);
        let word = self.shared.word.fetch_or(GONE, Ordering::SeqCst);
        if word & DONE != 0 {
            // SAFETY: with DONE the outcome is the read side's.
            drop(unsafe { (*self.shared.outcome.get()).take() });
        }
    }
}

impl<T> fmt::Debug for PromiseHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PromiseHandle")
            .field("is_finished", &self.is_finished())
            .finish_non_exhaustive()
    }
}

impl<T> Shared<T> {
    fn is_done(&self) -> bool {
        self.word.load(Ordering::Acquire) & DONE != 0
    }

    fn callbacks(&self) -> MutexGuard<'_, Callbacks<T>> {
        self.callbacks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, limit: Limit) -> Outcome {
        if self.is_done() {
            spend();
            return Outcome::Woken;
        }
        loop {
            let guard = self.done.lock();
            if self.word.load(Ordering::SeqCst) & DONE != 0 {
                return Outcome::Woken;
            }
            let object = std::ptr::from_ref(self) as usize;
            let outcome = guard.wait(0, Reason::Promise, object, limit);
            if outcome != Outcome::Woken {
                // Perhaps it came in the same moment.
                return if self.is_done() {
                    Outcome::Woken
                } else {
                    outcome
                };
            }
        }
    }

    /// Settles the promise, if nobody has and somebody can read it; adds `flags` to the word.
    fn settle(&self, outcome: Result<T, JoinError>, flags: u8) -> Result<(), Result<T, JoinError>> {
        let claim = |word: u8| {
            let unread = word & (GONE | CALLBACKS) == GONE;
            (word & CLAIMED == 0 && !unread).then_some(word | CLAIMED | flags)
        };
        if self
            .word
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, claim)
            .is_err()
        {
            return Err(outcome);
        }
        // SAFETY: claimed by us, and not DONE: ours.
        unsafe { *self.outcome.get() = Some(outcome) };
        let mut called = false;
        let publish = |word: u8| (word & CALLBACKS == 0).then_some(word | DONE);
        let word = loop {
            match self
                .word
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, publish)
            {
                Ok(word) => break word,
                Err(_) => {
                    called = true;
                    // SAFETY: as above.
                    unsafe { self.call_all() };
                }
            }
        };
        if word & GONE != 0 {
            // SAFETY: the read side went before DONE, so the outcome stayed ours.
            let outcome = unsafe { (*self.outcome.get()).take() };
            // Was it read by callbacks, it ends here.
            return match outcome {
                Some(outcome) if !called => Err(outcome),
                _ => Ok(()),
            };
        }
        self.done.wake_all();
        Ok(())
    }

    /// Calls the callbacks there are.
    ///
    /// # Safety
    ///
    /// The outcome is in place, and the caller's until this returns.
    unsafe fn call_all(&self) {
        let list = {
            let mut callbacks = self.callbacks();
            // Under the lock: what is added later sets it again.
            self.word.fetch_and(!CALLBACKS, Ordering::SeqCst);
            mem::take(&mut callbacks.list)
        };
        for callback in list {
            // SAFETY: by the contract above; a shared borrow that ends with the call.
            let outcome = unsafe { (*self.outcome.get()).as_ref() };
            let outcome = outcome.expect("an outcome that was not taken");
            let call = AssertUnwindSafe(|| no_wait(|| callback(outcome)));
            if let Err(payload) = catch_unwind(call) {
                // The hook has told of it; its drop may panic too.
                mem::forget(payload);
            }
        }
    }

    /// # Safety
    ///
    /// The caller is the read side, which stays until this returns, and has not taken the outcome.
    unsafe fn call_when_done(&self, callback: Callback<T>) {
        let mut callbacks = self.callbacks();
        callbacks.list.push(callback);
        if self.word.fetch_or(CALLBACKS, Ordering::SeqCst) & DONE == 0
            || callbacks.called_by_somebody
        {
            // The settler calls it, or another user of the read side.
            return;
        }
        callbacks.called_by_somebody = true;
        while !callbacks.list.is_empty() {
            drop(callbacks);
            // SAFETY: with DONE the outcome is the read side's, and of its users we alone
            // look at it now.
            unsafe { self.call_all() };
            callbacks = self.callbacks();
        }
        callbacks.called_by_somebody = false;
    }
}
