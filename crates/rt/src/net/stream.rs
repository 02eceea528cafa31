//! A TCP connection.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ropewalk_kernel::clock;
use ropewalk_kernel::driver::{Interest, Source};
use ropewalk_kernel::sys;
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use super::{ToSocketAddrs, each_addr};

/// A TCP connection; mirrors [`std::net::TcpStream`].
///
/// `Read` and `Write` are there for `TcpStream` and for `&TcpStream`: one coroutine may
/// read while another writes, without a clone. A deadline or time-out leaves what it would
/// have moved where it was.
pub struct TcpStream {
    source: Source,
    read_timeout_ns: AtomicU64,
    write_timeout_ns: AtomicU64,
}

impl TcpStream {
    pub(super) fn new(fd: OwnedFd) -> TcpStream {
        TcpStream {
            source: Source::new(fd),
            read_timeout_ns: AtomicU64::new(0),
            write_timeout_ns: AtomicU64::new(0),
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
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a time-out of 0",
            ));
        }
        TcpStream::connect_by(addr, Some(clock::deadline_after(timeout)))
    }

    fn connect_by(addr: &SocketAddr, deadline: Option<u64>) -> io::Result<TcpStream> {
        let kind = Type::STREAM.nonblocking().cloexec();
        let socket = Socket::new(Domain::for_address(*addr), kind, Some(Protocol::TCP))?;
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
        let clone = TcpStream::new(self.source.as_fd().try_clone_to_owned()?);
        clone.set_read_timeout(self.read_timeout()?)?;
        clone.set_write_timeout(self.write_timeout()?)?;
        Ok(clone)
    }

    /// Limits how long each read waits; `None`: for ever. Costs no system call.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for 0.
    pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        store_timeout(&self.read_timeout_ns, timeout)
    }

    /// Limits how long each write waits, likewise.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for 0.
    pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        store_timeout(&self.write_timeout_ns, timeout)
    }

    /// How long each read waits at most.
    ///
    /// # Errors
    ///
    /// None; as in std.
    pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(load_timeout(&self.read_timeout_ns))
    }

    /// How long each write waits at most.
    ///
    /// # Errors
    ///
    /// None; as in std.
    pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
        Ok(load_timeout(&self.write_timeout_ns))
    }

    /// Receives without taking: the next read gives the same bytes.
    ///
    /// # Errors
    ///
    /// As a read.
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.source
            .recv(buf, libc::MSG_PEEK, deadline(&self.read_timeout_ns))
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
        self.source.recv(buf, 0, deadline(&self.read_timeout_ns))
    }

    fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.source.send(buf, 0, deadline(&self.write_timeout_ns))
    }

    fn receive_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Ok(0);
        }
        self.source
            .recv_vectored(bufs, deadline(&self.read_timeout_ns))
    }

    fn send_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.source
            .send_vectored(bufs, deadline(&self.write_timeout_ns))
    }
}

pub(super) fn ip(addr: &SockAddr) -> io::Result<SocketAddr> {
    addr.as_socket().ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "the socket is not an internet socket",
        )
    })
}

fn store_timeout(slot: &AtomicU64, timeout: Option<Duration>) -> io::Result<()> {
    let ns = match timeout {
        None => 0,
        Some(timeout) if timeout.is_zero() => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a time-out of 0",
            ));
        }
        Some(timeout) => u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX),
    };
    slot.store(ns, Ordering::Relaxed);
    Ok(())
}

fn load_timeout(slot: &AtomicU64) -> Option<Duration> {
    let ns = slot.load(Ordering::Relaxed);
    (ns != 0).then(|| Duration::from_nanos(ns))
}

#[inline]
fn deadline(slot: &AtomicU64) -> Option<u64> {
    match slot.load(Ordering::Relaxed) {
        0 => None,
        ns => Some(clock::now_ns().saturating_add(ns)),
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

impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl AsRawFd for TcpStream {
    fn as_raw_fd(&self) -> RawFd {
        self.source.as_fd().as_raw_fd()
    }
}

impl IntoRawFd for TcpStream {
    fn into_raw_fd(self) -> RawFd {
        self.source.into_fd().into_raw_fd()
    }
}

impl From<std::net::TcpStream> for TcpStream {
    /// Takes the connection over; whether it is non-blocking stays as it is, and makes no
    /// difference here. The time-outs set with std are not carried over.
    fn from(stream: std::net::TcpStream) -> TcpStream {
        TcpStream::new(stream.into())
    }
}

impl From<TcpStream> for std::net::TcpStream {
    /// Gives the connection to std, in blocking mode unless somebody set it otherwise.
    fn from(stream: TcpStream) -> std::net::TcpStream {
        stream.source.into_fd().into()
    }
}

impl From<OwnedFd> for TcpStream {
    fn from(fd: OwnedFd) -> TcpStream {
        TcpStream::new(fd)
    }
}

impl From<TcpStream> for OwnedFd {
    fn from(stream: TcpStream) -> OwnedFd {
        stream.source.into_fd()
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
