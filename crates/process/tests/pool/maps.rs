//! Maps over a pool of processes: the same as over any other, and what a death does to them.

use ropewalk_process::ProcessPool;
use ropewalk_rt::JoinError;
use ropewalk_rt::executor::{Pool, RunTask};

use crate::tasks;

#[test]
fn results_come_in_the_items_order() {
    let pool = ProcessPool::new(2).unwrap();
    let squares: Vec<u64> = pool
        .map(tasks::square, 0..500)
        .map(Result::unwrap)
        .collect();
    assert_eq!(squares, (0..500).map(tasks::square).collect::<Vec<_>>());
    let squares = pool.map(tasks::square, 0..10_000).chunk(250);
    assert!(
        squares
            .enumerate()
            .all(|(n, square)| square.unwrap() == (n * n) as u64)
    );
    let mut sums: Vec<_> = pool
        .starmap_unordered(tasks::add, [(1, 2), (3, 4), (5, 6)])
        .map(|(number, sum)| (number, sum.unwrap()))
        .collect();
    sums.sort_unstable();
    assert_eq!(sums, [(0, 3), (1, 7), (2, 11)]);
    let workers = Pool::insights(&pool);
    assert!(workers.len() <= 2 && workers.iter().map(|worker| worker.tasks).sum::<u64>() >= 40);
    // What is not asked for is not waited for; a worker that runs some of it is replaced.
    let first: Vec<u64> = pool
        .map(tasks::square, 1..)
        .take(3)
        .map(Result::unwrap)
        .collect();
    assert_eq!(first, [1, 4, 9]);
}

fn dies_at_three(n: u64) -> u64 {
    if n == 3 {
        std::process::abort();
    }
    n
}

fn panics_at_three(n: u64) -> u64 {
    assert!(n != 3, "three");
    n
}

ropewalk_rt::register! {
    "dies-at-three" => dies_at_three,
    "panics-at-three" => panics_at_three,
}

// One item a chunk, if nothing else is said: the death of a worker is that item's error alone.
#[test]
fn a_death_is_one_items_error() {
    let pool = ProcessPool::new(2).unwrap();
    let results: Vec<_> = pool.map(dies_at_three, 0..20).collect();
    assert_eq!(results.len(), 20);
    for (n, result) in results.into_iter().enumerate() {
        match result {
            Ok(value) => assert!(value == n as u64 && n != 3),
            Err(error) => assert!(n == 3 && error.is_worker_death(), "{n}: {error}"),
        }
    }
}

// Of a chunk nobody knows which were done: all of it fails, and no other.
#[test]
fn a_death_fails_its_chunk_and_no_other() {
    let pool = ProcessPool::new(2).unwrap();
    let results: Vec<_> = pool.map(dies_at_three, 0..20).chunk(5).collect();
    for (n, result) in results.iter().enumerate() {
        match result {
            Ok(value) => assert!(*value == n as u64 && n >= 5),
            Err(JoinError::WorkerDied { status, .. }) => {
                assert!(n < 5 && !status.success(), "{n}: {status}");
            }
            Err(error) => panic!("{n}: {error}"),
        }
    }
}

#[test]
fn a_panic_is_one_items_error_also_in_a_chunk() {
    let pool = ProcessPool::new(1).unwrap();
    let results: Vec<_> = pool.map(panics_at_three, 0..20).chunk(5).collect();
    for (n, result) in results.into_iter().enumerate() {
        match result {
            Ok(value) => assert!(value == n as u64 && n != 3),
            Err(error) => {
                assert_eq!((n, error.panic_message()), (3, Some("three")));
                assert!(error.remote_panic().is_some());
            }
        }
    }
}

fn not_registered(n: u64) -> u64 {
    n
}

// The first item says what is wrong, and the input is left alone.
#[test]
fn what_is_no_task_is_told_by_the_first_item() {
    let pool = ProcessPool::new(1).unwrap();
    let mut map = pool.map(not_registered, 0..);
    let error = map.next().unwrap().unwrap_err();
    assert!(error.to_string().contains("not_registered"), "{error}");
    assert!(map.next().is_none());
}

#[test]
fn one_that_cannot_be_written_harms_no_other() {
    let pool = ProcessPool::new(1).unwrap();
    let items = (10..20).map(tasks::OneWay);
    let results: Vec<_> = pool.map(tasks::takes_one_way, items).chunk(5).collect();
    assert_eq!(results.len(), 10);
    for (result, n) in results[..3].iter().zip(10..) {
        assert_eq!(*result.as_ref().unwrap(), n);
    }
    let error = results[3].as_ref().unwrap_err();
    assert!(error.to_string().contains("can't be serialised"), "{error}");
}
