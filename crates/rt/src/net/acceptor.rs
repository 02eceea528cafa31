//! A listening socket of any family.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ropewalk_kernel::blocking::unblock;
use ropewalk_kernel::driver::{Address, Interest, Source};
use ropewalk_kernel::sys;
use socket2::{SockRef, Socket};

use super::endpoint::ready_now;

/// How many connections may wait to be accepted; the system caps it (`somaxconn`).
pub(super) const BACKLOG: i32 = 4096;

/// A listening socket.
pub(super) struct Acceptor {
    source: Source,
    /// Whether accepting never blocks: so for sockets of our own making. One that was
    /// given keeps its mode, which others may share.
    /// Shared by clones: giving one of them to std makes the socket of all block.
    nonblocking: Arc<AtomicBool>,
    ours: bool,
}

impl Acceptor {
    /// Takes a non-blocking socket of our own making.
    pub(super) fn ours(socket: Socket) -> Acceptor {
        Acceptor {
            source: Source::new(socket.into()),
            nonblocking: Arc::new(AtomicBool::new(true)),
            ours: true,
        }
    }

    /// Takes a socket that was given to us.
    pub(super) fn given(fd: OwnedFd) -> Acceptor {
        let nonblocking = SockRef::from(&fd).nonblocking().unwrap_or(false);
        Acceptor {
            source: Source::new(fd),
            nonblocking: Arc::new(AtomicBool::new(nonblocking)),
            ours: false,
        }
    }

    /// Waits for a connection; gives its descriptor and the peer's address.
    pub(super) fn accept(&self) -> io::Result<(OwnedFd, Address)> {
        if self.nonblocking.load(Ordering::Acquire) {
            return self
                .source
                .ready_op(Interest::Read, None, || self.accept_now());
        }
        loop {
            self.await_connection()?;
            // Should another process be faster, this blocks until the next connection: a
            // thread of the pool, not the worker.
            match unblock(|| self.accept_now()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Waits until there is a connection to accept; another may be faster.
    pub(super) fn await_connection(&self) -> io::Result<()> {
        self.source.ready_op(Interest::Read, None, || {
            match ready_now(self.as_fd(), libc::POLLIN)? {
                true => Ok(()),
                false => Err(io::Error::from(io::ErrorKind::WouldBlock)),
            }
        })
    }

    fn accept_now(&self) -> io::Result<(OwnedFd, Address)> {
        let (fd, addr) = Address::fill(|addr, len| {
            let fd = self.as_fd().as_raw_fd();
            // SAFETY: the address is writable for `len` bytes.
            unsafe { (sys::table().accept4)(fd, addr, len, libc::SOCK_CLOEXEC) }
        })?;
        // SAFETY: a fresh descriptor of our own.
        Ok((unsafe { OwnedFd::from_raw_fd(fd) }, addr))
    }

    pub(super) fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.source)
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }

    pub(super) fn try_clone(&self) -> io::Result<Acceptor> {
        Ok(Acceptor {
            source: Source::new(self.source.as_fd().try_clone_to_owned()?),
            nonblocking: Arc::clone(&self.nonblocking),
            ours: self.ours,
        })
    }

    /// Gives the descriptor away; one of our own making in blocking mode.
    pub(super) fn into_fd(self) -> OwnedFd {
        if self.ours {
            self.nonblocking.store(false, Ordering::Release);
        }
        let fd = self.source.into_fd();
        if self.ours {
            // It fails only for what is no descriptor.
            let _ = SockRef::from(&fd).set_nonblocking(false);
        }
        fd
    }
}

/// What all listeners with a field `inner: Acceptor` have.
macro_rules! acceptor_traits {
    ($listener:ty, $std:ty) => {
        impl $listener {
            /// Makes a second owner of the same socket.
            ///
            /// # Errors
            ///
            /// The system's, if it is out of descriptors.
            pub fn try_clone(&self) -> io::Result<$listener> {
                Ok(Self {
                    inner: self.inner.try_clone()?,
                })
            }

            /// Takes the error pending on the socket (`SO_ERROR`).
            ///
            /// # Errors
            ///
            /// The system's, for the asking itself.
            pub fn take_error(&self) -> io::Result<Option<io::Error>> {
                self.inner.socket().take_error()
            }
        }

        impl AsFd for $listener {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.inner.as_fd()
            }
        }

        impl AsRawFd for $listener {
            fn as_raw_fd(&self) -> RawFd {
                self.inner.as_fd().as_raw_fd()
            }
        }

        impl IntoRawFd for $listener {
            fn into_raw_fd(self) -> RawFd {
                self.inner.into_fd().into_raw_fd()
            }
        }

        impl From<$std> for $listener {
            /// Takes the socket over. Whether it is non-blocking stays as it is: others may
            /// share it. Accepting is a little slower on one that blocks.
            fn from(listener: $std) -> $listener {
                <$listener>::from(OwnedFd::from(listener))
            }
        }

        impl From<$listener> for $std {
            /// Gives the socket to std; one of our own making in blocking mode.
            fn from(listener: $listener) -> $std {
                OwnedFd::from(listener).into()
            }
        }

        impl From<OwnedFd> for $listener {
            fn from(fd: OwnedFd) -> $listener {
                Self {
                    inner: Acceptor::given(fd),
                }
            }
        }

        impl From<$listener> for OwnedFd {
            fn from(listener: $listener) -> OwnedFd {
                listener.inner.into_fd()
            }
        }
    };
}
pub(super) use acceptor_traits;
