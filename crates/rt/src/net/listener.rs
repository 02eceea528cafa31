//! A TCP socket that accepts connections.

use std::fmt;
use std::io;
use std::iter::FusedIterator;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};

use socket2::{Domain, Protocol, Type};

use super::acceptor::{Acceptor, BACKLOG, acceptor_traits};
use super::endpoint::{ip, not_internet, open};
use super::{TcpStream, ToSocketAddrs, each_addr};

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
    pub(super) inner: Acceptor,
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
                inner: Acceptor::ours(socket),
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
        let (fd, addr) = self.inner.accept()?;
        let stream = TcpStream::from(fd);
        Ok((stream, addr.ip().ok_or_else(not_internet)?))
    }

    /// Waits until there is a connection to accept; another may be faster.
    pub(super) fn await_connection(&self) -> io::Result<()> {
        self.inner.await_connection()
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
        ip(&self.inner.socket().local_addr()?)
    }

    /// Sets the time-to-live of IPv4 packets; connections take it over.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.inner.socket().set_ttl_v4(ttl)
    }

    /// The time-to-live of IPv4 packets.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn ttl(&self) -> io::Result<u32> {
        self.inner.socket().ttl_v4()
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

acceptor_traits!(TcpListener, std::net::TcpListener);

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("TcpListener");
        if let Ok(addr) = self.local_addr() {
            debug.field("addr", &addr);
        }
        debug.field("fd", &self.as_raw_fd()).finish()
    }
}
