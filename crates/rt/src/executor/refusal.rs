//! Why a pool didn't take work.

use std::error::Error;
use std::fmt;
use std::time::Instant;

/// How long to wait for a place in a pool's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// Until there is one.
    Wait,
    /// Not at all.
    No,
    /// Until a point in time.
    Until(Instant),
}

/// Why a pool did not take work.
#[non_exhaustive]
pub enum Refusal {
    /// The pool takes no more: it was closed, shut down or terminated.
    Closed,
    /// Its queue is full.
    Full,
    /// Its queue was full until the deadline.
    TimedOut,
    /// The caller was cancelled while it waited for a place.
    Cancelled,
    /// The function is not registered as a task, so that other processes can't be told of it.
    NotATask {
        /// The function's type, which has its path in it.
        function: &'static str,
    },
    /// The arguments can't be serialised.
    Encode(Box<dyn Error + Send + Sync>),
    /// The pool can't run anything any more.
    Broken(Box<dyn Error + Send + Sync>),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Closed => f.write_str("the pool is closed: it takes no more work"),
            Refusal::Full => f.write_str("the pool's queue is full"),
            Refusal::TimedOut => f.write_str("the pool's queue was full until the deadline"),
            Refusal::Cancelled => f.write_str("cancelled while waiting for a place in the pool"),
            Refusal::NotATask { function } => write!(
                f,
                "`{function}` is not registered as a task: put `#[ropewalk::task]` in front of \
                 the function, or name it in `ropewalk::register!`"
            ),
            Refusal::Encode(error) => write!(f, "the arguments can't be serialised: {error}"),
            Refusal::Broken(error) => write!(f, "the pool is broken: {error}"),
        }
    }
}

/// As a sentence too: this is what `unwrap` prints, and a `main` that returns it.
impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Refusal({self})")
    }
}

impl Error for Refusal {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Refusal::Encode(error) | Refusal::Broken(error) => Some(error.as_ref()),
            _ => None,
        }
    }
}

/// Work that a pool did not take, and why.
pub struct SubmitError<T> {
    /// Why.
    pub reason: Refusal,
    /// What was given: the closure, or the arguments.
    pub work: T,
}

impl<T> SubmitError<T> {
    /// Pairs the reason with the work it is about.
    pub fn new(reason: Refusal, work: T) -> SubmitError<T> {
        SubmitError { reason, work }
    }

    /// Takes the work back.
    pub fn into_work(self) -> T {
        self.work
    }

    /// Says whether the pool takes no more.
    pub fn is_closed(&self) -> bool {
        matches!(self.reason, Refusal::Closed)
    }

    /// Says whether the queue was full: it may be worth trying again.
    pub fn is_full(&self) -> bool {
        matches!(self.reason, Refusal::Full | Refusal::TimedOut)
    }
}

impl<T> fmt::Debug for SubmitError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubmitError({self})")
    }
}

impl<T> fmt::Display for SubmitError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl<T> Error for SubmitError<T> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.reason.source()
    }
}
