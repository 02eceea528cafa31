//! Promises: set, joined, cancelled, dropped, with callbacks.

use std::sync::Arc;
use std::time::Duration;

use loom::cell::UnsafeCell;
use loom::thread;

use super::{DEADLOCK, RACE, Who, fails, holds};
use crate::outcome::JoinError;
use crate::rt::promise::promise;
use crate::shim::atomic::{AtomicUsize, Ordering};
use crate::shim::clock;
use crate::wait::block_on;

/// A value that is there once, and dropped once.
struct Value {
    drops: Arc<AtomicUsize>,
    witness: UnsafeCell<()>,
}

// SAFETY: loom checks the witness.
unsafe impl Send for Value {}

impl Value {
    fn new() -> (Value, Arc<AtomicUsize>) {
        let drops = Arc::new(AtomicUsize::new(0));
        let value = Value {
            drops: Arc::clone(&drops),
            witness: UnsafeCell::new(()),
        };
        (value, drops)
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.witness.with_mut(|_| ());
        self.drops.fetch_add(1, Ordering::Relaxed);
    }
}

/// How the read side waits.
#[derive(Clone, Copy)]
enum How {
    Plain(Who),
    Async,
    Timed,
    Dropped,
}

/// One sets the promise; another waits for it. Each says whether it had the value.
fn set_and_join(how: How) {
    clock::begin();
    let (value, drops) = Value::new();
    let (promise, handle) = promise();
    let reader = thread::spawn(move || match how {
        How::Plain(who) => who.run(|| handle.join().is_ok()),
        How::Async => block_on(handle).is_ok(),
        How::Timed => match handle.join_timeout(Duration::ZERO) {
            Ok(joined) => joined.is_ok(),
            Err(handle) => handle.join().is_ok(),
        },
        How::Dropped => {
            drop(handle);
            false
        }
    });
    clock::pass();
    let back = promise.set(value).is_err();
    let read = reader.join().unwrap();
    match how {
        How::Dropped => assert!(!read),
        _ => assert!(read && !back, "the value is lost"),
    }
    assert_eq!(drops.load(Ordering::Relaxed), 1, "not dropped once");
}

/// One sets the promise, another cancels it, and then both sides agree on who was first.
fn set_and_cancel() {
    let (value, drops) = Value::new();
    let (promise, handle) = promise();
    let reader = thread::spawn(move || {
        handle.cancel();
        match handle.join() {
            Ok(_) => true,
            Err(JoinError::Cancelled) => false,
            Err(_) => panic!("nobody else ends it"),
        }
    });
    let back = promise.set(value).is_err();
    let read = reader.join().unwrap();
    assert_eq!(read, !back, "they don't agree");
    assert_eq!(drops.load(Ordering::Relaxed), 1, "not dropped once");
}

/// The write side is dropped while another joins.
fn drop_and_join(who: Who) {
    let (promise, handle) = promise::<()>();
    let reader = thread::spawn(move || who.run(|| handle.join()));
    drop(promise);
    assert!(matches!(reader.join().unwrap(), Err(JoinError::Dropped)));
}

/// One sets the promise, another leaves a callback and joins, or drops its handle.
fn set_and_call(join: bool) {
    let (value, drops) = Value::new();
    let (promise, handle) = promise();
    let called = Arc::new(AtomicUsize::new(0));
    let reader = {
        let called = Arc::clone(&called);
        thread::spawn(move || {
            handle.on_done(move |outcome: &Result<Value, JoinError>| {
                if let Ok(value) = outcome {
                    value.witness.with(|_| ());
                }
                called.fetch_add(1, Ordering::Relaxed);
            });
            if join {
                assert!(handle.join().is_ok(), "the value is lost");
            }
        })
    };
    assert!(promise.set(value).is_ok(), "somebody reads it");
    reader.join().unwrap();
    assert_eq!(called.load(Ordering::Relaxed), 1, "not called once");
    assert_eq!(drops.load(Ordering::Relaxed), 1, "not dropped once");
}

#[test]
fn a_value_arrives() {
    holds(3, || set_and_join(How::Plain(Who::Thread)));
    holds(3, || set_and_join(How::Plain(Who::Coroutine)));
    holds(3, || set_and_join(How::Async));
    holds(3, || set_and_join(How::Timed));
}

#[test]
fn a_value_that_nobody_reads_is_dropped_once() {
    holds(3, || set_and_join(How::Dropped));
}

#[test]
fn setting_and_cancelling_agree() {
    holds(3, set_and_cancel);
}

#[test]
fn a_dropped_promise_ends_the_wait() {
    holds(3, || drop_and_join(Who::Thread));
    holds(3, || drop_and_join(Who::Coroutine));
}

#[test]
fn a_callback_is_called_once() {
    holds(3, || set_and_call(true));
    holds(3, || set_and_call(false));
}

/// Both write the outcome.
#[test]
fn it_fails_if_a_promise_is_settled_twice() {
    fails(
        "a settled promise is settled again",
        "they don't agree",
        3,
        set_and_cancel,
    );
}

/// DONE is published without what looks for waiters coming after it.
#[test]
fn it_fails_if_done_is_not_sequentially_consistent() {
    let fault = "a promise is done without an order to the look for waiters";
    fails(fault, DEADLOCK, 3, || set_and_join(How::Plain(Who::Thread)));
}

/// A handle that is dropped before DONE takes the outcome that is still the settler's.
#[test]
fn it_fails_if_a_dropped_handle_takes_what_is_not_its_own() {
    let fault = "a handle of a promise that is not done takes the outcome";
    fails(fault, RACE, 3, || set_and_join(How::Dropped));
}

/// DONE is added though there are callbacks.
#[test]
fn it_fails_if_callbacks_are_passed_over() {
    let fault = "a promise is done before its callbacks are called";
    fails(fault, "not called once", 3, || set_and_call(true));
}
