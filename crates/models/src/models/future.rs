//! An async task's phases: wakes against polls.
//!
//! The moves of `phase` are those that ship; what the runner does around them is small here.

use std::ptr::NonNull;
use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::thread;

use super::{DEADLOCK, RACE, fails, holds};
use crate::future::{Phases, QUEUED, take_over, wake};
use crate::shim::atomic::{AtomicBool, Ordering};
use crate::shim::tasks::{Record, Shared, Worker};

struct Task {
    record: Record,
    runtime: Arc<Shared>,
    /// The future's own, used in polls only.
    future: UnsafeCell<()>,
    events: [AtomicBool; 2],
}

// SAFETY: loom checks the future.
unsafe impl Send for Task {}
// SAFETY: as above.
unsafe impl Sync for Task {}

impl Task {
    fn new(happened: [bool; 2]) -> Arc<Task> {
        let runtime = Shared::new();
        let task = Arc::new(Task {
            record: Record::new(QUEUED, &runtime),
            runtime,
            future: UnsafeCell::new(()),
            events: happened.map(AtomicBool::new),
        });
        task.runtime.inject_again(NonNull::from(&task.record));
        task
    }

    /// Polls it whenever it is queued, until both events have happened.
    fn work(&self) {
        Worker::run(&self.runtime, || {
            while let Some(task) = self.runtime.next() {
                // SAFETY: the model's only one.
                let record = unsafe { task.as_ref() };
                take_over(record);
                self.future.with_mut(|_| ());
                // Relaxed: it is the wake that carries the event over.
                let ready = self
                    .events
                    .iter()
                    .all(|event| event.load(Ordering::Relaxed));
                self.future.with_mut(|_| ());
                if ready {
                    self.runtime.close();
                } else {
                    Phases::pause(record);
                }
            }
        });
    }

    fn happen(&self, event: usize) {
        self.events[event].store(true, Ordering::Relaxed);
        wake(&self.record);
    }
}

/// One worker, two wakers.
fn two_wake() {
    let task = Task::new([false, false]);
    let wakers = [0, 1].map(|event| {
        let task = Arc::clone(&task);
        thread::spawn(move || task.happen(event))
    });
    task.work();
    for waker in wakers {
        waker.join().unwrap();
    }
}

/// Two workers, one waker.
fn two_work() {
    let task = Task::new([true, false]);
    let worker = {
        let task = Arc::clone(&task);
        thread::spawn(move || task.work())
    };
    let waker = {
        let task = Arc::clone(&task);
        thread::spawn(move || task.happen(1))
    };
    task.work();
    waker.join().unwrap();
    worker.join().unwrap();
}

#[test]
fn each_wake_is_followed_by_a_poll() {
    holds(2, two_wake);
}

#[test]
fn one_worker_polls_at_a_time() {
    holds(2, two_work);
}

/// A wake of a task that is queued already leaves without a trace: the poll that is about to come
/// doesn't see what came before the wake.
#[test]
fn it_fails_if_a_wake_of_a_queued_task_leaves_no_trace() {
    fails("waking a queued task only looks", DEADLOCK, 3, two_wake);
}

/// The runner marks the task as running without taking over from those who woke it.
#[test]
fn it_fails_if_a_runner_does_not_take_over() {
    fails(
        "a runner does not take over from wakers",
        DEADLOCK,
        3,
        two_wake,
    );
}

/// A task that was woken while it was polled is put to sleep.
#[test]
fn it_fails_if_a_wake_during_a_poll_is_overlooked() {
    fails("a wake during a poll is overlooked", DEADLOCK, 3, two_wake);
}

/// A task is queued also by who wakes it while it is polled.
#[test]
fn it_fails_if_a_running_task_is_queued() {
    fails("waking a running task queues it", "", 2, two_work);
}

/// Going to sleep doesn't release the future to the next runner.
#[test]
fn it_fails_if_sleeping_is_no_release() {
    fails("a task goes to sleep without release", RACE, 3, two_work);
}
