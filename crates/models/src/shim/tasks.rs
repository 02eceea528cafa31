//! Async tasks' surroundings: records, workers that share a queue of tasks, and a runtime.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ptr::{self, NonNull};
use std::sync::{Arc, Weak};

use loom::cell::Cell;
use loom::sync::{Condvar, Mutex};

use super::atomic::AtomicU8;

pub(crate) struct Record {
    pub(crate) phase: AtomicU8,
    /// The runner's own.
    host: Cell<*mut ()>,
    runtime: Weak<Shared>,
}

// SAFETY: `host` is the runner's, which loom checks.
unsafe impl Send for Record {}
// SAFETY: as above.
unsafe impl Sync for Record {}

impl Record {
    pub(crate) fn new(phase: u8, runtime: &Arc<Shared>) -> Record {
        Record {
            phase: AtomicU8::new(phase),
            host: Cell::new(ptr::null_mut()),
            runtime: Arc::downgrade(runtime),
        }
    }

    pub(crate) fn set_host(&self, host: *mut ()) {
        self.host.set(host);
    }

    pub(crate) fn payload(&self) -> *mut u8 {
        ptr::from_ref(&self.runtime).cast_mut().cast()
    }
}

/// What is runnable; one task, so at most one entry.
pub(crate) struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    tasks: VecDeque<NonNull<Record>>,
    closed: bool,
}

// SAFETY: the records outlive the model's threads.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    pub(crate) fn new() -> Arc<Shared> {
        Arc::new(Shared {
            queue: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    fn change(&self, change: impl FnOnce(&mut Queue)) {
        change(&mut self.queue.lock().expect("no model goes on after a panic"));
        self.changed.notify_all();
    }

    pub(crate) fn inject_again(&self, task: NonNull<Record>) {
        self.change(|queue| {
            assert!(queue.tasks.is_empty(), "queued twice");
            queue.tasks.push_back(task);
        });
    }

    /// Ends the workers' loops.
    pub(crate) fn close(&self) {
        self.change(|queue| queue.closed = true);
    }

    /// The next task, or `None` at the end.
    pub(crate) fn next(&self) -> Option<NonNull<Record>> {
        let mut queue = self.queue.lock().expect("no model goes on after a panic");
        loop {
            if let Some(task) = queue.tasks.pop_front() {
                return Some(task);
            }
            if queue.closed {
                return None;
            }
            queue = self
                .changed
                .wait(queue)
                .expect("no model goes on after a panic");
        }
    }
}

loom::thread_local! {
    static WORKER: RefCell<Option<&'static Worker>> = RefCell::new(None);
}

pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
}

impl Worker {
    /// Makes the calling thread a worker while `f` runs.
    pub(crate) fn run<R>(shared: &Arc<Shared>, f: impl FnOnce() -> R) -> R {
        let worker = Worker {
            shared: Arc::clone(shared),
        };
        // SAFETY: taken back below.
        let lasting = unsafe { &*ptr::from_ref(&worker) };
        WORKER.with(|current| current.replace(Some(lasting)));
        let result = f();
        WORKER.with(|current| current.replace(None));
        result
    }

    pub(crate) fn current() -> Option<&'static Worker> {
        WORKER.with(|current| *current.borrow())
    }

    pub(crate) fn reschedule(&self, task: NonNull<Record>) {
        self.shared.inject_again(task);
    }
}

pub(crate) mod runtime {
    use std::ptr::NonNull;

    /// # Safety
    ///
    /// None: no model's runtime ends before its tasks.
    pub(crate) unsafe fn end_unstarted(_: NonNull<super::Record>, _: impl FnOnce()) {
        panic!("the runtime is there");
    }
}
