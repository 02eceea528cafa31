//! Who is asking: a coroutine on a worker, or a plain thread; and whether it may wait.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::record::Record;
use crate::worker::Worker;

thread_local! {
    /// How many `no_wait` calls are open. A coroutine inside one can't be switched away,
    /// so the thread's count is the coroutine's.
    static NO_WAIT_DEPTH: Cell<u32> = const { Cell::new(0) };
    /// What the innermost of them is called.
    static NO_WAIT_PLACE: Cell<&'static str> = const { Cell::new("") };
    static IN_PANIC_HOOK: Cell<bool> = const { Cell::new(false) };
}

static PANICKED_WAITS: AtomicU64 = AtomicU64::new(0);

/// The caller, as far as waiting is concerned.
pub(crate) enum Context {
    /// A coroutine, which parks.
    Coroutine(&'static Worker, &'static Record),
    /// A plain thread, or a worker outside any coroutine or inside a panic hook: blocks.
    Thread,
}

impl Context {
    #[inline]
    pub(crate) fn current() -> Context {
        let Some(worker) = Worker::current() else {
            return Context::Thread;
        };
        let Some(record) = worker.current_record() else {
            return Context::Thread;
        };
        if std::thread::panicking() {
            return Context::while_panicking(worker, record);
        }
        Context::Coroutine(worker, record)
    }

    #[cold]
    fn while_panicking(worker: &'static Worker, record: &'static Record) -> Context {
        if IN_PANIC_HOOK.get() {
            // A panic of another coroutine while this one is inside its hook would
            // abort the process: don't let another run.
            return Context::Thread;
        }
        PANICKED_WAITS.fetch_add(1, Ordering::Relaxed);
        Context::Coroutine(worker, record)
    }
}

/// Says whether the caller is a coroutine.
#[inline]
pub fn in_coroutine() -> bool {
    Worker::current().is_some_and(|worker| worker.current_record().is_some())
}

/// How many waits were made inside `Drop` while unwinding. Each lets other coroutines of
/// the worker see `std::thread::panicking()` be true meanwhile.
pub fn panicked_waits() -> u64 {
    PANICKED_WAITS.load(Ordering::Relaxed)
}

/// Marks the calling thread as inside a panic hook for as long as `f` runs.
pub fn mark_panic_hook<R>(f: impl FnOnce() -> R) -> R {
    struct Reset(bool);
    impl Drop for Reset {
        fn drop(&mut self) {
            IN_PANIC_HOOK.set(self.0);
        }
    }
    let _reset = Reset(IN_PANIC_HOOK.replace(true));
    f()
}

/// Runs `f`, in which a wait that would park panics instead.
///
/// For code that must not be interleaved with another coroutine of its worker: a scope
/// in thread-local storage that is set, used and restored, as the `scoped-tls` pattern
/// has it. Works on plain threads too.
///
/// # Panics
///
/// `f`'s own panics pass through; so does the one of a wait inside it.
pub fn no_wait<R>(f: impl FnOnce() -> R) -> R {
    no_wait_in("`no_wait`", f)
}

/// As [`no_wait`], for a place that is called `place` in the panic's message.
pub(crate) fn no_wait_in<R>(place: &'static str, f: impl FnOnce() -> R) -> R {
    struct Leave(&'static str);
    impl Drop for Leave {
        fn drop(&mut self) {
            NO_WAIT_DEPTH.set(NO_WAIT_DEPTH.get() - 1);
            NO_WAIT_PLACE.set(self.0);
        }
    }
    NO_WAIT_DEPTH.set(NO_WAIT_DEPTH.get() + 1);
    let _leave = Leave(NO_WAIT_PLACE.replace(place));
    f()
}

/// Panics inside [`no_wait`]. Called before a wait has touched anything; and early, by what
/// must be able to wait later.
#[inline]
pub fn check_may_wait() {
    if !may_wait() {
        refuse();
    }
}

/// Says whether the caller may wait: it is not inside [`no_wait`].
#[inline]
pub fn may_wait() -> bool {
    NO_WAIT_DEPTH.get() == 0
}

#[cold]
#[inline(never)]
fn refuse() -> ! {
    panic!(
        "a wait inside {}: move the waiting call out of the closure",
        NO_WAIT_PLACE.get()
    );
}
