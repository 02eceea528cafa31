//! Waits that end by their limit or a cancellation.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ropewalk_process::shared::{
    Barrier, BarrierError, Condition, Event, Lock, RLock, Semaphore, Value,
};
use ropewalk_rt::cancel::{self, Token};
use ropewalk_rt::coroutine;

use crate::stage::on_each;
use crate::start;

const SHORT: Duration = Duration::from_millis(5);

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn hold(lock: Lock, again: RLock, held: Event, release: Event) {
    let _guard = lock.lock().unwrap();
    let _again = again.lock().unwrap();
    held.set();
    release.wait().unwrap();
}

#[test]
fn locks_that_another_process_holds() {
    on_each(|| {
        let (lock, again) = (Lock::new().unwrap(), RLock::new().unwrap());
        let (held, release) = (Event::new().unwrap(), Event::new().unwrap());
        let args = (lock.clone(), again.clone(), held.clone(), release.clone());
        let process = start(hold, args);
        held.wait().unwrap();
        assert!(lock.is_locked() && again.is_locked());
        assert!(lock.try_lock().unwrap_err().is_busy());
        assert!(again.try_lock().unwrap_err().is_busy());
        let before = Instant::now();
        assert!(lock.lock_timeout(SHORT).unwrap_err().is_timeout());
        let deadline = Instant::now() + SHORT;
        assert!(again.lock_deadline(deadline).unwrap_err().is_timeout());
        assert!(before.elapsed() >= 2 * SHORT);
        let token = Token::new();
        token.cancel();
        assert!(token.run(|| lock.lock_cancellable().unwrap_err().is_cancelled()));
        assert!(token.run(|| again.lock_cancellable().unwrap_err().is_cancelled()));
        release.set();
        drop(lock.lock().unwrap());
        drop(again.lock().unwrap());
        process.join().unwrap();
    });
}

#[test]
fn timeouts_of_the_others() {
    on_each(|| {
        let event = Event::new().unwrap();
        assert!(event.wait_timeout(SHORT).unwrap_err().is_timeout());
        let semaphore = Semaphore::new(0).unwrap();
        let deadline = Instant::now() + SHORT;
        assert!(semaphore.acquire_timeout(SHORT).unwrap_err().is_timeout());
        let late = semaphore.acquire_deadline(deadline).unwrap_err();
        assert!(late.is_timeout());
        let barrier = Barrier::new(2).unwrap();
        assert_eq!(barrier.wait_timeout(SHORT), Err(BarrierError::Timeout));
        assert_eq!(barrier.waiting(), 0);
        let (lock, changed) = (Lock::new().unwrap(), Condition::new().unwrap());
        let mut guard = lock.lock().unwrap();
        let late = changed.wait_timeout(&mut guard, SHORT).unwrap_err();
        assert!(late.is_timeout() && lock.is_locked());
    });
}

/// From outside, while they wait: also plain threads, whose waits look for it now and then.
#[test]
fn waits_are_cancelled() {
    on_each(|| {
        let event = Event::new().unwrap();
        let semaphore = Semaphore::new(0).unwrap();
        let barrier = Barrier::new(3).unwrap();
        let (lock, changed) = (Lock::new().unwrap(), Condition::new().unwrap());
        let token = Token::new();
        let waits: [&(dyn Fn() -> bool + Sync); 4] = [
            &|| event.wait().is_err(),
            &|| semaphore.acquire().is_err(),
            &|| barrier.wait_cancellable() == Err(BarrierError::Cancelled),
            &|| {
                let mut guard = lock.lock().unwrap();
                let ended = changed.wait_cancellable(&mut guard).unwrap_err();
                ended.is_cancelled()
            },
        ];
        std::thread::scope(|threads| {
            ropewalk_rt::scope(|s| {
                let mut all = Vec::new();
                let mut others = Vec::new();
                for wait in waits {
                    let token = &token;
                    all.push(s.spawn(move || token.run(wait)));
                    others.push(threads.spawn(move || token.run(wait)));
                }
                while barrier.waiting() < 2 {
                    coroutine::yield_now();
                }
                token.cancel();
                assert!(all.into_iter().all(|one| one.join().unwrap()));
                let joined =
                    ropewalk_rt::unblock(|| others.into_iter().all(|one| one.join().unwrap()));
                assert!(joined);
            });
        });
        assert_eq!(barrier.waiting(), 0);
        assert!(!lock.is_locked());
    });
}

/// A coroutine that waits for another process leaves its worker to others.
#[test]
fn a_waiting_coroutine_does_not_keep_its_worker() {
    on_each(|| {
        let event = Event::new().unwrap();
        let waiting = AtomicBool::new(false);
        ropewalk_rt::scope(|s| {
            let waiter = s.spawn(|| {
                waiting.store(true, Ordering::SeqCst);
                event.wait()
            });
            s.spawn(|| {
                while !waiting.load(Ordering::SeqCst) {
                    coroutine::yield_now();
                }
                for _ in 0..100 {
                    coroutine::yield_now();
                }
                event.set();
            });
            waiter.join().unwrap().unwrap();
        });
    });
}

/// As many as there can't be threads for.
#[test]
fn a_thousand_coroutines_wait_for_one_event() {
    let runtime = ropewalk_rt::Runtime::builder().workers(2).build().unwrap();
    runtime.run(|| {
        let event = Event::new().unwrap();
        let semaphore = Semaphore::new(0).unwrap();
        let here = Value::new(0_u32).unwrap();
        ropewalk_rt::scope(|s| {
            for _ in 0..1000 {
                s.spawn(|| {
                    here.update(|here| *here += 1);
                    event.wait().unwrap();
                    drop(semaphore.acquire().unwrap());
                });
            }
            while here.get() < 1000 {
                coroutine::yield_now();
            }
            event.set();
            for _ in 0..3 {
                semaphore.release();
            }
        });
        assert_eq!(semaphore.available_permits(), 3);
    });
}

#[test]
fn a_shielded_wait_is_not_cancelled() {
    let event = Event::new().unwrap();
    let token = Token::new();
    token.cancel();
    token.run(|| {
        let timeout = cancel::shield(|| event.wait_timeout(SHORT));
        assert!(timeout.unwrap_err().is_timeout());
    });
}
