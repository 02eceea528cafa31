//! The parker of a thread: its word and the futex.

use std::ptr::NonNull;
use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::thread;

use super::thread::ThreadParker;
use crate::models::{DEADLOCK, RACE, fails, holds};
use crate::shim::atomic::{AtomicBool, Ordering};
use crate::shim::clock::{self, SOON};

/// What the waker leaves before it sets the token, and who of the two was first.
struct Left {
    parker: NonNull<ThreadParker>,
    data: UnsafeCell<()>,
    decided: AtomicBool,
}

// SAFETY: loom checks the data; the parker stays until it has its token.
unsafe impl Send for Left {}
// SAFETY: as above.
unsafe impl Sync for Left {}

/// A thread takes its token `rounds` times; another sets it, after leaving something.
fn tokens(rounds: usize, deadline: Option<u64>) {
    clock::begin();
    let passing = thread::spawn(clock::pass);
    ThreadParker::with(|parker| {
        for _ in 0..rounds {
            let left = Arc::new(Left {
                parker: NonNull::from(parker),
                data: UnsafeCell::new(()),
                decided: AtomicBool::new(false),
            });
            let waker = {
                let left = Arc::clone(&left);
                thread::spawn(move || {
                    // As a claim: relaxed, so that the token alone carries the data.
                    if !left.decided.swap(true, Ordering::Relaxed) {
                        left.data.with_mut(|_| ());
                        // SAFETY: decided by us: the parker's thread stays until it has this.
                        unsafe { ThreadParker::unpark(left.parker) };
                    }
                })
            };
            if parker.park(deadline) || left.decided.swap(true, Ordering::Relaxed) {
                parker.take();
                left.data.with(|_| ());
            } else {
                assert!(deadline.is_some(), "it came back without a token");
            }
            waker.join().unwrap();
        }
    });
    passing.join().unwrap();
}

#[test]
fn each_token_is_taken_once() {
    holds(3, || tokens(2, None));
}

#[test]
fn a_deadline_loses_no_token() {
    holds(2, || tokens(2, Some(SOON)));
}

/// The word says NOTIFIED, but the thread sleeps on.
#[test]
fn it_fails_if_a_sleeping_thread_is_not_woken() {
    fails("setting the token wakes nobody", DEADLOCK, 3, || {
        tokens(1, None)
    });
}

/// The next wait finds the token of this one.
#[test]
fn it_fails_if_a_token_stays() {
    fails("a token that was taken stays", RACE, 3, || tokens(2, None));
}

/// What was left is not released with the token.
#[test]
fn it_fails_if_the_token_is_set_without_release() {
    fails("the token is set without release", RACE, 3, || {
        tokens(1, None)
    });
}

/// Seen where the deadline came first, and the token after it; else the parking has acquired it.
#[test]
fn it_fails_if_the_token_is_taken_without_acquire() {
    fails("the token is taken without acquire", RACE, 3, || {
        tokens(1, Some(SOON))
    });
}
