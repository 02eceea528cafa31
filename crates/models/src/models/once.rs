//! Code that runs once.

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::thread;

use super::{DEADLOCK, Who, fails, holds};
use crate::rt::sync::once::Once;
use crate::wait::block_on;

struct Value {
    once: Once,
    value: UnsafeCell<usize>,
}

// SAFETY: written by the one run, read after it, which loom checks.
unsafe impl Send for Value {}
// SAFETY: as above.
unsafe impl Sync for Value {}

impl Value {
    fn get(&self) {
        self.once.call_once(|| {
            // SAFETY: loom checks that this is the only use.
            self.value.with_mut(|value| unsafe { *value += 1 });
        });
        self.read();
    }

    fn read(&self) {
        // SAFETY: as above.
        self.value.with(|value| assert_eq!(unsafe { *value }, 1));
    }
}

/// Two come to the same initialisation, a third waits for it.
fn three_come(who: Who, asynchronous: bool) {
    let value = Arc::new(Value {
        once: Once::new(),
        value: UnsafeCell::new(0),
    });
    let comer = {
        let value = Arc::clone(&value);
        thread::spawn(move || who.run(|| value.get()))
    };
    let waiter = {
        let value = Arc::clone(&value);
        thread::spawn(move || {
            if asynchronous {
                block_on(value.once.wait_async());
            } else {
                value.once.wait();
            }
            value.read();
        })
    };
    value.get();
    comer.join().unwrap();
    waiter.join().unwrap();
}

#[test]
fn an_initialisation_runs_once() {
    holds(1, || three_come(Who::Thread, false));
    holds(1, || three_come(Who::Coroutine, false));
    holds(1, || three_come(Who::Thread, true));
}

/// The end is published with a mere release: the look for waiters may come before it.
#[test]
fn it_fails_if_the_end_is_not_sequentially_consistent() {
    let fault = "an initialisation is done without an order to the look for waiters";
    fails(fault, DEADLOCK, 2, || three_come(Who::Thread, false));
}

/// A waiter joins the queue though the end has come by.
#[test]
fn it_fails_if_a_waiter_does_not_look_again() {
    let fault = "who waits for an initialisation does not look again";
    fails(fault, DEADLOCK, 2, || three_come(Who::Thread, false));
}
