//! `RwLock`: neither readers nor writers are kept out for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ropewalk_rt::sync::RwLock;
use ropewalk_rt::{coroutine, spawn, thread};

use crate::stage::{on_each, until_waiting, with_workers};

const WAITS: &str = "locking";

// Readers who overlap all the time don't keep a writer out, and writers in a row don't keep a
// reader out.
#[test]
fn nobody_is_kept_out_by_the_other_kind() {
    on_each(|| {
        for others_write in [false, true] {
            let lock = Arc::new(RwLock::new(()));
            let stop = Arc::new(AtomicBool::new(false));
            let crowd: Vec<_> = (0..4)
                .map(|n| {
                    let (lock, stop) = (Arc::clone(&lock), Arc::clone(&stop));
                    let body = move || {
                        while !stop.load(Ordering::Relaxed) {
                            if others_write {
                                let _guard = lock.write();
                                coroutine::yield_now();
                            } else {
                                let _guard = lock.read();
                                coroutine::yield_now();
                            }
                        }
                    };
                    if n == 3 {
                        thread::spawn(body)
                    } else {
                        spawn(body)
                    }
                })
                .collect();
            for _ in 0..50 {
                if others_write {
                    drop(lock.read());
                } else {
                    drop(lock.write());
                }
            }
            stop.store(true, Ordering::Relaxed);
            for one in crowd {
                one.join().unwrap();
            }
        }
    });
}

// While a writer waits, readers queue up behind it; when it is done they go together, before
// the next writer.
#[test]
fn writers_first_then_all_readers() {
    with_workers(1, || {
        let lock = Arc::new(RwLock::new(Vec::new()));
        let together = Arc::new(AtomicUsize::new(0));
        let holder = lock.read();
        let mut handles = Vec::new();
        for step in [
            "first writer",
            "reader",
            "reader",
            "reader",
            "second writer",
        ] {
            let (lock, together) = (Arc::clone(&lock), Arc::clone(&together));
            let handle = spawn(move || {
                if step == "reader" {
                    let guard = lock.read();
                    together.fetch_add(1, Ordering::Relaxed);
                    while together.load(Ordering::Relaxed) < 3 {
                        coroutine::yield_now();
                    }
                    assert_eq!(*guard, ["first writer"]);
                } else {
                    lock.write().push(step);
                }
            });
            until_waiting(handle.id(), WAITS);
            handles.push(handle);
        }
        drop(holder);
        for handle in handles {
            handle.join().unwrap();
        }
        assert_eq!(*lock.read(), ["first writer", "second writer"]);
    });
}

// A writer that others were faster than is handed the lock when its turn comes again: one
// that locks again at once doesn't keep it out.
#[test]
fn a_greedy_writer_keeps_nobody_out() {
    on_each(|| {
        let lock = Arc::new(RwLock::new(()));
        let stop = Arc::new(AtomicBool::new(false));
        let greedy = {
            let (lock, stop) = (Arc::clone(&lock), Arc::clone(&stop));
            spawn(move || {
                let mut guard = lock.write();
                while !stop.load(Ordering::Relaxed) {
                    coroutine::yield_now();
                    drop(guard);
                    guard = lock.write();
                }
            })
        };
        for round in 0..100 {
            if round % 2 == 0 {
                drop(lock.write());
            } else {
                drop(lock.read());
            }
        }
        stop.store(true, Ordering::Relaxed);
        greedy.join().unwrap();
    });
}

// The same lock again in one reader, though a writer waits: with `read_recursive` it works.
#[test]
fn reading_again_while_a_writer_waits() {
    on_each(|| {
        let lock = Arc::new(RwLock::new(1));
        let outer = lock.read();
        let writer = {
            let lock = Arc::clone(&lock);
            spawn(move || *lock.write() = 2)
        };
        until_waiting(writer.id(), WAITS);
        assert!(lock.try_read().is_none());
        let inner = lock.read_recursive();
        assert_eq!((*outer, *inner), (1, 1));
        drop(outer);
        coroutine::yield_now();
        assert!(!writer.is_finished());
        drop(inner);
        writer.join().unwrap();
        assert_eq!(*lock.read_recursive(), 2);
    });
}
