//! A TCP socket before it connects or listens: the place for its options.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use ropewalk_kernel::clock;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use super::acceptor::Acceptor;
use super::endpoint::{ip, open, zero_timeout};
use super::stream::check_linger;
use super::{TcpListener, TcpStream};

/// A TCP socket whose options can be set before it connects or listens.
///
/// Options stay with the connection, and connections that a listener accepts take most of
/// them over. For what is not here, [`AsFd`] leads to `socket2::SockRef`.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::net::TcpSocket;
/// use std::time::Duration;
///
/// let socket = TcpSocket::new_v4()?;
/// socket.set_reuseaddr(true)?;
/// socket.set_recv_buffer_size(64 * 1024)?;
/// socket.bind("127.0.0.1:0".parse().unwrap())?;
/// let listener = socket.listen(1024)?;
///
/// let socket = TcpSocket::new_v4()?;
/// socket.set_nodelay(true)?;
/// socket.set_keepalive_time(Duration::from_secs(60))?;
/// let stream = socket.connect(listener.local_addr()?)?;
/// assert!(stream.nodelay()?);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct TcpSocket {
    socket: Socket,
}

impl TcpSocket {
    /// Makes a socket for IPv4.
    ///
    /// # Errors
    ///
    /// The system's, if it is out of descriptors or memory.
    pub fn new_v4() -> io::Result<TcpSocket> {
        TcpSocket::new(Domain::IPV4)
    }

    /// Makes a socket for IPv6.
    ///
    /// # Errors
    ///
    /// As [`new_v4`](Self::new_v4); and where there is no IPv6.
    pub fn new_v6() -> io::Result<TcpSocket> {
        TcpSocket::new(Domain::IPV6)
    }

    /// Makes a socket for addresses like `addr`.
    ///
    /// # Errors
    ///
    /// As [`new_v6`](Self::new_v6).
    pub fn new_for(addr: &SocketAddr) -> io::Result<TcpSocket> {
        TcpSocket::new(Domain::for_address(*addr))
    }

    fn new(domain: Domain) -> io::Result<TcpSocket> {
        let socket = open(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        Ok(TcpSocket { socket })
    }

    /// Binds to an address.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn bind(&self, addr: SocketAddr) -> io::Result<()> {
        self.socket.bind(&addr.into())
    }

    /// Listens; `backlog` connections may wait to be accepted, if the system (`somaxconn`)
    /// lets so many.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn listen(self, backlog: u32) -> io::Result<TcpListener> {
        self.socket
            .listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        Ok(TcpListener {
            inner: Acceptor::ours(self.socket),
        })
    }

    /// Connects.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn connect(self, addr: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect_socket(self.socket, &addr, None)
    }

    /// Connects, within `timeout`.
    ///
    /// # Errors
    ///
    /// `TimedOut`; `InvalidInput` for a time-out of 0; else the system's.
    pub fn connect_timeout(self, addr: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        if timeout.is_zero() {
            return Err(zero_timeout());
        }
        let deadline = clock::deadline_after(timeout);
        TcpStream::connect_socket(self.socket, &addr, Some(deadline))
    }

    /// The address that it is bound to.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        ip(&self.socket.local_addr()?)
    }

    /// Takes the error pending on the socket (`SO_ERROR`).
    ///
    /// # Errors
    ///
    /// The system's, for the asking itself.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.socket.take_error()
    }

    /// Sends from one interface only (`SO_BINDTODEVICE`), by its name; `None`: from any.
    ///
    /// # Errors
    ///
    /// The system's: `PermissionDenied` without the right to it.
    pub fn bind_device(&self, interface: Option<&[u8]>) -> io::Result<()> {
        self.socket.bind_device(interface)
    }

    /// Sets what closing does with unsent data: as [`TcpStream::set_linger`].
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a time that is not 0; else the system's.
    pub fn set_linger(&self, linger: Option<Duration>) -> io::Result<()> {
        check_linger(linger)?;
        self.socket.set_linger(linger)
    }

    /// What closing does with unsent data.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        self.socket.linger()
    }

    /// Sets how long a connection is silent before it is probed; switches probing on.
    /// In whole seconds, at least one.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_keepalive_time(&self, time: Duration) -> io::Result<()> {
        self.socket
            .set_tcp_keepalive(&TcpKeepalive::new().with_time(time))
    }

    /// Sets the time between probes; switches probing on. In whole seconds, at least one.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_keepalive_interval(&self, interval: Duration) -> io::Result<()> {
        self.socket
            .set_tcp_keepalive(&TcpKeepalive::new().with_interval(interval))
    }

    /// Sets how many probes may go unanswered; switches probing on.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_keepalive_retries(&self, retries: u32) -> io::Result<()> {
        self.socket
            .set_tcp_keepalive(&TcpKeepalive::new().with_retries(retries))
    }
}

/// Options that are set and read alike.
macro_rules! options {
    ($($(#[$doc:meta])* $set:ident / $get:ident: $value:ty = $inner_set:ident / $inner_get:ident;)+) => {
        impl TcpSocket {$(
            $(#[$doc])*
            ///
            /// # Errors
            ///
            /// The system's.
            pub fn $set(&self, value: $value) -> io::Result<()> {
                self.socket.$inner_set(value)
            }

            #[doc = concat!("What [`", stringify!($set), "`](Self::", stringify!($set), ") has set, or the system's choice.")]
            ///
            /// # Errors
            ///
            /// The system's.
            pub fn $get(&self) -> io::Result<$value> {
                self.socket.$inner_get()
            }
        )+}
    };
}

options! {
    /// Allows an address whose former connections are still being wound up (`SO_REUSEADDR`).
    set_reuseaddr / reuseaddr: bool = set_reuse_address / reuse_address;
    /// Allows several sockets on one address (`SO_REUSEPORT`): the system deals connections
    /// out to the listeners. All must have it, and be of one user.
    set_reuseport / reuseport: bool = set_reuse_port / reuse_port;
    /// Sets the size of the send buffer in bytes (`SO_SNDBUF`); the system doubles it for
    /// its own needs and caps it.
    set_send_buffer_size / send_buffer_size: usize = set_send_buffer_size / send_buffer_size;
    /// Sets the size of the receive buffer in bytes (`SO_RCVBUF`), likewise. Before
    /// connecting or listening, for the window to grow to it.
    set_recv_buffer_size / recv_buffer_size: usize = set_recv_buffer_size / recv_buffer_size;
    /// Probes connections that have been silent for long (`SO_KEEPALIVE`).
    set_keepalive / keepalive: bool = set_keepalive / keepalive;
    /// Sends small writes at once (`TCP_NODELAY`).
    set_nodelay / nodelay: bool = set_tcp_nodelay / tcp_nodelay;
    /// Sets the type of service of IPv4 packets (`IP_TOS`).
    set_tos / tos: u32 = set_tos_v4 / tos_v4;
    /// Sets the time-to-live of IPv4 packets.
    set_ttl / ttl: u32 = set_ttl_v4 / ttl_v4;
    /// Keeps an IPv6 socket from IPv4 addresses (`IPV6_V6ONLY`). Before binding.
    set_only_v6 / only_v6: bool = set_only_v6 / only_v6;
}

impl AsFd for TcpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for TcpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

impl fmt::Debug for TcpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("TcpSocket");
        if let Ok(addr) = self.local_addr() {
            debug.field("addr", &addr);
        }
        debug.field("fd", &self.as_raw_fd()).finish()
    }
}
