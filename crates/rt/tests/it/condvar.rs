//! `Condvar`: who is woken, time-outs, several conditions on one lock.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ropewalk_rt::sync::{Condvar, Mutex};
use ropewalk_rt::{coroutine, spawn, thread};

use crate::stage::{in_coroutines, on_each, until, until_waiting};

#[derive(Default)]
struct Shared {
    lock: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: usize,
    tickets: usize,
    through: usize,
}

impl Shared {
    /// Waits for a ticket.
    fn pass(&self) {
        let mut state = self.lock.lock();
        state.waiting += 1;
        while state.tickets == 0 {
            self.changed.wait(&mut state);
        }
        state.tickets -= 1;
        state.through += 1;
    }
}

// Each notification lets one waiter through, whoever it is; to nobody it says so.
#[test]
fn notify_one_wakes_one() {
    on_each(|| {
        let shared = Arc::new(Shared::default());
        assert!(!shared.changed.notify_one());
        let waiters: Vec<_> = (0..10)
            .map(|n| {
                let shared = Arc::clone(&shared);
                let pass = move || shared.pass();
                if n % 3 == 0 {
                    thread::spawn(pass)
                } else {
                    spawn(pass)
                }
            })
            .collect();
        // They count themselves under the lock and let go of it in the wait only.
        until(|| shared.lock.lock().waiting == 10);
        for served in 1..=10 {
            let mut state = shared.lock.lock();
            state.tickets += 1;
            assert!(shared.changed.notify_one(), "somebody waits");
            drop(state);
            until(|| shared.lock.lock().through == served);
        }
        assert!(!shared.changed.notify_one());
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
}

// All who wait are woken by one notification, and counted.
#[test]
fn notify_all_wakes_all() {
    on_each(|| {
        for crowd in [1, 2, 17, 40] {
            let shared = Arc::new(Shared::default());
            assert_eq!(shared.changed.notify_all(), 0);
            let waiters: Vec<_> = (0..crowd)
                .map(|_| {
                    let shared = Arc::clone(&shared);
                    spawn(move || shared.pass())
                })
                .collect();
            until(|| shared.lock.lock().waiting == crowd);
            let mut state = shared.lock.lock();
            state.tickets = crowd;
            assert_eq!(shared.changed.notify_all(), crowd);
            drop(state);
            for waiter in waiters {
                waiter.join().unwrap();
            }
        }
    });
}

// The first to wait is the first to be woken.
#[test]
fn waiters_are_woken_in_order() {
    in_coroutines(|| {
        let (lock, changed) = (Mutex::new(Vec::new()), Condvar::new());
        coroutine::scope(|s| {
            for n in 0..10 {
                let (lock, changed) = (&lock, &changed);
                let waiter = s.spawn(move || {
                    let mut order = lock.lock();
                    changed.wait(&mut order);
                    order.push(n);
                });
                until_waiting(waiter.id(), "waiting for a condition");
            }
            for served in 1..=10 {
                assert!(changed.notify_one());
                until(|| lock.lock().len() == served);
            }
        });
        assert!(lock.into_inner().into_iter().eq(0..10));
    });
}

// A wait that nobody ends ends by itself, with the lock held again; one that is notified says
// that it was.
#[test]
fn waiting_for_a_while() {
    on_each(|| {
        let (lock, changed) = (Mutex::new(0), Condvar::new());
        let mut guard = lock.lock();
        let begun = Instant::now();
        let result = changed.wait_for(&mut guard, Duration::from_millis(5));
        assert!(result.timed_out() && begun.elapsed() >= Duration::from_millis(5));
        assert!(changed.wait_for(&mut guard, Duration::ZERO).timed_out());
        assert!(changed.wait_until(&mut guard, Instant::now()).timed_out());
        assert!(lock.try_lock().is_none(), "held again");

        let result = changed.wait_while_for(&mut guard, |n| *n == 0, Duration::from_millis(2));
        assert!(result.timed_out());
        let result = changed.wait_while_for(&mut guard, |n| *n != 0, Duration::from_secs(3600));
        assert!(!result.timed_out());
        let soon = Instant::now() + Duration::from_millis(2);
        let result = changed.wait_while_until(&mut guard, |n| *n == 0, soon);
        assert!(result.timed_out() && soon <= Instant::now());
        let result = changed.wait_while_until(&mut guard, |n| *n != 0, begun);
        assert!(!result.timed_out());
        // Made true by somebody else in the last moment: that is no time-out.
        let mut looks = 0;
        let result = changed.wait_while_until(
            &mut guard,
            |_| {
                looks += 1;
                looks < 2
            },
            begun,
        );
        assert!(!result.timed_out() && looks == 2);
        drop(guard);

        coroutine::scope(|s| {
            let waiter = s.spawn(|| {
                let mut guard = lock.lock();
                *guard = 1;
                let hour = Duration::from_secs(3600);
                let result = changed.wait_while_for(&mut guard, |n| *n == 1, hour);
                assert!(!result.timed_out());
                assert_eq!(*guard, 2);
            });
            until(|| *lock.lock() == 1);
            *lock.lock() = 2;
            changed.notify_one();
            waiter.join().unwrap();
        });
    });
}

// A notification races with the waiter's deadline: it is the waiter's or nobody's, never lost
// on one that gave up while another stood behind it.
#[test]
fn deadlines_race_with_notifications() {
    const ITEMS: usize = 2_000;
    on_each(|| {
        let (queue, filled) = (Mutex::new(VecDeque::new()), Condvar::new());
        let taken = Mutex::new(Vec::new());
        coroutine::scope(|s| {
            for who in 0..6u64 {
                let (queue, filled, taken) = (&queue, &filled, &taken);
                s.spawn(move || {
                    let mut guard = queue.lock();
                    loop {
                        if let Some(item) = guard.pop_front() {
                            if item == usize::MAX {
                                guard.push_back(item);
                                filled.notify_one();
                                return;
                            }
                            taken.lock().push(item);
                        } else if who == 0 {
                            // One never gives up: if a notification got lost on one that
                            // did, this one may sleep for ever.
                            filled.wait(&mut guard);
                        } else {
                            filled.wait_for(&mut guard, Duration::from_micros(who * 20));
                        }
                    }
                });
            }
            for item in 0..ITEMS {
                queue.lock().push_back(item);
                filled.notify_one();
                if item % 5 == 0 {
                    coroutine::sleep(Duration::from_micros(30));
                }
            }
            queue.lock().push_back(usize::MAX);
            filled.notify_all();
        });
        let mut taken = taken.into_inner();
        taken.sort_unstable();
        assert!(taken.into_iter().eq(0..ITEMS));
    });
}

// Two conditions on one lock: producers wait for room, consumers for goods; each side wakes
// only the other.
#[test]
fn two_conditions_on_one_lock() {
    const ROOM: usize = 4;
    const EACH: usize = 500;
    struct Store {
        goods: Mutex<VecDeque<usize>>,
        not_empty: Condvar,
        not_full: Condvar,
    }
    on_each(|| {
        let store = Arc::new(Store {
            goods: Mutex::new(VecDeque::new()),
            not_empty: Condvar::new(),
            not_full: Condvar::new(),
        });
        let produce = |from: usize| {
            let store = Arc::clone(&store);
            move || {
                for item in from..from + EACH {
                    let mut goods = store.goods.lock();
                    store
                        .not_full
                        .wait_while(&mut goods, |goods| goods.len() == ROOM);
                    goods.push_back(item);
                    store.not_empty.notify_one();
                }
                0
            }
        };
        let consume = || {
            let store = Arc::clone(&store);
            move || {
                let mut sum = 0;
                for _ in 0..EACH {
                    let mut goods = store.goods.lock();
                    store
                        .not_empty
                        .wait_while(&mut goods, |goods| goods.is_empty());
                    sum += goods.pop_front().unwrap();
                    store.not_full.notify_one();
                }
                sum
            }
        };
        let mut handles = Vec::new();
        for n in 0..3 {
            handles.push(spawn(produce(n * EACH)));
            handles.push(spawn(consume()));
        }
        handles.push(thread::spawn(produce(3 * EACH)));
        handles.push(thread::spawn(consume()));
        let total: usize = handles
            .into_iter()
            .map(|handle| handle.join().unwrap())
            .sum();
        assert_eq!(total, (4 * EACH - 1) * 4 * EACH / 2);
    });
}

// Two mutexes at once are a mistake, and told to who comes second, with its lock held still; one
// after the other is none.
#[test]
fn one_condition_and_two_mutexes() {
    on_each(|| {
        let (lock, other) = (Mutex::new(0), Mutex::new(0));
        let changed = Condvar::new();
        for _ in 0..2 {
            coroutine::scope(|s| {
                let waiter = s.spawn(|| {
                    let mut guard = lock.lock();
                    changed.wait(&mut guard);
                    *guard += 1;
                });
                until_waiting(waiter.id(), "waiting for a condition");
                let mut guard = other.lock();
                let waiting = AssertUnwindSafe(|| changed.wait(&mut guard));
                assert!(catch_unwind(waiting).is_err());
                assert!(other.is_locked());
                assert!(changed.notify_one());
            });
            let mut guard = other.lock();
            assert!(changed.wait_for(&mut guard, Duration::ZERO).timed_out());
        }
        assert_eq!(lock.into_inner(), 2);
    });
}
