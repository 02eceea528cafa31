//! Datagrams between Unix sockets.
//!
//! None is lost and none overtakes another: a send waits while the receiver's queue is full.
//! Of a peer's queue the system tells only a socket that is connected with it. So a send
//! from another one that finds the receiver full connects a second socket, and waits there.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::Duration;

use ropewalk_kernel::driver::{Address, Interest};
use socket2::{Domain, Socket, Type};

use super::fds::fds_methods;
use super::{SocketAddr, from_system, of_socket, to_system};
use crate::net::Datagram;
use crate::net::endpoint::{Endpoint, bind, open};
use crate::net::traits::endpoint_traits;

/// A Unix socket for datagrams; mirrors [`std::os::unix::net::UnixDatagram`].
///
/// Several coroutines may receive and send at once. Of truncation the same holds as for
/// [`UdpSocket`](crate::net::UdpSocket).
///
/// # Examples
///
/// ```
/// use ropewalk_rt::net::unix::UnixDatagram;
///
/// let (one, other) = UnixDatagram::pair()?;
/// one.send(b"first")?;
/// one.send(b"second")?;
/// let mut buf = [0; 100];
/// assert_eq!(other.recv(&mut buf)?, 5);
/// assert_eq!(other.recv(&mut buf)?, 6);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UnixDatagram {
    inner: Endpoint,
}

impl UnixDatagram {
    const IS_STREAM: bool = false;

    /// Makes the socket file `path`, where datagrams may be sent to.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if something of that name exists; else the system's.
    pub fn bind<P: AsRef<Path>>(path: P) -> io::Result<UnixDatagram> {
        UnixDatagram::bind_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Binds to an address, which may be an abstract name; an unnamed one has the system
    /// choose an abstract name.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub fn bind_addr(addr: &SocketAddr) -> io::Result<UnixDatagram> {
        let socket = open(Domain::UNIX, Type::DGRAM, None)?;
        bind(&socket, &to_system(addr)?)?;
        Ok(UnixDatagram::from(OwnedFd::from(socket)))
    }

    /// Makes one without an address.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn unbound() -> io::Result<UnixDatagram> {
        let socket = open(Domain::UNIX, Type::DGRAM, None)?;
        Ok(UnixDatagram::from(OwnedFd::from(socket)))
    }

    /// Makes two that are connected with each other.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (one, other) = Socket::pair(Domain::UNIX, Type::DGRAM.cloexec(), None)?;
        Ok((
            UnixDatagram::from(OwnedFd::from(one)),
            UnixDatagram::from(OwnedFd::from(other)),
        ))
    }

    /// Names the peer: [`send`](Self::send) goes there, and only its datagrams are received.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        self.connect_addr(&SocketAddr::from_pathname(path)?)
    }

    /// Names the peer, likewise.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn connect_addr(&self, addr: &SocketAddr) -> io::Result<()> {
        self.inner.connect_now(&to_system(addr)?)
    }

    /// Receives from the peer, or from anybody if none was named; gives the length. 0 is an
    /// empty datagram (or a buffer of no length), not an end, unless reading was shut down.
    ///
    /// # Errors
    ///
    /// `TimedOut`, with nothing received; else the system's.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner
            .source
            .recv(buf, 0, self.inner.timeouts.read_deadline())
    }

    /// Receives; gives the length and the sender.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let datagram = self.recv_datagram(buf)?;
        Ok((datagram.len, datagram.from))
    }

    /// Receives and tells how long the datagram was.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_datagram(&self, buf: &mut [u8]) -> io::Result<Datagram<SocketAddr>> {
        self.receive(&mut [IoSliceMut::new(buf)], 0)
    }

    /// Receives one datagram into several buffers, in order.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_datagram_vectored(
        &self,
        bufs: &mut [IoSliceMut<'_>],
    ) -> io::Result<Datagram<SocketAddr>> {
        self.receive(bufs, 0)
    }

    /// Receives without taking: the next receive gives the same datagram.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.peek(buf)
    }

    /// Receives without taking; gives the length and the sender.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let datagram = self.peek_datagram(buf)?;
        Ok((datagram.len, datagram.from))
    }

    /// Receives without taking, and tells how long the datagram is; an empty buffer will do
    /// for that.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn peek_datagram(&self, buf: &mut [u8]) -> io::Result<Datagram<SocketAddr>> {
        self.receive(&mut [IoSliceMut::new(buf)], libc::MSG_PEEK)
    }

    fn receive(&self, bufs: &mut [IoSliceMut<'_>], flags: i32) -> io::Result<Datagram<SocketAddr>> {
        let deadline = self.inner.timeouts.read_deadline();
        let received = self.inner.source.recv_message(bufs, flags, deadline)?;
        Ok(Datagram {
            len: received.len,
            full_len: received.full_len,
            from: from_system(&received.from)?,
        })
    }

    /// Sends one datagram to the peer; gives its length. Waits while the peer's queue is full.
    ///
    /// # Errors
    ///
    /// `ConnectionRefused` or `ConnectionReset` if the peer is gone; `TimedOut`, with nothing
    /// sent; else the system's.
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.inner.write(buf)
    }

    /// Sends one datagram to the socket with that path, likewise.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); `NotFound` if there is no such file.
    pub fn send_to<P: AsRef<Path>>(&self, buf: &[u8], path: P) -> io::Result<usize> {
        self.send_to_addr(buf, &SocketAddr::from_pathname(path)?)
    }

    /// Sends one datagram to an address, likewise.
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to).
    pub fn send_to_addr(&self, buf: &[u8], addr: &SocketAddr) -> io::Result<usize> {
        let to = to_system(addr)?;
        let bufs = [IoSlice::new(buf)];
        let deadline = self.inner.timeouts.write_deadline();
        loop {
            match self.inner.source.send_message_now(&bufs, Some(&to)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait_for_room(&to, deadline)?;
                }
                result => return result,
            }
        }
    }

    /// Waits until there may be room here and in the receiver's queue.
    fn wait_for_room(&self, to: &Address, deadline: Option<u64>) -> io::Result<()> {
        if !self.inner.ready_now(libc::POLLOUT)? {
            // Our own buffer.
            return wait_writable(&self.inner, deadline);
        }
        let probe = UnixDatagram::unbound()?.inner;
        match probe.connect_now(to) {
            Ok(()) => wait_writable(&probe, deadline),
            // Gone meanwhile: the next attempt says how.
            Err(_) => Ok(()),
        }
    }

    /// Shuts receiving, sending or both down.
    ///
    /// # Errors
    ///
    /// `NotConnected` if it has no peer; else the system's.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.inner.socket().shutdown(how)
    }

    /// This socket's address.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        of_socket(&self.inner.socket().local_addr()?)
    }

    /// The peer's address.
    ///
    /// # Errors
    ///
    /// `NotConnected` if it has none; else the system's.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        of_socket(&self.inner.socket().peer_addr()?)
    }
}

fn wait_writable(socket: &Endpoint, deadline: Option<u64>) -> io::Result<()> {
    socket.source.ready_op(Interest::Write, deadline, || {
        match socket.ready_now(libc::POLLOUT)? {
            true => Ok(()),
            false => Err(io::Error::from(io::ErrorKind::WouldBlock)),
        }
    })
}

endpoint_traits!(UnixDatagram, std::os::unix::net::UnixDatagram);
fds_methods!(UnixDatagram);

impl From<OwnedFd> for UnixDatagram {
    fn from(fd: OwnedFd) -> UnixDatagram {
        UnixDatagram {
            inner: Endpoint::of_messages(fd),
        }
    }
}

impl fmt::Debug for UnixDatagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("UnixDatagram");
        if let Ok(addr) = self.local_addr() {
            debug.field("addr", &addr);
        }
        if let Ok(peer) = self.peer_addr() {
            debug.field("peer", &peer);
        }
        debug.field("fd", &self.as_raw_fd()).finish()
    }
}
