//! Work that goes well.

use std::collections::HashSet;

use ropewalk_process::ProcessPool;
use ropewalk_rt::Runtime;
use ropewalk_rt::executor::RunTask;

use crate::alone::wait_for;
use crate::tasks;

#[test]
fn results_come_back() {
    let pool = ProcessPool::new(2).unwrap();
    let handles: Vec<_> = (0..2000)
        .map(|n| pool.submit(tasks::square, (n,)).unwrap())
        .collect();
    for (n, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.join().unwrap(), (n * n) as u64);
    }
    let sum = pool.submit(tasks::add, (2, 40)).unwrap();
    assert_eq!(sum.join().unwrap(), 42);
    let pid = pool.submit(tasks::pid, ()).unwrap().join().unwrap();
    assert_ne!(pid, std::process::id());
    assert!(pool.pids().contains(&pid));
    let insight = pool.insight();
    assert_eq!(insight.settled, 2002);
    let tasks: u64 = insight.workers.iter().map(|worker| worker.tasks).sum();
    assert_eq!(tasks, 2002);
    pool.shutdown(true, false).unwrap();
}

#[test]
fn coroutines_submit_and_wait_with_one_worker_and_with_two() {
    for workers in [1, 2] {
        let runtime = Runtime::builder().workers(workers).build().unwrap();
        let sum: u64 = runtime.run(|| {
            let pool = ProcessPool::builder().workers(2).queue(4).build().unwrap();
            let sum = ropewalk_rt::scope(|s| {
                let handles: Vec<_> = (0..20)
                    .map(|start| {
                        let pool = &pool;
                        s.spawn(move || {
                            let results = (0..10).map(|n| {
                                let handle = pool.submit(tasks::square, (start * 10 + n,));
                                handle.unwrap().join().unwrap()
                            });
                            results.sum::<u64>()
                        })
                    })
                    .collect();
                handles
                    .into_iter()
                    .map(|handle| handle.join().unwrap())
                    .sum()
            });
            pool.shutdown(true, false).unwrap();
            sum
        });
        assert_eq!(sum, (0..200).map(|n| n * n).sum::<u64>());
    }
}

#[test]
fn long_tasks_are_spread_over_the_workers() {
    let pool = ProcessPool::new(3).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().to_str().unwrap();
    // Each goes on when all three have begun.
    let handles: Vec<_> = (0..3)
        .map(|n| pool.submit(tasks::meets, (text.to_owned(), n, 3)).unwrap())
        .collect();
    let pids: HashSet<u32> = handles
        .into_iter()
        .map(|handle| handle.join().unwrap())
        .collect();
    assert_eq!(pids.len(), 3);
}

/// A worker was given many tasks ahead, as they had been tiny; then one is long. The others are
/// not to wait for it.
#[test]
fn what_waits_behind_a_long_task_is_given_to_others() {
    let pool = ProcessPool::new(2).unwrap();
    wait_for("two workers", || pool.pids().len() == 2);
    for _ in 0..2000 {
        pool.submit(tasks::noop, ()).unwrap();
    }
    let long = pool.submit(tasks::sleeps, (60_000,)).unwrap();
    let others: Vec<_> = (0..500)
        .map(|n| pool.submit(tasks::square, (n,)).unwrap())
        .collect();
    for (n, other) in others.into_iter().enumerate() {
        assert_eq!(other.join().unwrap(), (n * n) as u64);
    }
    assert!(!long.is_finished());
    pool.terminate();
    assert!(long.join().unwrap_err().is_cancelled());
}

#[test]
fn chunks_give_each_calls_own_result() {
    let pool = ProcessPool::new(1).unwrap();
    let list = vec![(1,), (2,), (3,)];
    let handle = pool.start_chunk(tasks::square, list, ropewalk_rt::executor::Patience::Wait);
    let results = handle.unwrap().join().unwrap();
    let values: Vec<u64> = results.into_iter().map(Result::unwrap).collect();
    assert_eq!(values, [1, 4, 9]);
}

#[test]
fn what_a_task_leaves_behind_goes_on_while_the_worker_has_nothing_to_do() {
    let pool = ProcessPool::new(1).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mark");
    let text = path.to_str().unwrap().to_owned();
    let handle = pool.submit(tasks::leaves_a_coroutine, (text, 20)).unwrap();
    handle.join().unwrap();
    wait_for("the coroutine", || {
        std::fs::read(&path).is_ok_and(|text| text == b"done")
    });
}

#[test]
fn tasks_have_as_much_stack_as_they_are_given() {
    let pool = ProcessPool::new(1).unwrap();
    let deep = pool.submit(tasks::uses_stack, (6 << 10,)).unwrap();
    assert_eq!(deep.join().unwrap(), 6 << 10);
    let pool = ProcessPool::builder()
        .workers(1)
        .stack_size(32 << 20)
        .build()
        .unwrap();
    let deep = pool.submit(tasks::uses_stack, (30 << 10,)).unwrap();
    assert_eq!(deep.join().unwrap(), 30 << 10);
}
