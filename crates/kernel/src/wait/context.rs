//! Who is asking: a coroutine on a worker, or a plain thread; and whether it may wait.

use std::cell::{Cell, RefCell};
use std::mem::{self, ManuallyDrop};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::record::Record;
use crate::watcher;
use crate::worker::Worker;

thread_local! {
    /// How many `no_wait` calls are open. A coroutine inside one can't be switched away,
    /// so the thread's count is the coroutine's.
    static NO_WAIT_DEPTH: Cell<u32> = const { Cell::new(0) };
    /// What the innermost of them is called.
    static NO_WAIT_PLACE: Cell<&'static str> = const { Cell::new("") };
    static IN_PANIC_HOOK: Cell<bool> = const { Cell::new(false) };
    /// The addresses of the locks that they have given up, see [`note_given_up`]: the first one, or
    /// 0, and the others. Emptied as the outermost ends, so that nothing is left for a destructor.
    static GIVEN_UP: Cell<usize> = const { Cell::new(0) };
    static GIVEN_UP_TOO: RefCell<ManuallyDrop<Vec<usize>>> =
        const { RefCell::new(ManuallyDrop::new(Vec::new())) };
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

/// Marks the calling thread as inside a panic hook for as long as `f` runs: a wait blocks it, and
/// the watcher does not tell of the coroutine.
pub fn mark_panic_hook<R>(f: impl FnOnce() -> R) -> R {
    struct Reset(bool);
    impl Drop for Reset {
        fn drop(&mut self) {
            IN_PANIC_HOOK.set(self.0);
        }
    }
    let _reset = Reset(IN_PANIC_HOOK.replace(true));
    watcher::excuse(f)
}

/// Runs `f`, in which a wait that would park panics instead.
///
/// For code that must not be interleaved with another coroutine of its worker: a scope
/// in thread-local storage that is set, used and restored, as the `scoped-tls` pattern
/// has it. Works on plain threads too.
///
/// One wait is not refused: that of a guard's `unlocked` for the lock that it gave up inside `f`.
/// It blocks the thread.
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
            if may_wait() && GIVEN_UP.replace(0) != 0 {
                drop(GIVEN_UP_TOO.with_borrow_mut(|locks| mem::take(&mut **locks)));
            }
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

/// Notes that the caller has given up the lock at this address. Locks call it.
///
/// What a guard has given up for a while it must have again: were it refused by a panic, the guard
/// would be dropped without its lock, and unlock somebody else's. So inside [`no_wait`] an endless
/// wait for a lock that was given up there blocks the thread. Since then no other coroutine has run
/// here: who has it by now is another thread's.
#[inline]
pub fn note_given_up(lock: usize) {
    if !may_wait() {
        note(lock);
    }
}

#[cold]
fn note(lock: usize) {
    if GIVEN_UP.get() == 0 {
        GIVEN_UP.set(lock);
    } else if !has_given_up(lock) {
        GIVEN_UP_TOO.with_borrow_mut(|locks| locks.push(lock));
    }
}

/// Says whether the caller, who is inside [`no_wait`], has given up the lock at this address there.
#[cold]
pub(super) fn has_given_up(lock: usize) -> bool {
    GIVEN_UP.get() == lock || GIVEN_UP_TOO.with_borrow(|locks| locks.contains(&lock))
}

#[cold]
#[inline(never)]
fn refuse() -> ! {
    panic!(
        "a wait inside {}: move the waiting call out of the closure",
        NO_WAIT_PLACE.get()
    );
}
