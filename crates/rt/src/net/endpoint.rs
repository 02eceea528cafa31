//! What sockets of all kinds have in common: how they are opened, their descriptor, their
//! time-outs, and reading and writing as connections of all families do it.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ropewalk_kernel::driver::{Address, Interest, Source};
use ropewalk_kernel::{clock, sys};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

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

/// Binds a socket to an address of any family.
pub(super) fn bind(socket: &Socket, addr: &Address) -> io::Result<()> {
    // SAFETY: a valid address of that length.
    match unsafe { libc::bind(socket.as_raw_fd(), addr.as_ptr(), addr.len()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A socket and its time-outs.
pub(super) struct Endpoint {
    pub(super) source: Source,
    pub(super) timeouts: Timeouts,
}

impl Endpoint {
    pub(super) fn of_stream(fd: OwnedFd) -> Endpoint {
        Endpoint {
            source: Source::new(fd),
            timeouts: Timeouts::default(),
        }
    }

    pub(super) fn of_messages(fd: OwnedFd) -> Endpoint {
        Endpoint {
            source: Source::of_messages(fd),
            timeouts: Timeouts::default(),
        }
    }

    pub(super) fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.source)
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }

    pub(super) fn into_fd(self) -> OwnedFd {
        self.source.into_fd()
    }

    /// A second descriptor of the same socket.
    pub(super) fn duplicate(&self) -> io::Result<OwnedFd> {
        self.source.as_fd().try_clone_to_owned()
    }

    /// Names the peer, or connects without waiting.
    pub(super) fn connect_now(&self, addr: &Address) -> io::Result<()> {
        let fd = self.source.as_fd().as_raw_fd();
        // SAFETY: a valid address of that length.
        unsafe { (sys::table().connect)(fd, addr.as_ptr(), addr.len()) }
    }

    /// Waits for the end of a connection attempt that has begun.
    pub(super) fn finish_connecting(&self, deadline: Option<u64>) -> io::Result<()> {
        self.source.ready_op(Interest::Write, deadline, || {
            if !self.ready_now(libc::POLLOUT)? {
                return Err(io::Error::from(io::ErrorKind::WouldBlock));
            }
            // Writable: connected, or failed.
            self.socket().take_error()?.map_or(Ok(()), Err)
        })
    }

    /// Whether one of `events`, an error or the end is there at this moment.
    pub(super) fn ready_now(&self, events: i16) -> io::Result<bool> {
        ready_now(self.source.as_fd(), events)
    }

    pub(super) fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.source.recv(buf, 0, self.timeouts.read_deadline())
    }

    pub(super) fn read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Ok(0);
        }
        self.source
            .recv_vectored(bufs, self.timeouts.read_deadline())
    }

    pub(super) fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.source
            .recv(buf, libc::MSG_PEEK, self.timeouts.read_deadline())
    }

    pub(super) fn write(&self, buf: &[u8]) -> io::Result<usize> {
        self.source.send(buf, 0, self.timeouts.write_deadline())
    }

    pub(super) fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.source
            .send_vectored(bufs, self.timeouts.write_deadline())
    }
}

/// Whether one of `events`, an error or the end is there at this moment.
pub(super) fn ready_now(fd: BorrowedFd<'_>, events: i16) -> io::Result<bool> {
    let mut fds = [libc::pollfd {
        fd: fd.as_raw_fd(),
        events,
        revents: 0,
    }];
    Ok((sys::table().poll)(&mut fds, Some(0))? != 0)
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
