//! Reading and writing any descriptor: pipes, terminals, files, sockets, devices.
//!
//! `recv` and `send` have a flag for "don't wait", which only sockets know. For all else
//! the descriptor's kind decides, found out at the first use and kept with the source:
//!
//! ```text
//!   manner    for                           how
//!   NOWAIT    pipes (Linux 6.5), sockets,   preadv2/pwritev2 with RWF_NOWAIT; where that
//!             /dev/null                     would block, readiness, and again
//!   POLLED    terminals, named and older    readiness, then a plain call. Somebody else
//!             pipes: EOPNOTSUPP to NOWAIT   who shares the description may have been
//!                                           quicker, so the call runs on a thread of the
//!                                           blocking pool, after a last look there
//!   SOLE      likewise, but our own end of  readiness, a look and the plain call, all under
//!             a pipe                        a lock: nobody else can be quicker
//!   FILE      regular files, block devices  a plain call on the blocking pool: always
//!                                           "ready", and epoll refuses them
//! ```
//!
//! A plain write after readiness takes at most [`ROOM`] bytes: so much fits into a pipe
//! that says it is writable.
//!
//! Rejected: `O_NONBLOCK`, since the flag is the description's and so also of the process
//! that gave us the descriptor; IORING_OP_READ, since on a terminal it blocks in
//! `io_uring_enter` if somebody else takes the line between the kernel's look and its read,
//! and with it the whole worker.

use std::io::{self, IoSlice, IoSliceMut};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{Interest, Source};
use crate::blocking::unblock;
use crate::sys;

/// `PIPE_BUF`: what a pipe that polls as writable takes without waiting.
const ROOM: usize = 4096;

const UNKNOWN: u8 = 0;
const NOWAIT: u8 = 1;
const POLLED: u8 = 2;
const FILE: u8 = 3;

/// How a descriptor can be read and written without waiting in the call.
pub(super) struct Manner {
    known: AtomicU8,
    /// Whether the description is ours alone.
    sole: AtomicBool,
    /// If it is, held between the look and the call.
    alone: Mutex<()>,
}

impl Manner {
    pub(super) fn new() -> Manner {
        Manner {
            known: AtomicU8::new(UNKNOWN),
            sole: AtomicBool::new(false),
            alone: Mutex::new(()),
        }
    }
}

impl Source {
    /// Says whether nobody else reads from or writes to the open file description: true of
    /// our own end of a pipe, until it is cloned.
    pub fn set_sole(&self, sole: bool) {
        self.manner.sole.store(sole, Ordering::Relaxed);
    }

    /// Reads into `buf`: `read(2)`, of any kind of descriptor.
    ///
    /// # Errors
    ///
    /// The call's; `TimedOut` once the deadline has passed, with nothing read.
    #[inline]
    pub fn read(&self, buf: &mut [u8], deadline: Option<u64>) -> io::Result<usize> {
        self.read_vectored(&mut [IoSliceMut::new(buf)], deadline)
    }

    /// Reads into several buffers, in order: `readv(2)`.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_vectored(
        &self,
        bufs: &mut [IoSliceMut<'_>],
        deadline: Option<u64>,
    ) -> io::Result<usize> {
        if bufs.iter().all(|buf| buf.is_empty()) {
            return Ok(0);
        }
        self.transfer(Interest::Read, deadline, |call| {
            let count = bufs.len().min(libc::UIO_MAXIOV as usize) as i32;
            // IoSliceMut is guaranteed to have the layout of an iovec.
            let first = bufs.as_mut_ptr().cast::<libc::iovec>();
            let call = match call {
                Call::Nowait => sys::table().readv_nowait,
                Call::Ready | Call::Waiting => sys::table().readv,
            };
            // SAFETY: the buffers are ours for the call.
            unsafe { call(self.raw(), first, count) }
        })
    }

    /// Writes from `buf`: `write(2)`, to any kind of descriptor.
    ///
    /// # Errors
    ///
    /// The call's; `TimedOut` once the deadline has passed, with nothing written.
    #[inline]
    pub fn write(&self, buf: &[u8], deadline: Option<u64>) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(buf)], deadline)
    }

    /// Writes several buffers, in order: `writev(2)`.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn write_vectored(&self, bufs: &[IoSlice<'_>], deadline: Option<u64>) -> io::Result<usize> {
        self.transfer(Interest::Write, deadline, |call| {
            let bufs = &bufs[..bufs.len().min(libc::UIO_MAXIOV as usize)];
            // IoSlice is guaranteed to have the layout of an iovec; writing changes none.
            let all = bufs.as_ptr().cast::<libc::iovec>();
            let (call, first, count) = match call {
                Call::Nowait => (sys::table().writev_nowait, all, bufs.len()),
                Call::Waiting => (sys::table().writev, all, bufs.len()),
                Call::Ready => {
                    let buf = bufs.iter().find(|buf| !buf.is_empty());
                    let buf = buf.map_or(&[][..], |buf| &buf[..buf.len().min(ROOM)]);
                    let little = IoSlice::new(buf);
                    // SAFETY: the buffer is ours for the call.
                    return unsafe {
                        (sys::table().writev)(self.raw(), (&raw const little).cast(), 1)
                    };
                }
            };
            // SAFETY: the buffers are ours for the call.
            unsafe { call(self.raw(), first, count as i32) }
        })
    }

    fn transfer(
        &self,
        interest: Interest,
        deadline: Option<u64>,
        mut call: impl FnMut(Call) -> io::Result<usize> + Send,
    ) -> io::Result<usize> {
        loop {
            match self.manner()? {
                NOWAIT => match self.op(interest, deadline, || Ok((call(Call::Nowait)?, false))) {
                    Err(error) if unsupported(&error) => self.set_manner(POLLED),
                    result => return result,
                },
                FILE => match unblock(|| call(Call::Waiting)) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    result => return result,
                },
                _ => {
                    if self.manner.sole.load(Ordering::Relaxed) {
                        let alone = &self.manner.alone;
                        return self.op(interest, deadline, || {
                            let _alone = alone.lock().unwrap_or_else(PoisonError::into_inner);
                            self.look(interest)?;
                            Ok((call(Call::Ready)?, false))
                        });
                    }
                    self.op(interest, deadline, || Ok((self.look(interest)?, false)))?;
                    let result = unblock(|| {
                        self.look(interest)?;
                        call(Call::Ready)
                    });
                    match result {
                        // Somebody was quicker.
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        result => return result,
                    }
                }
            }
        }
    }

    fn manner(&self) -> io::Result<u8> {
        let known = self.manner.known.load(Ordering::Relaxed);
        if known != UNKNOWN {
            return Ok(known);
        }
        // SAFETY: all zeroes is a valid `stat`.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: writable.
        if unsafe { libc::fstat(self.raw(), &raw mut stat) } < 0 {
            return Err(io::Error::last_os_error());
        }
        let found = match stat.st_mode & libc::S_IFMT {
            libc::S_IFREG | libc::S_IFBLK | libc::S_IFDIR => FILE,
            _ => NOWAIT,
        };
        self.set_manner(found);
        Ok(found)
    }

    fn set_manner(&self, manner: u8) {
        self.manner.known.store(manner, Ordering::Relaxed);
    }

    /// `WouldBlock` unless the descriptor is ready at this moment.
    fn look(&self, interest: Interest) -> io::Result<()> {
        let events = match interest {
            Interest::Read => libc::POLLIN,
            Interest::Write => libc::POLLOUT,
        };
        let mut fds = [libc::pollfd {
            fd: self.raw(),
            events,
            revents: 0,
        }];
        // An end or an error counts as ready: the call tells which.
        match (sys::table().poll)(&mut fds, Some(0))? {
            0 => Err(io::Error::from(io::ErrorKind::WouldBlock)),
            _ => Ok(()),
        }
    }
}

/// Which form of the call is to be made.
#[derive(Clone, Copy)]
enum Call {
    /// The one that gives `WouldBlock`.
    Nowait,
    /// The plain one, on a descriptor that is ready: with a little that is sure to fit.
    Ready,
    /// The plain one, where waiting does no harm.
    Waiting,
}

/// The kernel, or this kind of descriptor, knows no RWF_NOWAIT.
fn unsupported(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS))
}
