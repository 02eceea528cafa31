//! The epoll selector: edge-triggered readiness of many descriptors.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use super::selector::Readied;
use crate::sys;

/// One epoll instance. Adding and removing may be done from any thread.
pub(super) struct Epoll(OwnedFd);

const EVENTS: usize = 256;

impl Epoll {
    pub(super) fn new() -> io::Result<Epoll> {
        let fd = (sys::table().epoll_create)()?;
        // SAFETY: a fresh descriptor of our own.
        Ok(Epoll(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Room for the events of one look.
    pub(super) fn room() -> Vec<libc::epoll_event> {
        vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS]
    }

    /// Reports every change of `fd` in either direction under `key` from now on, and what
    /// it is ready for already.
    pub(super) fn add(&self, fd: i32, key: u64) -> io::Result<()> {
        let events = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
        let mut event = libc::epoll_event {
            events: events as u32,
            u64: key,
        };
        // SAFETY: a valid event.
        unsafe {
            (sys::table().epoll_ctl)(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event)
        }
    }

    /// Reports `fd` no more. Events fetched before may still name it.
    pub(super) fn remove(&self, fd: i32) {
        // SAFETY: a removal reads no event. It fails only for a descriptor that is not
        // there, which is what was wanted.
        let _ = unsafe {
            (sys::table().epoll_ctl)(
                self.0.as_raw_fd(),
                libc::EPOLL_CTL_DEL,
                fd,
                std::ptr::null_mut(),
            )
        };
    }

    pub(super) fn raw(&self) -> i32 {
        self.0.as_raw_fd()
    }

    /// Waits for `timeout_ns` at most and gives each event to `receive`; says whether there
    /// may be more right now.
    #[inline]
    pub(super) fn wait(
        &self,
        events: &mut [libc::epoll_event],
        timeout_ns: Option<u64>,
        mut receive: impl FnMut(u64, Readied),
    ) -> io::Result<bool> {
        let ready = (sys::table().epoll_wait)(self.0.as_raw_fd(), events, timeout_ns)?;
        for event in &events[..ready] {
            let has = |mask: i32| event.events & mask as u32 != 0;
            let failed = has(libc::EPOLLERR);
            let hung_up = has(libc::EPOLLHUP);
            receive(
                event.u64,
                Readied {
                    readable: has(libc::EPOLLIN | libc::EPOLLPRI) || failed,
                    writable: has(libc::EPOLLOUT) || failed,
                    read_closed: hung_up || has(libc::EPOLLRDHUP),
                    write_closed: hung_up,
                },
            );
        }
        Ok(ready == events.len())
    }
}
