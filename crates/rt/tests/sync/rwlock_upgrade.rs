//! `RwLock`: upgrading and downgrading.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ropewalk_rt::cancel::Token;
use ropewalk_rt::sync::{RwLock, RwLockExt, RwLockUpgradableReadGuard, RwLockWriteGuard};
use ropewalk_rt::{coroutine, spawn, thread};

use crate::stage::{on_each, until_waiting};
use crate::until_waiting_or;
use crate::who::Polled;

const WAITS: &str = "locking";

#[test]
fn an_upgradable_reader_shares_with_readers_only() {
    on_each(|| {
        let lock = RwLock::new(1);
        let guard = lock.upgradable_read();
        assert_eq!(lock.try_read().map(|other| *other), Some(1));
        assert!(lock.try_upgradable_read().is_none());
        let patience = Duration::from_millis(1);
        assert!(lock.try_upgradable_read_for(patience).is_none());
        assert!(lock.try_upgradable_read_until(Instant::now()).is_none());
        assert!(lock.try_write().is_none());
        drop(guard);
        let reading = lock.read();
        let guard = lock.try_upgradable_read().expect("beside a reader");
        let guard = RwLockUpgradableReadGuard::try_upgrade(guard).expect_err("a reader is there");
        let guard = RwLockUpgradableReadGuard::try_upgrade_for(guard, patience)
            .expect_err("a reader is there");
        drop(reading);
        let mut guard = RwLockUpgradableReadGuard::try_upgrade(guard).expect("alone");
        *guard = 2;
        assert!(lock.is_locked_exclusive());
        let guard = RwLockWriteGuard::downgrade_to_upgradable(guard);
        assert!(lock.try_upgradable_read().is_none() && lock.try_read().is_some());
        let guard = RwLockUpgradableReadGuard::downgrade(guard);
        assert!(lock.try_upgradable_read().is_some() && lock.try_write().is_none());
        drop(guard);
        assert!(!lock.is_locked());
    });
}

// The upgrade waits for the readers who are there, and goes before writers and readers who
// came later: nobody changes the value in between.
#[test]
fn an_upgrade_waits_for_readers_and_nobody_else() {
    on_each(|| {
        let lock = Arc::new(RwLock::new(0));
        let reading = lock.read();
        let upgradable = lock.upgradable_read_arc();
        let writer = {
            let lock = Arc::clone(&lock);
            spawn(move || *lock.write() += 100)
        };
        until_waiting(writer.id(), WAITS);
        let upgrades = spawn(move || {
            let seen = *upgradable;
            let mut guard = lock_api::ArcRwLockUpgradableReadGuard::upgrade(upgradable);
            assert_eq!(*guard, seen);
            *guard += 1;
        });
        until_waiting(upgrades.id(), WAITS);
        assert!(lock.try_read().is_none(), "kept out by the upgrade");
        assert!(lock.try_read_recursive().is_some());
        let reader = {
            let lock = Arc::clone(&lock);
            spawn(move || *lock.read())
        };
        until_waiting(reader.id(), WAITS);
        drop(reading);
        upgrades.join().unwrap();
        writer.join().unwrap();
        assert!(matches!(reader.join().unwrap(), 1 | 101));
        assert_eq!(*lock.read(), 101);
    });
}

// One that gives its upgrade up lets the readers in that it kept waiting.
#[test]
fn an_upgrade_that_gives_up() {
    on_each(|| {
        let lock = Arc::new(RwLock::new(()));
        let reading = lock.read();
        let upgradable = lock.upgradable_read();
        let latecomer = coroutine::scope(|s| {
            let upgrades = s.spawn(|| {
                let patience = Duration::from_millis(30);
                let result = RwLockUpgradableReadGuard::try_upgrade_for(upgradable, patience);
                result.map(drop)
            });
            until_waiting_or(|| upgrades.is_finished(), upgrades.id(), WAITS);
            let latecomer = {
                let lock = Arc::clone(&lock);
                spawn(move || drop(lock.read()))
            };
            let upgradable = upgrades.join().unwrap().expect_err("a reader is there");
            latecomer.join().unwrap();
            upgradable
        });
        drop(reading);
        assert!(RwLockUpgradableReadGuard::try_upgrade(latecomer).is_ok());
    });
}

// Downgrading lets those readers in who stand first, and keeps the value.
#[test]
fn downgrading_lets_readers_in() {
    on_each(|| {
        for to_upgradable in [false, true] {
            let lock = Arc::new(RwLock::new(0));
            let mut guard = lock.write();
            let readers: Vec<_> = (0..3)
                .map(|_| {
                    let lock = Arc::clone(&lock);
                    spawn(move || *lock.read())
                })
                .collect();
            for reader in &readers {
                until_waiting(reader.id(), WAITS);
            }
            let writer = {
                let lock = Arc::clone(&lock);
                spawn(move || *lock.write() += 1)
            };
            until_waiting(writer.id(), WAITS);
            *guard = 5;
            let (plain, upgradable) = if to_upgradable {
                (None, Some(RwLockWriteGuard::downgrade_to_upgradable(guard)))
            } else {
                (Some(RwLockWriteGuard::downgrade(guard)), None)
            };
            for reader in readers {
                assert_eq!(reader.join().unwrap(), 5);
            }
            assert!(!writer.is_finished());
            drop((plain, upgradable));
            writer.join().unwrap();
            assert_eq!(*lock.read(), 6);
        }
    });
}

// The next upgradable reader may come in when the first lets go, though readers are there.
#[test]
fn upgradable_readers_follow_one_another() {
    on_each(|| {
        let lock = Arc::new(RwLock::new(()));
        let reading = lock.read();
        for downgrade in [false, true] {
            let first = lock.upgradable_read();
            let second = {
                let lock = Arc::clone(&lock);
                spawn(move || drop(lock.upgradable_read()))
            };
            until_waiting(second.id(), WAITS);
            let rest = downgrade.then_some(());
            let rest = match rest {
                Some(()) => Some(RwLockUpgradableReadGuard::downgrade(first)),
                None => {
                    drop(first);
                    None
                }
            };
            second.join().unwrap();
            drop(rest);
        }
        drop(reading);
        assert!(lock.try_write().is_some());
    });
}

// All ways of holding it at once, over and over: no addition that followed a look is lost.
#[test]
fn upgrades_lose_nothing() {
    on_each(|| {
        const TIMES: u64 = 200;
        let lock = Arc::new(RwLock::new(0u64));
        let handles: Vec<_> = (0..9u64)
            .map(|n| {
                let lock = Arc::clone(&lock);
                let body = move || {
                    for round in 0..TIMES {
                        match (round + n) % 3 {
                            0 => {
                                let guard = lock.upgradable_read();
                                let seen = *guard;
                                coroutine::yield_now();
                                *RwLockUpgradableReadGuard::upgrade(guard) = seen + 1;
                            }
                            1 => {
                                let mut guard = lock.write();
                                *guard += 1;
                                let seen = *guard;
                                let guard = RwLockWriteGuard::downgrade(guard);
                                coroutine::yield_now();
                                assert_eq!(*guard, seen);
                            }
                            _ => {
                                let guard = lock.read();
                                let seen = *guard;
                                coroutine::yield_now();
                                assert_eq!(*guard, seen);
                            }
                        }
                    }
                };
                if n % 3 == 2 {
                    thread::spawn(body)
                } else {
                    spawn(body)
                }
            })
            .collect();
        for handle in handles {
            handle.join().unwrap();
        }
        assert_eq!(*lock.read(), 9 * TIMES * 2 / 3);
        assert!(!lock.is_locked());
    });
}

// The forms for `async` code and for cancelled callers.
#[test]
fn in_async_code_and_cancelled() {
    on_each(|| {
        let lock = Arc::new(RwLock::new(1));
        let guard = lock.upgradable_read_cancellable().unwrap();
        let mut future = Polled::waiting(lock.upgradable_read_async());
        drop(Polled::waiting(lock.upgradable_read_async()));
        let token = Token::root();
        let cancelled = {
            let lock = Arc::clone(&lock);
            token.run(|| spawn(move || lock.upgradable_read_cancellable().is_err()))
        };
        until_waiting(cancelled.id(), WAITS);
        token.cancel();
        assert!(cancelled.join().unwrap());
        assert!(future.poll().is_none());
        let wakes = future.wakes();
        drop(guard);
        assert_eq!(future.wakes(), wakes + 1);
        let guard = future.poll().expect("its turn");
        assert!(lock.try_upgradable_read().is_none());
        *RwLockUpgradableReadGuard::upgrade(guard) = 2;
        assert_eq!(*lock.read(), 2);
    });
}
