//! Servers: a coroutine for each connection, or for each datagram, and a handle that ends it.
//!
//! `tcp` accepts, `udp` receives; `handlers` knows who runs, keeps to the limit, and does the
//! shutdown for both, which a `handle` asks for; `listeners` makes several listeners on one port; `pause` says what to do
//! when accepting or receiving fails.

mod handle;
mod handlers;
mod listeners;
mod pause;
mod tcp;
mod udp;

pub use handle::{Left, ServerHandle, Stats, Unfinished};
pub use listeners::listeners;
pub use tcp::{Served, TcpHandler, TcpServer, WhenFull};
pub use udp::{Request, UdpHandler, UdpServer};
