//! One wait in two queues.

use std::sync::Arc;

use loom::thread;

use super::{Who, fails, holds};
use crate::shim::atomic::{AtomicBool, Ordering};
use crate::shim::clock::{self, SOON};
use crate::wait::{Limit, Reason, Selected, WaitQueue, wait_any};

type Object = (AtomicBool, WaitQueue);

/// One waits for the first of two objects; each gets ready and wakes one waiter. Without a deadline the
/// second waker is the main thread, with one the first never comes.
fn the_first_of_two(who: Who, deadline: Option<u64>) {
    clock::begin();
    let object = || (AtomicBool::new(false), WaitQueue::new());
    let objects: Arc<[Object; 2]> = Arc::new([object(), object()]);
    let waiter = {
        let objects = Arc::clone(&objects);
        thread::spawn(move || {
            who.run(|| {
                let limit = Limit::until(deadline);
                let selected = wait_any(2, Reason::Select, 0, limit, &mut |index, place| {
                    let (ready, queue) = &objects[index];
                    let guard = queue.lock();
                    if ready.load(Ordering::SeqCst) {
                        return None;
                    }
                    Some(place.join(guard, index))
                });
                assert!(objects.iter().all(|(_, queue)| queue.lock().is_empty()));
                selected
            })
        })
    };
    let wakers: [_; 2] = std::array::from_fn(|index| {
        let objects = Arc::clone(&objects);
        thread::spawn(move || {
            let (ready, queue) = &objects[index];
            ready.swap(true, Ordering::SeqCst);
            queue.wake_one()
        })
    });
    clock::pass();
    let woke = wakers.map(|waker| waker.join().unwrap());
    match waiter.join().unwrap() {
        Selected::Woken(index) => {
            assert!(woke[index], "woken by nobody");
            assert!(!woke[1 - index], "claimed twice");
        }
        Selected::Ready(_) => assert_eq!(woke, [false, false], "a claim is lost"),
        Selected::Expired => {
            assert!(deadline.is_some());
            assert_eq!(woke, [false, false], "a claim is lost");
        }
        Selected::Cancelled => panic!("nobody cancels"),
    }
}

#[test]
fn a_wait_in_two_queues_is_claimed_once() {
    holds(2, || the_first_of_two(Who::Thread, None));
    holds(2, || the_first_of_two(Who::Coroutine, None));
}

#[test]
fn a_wait_in_two_queues_with_a_deadline_is_claimed_once() {
    holds(2, || the_first_of_two(Who::Thread, Some(SOON)));
}

/// The second waker claims over the first.
#[test]
fn it_fails_if_a_claim_does_not_ask() {
    let fault = "a claim does not ask whether the wait is decided";
    fails(fault, "", 2, || the_first_of_two(Who::Thread, None));
}

/// The object with the second index is ready, and what was claimed through the first is thrown away.
#[test]
fn it_fails_if_readiness_does_not_ask() {
    let fault = "a ready object ends a wait that was claimed";
    fails(fault, "a claim is lost", 2, || {
        the_first_of_two(Who::Thread, None)
    });
}
