//! The parker of a plain thread: one futex word.
//!
//! ```text
//!   EMPTY ──park──▶ PARKED ──unpark──▶ NOTIFIED ──take──▶ EMPTY
//!     └────────────unpark────────────────▲
//! ```
//!
//! A thread has one parker and one wait at a time; each wait that is claimed gets
//! exactly one token, and takes it.

use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::clock;

const EMPTY: u32 = 0;
const PARKED: u32 = 1;
const NOTIFIED: u32 = 2;

pub(super) struct ThreadParker {
    state: AtomicU32,
}

thread_local! {
    static PARKER: ThreadParker = const { ThreadParker { state: AtomicU32::new(EMPTY) } };
}

impl ThreadParker {
    /// Runs `f` with the calling thread's parker, which outlives it.
    pub(super) fn with<R>(f: impl FnOnce(&ThreadParker) -> R) -> R {
        PARKER.with(f)
    }

    /// Blocks until the token is there, or until `deadline`; says whether it is there.
    pub(super) fn park(&self, deadline: Option<u64>) -> bool {
        if self
            .state
            .compare_exchange(EMPTY, PARKED, Ordering::Relaxed, Ordering::Acquire)
            .is_err()
        {
            return true;
        }
        loop {
            let timeout_ns = match deadline {
                None => None,
                Some(deadline) => match deadline.checked_sub(clock::now_ns()) {
                    None | Some(0) => {
                        let left = self.state.compare_exchange(
                            PARKED,
                            EMPTY,
                            Ordering::Relaxed,
                            Ordering::Acquire,
                        );
                        return left.is_err();
                    }
                    left => left,
                },
            };
            futex_wait(&self.state, PARKED, timeout_ns);
            if self.state.load(Ordering::Acquire) == NOTIFIED {
                return true;
            }
        }
    }

    /// Takes the token, waiting for it if it is still on its way.
    pub(super) fn take(&self) {
        while self.state.load(Ordering::Acquire) != NOTIFIED {
            self.park(None);
        }
        self.state.store(EMPTY, Ordering::Relaxed);
    }

    /// Sets the token.
    ///
    /// # Safety
    ///
    /// The thread is in a wait that the caller has claimed. After the token is set the
    /// parker may be gone: the futex call that follows uses its address only.
    pub(super) unsafe fn unpark(this: NonNull<ThreadParker>) {
        // SAFETY: alive until the token is set, by the contract above.
        let state: *const AtomicU32 = unsafe { &raw const (*this.as_ptr()).state };
        // SAFETY: as above.
        if unsafe { (*state).swap(NOTIFIED, Ordering::Release) } == PARKED {
            futex_wake(state);
        }
    }
}

/// Blocks while `word` holds `expected`, at most `timeout_ns`.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, timeout_ns: Option<u64>) {
    let timeout = timeout_ns.map(|ns| libc::timespec {
        tv_sec: (ns / 1_000_000_000) as libc::time_t,
        tv_nsec: (ns % 1_000_000_000) as _,
    });
    let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the word and the time-out are valid for the call. A spurious return, an
    // interruption and a time-out are all alike to the callers, who look again.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            ptr::from_ref(word),
            libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
            expected,
            timeout,
        );
    }
}

fn futex_wake(word: *const AtomicU32) {
    // SAFETY: the kernel looks the address up and does not dereference it for a wake; a
    // stale one wakes nobody, or somebody spuriously, which all futex waiters bear.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word,
            libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
            1,
        );
    }
}
