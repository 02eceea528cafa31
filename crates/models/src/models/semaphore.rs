//! The count of permits under the semaphores.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use loom::cell::UnsafeCell;
use loom::thread;

use super::{DEADLOCK, RACE, Who, fails, holds};
use crate::rt::sync::semaphore::raw::Permits;
use crate::shim::clock::{self, SOON};
use crate::wait::{AsyncWait, Limit, block_on};

const BOUND: usize = Permits::MAX;

/// How one takes permits.
#[derive(Clone, Copy)]
enum How {
    Plain(Who),
    /// With a deadline that passes.
    Timed(Who),
    Async,
    /// Polls once, and gives up if that takes none.
    AsyncGivenUp,
}

fn take(permits: &Permits, n: usize, how: How) -> bool {
    let plain = |limit| permits.try_take(n) || permits.take_slow(n, limit).is_ok();
    match how {
        How::Plain(who) => who.run(|| plain(Limit::NONE)),
        How::Timed(who) => who.run(|| plain(Limit::until(Some(SOON)))),
        How::Async => {
            let mut waiting = None::<AsyncWait>;
            block_on(std::future::poll_fn(|context| {
                permits.poll_take(n, &mut waiting, context)
            }));
            true
        }
        How::AsyncGivenUp => {
            let mut waiting = None::<AsyncWait>;
            let mut context = Context::from_waker(Waker::noop());
            let mut poll = pin!(|| permits.poll_take(n, &mut waiting, &mut context));
            let taken = poll() == Poll::Ready(());
            if !taken {
                thread::yield_now();
                permits.give_up(&mut waiting);
            }
            taken
        }
    }
}

/// With `free` permits, two threads take `n` each in these ways, and give them back; the main thread
/// gives `given` more.
fn two_take(free: usize, given: usize, ways: [(usize, How); 2]) {
    clock::begin();
    let permits = Arc::new(Permits::new(free));
    let takers = ways.map(|(n, how)| {
        let permits = Arc::clone(&permits);
        thread::spawn(move || {
            if take(&permits, n, how) {
                permits.give(n, BOUND).unwrap();
            }
        })
    });
    clock::pass();
    if given > 0 {
        permits.give(given, BOUND).unwrap();
    }
    for taker in takers {
        taker.join().unwrap();
    }
    assert_eq!(permits.available(), free + given, "permits are lost");
    assert!(
        permits.try_take(free + given),
        "it says that somebody waits"
    );
}

/// One permit guards something.
fn one_at_a_time(ways: [How; 2]) {
    struct Guarded(UnsafeCell<()>, Permits);
    // SAFETY: loom checks it.
    unsafe impl Sync for Guarded {}
    // SAFETY: as above.
    unsafe impl Send for Guarded {}

    let guarded = Arc::new(Guarded(UnsafeCell::new(()), Permits::new(1)));
    let takers = ways.map(|how| {
        let guarded = Arc::clone(&guarded);
        thread::spawn(move || {
            if take(&guarded.1, 1, how) {
                guarded.0.with_mut(|_| ());
                guarded.1.give(1, BOUND).unwrap();
            }
        })
    });
    for taker in takers {
        taker.join().unwrap();
    }
}

const THREAD: How = How::Plain(Who::Thread);
const COROUTINE: How = How::Plain(Who::Coroutine);

#[test]
fn what_a_permit_guards_has_one_user() {
    holds(3, || one_at_a_time([THREAD, THREAD]));
    holds(2, || one_at_a_time([COROUTINE, How::Async]));
}

#[test]
fn permits_are_handed_over() {
    holds(2, || two_take(0, 2, [(1, THREAD), (2, THREAD)]));
    holds(2, || two_take(0, 2, [(2, COROUTINE), (2, THREAD)]));
    holds(2, || two_take(1, 1, [(2, THREAD), (1, THREAD)]));
}

#[test]
fn who_gives_up_lets_others_through() {
    holds(2, || {
        two_take(1, 0, [(2, How::Timed(Who::Thread)), (1, THREAD)])
    });
    holds(2, || {
        two_take(1, 0, [(2, How::Timed(Who::Coroutine)), (1, THREAD)])
    });
    holds(1, || {
        two_take(0, 1, [(1, How::Timed(Who::Thread)), (1, THREAD)])
    });
}

#[test]
fn a_future_takes() {
    holds(1, || two_take(0, 2, [(2, How::Async), (1, THREAD)]));
    holds(1, || two_take(0, 1, [(1, How::Async), (1, How::Async)]));
}

#[test]
fn a_future_that_is_dropped_loses_no_permit() {
    holds(2, || two_take(0, 1, [(1, How::AsyncGivenUp), (1, THREAD)]));
    holds(2, || two_take(1, 0, [(2, How::AsyncGivenUp), (1, THREAD)]));
    holds(1, || {
        two_take(0, 1, [(1, How::AsyncGivenUp), (1, How::Async)])
    });
}

/// What was done under a permit isn't released to the next who takes it.
#[test]
fn it_fails_if_giving_is_no_release() {
    let fault = "giving a permit is no release";
    fails(fault, RACE, 3, || one_at_a_time([THREAD, THREAD]));
}

/// Who must wait doesn't say so: permits are given past it.
#[test]
fn it_fails_if_nobody_is_announced() {
    let fault = "who waits for a permit does not say so";
    fails(fault, DEADLOCK, 2, || {
        two_take(0, 2, [(1, THREAD), (2, THREAD)])
    });
}

/// One wants two permits and gives up at its deadline; the one behind it wants the one there is.
#[test]
fn it_fails_if_who_gives_up_serves_nobody() {
    let fault = "who gives a permit up serves nobody";
    fails(fault, DEADLOCK, 2, || {
        two_take(1, 0, [(2, How::Timed(Who::Thread)), (1, THREAD)]);
    });
}

/// A future that was woken for a permit is dropped, and the next waiter isn't.
#[test]
fn it_fails_if_a_dropped_future_serves_nobody() {
    let fault = "a future that gives a permit up serves nobody";
    fails(fault, DEADLOCK, 2, || {
        two_take(0, 1, [(1, How::AsyncGivenUp), (1, THREAD)]);
    });
}

/// The waiter is told that it has the permits, which stay free.
#[test]
fn it_fails_if_a_hand_over_takes_nothing() {
    let fault = "a permit is handed over and stays free";
    fails(fault, "permits are lost", 2, || {
        two_take(0, 2, [(1, THREAD), (2, THREAD)]);
    });
}
