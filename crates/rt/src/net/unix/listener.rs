//! A Unix socket that accepts connections.

use std::fmt;
use std::io;
use std::iter::FusedIterator;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::path::Path;

use socket2::{Domain, SockAddr, Type};

use super::{SocketAddr, UnixStream, from_system, of_socket, to_system};
use crate::net::acceptor::{Acceptor, BACKLOG, acceptor_traits};
use crate::net::endpoint::{bind, open};

/// A Unix socket that accepts connections; mirrors [`std::os::unix::net::UnixListener`].
///
/// Several coroutines may accept at once. Errors of accepting are as with
/// [`TcpListener::accept`](crate::net::TcpListener::accept).
///
/// # Examples
///
/// ```
/// use ropewalk_rt::{coroutine, net::unix::{SocketAddr, UnixListener, UnixStream}};
/// use std::io::{Read, Write};
/// use std::os::linux::net::SocketAddrExt;
///
/// let name = format!("ropewalk-doctest-{}", std::process::id());
/// let addr = SocketAddr::from_abstract_name(name)?;
/// let listener = UnixListener::bind_addr(&addr)?;
/// let server = coroutine::spawn(move || listener.accept()?.0.write_all(b"hello"));
/// let mut text = String::new();
/// UnixStream::connect_addr(&addr)?.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// server.join().unwrap()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixListener {
    inner: Acceptor,
}

impl UnixListener {
    /// Makes the socket file `path` and listens there.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if something of that name exists; else the system's.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixListener> {
        UnixListener::bind_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Listens at an address, which may be an abstract name; an unnamed one has the system
    /// choose an abstract name.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub fn bind_addr(addr: &SocketAddr) -> io::Result<UnixListener> {
        let socket = open(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
        bind(&socket, &to_system(addr)?)?;
        socket.listen(BACKLOG)?;
        Ok(UnixListener {
            inner: Acceptor::ours(socket),
        })
    }

    /// Waits for a connection.
    ///
    /// # Errors
    ///
    /// The system's: some pass (out of descriptors or memory); the listener stays good.
    pub fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (fd, addr) = self.inner.accept()?;
        Ok((UnixStream::from(fd), from_system(&addr)?))
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
        let addr: SockAddr = self.inner.socket().local_addr()?;
        of_socket(&addr)
    }
}

acceptor_traits!(UnixListener, std::os::unix::net::UnixListener);

/// The connections of a listener; from [`UnixListener::incoming`].
#[derive(Debug)]
pub struct Incoming<'l> {
    listener: &'l UnixListener,
}

impl Iterator for Incoming<'_> {
    type Item = io::Result<UnixStream>;

    fn next(&mut self) -> Option<io::Result<UnixStream>> {
        Some(self.listener.accept().map(|(stream, _)| stream))
    }
}

impl FusedIterator for Incoming<'_> {}

impl<'l> IntoIterator for &'l UnixListener {
    type Item = io::Result<UnixStream>;
    type IntoIter = Incoming<'l>;

    fn into_iter(self) -> Incoming<'l> {
        self.incoming()
    }
}

impl fmt::Debug for UnixListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("UnixListener");
        if let Ok(addr) = self.local_addr() {
            debug.field("addr", &addr);
        }
        debug.field("fd", &self.as_raw_fd()).finish()
    }
}
