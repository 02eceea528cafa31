//! The process's standard input.
//!
//! What was read and not asked for waits in one buffer for all. A line is taken from it only
//! once it is whole, so a time-out or a cancellation loses none of it.

use std::fmt;
use std::io::{self, BufRead, IsTerminal, Lines, Read};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::LazyLock;
use std::time::Duration;

use ropewalk_kernel::clock;
use ropewalk_kernel::driver::Source;

use crate::sync::{Mutex, MutexExt, MutexGuard};

const CHUNK: usize = 8 * 1024;

/// Descriptor 0, 1 or 2: the process's, never closed, its flags never changed.
pub(super) struct Standard(ManuallyDrop<Source>);

impl Standard {
    pub(super) fn new(fd: RawFd) -> Standard {
        // SAFETY: the standard streams are everybody's, as in std, and never dropped here. If
        // one is closed, calls on it fail and nothing else happens.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Standard(ManuallyDrop::new(Source::new(fd)))
    }

    /// Reads; a standard input that is closed is at its end, as in std.
    fn read(&self, buf: &mut [u8], deadline: Option<u64>) -> io::Result<usize> {
        loop {
            match self.0.read(buf, deadline) {
                Err(error) if error.raw_os_error() == Some(libc::EBADF) => return Ok(0),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Writes; an output that is closed takes everything, as in std.
    pub(super) fn write(&self, buf: &[u8]) -> io::Result<usize> {
        match self.0.write(buf, None) {
            Err(error) if error.raw_os_error() == Some(libc::EBADF) => Ok(buf.len()),
            result => result,
        }
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

struct Input {
    source: &'static Standard,
    buf: Vec<u8>,
    /// Up to here it was taken.
    taken: usize,
}

impl Input {
    /// Reads more, behind what is there; gives 0 at the end.
    fn more(&mut self, deadline: Option<u64>) -> io::Result<usize> {
        self.buf.drain(..self.taken);
        self.taken = 0;
        let len = self.buf.len();
        self.buf.resize(len + CHUNK, 0);
        let result = self.source.read(&mut self.buf[len..], deadline);
        self.buf
            .truncate(len + result.as_ref().copied().unwrap_or(0));
        result
    }

    fn left(&self) -> &[u8] {
        &self.buf[self.taken..]
    }

    /// Adds everything up to and with `end` to `into`, or up to the end of the input.
    fn take_until(
        &mut self,
        end: u8,
        deadline: Option<u64>,
        into: &mut Vec<u8>,
    ) -> io::Result<usize> {
        let mut searched = 0;
        loop {
            let found = self.left()[searched..].iter().position(|&byte| byte == end);
            let count = match found {
                Some(at) => searched + at + 1,
                None => {
                    searched = self.left().len();
                    if self.more(deadline)? > 0 {
                        continue;
                    }
                    searched
                }
            };
            into.extend_from_slice(&self.left()[..count]);
            self.taken += count;
            return Ok(count);
        }
    }

    fn take_line(&mut self, deadline: Option<u64>, into: &mut String) -> io::Result<usize> {
        let mut line = Vec::new();
        let count = self.take_until(b'\n', deadline, &mut line)?;
        let Ok(line) = String::from_utf8(line) else {
            let error = "a line of the standard input is not UTF-8";
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        };
        into.push_str(&line);
        Ok(count)
    }
}

static SOURCE: LazyLock<Standard> = LazyLock::new(|| Standard::new(libc::STDIN_FILENO));
static INPUT: LazyLock<Mutex<Input>> = LazyLock::new(|| {
    Mutex::new(Input {
        source: &SOURCE,
        buf: Vec::new(),
        taken: 0,
    })
});

/// The standard input, shared and buffered; mirrors [`std::io::stdin`].
///
/// Only the caller waits for it: on a terminal the other coroutines go on during the prompt. It
/// may be anything: terminal, pipe, socket, regular file, device, closed. What is in this buffer
/// is not in that of `std::io::stdin`: use one of the two.
///
/// # Examples
///
/// ```no_run
/// use std::io::Write;
/// use ropewalk_rt::io;
///
/// write!(io::stdout(), "name? ")?;
/// let mut name = String::new();
/// io::stdin().read_line(&mut name)?;
/// writeln!(io::stdout(), "good day, {}", name.trim_end())?;
/// # Ok::<(), io::Error>(())
/// ```
pub fn stdin() -> Stdin {
    Stdin(())
}

/// A handle to the standard input; from [`stdin`].
///
/// Each of its methods locks for its time; who waits for that lock can be cancelled, and so
/// can who waits for input.
pub struct Stdin(());

impl Stdin {
    /// Locks it, for several reads in a row.
    ///
    /// Waiting for the lock is not a cancellation point.
    pub fn lock(&self) -> StdinLock<'static> {
        StdinLock(INPUT.lock())
    }

    fn locked(&self) -> io::Result<StdinLock<'static>> {
        Ok(StdinLock(INPUT.lock_cancellable()?))
    }

    /// Adds the next line to `buf`, with its end; gives the number of bytes, 0 at the end of
    /// the input.
    ///
    /// # Errors
    ///
    /// `InvalidData` for a line that is not UTF-8, which is taken all the same; if the caller
    /// is cancelled; the system's. An input that has come so far is kept for the next call.
    pub fn read_line(&self, buf: &mut String) -> io::Result<usize> {
        self.locked()?.0.take_line(None, buf)
    }

    /// As [`read_line`](Self::read_line), for `timeout` at most.
    ///
    /// # Errors
    ///
    /// `TimedOut`; else as [`read_line`](Self::read_line).
    pub fn read_line_timeout(&self, buf: &mut String, timeout: Duration) -> io::Result<usize> {
        let deadline = clock::deadline_after(timeout);
        let mut input = INPUT
            .try_lock_until(clock::ns_to_instant(deadline))
            .ok_or(io::ErrorKind::TimedOut)?;
        input.take_line(Some(deadline), buf)
    }

    /// Locks it, and gives its lines.
    pub fn lines(self) -> Lines<StdinLock<'static>> {
        self.lock().lines()
    }

    /// Says whether it is a terminal.
    pub fn is_terminal(&self) -> bool {
        SOURCE.as_fd().is_terminal()
    }
}

/// The locked standard input; from [`Stdin::lock`].
pub struct StdinLock<'a>(MutexGuard<'a, Input>);

impl Read for StdinLock<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let input = &mut *self.0;
        if input.left().is_empty() && buf.len() >= CHUNK {
            return input.source.read(buf, None);
        }
        let count = self.fill_buf()?.read(buf)?;
        self.consume(count);
        Ok(count)
    }
}

impl BufRead for StdinLock<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.0.left().is_empty() {
            self.0.more(None)?;
        }
        Ok(self.0.left())
    }

    fn consume(&mut self, count: usize) {
        let input = &mut *self.0;
        input.taken = (input.taken + count).min(input.buf.len());
    }

    fn read_until(&mut self, end: u8, buf: &mut Vec<u8>) -> io::Result<usize> {
        self.0.take_until(end, None, buf)
    }

    fn read_line(&mut self, buf: &mut String) -> io::Result<usize> {
        self.0.take_line(None, buf)
    }
}

impl Read for Stdin {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.locked()?.read(buf)
    }
}

impl Read for &Stdin {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.locked()?.read(buf)
    }
}

impl AsFd for Stdin {
    fn as_fd(&self) -> BorrowedFd<'_> {
        SOURCE.as_fd()
    }
}

impl AsRawFd for Stdin {
    fn as_raw_fd(&self) -> RawFd {
        libc::STDIN_FILENO
    }
}

impl fmt::Debug for Stdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Stdin")
    }
}

impl fmt::Debug for StdinLock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StdinLock")
    }
}
