//! Several listeners on one port, among which the kernel spreads connections.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;

use socket2::{Domain, Protocol, Type};

use super::super::acceptor::BACKLOG;
use super::super::endpoint::open;
use super::super::{SocketAddr, TcpListener, ToSocketAddrs, each_addr};

/// Binds `n` listeners to one address (`SO_REUSEPORT`), port 0 to one free port.
///
/// The kernel gives each connection to one of them, by a hash of its addresses, whether or not
/// somebody accepts there: so each must be accepted from. What waits in a listener that
/// closes is lost. Only processes of the same user can join the port.
///
/// # Errors
///
/// The last address's failure, or the look-up's.
///
/// # Examples
///
/// ```
/// use std::num::NonZeroUsize;
///
/// let two = ropewalk_rt::net::server::listeners("127.0.0.1:0", NonZeroUsize::new(2).unwrap())?;
/// assert_eq!(two[0].local_addr()?, two[1].local_addr()?);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn listeners<A: ToSocketAddrs>(addr: A, n: NonZeroUsize) -> io::Result<Vec<TcpListener>> {
    each_addr(addr, |addr| {
        let first = listener(addr)?;
        let addr = first.local_addr()?;
        let mut all = vec![first];
        for _ in 1..n.get() {
            all.push(listener(addr)?);
        }
        Ok(all)
    })
}

fn listener(addr: SocketAddr) -> io::Result<TcpListener> {
    let kind = Type::STREAM.nonblocking();
    let socket = open(Domain::for_address(addr), kind, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(TcpListener::from(OwnedFd::from(socket)))
}
