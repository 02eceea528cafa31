//! Protocols of datagrams.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use ropewalk_kernel::cancel::{self, Token};

use crate::net::UdpSocket;
use crate::sync::Mutex;

/// The longest datagram there can be.
const LONGEST: usize = 65_535;

/// What happens on a UDP socket: `connected`, any number of `datagram` and `error`, `lost`.
pub trait DatagramProtocol: Send {
    /// The socket is there.
    fn connected(&mut self, transport: &UdpTransport) {
        let _ = transport;
    }

    /// A datagram has come, perhaps an empty one.
    fn datagram(&mut self, transport: &UdpTransport, data: &[u8], from: SocketAddr);

    /// A receive has failed, most often because something that was sent did not arrive; it
    /// goes on.
    fn error(&mut self, error: &io::Error) {
        let _ = error;
    }

    /// It is over: closed, or by an error. Nothing comes after this.
    fn lost(&mut self, error: Option<&io::Error>) {
        let _ = error;
    }
}

/// The sending side of a socket, for its [`DatagramProtocol`] and others; clone it as needed.
#[derive(Clone, Debug)]
pub struct UdpTransport {
    socket: Arc<UdpSocket>,
    receiving: Arc<Mutex<Receiving>>,
}

#[derive(Debug, Default)]
struct Receiving {
    closed: bool,
    /// What who receives stands under.
    token: Option<Token>,
}

impl UdpTransport {
    /// Takes a socket that [`run_udp`] is to receive from. Closing ends that.
    pub fn new(socket: UdpSocket) -> UdpTransport {
        UdpTransport {
            socket: Arc::new(socket),
            receiving: Arc::default(),
        }
    }

    /// Sends a datagram; waits if the system has no room for it.
    ///
    /// # Errors
    ///
    /// As [`UdpSocket::send_to`].
    pub fn send_to(&self, data: &[u8], to: SocketAddr) -> io::Result<usize> {
        self.socket.send_to(data, to)
    }

    /// The socket.
    pub fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Ends receiving, also before it has begun.
    pub fn close(&self) {
        let mut receiving = self.receiving.lock();
        receiving.closed = true;
        let token = receiving.token.take();
        drop(receiving);
        if let Some(token) = token {
            token.cancel();
        }
    }
}

/// Runs `protocol` on a socket, until it is closed or broken or the caller is cancelled; gives
/// the protocol back.
///
/// # Panics
///
/// With the protocol's panic.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::net::UdpSocket;
/// use ropewalk_rt::net::protocol::{DatagramProtocol, UdpTransport, run_udp};
/// use std::net::SocketAddr;
///
/// struct Upper;
/// impl DatagramProtocol for Upper {
///     fn datagram(&mut self, transport: &UdpTransport, data: &[u8], from: SocketAddr) {
///         transport.send_to(&data.to_ascii_uppercase(), from).unwrap();
///     }
/// }
///
/// let server = UdpTransport::new(UdpSocket::bind("127.0.0.1:0")?);
/// let addr = server.socket().local_addr()?;
/// let running = ropewalk_rt::spawn({
///     let server = server.clone();
///     move || run_udp(&server, Upper)
/// });
/// let client = UdpSocket::bind("127.0.0.1:0")?;
/// client.send_to(b"hello", addr)?;
/// let mut buf = [0; 16];
/// let (len, _) = client.recv_from(&mut buf)?;
/// assert_eq!(&buf[..len], b"HELLO");
/// server.close();
/// running.join().unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn run_udp<P: DatagramProtocol>(transport: &UdpTransport, mut protocol: P) -> P {
    // Below the caller's: both its cancellation and a close end a receive.
    let token = Token::new();
    let mut receiving = transport.receiving.lock();
    receiving.token = Some(token.clone());
    let closed = receiving.closed;
    drop(receiving);
    if closed {
        token.cancel();
    }
    let error = receive(transport, &mut protocol, &token);
    let closed = transport.receiving.lock().closed && cancel::check().is_ok();
    protocol.lost(if closed { None } else { Some(&error) });
    protocol
}

fn receive<P: DatagramProtocol>(
    transport: &UdpTransport,
    protocol: &mut P,
    token: &Token,
) -> io::Error {
    protocol.connected(transport);
    let mut buf = vec![0; LONGEST];
    loop {
        match token.run(|| transport.socket.recv_from(&mut buf)) {
            Ok((len, from)) => protocol.datagram(transport, &buf[..len], from),
            Err(error) if goes_on(&error) => protocol.error(&error),
            Err(error) => return error,
        }
    }
}

/// Says whether the socket can be received from after this.
fn goes_on(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNREFUSED
                | libc::ECONNRESET
                | libc::EHOSTUNREACH
                | libc::ENETUNREACH
                | libc::EINTR
        )
    )
}
