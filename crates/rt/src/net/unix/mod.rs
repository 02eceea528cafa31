//! Unix sockets, shaped like `std::os::unix::net`: streams, datagrams, and descriptors that
//! go with the bytes.
//!
//! Addresses are std's: for an abstract name see [`SocketAddrExt`]. As in std, binding doesn't
//! remove a file that is in the way, and dropping a socket leaves its file.

mod datagram;
mod fds;
mod listener;
mod stream;

pub use datagram::UnixDatagram;
pub use fds::{FDS_MAX, ReceivedFds};
pub use listener::{Incoming, UnixListener};
pub use stream::{UCred, UnixStream};

pub use std::os::unix::net::SocketAddr;

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;

use ropewalk_kernel::driver::Address;
use socket2::SockAddr;

/// The address as the system lays it out.
fn to_system(addr: &SocketAddr) -> io::Result<Address> {
    if let Some(path) = addr.as_pathname() {
        let mut bytes = path.as_os_str().as_bytes().to_vec();
        bytes.push(0);
        Address::unix(&bytes)
    } else if let Some(name) = addr.as_abstract_name() {
        Address::unix(&[b"\0", name].concat())
    } else {
        Address::unix(&[])
    }
}

/// The address as std has it. The few that std's type can't be made of (a path that fills
/// the system's to the last byte) are told as unnamed.
fn from_system(addr: &Address) -> io::Result<SocketAddr> {
    let path = addr.unix_path().ok_or_else(not_unix)?;
    let addr = match path {
        [0, name @ ..] => SocketAddr::from_abstract_name(name),
        path => {
            let end = path.iter().position(|byte| *byte == 0);
            let path = &path[..end.unwrap_or(path.len())];
            SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(path))
        }
    };
    addr.or_else(|_| unnamed())
}

fn unnamed() -> io::Result<SocketAddr> {
    SocketAddr::from_pathname("")
}

/// The address that socket2 asked for, as std has it.
fn of_socket(addr: &SockAddr) -> io::Result<SocketAddr> {
    if !addr.is_unix() {
        return Err(not_unix());
    }
    let named = match (addr.as_pathname(), addr.as_abstract_namespace()) {
        (Some(path), _) => SocketAddr::from_pathname(path),
        (None, Some(name)) => SocketAddr::from_abstract_name(name),
        (None, None) => unnamed(),
    };
    named.or_else(|_| unnamed())
}

fn not_unix() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "the socket is not a Unix socket",
    )
}
