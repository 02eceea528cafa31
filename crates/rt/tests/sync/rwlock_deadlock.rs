//! `RwLock`: circles of writers are reported, and readers are no circle.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ropewalk_rt::deadlock::{self, Deadlock};
use ropewalk_rt::sync::{Barrier, RwLock};
use ropewalk_rt::{Runtime, coroutine};

use crate::stage::{any_runtime, until};

/// Stops a runtime with coroutines that can never end.
fn give_up(runtime: Runtime, stuck: usize) {
    let left = runtime.shutdown(Duration::ZERO).unwrap_err();
    assert_eq!(left.left.len(), stuck, "{left}");
}

// The hook is the process's: one test for all of it.
#[test]
fn circles_are_reported() {
    let found: Arc<Mutex<Vec<Deadlock>>> = Arc::default();
    let sink = Arc::clone(&found);
    deadlock::track(true);
    deadlock::set_hook(move |deadlock| sink.lock().unwrap().push(deadlock.clone()));

    // Each writes one lock and wants the other, one to write and one to read.
    let runtime = any_runtime(2);
    let locks = Arc::new([const { RwLock::new(()) }; 2]);
    let both = Arc::new(Barrier::new(2));
    let mut ids = runtime.run(|| {
        [true, false].map(|writes| {
            let (locks, both) = (Arc::clone(&locks), Arc::clone(&both));
            let body = move || {
                let _held = locks[usize::from(writes)].write();
                both.wait();
                if writes {
                    drop(locks[0].write());
                } else {
                    drop(locks[1].read());
                }
            };
            let builder = coroutine::Builder::new().daemon(true);
            builder.spawn(body).unwrap().id()
        })
    });
    until(|| !found.lock().unwrap().is_empty());
    let report = found.lock().unwrap().remove(0);
    let mut members: Vec<_> = report.members().iter().map(|member| member.id()).collect();
    members.sort();
    ids.sort();
    assert_eq!(members, ids);
    give_up(runtime, 2);

    // One that writes and wants to read what it writes.
    let runtime = any_runtime(1);
    let id = runtime.run(|| {
        let body = || {
            let lock = RwLock::new(());
            let _held = lock.write();
            drop(lock.read());
        };
        let builder = coroutine::Builder::new().daemon(true);
        builder.spawn(body).unwrap().id()
    });
    until(|| !found.lock().unwrap().is_empty());
    let report = found.lock().unwrap().remove(0);
    assert_eq!(report.members().len(), 1);
    assert_eq!(report.members()[0].id(), id);
    give_up(runtime, 1);

    // A lock that was downgraded, or upgraded and given back, is nobody's.
    let runtime = any_runtime(1);
    runtime.run(|| {
        let lock = Arc::new(RwLock::new(0));
        let shared = lock_api::RwLockWriteGuard::downgrade(lock.write());
        let writer = {
            let lock = Arc::clone(&lock);
            coroutine::spawn(move || *lock.write() += 1)
        };
        coroutine::yield_now();
        drop(shared);
        writer.join().unwrap();
        let guard = lock_api::RwLockUpgradableReadGuard::upgrade(lock.upgradable_read());
        drop(guard);
        assert_eq!(*lock.read(), 1);
    });
    crate::stage::close(runtime);
    assert!(found.lock().unwrap().is_empty());
    deadlock::take_hook();
}
