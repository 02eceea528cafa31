//! Time-outs and cancellation racing with releases, 100,000 times: nothing is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use ropewalk_rt::cancel::Token;
use ropewalk_rt::sync::{BoundedSemaphore, RwLock, RwLockExt, Semaphore};
use ropewalk_rt::{coroutine, spawn, spawn_async, thread};

use crate::stage::{on_each, until};
use crate::who::Polled;

/// In all, over everybody who takes part.
const ROUNDS: usize = 100_000;
const PARTS: usize = 8;

/// A cheap sequence that looks random.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

// Everybody takes permits for a moment, most with less patience than it needs. A bounded
// semaphore would tell of one that comes back twice.
#[test]
fn timed_acquires_race_with_releases() {
    on_each(|| {
        const PERMITS: usize = 3;
        let gate = Arc::new(BoundedSemaphore::new(PERMITS));
        let (got, missed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let handles: Vec<_> = (0..PARTS)
            .map(|part| {
                let gate = Arc::clone(&gate);
                let (got, missed) = (Arc::clone(&got), Arc::clone(&missed));
                let body = move || {
                    let mut dice = Dice(part as u64 + 1);
                    for round in 0..ROUNDS / PARTS {
                        let wanted = 1 + dice.below(PERMITS as u64) as usize;
                        let patience = Duration::from_micros(dice.below(12));
                        match gate.acquire_many_timeout(wanted, patience) {
                            Ok(permit) => {
                                if round % 4 == 0 {
                                    coroutine::yield_now();
                                }
                                drop(permit);
                                got.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(error) => {
                                assert!(error.is_timeout());
                                missed.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                };
                if part < 2 {
                    thread::spawn(body)
                } else {
                    spawn(body)
                }
            })
            .collect();
        for handle in handles {
            handle.join().unwrap();
        }
        let (got, missed) = (got.load(Ordering::Relaxed), missed.load(Ordering::Relaxed));
        assert_eq!(got + missed, ROUNDS / PARTS * PARTS);
        assert!(got > 0);
        assert_eq!(
            gate.available_permits(),
            PERMITS,
            "{got} got, {missed} missed"
        );
    });
}

// One permit, given each round while whoever waits for it is cancelled: it went to the waiter
// or is still there.
#[test]
fn cancelled_acquires_race_with_releases() {
    on_each(|| {
        let permits = Arc::new(Semaphore::new(0));
        let mut got = 0;
        for round in 0..ROUNDS / 5 {
            let token = Token::root();
            let waiter = token.run(|| {
                let permits = Arc::clone(&permits);
                spawn(move || permits.acquire().map(|permit| permit.forget()).is_ok())
            });
            if round % 3 == 0 {
                coroutine::yield_now();
            }
            let canceller = (round % 2 == 0).then(|| {
                let token = token.clone();
                spawn(move || token.cancel())
            });
            permits.release();
            token.cancel();
            if let Some(canceller) = canceller {
                canceller.join().unwrap();
            }
            // One that was cancelled before it began has not waited.
            if waiter.join().unwrap_or(false) {
                got += 1;
            } else {
                permits.try_acquire().expect("nobody got it").forget();
            }
            assert_eq!(permits.available_permits(), 0, "round {round}, {got} got");
        }
    });
}

// Many wait under one token that is cancelled again and again while permits go round.
#[test]
fn a_crowd_is_cancelled_again_and_again() {
    on_each(|| {
        const PERMITS: usize = 2;
        let permits = Arc::new(Semaphore::new(PERMITS));
        let tries = Arc::new(AtomicUsize::new(0));
        while tries.load(Ordering::Relaxed) < ROUNDS {
            let seen = tries.load(Ordering::Relaxed);
            let token = Token::root();
            let waiters: Vec<_> = token.run(|| {
                (0..PARTS)
                    .map(|_| {
                        let (permits, tries) = (Arc::clone(&permits), Arc::clone(&tries));
                        spawn(move || {
                            for _ in 0..400 {
                                let Ok(permit) = permits.acquire() else {
                                    break;
                                };
                                tries.fetch_add(1, Ordering::Relaxed);
                                coroutine::yield_now();
                                drop(permit);
                            }
                            tries.fetch_add(1, Ordering::Relaxed);
                        })
                    })
                    .collect()
            });
            until(|| tries.load(Ordering::Relaxed) >= seen + 1000);
            token.cancel();
            for waiter in waiters {
                // Or cancelled before it began.
                let _ = waiter.join();
            }
            assert_eq!(permits.available_permits(), PERMITS);
        }
    });
}

// Futures that are polled once or twice and dropped, woken or not, beside coroutines that
// need each permit.
#[test]
fn dropped_futures_race_with_releases() {
    on_each(|| {
        let permits = Arc::new(Semaphore::new(1));
        let stop = Arc::new(AtomicBool::new(false));
        let fickle: Vec<_> = (0..2u64)
            .map(|part| {
                let (permits, stop) = (Arc::clone(&permits), Arc::clone(&stop));
                let body = move || {
                    let mut dice = Dice(part + 7);
                    while !stop.load(Ordering::Relaxed) {
                        let mut future = Polled::new(permits.acquire_async());
                        for _ in 0..1 + dice.below(3) {
                            if future.poll().is_some() {
                                break;
                            }
                            coroutine::yield_now();
                        }
                    }
                };
                if part == 0 {
                    thread::spawn(body)
                } else {
                    spawn(body)
                }
            })
            .collect();
        let steady: Vec<_> = (0..4)
            .map(|n| {
                let permits = Arc::clone(&permits);
                if n == 0 {
                    spawn_async(async move {
                        for _ in 0..ROUNDS / 40 {
                            drop(permits.acquire_owned_async().await);
                        }
                    })
                } else {
                    spawn(move || {
                        for round in 0..ROUNDS / 40 {
                            let _permit = permits.acquire().unwrap();
                            if round % 8 == 0 {
                                coroutine::yield_now();
                            }
                        }
                    })
                }
            })
            .collect();
        for one in steady {
            one.join().unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        for one in fickle {
            one.join().unwrap();
        }
        assert_eq!(permits.available_permits(), 1);
    });
}

// Readers and writers with little patience, in every form: in the end the lock is free.
#[test]
fn timed_locks_race_with_unlocks() {
    on_each(|| {
        let lock = Arc::new(RwLock::new(0usize));
        let writes = Arc::new(AtomicUsize::new(0));
        let handles: Vec<_> = (0..PARTS)
            .map(|part| {
                let (lock, writes) = (Arc::clone(&lock), Arc::clone(&writes));
                let body = move || {
                    let mut dice = Dice(part as u64 + 3);
                    for _ in 0..ROUNDS / PARTS {
                        let patience = Duration::from_micros(dice.below(12));
                        match dice.below(6) {
                            0 | 1 => {
                                if let Some(mut guard) = lock.try_write_for(patience) {
                                    let seen = *guard;
                                    if dice.below(4) == 0 {
                                        coroutine::yield_now();
                                    }
                                    *guard = seen + 1;
                                    writes.fetch_add(1, Ordering::Relaxed);
                                }
                            }
                            2 => {
                                let upgradable = lock.try_upgradable_read_for(patience);
                                if let Some(guard) = upgradable
                                    && let Ok(mut guard) =
                                        lock_api::RwLockUpgradableReadGuard::try_upgrade_for(
                                            guard, patience,
                                        )
                                {
                                    *guard += 1;
                                    writes.fetch_add(1, Ordering::Relaxed);
                                }
                            }
                            3 => {
                                let mut future = Polled::new(lock.write_async());
                                if let Some(mut guard) = future.poll() {
                                    *guard += 1;
                                    writes.fetch_add(1, Ordering::Relaxed);
                                }
                            }
                            _ => {
                                if let Some(guard) = lock.try_read_for(patience) {
                                    let seen = *guard;
                                    if dice.below(4) == 0 {
                                        coroutine::yield_now();
                                    }
                                    assert_eq!(*guard, seen);
                                }
                            }
                        }
                    }
                };
                if part < 2 {
                    thread::spawn(body)
                } else {
                    spawn(body)
                }
            })
            .collect();
        for handle in handles {
            handle.join().unwrap();
        }
        assert!(!lock.is_locked());
        assert_eq!(*lock.read(), writes.load(Ordering::Relaxed));
        assert!(lock.try_write().is_some());
    });
}
