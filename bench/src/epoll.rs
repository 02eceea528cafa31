//! The little of epoll that the load generator and the bare server need.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// When a readable descriptor is reported.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// As long as there is something to read.
    Level,
    /// Each time something more has come.
    Edge,
}

/// An epoll instance that tells which descriptors can be read, by token.
pub(crate) struct Epoll {
    instance: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    /// Makes one that reports up to `batch` descriptors at a time.
    ///
    /// # Errors
    /// If the kernel has no descriptor left.
    pub(crate) fn new(batch: usize) -> io::Result<Epoll> {
        // SAFETY: no pointers are passed.
        let descriptor = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call just returned this open descriptor, and nobody else has it.
        let instance = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(Epoll {
            instance,
            events: vec![libc::epoll_event { events: 0, u64: 0 }; batch],
        })
    }

    /// Watches `source`, which is forgotten again when it is closed.
    ///
    /// # Errors
    /// If it is watched already or can't be.
    pub(crate) fn add(
        &self,
        source: &impl AsRawFd,
        token: u64,
        trigger: Trigger,
    ) -> io::Result<()> {
        let edge = if trigger == Trigger::Edge {
            libc::EPOLLET
        } else {
            0
        };
        let mut event = libc::epoll_event {
            events: (libc::EPOLLIN | edge) as u32,
            u64: token,
        };
        // SAFETY: both descriptors are open for the length of the call and `event` is live.
        let result = unsafe {
            libc::epoll_ctl(
                self.instance.as_raw_fd(),
                libc::EPOLL_CTL_ADD,
                source.as_raw_fd(),
                &mut event,
            )
        };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Waits for something to be readable, `limit_ms` at most (-1: for ever): the tokens.
    ///
    /// # Errors
    /// If the wait fails otherwise than by a signal.
    pub(crate) fn wait(
        &mut self,
        limit_ms: i32,
    ) -> io::Result<impl Iterator<Item = u64> + use<'_>> {
        let room = i32::try_from(self.events.len()).unwrap_or(i32::MAX);
        // SAFETY: `events` is live and has room for as many as the call is told.
        let found = unsafe {
            libc::epoll_wait(
                self.instance.as_raw_fd(),
                self.events.as_mut_ptr(),
                room,
                limit_ms,
            )
        };
        let found = match usize::try_from(found) {
            Ok(found) => found,
            Err(_) => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => 0,
                error => return Err(error),
            },
        };
        Ok(self.events[..found].iter().map(|event| event.u64))
    }
}
