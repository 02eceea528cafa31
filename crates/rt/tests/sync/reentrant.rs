//! `ReentrantMutex`: the holder comes in again, nobody else does.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ropewalk_rt::cancel::Token;
use ropewalk_rt::sync::{ReentrantMutex, ReentrantMutexExt, ReentrantMutexGuard};
use ropewalk_rt::{coroutine, spawn, spawn_async, thread};

use crate::stage::{on_each, until_waiting, with_workers};
use crate::who::Who;

#[test]
fn as_many_unlocks_as_locks() {
    on_each(|| {
        let lock = Arc::new(ReentrantMutex::new(()));
        let others = |expected: bool| {
            for who in Who::ALL {
                let lock = Arc::clone(&lock);
                let got = who.act(move || lock.try_lock().is_some());
                assert_eq!(got.join().unwrap(), expected, "{who:?}");
            }
        };
        others(true);
        let first = lock.lock();
        let second = lock.try_lock().unwrap();
        let third = lock.try_lock_for(Duration::ZERO).unwrap();
        let fourth = lock.try_lock_until(Instant::now()).unwrap();
        let fifth = lock.lock_cancellable().unwrap();
        assert!(lock.is_owned_by_current_thread());
        for guard in [first, fourth, second, fifth] {
            others(false);
            drop(guard);
        }
        others(false);
        assert!(lock.is_locked());
        drop(third);
        assert!(!lock.is_locked() && !lock.is_owned_by_current_thread());
        others(true);
    });
}

// Two coroutines of one worker are two, though one thread: the second waits for the first.
#[test]
fn another_coroutine_on_the_worker_is_kept_out() {
    with_workers(1, || {
        let lock = Arc::new(ReentrantMutex::new(Cell::new(0)));
        let guard = lock.lock();
        guard.set(1);
        let other = {
            let lock = Arc::clone(&lock);
            spawn(move || {
                assert!(!lock.is_owned_by_current_thread());
                let guard = lock.lock();
                let again = lock.lock();
                guard.set(again.get() + 1);
            })
        };
        until_waiting(other.id(), "locking");
        assert!(!other.is_finished());
        let again = lock.lock();
        coroutine::yield_now();
        assert_eq!(again.get(), 1);
        drop((guard, again));
        other.join().unwrap();
        assert_eq!(lock.lock().get(), 2);
    });
}

// A coroutine that gave way while it held the lock is still its holder.
#[test]
fn the_holder_stays_over_waits() {
    on_each(|| {
        let lock = Arc::new(ReentrantMutex::new(Cell::new(0u64)));
        let handles: Vec<_> = (0..9)
            .map(|n| {
                let lock = Arc::clone(&lock);
                let add = move || {
                    for _ in 0..100 {
                        let outer = lock.lock();
                        let seen = outer.get();
                        coroutine::yield_now();
                        let inner = lock.lock();
                        assert_eq!(inner.get(), seen);
                        inner.set(seen + 1);
                    }
                };
                if n % 3 == 0 {
                    thread::spawn(add)
                } else {
                    spawn(add)
                }
            })
            .collect();
        for handle in handles {
            handle.join().unwrap();
        }
        assert_eq!(lock.lock().get(), 900);
    });
}

#[test]
fn timed_out_and_cancelled() {
    on_each(|| {
        let lock = Arc::new(ReentrantMutex::new(()));
        let guard = lock.lock();
        let patience = Duration::from_millis(2);
        let token = Token::root();
        let timed = {
            let lock = Arc::clone(&lock);
            spawn(move || {
                lock.try_lock_for(patience).is_none()
                    && lock.try_lock_until(Instant::now() + patience).is_none()
            })
        };
        let cancelled = {
            let lock = Arc::clone(&lock);
            token.run(|| spawn(move || lock.lock_cancellable().is_err()))
        };
        assert!(timed.join().unwrap());
        until_waiting(cancelled.id(), "locking");
        token.cancel();
        assert!(cancelled.join().unwrap());
        drop(guard);
        assert!(lock.lock_cancellable().is_ok());
    });
}

// A panic gives all its locks back; nothing is poisoned.
#[test]
fn a_panic_unlocks() {
    on_each(|| {
        let lock = Arc::new(ReentrantMutex::new(RefCell::new(1)));
        let panics = {
            let lock = Arc::clone(&lock);
            spawn(move || {
                let _outer = lock.lock();
                let _inner = lock.lock();
                panic!("with two locks held");
            })
        };
        assert!(panics.join().unwrap_err().is_panic());
        *lock.lock().borrow_mut() += 1;
        assert_eq!(*lock.lock().borrow(), 2);
    });
}

// In an async task a lock is taken and given back between two polls.
#[test]
fn in_async_tasks() {
    on_each(|| {
        let lock = Arc::new(ReentrantMutex::new(Cell::new(0)));
        let tasks: Vec<_> = (0..6)
            .map(|_| {
                let lock = Arc::clone(&lock);
                spawn_async(async move {
                    for _ in 0..50 {
                        let outer = lock.lock();
                        let inner = lock.lock();
                        inner.set(outer.get() + 1);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.join().unwrap();
        }
        assert_eq!(lock.lock().get(), 300);
    });
}

// A guard can be narrowed and kept by the `Arc`; data that is read through it is shared.
#[test]
fn mapped_and_arc_guards() {
    let lock = Arc::new(ReentrantMutex::new((1, 2)));
    let second = ReentrantMutexGuard::map(lock.lock(), |pair| &pair.1);
    let all = lock.lock_arc();
    assert_eq!((*second, all.0), (2, 1));
    drop(second);
    assert!(lock.is_owned_by_current_thread());
    drop(all);
    assert!(!lock.is_locked());
    let mut lock = Arc::into_inner(lock).unwrap();
    lock.get_mut().0 = 5;
    assert_eq!(lock.into_inner(), (5, 2));
}

// Data that is not `Sync` may be inside: it is never seen by two at once.
#[test]
fn statics() {
    static SHARED: ReentrantMutex<Cell<bool>> = ReentrantMutex::new(Cell::new(false));
    static SEEN: AtomicBool = AtomicBool::new(false);
    SHARED.lock().set(true);
    thread::spawn(|| SEEN.store(SHARED.lock().get(), Ordering::Relaxed))
        .join()
        .unwrap();
    assert!(SEEN.load(Ordering::Relaxed));
}
