//! The end of a task: joined, dropped, looked at by callbacks; and its record used again.

use std::pin::pin;
use std::ptr::NonNull;
use std::sync::Arc;
use std::task::{Context, Waker};

use loom::cell::UnsafeCell;
use loom::thread;

use super::{DEADLOCK, Who, fails, holds};
use crate::ends::{Handle, REF, complete};
use crate::outcome::JoinError;
use crate::shim::atomic::{AtomicUsize, Ordering};
use crate::shim::ends::Record;
use crate::wait::block_on;

/// An outcome that loom sees being used, and that counts its drops.
struct Value {
    witness: UnsafeCell<()>,
    drops: Arc<AtomicUsize>,
}

// SAFETY: loom checks the witness.
unsafe impl Send for Value {}

impl Drop for Value {
    fn drop(&mut self) {
        self.witness.with_mut(|_| ());
        self.drops.fetch_add(1, Ordering::Relaxed);
    }
}

type Outcome = Result<Value, JoinError>;

/// What becomes of the handle.
#[derive(Clone, Copy)]
enum How {
    Join(Who),
    Async,
    /// Polled once, then dropped.
    AsyncGivenUp,
    Drop,
    CallAndJoin,
    CallAndDrop,
}

/// Runs a task's end on a thread of its own, while the calling one does with its handle what is said.
fn one_ends(record: &Arc<Record>, drops: &Arc<AtomicUsize>, how: How) -> thread::JoinHandle<()> {
    let runner = {
        let record = Arc::clone(record);
        let value = Value {
            witness: UnsafeCell::new(()),
            drops: Arc::clone(drops),
        };
        thread::spawn(move || {
            // SAFETY: the runner's, which uses it no more; records last.
            unsafe {
                record.put(Outcome::Ok(value));
                complete(NonNull::from(&*record), || ());
            }
        })
    };
    // SAFETY: the handle's reference; records last.
    let mut handle = unsafe { Handle::<Value>::new(NonNull::from(&**record)) };
    let called = Arc::new(AtomicUsize::new(0));
    let call = |handle: &Handle<Value>| {
        let called = Arc::clone(&called);
        handle.on_done(move |outcome: &Outcome| {
            if let Ok(value) = outcome {
                value.witness.with(|_| ());
            }
            called.fetch_add(1, Ordering::Relaxed);
        });
    };
    match how {
        How::Join(who) => who.run(|| assert!(handle.join().is_ok(), "the outcome is lost")),
        How::Async => {
            let outcome = block_on(std::future::poll_fn(|context| handle.poll(context)));
            assert!(outcome.is_ok(), "the outcome is lost");
        }
        How::AsyncGivenUp => {
            let mut handle = pin!(handle);
            let _ = handle.poll(&Context::from_waker(Waker::noop()));
        }
        How::Drop => drop(handle),
        How::CallAndJoin => {
            call(&handle);
            assert!(handle.join().is_ok(), "the outcome is lost");
            assert_eq!(called.load(Ordering::Relaxed), 1, "not called once");
        }
        How::CallAndDrop => {
            call(&handle);
            drop(handle);
        }
    }
    runner
}

fn a_task_ends(how: How) {
    let drops = Arc::new(AtomicUsize::new(0));
    let record = Arc::new(Record::new(2 * REF));
    one_ends(&record, &drops, how).join().unwrap();
    assert_eq!(drops.load(Ordering::Relaxed), 1, "not dropped once");
    assert!(record.freed.get(), "it is left");
}

/// A record is a second task's while the first one's runner still looks for joiners.
fn a_record_is_used_again(who: Who) {
    let drops = Arc::new(AtomicUsize::new(0));
    let record = Arc::new(Record::new(2 * REF));
    let first = one_ends(&record, &drops, How::Join(who));
    assert!(record.freed.replace(false), "it is left");
    record.life.store(2 * REF, Ordering::Relaxed);
    let second = one_ends(&record, &drops, How::Join(who));
    first.join().unwrap();
    second.join().unwrap();
    assert_eq!(drops.load(Ordering::Relaxed), 2, "not dropped once");
    assert!(record.freed.get(), "it is left");
}

#[test]
fn an_end_is_not_missed() {
    holds(3, || a_task_ends(How::Join(Who::Thread)));
    holds(3, || a_task_ends(How::Join(Who::Coroutine)));
    holds(3, || a_task_ends(How::Async));
}

#[test]
fn an_outcome_that_nobody_takes_is_dropped_once() {
    holds(3, || a_task_ends(How::Drop));
    holds(3, || a_task_ends(How::AsyncGivenUp));
}

#[test]
fn a_callback_is_called_once() {
    holds(3, || a_task_ends(How::CallAndJoin));
    holds(3, || a_task_ends(How::CallAndDrop));
}

#[test]
fn a_late_look_for_joiners_does_no_harm() {
    holds(2, || a_record_is_used_again(Who::Thread));
    holds(2, || a_record_is_used_again(Who::Coroutine));
}

/// DONE is published with no order to the look for joiners.
#[test]
fn it_fails_if_the_end_is_not_sequentially_consistent() {
    let fault = "a task is done without an order to the look for joiners";
    fails(fault, DEADLOCK, 3, || a_task_ends(How::Join(Who::Thread)));
}

/// A joiner that is woken for another's end takes it for its own.
#[test]
fn it_fails_if_a_joiner_trusts_its_wake() {
    let fault = "a joiner that is woken does not look again";
    fails(fault, "", 3, || a_record_is_used_again(Who::Thread));
}

/// Both the runner and the handle leave the outcome to each other.
#[test]
fn it_fails_if_a_dropped_handle_does_not_look_for_the_end() {
    let fault = "a dropped handle does not look whether the task is done";
    fails(fault, "not dropped once", 3, || a_task_ends(How::Drop));
}
