//! Deadlines and cancellation.
//!
//! A task stands under one [`Token`] at a time, or under none, and what it spawns stands
//! under the same. A token that is cancelled, or whose deadline has passed, ends every wait
//! below it **by an error**, never by unwinding or killing: I/O gives an
//! [`io::Error`](std::io::Error) (`TimedOut` for a deadline, else one whose source is
//! [`Cancelled`]), a channel's `recv` its `RecvError`, a timed form its own. [`check`] tells
//! whether that is why. A cancelled wait still gives way to others.
//!
//! Not ended are: locking (`lock()`, a condition variable's wait; use the `_cancellable` and timed
//! forms), one-time initialisation, and a scope's wait for its children.
//!
//! # Examples
//!
//! ```
//! use std::time::Duration;
//! use ropewalk_rt::{cancel, channel};
//!
//! let (_sender, receiver) = channel::unbounded::<u32>();
//! let elapsed = cancel::timeout(Duration::from_millis(5), || receiver.recv()).unwrap_err();
//! assert!(elapsed.into_inner().is_err());
//! ```

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ropewalk_kernel::clock;
use ropewalk_kernel::wait::{AsyncWait, Outcome, sleep_until};

pub use ropewalk_kernel::cancel::{Cancelled, Token, check, shield};

/// Why a timed wait ended without what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WaitError {
    /// Its own time was over.
    Timeout,
    /// The waiter was cancelled, or its token's deadline passed.
    Cancelled,
}

impl WaitError {
    /// The error of a wait with this outcome; `None` for one that was woken.
    #[allow(dead_code)]
    pub(crate) fn of(outcome: Outcome) -> Option<WaitError> {
        match outcome {
            Outcome::Woken => None,
            Outcome::Expired => Some(WaitError::Timeout),
            Outcome::Cancelled => Some(WaitError::Cancelled),
        }
    }

    /// Says whether its own time was over.
    pub fn is_timeout(&self) -> bool {
        matches!(self, WaitError::Timeout)
    }

    /// Says whether the waiter was cancelled.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, WaitError::Cancelled)
    }
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WaitError::Timeout => "timed out",
            WaitError::Cancelled => "cancelled while waiting",
        })
    }
}

impl std::error::Error for WaitError {}

/// The deadline of a [`timeout`] or [`deadline`] ended a wait; holds what the closure made of
/// that: a value that was produced is never thrown away.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Elapsed<T = ()>(T);

impl<T> Elapsed<T> {
    pub(crate) fn new(value: T) -> Elapsed<T> {
        Elapsed(value)
    }

    /// What the closure returned after its wait was ended.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Elapsed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Elapsed(..)")
    }
}

impl<T> fmt::Display for Elapsed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the deadline passed")
    }
}

impl<T> std::error::Error for Elapsed<T> {}

/// Runs `f` with a time limit on the waits inside it, and on what it spawns.
///
/// The limit ends waits, not computations: `f` is not interrupted between them. If no wait was
/// ended by it, and no [`check`] has told `f` of it, the value is `Ok` however late it came.
///
/// # Errors
///
/// [`Elapsed`], with what `f` returned, if the limit ended a wait or was seen by a [`check`].
pub fn timeout<T>(limit: Duration, f: impl FnOnce() -> T) -> Result<T, Elapsed<T>> {
    run_until(clock::deadline_after(limit), f)
}

/// As [`timeout`], until a point in time.
///
/// # Errors
///
/// As [`timeout`].
pub fn deadline<T>(deadline: Instant, f: impl FnOnce() -> T) -> Result<T, Elapsed<T>> {
    run_until(clock::instant_to_ns(deadline), f)
}

fn run_until<T>(deadline: u64, f: impl FnOnce() -> T) -> Result<T, Elapsed<T>> {
    let token = Token::until_ns(deadline);
    let value = token.run(f);
    if token.was_delivered() {
        Err(Elapsed(value))
    } else {
        Ok(value)
    }
}

/// Sleeps for `duration`, as [`coroutine::sleep`](crate::coroutine::sleep), and says whether
/// it was all of it.
///
/// # Errors
///
/// [`Cancelled`] if the caller was cancelled, before or meanwhile.
pub fn sleep(duration: Duration) -> Result<(), Cancelled> {
    match sleep_until(clock::deadline_after(duration)) {
        Outcome::Cancelled => Err(Cancelled::current()),
        _ => Ok(()),
    }
}

/// What a [`Token`] offers beside the kernel's methods: deadlines by the clock of `std`, and
/// waiting for it in `async` code.
pub trait TokenExt {
    /// A token below the caller's whose deadline is `limit` from now.
    fn with_timeout(limit: Duration) -> Token;

    /// A token below the caller's, with a deadline.
    fn with_deadline(deadline: Instant) -> Token;

    /// A token below this one whose deadline is `limit` from now.
    fn child_with_timeout(&self, limit: Duration) -> Token;

    /// A token below this one, with a deadline.
    fn child_with_deadline(&self, deadline: Instant) -> Token;

    /// Is ready once the token is cancelled or its deadline has passed.
    fn cancelled(&self) -> WhenCancelled<'_>;
}

impl TokenExt for Token {
    fn with_timeout(limit: Duration) -> Token {
        Token::until_ns(clock::deadline_after(limit))
    }

    fn with_deadline(deadline: Instant) -> Token {
        Token::until_ns(clock::instant_to_ns(deadline))
    }

    fn child_with_timeout(&self, limit: Duration) -> Token {
        self.child_until_ns(clock::deadline_after(limit))
    }

    fn child_with_deadline(&self, deadline: Instant) -> Token {
        self.child_until_ns(clock::instant_to_ns(deadline))
    }

    fn cancelled(&self) -> WhenCancelled<'_> {
        WhenCancelled {
            token: self,
            waiter: AsyncWait::new(),
            sleep: self.deadline_ns().map(ropewalk_kernel::future::Sleep::new),
        }
    }
}

/// Waits for a token's cancellation; from [`TokenExt::cancelled`].
#[must_use = "a future does nothing until it is awaited"]
pub struct WhenCancelled<'t> {
    token: &'t Token,
    waiter: AsyncWait,
    sleep: Option<ropewalk_kernel::future::Sleep>,
}

impl Future for WhenCancelled<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if let Some(sleep) = &mut this.sleep
            && Pin::new(sleep).poll(context).is_ready()
        {
            return Poll::Ready(());
        }
        this.token.poll_cancelled(&mut this.waiter, context)
    }
}

impl Drop for WhenCancelled<'_> {
    fn drop(&mut self) {
        self.token.forget_waiter(&mut self.waiter);
    }
}

impl fmt::Debug for WhenCancelled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WhenCancelled { .. }")
    }
}
