//! What sockets of all kinds have in common: how they are opened, their time-outs, and the
//! macros that write out the traits and options that all have.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ropewalk_kernel::{clock, sys};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::SocketAddr;

/// Opens a socket: close-on-exec, otherwise as `kind` says.
pub(super) fn open(domain: Domain, kind: Type, protocol: Option<Protocol>) -> io::Result<Socket> {
    let fd = (sys::table().socket)(
        domain.into(),
        kind.cloexec().into(),
        protocol.map_or(0, Into::into),
    )?;
    // SAFETY: a fresh descriptor of our own.
    Ok(Socket::from(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// How long each read and write of a socket waits at most: nanoseconds, 0 for ever.
#[derive(Default)]
pub(super) struct Timeouts {
    read: AtomicU64,
    write: AtomicU64,
}

impl Timeouts {
    pub(super) fn set_read(&self, timeout: Option<Duration>) -> io::Result<()> {
        store(&self.read, timeout)
    }

    pub(super) fn set_write(&self, timeout: Option<Duration>) -> io::Result<()> {
        store(&self.write, timeout)
    }

    pub(super) fn read(&self) -> Option<Duration> {
        load(&self.read)
    }

    pub(super) fn write(&self) -> Option<Duration> {
        load(&self.write)
    }

    /// When a read that begins now ends at the latest.
    #[inline]
    pub(super) fn read_deadline(&self) -> Option<u64> {
        deadline(&self.read)
    }

    /// When a write that begins now ends at the latest.
    #[inline]
    pub(super) fn write_deadline(&self) -> Option<u64> {
        deadline(&self.write)
    }
}

impl Clone for Timeouts {
    fn clone(&self) -> Timeouts {
        Timeouts {
            read: AtomicU64::new(self.read.load(Ordering::Relaxed)),
            write: AtomicU64::new(self.write.load(Ordering::Relaxed)),
        }
    }
}

fn store(slot: &AtomicU64, timeout: Option<Duration>) -> io::Result<()> {
    let ns = match timeout {
        None => 0,
        Some(timeout) if timeout.is_zero() => return Err(zero_timeout()),
        Some(timeout) => u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX),
    };
    slot.store(ns, Ordering::Relaxed);
    Ok(())
}

fn load(slot: &AtomicU64) -> Option<Duration> {
    let ns = slot.load(Ordering::Relaxed);
    (ns != 0).then(|| Duration::from_nanos(ns))
}

#[inline]
fn deadline(slot: &AtomicU64) -> Option<u64> {
    match slot.load(Ordering::Relaxed) {
        0 => None,
        ns => Some(clock::now_ns().saturating_add(ns)),
    }
}

pub(super) fn zero_timeout() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "a time-out of 0")
}

/// The internet address in `addr`.
pub(super) fn ip(addr: &SockAddr) -> io::Result<SocketAddr> {
    addr.as_socket().ok_or_else(not_internet)
}

pub(super) fn not_internet() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        "the socket is not an internet socket",
    )
}

/// The methods for the time-outs of a socket with a field `timeouts`.
macro_rules! timeout_methods {
    ($socket:ty) => {
        impl $socket {
            /// Limits how long each read waits; `None`: for ever. Costs no system call.
            ///
            /// # Errors
            ///
            /// `InvalidInput` for 0.
            pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                self.timeouts.set_read(timeout)
            }

            /// Limits how long each write waits, likewise.
            ///
            /// # Errors
            ///
            /// `InvalidInput` for 0.
            pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                self.timeouts.set_write(timeout)
            }

            /// How long each read waits at most.
            ///
            /// # Errors
            ///
            /// None; as in std.
            pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
                Ok(self.timeouts.read())
            }

            /// How long each write waits at most.
            ///
            /// # Errors
            ///
            /// None; as in std.
            pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
                Ok(self.timeouts.write())
            }
        }
    };
}
pub(super) use timeout_methods;

/// The traits of a socket with a field `source`, by which it is a descriptor.
macro_rules! descriptor_traits {
    ($socket:ty, $std:ty) => {
        impl AsFd for $socket {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.source.as_fd()
            }
        }

        impl AsRawFd for $socket {
            fn as_raw_fd(&self) -> RawFd {
                self.source.as_fd().as_raw_fd()
            }
        }

        impl IntoRawFd for $socket {
            fn into_raw_fd(self) -> RawFd {
                self.source.into_fd().into_raw_fd()
            }
        }

        impl From<$std> for $socket {
            /// Takes the socket over; whether it is non-blocking stays as it is, and makes
            /// no difference here. The time-outs set with std are not carried over.
            fn from(socket: $std) -> $socket {
                <$socket>::from(OwnedFd::from(socket))
            }
        }

        impl From<$socket> for $std {
            /// Gives the socket to std, in blocking mode unless somebody set it otherwise.
            fn from(socket: $socket) -> $std {
                socket.source.into_fd().into()
            }
        }

        impl From<$socket> for OwnedFd {
            fn from(socket: $socket) -> OwnedFd {
                socket.source.into_fd()
            }
        }
    };
}
pub(super) use descriptor_traits;
