//! One wait in one queue: a waker, a deadline and a cancellation decide it once.

use std::sync::Arc;

use loom::cell::Cell;
use loom::thread;

use super::{DEADLOCK, NO_FAULT, RACE, Who, fails, holds};
use crate::shim::atomic::{AtomicBool, Ordering};
use crate::shim::clock::{self, SOON};
use crate::wait::{Limit, Outcome, Reason, WaitQueue};

/// One waits with a deadline, another claims the first waiter and leaves it something.
fn a_waker_against_a_deadline(who: Who) {
    clock::begin();
    let queue = Arc::new(WaitQueue::new());
    let waiter = {
        let queue = Arc::clone(&queue);
        thread::spawn(move || {
            who.run(|| {
                let left = Cell::new(false);
                let token = (&raw const left) as usize;
                let limit = Limit::until(Some(SOON));
                let outcome = queue.lock().wait(token, Reason::Event, 0, limit);
                assert!(queue.lock().is_empty());
                match outcome {
                    Outcome::Woken => assert!(left.get(), "woken with nothing"),
                    Outcome::Expired => assert!(!left.get(), "what was left is lost"),
                    Outcome::Cancelled => panic!("nobody cancels"),
                }
                outcome == Outcome::Woken
            })
        })
    };
    let waker = {
        let queue = Arc::clone(&queue);
        thread::spawn(move || {
            let mut guard = queue.lock();
            let claimed = guard.claim_next();
            drop(guard);
            let Some(claimed) = claimed else {
                return false;
            };
            // SAFETY: claimed and not yet woken, so the waiter's frame is there.
            unsafe { &*(claimed.token() as *const Cell<bool>) }.set(true);
            claimed.wake();
            true
        })
    };
    clock::pass();
    let woken = waiter.join().unwrap();
    assert_eq!(waker.join().unwrap(), woken, "they don't agree");
}

#[test]
fn a_wake_and_a_deadline_decide_once() {
    holds(3, || a_waker_against_a_deadline(Who::Thread));
    holds(3, || a_waker_against_a_deadline(Who::Coroutine));
}

/// The claim is stored, as if nobody but the holder of the queue's lock could decide the wait. Then a
/// waiter that has expired is claimed all the same, and its frame written to while it leaves.
#[test]
fn it_fails_if_a_claim_does_not_ask() {
    let fault = "a claim does not ask whether the wait is decided";
    fails(fault, RACE, 3, || a_waker_against_a_deadline(Who::Thread));
    fails(fault, RACE, 3, || {
        a_waker_against_a_deadline(Who::Coroutine)
    });
}

/// EXPIRED is stored over WOKEN.
#[test]
fn it_fails_if_a_deadline_does_not_ask() {
    let fault = "a deadline does not ask whether the wait is decided";
    fails(fault, RACE, 3, || a_waker_against_a_deadline(Who::Thread));
}

/// A thread that lost its expiry to a claim doesn't wait for the token, which comes when its frame, and
/// what the waker leaves there, is in other use.
#[test]
fn it_fails_if_a_late_token_is_not_taken() {
    let fault = "a thread leaves its wait before it has the token";
    fails(fault, RACE, 3, || a_waker_against_a_deadline(Who::Thread));
}

/// The claim doesn't publish what the claimer did before it, nor does it acquire what the waiter did.
#[test]
fn it_fails_if_the_lock_is_not_released() {
    let fault = "the queue's lock is given back without release";
    fails(fault, RACE, 2, || a_waker_against_a_deadline(Who::Thread));
}

/// One publishes and then looks for waiters, without the lock; the other takes the lock, looks, and
/// joins. (Head of `wait`, "Orderings".)
fn publish_and_look(who: Who, publish: Ordering) {
    let shared = Arc::new((AtomicBool::new(false), WaitQueue::new()));
    let waiter = {
        let shared = Arc::clone(&shared);
        thread::spawn(move || {
            who.run(|| {
                let (published, queue) = &*shared;
                loop {
                    let guard = queue.lock();
                    if published.load(Ordering::SeqCst) {
                        return;
                    }
                    guard.wait(0, Reason::Event, 0, Limit::NONE);
                }
            });
        })
    };
    shared.0.swap(true, publish);
    shared.1.wake_all();
    waiter.join().unwrap();
}

#[test]
fn who_publishes_and_then_looks_misses_nobody() {
    holds(3, || publish_and_look(Who::Thread, Ordering::SeqCst));
    holds(3, || publish_and_look(Who::Coroutine, Ordering::SeqCst));
}

/// The state is published with `AcqRel`: the look for waiters may come before it.
#[test]
fn it_fails_if_publishing_is_not_sequentially_consistent() {
    fails(NO_FAULT, DEADLOCK, 3, || {
        publish_and_look(Who::Thread, Ordering::AcqRel);
    });
}

/// The look for waiters is an acquire: it may come before the state is published.
#[test]
fn it_fails_if_the_look_is_not_sequentially_consistent() {
    let fault = "the look for waiters is only an acquire";
    fails(fault, DEADLOCK, 3, || {
        publish_and_look(Who::Thread, Ordering::SeqCst);
    });
}

/// The lock's bit is taken with `Acquire`: the waiter may see the old state after that.
#[test]
fn it_fails_if_the_lock_is_only_an_acquire() {
    let fault = "the queue's lock is only an acquire";
    fails(fault, DEADLOCK, 3, || {
        publish_and_look(Who::Thread, Ordering::SeqCst);
    });
}

/// `wake_all` with two who wait and one who comes back at once.
fn all_are_woken() {
    let shared = Arc::new((AtomicBool::new(false), WaitQueue::new()));
    let waiters: [_; 2] = std::array::from_fn(|_| {
        let shared = Arc::clone(&shared);
        thread::spawn(move || {
            let (published, queue) = &*shared;
            loop {
                let guard = queue.lock();
                if published.load(Ordering::SeqCst) {
                    return;
                }
                guard.wait(0, Reason::Event, 0, Limit::NONE);
            }
        })
    });
    shared.0.swap(true, Ordering::SeqCst);
    shared.1.wake_all();
    for waiter in waiters {
        waiter.join().unwrap();
    }
}

#[test]
fn everybody_is_woken() {
    holds(2, all_are_woken);
}

/// Only the first is woken.
#[test]
fn it_fails_if_only_one_is_woken() {
    fails("waking all wakes the first", DEADLOCK, 2, all_are_woken);
}
