//! Who goes first.

use std::sync::{Arc, Mutex};

use ropewalk_rt::executor::ThreadPool;

use crate::{occupy, with_drivers};

fn order(pool: &ThreadPool, priorities: &[i32]) -> Vec<(i32, usize)> {
    let order = Arc::new(Mutex::new(Vec::new()));
    let gate = occupy(pool);
    let handles: Vec<_> = priorities
        .iter()
        .enumerate()
        .map(|(number, &priority)| {
            let order = Arc::clone(&order);
            let note = move || order.lock().unwrap().push((priority, number));
            pool.options().priority(priority).spawn(note).unwrap()
        })
        .collect();
    assert_eq!(pool.queued(), priorities.len());
    gate.open();
    handles.into_iter().for_each(|one| one.join().unwrap());
    order.lock().unwrap().clone()
}

#[test]
fn urgent_ones_go_before_those_queued_and_slow_ones_last() {
    with_drivers(|builder| {
        let pool = builder.max_threads(1).build().unwrap();
        let seen = order(&pool, &[0, -5, 3, 0, 7, -1, 3, 0]);
        let expected = [
            (7, 4),
            (3, 2),
            (3, 6),
            (0, 0),
            (0, 3),
            (0, 7),
            (-1, 5),
            (-5, 1),
        ];
        assert_eq!(seen, expected);
    });
}

/// One that comes while others of a batch run goes before the rest of the batch.
#[test]
fn an_urgent_one_overtakes_a_batch_that_a_worker_has_taken() {
    with_drivers(|builder| {
        let pool = Arc::new(builder.max_threads(1).build().unwrap());
        let order = Arc::new(Mutex::new(Vec::new()));
        let gate = occupy(&pool);
        let note = |what: &'static str| {
            let order = Arc::clone(&order);
            move || order.lock().unwrap().push(what)
        };
        let first = {
            let (note, urgent, pool) = (note("first"), note("urgent"), Arc::clone(&pool));
            move || {
                note();
                pool.options().priority(1).spawn(urgent).map(drop).unwrap();
            }
        };
        pool.spawn(first).unwrap();
        let later: Vec<_> = (0..20)
            .map(|_| pool.spawn(note("later")).unwrap())
            .collect();
        gate.open();
        later.into_iter().for_each(|one| one.join().unwrap());
        assert_eq!(order.lock().unwrap()[..2], ["first", "urgent"]);
    });
}

#[test]
fn a_priority_alone_starts_a_thread() {
    with_drivers(|builder| {
        let pool = builder.max_threads(2).build().unwrap();
        for priority in [i32::MIN, -1, 1, i32::MAX] {
            let handle = pool.options().priority(priority).spawn(move || priority);
            assert_eq!(handle.unwrap().join().unwrap(), priority);
        }
    });
}

/// Many of all kinds, from many threads: all run once.
#[test]
fn none_is_lost_among_many_priorities() {
    with_drivers(|builder| {
        let pool = Arc::new(builder.max_threads(4).build().unwrap());
        let spawners: Vec<_> = (0..4i32)
            .map(|spawner| {
                let pool = Arc::clone(&pool);
                std::thread::spawn(move || {
                    let spawn = |n: i32| {
                        let options = pool.options().priority(n % 7 - 3);
                        options.spawn(move || i64::from(n + spawner)).unwrap()
                    };
                    let handles: Vec<_> = (0..2_000).map(spawn).collect();
                    handles
                        .into_iter()
                        .map(|one| one.join().unwrap())
                        .sum::<i64>()
                })
            })
            .collect();
        let sum: i64 = spawners.into_iter().map(|one| one.join().unwrap()).sum();
        assert_eq!(sum, 4 * (1_999 * 2_000 / 2) + 2_000 * (1 + 2 + 3));
    });
}
