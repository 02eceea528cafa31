//! A child made by `fork` has its parent's memory, and none of its threads.
//!
//! A runtime in such a child has no workers: what is spawned would never run, a join never end,
//! an `epoll` of the parent's be read. So the child is refused, in plain words, where it would
//! begin something: `fork` alone is for `exec`, or for a parent that has not used the runtime.

use std::io;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

const WHY: &str = "this process was forked from one that uses Ropewalk, and has none of its \
                   threads: only `exec` can follow; or fork before the first use";

static FORKED: AtomicBool = AtomicBool::new(false);

/// Notices forks from now on.
pub(crate) fn notice() {
    extern "C" fn in_child() {
        FORKED.store(true, Ordering::Relaxed);
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the handler is async-signal-safe: it stores to an atomic.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
}

/// Says whether this process is a forked child of one that had a runtime.
#[inline]
pub(crate) fn is_child() -> bool {
    FORKED.load(Ordering::Relaxed)
}

/// # Errors
///
/// `Unsupported` in a forked child of a process that had a runtime.
pub(crate) fn check() -> io::Result<()> {
    if is_child() {
        return Err(io::Error::new(io::ErrorKind::Unsupported, WHY));
    }
    Ok(())
}

/// # Panics
///
/// As [`check`].
pub(crate) fn refuse() {
    assert!(!is_child(), "{WHY}");
}

/// Ends a child that goes on as one of its parent's workers.
#[inline]
pub(crate) fn end_worker() {
    if is_child() {
        eprintln!("ropewalk: {WHY}; aborting");
        std::process::abort();
    }
}
