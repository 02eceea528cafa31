//! The pool of coroutines: how many run, in which order, and who waits for a place.

use std::sync::{Arc, Mutex};

use ropewalk_rt::executor::{CoroutinePool, RunTask, SpawnClosure};
use ropewalk_rt::sync::Event;
use ropewalk_rt::{JoinError, coroutine, join_all, spawn, spawn_async, thread};

use crate::stage::{on_each, until};
use crate::{Crowd, MOMENT};

#[test]
fn work_of_both_kinds_is_done() {
    on_each(|| {
        let pool = CoroutinePool::new(3);
        assert_eq!((pool.width(), pool.queue_capacity()), (3, 65_536));
        let name = String::from("a closure");
        let closure = pool.spawn(move || name.len()).unwrap();
        let task = pool.submit(|a: u32, b: u32| a - b, (7, 3)).unwrap();
        assert_eq!((closure.join().unwrap(), task.join().unwrap()), (9, 4));
        let chunk = pool.start_chunk(
            |n: u8| 100 / n,
            vec![(1,), (0,), (5,)],
            ropewalk_rt::executor::Patience::Wait,
        );
        let chunk = chunk.unwrap().join().unwrap();
        let [Ok(100), Err(error), Ok(20)] = &chunk[..] else {
            panic!("{chunk:?}");
        };
        assert!(error.panic_message().unwrap().contains("zero"));
    });
}

// Given by threads, coroutines and async tasks, all of it is done, and never more than three at once.
#[test]
fn no_more_than_the_width_run() {
    on_each(|| {
        let pool = Arc::new(CoroutinePool::with_queue(3, 5));
        let crowd = Crowd::default();
        let give = || {
            let (pool, crowd) = (Arc::clone(&pool), crowd.clone());
            move || {
                let work = |_| {
                    let crowd = crowd.clone();
                    pool.spawn(move || {
                        let _inside = crowd.enter();
                        coroutine::yield_now();
                    })
                };
                let handles: Vec<_> = (0..100).map(work).collect::<Result<_, _>>().unwrap();
                join_all(handles).into_iter().for_each(|end| end.unwrap());
            }
        };
        let (a, b, c) = (give(), give(), give());
        let givers = [thread::spawn(a), spawn(b), spawn_async(async move { c() })];
        join_all(givers).into_iter().for_each(|end| end.unwrap());
        assert_eq!(crowd.all(), 300);
        assert!(crowd.most() <= 3, "{} at once", crowd.most());
        // Results may be seen a moment before the places are free.
        until(|| (pool.running(), pool.queued()) == (0, 0));
        let insights = pool.insights();
        assert_eq!(insights.len(), 3);
        let tasks: u64 = insights.iter().map(|seat| seat.tasks).sum();
        assert_eq!(tasks, 300);
        assert!(
            insights
                .iter()
                .all(|seat| (0.0..=1.0).contains(&seat.load()))
        );
    });
}

#[test]
fn work_starts_in_the_order_in_which_it_was_given() {
    on_each(|| {
        let pool = CoroutinePool::new(1);
        let order = Arc::new(Mutex::new(Vec::new()));
        for n in 0..200 {
            let order = Arc::clone(&order);
            pool.spawn(move || {
                order.lock().unwrap().push(n);
                if n % 3 == 0 {
                    coroutine::yield_now();
                }
            })
            .unwrap();
        }
        pool.close();
        pool.join().unwrap();
        assert_eq!(*order.lock().unwrap(), (0..200).collect::<Vec<_>>());
    });
}

// One runs, one is queued: for a third there is no place.
#[test]
fn a_full_queue_holds_back() {
    on_each(|| {
        let pool = CoroutinePool::with_queue(1, 1);
        let go = Arc::new(Event::new());
        let wait = |n: u32| {
            let go = Arc::clone(&go);
            move || go.wait().map_or(0, |()| n)
        };
        let first = pool.spawn(wait(1)).unwrap();
        let second = pool.spawn(wait(2)).unwrap();
        until(|| (pool.running(), pool.queued()) == (1, 1));
        let refused = pool.try_spawn(wait(3)).unwrap_err();
        assert!(refused.is_full(), "{refused}");
        let refused = pool.spawn_timeout(refused.into_work(), MOMENT).unwrap_err();
        assert!(refused.is_full(), "{refused}");
        // Arguments come back too.
        let refused = pool.try_submit(|text: String| text, ("mine".into(),));
        assert_eq!(refused.unwrap_err().into_work().0, "mine");
        let refused = pool.submit_timeout(|n: u8| n, (7,), MOMENT);
        assert_eq!(refused.unwrap_err().into_work(), (7,));
        go.set();
        let third = pool.spawn(wait(3)).unwrap();
        let values = join_all([first, second, third]);
        let values: Vec<_> = values.into_iter().map(Result::unwrap).collect();
        assert_eq!(values, [1, 2, 3]);
    });
}

#[test]
fn who_waits_for_a_place_can_be_cancelled() {
    on_each(|| {
        let pool = Arc::new(CoroutinePool::with_queue(1, 0));
        let go = Arc::new(Event::new());
        let busy = {
            let go = Arc::clone(&go);
            pool.spawn(move || go.wait().is_ok()).unwrap()
        };
        let giver = {
            let pool = Arc::clone(&pool);
            spawn(move || {
                let refused = pool
                    .spawn(|| unreachable!("there was no place"))
                    .unwrap_err();
                refused.to_string()
            })
        };
        until(|| giver.task().is_alive() && pool.running() == 1);
        giver.cancel();
        // It had its first turn, or none.
        match giver.join() {
            Ok(text) => assert!(text.contains("cancelled"), "{text}"),
            Err(error) => assert!(error.is_cancelled(), "{error}"),
        }
        go.set();
        assert!(busy.join().unwrap());
    });
}

#[test]
fn what_has_not_started_never_does_when_it_is_cancelled() {
    on_each(|| {
        let pool = CoroutinePool::new(1);
        let go = Arc::new(Event::new());
        let crowd = Crowd::default();
        let first = {
            let go = Arc::clone(&go);
            pool.spawn(move || go.wait().is_ok()).unwrap()
        };
        let queued: Vec<_> = (0..100)
            .map(|_| {
                let crowd = crowd.clone();
                pool.spawn(move || drop(crowd.enter())).unwrap()
            })
            .collect();
        for (n, handle) in queued.iter().enumerate() {
            if n % 2 == 0 {
                handle.cancel();
            }
        }
        go.set();
        assert!(first.join().unwrap());
        for (n, handle) in queued.into_iter().enumerate() {
            match handle.join() {
                Ok(()) => assert!(n % 2 == 1),
                Err(error) => assert!(n % 2 == 0 && error.is_cancelled(), "{error}"),
            }
        }
        assert_eq!(crowd.all(), 50);
    });
}

// Its wait ends with an error, and what it makes of that is its value.
#[test]
fn what_runs_is_told_when_it_is_cancelled() {
    on_each(|| {
        let pool = CoroutinePool::new(1);
        let began = Arc::new(Event::new());
        let handle = {
            let began = Arc::clone(&began);
            pool.spawn(move || {
                began.set();
                Event::new().wait().is_err()
            })
        };
        let handle = handle.unwrap();
        began.wait().unwrap();
        handle.cancel();
        assert!(handle.join().unwrap());
    });
}

#[test]
fn a_panic_is_its_tasks_alone() {
    on_each(|| {
        let pool = CoroutinePool::new(1);
        let broken = pool.spawn(|| panic!("broken, as it should be")).unwrap();
        let whole = pool.spawn(|| 5).unwrap();
        let error: JoinError = broken.join().unwrap_err();
        assert_eq!(error.panic_message(), Some("broken, as it should be"));
        assert_eq!(whole.join().unwrap(), 5);
    });
}

// From inside the pool, while there is a place: the pool is of two, so each may wait for one more.
#[test]
fn work_may_give_work() {
    on_each(|| {
        let pool = Arc::new(CoroutinePool::new(2));
        let outer = {
            let pool = Arc::clone(&pool);
            move || {
                let inner = pool.spawn(|| 20).unwrap();
                inner.join().unwrap() + 1
            }
        };
        let outer = pool.spawn(outer).unwrap();
        assert_eq!(outer.join().unwrap(), 21);
    });
}

/// Whatever pool of this process it is.
fn sum_of_squares(pool: &(impl SpawnClosure + RunTask)) -> u64 {
    let by_tasks = pool.map(|n: u64| n * n, 1..=10).map(Result::unwrap);
    let by_closures = pool.spawn_map(1..=10_u64, |n| n * n).map(Result::unwrap);
    by_tasks.zip(by_closures).map(|(a, b)| a + b).sum()
}

#[test]
fn pools_are_known_by_their_traits() {
    on_each(|| assert_eq!(sum_of_squares(&CoroutinePool::new(4)), 770));
}
