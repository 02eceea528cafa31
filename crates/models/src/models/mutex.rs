//! The mutex, and the condition variable that moves waiters to its queue.

use std::sync::Arc;
use std::time::Duration;

use loom::thread;

use super::{DEADLOCK, RACE, Who, fails, holds};
use crate::rt::sync::Mutex;
use crate::rt::sync::condvar::Condvar;
use crate::rt::sync::mutex::MutexExt;
use crate::shim::clock;
use crate::shim::lock_api::MutexGuard;
use crate::wait::block_on;

type Count = Arc<Mutex<usize>>;

fn count() -> Count {
    Arc::new(Mutex::new(0))
}

/// How one locks.
#[derive(Clone, Copy)]
enum How {
    Plain(Who),
    /// Unlocks by handing the lock over.
    Fair(Who),
    /// Lets others have the lock in between.
    Bumping(Who),
    /// With a deadline that passes.
    Timed(Who),
    Async,
    /// Polls once, and gives up if that doesn't lock.
    AsyncGivenUp,
}

/// Locks and adds one; says whether it got the lock.
fn add(count: &Mutex<usize>, how: How) -> bool {
    match how {
        How::Plain(who) => who.run(|| *count.lock() += 1),
        How::Fair(who) => who.run(|| {
            let mut guard = count.lock();
            *guard += 1;
            MutexGuard::unlock_fair(guard);
        }),
        How::Bumping(who) => who.run(|| {
            let mut guard = count.lock();
            MutexGuard::bump(&mut guard);
            *guard += 1;
        }),
        How::Timed(who) => {
            return who.run(|| {
                let guard = count.try_lock_for(Duration::ZERO);
                guard.map(|mut guard| *guard += 1).is_some()
            });
        }
        How::Async => block_on(async { *count.lock_async().await += 1 }),
        How::AsyncGivenUp => {
            let mut lock = std::pin::pin!(count.lock_async());
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            return match lock.as_mut().poll(&mut context) {
                std::task::Poll::Ready(mut guard) => {
                    *guard += 1;
                    true
                }
                std::task::Poll::Pending => {
                    thread::yield_now();
                    false
                }
            };
        }
    }
    true
}

/// Two lock in these ways and the main thread plainly.
fn three_lock(ways: [How; 2]) {
    clock::begin();
    let count = count();
    let others = ways.map(|how| {
        let count = Arc::clone(&count);
        thread::spawn(move || add(&count, how))
    });
    {
        let mut count = count.lock();
        clock::pass();
        *count += 1;
    }
    let mut expected = 1;
    for other in others {
        expected += usize::from(other.join().unwrap());
    }
    assert!(!count.is_locked(), "it is left locked");
    assert_eq!(*count.lock(), expected);
}

#[test]
fn one_at_a_time_and_nobody_waits_for_ever() {
    holds(2, || {
        three_lock([How::Plain(Who::Thread), How::Plain(Who::Thread)])
    });
    holds(2, || {
        three_lock([How::Plain(Who::Coroutine), How::Plain(Who::Thread)])
    });
}

#[test]
fn a_deadline_loses_no_unlock() {
    holds(2, || {
        three_lock([How::Timed(Who::Thread), How::Plain(Who::Thread)])
    });
    holds(2, || {
        three_lock([How::Timed(Who::Coroutine), How::Plain(Who::Thread)])
    });
}

#[test]
fn a_future_locks() {
    holds(2, || three_lock([How::Async, How::Plain(Who::Thread)]));
}

#[test]
fn a_future_that_is_dropped_loses_no_unlock() {
    holds(2, || {
        three_lock([How::AsyncGivenUp, How::Plain(Who::Thread)])
    });
}

#[test]
fn a_fair_unlocking_hands_over_to_one() {
    holds(2, || {
        three_lock([How::Fair(Who::Thread), How::Fair(Who::Coroutine)])
    });
    holds(2, || {
        three_lock([How::Fair(Who::Thread), How::Timed(Who::Thread)])
    });
    holds(2, || {
        three_lock([How::Fair(Who::Thread), How::AsyncGivenUp])
    });
    holds(2, || {
        three_lock([How::Bumping(Who::Thread), How::Plain(Who::Thread)])
    });
}

/// One waiter loses to the main thread, which locks again and again, until it is starved and is
/// handed the lock.
fn one_is_starved() {
    let count = count();
    let other = {
        let count = Arc::clone(&count);
        thread::spawn(move || add(&count, How::Plain(Who::Thread)))
    };
    for _ in 0..3 {
        *count.lock() += 1;
    }
    other.join().unwrap();
    assert!(!count.is_locked(), "it is left locked");
    assert_eq!(*count.lock(), 4);
}

#[test]
fn the_lock_is_handed_over() {
    holds(3, one_is_starved);
}

/// What the holder did isn't released to the next who takes the lock.
#[test]
fn it_fails_if_unlocking_is_no_release() {
    fails("unlocking a mutex is no release", RACE, 2, || {
        three_lock([How::Plain(Who::Thread), How::Plain(Who::Thread)]);
    });
}

/// The unlocker forgets that others still wait: nobody wakes them.
#[test]
fn it_fails_if_the_other_waiters_are_forgotten() {
    fails(
        "unlocking a mutex forgets the others who wait",
        DEADLOCK,
        2,
        || {
            three_lock([How::Plain(Who::Thread), How::Plain(Who::Thread)]);
        },
    );
}

/// A starved waiter is handed the lock, and it is marked free all the same.
#[test]
fn it_fails_if_the_lock_is_free_while_handed_over() {
    fails(
        "a mutex is free while it is handed over",
        "",
        3,
        one_is_starved,
    );
}

/// A waiter that finds the lock taken joins the queue without setting WAITERS: the unlocking is the
/// quick one.
#[test]
fn it_fails_if_nobody_is_announced() {
    fails("who waits for a mutex does not say so", DEADLOCK, 2, || {
        three_lock([How::Plain(Who::Thread), How::Plain(Who::Thread)]);
    });
}

/// A future that was woken and is dropped keeps the wake to itself.
#[test]
fn it_fails_if_a_dropped_future_keeps_its_wake() {
    fails(
        "a future that gives a mutex up passes nothing on",
        DEADLOCK,
        2,
        || {
            three_lock([How::AsyncGivenUp, How::Plain(Who::Thread)]);
        },
    );
}

/// One waits until the count is there, another raises it and notifies, under the lock or after it.
fn a_condition(who: Who, timed: bool, under_the_lock: bool) {
    clock::begin();
    let shared = Arc::new((Mutex::new(0), Condvar::new()));
    let waiter = {
        let shared = Arc::clone(&shared);
        thread::spawn(move || {
            who.run(|| {
                let (count, changed) = &*shared;
                let mut count = count.lock();
                while *count == 0 {
                    if !timed {
                        changed.wait(&mut count);
                    } else if changed.wait_for(&mut count, Duration::ZERO).timed_out() {
                        break;
                    }
                }
                *count += 1;
            })
        })
    };
    clock::pass();
    let (count, changed) = &*shared;
    {
        let mut count = count.lock();
        *count += 1;
        if under_the_lock {
            changed.notify_one();
        }
    }
    if !under_the_lock {
        changed.notify_one();
    }
    waiter.join().unwrap();
    assert!(!count.is_locked(), "it is left locked");
    assert_eq!(*count.lock(), 2);
}

#[test]
fn a_notification_is_not_lost() {
    for under_the_lock in [false, true] {
        holds(3, move || a_condition(Who::Thread, false, under_the_lock));
        holds(3, move || {
            a_condition(Who::Coroutine, false, under_the_lock)
        });
    }
}

#[test]
fn a_notification_and_a_deadline() {
    for under_the_lock in [false, true] {
        holds(3, move || a_condition(Who::Thread, true, under_the_lock));
        holds(3, move || a_condition(Who::Coroutine, true, under_the_lock));
    }
}

/// Two wait until the count is there, one of them with a deadline if `timed`; another raises it and
/// notifies all.
fn all_are_notified(timed: bool, under_the_lock: bool) {
    clock::begin();
    let shared = Arc::new((Mutex::new(0), Condvar::new()));
    let waiters = [timed, false].map(|timed| {
        let shared = Arc::clone(&shared);
        thread::spawn(move || {
            let (count, changed) = &*shared;
            let mut count = count.lock();
            while *count == 0 {
                if !timed {
                    changed.wait(&mut count);
                } else if changed.wait_for(&mut count, Duration::ZERO).timed_out() {
                    break;
                }
            }
        })
    });
    clock::pass();
    let (count, changed) = &*shared;
    let mut count = count.lock();
    *count += 1;
    if under_the_lock {
        changed.notify_all();
        drop(count);
    } else {
        drop(count);
        changed.notify_all();
    }
    for waiter in waiters {
        waiter.join().unwrap();
    }
    assert!(!shared.0.is_locked(), "it is left locked");
}

#[test]
fn all_who_wait_are_notified() {
    holds(2, || all_are_notified(false, true));
    holds(2, || all_are_notified(true, true));
    holds(2, || all_are_notified(true, false));
}

/// A waiter is moved to the lock's queue without WAITERS being set there.
#[test]
fn it_fails_if_a_moved_waiter_is_not_announced() {
    fails(
        "a waiter is moved to a lock that is not told",
        DEADLOCK,
        3,
        || {
            a_condition(Who::Thread, false, true);
        },
    );
}

/// A waiter that was moved and has expired leaves the queue it has joined, not the one it is in.
#[test]
fn it_fails_if_a_moved_waiter_leaves_the_wrong_queue() {
    fails("a waiter does not see that it was moved", "", 3, || {
        a_condition(Who::Thread, true, true);
    });
}
