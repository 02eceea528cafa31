//! Runtimes: made, side by side, shut down, dropped.

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use ropewalk_rt::{DriverKind, Runtime, channel, coroutine, spawn};

use crate::process::{alone, text, well_alone};
use crate::stage::{PATIENCE, any_runtime, close, drivers, until, until_waiting, with_runtimes};

// A runtime is what it was told to be.
#[test]
fn settings() {
    for driver in drivers() {
        let builder = Runtime::builder()
            .workers(3)
            .driver(driver)
            .thread_name("yarn");
        let runtime = builder.stack_size(2 << 20).build().unwrap();
        assert_eq!(
            (runtime.workers(), runtime.driver(), runtime.live()),
            (3, driver, 0)
        );
        let name = runtime.run(|| std::thread::current().name().map(str::to_owned));
        let name = name.unwrap();
        assert!(["yarn-0", "yarn-1", "yarn-2"].contains(&&*name), "{name}");
        let told = format!("{runtime:?}");
        assert!(
            told.contains("workers: 3") && told.contains(driver.as_str()),
            "{told}"
        );
        close(runtime);
    }
}

// Settings that make no sense are refused, and say why.
#[test]
fn settings_without_sense() {
    for workers in [0, 1025, usize::MAX] {
        let error = Runtime::builder().workers(workers).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("1 to 1024"), "{error}");
    }
    assert!(
        Runtime::builder()
            .workers(1)
            .stack_size(usize::MAX)
            .build()
            .is_err()
    );
}

// The environment's settings hold where the program has none; what it asks for must exist.
#[test]
fn settings_of_the_environment() {
    well_alone(
        &[("ROPEWALK_WORKERS", "3"), ("ROPEWALK_DRIVER", "epoll")],
        || {
            let runtime = Runtime::new().unwrap();
            assert_eq!(
                (runtime.workers(), runtime.driver()),
                (3, DriverKind::Epoll)
            );
            close(runtime);
            let runtime = Runtime::builder().workers(1).build().unwrap();
            assert_eq!(
                (runtime.workers(), runtime.driver()),
                (1, DriverKind::Epoll)
            );
            close(runtime);
        },
    );
}

/// What `Runtime::new` and the global runtime say in an environment that makes no sense.
fn refuses(test: &str, variable: (&str, &str)) {
    let deed = || {
        let error = Runtime::new().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        eprintln!("refused: {error}");
        let error = coroutine::Builder::new().spawn(|| ()).unwrap_err();
        eprintln!("refused: {error}");
        let caught = catch_unwind(|| spawn(|| ()));
        assert!(caught.is_err());
    };
    let Some(output) = alone(test, &[variable], deed) else {
        return;
    };
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    let (name, value) = variable;
    let refusals = said.matches("refused: ").count();
    assert_eq!(refusals, 2, "{said}");
    for refusal in said.lines().filter(|line| line.contains("refused: ")) {
        assert!(
            refusal.contains(name) && refusal.contains(value),
            "{refusal}"
        );
    }
    assert!(
        said.contains("the global runtime can't be started"),
        "{said}"
    );
}

#[test]
fn workers_that_are_no_number() {
    refuses(
        "runtimes::workers_that_are_no_number",
        ("ROPEWALK_WORKERS", "several"),
    );
}

#[test]
fn workers_that_are_none() {
    refuses("runtimes::workers_that_are_none", ("ROPEWALK_WORKERS", "0"));
}

#[test]
fn a_driver_that_does_not_exist() {
    refuses(
        "runtimes::a_driver_that_does_not_exist",
        ("ROPEWALK_DRIVER", "kqueue"),
    );
}

// A run gives its value, and its panic; it may borrow; it may be called in a coroutine of the
// same runtime or another.
#[test]
fn running() {
    with_runtimes(|runtime| {
        let mut text = String::from("bor");
        let len = runtime.run(|| {
            text.push_str("rowed");
            text.len()
        });
        assert_eq!((len, &*text), (8, "borrowed"));
        let caught = catch_unwind(AssertUnwindSafe(|| {
            runtime.run(|| std::panic::panic_any(3i64))
        }));
        assert_eq!(caught.unwrap_err().downcast_ref::<i64>(), Some(&3));
        assert_eq!(runtime.run(|| runtime.run(|| 1) + 1), 2);
        let other = any_runtime(1);
        let nested = runtime.run(|| other.run(|| runtime.run(|| spawn(|| 5).join().unwrap())));
        assert_eq!(nested, 5);
        close(other);
        assert_eq!(
            runtime.run(|| coroutine::current().name()).as_deref(),
            Some("main")
        );
    });
}

// Several runtimes work side by side; what is spawned inside one stays there.
#[test]
fn side_by_side() {
    let runtimes: Vec<_> = (0..6).map(|n| any_runtime(1 + n % 2)).collect();
    std::thread::scope(|s| {
        for runtime in &runtimes {
            s.spawn(|| {
                let total: u32 = runtime.run(|| {
                    let handles: Vec<_> = (0..200).map(|n| spawn(move || n)).collect();
                    handles
                        .into_iter()
                        .map(|handle| handle.join().unwrap())
                        .sum()
                });
                assert_eq!(total, 199 * 200 / 2);
            });
        }
    });
    runtimes.into_iter().for_each(close);
}

// Threads spawn onto one runtime all at once: every closure runs.
#[test]
fn spawned_from_many_threads() {
    with_runtimes(|runtime| {
        let ran = Arc::new(AtomicUsize::new(0));
        std::thread::scope(|s| {
            for _ in 0..6 {
                s.spawn(|| {
                    for n in 0..1_000 {
                        let ran = Arc::clone(&ran);
                        let handle = runtime.spawn(move || ran.fetch_add(1, Ordering::Relaxed));
                        if n % 100 == 0 {
                            handle.join().unwrap();
                        }
                    }
                });
            }
        });
        until(|| ran.load(Ordering::Relaxed) == 6_000);
    });
}

// A shutdown waits for those who run, and for those whom they spawn meanwhile.
#[test]
fn a_shutdown_waits() {
    for driver in drivers() {
        for workers in [1, 2] {
            let ended = Arc::new(AtomicUsize::new(0));
            let runtime = crate::stage::runtime(driver, workers);
            for n in 0..50 {
                let ended = Arc::clone(&ended);
                runtime.spawn(move || {
                    coroutine::sleep(Duration::from_micros(n * 100));
                    let inner = Arc::clone(&ended);
                    spawn(move || {
                        coroutine::yield_now();
                        inner.fetch_add(1, Ordering::Relaxed);
                    });
                    ended.fetch_add(1, Ordering::Relaxed);
                });
            }
            close(runtime);
            assert_eq!(ended.load(Ordering::Relaxed), 100);
        }
    }
}

// A runtime without work is shut down at once, whatever the patience.
#[test]
fn a_quiet_runtime_ends_at_once() {
    for driver in drivers() {
        let runtime = crate::stage::runtime(driver, 2);
        runtime.run(|| coroutine::sleep(Duration::from_millis(1)));
        runtime.shutdown(Duration::MAX).unwrap();
        let runtime = crate::stage::runtime(driver, 2);
        runtime.shutdown(Duration::ZERO).unwrap();
    }
}

// A handle that is kept past the end still has its value.
#[test]
fn handles_outlive_the_runtime() {
    let runtime = any_runtime(1);
    let handle = runtime.spawn(|| "kept");
    let error = runtime.spawn(|| panic!("kept too"));
    close(runtime);
    assert!(handle.is_finished() && !handle.task().is_alive());
    assert_eq!(handle.join().unwrap(), "kept");
    assert_eq!(error.join().unwrap_err().panic_message(), Some("kept too"));
}

// A shutdown whose patience ends says who is left, by name, place and what they wait for. They
// are never unwound: what they own stays.
#[test]
fn a_shutdown_says_who_is_left() {
    // Alone, as those who are left stay for ever.
    well_alone(&[], || {
        for driver in drivers() {
            let owned = Arc::new(());
            let runtime = crate::stage::runtime(driver, 2);
            let (sender, receiver) = channel::bounded::<()>(0);
            let (name, waits) = ("the one who waits", Arc::clone(&owned));
            let waiting = runtime.run(move || {
                let builder = coroutine::Builder::new().name(name);
                let builder = builder.spawn(move || {
                    let _owned = waits;
                    receiver.recv()
                });
                builder.unwrap()
            });
            until_waiting(waiting.id(), "receiving");
            let sleeping = runtime.spawn(|| coroutine::sleep(Duration::from_secs(3600)));
            until_waiting(sleeping.id(), "sleeping");
            let left = runtime.shutdown(Duration::from_millis(20)).unwrap_err();
            assert_eq!(left.left.len(), 2, "{left}");
            let told = left.to_string();
            assert!(told.contains("2 coroutines had not ended"), "{told}");
            assert!(
                told.contains("'the one who waits'") && told.contains("receiving"),
                "{told}"
            );
            assert!(
                told.contains("runtimes.rs") && told.contains("sleeping"),
                "{told}"
            );
            assert_eq!(Arc::strong_count(&owned), 2);
            assert!(waiting.task().is_alive() && !waiting.is_finished());
            // Nobody resumes it, though it is woken.
            drop(sender);
            let waiting = waiting.join_timeout(Duration::from_millis(5)).unwrap_err();
            drop(waiting);
            drop(sleeping);
            assert_eq!(Arc::strong_count(&owned), 2);
            // The others are as good as before.
            let other = any_runtime(1);
            assert_eq!(other.run(|| spawn(|| 1).join().unwrap()), 1);
            close(other);
        }
    });
}

/// Blocks the only worker until told to go on; gives the word to do so.
fn block_the_worker(runtime: &Runtime) -> mpsc::Sender<()> {
    let (go, gone) = mpsc::channel::<()>();
    let (blocked, is_blocked) = mpsc::channel();
    runtime.spawn(move || {
        blocked.send(()).unwrap();
        // The thread, not only the coroutine.
        let _ = gone.recv();
    });
    is_blocked.recv().unwrap();
    go
}

// A closure that had not started when its runtime was stopped is dropped, once, with all it
// owns; its handle says so in each of its ways.
#[test]
fn what_never_started_is_dropped() {
    for driver in drivers() {
        let runtime = crate::stage::runtime(driver, 1);
        let go = block_the_worker(&runtime);
        let owned = Arc::new(());
        let handles: Vec<_> = (0..3)
            .map(|_| {
                let owned = Arc::clone(&owned);
                runtime.spawn(move || drop(owned))
            })
            .collect();
        let left = runtime.shutdown(Duration::ZERO).unwrap_err();
        assert_eq!(left.left.len(), 1, "the one who blocks: {left}");
        assert_eq!(Arc::strong_count(&owned), 1);
        let mut handles = handles.into_iter();
        let error = handles.next().unwrap().join().unwrap_err();
        assert!(error.is_shutdown() && !error.is_panic());
        assert_eq!(error.panic_message(), None);
        assert!(error.to_string().contains("shut down"), "{error}");
        assert!(error.try_into_panic().unwrap_err().is_shutdown());
        let outcome = handles.next().unwrap().try_join();
        assert!(outcome.expect("ended").unwrap_err().is_shutdown());
        let outcome = ropewalk_rt::block_on(handles.next().unwrap());
        assert!(outcome.unwrap_err().is_shutdown());
        go.send(()).unwrap();
    }
}

// The same for closures in the worker's own queue, which another coroutine spawned: once the
// runtime stops, nothing new is started.
#[test]
fn nothing_starts_after_the_stop() {
    for driver in drivers() {
        let runtime = crate::stage::runtime(driver, 1);
        let (go, gone) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel();
        runtime.spawn(move || {
            tell.send(spawn(|| ())).unwrap();
            let _ = gone.recv();
        });
        let handle = told.recv().unwrap();
        let left = runtime.shutdown(Duration::ZERO).unwrap_err();
        assert!(!left.left.is_empty());
        go.send(()).unwrap();
        assert!(handle.join().unwrap_err().is_shutdown());
    }
}

// A coroutine that spawns its successor and ends doesn't keep a dropped runtime going for ever.
#[test]
fn a_chain_of_spawns_ends_with_its_runtime() {
    // Alone: it would go on to the end of the process.
    well_alone(&[], || {
        fn again(link: Arc<()>) {
            let next = link;
            spawn(move || again(next));
        }
        for driver in drivers() {
            let link = Arc::new(());
            let runtime = crate::stage::runtime(driver, 1);
            runtime.run(|| again(Arc::clone(&link)));
            drop(runtime);
            let begun = Instant::now();
            until(|| {
                assert!(begun.elapsed() < PATIENCE, "it goes on");
                Arc::strong_count(&link) == 1
            });
        }
    });
}

// Dropping a runtime without shutting it down stops it too.
#[test]
fn dropping_without_a_shutdown() {
    for driver in drivers() {
        for workers in [1, 2] {
            let runtime = crate::stage::runtime(driver, workers);
            let handle = runtime.spawn(|| 2);
            assert_eq!(handle.join().unwrap(), 2);
            drop(runtime);
            // Unused.
            drop(crate::stage::runtime(driver, workers));
        }
    }
}

// A coroutine can't shut its own runtime down: it is told so, and the process lives on.
#[test]
fn a_runtime_is_not_shut_down_from_inside() {
    well_alone(&[], || {
        let runtime = Arc::new(any_runtime(1));
        let handle = runtime.spawn({
            let runtime = Arc::clone(&runtime);
            move || {
                until(|| Arc::strong_count(&runtime) == 1);
                let runtime = Arc::into_inner(runtime).expect("the last one");
                runtime.shutdown(Duration::ZERO).is_ok()
            }
        });
        drop(runtime);
        let error = handle.join().unwrap_err();
        let message = error.panic_message().unwrap().to_owned();
        assert!(message.contains("one of its own coroutines"), "{message}");
    });
}
