//! A runtime as an event loop: running until something is done, delayed calls, closing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use ropewalk_rt::cancel::{self, shield};
use ropewalk_rt::future::sleep_async;
use ropewalk_rt::sync::Event;
use ropewalk_rt::{Closed, JoinError, Runtime, RuntimeHandle, coroutine};

use crate::stage::{PATIENCE, drivers, worker_counts};

const HOUR: Duration = Duration::from_secs(3600);

/// Runs `body` with a runtime of each kind.
fn each(body: impl Fn(Runtime)) {
    for driver in drivers() {
        for workers in worker_counts() {
            let runtime = Runtime::builder().driver(driver).workers(workers);
            body(runtime.build().expect("a runtime"));
        }
    }
}

#[test]
fn a_future_is_run_until_it_is_complete_and_may_borrow() {
    each(|runtime| {
        let numbers = [1, 2, 3];
        let sum = runtime.run_until_complete(async {
            sleep_async(Duration::from_micros(10)).await;
            numbers.iter().sum::<i32>()
        });
        assert_eq!(sum, 6);
        assert!(!runtime.is_running());
        let handle = runtime.handle();
        assert!(runtime.run_until_complete(async move { handle.is_running() }));
        runtime.shutdown(PATIENCE).unwrap();
    });
}

#[test]
fn calls_are_made_in_order_and_never_beside_one_another() {
    each(|runtime| {
        let mut lead = Duration::from_millis(30);
        loop {
            let seen = Arc::new(Mutex::new(Vec::new()));
            let note = |text: &'static str| {
                let seen = Arc::clone(&seen);
                move || {
                    // A second call at the same time would find it locked.
                    seen.try_lock().expect("one call at a time").push(text);
                }
            };
            let first = Instant::now() + lead;
            let at = |ms| first + Duration::from_millis(ms);
            let handle = runtime.handle();
            runtime.call_at(at(4), move || handle.stop());
            runtime.call_at(at(2), note("d"));
            runtime.call_at(first, note("b"));
            runtime.call_at(first, note("c"));
            runtime.call_soon(note("a"));
            let cancelled = runtime.call_at(first + HOUR, note("never"));
            assert!(cancelled.is_pending());
            assert!(cancelled.cancel());
            assert!(!cancelled.cancel() && !cancelled.is_pending());
            let in_time = Instant::now() < first;
            runtime.run_forever();
            if in_time {
                assert_eq!(*seen.lock().unwrap(), ["a", "b", "c", "d"]);
                break;
            }
            // Some were due before all had been asked for: the machine is busy.
            lead *= 2;
        }
        let now = Instant::now();
        assert_eq!(runtime.call_at(now, || ()).when(), now);
        runtime.shutdown(PATIENCE).unwrap();
    });
}

#[test]
fn calls_come_from_threads_coroutines_and_calls() {
    each(|runtime| {
        const EACH: usize = 200;
        let made = Arc::new(AtomicUsize::new(0));
        let all = Arc::new(Event::new());
        let call = |handle: &RuntimeHandle| {
            let (made, all) = (Arc::clone(&made), Arc::clone(&all));
            handle
                .call_soon(move || {
                    if made.fetch_add(1, Ordering::SeqCst) + 1 == 3 * EACH {
                        all.set();
                    }
                })
                .unwrap();
        };
        let handle = runtime.handle();
        std::thread::scope(|s| {
            s.spawn(|| (0..EACH).for_each(|_| call(&handle)));
            runtime.run(|| (0..EACH).for_each(|_| call(&RuntimeHandle::current().unwrap())));
        });
        for _ in 0..EACH {
            let inner = runtime.handle();
            let (made, all) = (Arc::clone(&made), Arc::clone(&all));
            runtime.call_soon(move || {
                let again = move || {
                    if made.fetch_add(1, Ordering::SeqCst) + 1 == 3 * EACH {
                        all.set();
                    }
                };
                inner.call_soon(again).unwrap();
            });
        }
        all.wait().unwrap();
        assert_eq!(made.load(Ordering::SeqCst), 3 * EACH);
        runtime.shutdown(PATIENCE).unwrap();
    });
}

// A call is either made or cancelled, and whoever cancels is told which.
#[test]
fn a_call_that_is_cancelled_as_it_is_made_is_one_or_the_other() {
    each(|runtime| {
        for round in 0..500 {
            let made = Arc::new(AtomicUsize::new(0));
            let count = Arc::clone(&made);
            let call = runtime.call_soon(move || {
                count.fetch_add(1, Ordering::SeqCst);
            });
            for _ in 0..round % 50 * 20 {
                std::hint::spin_loop();
            }
            let cancelled = call.cancel();
            // What is asked for later is made later.
            let over = Arc::new(Event::new());
            let tell = Arc::clone(&over);
            runtime.call_soon(move || {
                tell.set();
            });
            over.wait().unwrap();
            assert_eq!(made.load(Ordering::SeqCst), usize::from(!cancelled));
            assert!(!call.is_pending() && !call.cancel());
        }
        runtime.shutdown(PATIENCE).unwrap();
    });
}

// To ask for a call waits for nobody: also where there may be no more coroutines.
#[test]
fn a_call_needs_no_place_among_the_coroutines() {
    for driver in drivers() {
        let runtime = Runtime::builder().driver(driver).workers(1);
        let runtime = runtime.max_coroutines(1).build().unwrap();
        let handle = runtime.handle();
        let made = runtime.run(move || {
            let made = Arc::new(Event::new());
            let tell = Arc::clone(&made);
            let call = handle.call_soon(move || {
                tell.set();
            });
            assert!(call.is_ok());
            made.wait_timeout(PATIENCE).is_ok()
        });
        assert!(made);
        runtime.shutdown(PATIENCE).unwrap();
    }
}

// Who drops the closure's captures, or what it panicked with, may panic in turn.
#[test]
fn a_panic_that_panics_when_dropped_leaves_the_others() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                std::panic::resume_unwind(Box::new("once more"));
            }
        }
    }
    each(|runtime| {
        let (sender, receiver) = mpsc::channel();
        runtime.call_soon(|| std::panic::resume_unwind(Box::new(Bomb)));
        runtime.call_soon(move || sender.send(()).unwrap());
        assert!(receiver.recv_timeout(PATIENCE).is_ok());
        runtime.shutdown(PATIENCE).unwrap();
    });
}

#[test]
fn a_call_that_panics_leaves_the_others() {
    each(|runtime| {
        let (sender, receiver) = mpsc::channel();
        runtime.call_soon(|| std::panic::resume_unwind(Box::new("on purpose")));
        runtime.call_soon(move || sender.send(coroutine::current().name()).unwrap());
        assert_eq!(receiver.recv().unwrap().as_deref(), Some("calls"));
        runtime.shutdown(PATIENCE).unwrap();
    });
}

#[test]
fn a_call_stands_under_no_token() {
    each(|runtime| {
        let (sender, receiver) = mpsc::channel();
        let handle = runtime.handle();
        runtime.run(move || {
            let token = cancel::Token::new();
            token.run(|| {
                handle
                    .call_later(Duration::from_millis(1), move || {
                        sender.send(cancel::check().is_ok()).unwrap();
                    })
                    .unwrap();
            });
            token.cancel();
        });
        assert!(receiver.recv().unwrap());
        runtime.shutdown(PATIENCE).unwrap();
    });
}

#[test]
fn stopping_lets_all_go_also_who_comes_later() {
    each(|runtime| {
        runtime.stop();
        runtime.run_forever();
        std::thread::scope(|s| {
            let waiting: Vec<_> = (0..3).map(|_| s.spawn(|| runtime.run_forever())).collect();
            while !runtime.is_running() {
                std::thread::yield_now();
            }
            // A thread that comes after the stop of others waits for one of its own.
            while waiting.iter().any(|thread| !thread.is_finished()) {
                runtime.stop();
                std::thread::yield_now();
            }
        });
        assert!(!runtime.is_running());
        runtime.shutdown(PATIENCE).unwrap();
    });
}

#[test]
fn shutting_down_drops_the_calls_that_are_not_due() {
    each(|runtime| {
        let held = Arc::new(());
        let inside = Arc::clone(&held);
        let call = runtime.call_later(HOUR, move || drop(inside));
        let handle = runtime.handle();
        runtime.shutdown(PATIENCE).unwrap();
        assert_eq!(Arc::strong_count(&held), 1);
        assert!(!call.is_pending() && !call.cancel());
        assert!(handle.is_closed());
        assert_eq!(handle.call_soon(|| ()).unwrap_err(), Closed);
        assert!(matches!(
            handle.spawn(|| ()).join(),
            Err(JoinError::Shutdown)
        ));
    });
}

#[test]
fn a_dropped_runtime_drops_its_calls() {
    each(|runtime| {
        let held = Arc::new(());
        let (inside, handle) = (Arc::clone(&held), runtime.handle());
        // A circle: the call holds a handle, the handle the calls.
        runtime.call_later(HOUR, move || drop((inside, handle)));
        drop(runtime);
        assert_eq!(Arc::strong_count(&held), 1);
    });
}

#[test]
fn closing_cancels_all_that_waits_and_what_it_spawns() {
    each(|runtime| {
        let ended = Arc::new(AtomicUsize::new(0));
        for _ in 0..50 {
            let count = Arc::clone(&ended);
            runtime.spawn(move || {
                assert!(cancel::sleep(HOUR).is_err());
                // A successor, which is cancelled too, started or not.
                let inner = Arc::clone(&count);
                coroutine::spawn(move || {
                    let _ = cancel::sleep(HOUR);
                    inner.fetch_add(1000, Ordering::SeqCst);
                });
                count.fetch_add(1, Ordering::SeqCst);
            });
            runtime.spawn_async(sleep_async(HOUR));
            runtime.spawn_async(async {
                let _ = cancel::sleep(HOUR);
            });
        }
        // Let them all begin to wait: what hasn't begun is dropped, which is another case.
        while runtime
            .list()
            .iter()
            .filter(|task| task.is_started())
            .count()
            < 150
        {
            std::thread::yield_now();
        }
        runtime.close(PATIENCE).unwrap();
        assert_eq!(ended.load(Ordering::SeqCst) % 1000, 50);
    });
}

#[test]
fn closing_reports_who_shields_itself() {
    for driver in drivers() {
        for workers in worker_counts() {
            let mut grace = Duration::from_millis(100);
            loop {
                let runtime = crate::stage::runtime(driver, workers);
                let shielded = runtime.spawn(|| shield(|| cancel::sleep(HOUR))).id();
                runtime.spawn(|| cancel::sleep(HOUR));
                while runtime.list().iter().any(|task| !task.is_started()) {
                    std::thread::yield_now();
                }
                let left = runtime.close(grace).unwrap_err();
                let mut ids = left.left.iter().map(|task| task.id);
                assert!(ids.any(|id| id == shielded), "{left}");
                if left.left.len() == 1 {
                    break;
                }
                // The other has not had its turn: the machine is busy.
                grace *= 2;
                assert!(grace < PATIENCE, "{left}");
            }
        }
    }
}

// Whoever drops a runtime waits for its workers to leave, as others do: without keeping its own.
#[test]
fn a_runtime_dropped_in_a_coroutine_of_another_keeps_no_worker() {
    for driver in drivers() {
        let outer = Runtime::builder().driver(driver).workers(1);
        let outer = outer.build().unwrap();
        outer.run(|| {
            let inner = Runtime::builder().driver(driver).workers(2);
            let inner = inner.build().unwrap();
            let (release, blocked) = mpsc::channel::<()>();
            let (started, begun) = mpsc::channel();
            let left = inner.spawn(move || {
                started.send(()).unwrap();
                blocked.recv().is_ok()
            });
            begun.recv().unwrap();
            // Comes to run only if the one worker is free meanwhile.
            let releasing = coroutine::spawn(move || release.send(()).is_ok());
            drop(inner);
            assert!(releasing.is_finished());
            assert!(releasing.join().unwrap());
            assert!(left.join().unwrap());
        });
        outer.shutdown(PATIENCE).unwrap();
    }
}

// ... in any order, with what they have spawned on one another.
#[test]
fn runtimes_dropped_in_each_others_coroutines_leave_nobody_waiting() {
    for driver in drivers() {
        let outer = Runtime::builder().driver(driver).workers(2);
        let outer = outer.build().unwrap();
        let here = outer.handle();
        outer.run(|| {
            let dropping: Vec<_> = (0..8)
                .map(|n| {
                    let here = here.clone();
                    coroutine::spawn(move || {
                        let inner = Runtime::builder().driver(driver).workers(1);
                        let inner = inner.build().unwrap();
                        let back = inner.spawn(move || here.spawn(move || n).join().unwrap());
                        let never = inner.call_later(HOUR, || ());
                        if n % 2 == 0 {
                            assert_eq!(back.join().unwrap(), n);
                            drop(inner);
                        } else {
                            inner.close(PATIENCE).unwrap();
                            // Cancelled, or in time.
                            let _ = back.join();
                        }
                        assert!(!never.is_pending());
                    })
                })
                .collect();
            dropping.into_iter().for_each(|one| one.join().unwrap());
        });
        outer.shutdown(PATIENCE).unwrap();
    }
}

#[test]
fn runtimes_live_side_by_side() {
    each(|first| {
        let second = Runtime::builder().workers(1).build().unwrap();
        let inner = second.handle();
        let both = first.run(move || {
            let here = RuntimeHandle::current().unwrap().workers();
            let there = inner.spawn(|| RuntimeHandle::current().unwrap().workers());
            (here, there.join().unwrap())
        });
        assert_eq!(both, (first.workers(), 1));
        assert!(RuntimeHandle::current().is_none());
        first.close(PATIENCE).unwrap();
        assert_eq!(second.run_until_complete(async { 1 }), 1);
        second.close(PATIENCE).unwrap();
    });
}
