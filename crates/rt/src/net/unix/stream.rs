//! A connection between Unix sockets.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::Duration;

use ropewalk_kernel::cancel::{self, Cancelled};
use ropewalk_kernel::clock;
use ropewalk_kernel::driver::Address;
use ropewalk_kernel::wait;
use socket2::{Domain, Socket, Type};

use super::fds::fds_methods;
use super::{SocketAddr, of_socket, to_system};
use crate::net::endpoint::{Endpoint, open};
use crate::net::halves::{ReadHalf, WriteHalf, split_methods};
use crate::net::traits::{endpoint_traits, stream_traits};

/// The first and the longest pause before a listener with a full backlog is tried again.
const PAUSE_MIN: Duration = Duration::from_micros(100);
const PAUSE_MAX: Duration = Duration::from_millis(20);

/// A connection between Unix sockets; mirrors [`std::os::unix::net::UnixStream`].
///
/// `Read` and `Write` are there for `UnixStream` and for `&UnixStream`, as for
/// [`TcpStream`](crate::net::TcpStream).
///
/// # Examples
///
/// ```
/// use ropewalk_rt::net::unix::UnixStream;
/// use std::io::{Read, Write};
///
/// let (mut one, mut other) = UnixStream::pair()?;
/// one.write_all(b"hello")?;
/// drop(one);
/// let mut text = String::new();
/// other.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixStream {
    pub(in crate::net) inner: Endpoint,
}

/// Who made a connection; from [`UnixStream::peer_cred`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UCred {
    /// The effective user.
    pub uid: u32,
    /// The effective group.
    pub gid: u32,
    /// The process; `None` if it can't be seen from here.
    pub pid: Option<i32>,
}

impl UnixStream {
    const IS_STREAM: bool = true;

    /// Connects to the listener with that path.
    ///
    /// Waits while the listener has as many connections waiting as it takes; the system
    /// doesn't tell when there is room, so it is asked again every 20 ms at the latest.
    ///
    /// # Errors
    ///
    /// The system's; `InvalidInput` for a path that is too long.
    pub fn connect<P: AsRef<Path>>(path: P) -> io::Result<UnixStream> {
        UnixStream::connect_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Connects to the listener with that address, likewise.
    ///
    /// # Errors
    ///
    /// As [`connect`](Self::connect).
    pub fn connect_addr(addr: &SocketAddr) -> io::Result<UnixStream> {
        let socket = open(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
        let inner = Endpoint::of_stream(socket.into());
        connect_patiently(&inner, &to_system(addr)?)?;
        // Ours until now. From here on it may be handed out, and behaves as std's would.
        inner.socket().set_nonblocking(false)?;
        Ok(UnixStream { inner })
    }

    /// Makes two that are connected with each other.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (one, other) = Socket::pair(Domain::UNIX, Type::STREAM.cloexec(), None)?;
        Ok((
            UnixStream::from(OwnedFd::from(one)),
            UnixStream::from(OwnedFd::from(other)),
        ))
    }

    /// This end's address.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        of_socket(&self.inner.socket().local_addr()?)
    }

    /// The other end's address: most often unnamed.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        of_socket(&self.inner.socket().peer_addr()?)
    }

    /// Who connected, or who listened, at the time when they did (`SO_PEERCRED`).
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn peer_cred(&self) -> io::Result<UCred> {
        // SAFETY: all zeroes is a value of it.
        let mut cred: libc::ucred = unsafe { mem::zeroed() };
        let mut len = size_of::<libc::ucred>() as libc::socklen_t;
        // SAFETY: the value is writable for `len` bytes.
        let result = unsafe {
            libc::getsockopt(
                self.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERCRED,
                (&raw mut cred).cast(),
                &raw mut len,
            )
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(UCred {
            uid: cred.uid,
            gid: cred.gid,
            pid: (cred.pid != 0).then_some(cred.pid),
        })
    }

    /// Shuts reading, writing or both down. A read that waits then ends with 0.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.inner.socket().shutdown(how)
    }

    /// Receives without taking: the next read gives the same bytes.
    ///
    /// # Errors
    ///
    /// As a read.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.peek(buf)
    }
}

/// Connects a non-blocking socket; tries again while the backlog is full.
fn connect_patiently(inner: &Endpoint, addr: &Address) -> io::Result<()> {
    let mut pause = PAUSE_MIN;
    loop {
        match inner.connect_now(addr) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => return result,
        }
        wait::sleep_until(clock::deadline_after(pause));
        cancel::check().map_err(Cancelled::into_io)?;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

stream_traits!(UnixStream);
split_methods!(UnixStream);
endpoint_traits!(UnixStream, std::os::unix::net::UnixStream);
fds_methods!(UnixStream);

impl fmt::Debug for UnixStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("UnixStream");
        if let Ok(addr) = self.local_addr() {
            debug.field("addr", &addr);
        }
        if let Ok(peer) = self.peer_addr() {
            debug.field("peer", &peer);
        }
        debug.field("fd", &self.as_raw_fd()).finish()
    }
}
