//! Coroutines on a worker of their own, and as many as there may be.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use ropewalk_rt::{DriverKind, Runtime, coroutine, scope, spawn_async};

use crate::stage::{close, drivers, until, until_waiting, with_runtimes};

fn limited(driver: DriverKind, workers: usize, count: usize) -> Runtime {
    Runtime::builder()
        .driver(driver)
        .workers(workers)
        .max_coroutines(count)
        .build()
        .expect("a runtime")
}

fn with_limit(count: usize, body: impl Fn(&Runtime)) {
    for driver in drivers() {
        for workers in [1, 2] {
            let runtime = limited(driver, workers, count);
            body(&runtime);
            close(runtime);
        }
    }
}

#[test]
fn a_pinned_coroutine_runs_where_it_was_put() {
    with_runtimes(|runtime| {
        let workers = runtime.workers();
        for round in 0..50 {
            let index = round % workers;
            // From a plain thread.
            let outside = runtime.spawn_on(index, coroutine::worker).unwrap();
            assert_eq!(outside.join().unwrap(), Some(index));
            // From a coroutine, wherever that is; again after waits.
            let inside = runtime.run(|| {
                let pinned = coroutine::spawn_on(index, move || {
                    let before = coroutine::worker();
                    coroutine::sleep(Duration::from_micros(50));
                    (before, coroutine::worker())
                });
                pinned.unwrap().join().unwrap()
            });
            assert_eq!(inside, (Some(index), Some(index)));
        }
    });
}

#[test]
fn a_pinned_coroutine_waits_for_its_worker_and_is_not_stolen() {
    for driver in drivers() {
        let runtime = Runtime::builder()
            .driver(driver)
            .workers(2)
            .watch(None)
            .build()
            .unwrap();
        let (busy, enough) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicBool::new(false)),
        );
        let keeper = {
            let (busy, enough) = (Arc::clone(&busy), Arc::clone(&enough));
            runtime.spawn_on(0, move || {
                busy.store(true, Ordering::SeqCst);
                while !enough.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
            })
        };
        until(|| busy.load(Ordering::SeqCst));
        let pinned: Vec<_> = (0..20)
            .map(|_| runtime.spawn_on(0, coroutine::worker).unwrap())
            .collect();
        // The other worker has a thousand reasons to look for work meanwhile.
        for _ in 0..1000 {
            runtime.spawn_on(1, || ()).unwrap().join().unwrap();
        }
        assert!(pinned.iter().all(|handle| !handle.is_finished()));
        enough.store(true, Ordering::SeqCst);
        keeper.unwrap().join().unwrap();
        for handle in pinned {
            assert_eq!(handle.join().unwrap(), Some(0));
        }
        close(runtime);
    }
}

#[test]
fn a_worker_that_is_not_there_is_an_error() {
    with_runtimes(|runtime| {
        let workers = runtime.workers();
        for index in [workers, workers + 1, usize::MAX] {
            let error = runtime.spawn_on(index, || ()).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
            assert!(error.to_string().contains("no such worker"), "{error}");
            let inside = runtime.run(|| coroutine::spawn_on(index, || ()).unwrap_err().kind());
            assert_eq!(inside, std::io::ErrorKind::InvalidInput);
        }
        let task = coroutine::Builder::new().on_worker(0).spawn_async(async {});
        assert_eq!(task.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
    });
}

#[test]
fn pinned_closures_that_never_ran_are_dropped_at_the_end() {
    for driver in drivers() {
        let runtime = Runtime::builder()
            .driver(driver)
            .workers(2)
            .watch(None)
            .build()
            .unwrap();
        let (busy, enough) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicBool::new(false)),
        );
        {
            let (busy, enough) = (Arc::clone(&busy), Arc::clone(&enough));
            let keeper = runtime.spawn_on(1, move || {
                busy.store(true, Ordering::SeqCst);
                while !enough.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
            });
            drop(keeper);
        }
        until(|| busy.load(Ordering::SeqCst));
        let held = Arc::new(());
        let handles: Vec<_> = (0..5)
            .map(|_| {
                let held = Arc::clone(&held);
                runtime.spawn_on(1, move || drop(held)).unwrap()
            })
            .collect();
        let handle = runtime.handle();
        let stopper = std::thread::spawn(move || drop(runtime));
        until(|| handle.is_closed());
        enough.store(true, Ordering::SeqCst);
        stopper.join().unwrap();
        for handle in handles {
            assert!(matches!(
                handle.join(),
                Err(ropewalk_rt::JoinError::Shutdown)
            ));
        }
        assert_eq!(Arc::strong_count(&held), 1);
    }
}

#[test]
fn there_are_never_more_than_there_may_be() {
    const MAX: usize = 5;
    with_limit(MAX, |runtime| {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = || {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            move || {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                coroutine::sleep(Duration::from_micros(100));
                now.fetch_sub(1, Ordering::SeqCst);
            }
        };
        // From a plain thread, from a coroutine, and async tasks.
        for _ in 0..100 {
            runtime.spawn(work());
        }
        runtime.run(|| {
            for _ in 0..100 {
                ropewalk_rt::spawn(work());
                let work = work();
                spawn_async(async move { work() });
            }
        });
        until(|| runtime.live() == 0);
        assert!((1..=MAX).contains(&most.load(Ordering::SeqCst)), "{most:?}");
    });
}

#[test]
fn at_the_limit_spawn_waits_and_try_spawn_gives_the_closure_back() {
    with_limit(2, |runtime| {
        let gate = Arc::new(ropewalk_rt::sync::Event::new());
        let holder = {
            let gate = Arc::clone(&gate);
            runtime.spawn(move || gate.wait())
        };
        let spawner = runtime.spawn(|| ropewalk_rt::spawn(|| 7).join().unwrap());
        until_waiting(spawner.id(), "waiting for a place to spawn");
        let value = Box::new(3);
        let refused = runtime.try_spawn(move || *value).unwrap_err();
        assert!(refused.is_full());
        assert!(
            refused.to_string().contains("as many coroutines as it may"),
            "{refused}"
        );
        assert_eq!(refused.into_inner()(), 3);
        // A plain thread waits too.
        let outside = std::thread::scope(|s| {
            let outside = s.spawn(|| runtime.spawn(|| 8).join().unwrap());
            gate.set();
            outside.join().unwrap()
        });
        assert_eq!(outside, 8);
        assert_eq!(spawner.join().unwrap(), 7);
        holder.join().unwrap().unwrap();
        until(|| runtime.live() == 0);
        let handle = runtime.try_spawn(|| 9);
        assert_eq!(handle.unwrap().join().unwrap(), 9);
    });
}

#[test]
fn places_come_back_from_panics_and_scopes() {
    with_limit(4, |runtime| {
        runtime.run(|| {
            for round in 0..50 {
                let ended = ropewalk_rt::spawn(move || assert!(round % 10 != 3)).join();
                assert_eq!(ended.is_err(), round % 10 == 3);
                scope(|s| {
                    for _ in 0..10 {
                        s.spawn(coroutine::yield_now);
                    }
                });
            }
        });
        until(|| runtime.live() == 0);
        // All four are there again.
        let gate = Arc::new(ropewalk_rt::sync::Event::new());
        let holders: Vec<_> = (0..4)
            .map(|_| {
                let gate = Arc::clone(&gate);
                runtime.try_spawn(move || gate.wait()).unwrap()
            })
            .collect();
        assert!(runtime.try_spawn(|| ()).is_err());
        gate.set();
        holders.into_iter().for_each(|holder| {
            holder.join().unwrap().unwrap();
        });
    });
}

#[test]
fn who_may_not_wait_goes_over_the_limit() {
    with_limit(1, |runtime| {
        let late = runtime.run(|| coroutine::no_wait(|| ropewalk_rt::spawn(|| 5)));
        assert_eq!(late.join().unwrap(), 5);
        let (sender, receiver) = ropewalk_rt::channel::unbounded();
        let first = runtime.spawn(|| ());
        first.on_done(move |_| {
            // Perhaps on the worker, between two coroutines.
            let _ = sender.send(ropewalk_rt::spawn(|| 6));
        });
        assert_eq!(receiver.recv().unwrap().join().unwrap(), 6);
        first.join().unwrap();
        assert_eq!(runtime.live(), 0);
        assert_eq!(runtime.try_spawn(|| 7).unwrap().join().unwrap(), 7);
    });
}

#[test]
fn a_runtime_that_stops_lets_go_of_who_waits_for_a_place() {
    for driver in drivers() {
        let runtime = limited(driver, 1, 1);
        let handle = runtime.handle();
        let gate = Arc::new(ropewalk_rt::sync::Event::new());
        let stuck = {
            let gate = Arc::clone(&gate);
            runtime.spawn(move || gate.wait())
        };
        until_waiting(stuck.id(), "waiting for an event");
        let waiting = Arc::new(AtomicBool::new(false));
        let outside = {
            let waiting = Arc::clone(&waiting);
            std::thread::spawn(move || {
                waiting.store(true, Ordering::SeqCst);
                handle.spawn(|| ()).join().is_err()
            })
        };
        until(|| waiting.load(Ordering::SeqCst));
        assert!(runtime.shutdown(Duration::from_millis(50)).is_err());
        assert!(outside.join().unwrap(), "what comes too late never runs");
        drop(gate);
    }
}
