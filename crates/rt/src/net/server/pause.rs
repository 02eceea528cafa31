//! What to do when accepting or receiving has failed.

use std::io;
use std::time::Duration;

/// How long to wait after a failure.
pub(super) struct Pause {
    what: &'static str,
    ms: u64,
    told: bool,
}

pub(super) enum After {
    /// It concerned one connection or datagram only.
    Now,
    /// It passes.
    Pause(Duration),
    /// It will never work on this socket again.
    Broken,
}

impl Pause {
    /// For doing `what`.
    pub(super) fn new(what: &'static str) -> Pause {
        Pause {
            what,
            ms: 0,
            told: false,
        }
    }

    pub(super) fn reset(&mut self) {
        self.ms = 0;
    }

    pub(super) fn after(&mut self, error: &io::Error) -> After {
        match error.raw_os_error() {
            Some(
                libc::ECONNABORTED | libc::EINTR | libc::EPROTO | libc::EPERM
                // What was sent before did not arrive.
                | libc::ECONNREFUSED | libc::ECONNRESET | libc::EHOSTUNREACH | libc::ENETUNREACH,
            ) => After::Now,
            Some(libc::EBADF | libc::EINVAL | libc::ENOTSOCK | libc::EOPNOTSUPP | libc::EFAULT) => {
                After::Broken
            }
            _ => {
                if !std::mem::replace(&mut self.told, true) {
                    eprintln!("ropewalk: {} failed ({error}); the server goes on", self.what);
                }
                self.ms = (self.ms * 2).clamp(5, 1000);
                After::Pause(Duration::from_millis(self.ms))
            }
        }
    }
}
