//! From a file into a socket without a copy through the program.
//!
//! `sendfile(2)` has no flag for "don't wait": it waits for the disk, and on a socket without
//! `O_NONBLOCK`, which is not ours to set, for room. So it runs on a thread of the blocking pool,
//! and is given no more than there is room for: half of what `SO_MEMINFO` says is free, since a
//! buffer of the kernel's counts for more than the bytes in it. Should somebody else fill the socket
//! at the same time, the thread waits for the peer, and the caller with it, uncancellable.
//!
//! Nor has it one for "no SIGPIPE": as with pipes, the process ignores that signal, which std's
//! start of a Rust program sees to.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::{Interest, Source};
use crate::blocking::unblock;
use crate::sys;

/// The most that is sent in one call.
const CHUNK_MAX: usize = 1 << 20;
/// The least, when the socket says that there is room.
const CHUNK_MIN: usize = 4096;

/// Of linux/sock_diag.h: what `SO_MEMINFO` gives.
const SK_MEMINFO_SNDBUF: usize = 3;
const SK_MEMINFO_WMEM_QUEUED: usize = 5;
const SK_MEMINFO_VARS: usize = 9;

impl Source {
    /// Waits for room, and sends up to `len` bytes of `file` from `offset` on; 0 at the file's end.
    /// A cancellation point while it waits for room.
    ///
    /// # Errors
    ///
    /// The system's: `InvalidInput` for a file that can't be sent so; `TimedOut` once the
    /// deadline has passed, with nothing sent.
    pub fn send_file(
        &self,
        file: BorrowedFd<'_>,
        offset: u64,
        len: usize,
        deadline: Option<u64>,
    ) -> io::Result<usize> {
        let offset = i64::try_from(offset).map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "an offset beyond any file's end",
            )
        })?;
        loop {
            self.ready_op(Interest::Write, deadline, || self.writable())?;
            let chunk = len.min(self.room());
            let sent = unblock(|| {
                let mut offset = offset;
                // SAFETY: the offset is ours for the call.
                unsafe {
                    (sys::table().sendfile)(self.raw(), file.as_raw_fd(), &raw mut offset, chunk)
                }
            });
            match sent {
                // Somebody else set O_NONBLOCK, and was quicker.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn writable(&self) -> io::Result<()> {
        let mut fds = [libc::pollfd {
            fd: self.raw(),
            events: libc::POLLOUT,
            revents: 0,
        }];
        match (sys::table().poll)(&mut fds, Some(0))? {
            0 => Err(io::Error::from(io::ErrorKind::WouldBlock)),
            // Or broken: the call says how.
            _ => Ok(()),
        }
    }

    /// How much can be sent without waiting.
    fn room(&self) -> usize {
        let mut info = [0u32; SK_MEMINFO_VARS];
        let mut size = size_of_val(&info) as libc::socklen_t;
        // SAFETY: the array is writable for `size` bytes.
        let asked = unsafe {
            libc::getsockopt(
                self.raw(),
                libc::SOL_SOCKET,
                libc::SO_MEMINFO,
                info.as_mut_ptr().cast(),
                &raw mut size,
            )
        };
        if asked != 0 {
            return CHUNK_MIN;
        }
        let free = info[SK_MEMINFO_SNDBUF].saturating_sub(info[SK_MEMINFO_WMEM_QUEUED]);
        (free as usize / 2).clamp(CHUNK_MIN, CHUNK_MAX)
    }
}
