//! The stacks of parked coroutines: each is walked on its own stack, by its own worker.
//!
//! The worker resumes the coroutine with `probe` set; `park`, where it comes to, takes a
//! backtrace and parks again. Nothing of the coroutine's own runs. Others ask by letter, and
//! wait for the answer; a worker that computes lets them wait in vain until their patience ends.

use std::backtrace::Backtrace;
use std::fmt::Write as _;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock;
use crate::driver::{Addressed, Letter};
use crate::record::{self, DONE, Record, THREAD};
use crate::runtime;
use crate::wait::{Limit, Outcome, Reason, WaitQueue, in_coroutine};
use crate::worker::Worker;

/// A stack that is to be looked at, and what was found.
pub(crate) struct Probe {
    found: Mutex<Option<Arc<Backtrace>>>,
    done: AtomicBool,
    waiters: WaitQueue,
}

impl Probe {
    fn new() -> Arc<Probe> {
        Arc::new(Probe {
            found: Mutex::new(None),
            done: AtomicBool::new(false),
            waiters: WaitQueue::new(),
        })
    }

    /// Looks at the stack of the coroutine, if it is parked on this worker. In the worker's loop.
    pub(crate) fn answer(&self, worker: &Worker, record: NonNull<Record>, id: u64) {
        if let Some(stack) = look(worker, record, id) {
            *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(stack);
        }
        self.done.store(true, Ordering::SeqCst);
        self.waiters.wake_all();
    }
}

/// The stack of a coroutine that is parked on this worker. In the worker's loop.
pub(crate) fn look(worker: &Worker, record: NonNull<Record>, id: u64) -> Option<Arc<Backtrace>> {
    // SAFETY: type-stable.
    let this = unsafe { record.as_ref() };
    let here = ptr::eq(this.home.load(Ordering::Relaxed), worker.me());
    let alive = this.id() == id && this.life.load(Ordering::Acquire) & DONE == 0;
    if !here || !alive || this.has(THREAD) {
        return None;
    }
    worker.probe(this).map(Arc::new)
}

/// The stack of the task with this id: of a coroutine that is parked, or of the caller itself.
/// `None` if it is neither, or its worker does not answer within a second.
pub fn stack_of(id: u64) -> Option<Arc<Backtrace>> {
    const PATIENCE_NS: u64 = 1_000_000_000;
    if id == crate::cancel::current_id() {
        return Some(Arc::new(Backtrace::force_capture()));
    }
    let record = record::find(id)?;
    // SAFETY: type-stable.
    let this = unsafe { record.as_ref() };
    let shared = runtime::of_record(this)?;
    let home = this.home.load(Ordering::SeqCst);
    let worker = shared
        .workers
        .iter()
        .find(|worker| ptr::eq(*worker, home))?;
    let probe = Probe::new();
    worker.post(Letter::Probe(Addressed(record), id, Arc::clone(&probe)));
    let deadline = clock::now_ns() + PATIENCE_NS;
    while !probe.done.load(Ordering::SeqCst) {
        let guard = probe.waiters.lock();
        if probe.done.load(Ordering::SeqCst) {
            break;
        }
        let object = Arc::as_ptr(&probe) as usize;
        let limit = Limit::until(Some(deadline));
        if guard.wait(0, Reason::Quiet, object, limit) == Outcome::Expired {
            return None;
        }
    }
    probe
        .found
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

/// A backtrace as text: without the innermost frames, which are the runtime's, and without
/// those below the task's own.
///
/// Symbols need a deep stack to be found: from a coroutine this is done on a thread.
pub fn describe(stack: &Backtrace) -> String {
    if !in_coroutine() {
        return fold(&stack.to_string());
    }
    std::thread::scope(|s| {
        let text = s.spawn(|| fold(&stack.to_string())).join();
        text.unwrap_or_else(|_| "(the stack could not be read)".into())
    })
}

pub(crate) fn fold(text: &str) -> String {
    const INNER: [&str; 9] = [
        "std::backtrace",
        "ropewalk_kernel::",
        "ropewalk_rt::sync",
        "ropewalk_rt::channel",
        "ropewalk_rt::join",
        "lock_api::",
        "<ropewalk_",
        "<lock_api::",
        "core::",
    ];
    const OUTER: [&str; 4] = [
        "std::panicking",
        "std::panic::catch_unwind",
        "__rust_try",
        "do_call<",
    ];
    let mut frames: Vec<(&str, Option<&str>)> = Vec::new();
    for line in text.lines() {
        let line = line.trim_start();
        match line.strip_prefix("at ") {
            Some(place) => {
                if let Some(frame) = frames.last_mut() {
                    frame.1 = Some(place);
                }
            }
            None => frames.push((
                line.split_once(": ").map_or(line, |(_, symbol)| symbol),
                None,
            )),
        }
    }
    let inner = |symbol: &str| INNER.iter().any(|prefix| symbol.starts_with(prefix));
    let outer = |symbol: &str| OUTER.iter().any(|prefix| symbol.starts_with(prefix));
    // Who asks about itself has the asking on its stack.
    let asking = |symbol: &str| {
        symbol.starts_with("ropewalk_kernel::locks::")
            || symbol.starts_with("ropewalk_kernel::probe::")
    };
    if let Some(end) = frames.iter().position(|frame| outer(frame.0)) {
        frames.truncate(end);
    }
    let asked = frames.iter().rposition(|frame| asking(frame.0));
    let own = asked.map_or(0, |last| last + 1);
    let begin = frames[own..].iter().position(|frame| !inner(frame.0));
    let begin = own + begin.unwrap_or(0);
    let mut folded = String::new();
    for (symbol, place) in &frames[begin..] {
        let _ = writeln!(folded, "      {symbol}");
        if let Some(place) = place {
            let _ = writeln!(folded, "        at {place}");
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::runtime::{Config, Runtime};

    /// A letter that was posted while a runtime ended, after its letters had been thrown away,
    /// lay in it for ever; one that named the runtime kept it, with its descriptors.
    #[test]
    fn a_letter_to_a_worker_that_has_left_is_dropped() {
        let config = Config {
            workers: Some(1),
            ..Config::default()
        };
        let runtime = Runtime::new(config).expect("a runtime");
        let shared = Arc::clone(runtime.shared());
        assert!(runtime.shutdown(Duration::MAX).is_ok());
        let probe = Probe::new();
        let nobody = Addressed(NonNull::dangling());
        shared.workers[0].post(Letter::Probe(nobody, 0, Arc::clone(&probe)));
        assert_eq!(Arc::strong_count(&probe), 1);
        assert_eq!(Arc::strong_count(&shared), 1);
    }
}
