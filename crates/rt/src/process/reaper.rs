//! The reaper: takes the end of processes whose owners have dropped them.
//!
//! One thread, there only while there are such processes. It waits for all their pidfds at
//! once, and for its bell, which is rung for each newcomer. Only that thread removes a process
//! or the bell, so what it waits for stays open.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Child;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use ropewalk_kernel::runtime::OwnThread;
use ropewalk_kernel::sys;

/// How often to look after a process without a pidfd, or without the bell.
const LOOK: Duration = Duration::from_millis(50);

struct Reaper {
    orphans: Vec<Orphan>,
    /// An eventfd, while the thread is there. `None` in it if the system gave us none.
    bell: Option<Option<OwnedFd>>,
}

struct Orphan {
    child: Child,
    pidfd: Option<OwnedFd>,
}

static REAPER: Mutex<Reaper> = Mutex::new(Reaper {
    orphans: Vec::new(),
    bell: None,
});

fn reaper() -> MutexGuard<'static, Reaper> {
    REAPER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes over a process to be reaped once it ends.
pub(super) fn adopt(child: Child, pidfd: Option<OwnedFd>) {
    let mut reaper = reaper();
    reaper.orphans.push(Orphan { child, pidfd });
    match &reaper.bell {
        Some(bell) => {
            if let Some(bell) = bell {
                let one = 1u64.to_ne_bytes();
                // SAFETY: eight readable bytes. It fails only if it has rung already.
                unsafe { libc::write(bell.as_raw_fd(), one.as_ptr().cast(), one.len()) };
            }
        }
        None => {
            // SAFETY: a fresh descriptor of our own.
            let bell = (sys::table().eventfd)().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
            reaper.bell = Some(bell.ok());
            let thread = thread::Builder::new().name("ropewalk-reaper".to_owned());
            if thread.stack_size(64 * 1024).spawn(reap).is_err() {
                // The next one tries again.
                reaper.bell = None;
            }
        }
    }
}

fn reap() {
    let _counted = OwnThread::new();
    loop {
        let mut reaper = reaper();
        reaper
            .orphans
            .retain_mut(|orphan| matches!(orphan.child.try_wait(), Ok(None)));
        if reaper.orphans.is_empty() {
            reaper.bell = None;
            return;
        }
        let bell = reaper.bell.as_ref().and_then(Option::as_ref);
        let bell = bell.map(AsRawFd::as_raw_fd);
        let pidfds = reaper.orphans.iter().map(|orphan| orphan.pidfd.as_ref());
        let mut blind = bell.is_none();
        let mut fds = Vec::new();
        for fd in pidfds.map(|fd| fd.map(AsRawFd::as_raw_fd)).chain([bell]) {
            match fd {
                None => blind = true,
                Some(fd) => fds.push(libc::pollfd {
                    fd,
                    events: libc::POLLIN,
                    revents: 0,
                }),
            }
        }
        drop(reaper);
        let timeout_ns = blind.then_some(LOOK.as_nanos() as u64);
        if (sys::table().poll)(&mut fds, timeout_ns).is_err() {
            thread::yield_now();
        }
        if let Some(bell) = bell {
            let mut count = [0u8; 8];
            // SAFETY: eight writable bytes; non-blocking.
            unsafe { libc::read(bell, count.as_mut_ptr().cast(), count.len()) };
        }
    }
}
