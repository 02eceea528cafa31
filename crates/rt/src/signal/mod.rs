//! Signals as something to wait for, from coroutines and threads.
//!
//! [`ctrl_c`] waits for one Ctrl-C; [`Signals`] is a stream of any signals. Several may listen
//! for the same signal, and all get it. While somebody listens for a signal, it has no other
//! effect on the process than it had on a handler that was there before, which is still called.
//! When the last listener goes, what was there before is restored: after `ctrl_c` has returned,
//! another Ctrl-C ends the process.
//!
//! Signals are passed on by a thread of their own, there while somebody listens, so they arrive
//! while all workers compute. It is the process's, not a task's: whoever listens gets it.
//!
//! # Examples
//!
//! ```
//! use ropewalk_rt::signal::{SIGHUP, SIGUSR1, Signals};
//!
//! let signals = Signals::new([SIGUSR1, SIGHUP])?;
//! // As `kill -USR1` from outside would.
//! unsafe { libc::raise(SIGUSR1) };
//! assert_eq!(signals.recv(), Ok(SIGUSR1));
//! # Ok::<(), std::io::Error>(())
//! ```

mod handler;

use std::fmt;
use std::io;
use std::time::Duration;

use ropewalk_kernel::cancel::Cancelled;

use crate::cancel::WaitError;
use crate::channel::{Receiver, RecvTimeoutError, bounded};

pub use libc::{
    SIGABRT, SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGIO, SIGPIPE, SIGQUIT, SIGTERM, SIGTSTP,
    SIGTTIN, SIGTTOU, SIGURG, SIGUSR1, SIGUSR2, SIGWINCH,
};

/// So many signals wait for a listener that doesn't take them; further ones are lost for it,
/// as the system itself loses them.
pub const WAITING_MAX: usize = 256;

/// Waits for one Ctrl-C (SIGINT).
///
/// One that came before the call is not seen; use [`Signals`] to listen from a certain point on.
///
/// # Errors
///
/// The system's, if it is out of descriptors or threads; if the caller is cancelled.
///
/// # Examples
///
/// ```no_run
/// use ropewalk_rt::signal;
///
/// println!("Ctrl-C ends this, a second one at once");
/// signal::ctrl_c()?;
/// println!("cleaning up");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn ctrl_c() -> io::Result<()> {
    Signals::new([SIGINT])?
        .recv()
        .map(drop)
        .map_err(Cancelled::into_io)
}

/// A stream of signals. It listens from the moment it was made until it is dropped.
///
/// Iterating it, by value or by reference, gives signals until the caller is cancelled.
pub struct Signals {
    receiver: Receiver<i32>,
    listener: u64,
}

impl Signals {
    /// Listens for signals, by their numbers.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a number that is no signal's, and for those nobody can or may listen
    /// for: SIGKILL and SIGSTOP, which the system keeps, and SIGSEGV, SIGBUS, SIGILL and SIGFPE,
    /// after which the thread can't go on. The system's, if it is out of descriptors or threads.
    pub fn new(signals: impl IntoIterator<Item = i32>) -> io::Result<Signals> {
        let signals: Vec<i32> = signals.into_iter().collect();
        for &signal in &signals {
            check(signal)?;
        }
        let (sender, receiver) = bounded(WAITING_MAX);
        let listener = handler::listen(signals, sender)?;
        Ok(Signals { receiver, listener })
    }

    /// Waits for the next signal.
    ///
    /// # Errors
    ///
    /// If the caller is cancelled.
    pub fn recv(&self) -> Result<i32, Cancelled> {
        // Its sender goes with this listener only.
        self.receiver.recv().map_err(|_| Cancelled::current())
    }

    /// Waits for the next signal, for `timeout` at most.
    ///
    /// # Errors
    ///
    /// If none came in time, or the caller is cancelled.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<i32, WaitError> {
        self.receiver
            .recv_timeout(timeout)
            .map_err(|error| match error {
                RecvTimeoutError::Timeout => WaitError::Timeout,
                RecvTimeoutError::Disconnected => WaitError::Cancelled,
            })
    }

    /// The next signal if one has come.
    pub fn try_recv(&self) -> Option<i32> {
        self.receiver.try_recv().ok()
    }

    /// The channel that the signals come by: for [`select!`](crate::select), and for
    /// [`recv_async`](Receiver::recv_async).
    pub fn receiver(&self) -> &Receiver<i32> {
        &self.receiver
    }

    /// Gives signals until the caller is cancelled.
    pub fn iter(&self) -> Iter<'_> {
        Iter(self)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        handler::leave(self.listener);
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals")
            .field("waiting", &self.receiver.len())
            .finish_non_exhaustive()
    }
}

/// Signals as they come; from [`Signals::iter`].
#[derive(Debug)]
pub struct Iter<'s>(&'s Signals);

impl Iterator for Iter<'_> {
    type Item = i32;

    fn next(&mut self) -> Option<i32> {
        self.0.recv().ok()
    }
}

impl<'s> IntoIterator for &'s Signals {
    type Item = i32;
    type IntoIter = Iter<'s>;

    fn into_iter(self) -> Iter<'s> {
        self.iter()
    }
}

/// Signals as they come; from a [`Signals`] by value.
#[derive(Debug)]
pub struct IntoIter(Signals);

impl Iterator for IntoIter {
    type Item = i32;

    fn next(&mut self) -> Option<i32> {
        self.0.recv().ok()
    }
}

impl IntoIterator for Signals {
    type Item = i32;
    type IntoIter = IntoIter;

    fn into_iter(self) -> IntoIter {
        IntoIter(self)
    }
}

fn check(signal: i32) -> io::Result<()> {
    let refused = |why: &str| {
        let text = format!("signal {signal} can't be listened for: {why}");
        Err(io::Error::new(io::ErrorKind::InvalidInput, text))
    };
    match signal {
        libc::SIGKILL | libc::SIGSTOP => refused("the system keeps it to itself"),
        libc::SIGSEGV | libc::SIGBUS | libc::SIGILL | libc::SIGFPE => {
            refused("it is a fault of the thread, which can't go on after it")
        }
        _ if signal < 1 || signal > libc::SIGRTMAX() => refused("there is no such signal"),
        // Those between are the C library's own.
        32.. if signal < libc::SIGRTMIN() => refused("the C library keeps it to itself"),
        _ => Ok(()),
    }
}
