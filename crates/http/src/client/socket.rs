//! A TCP stream on which the call's deadline covers every read and write.
//!
//! The deadline sits below TLS, so that a handshake, a record split over many segments or a plain
//! read are bounded the same way: before each operation the time left is computed and stored in the
//! stream. Past the deadline nothing is tried any more.

use std::fmt;
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;

use ropewalk_rt::net::{SocketAddr, TcpStream};
use ropewalk_rt::time::{Duration, Instant};
use socket2::SockRef;

/// The time limits of a call: a point in time for all of it, and the longest silence in between.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TimeLimits {
    /// When the whole call must be over.
    pub(crate) deadline: Option<Instant>,
    /// How long one read or write may bring nothing.
    pub(crate) silence: Option<Duration>,
}

/// Which time limit was hit; the text inside a timeout error.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Elapsed {
    /// The deadline of the call, or of connecting.
    Deadline,
    /// The read timeout.
    Silence(Duration),
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Elapsed::Deadline => f.write_str("the deadline passed"),
            Elapsed::Silence(limit) => write!(f, "nothing moved for {limit:?} (read_timeout)"),
        }
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, elapsed)
    }
}

impl TimeLimits {
    /// Returns the time left until the deadline, `None` without one.
    pub(crate) fn left(&self) -> Result<Option<Duration>, Elapsed> {
        let Some(deadline) = self.deadline else {
            return Ok(None);
        };
        match deadline.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(Elapsed::Deadline),
            left => Ok(Some(left)),
        }
    }

    /// Returns these limits with the deadline moved forward to `by`, should it be later.
    pub(crate) fn no_later_than(self, by: Instant) -> TimeLimits {
        TimeLimits {
            deadline: Some(self.deadline.map_or(by, |d| d.min(by))),
            ..self
        }
    }

    /// Returns how long the next operation may take, and what it means when that passes.
    fn next_operation(&self) -> Result<(Option<Duration>, Elapsed), Elapsed> {
        Ok(match (self.left()?, self.silence) {
            (Some(left), Some(silence)) if silence < left => {
                (Some(silence), Elapsed::Silence(silence))
            }
            (None, Some(silence)) => (Some(silence), Elapsed::Silence(silence)),
            (left, _) => (left, Elapsed::Deadline),
        })
    }
}

/// What waits in a socket's receive buffer, seen without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pending {
    /// Nothing: the connection is alive and silent.
    Nothing,
    /// At least a byte.
    Data,
    /// The peer has closed, or the connection is broken.
    Closed,
}

/// A connected stream with its limits.
pub(crate) struct Socket {
    tcp: TcpStream,
    remote: SocketAddr,
    limits: TimeLimits,
    /// The timeouts the stream has now, so that an unchanged one is not stored again.
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
}

impl Socket {
    pub(crate) fn new(tcp: TcpStream, remote: SocketAddr) -> io::Result<Socket> {
        // A request is written in one go; waiting for more to come would only cost time.
        tcp.set_nodelay(true)?;
        Ok(Socket {
            tcp,
            remote,
            limits: TimeLimits::default(),
            read_timeout: None,
            write_timeout: None,
        })
    }

    pub(crate) fn remote(&self) -> SocketAddr {
        self.remote
    }

    pub(crate) fn limits(&self) -> TimeLimits {
        self.limits
    }

    pub(crate) fn set_limits(&mut self, limits: TimeLimits) {
        self.limits = limits;
    }

    /// Looks at the receive buffer without waiting and without taking anything.
    pub(crate) fn pending(&self) -> Pending {
        let mut byte = [MaybeUninit::uninit()];
        let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
        loop {
            return match SockRef::from(&self.tcp).recv_with_flags(&mut byte, flags) {
                Ok(0) => Pending::Closed,
                Ok(_) => Pending::Data,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => Pending::Nothing,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => Pending::Closed,
            };
        }
    }
}

/// Gives a timed-out operation the name of the limit that ended it.
fn name_timeout(err: io::Error, elapsed: Elapsed) -> io::Error {
    match err.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut if err.get_ref().is_none() => {
            elapsed.into()
        }
        _ => err,
    }
}

impl Read for Socket {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let (limit, elapsed) = self.limits.next_operation()?;
        if limit != self.read_timeout {
            self.tcp.set_read_timeout(limit)?;
            self.read_timeout = limit;
        }
        loop {
            match self.tcp.read(buf) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) if limit.is_some() => return Err(name_timeout(e, elapsed)),
                result => return result,
            }
        }
    }
}

impl Write for Socket {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let (limit, elapsed) = self.limits.next_operation()?;
        if limit != self.write_timeout {
            self.tcp.set_write_timeout(limit)?;
            self.write_timeout = limit;
        }
        loop {
            match self.tcp.write(buf) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) if limit.is_some() => return Err(name_timeout(e, elapsed)),
                result => return result,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
