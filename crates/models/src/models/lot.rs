//! Waiting for an address.

use std::sync::Arc;

use loom::thread;

use super::{DEADLOCK, Who, fails, holds};
use crate::shim::atomic::{AtomicBool, Ordering};
use crate::wait::{Limit, Outcome, Reason, lot};

/// Two wait, each for its own key, and both keys in one queue; each is unparked once.
fn two_keys(who: Who) {
    const KEYS: [usize; 2] = [8, 24];
    // Made before there are threads.
    assert!(KEYS.iter().all(|key| !lot::unpark_one(*key)));
    let published = Arc::new(KEYS.map(|_| AtomicBool::new(false)));
    let waiters = [0, 1].map(|index| {
        let published = Arc::clone(&published);
        thread::spawn(move || {
            who.run(|| {
                let outcome = lot::park(KEYS[index], Reason::Event, Limit::NONE, || {
                    !published[index].load(Ordering::SeqCst)
                });
                assert!(matches!(outcome, None | Some(Outcome::Woken)));
                let now = published[index].load(Ordering::Relaxed);
                assert!(now, "woken for another's key");
            });
        })
    });
    for (index, key) in KEYS.into_iter().enumerate() {
        published[index].swap(true, Ordering::SeqCst);
        lot::unpark_one(key);
    }
    for waiter in waiters {
        waiter.join().unwrap();
    }
}

#[test]
fn keys_in_one_queue_do_not_mix() {
    holds(2, || two_keys(Who::Thread));
    holds(2, || two_keys(Who::Coroutine));
}

/// The waiter joins without looking whether there is still a reason to wait.
#[test]
fn it_fails_if_a_waiter_does_not_validate() {
    let fault = "who parks in the lot does not look whether to wait";
    fails(fault, DEADLOCK, 2, || two_keys(Who::Thread));
}

/// Whoever is first in the queue is woken.
#[test]
fn it_fails_if_any_waiter_is_woken() {
    let fault = "unparking in the lot wakes whoever is first";
    fails(fault, "", 2, || two_keys(Who::Thread));
}
