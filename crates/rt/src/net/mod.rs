//! TCP, UDP and Unix sockets, shaped like std's: only the caller waits, be it a coroutine
//! or a thread.
//!
//! Time-outs give [`TimedOut`](std::io::ErrorKind::TimedOut), where std's give
//! `WouldBlock`. There is no `set_nonblocking`: spawn a coroutine instead.

mod acceptor;
mod addr;
mod batch;
mod endpoint;
mod futures;
mod halves;
mod listener;
pub mod protocol;
pub mod server;
mod socket;
mod stream;
mod traits;
mod udp;
pub mod unix;

pub use addr::{ToSocketAddrs, lookup_host};
pub use batch::DatagramBatch;
pub use halves::{ReadHalf, ReuniteError, SplitStream, WriteHalf};
pub use listener::{Incoming, TcpListener};
pub use server::{TcpServer, UdpServer};
pub use socket::TcpSocket;
pub use stream::TcpStream;
pub use udp::{Datagram, UdpSocket};

pub use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, SocketAddrV4, SocketAddrV6};

use std::io;

/// Tries each address in turn; gives the first success, or the last error.
fn each_addr<A: ToSocketAddrs, T>(
    addr: A,
    mut attempt: impl FnMut(SocketAddr) -> io::Result<T>,
) -> io::Result<T> {
    let mut last = None;
    for addr in addr.to_socket_addrs()? {
        match attempt(addr) {
            Ok(value) => return Ok(value),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "the name has no addresses")
    }))
}
