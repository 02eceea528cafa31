//! How a manager is to be.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;
use std::{io, net};

use ropewalk_rt::net::ToSocketAddrs;
use ropewalk_rt::net::unix::UnixListener as RtUnixListener;
use tempfile::TempDir;

use super::address::{KEY_NAME, Listener, SOCKET_NAME};
use super::handshake::HANDSHAKE;
use super::process::{Limits, Process};
use super::served::ServedType;
use super::server::Plan;
use super::wire::FRAME_MAX;
use super::{Address, Error, Key, Manager, Result, Served, Server};

/// How a manager is to be; from [`Manager::builder`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `start` or `serve`"]
pub struct Builder {
    address: Option<Address>,
    key: Option<Key>,
    types: Vec<ServedType>,
    message_max: usize,
    handshake: Duration,
    strangers_max: usize,
}

/// A listener that is bound, and what goes with it.
pub(super) struct Bound {
    pub(super) listener: OwnedFd,
    pub(super) address: Address,
    pub(super) key: Key,
    pub(super) dir: Option<TempDir>,
}

impl Builder {
    pub(super) fn new() -> Builder {
        Builder {
            address: None,
            key: None,
            types: Vec::new(),
            message_max: FRAME_MAX,
            handshake: HANDSHAKE,
            strangers_max: 64,
        }
    }

    /// Has it listen at an address: `host:port`, or the path of a Unix socket to be made, which
    /// only the same user may use. Needs a [`key`](Self::key).
    ///
    /// Otherwise it is a Unix socket in a new directory that only the same user may enter, and
    /// a random key in a file beside it.
    pub fn bind(mut self, address: impl Into<Address>) -> Builder {
        self.address = Some(address.into());
        self
    }

    /// Sets the key.
    pub fn key(mut self, key: impl Into<Key>) -> Builder {
        self.key = Some(key.into());
        self
    }

    /// Makes a type known to this server; only for [`serve`](Self::serve), as another process
    /// doesn't know of it: see [`served!`](crate::served).
    pub fn register<T: Served>(mut self) -> Builder {
        self.types.push(ServedType::of::<T>());
        self
    }

    /// Limits the length of messages, in bytes: 256 MiB unless it is said. Who sends a longer
    /// one is disconnected; an answer that would be longer is refused.
    pub fn message_max(mut self, bytes: usize) -> Builder {
        self.message_max = bytes.clamp(1 << 10, FRAME_MAX);
        self
    }

    /// Limits the time that a client has to prove that it knows the key: 10 s unless it is
    /// said.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Builder {
        self.handshake = timeout;
        self
    }

    /// Limits how many may be connected that have not proved that they know the key: 64 unless
    /// it is said. More wait in the system's backlog.
    pub fn strangers_max(mut self, count: usize) -> Builder {
        self.strangers_max = count.max(1);
        self
    }

    /// Serves in this process, in the background: on the caller's runtime, or the global one.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it can't listen there, or has an address but no key; [`Error::Start`]
    /// if there is no runtime.
    pub fn serve(self) -> Result<Server> {
        let bound = self.bound()?;
        let listener = match bound.address {
            Address::Tcp(_) => Listener::Tcp(net::TcpListener::from(bound.listener).into()),
            _ => Listener::Unix(RtUnixListener::from(UnixListener::from(bound.listener))),
        };
        Server::start(Plan {
            listener,
            address: bound.address,
            key: bound.key,
            types: self.types,
            message_max: self.message_max,
            handshake: self.handshake,
            strangers_max: self.strangers_max,
            dir: bound.dir,
        })
    }

    /// Starts it in a process of its own, which ends with this one.
    ///
    /// # Errors
    ///
    /// As [`serve`](Self::serve) and [`Manager::start`].
    pub fn start(self) -> Result<Manager> {
        if !self.types.is_empty() {
            return Err(Error::Start(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a manager in another process knows the types of `served!` only",
            )));
        }
        let limits = Limits {
            message_max: self.message_max,
            handshake: self.handshake,
            strangers_max: self.strangers_max,
        };
        let bound = self.bound()?;
        let (address, key) = (bound.address.clone(), bound.key.clone());
        let process = Process::start(bound, limits)?;
        let mut manager = Manager::connect(address, key)?;
        manager.process = Some(process);
        Ok(manager)
    }

    fn bound(&self) -> Result<Bound> {
        let key = match &self.key {
            Some(key) => key.clone(),
            None if self.address.is_none() => Key::random()?,
            None => {
                return Err(Error::Io(io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "a manager with an address of its own needs a key",
                )));
            }
        };
        key.check()?;
        match &self.address {
            None => private(key),
            Some(Address::Tcp(name)) => {
                let addrs: Vec<_> = name.as_str().to_socket_addrs()?.collect();
                let listener = net::TcpListener::bind(addrs.as_slice())?;
                let address = Address::from(listener.local_addr()?);
                Ok(Bound {
                    listener: listener.into(),
                    address,
                    key,
                    dir: None,
                })
            }
            Some(Address::Unix(path)) => {
                let listener = listen(path)?;
                Ok(Bound {
                    listener: listener.into(),
                    address: Address::Unix(path.clone()),
                    key,
                    dir: None,
                })
            }
            Some(Address::Private(_)) => Err(Error::Io(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the address of another manager",
            ))),
        }
    }
}

/// Listens in a new directory, with the key beside the socket.
fn private(key: Key) -> Result<Bound> {
    let dir = tempfile::Builder::new()
        .prefix("ropewalk-manager-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir()?;
    let mut file = fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(dir.path().join(KEY_NAME))?;
    file.write_all(key.as_bytes())?;
    let listener = listen(&dir.path().join(SOCKET_NAME))?;
    Ok(Bound {
        listener: listener.into(),
        address: Address::Private(dir.path().to_owned()),
        key,
        dir: Some(dir),
    })
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    let listener = UnixListener::bind(path)?;
    // Until then who connects is a stranger, who knows no key.
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}
