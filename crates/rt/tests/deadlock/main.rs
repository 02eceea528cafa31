//! Circles of locks are reported as they close, with every stack; a program that can never go
//! on ends with a report.
//!
//! The hook for reports is the process's: tests of circles take turns.

#[path = "../it/process.rs"]
mod process;
#[path = "../it/stage.rs"]
#[allow(dead_code)]
mod stage;

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as StdMutex, MutexGuard as StdGuard, PoisonError};
use std::time::Duration;

use ropewalk_rt::deadlock::{self, Deadlock};
use ropewalk_rt::sync::{Barrier, Condvar, Mutex, MutexExt, ReentrantMutex};
use ropewalk_rt::{Runtime, channel, coroutine, thread};

use process::well_alone;
use stage::{until, with_runtimes};

/// The reports of this test alone.
struct Reports {
    found: Arc<StdMutex<Vec<Deadlock>>>,
    _turn: StdGuard<'static, ()>,
}

impl Reports {
    fn collect() -> Reports {
        static TURN: StdMutex<()> = StdMutex::new(());
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let found: Arc<StdMutex<Vec<Deadlock>>> = Arc::default();
        let sink = Arc::clone(&found);
        deadlock::track(true);
        deadlock::set_hook(move |deadlock| sink.lock().unwrap().push(deadlock.clone()));
        Reports { found, _turn: turn }
    }

    fn one(&self) -> Deadlock {
        until(|| !self.found.lock().unwrap().is_empty());
        self.found.lock().unwrap().remove(0)
    }

    fn none(&self) {
        assert!(self.found.lock().unwrap().is_empty());
    }
}

impl Drop for Reports {
    fn drop(&mut self) {
        deadlock::take_hook();
    }
}

/// Stops a runtime with coroutines that can never end.
fn give_up(runtime: Runtime, stuck: usize) {
    let left = runtime.shutdown(Duration::ZERO).unwrap_err();
    assert_eq!(left.left.len(), stuck, "{left}");
}

#[inline(never)]
fn takes_the_second_lock(lock: &Mutex<()>) {
    drop(lock.lock());
}

#[test]
fn two_locks_in_two_orders() {
    let reports = Reports::collect();
    for driver in stage::drivers() {
        for workers in stage::worker_counts() {
            let runtime = stage::runtime(driver, workers);
            let locks = Arc::new([const { Mutex::new(()) }; 2]);
            let both = Arc::new(Barrier::new(2));
            for first in [0, 1] {
                let (locks, both) = (Arc::clone(&locks), Arc::clone(&both));
                runtime.run(move || {
                    let body = move || {
                        let _held = locks[first].lock();
                        both.wait();
                        takes_the_second_lock(&locks[1 - first]);
                    };
                    let builder = coroutine::Builder::new().name(format!("philosopher {first}"));
                    drop(builder.spawn(body).unwrap());
                });
            }
            let deadlock = reports.one();
            assert_eq!(deadlock.members().len(), 2);
            let text = deadlock.to_string();
            for name in ["philosopher 0", "philosopher 1"] {
                assert!(text.contains(name), "{text}");
            }
            for member in deadlock.members() {
                let stack = member.stack().expect("each stack is there");
                assert!(stack.contains("takes_the_second_lock"), "{stack}");
                // The runtime's own frames are left out, those of the report too.
                let first = stack.lines().next().unwrap();
                assert!(first.contains("deadlock::"), "{stack}");
            }
            give_up(runtime, 2);
        }
    }
}

#[test]
fn a_lock_taken_twice() {
    let reports = Reports::collect();
    with_runtimes_that_stick(1, |runtime| {
        runtime.run(|| {
            coroutine::spawn(|| {
                let lock = Mutex::new(());
                let _held = lock.lock();
                takes_the_second_lock(&lock);
            });
        });
        let deadlock = reports.one();
        assert_eq!(deadlock.members().len(), 1);
        let stack = deadlock.members()[0].stack().unwrap();
        assert!(stack.contains("takes_the_second_lock"), "{stack}");
        assert!(deadlock.to_string().contains("holds itself"));
    });
}

fn with_runtimes_that_stick(stuck: usize, body: impl Fn(&Runtime)) {
    for driver in stage::drivers() {
        for workers in stage::worker_counts() {
            let runtime = stage::runtime(driver, workers);
            body(&runtime);
            give_up(runtime, stuck);
        }
    }
}

/// A condition variable's wait locks again. Where that closed a circle and the hook panicked, it was
/// unwound without the lock, and its guard unlocked what was somebody else's by then.
#[test]
fn a_hook_that_panics_unlocks_nothing() {
    let reports = Reports::collect();
    let called = Arc::new(AtomicBool::new(false));
    let note = Arc::clone(&called);
    deadlock::set_hook(move |_| {
        note.store(true, Ordering::SeqCst);
        panic!("a hook's own");
    });
    with_runtimes_that_stick(2, |runtime| {
        called.store(false, Ordering::SeqCst);
        let locks = Arc::new([const { Mutex::new(()) }; 2]);
        let (holds, both_held) = channel::bounded(1);
        let (first, enough) = (Arc::clone(&locks), Arc::clone(&called));
        drop(runtime.spawn(move || {
            let _held = first[0].lock();
            let mut waiting = first[1].lock();
            holds.send(()).unwrap();
            // Until the other one has that lock, and wants the first: from then on it waits for ever.
            while !enough.load(Ordering::SeqCst) {
                Condvar::new().wait_for(&mut waiting, Duration::from_millis(100));
            }
        }));
        let second = Arc::clone(&locks);
        drop(runtime.spawn(move || {
            both_held.recv().unwrap();
            let _held = second[1].lock();
            drop(second[0].lock());
        }));
        until(|| called.load(Ordering::SeqCst));
        // So long it may take to unlock what it must not.
        for _ in 0..20 {
            assert!(locks.iter().all(|lock| lock.try_lock().is_none()));
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    drop(reports);
}

/// The end of `main` waited for ever for coroutines that a runtime had been given up with.
#[test]
fn the_end_of_main_does_not_wait_for_what_never_ends() {
    const CHILD: &str = "ROPEWALK_TEST_GIVEN_UP";
    if std::env::var_os(CHILD).is_some() {
        let options = ropewalk_rt::__private::MainOptions::default();
        ropewalk_rt::__private::main(options, || {
            let runtime = Runtime::builder().workers(1).build().unwrap();
            let (kept, never) = channel::bounded::<()>(0);
            let stuck = runtime.spawn(move || never.recv());
            stage::until_waiting(stuck.id(), "receiving");
            give_up(runtime, 1);
            drop(kept);
        });
        return;
    }
    let status = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "the_end_of_main_does_not_wait_for_what_never_ends",
        ])
        .env(CHILD, "1")
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn threads_and_coroutines_in_one_circle() {
    let reports = Reports::collect();
    let runtime = stage::any_runtime(1);
    let locks: Arc<[Mutex<()>; 3]> = Arc::new([const { Mutex::new(()) }; 3]);
    let all = Arc::new(Barrier::new(3));
    for first in 0..3 {
        let (locks, all) = (Arc::clone(&locks), Arc::clone(&all));
        let body = move || {
            let _held = locks[first].lock();
            all.wait();
            takes_the_second_lock(&locks[(first + 1) % 3]);
        };
        if first == 0 {
            // It waits for ever; the process's end takes it along.
            thread::Builder::new().daemon(true).spawn(body).unwrap();
        } else {
            drop(runtime.spawn(body));
        }
    }
    let deadlock = reports.one();
    assert_eq!(deadlock.members().len(), 3);
    for member in deadlock.members() {
        let stack = member.stack().expect("each stack is there");
        assert!(stack.contains("takes_the_second_lock"), "{stack}");
    }
    give_up(runtime, 2);
}

#[test]
fn what_is_no_deadlock_is_not_reported() {
    let reports = Reports::collect();
    with_runtimes(|runtime| {
        runtime.run(|| {
            // One order, much contention.
            let locks = [const { Mutex::new(0) }; 2];
            coroutine::scope(|s| {
                for _ in 0..8 {
                    s.spawn(|| {
                        for _ in 0..200 {
                            let mut first = locks[0].lock();
                            coroutine::yield_now();
                            *locks[1].lock() += 1;
                            *first += 1;
                        }
                    });
                }
            });
            assert_eq!(*locks[0].lock(), 1600);
            // Re-entry.
            let again = ReentrantMutex::new(());
            let _once = again.lock();
            let _twice = again.lock();
            // A circle that a deadline, or a cancellation, opens again.
            let lock = Mutex::new(());
            let _held = lock.lock();
            assert!(lock.try_lock_for(Duration::from_millis(1)).is_none());
            let refused = ropewalk_rt::cancel::timeout(Duration::from_millis(1), || {
                lock.lock_cancellable().is_err()
            });
            assert!(refused.unwrap_err().into_inner());
        });
    });
    reports.none();
}

#[test]
fn a_program_that_can_never_go_on_is_ended() {
    const CHILD: &str = "ROPEWALK_TEST_STALL";
    if std::env::var_os(CHILD).is_some() {
        ropewalk_rt::__private::test(
            ropewalk_rt::__private::TestOptions::default(),
            "the child",
            || {
                // Leaves threads behind, of the pool and of the kernel, which wake nobody.
                ropewalk_rt::fs::rename("/nowhere/at/all", "/nowhere/else").unwrap_err();
                let (_kept, receiver) = channel::bounded::<u32>(1);
                let named = coroutine::Builder::new().name("receives in vain");
                let waiter = named.spawn(move || receiver.recv()).unwrap();
                let _ = waiter.join();
            },
        );
        unreachable!("it never goes on");
    }
    for driver in stage::drivers() {
        for workers in ["1", "2"] {
            let output = Command::new(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "a_program_that_can_never_go_on_is_ended",
                    "--nocapture",
                ])
                .env(CHILD, "1")
                .env("ROPEWALK_DRIVER", driver.as_str())
                .env("ROPEWALK_WORKERS", workers)
                .output()
                .unwrap();
            let report = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(101), "{report}");
            assert!(report.contains("all 2 coroutines asleep"), "{report}");
            assert!(report.contains("receives in vain"), "{report}");
            assert!(report.contains("receiving"), "{report}");
            assert!(
                report.contains("a_program_that_can_never_go_on"),
                "{report}"
            );
        }
    }
}

/// A future that waits for a descriptor waits for the world outside, as a coroutine does that
/// reads: no report.
#[test]
fn a_future_that_waits_for_a_descriptor_can_go_on() {
    use std::io::{Read, Write};
    const CHILD: &str = "ROPEWALK_TEST_STALL_FUTURE";
    if std::env::var_os(CHILD).is_some() {
        let body = || {
            let addr = std::env::var(CHILD).unwrap();
            let mut stream = ropewalk_rt::net::TcpStream::connect(addr).unwrap();
            let mut buf = [0; 4];
            ropewalk_rt::block_on(futures_util::AsyncReadExt::read_exact(
                &mut stream,
                &mut buf,
            ))
            .unwrap();
            assert_eq!(&buf, b"late");
        };
        let options = ropewalk_rt::__private::TestOptions::default();
        ropewalk_rt::__private::test(options, "the child", body);
        return;
    }
    for driver in stage::drivers() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_future_that_waits_for_a_descriptor_can_go_on"])
            .env(CHILD, listener.local_addr().unwrap().to_string())
            .env("ROPEWALK_DRIVER", driver.as_str())
            .spawn()
            .unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        // It looks twice, half a second apart; an end would close the connection.
        stream
            .set_read_timeout(Some(Duration::from_millis(1500)))
            .unwrap();
        // The end of the ring that `drivers` tried interrupts a read with a time-out.
        let error = loop {
            match stream.read(&mut [0]).unwrap_err() {
                error if error.kind() == std::io::ErrorKind::Interrupted => {}
                error => break error,
            }
        };
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        stream.write_all(b"late").unwrap();
        assert!(child.wait().unwrap().success(), "with {}", driver.as_str());
    }
}

/// Workers that went to sleep before there was any coroutine used not to count as asleep, and the
/// one that looks might have been one of them: no report if nothing ever woke it.
#[test]
fn a_program_is_ended_though_some_workers_never_had_work() {
    const CHILD: &str = "ROPEWALK_TEST_STALL_ALONE";
    if std::env::var_os(CHILD).is_some() {
        let alone = || {
            let (_kept, receiver) = channel::bounded::<u32>(1);
            let _ = receiver.recv();
        };
        ropewalk_rt::__private::test(Default::default(), "the child", alone);
        unreachable!("it never goes on");
    }
    for driver in stage::drivers() {
        let output = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "a_program_is_ended_though_some_workers_never_had_work",
                "--nocapture",
            ])
            .env(CHILD, "1")
            .env("ROPEWALK_DRIVER", driver.as_str())
            .env("ROPEWALK_WORKERS", "4")
            .output()
            .unwrap();
        let report = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(101), "{report}");
        assert!(report.contains("all 1 coroutines asleep"), "{report}");
    }
}

#[test]
fn a_program_that_others_can_wake_is_left_alone() {
    well_alone(&[], || {
        let options = ropewalk_rt::__private::TestOptions::default();
        ropewalk_rt::__private::test(options, "the child", || {
            let (sender, receiver) = channel::bounded::<u32>(1);
            let helper = std::thread::spawn(move || {
                // Longer than it takes to be taken for dead, were it alone.
                std::thread::sleep(Duration::from_millis(1600));
                sender.send(7).unwrap();
            });
            assert_eq!(receiver.recv(), Ok(7));
            helper.join().unwrap();
        });
    });
}

// A thread that wakes a coroutine and ends while it is looked whether anything could wake one
// can't be counted any more, and the coroutine has not moved yet: it is not a program that can
// never go on. So many coroutines make that look last for some milliseconds.
#[test]
fn a_thread_that_ends_while_it_is_looked_for_has_woken_somebody() {
    well_alone(&[("ROPEWALK_WORKERS", "1")], || {
        let options = ropewalk_rt::__private::TestOptions::default();
        ropewalk_rt::__private::test(options, "the child", || {
            let (stop, stopped) = channel::bounded::<u32>(1);
            let crowd: Vec<_> = (0..20_000)
                .map(|_| {
                    let stopped = stopped.clone();
                    coroutine::spawn(move || stopped.recv().is_err())
                })
                .collect();
            for millis in 500..512 {
                let last = thread::spawn(move || {
                    std::thread::sleep(Duration::from_millis(millis));
                });
                last.join().unwrap();
            }
            drop(stop);
            for one in crowd {
                assert!(one.join().unwrap(), "nobody sent");
            }
        });
    });
}
