//! Closing, terminating, shutting down and dropping, in all states.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ropewalk_rt::channel;
use ropewalk_rt::executor::PoolJoinError;
use ropewalk_rt::executor::ThreadPool;
use ropewalk_rt::{JoinError, Runtime, spawn};

use crate::{occupy, wait_until, with_drivers};

#[test]
fn a_closed_pool_runs_what_is_queued_and_takes_no_more() {
    with_drivers(|builder| {
        let pool = builder.max_threads(1).build().unwrap();
        let gate = occupy(&pool);
        let queued = pool.spawn(|| 1).unwrap();
        pool.close();
        pool.close();
        assert!(pool.is_closed());
        let refused = pool.spawn(|| 2).unwrap_err();
        assert!(refused.is_closed());
        assert!(pool.try_spawn(|| 2).unwrap_err().is_closed());
        let late = pool.join_timeout(Duration::from_millis(1));
        assert!(
            matches!(late, Err(PoolJoinError::TimedOut { running: 1, .. })),
            "{late:?}"
        );
        gate.open();
        pool.join().unwrap();
        assert_eq!(pool.live_threads(), 0);
        assert_eq!(queued.join().unwrap(), 1);
        pool.join().unwrap();
    });
}

#[test]
fn an_open_pool_has_no_end_to_wait_for() {
    with_drivers(|builder| {
        let pool = builder.build().unwrap();
        assert_eq!(pool.join(), Err(PoolJoinError::StillOpen));
        pool.close();
        assert_eq!(pool.join(), Ok(()));
    });
}

#[test]
fn a_task_cannot_wait_for_its_own_pool() {
    with_drivers(|builder| {
        let pool = Arc::new(builder.max_threads(1).build().unwrap());
        let inside = Arc::clone(&pool);
        let joined = pool.spawn(move || {
            inside.close();
            inside.join()
        });
        assert_eq!(joined.unwrap().join().unwrap(), Err(PoolJoinError::Inside));
    });
}

#[test]
fn terminating_drops_what_is_queued_and_cancels_what_waits() {
    with_drivers(|builder| {
        let pool = builder.max_threads(2).build().unwrap();
        let gate = occupy(&pool);
        let (sender, receiver) = channel::bounded::<()>(0);
        let begun = Arc::new(AtomicUsize::new(0));
        let told = Arc::clone(&begun);
        let waiting = pool
            .spawn(move || {
                told.store(1, Ordering::SeqCst);
                receiver.recv().is_err()
            })
            .unwrap();
        wait_until("it waits", || begun.load(Ordering::SeqCst) == 1);
        let second = occupy(&pool);
        let queued: Vec<_> = (0..100).map(|n| pool.spawn(move || n).unwrap()).collect();
        pool.terminate();
        // Those are told at once, also while every thread is blocked.
        for handle in queued {
            assert!(matches!(handle.join(), Err(JoinError::Cancelled)));
        }
        assert_eq!(pool.queued(), 0);
        assert!(!waiting.is_finished() || sender.send(()).is_err());
        gate.open();
        second.open();
        // It is no lie: the wait was cancelled, and what it returns is its value.
        assert!(waiting.join().unwrap());
        pool.join().unwrap();
    });
}

/// What a running task has spawned itself is no pending work of the pool's.
#[test]
fn cancelling_what_is_pending_leaves_what_runs_alone() {
    with_drivers(|builder| {
        let pool = builder.max_threads(1).build().unwrap();
        let gate = crate::Gate::default();
        let inside = gate.clone();
        let running = pool
            .spawn(move || {
                let children: Vec<_> = (0..10).map(|n| spawn(move || n)).collect();
                inside.pass();
                children
                    .into_iter()
                    .map(|one| one.join().unwrap())
                    .sum::<i32>()
            })
            .unwrap();
        gate.await_waiting(1);
        let queued = pool.spawn(|| ()).unwrap();
        let urgent = pool.options().priority(1).spawn(|| ()).unwrap();
        let slow = pool.options().priority(-1).spawn(|| ()).unwrap();
        pool.shutdown(false, true).unwrap();
        for handle in [queued, urgent, slow] {
            assert!(handle.join().unwrap_err().is_cancelled());
        }
        gate.open();
        assert_eq!(running.join().unwrap(), 45);
        pool.shutdown(true, true).unwrap();
        assert_eq!(pool.completed(), 1);
    });
}

#[test]
fn shutting_down_in_each_way() {
    for (wait, cancel) in [(true, true), (true, false), (false, true), (false, false)] {
        with_drivers(|builder| {
            // Unused, idle, after work.
            let pool = builder.max_threads(2).build().unwrap();
            let used = wait != cancel;
            if used {
                pool.spawn(|| ()).unwrap().join().unwrap();
            }
            pool.shutdown(wait, cancel).unwrap();
            assert!(pool.spawn(|| ()).unwrap_err().is_closed());
            pool.shutdown(true, false).unwrap();
            assert_eq!(pool.live_threads(), 0);
        });
    }
}

#[test]
fn dropping_a_pool_waits_for_all_it_was_given() {
    with_drivers(|builder| {
        let done = Arc::new(AtomicUsize::new(0));
        let pool = builder.max_threads(2).build().unwrap();
        for _ in 0..500 {
            let done = Arc::clone(&done);
            pool.spawn(move || {
                ropewalk_rt::coroutine::yield_now();
                done.fetch_add(1, Ordering::SeqCst);
            })
            .unwrap();
        }
        drop(pool);
        assert_eq!(done.load(Ordering::SeqCst), 500);
    });
}

/// The last owner is one of the pool's tasks: it can't wait for itself, and harms nobody.
#[test]
fn a_pool_dropped_by_its_own_task_runs_on_to_the_end() {
    with_drivers(|builder| {
        let pool = Arc::new(builder.max_threads(1).build().unwrap());
        let (sender, receiver) = std::sync::mpsc::channel();
        let inside = Arc::clone(&pool);
        let gate = crate::Gate::default();
        let inner = gate.clone();
        pool.spawn(move || {
            inner.pass();
            for n in 0..10 {
                let sender = sender.clone();
                inside.spawn(move || sender.send(n).unwrap()).unwrap();
            }
            drop(inside);
        })
        .unwrap();
        gate.await_waiting(1);
        drop(pool);
        gate.open();
        let mut seen: Vec<i32> = receiver.iter().collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
    });
}

#[test]
fn a_pool_may_be_dropped_in_a_callback() {
    let pool = ThreadPool::new(1).unwrap();
    let handle = pool.spawn(|| 5).unwrap();
    let done = spawn(|| ());
    done.on_done(move |_| drop(pool));
    done.join().unwrap();
    assert_eq!(handle.join().unwrap(), 5);
}

/// From coroutines of another runtime the end is waited for as a coroutine.
#[test]
fn a_coroutine_waits_for_a_pools_end() {
    for workers in [1, 2] {
        with_drivers(|builder| {
            let runtime = Runtime::builder().workers(workers).build().unwrap();
            let pool = Arc::new(builder.max_threads(1).build().unwrap());
            let gate = occupy(&pool);
            pool.close();
            runtime.run(|| {
                let other = Arc::clone(&pool);
                let joining = spawn(move || other.join());
                ropewalk_rt::coroutine::yield_now();
                assert!(!joining.is_finished());
                let other = Arc::clone(&pool);
                let cancelled = spawn(move || other.join());
                ropewalk_rt::coroutine::yield_now();
                cancelled.cancel();
                assert!(matches!(
                    cancelled.join(),
                    Ok(Err(PoolJoinError::Cancelled)) | Err(JoinError::Cancelled)
                ));
                gate.open();
                assert_eq!(joining.join().unwrap(), Ok(()));
            });
        });
    }
}

/// Spawners and the end race: each closure runs, or its spawner or handle says it did not.
#[test]
fn each_closure_is_accounted_for_when_the_end_races_spawners() {
    with_drivers(|_| ());
    for round in 0..20 {
        with_drivers(|builder| {
            let pool = Arc::new(
                builder
                    .max_threads(3)
                    .keep_alive(Duration::ZERO)
                    .queue(16)
                    .build()
                    .unwrap(),
            );
            let ran = Arc::new(AtomicUsize::new(0));
            let spawners: Vec<_> = (0..3)
                .map(|_| {
                    let (pool, ran) = (Arc::clone(&pool), Arc::clone(&ran));
                    std::thread::spawn(move || {
                        let mut said = 0;
                        loop {
                            let ran = Arc::clone(&ran);
                            match pool.spawn(move || ran.fetch_add(1, Ordering::SeqCst)) {
                                Ok(handle) => match handle.join() {
                                    Ok(_) => said += 1,
                                    Err(JoinError::Cancelled | JoinError::Shutdown) => {}
                                    Err(other) => panic!("{other:?}"),
                                },
                                Err(refused) => {
                                    assert!(refused.is_closed());
                                    return said;
                                }
                            }
                        }
                    })
                })
                .collect();
            wait_until("some ran", || ran.load(Ordering::SeqCst) > 10 * round);
            match round % 3 {
                0 => pool.terminate(),
                1 => pool.close(),
                _ => pool.cancel_pending(),
            }
            pool.join().unwrap();
            let said: usize = spawners.into_iter().map(|one| one.join().unwrap()).sum();
            assert_eq!(said, ran.load(Ordering::SeqCst));
        });
    }
}
