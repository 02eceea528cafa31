//! The stack of one parked coroutine: it is walked on the stack itself, by its own worker.
//!
//! The worker resumes the coroutine with `walking` set; `park`, where it comes to, walks the
//! stack and parks again. Nothing of the coroutine's own runs. Others ask by letter, and
//! wait for the answer; a worker that computes lets them wait in vain until their patience ends.

use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::clock;
use crate::driver::{Addressed, Letter};
use crate::inspect::walk::walk_thread;
use crate::inspect::{Frames, stack_on};
use crate::record::{self, Record};
use crate::runtime;
use crate::wait::{Limit, Outcome, Reason, WaitQueue};
use crate::worker::Worker;

/// A stack that is to be looked at, and what was found.
pub(crate) struct Probe {
    found: Mutex<Option<Frames>>,
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
        if let Some(stack) = stack_on(worker, record, id) {
            *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(stack);
        }
        self.done.store(true, Ordering::SeqCst);
        self.waiters.wake_all();
    }
}

/// The stack of the task with this id: of a coroutine that is parked, or of the caller itself.
/// `None` if it is neither, or its worker does not answer within a second.
pub fn stack_of(id: u64) -> Option<Frames> {
    const PATIENCE_NS: u64 = 1_000_000_000;
    if id == crate::cancel::current_id() {
        return Some(walk_thread());
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
        drop(runtime);
        let probe = Probe::new();
        let nobody = Addressed(NonNull::dangling());
        shared.workers[0].post(Letter::Probe(nobody, 0, Arc::clone(&probe)));
        assert_eq!(Arc::strong_count(&probe), 1);
        // The watcher may be looking at it at this moment.
        while Arc::strong_count(&shared) != 1 {
            std::thread::yield_now();
        }
    }
}
