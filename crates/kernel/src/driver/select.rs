//! `select(2)` in the shape of `poll(2)`, for descriptors below `FD_SETSIZE`.
//!
//! `select` has no word for a hang-up or an error: both make a descriptor readable (an error
//! also writable), and the call that is tried then tells which it was.

use std::io;
use std::mem::MaybeUninit;

use crate::sys;

/// Says whether `select` can watch a descriptor.
///
/// # Errors
///
/// `Unsupported`, with what to do instead, for one at or above 1024.
pub(super) fn check(fd: i32) -> io::Result<()> {
    if usize::try_from(fd).is_ok_and(|fd| fd < libc::FD_SETSIZE) {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::Unsupported,
        format!(
            "descriptor {fd} is too high for the select driver, which can watch those below {} \
             only: use ROPEWALK_DRIVER=poll or ROPEWALK_DRIVER=epoll",
            libc::FD_SETSIZE
        ),
    ))
}

/// Looks at `entries`, each of which has passed [`check`], for as long as none is ready;
/// their `revents` say which are.
pub(super) fn select(entries: &mut [libc::pollfd], timeout_ns: Option<u64>) -> io::Result<()> {
    let (mut readable, mut writable) = (empty(), empty());
    let mut below = 0;
    for entry in entries.iter_mut() {
        entry.revents = 0;
        below = below.max(entry.fd + 1);
        if entry.events & libc::POLLIN != 0 {
            // SAFETY: below FD_SETSIZE, and not negative.
            unsafe { libc::FD_SET(entry.fd, &mut readable) };
        }
        if entry.events & libc::POLLOUT != 0 {
            // SAFETY: as above.
            unsafe { libc::FD_SET(entry.fd, &mut writable) };
        }
    }
    match (sys::table().select)(below, &mut readable, &mut writable, timeout_ns) {
        Ok(_) => {}
        // Somebody has closed a descriptor that isn't his; `poll` says which it is.
        Err(error) if error.raw_os_error() == Some(libc::EBADF) => {
            return (sys::table().poll)(entries, Some(0)).map(drop);
        }
        Err(error) => return Err(error),
    }
    for entry in entries {
        // SAFETY: as above.
        if unsafe { libc::FD_ISSET(entry.fd, &readable) } {
            entry.revents |= libc::POLLIN;
        }
        // SAFETY: as above.
        if unsafe { libc::FD_ISSET(entry.fd, &writable) } {
            entry.revents |= libc::POLLOUT;
        }
    }
    Ok(())
}

fn empty() -> libc::fd_set {
    let mut set = MaybeUninit::uninit();
    // SAFETY: FD_ZERO writes the whole set.
    unsafe {
        libc::FD_ZERO(set.as_mut_ptr());
        set.assume_init()
    }
}
