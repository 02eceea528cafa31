//! A cancellation against a waker and a deadline.

use std::sync::Arc;

use loom::thread;

use super::{DEADLOCK, Who, fails, holds};
use crate::cancel::{
    self, Node, cancel_coroutine, cancel_thread, cancel_token, enter_thread, stand_under,
};
use crate::record::Record;
use crate::shim::atomic::{AtomicBool, Ordering};
use crate::shim::clock::{self, SOON};
use crate::wait::{Limit, Outcome, Reason, WaitQueue};
use crate::worker::as_coroutine;

/// One waits, another cancels it; a third wakes it if there is a `waker`.
fn one_is_cancelled(who: Who, deadline: Option<u64>, waker: bool) {
    clock::begin();
    let queue = Arc::new(WaitQueue::new());
    let (record, slot) = (Arc::new(Record::new()), cancel::new_slot());
    let waiter = {
        let (queue, record, slot) = (Arc::clone(&queue), Arc::clone(&record), Arc::clone(&slot));
        thread::spawn(move || {
            let wait = || {
                let limit = Limit::cancellable(deadline);
                let outcome = queue.lock().wait(0, Reason::Event, 0, limit);
                assert!(queue.lock().is_empty(), "it has left the queue");
                outcome
            };
            match who {
                Who::Coroutine => as_coroutine(&record, wait),
                Who::Thread => {
                    enter_thread(slot);
                    wait()
                }
            }
        })
    };
    let waker = waker.then(|| {
        let queue = Arc::clone(&queue);
        thread::spawn(move || {
            let claimed = queue.lock().claim_next();
            let woke = claimed.is_some();
            if let Some(claimed) = claimed {
                claimed.wake();
            }
            woke
        })
    });
    clock::pass();
    match who {
        Who::Coroutine => cancel_coroutine(&record),
        Who::Thread => cancel_thread(&slot),
    }
    let woke = waker.is_some_and(|waker| waker.join().unwrap());
    match waiter.join().unwrap() {
        Outcome::Woken => assert!(woke, "woken by nobody"),
        Outcome::Cancelled => assert!(!woke, "a claim is lost"),
        Outcome::Expired => {
            assert!(deadline.is_some());
            assert!(!woke, "a claim is lost");
        }
    }
}

#[test]
fn a_cancellation_is_never_missed() {
    holds(3, || one_is_cancelled(Who::Thread, None, false));
    holds(3, || one_is_cancelled(Who::Coroutine, None, false));
}

#[test]
fn a_cancellation_a_wake_and_a_deadline_decide_once() {
    holds(2, || one_is_cancelled(Who::Thread, Some(SOON), true));
    holds(2, || one_is_cancelled(Who::Coroutine, Some(SOON), true));
}

/// A thread waits under a token, and then waits again without it; the token is cancelled, and a waker
/// ends the second wait.
fn a_token_is_cancelled() {
    let queues = Arc::new([WaitQueue::new(), WaitQueue::new()]);
    let happened = Arc::new(AtomicBool::new(false));
    let (node, slot) = (Node::new(), cancel::new_slot());
    let waiter = {
        let (queues, happened) = (Arc::clone(&queues), Arc::clone(&happened));
        let (node, slot) = (Arc::clone(&node), Arc::clone(&slot));
        thread::spawn(move || {
            enter_thread(slot);
            stand_under(Some(node));
            let limit = Limit::cancellable(None);
            let outcome = queues[0].lock().wait(0, Reason::Event, 0, limit);
            assert_eq!(outcome, Outcome::Cancelled);
            stand_under(None);
            loop {
                let guard = queues[1].lock();
                if happened.load(Ordering::SeqCst) {
                    return;
                }
                let outcome = guard.wait(0, Reason::Event, 0, limit);
                assert_eq!(outcome, Outcome::Woken, "cancelled outside of the token");
            }
        })
    };
    let waker = {
        let (queues, happened) = (Arc::clone(&queues), Arc::clone(&happened));
        thread::spawn(move || {
            happened.swap(true, Ordering::SeqCst);
            queues[1].wake_one();
        })
    };
    cancel_token(&node, &slot);
    waker.join().unwrap();
    waiter.join().unwrap();
}

#[test]
fn a_token_ends_the_waits_under_it_only() {
    holds(3, a_token_is_cancelled);
}

/// The canceller ends whichever wait the thread is in when it gets there.
#[test]
fn it_fails_if_a_token_ends_any_wait() {
    let fault = "a token ends any wait of a thread that stood under it";
    fails(
        fault,
        "cancelled outside of the token",
        3,
        a_token_is_cancelled,
    );
}

/// The thread names its wait in the slot, but doesn't look at the flag after that.
#[test]
fn it_fails_if_the_flag_is_not_looked_at_again() {
    let fault = "a thread does not look at the flag after naming its wait";
    fails(fault, DEADLOCK, 3, || {
        one_is_cancelled(Who::Thread, None, false)
    });
}

/// CANCELLED is stored over WOKEN, and the thread gets a second token.
#[test]
fn it_fails_if_a_cancellation_does_not_ask() {
    let fault = "a cancellation does not ask whether the wait is decided";
    fails(fault, "a claim is lost", 3, || {
        one_is_cancelled(Who::Thread, None, true)
    });
}

/// The wait stays named after it is over.
#[test]
fn it_fails_if_a_coroutine_does_not_name_its_wait() {
    let fault = "a coroutine does not name its wait";
    fails(fault, DEADLOCK, 3, || {
        one_is_cancelled(Who::Coroutine, None, false)
    });
}
