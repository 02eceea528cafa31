//! A TCP socket that accepts connections.

use std::fmt;
use std::io;
use std::iter::FusedIterator;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ropewalk_kernel::blocking::unblock;
use ropewalk_kernel::driver::{Address, Interest, Source};
use ropewalk_kernel::sys;
use socket2::{Domain, Protocol, SockRef, Type};

use super::options::{ip, not_internet, open};
use super::{TcpStream, ToSocketAddrs, each_addr};

/// How many connections may wait to be accepted; the system caps it (`somaxconn`).
const BACKLOG: i32 = 4096;

/// A TCP socket that accepts connections; mirrors [`std::net::TcpListener`].
///
/// Several coroutines may accept at once.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::{coroutine, net::{TcpListener, TcpStream}};
/// use std::io::{Read, Write};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let addr = listener.local_addr()?;
/// let server = coroutine::spawn(move || -> std::io::Result<()> {
///     let (mut stream, _) = listener.accept()?;
///     stream.write_all(b"hello")
/// });
/// let mut text = String::new();
/// TcpStream::connect(addr)?.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// server.join().unwrap()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TcpListener {
    source: Source,
    /// Whether accepting never blocks: so for sockets of our own making. One that was
    /// given keeps its mode, which others may share.
    /// Shared by clones: giving one of them to std makes the socket of all block.
    nonblocking: Arc<AtomicBool>,
    ours: bool,
}

impl TcpListener {
    /// Binds to an address and listens; the address may be re-used at once after a restart.
    ///
    /// # Errors
    ///
    /// The last address's failure, or the look-up's.
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<TcpListener> {
        each_addr(addr, |addr| {
            let kind = Type::STREAM.nonblocking();
            let socket = open(Domain::for_address(addr), kind, Some(Protocol::TCP))?;
            socket.set_reuse_address(true)?;
            socket.bind(&addr.into())?;
            socket.listen(BACKLOG)?;
            Ok(TcpListener {
                source: Source::new(socket.into()),
                nonblocking: Arc::new(AtomicBool::new(true)),
                ours: true,
            })
        })
    }

    /// Waits for a connection.
    ///
    /// # Errors
    ///
    /// The system's: some concern one connection only (`ConnectionAborted`), others pass
    /// (out of descriptors or memory); the listener stays good.
    pub fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        if self.nonblocking.load(Ordering::Acquire) {
            return self
                .source
                .ready_op(Interest::Read, None, || self.accept_now());
        }
        loop {
            self.source
                .ready_op(Interest::Read, None, || self.readable())?;
            // Should another process be faster, this blocks until the next connection: a
            // thread of the pool, not the worker.
            match unblock(|| self.accept_now()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn accept_now(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (fd, addr) = Address::fill(|addr, len| {
            // SAFETY: the address is writable for `len` bytes.
            unsafe { (sys::table().accept4)(self.as_raw_fd(), addr, len, libc::SOCK_CLOEXEC) }
        })?;
        // SAFETY: a fresh descriptor of our own.
        let stream = TcpStream::new(unsafe { OwnedFd::from_raw_fd(fd) });
        Ok((stream, addr.ip().ok_or_else(not_internet)?))
    }

    fn readable(&self) -> io::Result<()> {
        let mut fds = [libc::pollfd {
            fd: self.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        }];
        match (sys::table().poll)(&mut fds, Some(0))? {
            0 => Err(io::Error::from(io::ErrorKind::WouldBlock)),
            _ => Ok(()),
        }
    }

    /// Accepts for ever: the iterator never ends, and gives errors as items.
    pub fn incoming(&self) -> Incoming<'_> {
        Incoming { listener: self }
    }

    /// The address it is bound to.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        ip(&SockRef::from(&self.source).local_addr()?)
    }

    /// Makes a second owner of the same socket.
    ///
    /// # Errors
    ///
    /// The system's, if it is out of descriptors.
    pub fn try_clone(&self) -> io::Result<TcpListener> {
        let fd = self.source.as_fd().try_clone_to_owned()?;
        let (nonblocking, ours) = (Arc::clone(&self.nonblocking), self.ours);
        Ok(TcpListener {
            source: Source::new(fd),
            nonblocking,
            ours,
        })
    }

    /// Takes the error pending on the socket (`SO_ERROR`).
    ///
    /// # Errors
    ///
    /// The system's, for the asking itself.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        SockRef::from(&self.source).take_error()
    }
}

/// The connections of a listener; from [`TcpListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'l> {
    listener: &'l TcpListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<TcpStream>;

    fn next(&mut self) -> Option<io::Result<TcpStream>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl FusedIterator for Incoming<'_> {}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl AsRawFd for TcpListener {
    fn as_raw_fd(&self) -> RawFd {
        self.source.as_fd().as_raw_fd()
    }
}

impl From<std::net::TcpListener> for TcpListener {
    /// Takes the socket over. Whether it is non-blocking stays as it is: others may share
    /// it. Accepting is a little slower on one that blocks.
    fn from(listener: std::net::TcpListener) -> TcpListener {
        TcpListener::from(OwnedFd::from(listener))
    }
}

impl From<TcpListener> for std::net::TcpListener {
    /// Gives the socket to std; one of our own making in blocking mode.
    fn from(listener: TcpListener) -> std::net::TcpListener {
        OwnedFd::from(listener).into()
    }
}

impl From<OwnedFd> for TcpListener {
    fn from(fd: OwnedFd) -> TcpListener {
        let nonblocking = SockRef::from(&fd).nonblocking().unwrap_or(false);
        TcpListener {
            source: Source::new(fd),
            nonblocking: Arc::new(AtomicBool::new(nonblocking)),
            ours: false,
        }
    }
}

impl From<TcpListener> for OwnedFd {
    fn from(listener: TcpListener) -> OwnedFd {
        let ours = listener.ours;
        if ours {
            listener.nonblocking.store(false, Ordering::Release);
        }
        let fd = listener.source.into_fd();
        if ours {
            // It fails only for what is no descriptor.
            let _ = SockRef::from(&fd).set_nonblocking(false);
        }
        fd
    }
}

impl IntoRawFd for TcpListener {
    fn into_raw_fd(self) -> RawFd {
        OwnedFd::from(self).into_raw_fd()
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("TcpListener");
        if let Ok(addr) = self.local_addr() {
            debug.field("addr", &addr);
        }
        debug.field("fd", &self.as_raw_fd()).finish()
    }
}
