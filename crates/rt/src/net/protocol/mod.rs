//! Transports and protocols: callbacks for what happens on a connection, as asyncio has them.
//!
//! A [`Protocol`] is told of a stream's beginning, data and end, a [`DatagramProtocol`] of a
//! socket's datagrams. They answer through a [`Transport`] or [`UdpTransport`]. Unlike
//! asyncio's, callbacks may block: it is their own connection alone that waits. They are
//! called one at a time.
//!
//! Where the order of things matters, plain code with a stream is easier to write and to
//! read; this is for protocols that exist as callbacks.
//!
//! # Examples
//!
//! ```
//! use ropewalk_rt::net::protocol::{self, Protocol, Transport};
//! use ropewalk_rt::net::{TcpStream, server::TcpServer};
//! use std::io::{Read, Write};
//! use std::time::Duration;
//!
//! struct Echo;
//! impl Protocol for Echo {
//!     fn data(&mut self, transport: &Transport, data: &[u8]) {
//!         transport.write(data);
//!     }
//! }
//!
//! let server = TcpServer::bind("127.0.0.1:0", protocol::serve(|| Echo))?;
//! let (addr, handle) = (server.local_addr()?, server.handle());
//! let serving = ropewalk_rt::spawn(move || server.serve_forever());
//!
//! let mut client = TcpStream::connect(addr)?;
//! client.write_all(b"hello")?;
//! client.shutdown(std::net::Shutdown::Write)?;
//! let mut text = String::new();
//! client.read_to_string(&mut text)?;
//! assert_eq!(text, "hello");
//! handle.shutdown(Duration::from_secs(5)).unwrap();
//! serving.join().unwrap()?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod datagram;
mod join;
mod run;
mod transport;

pub use datagram::{DatagramProtocol, UdpTransport, run_udp};
pub use join::Joined;
pub use run::{run, serve, spawn};
pub use transport::Transport;

use std::io;

/// What happens on a stream, in this order: `connected`, any number of `data`, at most one `eof`,
/// `lost`. `pause` and `resume` come in turn, at any time between `connected` and `lost`.
pub trait Protocol: Send {
    /// The connection is there.
    fn connected(&mut self, transport: &Transport) {
        let _ = transport;
    }

    /// Some bytes have come: as many as there were, without regard to what they mean.
    fn data(&mut self, transport: &Transport, data: &[u8]);

    /// The peer sends no more. Says whether to keep the other direction open; if not, the
    /// connection is closed when what was written has been sent.
    fn eof(&mut self, transport: &Transport) -> bool {
        let _ = transport;
        false
    }

    /// The connection is over: closed in order, or by an error. Nothing comes after this.
    fn lost(&mut self, error: Option<&io::Error>) {
        let _ = error;
    }

    /// More has been written than the peer takes: better write no more until `resume`.
    fn pause(&mut self) {}

    /// There is room again.
    fn resume(&mut self) {}
}
