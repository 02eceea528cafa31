//! `unblock`: work for threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, mpsc};

use ropewalk_kernel::blocking::{THREADS_MAX, threads};
use ropewalk_rt::{coroutine, spawn, unblock};

use crate::stage::{in_coroutines, on_each, on_thread, until, with_workers};

// The closure may borrow from its caller, exclusively too, and gives what it likes.
#[test]
fn it_borrows() {
    on_each(|| {
        let mut words = vec!["a".to_owned()];
        let text = String::from("b");
        let borrowed: &str = unblock(|| {
            words.push(text.clone());
            &text
        });
        assert_eq!(borrowed, "b");
        assert_eq!(words, ["a", "b"]);
        let large = unblock(|| [7u64; 1_000]);
        assert_eq!(large[999], 7);
    });
}

// A panic passes through to the caller, with its payload.
#[test]
fn panics_pass_through() {
    on_each(|| {
        let caught = catch_unwind(AssertUnwindSafe(|| unblock(|| std::panic::panic_any(11u8))));
        assert_eq!(caught.unwrap_err().downcast_ref::<u8>(), Some(&11));
        assert_eq!(unblock(|| 1), 1);
    });
}

// From a coroutine it runs on another thread, outside any coroutine, while others of the worker
// go on; on a plain thread it runs in place.
#[test]
fn where_it_runs() {
    with_workers(1, || {
        let (sender, receiver) = mpsc::channel();
        let here = std::thread::current().id();
        let waiter = spawn(move || {
            unblock(move || {
                assert!(!coroutine::in_coroutine());
                // Blocks its thread until the other coroutine has run.
                assert_eq!(receiver.recv(), Ok("go"));
                std::thread::current().id()
            })
        });
        until(|| sender.send("go").is_ok());
        assert_ne!(waiter.join().unwrap(), here);
    });
    on_thread(|| {
        let here = std::thread::current().id();
        assert_eq!(unblock(|| std::thread::current().id()), here);
    });
}

// Six hundred at once: never more threads than the pool may have, and all get their turn.
#[test]
fn six_hundred_at_once() {
    const JOBS: usize = 600;
    #[derive(Default)]
    struct Gate {
        open: Mutex<bool>,
        opened: Condvar,
        inside: AtomicUsize,
        inside_max: AtomicUsize,
    }
    in_coroutines(|| {
        let gate = Gate::default();
        coroutine::scope(|s| {
            let jobs: Vec<_> = (0..JOBS)
                .map(|_| {
                    s.spawn(|| {
                        unblock(|| {
                            let inside = gate.inside.fetch_add(1, Ordering::SeqCst) + 1;
                            gate.inside_max.fetch_max(inside, Ordering::SeqCst);
                            let open = gate.open.lock().unwrap();
                            drop(gate.opened.wait_while(open, |open| !*open).unwrap());
                            gate.inside.fetch_sub(1, Ordering::SeqCst);
                        });
                    })
                })
                .collect();
            // All have asked; those that got a thread wait for the gate.
            until(|| {
                let asking = coroutine::list().into_iter().filter(|task| {
                    task.waits_for() == "waiting for the blocking pool"
                        && jobs.iter().any(|job| job.id() == task.id())
                });
                asking.count() == JOBS
            });
            until(|| gate.inside.load(Ordering::SeqCst) > THREADS_MAX / 2);
            assert!(threads() <= THREADS_MAX);
            *gate.open.lock().unwrap() = true;
            gate.opened.notify_all();
        });
        let inside_max = gate.inside_max.into_inner();
        assert!(inside_max <= THREADS_MAX, "{inside_max} threads");
        assert_eq!(gate.inside.into_inner(), 0);
    });
}

// Many short jobs, one after the other and side by side.
#[test]
fn many_short_jobs() {
    in_coroutines(|| {
        let done = AtomicUsize::new(0);
        coroutine::scope(|s| {
            for _ in 0..50 {
                s.spawn(|| {
                    for n in 0..40 {
                        assert_eq!(unblock(|| n + 1), n + 1);
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(done.into_inner(), 50 * 40);
    });
}
