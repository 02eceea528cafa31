//! Clients that are killed at any moment: what they held goes on to others, and the server
//! keeps nothing of theirs.

use std::fs;
use std::time::Duration;

use ropewalk_process::manager::{
    BarrierProxy, ConditionProxy, DictProxy, LockProxy, Manager, QueueProxy, RLockProxy, Refusal,
    SemaphoreProxy, Update, ValueProxy,
};
use ropewalk_rt::coroutine;
use serde::{Deserialize, Serialize};

use super::children::{Other, decode};
use super::stage::{LONG, await_stats};

#[derive(Clone, Serialize, Deserialize)]
struct Held {
    lock: LockProxy,
    rlock: RLockProxy,
    semaphore: SemaphoreProxy,
    condition: ConditionProxy,
    barrier: BarrierProxy,
    told: QueueProxy,
}

impl Held {
    fn new(manager: &Manager) -> Held {
        Held {
            lock: manager.lock().unwrap(),
            rlock: manager.rlock().unwrap(),
            semaphore: manager.bounded_semaphore(2).unwrap(),
            condition: manager.condition().unwrap(),
            barrier: manager.barrier(2).unwrap(),
            told: manager.queue().unwrap(),
        }
    }
}

/// Takes all there is, and keeps it.
pub(crate) fn hold(orders: &[u8]) {
    let all: Held = decode(orders);
    let _lock = all.lock.lock().unwrap();
    let _rlock = (all.rlock.lock().unwrap(), all.rlock.lock().unwrap());
    let _permits = all.semaphore.acquire_many(2).unwrap();
    let _condition = all.condition.lock().unwrap();
    all.told.put("held").unwrap();
    all.barrier.wait().unwrap_err();
}

#[test]
fn what_a_killed_process_held_goes_on() {
    let manager = Manager::start().unwrap();
    let all = Held::new(&manager);
    for _ in 0..3 {
        let other = Other::start("holder", &all);
        assert_eq!(all.told.get::<String>().unwrap(), "held");
        await_stats(&manager, "it to hold all and wait", |stats| {
            (stats.leases, stats.waiting) == (4, 1)
        });
        coroutine::scope(|scope| {
            let waiters = [
                scope.spawn(|| drop(all.lock.lock().unwrap())),
                scope.spawn(|| drop(all.rlock.lock().unwrap())),
                scope.spawn(|| drop(all.semaphore.acquire().unwrap())),
                scope.spawn(|| drop(all.condition.lock().unwrap())),
            ];
            await_stats(&manager, "all to wait", |stats| stats.waiting == 5);
            other.kill();
            waiters.into_iter().for_each(|one| one.join().unwrap());
        });
        // It waited there: nobody shall wait for it.
        let broken = all.barrier.wait().unwrap_err();
        assert_eq!(broken.refusal(), Some(&Refusal::Broken));
        all.barrier.reset().unwrap();
        await_stats(&manager, "all to be free", |stats| {
            (stats.clients, stats.leases, stats.waiting) == (1, 0, 0)
        });
        assert_eq!(all.semaphore.available_permits().unwrap(), 2);
    }
}

#[derive(Serialize, Deserialize)]
struct Restless {
    held: Held,
    dict: DictProxy,
    items: QueueProxy,
    inside: ValueProxy,
}

/// Does a bit of everything, from several coroutines, until it is killed.
pub(crate) fn be_restless(orders: &[u8]) {
    let all: Restless = decode(orders);
    let held = &all.held;
    let brief = Duration::from_millis(3);
    coroutine::scope(|scope| {
        for number in 0..3_u32 {
            let all = &all;
            scope.spawn(move || {
                loop {
                    let guard = held.lock.lock().unwrap();
                    // Nobody else is inside, be it that he died there.
                    all.inside.set(number).unwrap();
                    coroutine::yield_now();
                    assert_eq!(all.inside.get::<u32>().unwrap(), number);
                    drop(guard);
                    let _outer = held.rlock.lock_timeout(brief).unwrap();
                    let _inner = held.rlock.lock_timeout(brief).unwrap();
                    let permit = held.semaphore.acquire().unwrap();
                    all.dict
                        .update_or::<u64>(&number, &0, Update::add(1))
                        .unwrap();
                    let _ = held.semaphore.acquire_timeout(brief).unwrap();
                    drop(permit);
                }
            });
        }
        scope.spawn(|| {
            loop {
                all.items.put(vec![7_u8; 3000]).unwrap();
                all.items.get::<Vec<u8>>().unwrap();
                // Broken whenever one is killed; then it is made whole by whoever sees it.
                if held.barrier.wait_timeout(brief).is_err() {
                    held.barrier.reset().unwrap();
                }
            }
        });
        scope.spawn(|| {
            loop {
                let mut guard = held.condition.lock().unwrap();
                guard.notify_one().unwrap();
                guard.wait_timeout(brief).unwrap();
            }
        });
        held.told.put(std::process::id()).unwrap();
    });
}

/// The descriptors of a process.
fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

#[test]
fn clients_killed_at_any_moment_leave_nothing() {
    const ROUNDS: u64 = 8;
    let manager = Manager::start().unwrap();
    let server = manager.process_id().unwrap();
    let all = Restless {
        held: Held::new(&manager),
        dict: manager.dict().unwrap(),
        items: manager.bounded_queue(2).unwrap(),
        inside: manager.value(0).unwrap(),
    };
    let before = (descriptors(server), manager.stats().unwrap().objects);
    for round in 0..ROUNDS {
        let others: Vec<_> = (0..3).map(|_| Other::start("restless", &all)).collect();
        for _ in 0..others.len() {
            all.held.told.get::<u32>().unwrap();
        }
        for (number, other) in others.into_iter().enumerate() {
            coroutine::sleep(Duration::from_micros(
                (round * 3 + number as u64) * 1709 % 20_000,
            ));
            other.kill();
        }
        await_stats(&manager, "all to be free", |stats| {
            (stats.clients, stats.leases, stats.waiting) == (1, 0, 0)
        });
        drop(all.held.lock.lock_timeout(LONG).unwrap().unwrap());
        drop(all.held.rlock.lock_timeout(LONG).unwrap().unwrap());
        drop(all.held.condition.lock_timeout(LONG).unwrap().unwrap());
        assert_eq!(all.held.semaphore.available_permits().unwrap(), 2);
        // A client is gone before its connection is closed.
        await_stats(&manager, &format!("as before, round {round}"), |stats| {
            (descriptors(server), stats.objects) == before
        });
    }
    let done: u64 = all.dict.values::<u64>().unwrap().iter().sum();
    assert!(done > 0, "nobody came to do anything");
}
