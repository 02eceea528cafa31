//! Where a manager is, and connections to there.

use std::fmt;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ropewalk_rt::net::unix::{UnixListener, UnixStream};
use ropewalk_rt::net::{TcpListener, TcpStream};
use rustix::net::sockopt;
use serde::{Deserialize, Serialize};

use super::key::{Key, key_of};
use super::{Error, Result};

/// The names of the socket and the key file in a manager's own directory.
pub(super) const SOCKET_NAME: &str = "socket";
pub(super) const KEY_NAME: &str = "key";

/// Where a manager is.
///
/// A string is a path if it begins with `/`, else `host:port`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Address {
    /// A host and a port.
    Tcp(String),
    /// A Unix socket whose key its users know.
    Unix(PathBuf),
    /// A directory that only its owner may enter, with a Unix socket and the key.
    Private(PathBuf),
}

impl Address {
    /// The path of the Unix socket, if it is one.
    pub(super) fn socket_path(&self) -> Option<PathBuf> {
        match self {
            Address::Tcp(_) => None,
            Address::Unix(path) => Some(path.clone()),
            Address::Private(dir) => Some(dir.join(SOCKET_NAME)),
        }
    }

    /// The key this process has for it.
    pub(super) fn key(&self) -> Result<Key> {
        if let Some(key) = key_of(self) {
            return Ok(key);
        }
        match self {
            Address::Private(dir) => read_key(dir).map_err(|error| Error::Unreachable {
                address: self.clone(),
                error,
            }),
            _ => Err(Error::NoKey(self.clone())),
        }
    }

    pub(super) fn connect(&self) -> io::Result<Stream> {
        let stream = match self {
            Address::Tcp(name) => {
                let stream = TcpStream::connect(name.as_str())?;
                stream.set_nodelay(true)?;
                keep_alive(stream.as_fd())?;
                Stream::Tcp(stream)
            }
            Address::Unix(_) | Address::Private(_) => {
                let path = self.socket_path().expect("it has a path");
                Stream::Unix(UnixStream::connect(path)?)
            }
        };
        Ok(stream)
    }
}

/// Reads a manager's key, from a file that nobody else can have put there.
fn read_key(dir: &Path) -> io::Result<Key> {
    let file = fs::File::options()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
        .open(dir.join(KEY_NAME))?;
    let meta = file.metadata()?;
    if meta.uid() != rustix::process::geteuid().as_raw() || meta.mode() & 0o077 != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the manager's key file belongs to somebody else, or is open to others",
        ));
    }
    let mut bytes = Vec::new();
    file.take(4096).read_to_end(&mut bytes)?;
    let key = Key::from(bytes);
    key.check()?;
    Ok(key)
}

/// Has the system notice a peer whose machine or network is gone.
fn keep_alive(socket: BorrowedFd<'_>) -> io::Result<()> {
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepidle(socket, Duration::from_secs(30))?;
    sockopt::set_tcp_keepintvl(socket, Duration::from_secs(10))?;
    sockopt::set_tcp_keepcnt(socket, 3)?;
    Ok(())
}

impl From<&str> for Address {
    fn from(text: &str) -> Address {
        match text.starts_with('/') {
            true => Address::Unix(text.into()),
            false => Address::Tcp(text.to_owned()),
        }
    }
}

impl From<String> for Address {
    fn from(text: String) -> Address {
        Address::from(text.as_str())
    }
}

impl From<SocketAddr> for Address {
    fn from(addr: SocketAddr) -> Address {
        Address::Tcp(addr.to_string())
    }
}

impl From<&Path> for Address {
    fn from(path: &Path) -> Address {
        Address::Unix(path.to_owned())
    }
}

impl From<PathBuf> for Address {
    fn from(path: PathBuf) -> Address {
        Address::Unix(path)
    }
}

impl From<&Address> for Address {
    fn from(address: &Address) -> Address {
        address.clone()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(name) => f.write_str(name),
            Address::Unix(path) => write!(f, "{}", path.display()),
            Address::Private(dir) => write!(f, "{}", dir.join(SOCKET_NAME).display()),
        }
    }
}

/// A connection of either kind.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    pub(super) fn shut_down(&self) {
        // It fails if the connection is gone already.
        let _ = match self {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }

    pub(super) fn set_write_timeout(&self, timeout: Duration) -> io::Result<()> {
        match self {
            Stream::Tcp(stream) => stream.set_write_timeout(Some(timeout)),
            Stream::Unix(stream) => stream.set_write_timeout(Some(timeout)),
        }
    }
}

impl Read for &Stream {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&*stream).read(buf),
            Stream::Unix(stream) => (&*stream).read(buf),
        }
    }
}

impl Write for &Stream {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&*stream).write(buf),
            Stream::Unix(stream) => (&*stream).write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A listener of either kind.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    pub(super) fn accept(&self) -> io::Result<Stream> {
        match self {
            Listener::Tcp(listener) => {
                let stream = listener.accept()?.0;
                stream.set_nodelay(true)?;
                keep_alive(stream.as_fd())?;
                Ok(Stream::Tcp(stream))
            }
            Listener::Unix(listener) => Ok(Stream::Unix(listener.accept()?.0)),
        }
    }
}
