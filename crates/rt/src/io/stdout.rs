//! The process's standard output and standard error.
//!
//! Nothing stays behind in a buffer, so nothing need be flushed at the end of the process: a
//! handle writes through, and a lock collects until it is released. A `write!` goes out in one
//! piece.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::LazyLock;

use super::stdin::Standard;
use crate::sync::{ReentrantMutex, ReentrantMutexGuard};

/// What a lock collects before it writes.
const CHUNK: usize = 8 * 1024;

struct Output {
    source: Standard,
    terminal: bool,
    collected: RefCell<Vec<u8>>,
}

impl Output {
    fn new(fd: RawFd) -> ReentrantMutex<Output> {
        let source = Standard::new(fd);
        ReentrantMutex::new(Output {
            terminal: source.as_fd().is_terminal(),
            source,
            collected: RefCell::new(Vec::new()),
        })
    }

    /// Writes what was collected. What could not be written stays, for the next attempt.
    fn flush(&self) -> io::Result<()> {
        // The lock is ours, and what is called here comes back to nobody's `Write`.
        let mut collected = self.collected.borrow_mut();
        let mut written = 0;
        let result = loop {
            if written == collected.len() {
                break Ok(());
            }
            match self.source.write(&collected[written..]) {
                Ok(0) => break Err(io::Error::from(io::ErrorKind::WriteZero)),
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        collected.drain(..written);
        result
    }

    /// Takes all of `buf` into the collection. If that fails, it has taken none of it.
    fn collect(&self, buf: &[u8]) -> io::Result<usize> {
        if self.collected.borrow().len() + buf.len() > CHUNK {
            self.flush()?;
        }
        if buf.len() >= CHUNK {
            return self.source.write(buf);
        }
        self.collected.borrow_mut().extend_from_slice(buf);
        if self.terminal && buf.contains(&b'\n') {
            // It was taken: a failure is told by what comes next.
            let _ = self.flush();
        }
        Ok(buf.len())
    }

    /// Writes `buf` itself, after what was collected.
    fn write(&self, buf: &[u8]) -> io::Result<usize> {
        self.flush()?;
        self.source.write(buf)
    }
}

static STDOUT: LazyLock<ReentrantMutex<Output>> =
    LazyLock::new(|| Output::new(libc::STDOUT_FILENO));
static STDERR: LazyLock<ReentrantMutex<Output>> =
    LazyLock::new(|| Output::new(libc::STDERR_FILENO));

/// The standard output; mirrors [`std::io::stdout`].
///
/// Only the caller waits while nobody takes what it writes. Unlike std's it is written at
/// once, prompts without a line's end too; a [`lock`](Stdout::lock) collects.
///
/// # Examples
///
/// ```
/// use std::io::Write;
/// use ropewalk_rt::io;
///
/// writeln!(io::stdout(), "in one piece: {} {}", 1, 2)?;
/// let mut out = io::stdout().lock();
/// for n in 0..100 {
///     write!(out, "{n} ")?;
/// }
/// writeln!(out)?;
/// # Ok::<(), io::Error>(())
/// ```
pub fn stdout() -> Stdout {
    Stdout(&STDOUT)
}

/// The standard error; mirrors [`std::io::stderr`].
pub fn stderr() -> Stderr {
    Stderr(&STDERR)
}

/// A handle to the standard output; from [`stdout`].
#[derive(Clone, Copy)]
pub struct Stdout(&'static ReentrantMutex<Output>);

/// A handle to the standard error; from [`stderr`].
#[derive(Clone, Copy)]
pub struct Stderr(&'static ReentrantMutex<Output>);

/// The locked standard output; from [`Stdout::lock`]. Collects what is written, and writes it
/// on `flush`, when there is much, when it is dropped, and on a terminal at each line's end.
///
/// What fails to be written when it is dropped is written with what comes next: `flush` to
/// see the error.
pub struct StdoutLock<'a>(ReentrantMutexGuard<'a, Output>);

/// The locked standard error; from [`Stderr::lock`]. Writes at once.
pub struct StderrLock<'a>(ReentrantMutexGuard<'a, Output>);

impl Stdout {
    /// Locks it: what is written is in one piece. The holder may lock and write again.
    ///
    /// Waiting for the lock is not a cancellation point.
    pub fn lock(&self) -> StdoutLock<'static> {
        StdoutLock(self.0.lock())
    }
}

impl Stderr {
    /// Locks it: what is written is in one piece. The holder may lock and write again.
    ///
    /// Waiting for the lock is not a cancellation point.
    pub fn lock(&self) -> StderrLock<'static> {
        StderrLock(self.0.lock())
    }
}

impl Drop for StdoutLock<'_> {
    fn drop(&mut self) {
        let _ = self.0.flush();
    }
}

impl Write for StdoutLock<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.collect(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Write for StderrLock<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }

    fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
        self.write_all(fmt::format(text).as_bytes())
    }
}

/// `Write` for a handle and references to it, and the descriptor's traits.
macro_rules! output {
    (write $type:ty) => {
        impl Write for $type {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.0.lock().write(buf)
            }

            fn write_all(&mut self, mut buf: &[u8]) -> io::Result<()> {
                let output = self.0.lock();
                while !buf.is_empty() {
                    match output.write(buf) {
                        Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero)),
                        Ok(written) => buf = &buf[written..],
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(())
            }

            fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
                self.write_all(fmt::format(text).as_bytes())
            }

            fn flush(&mut self) -> io::Result<()> {
                self.0.lock().flush()
            }
        }
    };
    ($type:ident $fd:ident) => {
        output!(write $type);
        output!(write &$type);

        impl $type {
            /// Says whether it is a terminal.
            pub fn is_terminal(&self) -> bool {
                self.0.lock().terminal
            }
        }

        impl AsFd for $type {
            fn as_fd(&self) -> BorrowedFd<'_> {
                // SAFETY: the standard streams are never closed here.
                unsafe { BorrowedFd::borrow_raw(libc::$fd) }
            }
        }

        impl AsRawFd for $type {
            fn as_raw_fd(&self) -> RawFd {
                libc::$fd
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($type))
            }
        }
    };
}

output!(Stdout STDOUT_FILENO);
output!(Stderr STDERR_FILENO);

impl fmt::Debug for StdoutLock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StdoutLock")
    }
}

impl fmt::Debug for StderrLock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StderrLock")
    }
}
