//! Locks, semaphores, conditions, events and barriers, within one process.

use std::time::Duration;

use ropewalk_process::manager::Refusal;
use ropewalk_rt::coroutine;

use super::stage::{LONG, SHORT, await_stats, on_each, served};

#[test]
fn a_lock_excludes() {
    on_each(|| {
        let (_server, manager) = served();
        let lock = manager.lock().unwrap();
        let count = manager.value(0).unwrap();
        coroutine::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        let _guard = lock.lock().unwrap();
                        let old: u32 = count.get().unwrap();
                        count.set(old + 1).unwrap();
                    }
                });
            }
        });
        assert_eq!(count.get::<u32>().unwrap(), 120);
        assert!(!lock.is_locked().unwrap());
        assert_eq!(manager.stats().unwrap().leases, 0);
    });
}

#[test]
fn lock_timed_and_tried() {
    on_each(|| {
        let (_server, manager) = served();
        let lock = manager.lock().unwrap();
        let guard = lock.lock().unwrap();
        assert!(lock.try_lock().unwrap().is_none());
        assert!(lock.lock_timeout(SHORT).unwrap().is_none());
        assert_eq!(manager.stats().unwrap().waiting, 0);
        guard.unlock().unwrap();
        let guard = lock.lock_timeout(LONG).unwrap().unwrap();
        // A guard may go elsewhere.
        ropewalk_rt::thread::spawn(move || drop(guard))
            .join()
            .unwrap();
        assert!(lock.try_lock().unwrap().is_some());
    });
}

#[test]
fn a_reentrant_lock_is_its_tasks() {
    on_each(|| {
        let (_server, manager) = served();
        let lock = manager.rlock().unwrap();
        let outer = lock.lock().unwrap();
        let inner = lock.lock().unwrap();
        let others_try = || {
            coroutine::scope(|scope| {
                scope
                    .spawn(|| lock.try_lock().unwrap().is_some())
                    .join()
                    .unwrap()
            })
        };
        assert!(!others_try());
        drop(outer);
        assert!(!others_try());
        inner.unlock().unwrap();
        assert!(others_try());
        await_stats(&manager, "the locks to be free", |stats| stats.leases == 0);
    });
}

#[test]
fn semaphores() {
    on_each(|| {
        let (_server, manager) = served();
        let semaphore = manager.semaphore(2).unwrap();
        let one = semaphore.acquire().unwrap();
        let two = semaphore.try_acquire().unwrap().unwrap();
        assert!(semaphore.try_acquire().unwrap().is_none());
        assert!(semaphore.acquire_timeout(SHORT).unwrap().is_none());
        one.release().unwrap();
        two.forget().unwrap();
        assert_eq!(semaphore.available_permits().unwrap(), 1);
        semaphore.release(3).unwrap();
        assert_eq!(semaphore.available_permits().unwrap(), 4);
        drop(semaphore.acquire_many(4).unwrap());

        let bounded = manager.bounded_semaphore(1).unwrap();
        assert_eq!(
            bounded.release(1).unwrap_err().refusal(),
            Some(&Refusal::TooManyReleases)
        );
        let permit = bounded.acquire().unwrap();
        assert!(bounded.release(1).is_err(), "held permits count");
        permit.forget().unwrap();
        bounded.release(1).unwrap();
        assert!(bounded.acquire_many(2).is_err(), "there never are as many");
    });
}

/// One who needs many permits is not overtaken; when it gives up, those behind it go on.
#[test]
fn a_semaphore_serves_in_order() {
    on_each(|| {
        let (_server, manager) = served();
        let semaphore = manager.semaphore(2).unwrap();
        let held = semaphore.acquire().unwrap();
        coroutine::scope(|scope| {
            let many = scope.spawn(|| semaphore.acquire_many(2).map(drop));
            await_stats(&manager, "one to wait", |stats| stats.waiting == 1);
            let one = scope.spawn(|| semaphore.acquire().map(drop));
            await_stats(&manager, "two to wait", |stats| stats.waiting == 2);
            many.cancel();
            assert!(many.join().unwrap().unwrap_err().is_cancelled());
            one.join().unwrap().unwrap();
        });
        drop(held);
    });
}

#[test]
fn conditions() {
    on_each(|| {
        let (_server, manager) = served();
        let condition = manager.condition().unwrap();
        let ready = manager.value(0).unwrap();
        coroutine::scope(|scope| {
            let waiters: Vec<_> = (0..3)
                .map(|_| {
                    scope.spawn(|| {
                        let mut guard = condition.lock().unwrap();
                        guard.wait_while(|| Ok(ready.get::<u32>()? == 0)).unwrap();
                        // The lock is held: nobody else counts.
                        let left: u32 = ready.get().unwrap();
                        ready.set(left + 1).unwrap();
                        guard.unlock().unwrap();
                    })
                })
                .collect();
            await_stats(&manager, "all to wait", |stats| {
                (stats.waiting, stats.leases) == (3, 0)
            });
            let guard = condition.lock().unwrap();
            ready.set(1).unwrap();
            assert!(guard.notify_one().unwrap());
            assert_eq!(guard.notify_all().unwrap(), 2);
            assert_eq!(guard.notify_all().unwrap(), 0);
            drop(guard);
            for waiter in waiters {
                waiter.join().unwrap();
            }
        });
        assert_eq!(ready.get::<u32>().unwrap(), 4);
    });
}

#[test]
fn a_condition_times_out_with_the_lock() {
    on_each(|| {
        let (_server, manager) = served();
        let condition = manager.condition().unwrap();
        let mut guard = condition.lock().unwrap();
        assert!(!guard.wait_timeout(SHORT).unwrap());
        assert!(
            condition.try_lock().unwrap().is_none(),
            "it has the lock again"
        );
        guard.unlock().unwrap();
        assert!(condition.try_lock().unwrap().is_some());
    });
}

/// A notified waiter that is cancelled before it has the lock passes the notification on.
#[test]
fn a_notification_is_not_lost_with_a_cancelled_waiter() {
    on_each(|| {
        let (_server, manager) = served();
        let condition = manager.condition().unwrap();
        coroutine::scope(|scope| {
            let wait = || -> ropewalk_process::manager::Result<()> {
                let mut guard = condition.lock()?;
                guard.wait()
            };
            let first = scope.spawn(wait);
            await_stats(&manager, "the first", |stats| {
                stats.waiting == 1 && stats.leases == 0
            });
            let second = scope.spawn(wait);
            await_stats(&manager, "the second", |stats| {
                stats.waiting == 2 && stats.leases == 0
            });
            let guard = condition.lock().unwrap();
            assert!(guard.notify_one().unwrap());
            first.cancel();
            assert!(first.join().unwrap().unwrap_err().is_cancelled());
            guard.unlock().unwrap();
            second.join().unwrap().unwrap();
        });
    });
}

#[test]
fn a_condition_without_its_lock_is_refused() {
    let (_server, manager) = served();
    let condition = manager.condition().unwrap();
    coroutine::scope(|scope| {
        let waiter = scope.spawn(|| {
            let mut guard = condition.lock().unwrap();
            let cancelled = guard.wait().unwrap_err().is_cancelled();
            // Nothing more can be done with it, and nothing is given back twice.
            let refused = guard.notify_one().unwrap_err();
            assert_eq!(refused.refusal(), Some(&Refusal::NotHeld));
            assert_eq!(
                guard.wait().unwrap_err().to_string(),
                Refusal::NotHeld.to_string()
            );
            cancelled
        });
        await_stats(&manager, "it to wait", |stats| {
            stats.waiting == 1 && stats.leases == 0
        });
        let held = condition.lock().unwrap();
        waiter.cancel();
        assert!(waiter.join().unwrap());
        assert!(condition.try_lock().unwrap().is_none());
        drop(held);
    });
}

#[test]
fn events() {
    on_each(|| {
        let (_server, manager) = served();
        let event = manager.event().unwrap();
        assert!(!event.wait_timeout(SHORT).unwrap());
        coroutine::scope(|scope| {
            let waiters: Vec<_> = (0..3).map(|_| scope.spawn(|| event.wait())).collect();
            await_stats(&manager, "all to wait", |stats| stats.waiting == 3);
            event.set().unwrap();
            for waiter in waiters {
                waiter.join().unwrap().unwrap();
            }
        });
        assert!(event.is_set().unwrap());
        event.wait().unwrap();
        event.clear().unwrap();
        assert!(!event.is_set().unwrap());
    });
}

#[test]
fn barriers() {
    on_each(|| {
        let (_server, manager) = served();
        let barrier = manager.barrier(3).unwrap();
        for _ in 0..2 {
            let mut places = coroutine::scope(|scope| {
                let all: Vec<_> = (0..3).map(|_| scope.spawn(|| barrier.wait())).collect();
                let places = all.into_iter().map(|one| one.join().unwrap().unwrap());
                places.collect::<Vec<_>>()
            });
            places.sort_unstable();
            assert_eq!(places, [0, 1, 2]);
        }
        assert_eq!(barrier.parties().unwrap(), 3);
    });
}

#[test]
fn who_gives_up_breaks_the_barrier() {
    on_each(|| {
        let (_server, manager) = served();
        let barrier = manager.barrier(3).unwrap();
        coroutine::scope(|scope| {
            let other = scope.spawn(|| barrier.wait());
            await_stats(&manager, "it to wait", |stats| stats.waiting == 1);
            assert_eq!(barrier.wait_timeout(SHORT).unwrap(), None);
            let broken = other.join().unwrap().unwrap_err();
            assert_eq!(broken.refusal(), Some(&Refusal::Broken));
        });
        assert!(barrier.is_broken().unwrap());
        assert!(barrier.wait().is_err());
        barrier.reset().unwrap();
        assert_eq!(barrier.waiting().unwrap(), 0);
        coroutine::scope(|scope| {
            let waiters: Vec<_> = (0..3).map(|_| scope.spawn(|| barrier.wait())).collect();
            waiters
                .into_iter()
                .for_each(|one| assert!(one.join().unwrap().is_ok()));
        });
        barrier.abort().unwrap();
        assert!(barrier.wait_timeout(Duration::ZERO).is_err());
    });
}
