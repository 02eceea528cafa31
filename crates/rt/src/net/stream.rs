//! A TCP connection.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::time::Duration;

use ropewalk_kernel::clock;
use ropewalk_kernel::driver::{Interest, Source};
use ropewalk_kernel::sys;
use socket2::{Domain, Protocol, SockAddr, SockRef, Type};

use super::options::{Timeouts, descriptor_traits, ip, open, timeout_methods, zero_timeout};
use super::{ToSocketAddrs, each_addr};

/// A TCP connection; mirrors [`std::net::TcpStream`].
///
/// `Read` and `Write` are there for `TcpStream` and for `&TcpStream`: one coroutine may
/// read while another writes, without a clone. A deadline or time-out leaves what it would
/// have moved where it was.
pub struct TcpStream {
    source: Source,
    timeouts: Timeouts,
}

impl TcpStream {
    pub(super) fn new(fd: OwnedFd) -> TcpStream {
        TcpStream {
            source: Source::new(fd),
            timeouts: Timeouts::default(),
        }
    }

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
        let stream = TcpStream::new(socket.into());
        let addr = SockAddr::from(*addr);
        let fd = stream.as_raw_fd();
        // SAFETY: a valid address of that length.
        let begun = unsafe { (sys::table().connect)(fd, addr.as_ptr().cast(), addr.len()) };
        match begun {
            Ok(()) => {}
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINPROGRESS | libc::EINTR)) => {
                stream
                    .source
                    .ready_op(Interest::Write, deadline, || stream.connected())?;
            }
            Err(error) => return Err(error),
        }
        // Ours until now. From here on it may be handed out, and behaves as std's would.
        stream.socket().set_nonblocking(false)?;
        Ok(stream)
    }

    /// How a connection attempt has ended; `WouldBlock` if it hasn't.
    fn connected(&self) -> io::Result<()> {
        let mut fds = [libc::pollfd {
            fd: self.as_raw_fd(),
            events: libc::POLLOUT,
            revents: 0,
        }];
        if (sys::table().poll)(&mut fds, Some(0))? == 0 {
            return Err(io::Error::from(io::ErrorKind::WouldBlock));
        }
        // Writable: connected, or failed.
        self.socket().take_error()?.map_or(Ok(()), Err)
    }

    fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.source)
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

    /// Makes a second owner of the same connection. Not needed to read and write at once.
    ///
    /// The time-outs are copied.
    ///
    /// # Errors
    ///
    /// The system's, if it is out of descriptors.
    pub fn try_clone(&self) -> io::Result<TcpStream> {
        Ok(TcpStream {
            source: Source::new(self.source.as_fd().try_clone_to_owned()?),
            timeouts: self.timeouts.clone(),
        })
    }

    /// Receives without taking: the next read gives the same bytes.
    ///
    /// # Errors
    ///
    /// As a read.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.source
            .recv(buf, libc::MSG_PEEK, self.timeouts.read_deadline())
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
        if linger.is_some_and(|linger| !linger.is_zero()) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "lingering would block a worker in close: shut down and read to the end instead",
            ));
        }
        self.socket().set_linger(linger)
    }

    /// Takes the error pending on the socket (`SO_ERROR`).
    ///
    /// # Errors
    ///
    /// The system's, for the asking itself.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket().take_error()
    }

    fn receive(&self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.source.recv(buf, 0, self.timeouts.read_deadline())
    }

    fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.source.send(buf, 0, self.timeouts.write_deadline())
    }

    fn receive_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Ok(0);
        }
        self.source
            .recv_vectored(bufs, self.timeouts.read_deadline())
    }

    fn send_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.source
            .send_vectored(bufs, self.timeouts.write_deadline())
    }
}

timeout_methods!(TcpStream);
descriptor_traits!(TcpStream, std::net::TcpStream);

impl From<OwnedFd> for TcpStream {
    fn from(fd: OwnedFd) -> TcpStream {
        TcpStream::new(fd)
    }
}

impl Read for TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.receive(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.receive_vectored(bufs)
    }
}

impl Read for &TcpStream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.receive(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.receive_vectored(bufs)
    }
}

impl Write for TcpStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.send(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.send_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for &TcpStream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.send(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.send_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

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
