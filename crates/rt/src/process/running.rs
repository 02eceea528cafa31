//! A process that was started and has not been dropped: waiting for it, and signals to it.
//!
//! # Process ids
//!
//! An id stays taken until the process is reaped, so a signal is sent and the process reaped
//! under one lock: no signal can hit a stranger with the same id. Likewise for a group: its id
//! is that of its first process, whose end we have not taken.

use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::process::{Child, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ropewalk_kernel::cancel::Cancelled;
use ropewalk_kernel::clock;
use ropewalk_kernel::driver::{Interest, Source};
use ropewalk_kernel::sys;
use ropewalk_kernel::wait::{Outcome, sleep_until};

use super::reaper;

/// How often to look for the end of a process that no pidfd could be had for.
const LOOK_FIRST: Duration = Duration::from_millis(1);
const LOOK_LAST: Duration = Duration::from_millis(50);

pub(super) struct Running {
    id: u32,
    /// Whether it leads a process group of its own.
    leads: bool,
    state: Mutex<State>,
    /// Readable once the process has ended. `None` if the system gave us none.
    pidfd: Option<Source>,
}

struct State {
    /// Taken by the reaper in the end.
    child: Option<Child>,
    status: Option<ExitStatus>,
}

impl State {
    fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        if self.status.is_none()
            && let Some(child) = &mut self.child
        {
            self.status = child.try_wait()?;
        }
        Ok(self.status)
    }
}

impl Running {
    pub(super) fn new(child: Child, leads: bool) -> Running {
        let id = child.id();
        // It is not reaped yet: the id is its own.
        let pidfd = (sys::table().pidfd_open)(id as libc::pid_t).ok();
        Running {
            id,
            leads,
            state: Mutex::new(State {
                child: Some(child),
                status: None,
            }),
            // SAFETY: a fresh descriptor of our own.
            pidfd: pidfd.map(|fd| Source::new(unsafe { OwnedFd::from_raw_fd(fd) })),
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.id
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        self.state().try_wait()
    }

    /// Waits for the end; `deadline` in clock nanoseconds.
    pub(super) fn wait(&self, deadline: Option<u64>) -> io::Result<ExitStatus> {
        let look = || {
            self.try_wait()?
                .ok_or_else(|| io::Error::from(io::ErrorKind::WouldBlock))
        };
        if let Some(pidfd) = &self.pidfd {
            return pidfd.ready_op(Interest::Read, deadline, look);
        }
        let mut pause = LOOK_FIRST;
        loop {
            match look() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
            if deadline.is_some_and(|deadline| deadline <= clock::now_ns()) {
                return Err(io::Error::from(io::ErrorKind::TimedOut));
            }
            let next = clock::deadline_after(pause);
            let next = deadline.map_or(next, |deadline| deadline.min(next));
            if let Outcome::Cancelled = sleep_until(next) {
                return Err(Cancelled::current().into_io());
            }
            pause = (pause * 2).min(LOOK_LAST);
        }
    }

    /// Sends a signal to the process, or to its group if `group`; nothing if it was reaped.
    pub(super) fn signal(&self, signal: i32, group: bool) -> io::Result<()> {
        let state = self.state();
        if state.status.is_some() {
            return Ok(());
        }
        let id = self.id as libc::pid_t;
        // SAFETY: no pointers.
        if unsafe { libc::kill(if group { -id } else { id }, signal) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Whether it leads a process group of its own.
    pub(super) fn leads(&self) -> bool {
        self.leads
    }

    /// Ends the process, with its group if it leads one.
    pub(super) fn kill_all(&self) -> io::Result<()> {
        self.signal(libc::SIGKILL, self.leads)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        // An error means that there is nothing to reap: somebody else has, or SIGCHLD is ignored.
        if let Ok(None) = state.try_wait()
            && let Some(child) = state.child.take()
        {
            reaper::adopt(child, self.pidfd.take().map(Source::into_fd));
        }
    }
}

impl std::fmt::Debug for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Running")
            .field("id", &self.id)
            .field("pidfd", &self.pidfd.as_ref().map(AsFd::as_fd))
            .finish_non_exhaustive()
    }
}
