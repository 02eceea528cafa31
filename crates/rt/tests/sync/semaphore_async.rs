//! `Semaphore` in `async` code: woken in turn, competing, passing on.

use std::sync::Arc;

use ropewalk_rt::sync::Semaphore;
use ropewalk_rt::{coroutine, spawn, spawn_async};

use crate::stage::{on_each, until_waiting};
use crate::who::Polled;

// Woken one for each permit, and in the order of coming.
#[test]
fn woken_in_turn() {
    let permits = Semaphore::new(0);
    let mut waiting: Vec<_> = (0..3)
        .map(|_| Polled::waiting(permits.acquire_async()))
        .collect();
    let wakes = |waiting: &[Polled<_>]| waiting.iter().map(Polled::wakes).collect::<Vec<_>>();
    permits.add_permits(2);
    assert_eq!(wakes(&waiting), [1, 1, 0]);
    let first = waiting[0].poll().unwrap();
    let second = waiting[1].poll().unwrap();
    assert!(waiting[2].poll().is_none());
    drop(first);
    assert_eq!(wakes(&waiting), [1, 1, 1]);
    drop(second);
    let third = waiting[2].poll().unwrap();
    assert_eq!((third.permits(), permits.available_permits()), (1, 1));
}

// Nothing is handed to a future: while nobody polls it, others take the permit.
#[test]
fn a_future_nobody_polls_holds_nobody_up() {
    on_each(|| {
        let permits = Arc::new(Semaphore::new(0));
        let mut idle = Polled::waiting(permits.acquire_async());
        permits.release();
        assert_eq!(idle.wakes(), 1);
        let permit = permits.acquire().unwrap();
        assert!(idle.poll().is_none(), "others were faster");
        drop(permit);
        assert_eq!(idle.wakes(), 2);
        drop(permits.try_acquire().unwrap());
        assert!(idle.poll().is_some());
    });
}

// Dropped after it was woken, it passes the wake on; dropped while it stands in the queue, it
// no longer stands in the way.
#[test]
fn dropped_futures_pass_on() {
    on_each(|| {
        let permits = Arc::new(Semaphore::new(0));
        let woken = Polled::waiting(permits.acquire_async());
        let next = {
            let permits = Arc::clone(&permits);
            spawn(move || permits.acquire().unwrap().forget())
        };
        until_waiting(next.id(), "waiting for a permit");
        let mut last = Polled::waiting(permits.acquire_async());
        permits.release();
        assert_eq!((woken.wakes(), last.wakes()), (1, 0));
        assert!(!next.is_finished());
        drop(woken);
        next.join().unwrap();
        let big = Polled::waiting(permits.acquire_many_async(9));
        permits.release();
        assert!(last.poll().is_some());
        drop(big);
        assert!(permits.try_acquire().is_some());
        assert_eq!(permits.available_permits(), 1);
    });
}

// One that wants more than there is and was woken lets those go who were behind it; two such
// don't wake one another for ever.
#[test]
fn big_ones_compete() {
    let permits = Semaphore::new(0);
    let mut big = Polled::waiting(permits.acquire_many_async(5));
    let mut huge = Polled::waiting(permits.acquire_many_async(9));
    for _ in 0..4 {
        permits.release();
        assert!(big.poll().is_none() && huge.poll().is_none());
    }
    let wakes = (big.wakes(), huge.wakes());
    for _ in 0..3 {
        assert!(big.poll().is_none() && huge.poll().is_none());
    }
    assert_eq!((big.wakes(), huge.wakes()), wakes, "woken by one another");
    permits.release();
    let permit = big.poll().expect("there are five");
    assert!(huge.poll().is_none());
    permits.add_permits(4);
    assert!(huge.poll().is_none());
    drop(permit);
    assert!(huge.wakes() > wakes.1);
    assert_eq!(huge.poll().unwrap().permits(), 9);
}

// A woken future that is not content leaves the permit to the coroutine behind it.
#[test]
fn a_big_future_lets_a_coroutine_pass() {
    on_each(|| {
        let permits = Arc::new(Semaphore::new(0));
        let mut big = Polled::waiting(permits.acquire_many_async(2));
        let small = {
            let permits = Arc::clone(&permits);
            spawn(move || permits.acquire().unwrap().forget())
        };
        until_waiting(small.id(), "waiting for a permit");
        permits.release();
        assert!(big.poll().is_none());
        small.join().unwrap();
        permits.add_permits(2);
        assert!(big.poll().is_some());
    });
}

// Polled for another reason it keeps its place, and the newest waker.
#[test]
fn polled_for_nothing() {
    let permits = Semaphore::new(0);
    let mut first = Polled::waiting(permits.acquire_async());
    let mut second = Polled::waiting(permits.acquire_async());
    assert!(first.poll().is_none() && second.poll().is_none() && first.poll().is_none());
    permits.release();
    assert_eq!((first.wakes(), second.wakes()), (1, 0));
    assert!(first.poll().is_some());
}

#[test]
fn tasks_and_coroutines_in_a_crowd() {
    on_each(|| {
        let permits = Arc::new(Semaphore::new(2));
        let mut handles = Vec::new();
        for n in 0..30 {
            let permits = Arc::clone(&permits);
            if n % 2 == 0 {
                handles.push(spawn(move || {
                    for _ in 0..40 {
                        let _permit = permits.acquire().unwrap();
                        coroutine::yield_now();
                    }
                }));
            } else {
                handles.push(spawn_async(async move {
                    for _ in 0..40 {
                        let permit = permits.acquire_owned_async().await;
                        // Perhaps held over a poll.
                        drop(permits.acquire_many_async(0).await);
                        drop(permit);
                    }
                }));
            }
        }
        for handle in handles {
            handle.join().unwrap();
        }
        assert_eq!(permits.available_permits(), 2);
    });
}
