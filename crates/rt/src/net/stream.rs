//! A TCP connection.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::time::Duration;

use ropewalk_kernel::clock;
use ropewalk_kernel::driver::Address;
use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::endpoint::{Endpoint, ip, open, zero_timeout};
use super::halves::{ReadHalf, WriteHalf, split_methods};
use super::traits::{endpoint_traits, stream_traits};
use super::{ToSocketAddrs, each_addr};

/// A TCP connection; mirrors [`std::net::TcpStream`].
///
/// `Read` and `Write` are there for `TcpStream` and for `&TcpStream`: one coroutine may
/// read while another writes, without a clone. A deadline or time-out leaves what it would
/// have moved where it was.
pub struct TcpStream {
    pub(super) inner: Endpoint,
}

impl TcpStream {
    /// Connects; a name with several addresses is tried address by address.
    ///
    /// # Errors
    ///
    /// The last address's failure, or the look-up's.
    pub fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<TcpStream> {
        each_addr(addr, |addr| TcpStream::connect_by(&addr, None))
    }

    /// Connects, within `timeout`.
    ///
    /// # Errors
    ///
    /// `TimedOut`; `InvalidInput` for a time-out of 0; else the system's.
    pub fn connect_timeout(addr: &SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        if timeout.is_zero() {
            return Err(zero_timeout());
        }
        TcpStream::connect_by(addr, Some(clock::deadline_after(timeout)))
    }

    fn connect_by(addr: &SocketAddr, deadline: Option<u64>) -> io::Result<TcpStream> {
        let kind = Type::STREAM.nonblocking();
        let socket = open(Domain::for_address(*addr), kind, Some(Protocol::TCP))?;
        TcpStream::connect_socket(socket, addr, deadline)
    }

    /// Connects a non-blocking socket of our own making.
    pub(super) fn connect_socket(
        socket: Socket,
        addr: &SocketAddr,
        deadline: Option<u64>,
    ) -> io::Result<TcpStream> {
        let inner = Endpoint::of_stream(socket.into());
        match inner.connect_now(&Address::from(*addr)) {
            Ok(()) => {}
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR)) => {
                inner.finish_connecting(deadline)?;
            }
            Err(error) => return Err(error),
        }
        // Ours until now. From here on it may be handed out, and behaves as std's would.
        inner.socket().set_nonblocking(false)?;
        Ok(TcpStream { inner })
    }

    fn socket(&self) -> SockRef<'_> {
        self.inner.socket()
    }

    /// The other end's address.
    ///
    /// # Errors
    ///
    /// The system's: `NotConnected` once the connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        ip(&self.socket().peer_addr()?)
    }

    /// This end's address.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        ip(&self.socket().local_addr()?)
    }

    /// Shuts reading, writing or both down. A read that waits then ends with 0.
    ///
    /// # Errors
    ///
    /// The system's: `NotConnected` once the connection is gone.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket().shutdown(how)
    }

    /// Sends some of a file; see [`io::sendfile`](crate::io::sendfile).
    pub(crate) fn send_file(
        &self,
        file: BorrowedFd<'_>,
        offset: u64,
        len: usize,
    ) -> io::Result<usize> {
        let deadline = self.inner.timeouts.write_deadline();
        self.inner.source.send_file(file, offset, len, deadline)
    }

    /// Receives without taking: the next read gives the same bytes.
    ///
    /// # Errors
    ///
    /// As a read.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.peek(buf)
    }

    /// Sends small writes at once (`TCP_NODELAY`).
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.socket().set_tcp_nodelay(nodelay)
    }

    /// Says whether small writes are sent at once.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.socket().tcp_nodelay()
    }

    /// Sets the time-to-live of IPv4 packets.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.socket().set_ttl_v4(ttl)
    }

    /// The time-to-live of IPv4 packets.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn ttl(&self) -> io::Result<u32> {
        self.socket().ttl_v4()
    }

    /// Sets what closing does with unsent data (`SO_LINGER`). With `Some(0)` it is thrown
    /// away and the peer sees a reset. Other values could block the thread that drops the
    /// stream, and are refused.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a time that is not 0; else the system's.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        check_linger(linger)?;
        self.socket().set_linger(linger)
    }

    /// What closing does with unsent data.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        self.socket().linger()
    }
}

/// Refuses to linger for a time, which would block who closes the socket.
pub(super) fn check_linger(linger: Option<Duration>) -> io::Result<()> {
    match linger {
        Some(linger) if !linger.is_zero() => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "lingering would block a worker in close: shut down and read to the end instead",
        )),
        _ => Ok(()),
    }
}

stream_traits!(TcpStream);
split_methods!(TcpStream);
endpoint_traits!(TcpStream, std::net::TcpStream);

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("TcpStream");
        if let Ok(addr) = self.local_addr() {
            debug.field("addr", &addr);
        }
        if let Ok(peer) = self.peer_addr() {
            debug.field("peer", &peer);
        }
        debug.field("fd", &self.as_raw_fd()).finish()
    }
}
