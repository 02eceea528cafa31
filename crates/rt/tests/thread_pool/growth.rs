//! Threads come when there is work and nobody idles, and go when there is none.

use std::collections::HashSet;
use std::thread;
use std::time::Duration;

use crate::{Gate, wait_until, with_drivers};

#[test]
fn a_pool_without_work_has_no_thread() {
    with_drivers(|builder| {
        let pool = builder.max_threads(8).build().unwrap();
        assert_eq!((pool.live_threads(), pool.idle_threads()), (0, 0));
        assert_eq!(pool.max_threads(), 8);
    });
}

#[test]
fn little_load_is_done_by_one_thread() {
    with_drivers(|builder| {
        let pool = builder.max_threads(8).min_threads(1).build().unwrap();
        for n in 0..200 {
            // A thread that is about to sleep is not idle yet: another is started beside it.
            wait_until("the thread idles", || pool.idle_threads() == 1);
            assert_eq!(pool.spawn(move || n).unwrap().join().unwrap(), n);
        }
        assert_eq!(pool.live_threads(), 1);
        assert_eq!(pool.completed(), 200);
    });
}

/// What `max_threads` is for: five calls that block their thread run at once.
#[test]
fn five_threads_block_at_once() {
    with_drivers(|builder| {
        let pool = builder.max_threads(5).build().unwrap();
        let gate = Gate::default();
        let handles: Vec<_> = (0..8)
            .map(|_| {
                let gate = gate.clone();
                pool.spawn(move || {
                    gate.pass();
                    thread::current().id()
                })
            })
            .map(Result::unwrap)
            .collect();
        gate.await_waiting(5);
        assert_eq!((pool.live_threads(), pool.idle_threads()), (5, 0));
        assert_eq!((pool.running(), pool.queued()), (5, 3));
        gate.open();
        let ids: HashSet<_> = handles
            .into_iter()
            .map(|handle| handle.join().unwrap())
            .collect();
        assert_eq!(ids.len(), 5);
    });
}

/// Waiting as a coroutine does not hold a thread: a hundred wait on one.
#[test]
fn a_hundred_coroutines_wait_on_one_thread() {
    with_drivers(|builder| {
        let pool = builder.max_threads(1).build().unwrap();
        let barrier = std::sync::Arc::new(ropewalk_rt::sync::Barrier::new(100));
        let handles: Vec<_> = (0..100)
            .map(|_| {
                let barrier = barrier.clone();
                pool.spawn(move || barrier.wait().is_leader()).unwrap()
            })
            .collect();
        let leaders = handles
            .into_iter()
            .filter(|_| true)
            .map(|handle| handle.join().unwrap())
            .filter(|leader| *leader);
        assert_eq!(leaders.count(), 1);
        assert_eq!(pool.live_threads(), 1);
    });
}

#[test]
fn an_idle_thread_ends_and_another_comes_when_needed() {
    with_drivers(|builder| {
        let pool = builder
            .max_threads(4)
            .keep_alive(Duration::from_millis(5))
            .build()
            .unwrap();
        for round in 1..=3 {
            let gate = Gate::default();
            for _ in 0..4 {
                let gate = gate.clone();
                pool.spawn(move || gate.pass()).unwrap();
            }
            gate.await_waiting(4);
            assert_eq!(pool.live_threads(), 4);
            gate.open();
            wait_until("all threads have gone", || pool.live_threads() == 0);
            // More if one came, found nothing yet and went before it was to have something.
            let threads: u64 = pool.thread_insights().iter().map(|one| one.threads).sum();
            assert!(threads >= 4 * round, "{threads}");
        }
    });
}

#[test]
fn some_threads_stay_if_asked_to() {
    with_drivers(|builder| {
        let pool = builder
            .max_threads(4)
            .min_threads(2)
            .keep_alive(Duration::from_millis(1))
            .build()
            .unwrap();
        assert_eq!(pool.live_threads(), 2);
        let gate = Gate::default();
        for _ in 0..4 {
            let gate = gate.clone();
            pool.spawn(move || gate.pass()).unwrap();
        }
        gate.await_waiting(4);
        gate.open();
        wait_until("two are left", || pool.live_threads() == 2);
        assert_eq!(pool.spawn(|| 1).unwrap().join().unwrap(), 1);
    });
}

/// A coroutine that waits keeps its thread, however long.
#[test]
fn a_thread_with_a_waiting_task_stays() {
    with_drivers(|builder| {
        let pool = builder
            .max_threads(2)
            .keep_alive(Duration::ZERO)
            .build()
            .unwrap();
        let (sender, receiver) = ropewalk_rt::channel::bounded::<u32>(0);
        let waiting = pool
            .spawn(move || {
                let before = thread::current().id();
                let got = receiver.recv().unwrap();
                (got, before == thread::current().id())
            })
            .unwrap();
        // Others come and go beside it.
        for n in 0..50 {
            assert_eq!(pool.spawn(move || n).unwrap().join().unwrap(), n);
        }
        assert!(pool.live_threads() >= 1);
        sender.send(7).unwrap();
        assert_eq!(waiting.join().unwrap(), (7, true));
        wait_until("all threads have gone", || pool.live_threads() == 0);
    });
}

#[test]
fn each_worker_tells_what_it_did() {
    with_drivers(|builder| {
        let pool = builder.max_threads(2).build().unwrap();
        let gate = Gate::default();
        for _ in 0..2 {
            let gate = gate.clone();
            pool.spawn(move || gate.pass()).unwrap();
        }
        gate.await_waiting(2);
        let seen = pool.thread_insights();
        assert!(
            seen.iter()
                .all(|one| one.alive && !one.idle && one.threads == 1)
        );
        assert!(seen.iter().all(|one| one.running == 1 && one.tasks == 0));
        assert!(seen.iter().all(|one| one.start_up > Duration::ZERO));
        gate.open();
        wait_until("both idle", || pool.idle_threads() == 2);
        let seen = pool.thread_insights();
        assert!(seen.iter().all(|one| one.running == 0 && one.tasks == 1));
        assert!(seen.iter().all(|one| one.busy > Duration::ZERO));
    });
}
