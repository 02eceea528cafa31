//! `Mutex`: exclusion, time-outs, fairness, guards that travel.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ropewalk_rt::sync::{Mutex, MutexGuard};
use ropewalk_rt::{channel, coroutine, spawn, thread};

use crate::stage::{in_coroutines, on_each, until, until_waiting, with_workers};

// Threads and coroutines add to one number under one lock, giving way while they hold it: no
// addition is lost.
#[test]
fn exclusion_between_threads_and_coroutines() {
    const ADDERS: usize = 20;
    const TIMES: usize = 300;
    on_each(|| {
        let number = Arc::new(Mutex::new(0));
        let add = || {
            let number = Arc::clone(&number);
            move || {
                for round in 0..TIMES {
                    let mut guard = number.lock();
                    let seen = *guard;
                    if round % 3 == 0 {
                        coroutine::yield_now();
                    }
                    *guard = seen + 1;
                }
            }
        };
        let coroutines: Vec<_> = (0..ADDERS).map(|_| spawn(add())).collect();
        let threads: Vec<_> = (0..3).map(|_| thread::spawn(add())).collect();
        for handle in coroutines.into_iter().chain(threads) {
            handle.join().unwrap();
        }
        assert_eq!(*number.lock(), (ADDERS + 3) * TIMES);
        assert!(!number.is_locked());
    });
}

// Locks taken and given up without a wait in between, by all at once, also count right.
#[test]
fn short_critical_sections() {
    on_each(|| {
        let number = Mutex::new(0u64);
        coroutine::scope(|s| {
            for _ in 0..8 {
                s.spawn(|| {
                    for _ in 0..5_000 {
                        *number.lock() += 1;
                    }
                });
            }
            for _ in 0..20_000 {
                *number.lock() += 1;
            }
        });
        assert_eq!(number.into_inner(), 8 * 5_000 + 20_000);
    });
}

// A lock that is held is not to be had at once, nor in time; then it is.
#[test]
fn trying_and_timing_out() {
    on_each(|| {
        let lock = Arc::new(Mutex::new("value"));
        assert_eq!(lock.try_lock().map(|guard| *guard), Some("value"));
        let (held, was_held) = channel::bounded::<()>(0);
        let (go, gone) = channel::bounded::<()>(0);
        let holder = spawn({
            let lock = Arc::clone(&lock);
            move || {
                let guard = lock.lock();
                held.send(()).unwrap();
                gone.recv().unwrap();
                drop(guard);
            }
        });
        was_held.recv().unwrap();
        assert!(lock.is_locked());
        assert!(lock.try_lock().is_none());
        let begun = Instant::now();
        assert!(lock.try_lock_for(Duration::from_millis(5)).is_none());
        assert!(begun.elapsed() >= Duration::from_millis(5));
        assert!(lock.try_lock_for(Duration::ZERO).is_none());
        assert!(lock.try_lock_until(Instant::now()).is_none());
        go.send(()).unwrap();
        let guard = lock.try_lock_for(Duration::from_secs(3600));
        assert_eq!(*guard.expect("freed in time"), "value");
        holder.join().unwrap();
        assert!(lock.try_lock_for(Duration::ZERO).is_some());
    });
}

// Time-outs race with unlocks: whoever gave up has not got the lock, whoever got it has, and
// none is lost on the way.
#[test]
fn timed_locks_race_with_unlocks() {
    on_each(|| {
        let lock = Mutex::new(0usize);
        let (got, missed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        coroutine::scope(|s| {
            for who in 0..12u64 {
                let (lock, got, missed) = (&lock, &got, &missed);
                s.spawn(move || {
                    for round in 0..150 {
                        let patience = Duration::from_micros((who * 31 + round * 17) % 120);
                        match lock.try_lock_for(patience) {
                            Some(mut guard) => {
                                let seen = *guard;
                                if round % 2 == 0 {
                                    coroutine::sleep(Duration::from_micros(20));
                                }
                                *guard = seen + 1;
                                got.fetch_add(1, Ordering::Relaxed);
                            }
                            None => drop(missed.fetch_add(1, Ordering::Relaxed)),
                        }
                    }
                });
            }
        });
        let got = got.into_inner();
        assert_eq!(got + missed.into_inner(), 12 * 150);
        assert_eq!(lock.into_inner(), got);
    });
}

// One that locks again as soon as it has unlocked doesn't keep the others out for ever: a
// waiter is passed over a few times at most.
#[test]
fn a_waiter_is_served_while_another_locks_again_and_again() {
    on_each(|| {
        let lock = Arc::new(Mutex::new(()));
        let stop = Arc::new(AtomicBool::new(false));
        let greedy = spawn({
            let (lock, stop) = (Arc::clone(&lock), Arc::clone(&stop));
            move || {
                let mut guard = lock.lock();
                while !stop.load(Ordering::Relaxed) {
                    coroutine::yield_now();
                    drop(guard);
                    guard = lock.lock();
                }
            }
        });
        for _ in 0..100 {
            drop(lock.lock());
        }
        stop.store(true, Ordering::Relaxed);
        greedy.join().unwrap();
    });
    // Counted: with one worker the order is known.
    with_workers(1, || {
        let lock = Arc::new(Mutex::new(()));
        let rounds = Arc::new(AtomicUsize::new(0));
        let guard = lock.lock();
        let waiter = spawn({
            let (lock, rounds) = (Arc::clone(&lock), Arc::clone(&rounds));
            move || {
                let _guard = lock.lock();
                rounds.load(Ordering::Relaxed)
            }
        });
        until_waiting(waiter.id(), "locking");
        drop(guard);
        while !waiter.is_finished() {
            let guard = lock.lock();
            rounds.fetch_add(1, Ordering::Relaxed);
            coroutine::yield_now();
            drop(guard);
        }
        let passed_over = waiter.join().unwrap();
        assert!(passed_over <= 3, "passed over {passed_over} times");
    });
}

// A fair unlocking hands the lock to the first in the queue: whoever locks again at once comes
// after it. So does a bump, which keeps the lock if nobody waits.
#[test]
fn a_fair_unlocking_passes_nobody_over() {
    with_workers(1, || {
        for bumps in [false, true] {
            let lock = Arc::new(Mutex::new(Vec::new()));
            let mut guard = lock.lock();
            MutexGuard::bump(&mut guard);
            let waiters: Vec<_> = (0..3)
                .map(|n| {
                    let own = Arc::clone(&lock);
                    let waiter = spawn(move || own.lock().push(n));
                    until_waiting(waiter.id(), "locking");
                    waiter
                })
                .collect();
            if bumps {
                MutexGuard::bump(&mut guard);
            } else {
                MutexGuard::unlock_fair(guard);
                assert!(lock.is_locked(), "it is the first one's");
                guard = lock.lock();
            }
            // It came back behind those who stood there before.
            assert_eq!(*guard, [0, 1, 2]);
            MutexGuard::unlock_fair(guard);
            for waiter in waiters {
                waiter.join().unwrap();
            }
            assert!(!lock.is_locked());
        }
    });
    // Handed from thread to coroutine and back, under strain.
    on_each(|| {
        let lock = Arc::new(Mutex::new(0));
        let partners: Vec<_> = (0..4)
            .map(|n| {
                let lock = Arc::clone(&lock);
                let body = move || {
                    for round in 0..2_000 {
                        let mut guard = lock.lock();
                        *guard += 1;
                        match round % 3 {
                            0 => MutexGuard::unlock_fair(guard),
                            1 => MutexGuard::bump(&mut guard),
                            _ => {}
                        }
                    }
                };
                if n == 0 {
                    thread::spawn(body)
                } else {
                    spawn(body)
                }
            })
            .collect();
        for partner in partners {
            partner.join().unwrap();
        }
        assert_eq!(*lock.lock(), 8_000);
    });
}

// All who wait get the lock, each once.
#[test]
fn every_waiter_is_served() {
    in_coroutines(|| {
        let lock = Arc::new(Mutex::new(Vec::new()));
        let guard = lock.lock();
        let waiters: Vec<_> = (0..100)
            .map(|n| {
                let lock = Arc::clone(&lock);
                spawn(move || lock.lock().push(n))
            })
            .collect();
        for waiter in &waiters {
            until_waiting(waiter.id(), "locking");
        }
        drop(guard);
        for waiter in waiters {
            waiter.join().unwrap();
        }
        let mut order = lock.lock().clone();
        order.sort_unstable();
        assert!(order.into_iter().eq(0..100));
    });
}

// A guard may go to another coroutine, also on another thread, which unlocks.
#[test]
fn a_guard_may_be_sent() {
    on_each(|| {
        let lock: &'static Mutex<u32> = Box::leak(Box::new(Mutex::new(0)));
        let (sender, receiver) = channel::bounded::<MutexGuard<'static, u32>>(1);
        for _ in 0..20 {
            let receiver = receiver.clone();
            let taker = spawn(move || *receiver.recv().unwrap() += 1);
            sender.send(lock.lock()).unwrap();
            taker.join().unwrap();
            assert!(lock.try_lock().is_some());
        }
        assert_eq!(*lock.lock(), 20);
    });
}

// A panic while the lock is held unlocks it: there is no poisoning.
#[test]
fn a_panic_unlocks() {
    on_each(|| {
        let lock = Arc::new(Mutex::new(1));
        let failed = spawn({
            let lock = Arc::clone(&lock);
            move || {
                let mut guard = lock.lock();
                *guard = 2;
                coroutine::yield_now();
                panic!("with the lock held");
            }
        });
        assert!(failed.join().unwrap_err().is_panic());
        assert_eq!(*lock.lock(), 2);
    });
}

// A part of what is guarded can be handed out with the lock.
#[test]
fn guards_may_be_mapped() {
    on_each(|| {
        let lock = Mutex::new((1, 2));
        let mut second = MutexGuard::map(lock.lock(), |pair| &mut pair.1);
        assert!(lock.try_lock().is_none());
        *second += 1;
        drop(second);
        assert_eq!(*lock.lock(), (1, 3));
    });
}

// An owned guard keeps its mutex alive, and may outlive the frame it came from.
#[test]
fn an_owned_guard() {
    in_coroutines(|| {
        let lock = Arc::new(Mutex::new(5));
        let guard = Arc::clone(&lock).lock_arc();
        let waiter = spawn({
            let lock = Arc::clone(&lock);
            move || *lock.lock()
        });
        until_waiting(waiter.id(), "locking");
        drop(lock);
        let other = spawn(move || drop(guard));
        other.join().unwrap();
        assert_eq!(waiter.join().unwrap(), 5);
    });
}

// A thread that waits for a coroutine's lock, and the other way round.
#[test]
fn a_thread_waits_for_a_coroutines_lock() {
    on_each(|| {
        let lock = Arc::new(Mutex::new(0));
        for _ in 0..50 {
            let guard = lock.lock();
            let trying = Arc::new(AtomicBool::new(false));
            let thread = thread::spawn({
                let (lock, trying) = (Arc::clone(&lock), Arc::clone(&trying));
                move || {
                    trying.store(true, Ordering::Relaxed);
                    *lock.lock() += 1;
                }
            });
            until(|| trying.load(Ordering::Relaxed));
            drop(guard);
            thread.join().unwrap();
        }
        assert_eq!(*lock.lock(), 50);
    });
}
