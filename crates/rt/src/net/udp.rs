//! Datagrams over UDP.
//!
//! A receive takes one datagram, whole or cut to the buffer; an empty one is a datagram
//! like any other. The socket stays in blocking mode all its life: each call says for
//! itself that it is not to block.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::time::Duration;

use ropewalk_kernel::driver::Address;
use socket2::{Domain, Protocol, SockRef, Type};

use super::endpoint::{Endpoint, ip, not_internet, open};
use super::traits::endpoint_traits;
use super::{ToSocketAddrs, each_addr};

/// A UDP socket; mirrors [`std::net::UdpSocket`].
///
/// Several coroutines may receive and send at once; each datagram goes to one of them.
///
/// # Truncation
///
/// A datagram longer than the buffer loses its end. [`recv`](Self::recv) and
/// [`recv_from`](Self::recv_from) say nothing of it, as in std;
/// [`recv_datagram`](Self::recv_datagram) tells how long it was. A buffer of 65,507 bytes
/// (65,535 for IPv6) takes any datagram.
///
/// # Errors of sending
///
/// A send waits while the socket's own buffer is full. `ENOBUFS` and `ENOMEM` are given to
/// the caller and not retried: nothing tells when there would be room again, and for most
/// users of datagrams a late one is worth less than none. That datagram was not sent, and
/// the socket is as good as before.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::{coroutine, net::UdpSocket};
///
/// let server = UdpSocket::bind("127.0.0.1:0")?;
/// let addr = server.local_addr()?;
/// let echo = coroutine::spawn(move || -> std::io::Result<()> {
///     let mut buf = [0; 1500];
///     let (len, from) = server.recv_from(&mut buf)?;
///     server.send_to(&buf[..len], from)?;
///     Ok(())
/// });
/// let client = UdpSocket::bind("127.0.0.1:0")?;
/// client.send_to(b"hello", addr)?;
/// let mut buf = [0; 1500];
/// let (len, from) = client.recv_from(&mut buf)?;
/// assert_eq!((&buf[..len], from), (&b"hello"[..], addr));
/// echo.join().unwrap()?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct UdpSocket {
    pub(super) inner: Endpoint,
}

/// A datagram that was received; from [`UdpSocket::recv_datagram`] and its likes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram<A = SocketAddr> {
    /// How many of its bytes are in the buffer.
    pub len: usize,
    /// How long it was.
    pub full_len: usize,
    /// Who sent it.
    pub from: A,
}

impl<A> Datagram<A> {
    /// Says whether its end was cut off because the buffer was too small.
    pub fn is_truncated(&self) -> bool {
        self.full_len > self.len
    }
}

impl UdpSocket {
    /// Binds to an address; of several the first that works.
    ///
    /// # Errors
    ///
    /// The last address's failure, or the look-up's.
    pub fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<UdpSocket> {
        each_addr(addr, |addr| {
            let socket = open(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
            socket.bind(&addr.into())?;
            Ok(UdpSocket::from(OwnedFd::from(socket)))
        })
    }

    /// Names the peer: [`send`](Self::send) goes there, and only its datagrams are received.
    ///
    /// # Errors
    ///
    /// The last address's failure, or the look-up's.
    pub fn connect<A: ToSocketAddrs>(&self, addr: A) -> io::Result<()> {
        each_addr(addr, |addr| self.inner.connect_now(&Address::from(addr)))
    }

    /// Receives from the peer; gives the length. 0 is an empty datagram (or a buffer of
    /// no length), not an end.
    ///
    /// # Errors
    ///
    /// The system's: `ConnectionRefused` if the peer's host has told so of what was sent
    /// before; `TimedOut`, with nothing received.
    pub fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner
            .source
            .recv(buf, 0, self.inner.timeouts.read_deadline())
    }

    /// Receives from anybody; gives the length and the sender.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let datagram = self.receive(&mut [IoSliceMut::new(buf)], 0)?;
        Ok((datagram.len, datagram.from))
    }

    /// Receives from anybody and tells how long the datagram was.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    ///
    /// # Examples
    ///
    /// ```
    /// use ropewalk_rt::net::UdpSocket;
    ///
    /// let socket = UdpSocket::bind("127.0.0.1:0")?;
    /// socket.send_to(b"too long", socket.local_addr()?)?;
    /// let mut buf = [0; 3];
    /// let datagram = socket.recv_datagram(&mut buf)?;
    /// assert_eq!(&buf, b"too");
    /// assert!(datagram.is_truncated());
    /// assert_eq!((datagram.len, datagram.full_len), (3, 8));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn recv_datagram(&self, buf: &mut [u8]) -> io::Result<Datagram> {
        self.receive(&mut [IoSliceMut::new(buf)], 0)
    }

    /// Receives one datagram into several buffers, in order.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_datagram_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<Datagram> {
        self.receive(bufs, 0)
    }

    /// Receives from the peer without taking: the next receive gives the same datagram.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner
            .source
            .recv(buf, libc::MSG_PEEK, self.inner.timeouts.read_deadline())
    }

    /// Receives from anybody without taking.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let datagram = self.peek_datagram(buf)?;
        Ok((datagram.len, datagram.from))
    }

    /// Receives from anybody without taking, and tells how long the datagram is; an empty
    /// buffer will do for that.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn peek_datagram(&self, buf: &mut [u8]) -> io::Result<Datagram> {
        self.receive(&mut [IoSliceMut::new(buf)], libc::MSG_PEEK)
    }

    fn receive(&self, bufs: &mut [IoSliceMut<'_>], flags: i32) -> io::Result<Datagram> {
        let deadline = self.inner.timeouts.read_deadline();
        let received = self.inner.source.recv_message(bufs, flags, deadline)?;
        Ok(Datagram {
            len: received.len,
            full_len: received.full_len,
            from: received.from.ip().ok_or_else(not_internet)?,
        })
    }

    /// Sends one datagram to the peer; gives its length.
    ///
    /// # Errors
    ///
    /// The system's: see the head; `TimedOut`, with nothing sent.
    pub fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.inner
            .source
            .send(buf, 0, self.inner.timeouts.write_deadline())
    }

    /// Sends one datagram to `addr`; of several addresses the first.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); the look-up's.
    pub fn send_to<A: ToSocketAddrs>(&self, buf: &[u8], addr: A) -> io::Result<usize> {
        self.send_vectored_to(&[IoSlice::new(buf)], addr)
    }

    /// Sends several buffers, in order, as one datagram to `addr`.
    ///
    /// # Errors
    ///
    /// As [`send_to`](Self::send_to).
    pub fn send_vectored_to<A: ToSocketAddrs>(
        &self,
        bufs: &[IoSlice<'_>],
        addr: A,
    ) -> io::Result<usize> {
        let addr = addr
            .first_socket_addr()?
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no address to send to"))?;
        let to = Address::from(addr);
        self.inner
            .source
            .send_message(bufs, Some(&to), self.inner.timeouts.write_deadline())
    }

    /// This socket's address.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        ip(&self.socket().local_addr()?)
    }

    /// The peer's address.
    ///
    /// # Errors
    ///
    /// `NotConnected` if none was named; else the system's.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        ip(&self.socket().peer_addr()?)
    }

    fn socket(&self) -> SockRef<'_> {
        self.inner.socket()
    }
}

/// The options; all fail with the system's errors only.
impl UdpSocket {
    /// Allows sending to broadcast addresses (`SO_BROADCAST`).
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        self.socket().set_broadcast(broadcast)
    }

    /// Says whether sending to broadcast addresses is allowed.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn broadcast(&self) -> io::Result<bool> {
        self.socket().broadcast()
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

    /// Joins an IPv4 multicast group through the interface with the address `interface`;
    /// 0.0.0.0 leaves the choice to the system.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn join_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.socket().join_multicast_v4(group, interface)
    }

    /// Leaves an IPv4 multicast group.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn leave_multicast_v4(&self, group: &Ipv4Addr, interface: &Ipv4Addr) -> io::Result<()> {
        self.socket().leave_multicast_v4(group, interface)
    }

    /// Joins an IPv6 multicast group through the interface with that index; 0 leaves the
    /// choice to the system.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.socket().join_multicast_v6(group, interface)
    }

    /// Leaves an IPv6 multicast group.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.socket().leave_multicast_v6(group, interface)
    }

    /// Sends IPv4 multicasts through the interface with the address `interface`.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_multicast_if_v4(&self, interface: &Ipv4Addr) -> io::Result<()> {
        self.socket().set_multicast_if_v4(interface)
    }

    /// Sends IPv6 multicasts through the interface with that index.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_multicast_if_v6(&self, interface: u32) -> io::Result<()> {
        self.socket().set_multicast_if_v6(interface)
    }

    /// Sets whether IPv4 multicasts come back to this host.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_multicast_loop_v4(&self, on: bool) -> io::Result<()> {
        self.socket().set_multicast_loop_v4(on)
    }

    /// Says whether IPv4 multicasts come back to this host.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        self.socket().multicast_loop_v4()
    }

    /// Sets whether IPv6 multicasts come back to this host.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_multicast_loop_v6(&self, on: bool) -> io::Result<()> {
        self.socket().set_multicast_loop_v6(on)
    }

    /// Says whether IPv6 multicasts come back to this host.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        self.socket().multicast_loop_v6()
    }

    /// Sets how many hops IPv4 multicasts go.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_multicast_ttl_v4(&self, ttl: u32) -> io::Result<()> {
        self.socket().set_multicast_ttl_v4(ttl)
    }

    /// How many hops IPv4 multicasts go.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        self.socket().multicast_ttl_v4()
    }

    /// Sets the size of the receive buffer (`SO_RCVBUF`) in bytes; the system doubles it
    /// for its own needs and caps it.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_recv_buffer_size(&self, size: usize) -> io::Result<()> {
        self.socket().set_recv_buffer_size(size)
    }

    /// The size of the receive buffer in bytes, the system's needs included.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn recv_buffer_size(&self) -> io::Result<usize> {
        self.socket().recv_buffer_size()
    }

    /// Sets the size of the send buffer (`SO_SNDBUF`), likewise.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_send_buffer_size(&self, size: usize) -> io::Result<()> {
        self.socket().set_send_buffer_size(size)
    }

    /// The size of the send buffer, likewise.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn send_buffer_size(&self) -> io::Result<usize> {
        self.socket().send_buffer_size()
    }
}

endpoint_traits!(UdpSocket, std::net::UdpSocket);

impl From<OwnedFd> for UdpSocket {
    fn from(fd: OwnedFd) -> UdpSocket {
        UdpSocket {
            inner: Endpoint::of_messages(fd),
        }
    }
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("UdpSocket");
        if let Ok(addr) = self.local_addr() {
            debug.field("addr", &addr);
        }
        if let Ok(peer) = self.peer_addr() {
            debug.field("peer", &peer);
        }
        debug.field("fd", &self.as_raw_fd()).finish()
    }
}
