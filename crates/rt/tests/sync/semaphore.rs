//! `Semaphore`: permits are handed over in order, and none is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ropewalk_rt::cancel::{Token, WaitError};
use ropewalk_rt::sync::{BoundedSemaphore, Mutex, Semaphore};
use ropewalk_rt::{JoinHandle, coroutine, spawn, thread};

use crate::stage::{on_each, until_waiting, with_workers};
use crate::until_waiting_or;
use crate::who::{Polled, Who, in_pairings};

const WAITS: &str = "waiting for a permit";

#[test]
fn a_permit_goes_to_the_waiter() {
    in_pairings(|waiter, waker| {
        let permits = Arc::new(Semaphore::new(0));
        let waits = {
            let (blocking, future) = (Arc::clone(&permits), Arc::clone(&permits));
            waiter.wait(
                move || blocking.acquire_many(2).unwrap().forget(),
                async move { future.acquire_many_async(2).await.forget() },
            )
        };
        coroutine::yield_now();
        for _ in 0..2 {
            assert!(!waits.is_finished());
            let permits = Arc::clone(&permits);
            waker.act(move || permits.release()).join().unwrap();
        }
        waits.join().unwrap();
        assert_eq!(permits.available_permits(), 0);
    });
}

// As many at a time as there are permits and no more, whoever they are.
#[test]
fn no_more_inside_than_permits() {
    on_each(|| {
        const PERMITS: usize = 3;
        let permits = Arc::new(Semaphore::new(PERMITS));
        let inside = Arc::new(AtomicUsize::new(0));
        let handles: Vec<_> = Who::ALL
            .into_iter()
            .cycle()
            .take(12)
            .map(|who| {
                let (permits, inside) = (Arc::clone(&permits), Arc::clone(&inside));
                let (permits_too, inside_too) = (Arc::clone(&permits), Arc::clone(&inside));
                who.wait(
                    move || {
                        for round in 0..100 {
                            let wanted = 1 + round % PERMITS;
                            let permit = permits.acquire_many(wanted).unwrap();
                            assert_eq!(permit.permits(), wanted);
                            let before = inside.fetch_add(wanted, Ordering::SeqCst);
                            assert!(before + wanted <= PERMITS);
                            coroutine::yield_now();
                            inside.fetch_sub(wanted, Ordering::SeqCst);
                        }
                    },
                    async move {
                        for round in 0..100 {
                            let wanted = 1 + round % PERMITS;
                            let _permit = permits_too.acquire_many_async(wanted).await;
                            let before = inside_too.fetch_add(wanted, Ordering::SeqCst);
                            assert!(before + wanted <= PERMITS);
                            inside_too.fetch_sub(wanted, Ordering::SeqCst);
                        }
                    },
                )
            })
            .collect();
        for handle in handles {
            handle.join().unwrap();
        }
        assert_eq!(permits.available_permits(), PERMITS);
    });
}

// Handed over in the order of coming; one that comes meanwhile can't be faster.
#[test]
fn first_come_first_served() {
    on_each(|| {
        let permits = Arc::new(Semaphore::new(0));
        let order = Arc::new(Mutex::new(Vec::new()));
        let waiters: Vec<_> = (0..6)
            .map(|n| {
                let (permits, order) = (Arc::clone(&permits), Arc::clone(&order));
                let waiter = spawn(move || {
                    let permit = permits.acquire().unwrap();
                    order.lock().push(n);
                    // The next one goes when this one is done.
                    drop(permit);
                });
                until_waiting(waiter.id(), WAITS);
                waiter
            })
            .collect();
        assert!(permits.try_acquire().is_none());
        permits.release();
        for waiter in waiters {
            waiter.join().unwrap();
        }
        assert_eq!(*order.lock(), [0, 1, 2, 3, 4, 5]);
        assert_eq!(permits.available_permits(), 1);
    });
}

// One that wants many is not passed over by those who want few.
#[test]
fn many_permits_together_are_waited_for_in_order() {
    on_each(|| {
        let permits = Arc::new(Semaphore::new(2));
        let big = {
            let permits = Arc::clone(&permits);
            spawn(move || permits.acquire_many(3).unwrap().forget())
        };
        until_waiting(big.id(), WAITS);
        let small: Vec<_> = (0..2)
            .map(|_| {
                let permits = Arc::clone(&permits);
                let small = spawn(move || permits.acquire().unwrap().forget());
                until_waiting(small.id(), WAITS);
                small
            })
            .collect();
        assert_eq!(permits.available_permits(), 2);
        assert!(permits.try_acquire().is_none(), "others wait");
        assert!(
            permits.try_acquire_many(0).is_some(),
            "nothing is always there"
        );
        assert_eq!(
            permits.acquire_timeout(Duration::ZERO).map(drop),
            Err(WaitError::Timeout)
        );
        permits.release();
        big.join().unwrap();
        assert!(small.iter().all(|small| !small.is_finished()));
        permits.add_permits(2);
        for small in small {
            small.join().unwrap();
        }
        assert_eq!(permits.available_permits(), 0);
    });
}

// A big one that gives up no longer stands in the way.
#[test]
fn giving_up_lets_those_behind_go() {
    on_each(|| {
        let permits = Arc::new(Semaphore::new(1));
        let token = Token::root();
        let big: Vec<JoinHandle<bool>> = token.run(|| {
            let (one, other) = (Arc::clone(&permits), Arc::clone(&permits));
            vec![
                spawn(move || one.acquire_many(5).is_err()),
                spawn(move || {
                    let result = other.acquire_many_timeout(4, Duration::from_secs(3600));
                    matches!(result, Err(WaitError::Cancelled))
                }),
            ]
        });
        for big in &big {
            until_waiting(big.id(), WAITS);
        }
        let small = {
            let permits = Arc::clone(&permits);
            spawn(move || drop(permits.acquire().unwrap()))
        };
        until_waiting(small.id(), WAITS);
        token.cancel();
        for big in big {
            assert!(big.join().unwrap());
        }
        small.join().unwrap();
        let impatient = {
            let permits = Arc::clone(&permits);
            spawn(move || {
                permits
                    .acquire_many_timeout(2, Duration::from_millis(20))
                    .is_err()
            })
        };
        until_waiting_or(|| impatient.is_finished(), impatient.id(), WAITS);
        drop(permits.acquire().unwrap());
        assert!(impatient.join().unwrap());
        assert_eq!(permits.available_permits(), 1);
    });
}

#[test]
fn time_is_over() {
    on_each(|| {
        let permits = Arc::new(Semaphore::default());
        let patience = Duration::from_millis(5);
        let begun = Instant::now();
        let timeout = Err(WaitError::Timeout);
        assert_eq!(permits.acquire_timeout(patience).map(drop), timeout);
        assert!(begun.elapsed() >= patience);
        let deadline = Instant::now() + patience;
        assert_eq!(permits.acquire_deadline(deadline).map(drop), timeout);
        assert_eq!(permits.acquire_many_deadline(2, begun).map(drop), timeout);
        assert_eq!(permits.acquire_owned_timeout(patience).map(drop), timeout);
        assert_eq!(permits.acquire_owned_deadline(begun).map(drop), timeout);
        permits.add_permits(1);
        assert!(permits.acquire_timeout(Duration::ZERO).is_ok());
        assert!(permits.acquire_deadline(begun).is_ok());
        assert!(permits.acquire_owned_deadline(begun).is_ok());
        assert_eq!(permits.available_permits(), 1);
    });
}

// Several at once, kept by guards of their own, in each form; of both kinds.
#[test]
fn many_owned() {
    on_each(|| {
        let (soon, past) = (Duration::from_millis(2), Instant::now());
        let timeout = Err(WaitError::Timeout);
        let permits = Arc::new(Semaphore::new(3));
        let two = permits.try_acquire_many_owned(2).unwrap();
        assert!(permits.try_acquire_many_owned(2).is_none());
        assert_eq!(
            permits.acquire_many_owned_timeout(2, soon).map(drop),
            timeout
        );
        assert_eq!(
            permits.acquire_many_owned_deadline(2, past).map(drop),
            timeout
        );
        let mut future = Polled::waiting(permits.acquire_many_owned_async(2));
        drop(two);
        assert_eq!(future.poll().unwrap().permits(), 2);
        assert_eq!(
            permits
                .acquire_many_owned_timeout(3, soon)
                .unwrap()
                .permits(),
            3
        );
        assert_eq!(
            permits
                .acquire_many_owned_deadline(3, past)
                .unwrap()
                .permits(),
            3
        );
        assert_eq!(permits.available_permits(), 3);

        let gate = Arc::new(BoundedSemaphore::new(3));
        let two = gate.try_acquire_many_owned(2).unwrap();
        assert!(gate.try_acquire_many_owned(2).is_none());
        assert_eq!(gate.acquire_many_owned_timeout(2, soon).map(drop), timeout);
        assert_eq!(gate.acquire_many_owned_deadline(2, past).map(drop), timeout);
        let mut future = Polled::waiting(gate.acquire_many_owned_async(2));
        drop(two);
        assert_eq!(future.poll().unwrap().permits(), 2);
        assert_eq!(
            gate.acquire_many_owned_timeout(3, soon).unwrap().permits(),
            3
        );
        assert_eq!(
            gate.acquire_many_owned_deadline(3, past).unwrap().permits(),
            3
        );
        assert_eq!(gate.available_permits(), 3);
    });
}

// Acquired here, released there; with a guard, or by hand.
#[test]
fn another_task_releases() {
    on_each(|| {
        for who in Who::ALL {
            let permits = Arc::new(Semaphore::new(1));
            let owned = permits.acquire_owned().unwrap();
            who.act(move || drop(owned)).join().unwrap();
            permits.acquire().unwrap().forget();
            let releaser = Arc::clone(&permits);
            who.act(move || releaser.release()).join().unwrap();
            assert_eq!(permits.available_permits(), 1);
        }
    });
}

// An owned permit keeps its semaphore.
#[test]
fn owned_permits_outlive_the_handle() {
    on_each(|| {
        let permits = Arc::new(Semaphore::new(4));
        let mut owned = permits.acquire_many_owned(3).unwrap();
        let last = permits.try_acquire_owned().unwrap();
        assert!(permits.try_acquire_owned().is_none());
        let weak = Arc::downgrade(&permits);
        drop(permits);
        let one = owned.split(1).unwrap();
        assert!(owned.split(3).is_none());
        assert_eq!((owned.permits(), one.permits()), (2, 1));
        spawn(move || drop(one)).join().unwrap();
        owned.merge(last);
        assert_eq!(owned.permits(), 3);
        assert_eq!(weak.upgrade().unwrap().available_permits(), 1);
        owned.forget();
        assert!(weak.upgrade().is_none());
    });
}

#[test]
fn splitting_merging_forgetting() {
    let permits = Semaphore::new(5);
    let mut all = permits.try_acquire_many(5).unwrap();
    let two = all.split(2).unwrap();
    assert!(all.split(4).is_none());
    assert_eq!(all.permits(), 3);
    drop(two);
    assert_eq!(permits.available_permits(), 2);
    all.merge(permits.try_acquire().unwrap());
    assert_eq!(all.permits(), 4);
    all.forget();
    assert_eq!(permits.available_permits(), 1);
    permits.add_permits(9);
    assert_eq!(permits.forget_permits(4), 4);
    assert_eq!(permits.forget_permits(20), 6);
    assert_eq!(permits.available_permits(), 0);
}

#[test]
fn cancelled_while_waiting() {
    on_each(|| {
        let permits = Arc::new(Semaphore::new(0));
        let token = Token::root();
        let waiters: Vec<JoinHandle<bool>> = token.run(|| {
            let (one, other) = (Arc::clone(&permits), Arc::clone(&permits));
            vec![
                spawn(move || one.acquire().is_err()),
                spawn(move || other.acquire_owned().is_err()),
            ]
        });
        for waiter in &waiters {
            until_waiting(waiter.id(), WAITS);
        }
        token.cancel();
        for waiter in waiters {
            assert!(waiter.join().unwrap());
        }
        permits.release();
        assert!(permits.try_acquire().is_some());
    });
}

// A lone permit round and round: everybody gets about as often.
#[test]
fn a_lone_permit_goes_round() {
    with_workers(1, || {
        const TASKS: usize = 5;
        let permits = Semaphore::new(1);
        let counts: Vec<_> = (0..TASKS).map(|_| AtomicUsize::new(0)).collect();
        coroutine::scope(|s| {
            for count in &counts {
                s.spawn(|| {
                    while counts
                        .iter()
                        .all(|count| count.load(Ordering::Relaxed) < 200)
                    {
                        let _permit = permits.acquire().unwrap();
                        count.fetch_add(1, Ordering::Relaxed);
                        coroutine::yield_now();
                    }
                });
            }
        });
        for count in counts {
            let count = count.into_inner();
            assert!((150..=201).contains(&count), "{count}");
        }
    });
}

#[test]
fn a_bounded_one_works_alike() {
    on_each(|| {
        let gate = Arc::new(BoundedSemaphore::new(2));
        let held = gate.acquire().unwrap();
        let owned = gate.acquire_owned().unwrap();
        assert!(gate.try_acquire().is_none() && gate.try_acquire_owned().is_none());
        let patience = Duration::from_millis(1);
        assert!(gate.acquire_timeout(patience).is_err());
        assert!(gate.acquire_owned_timeout(patience).is_err());
        assert!(gate.acquire_many_timeout(2, patience).is_err());
        assert!(gate.acquire_deadline(Instant::now()).is_err());
        assert!(gate.acquire_many_deadline(2, Instant::now()).is_err());
        assert!(gate.acquire_owned_deadline(Instant::now()).is_err());
        let waits = {
            let gate = Arc::clone(&gate);
            thread::spawn(move || gate.acquire_many(2).map(|permit| permit.permits()))
        };
        drop((held, owned));
        assert_eq!(waits.join().unwrap().unwrap(), 2);
        let task = {
            let gate = Arc::clone(&gate);
            async move {
                let owned = gate.acquire_owned_async().await;
                let plain = gate.acquire_async().await;
                owned.permits() + plain.permits()
            }
        };
        assert_eq!(ropewalk_rt::spawn_async(task).join().unwrap(), 2);
        assert_eq!((gate.available_permits(), gate.bound()), (2, 2));
        assert_eq!(gate.acquire_many_owned(2).unwrap().permits(), 2);
    });
}
