//! Workers that are replaced in time, prepared before their first task, or never ready.

use std::collections::HashMap;
use std::time::Duration;

use ropewalk_process::ProcessPool;
use ropewalk_process::pool::PoolBroken;
use ropewalk_rt::JoinError;
use ropewalk_rt::executor::{Refusal, RunTask};

use crate::alone::{lives, wait_for};
use crate::tasks;

#[test]
fn a_worker_runs_no_more_tasks_than_it_may() {
    let pool = ProcessPool::builder()
        .workers(2)
        .max_tasks_per_child(7)
        .build()
        .unwrap();
    let handles: Vec<_> = (0..100)
        .map(|_| pool.submit(tasks::pid, ()).unwrap())
        .collect();
    let mut ran: HashMap<u32, u32> = HashMap::new();
    for handle in handles {
        *ran.entry(handle.join().unwrap()).or_default() += 1;
    }
    assert!(ran.values().all(|&tasks| tasks <= 7), "{ran:?}");
    assert!(ran.len() >= 15, "{ran:?}");
}

/// Once it ended as soon as it had been given its last task, and what it had ahead was taken back:
/// with tiny tasks most of what it might have done.
#[test]
fn a_worker_runs_as_many_tasks_as_it_may() {
    let pool = ProcessPool::builder()
        .workers(1)
        .max_tasks_per_child(50)
        .build()
        .unwrap();
    let handles: Vec<_> = (0..220)
        .map(|_| pool.submit(tasks::pid, ()).unwrap())
        .collect();
    let mut ran: HashMap<u32, u32> = HashMap::new();
    for handle in handles {
        *ran.entry(handle.join().unwrap()).or_default() += 1;
    }
    let mut ran: Vec<u32> = ran.into_values().collect();
    ran.sort_unstable();
    assert_eq!(ran, [20, 50, 50, 50, 50]);
}

/// It tells of its memory after its result: that may have been taken, and nothing may follow.
#[test]
fn a_worker_that_has_become_too_large_is_replaced_also_without_further_tasks() {
    let pool = ProcessPool::builder()
        .workers(1)
        .max_memory_per_child(256 << 20)
        .build()
        .unwrap();
    let handle = pool.submit(tasks::keeps_memory, (300 << 20,)).unwrap();
    let large = handle.join().unwrap();
    wait_for("another worker", || {
        let pids = pool.pids();
        pids.len() == 1 && pids[0] != large
    });
    assert!(!lives(large));
}

#[test]
fn a_worker_that_has_become_too_large_is_replaced() {
    let pool = ProcessPool::builder()
        .workers(1)
        .max_memory_per_child(256 << 20)
        .build()
        .unwrap();
    let first = pool
        .submit(tasks::keeps_memory, (1 << 20,))
        .unwrap()
        .join()
        .unwrap();
    let same = pool
        .submit(tasks::keeps_memory, (300 << 20,))
        .unwrap()
        .join()
        .unwrap();
    assert_eq!(first, same);
    wait_for("another worker", || {
        pool.submit(tasks::pid, ()).unwrap().join().unwrap() != first
    });
}

#[test]
fn an_initialiser_prepares_each_worker() {
    let pool = ProcessPool::builder()
        .workers(1)
        .initializer(tasks::set_state, (100_u64,))
        .build()
        .unwrap();
    let add = |n| {
        pool.submit(tasks::add_to_state, (n,))
            .unwrap()
            .join()
            .unwrap()
    };
    assert_eq!(add(1), 101);
    assert_eq!(add(1), 102);
    assert!(pool.submit(tasks::exits, (1,)).unwrap().join().is_err());
    assert_eq!(add(5), 105);
}

#[track_caller]
fn assert_broken(pool: &ProcessPool, expected: &str) {
    let handle = match pool.submit(tasks::noop, ()) {
        Ok(handle) => handle,
        Err(error) => {
            assert!(matches!(error.reason, Refusal::Broken(_)), "{error}");
            assert!(error.to_string().contains(expected), "{error}");
            return;
        }
    };
    let Err(JoinError::Failed(error)) = handle.join() else {
        panic!("the pool works");
    };
    let error = error.downcast::<PoolBroken>().unwrap();
    assert!(error.why().contains(expected), "{error}");
}

#[test]
fn workers_that_never_begin_break_the_pool_which_says_why() {
    let pool = ProcessPool::builder()
        .workers(2)
        .initializer(tasks::fails_to_begin, ("no licence".to_owned(),))
        .build()
        .unwrap();
    assert_broken(&pool, "no licence");
    wait_for(
        "the pool's end",
        || matches!(pool.submit(tasks::noop, ()), Err(error) if matches!(error.reason, Refusal::Broken(_))),
    );
    assert_broken(&pool, "no licence");
    pool.join().unwrap();

    let pool = ProcessPool::builder()
        .workers(1)
        .initializer(tasks::exits, (44,))
        .build()
        .unwrap();
    assert_broken(&pool, "exit status: 44");
}

#[test]
fn a_worker_that_is_not_ready_in_time_is_ended() {
    let pool = ProcessPool::builder()
        .workers(1)
        .handshake_timeout(Duration::from_millis(50))
        .initializer(tasks::never_begins, ())
        .build()
        .unwrap();
    assert_broken(&pool, "not ready after 50ms");
}

#[test]
fn an_initialiser_that_is_no_task_is_refused() {
    fn stranger() {}
    let error = ProcessPool::builder()
        .initializer(stranger, ())
        .build()
        .unwrap_err();
    assert!(error.to_string().contains("stranger"), "{error}");
}
