//! Waits that are cancelled or time out at any moment: nothing is held by nobody, and nothing
//! is lost.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use ropewalk_rt::{cancel, coroutine};

use super::stage::{LONG, await_stats, on_each, served};

/// Delays that end before, during and after what they race with.
fn delay(round: u32) -> Duration {
    Duration::from_micros(u64::from(round * 37 % 400))
}

#[test]
fn a_cancelled_acquisition_holds_nothing() {
    on_each(|| {
        let (_server, manager) = served();
        let lock = manager.lock().unwrap();
        let semaphore = manager.bounded_semaphore(1).unwrap();
        for round in 0..60 {
            let (guard, permit) = (lock.lock().unwrap(), semaphore.acquire().unwrap());
            coroutine::scope(|scope| {
                let waiters = [
                    scope.spawn(|| lock.lock().map(drop)),
                    scope.spawn(|| semaphore.acquire().map(drop)),
                ];
                coroutine::sleep(delay(round));
                drop((guard, permit));
                coroutine::sleep(delay(round * 3));
                for waiter in waiters {
                    waiter.cancel();
                    if let Ok(Err(error)) = waiter.join() {
                        assert!(error.is_cancelled(), "{error}");
                    }
                }
            });
            let (guard, permit) = (lock.lock_timeout(LONG), semaphore.acquire_timeout(LONG));
            assert!(
                guard.unwrap().is_some() && permit.unwrap().is_some(),
                "round {round}"
            );
        }
        await_stats(&manager, "all to be free", |stats| {
            (stats.waiting, stats.leases) == (0, 0)
        });
    });
}

#[test]
fn a_timed_get_loses_no_item() {
    on_each(|| {
        let (_server, manager) = served();
        let queue = manager.bounded_queue(1).unwrap();
        let got = Mutex::new(BTreeSet::new());
        coroutine::scope(|scope| {
            for taker in 0..2 {
                let (queue, got) = (&queue, &got);
                scope.spawn(move || {
                    let mut round = taker;
                    loop {
                        round += 1;
                        match queue.get_timeout::<u32>(delay(round)) {
                            Ok(Some(item)) => assert!(got.lock().unwrap().insert(item)),
                            Ok(None) => {}
                            Err(_) => return,
                        }
                    }
                });
            }
            let mut item = 0;
            for round in 0.. {
                if queue.put_timeout(item, delay(round)).unwrap() {
                    item += 1;
                }
                if item == 100 {
                    break;
                }
            }
            queue.close().unwrap();
        });
        assert_eq!(got.into_inner().unwrap(), (0..100).collect());
        assert_eq!(manager.stats().unwrap().waiting, 0);
    });
}

/// A deadline of a token ends a wait as a cancellation does; a shield holds it off.
#[test]
fn a_deadline_above_ends_the_wait() {
    on_each(|| {
        let (_server, manager) = served();
        let event = manager.event().unwrap();
        let ended = cancel::timeout(Duration::from_millis(5), || event.wait());
        assert!(ended.unwrap_err().into_inner().unwrap_err().is_cancelled());
        let token = cancel::Token::new();
        token.cancel();
        let shielded = token.run(|| cancel::shield(|| manager.dict()?.len()));
        assert_eq!(shielded.unwrap(), 0);
        assert_eq!(manager.stats().unwrap().waiting, 0);
    });
}

/// All threads and coroutines of a process share one connection: calls that wait don't hold the
/// others up.
#[test]
fn many_waits_share_a_connection() {
    on_each(|| {
        let (_server, manager) = served();
        let event = manager.event().unwrap();
        let list = manager.list().unwrap();
        coroutine::scope(|scope| {
            let waiters: Vec<_> = (0..200).map(|_| scope.spawn(|| event.wait())).collect();
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    let event = event.clone();
                    ropewalk_rt::thread::spawn(move || event.wait())
                })
                .collect();
            await_stats(&manager, "all to wait", |stats| stats.waiting == 204);
            list.push(1).unwrap();
            assert_eq!(manager.stats().unwrap().clients, 1);
            event.set().unwrap();
            waiters
                .into_iter()
                .for_each(|one| one.join().unwrap().unwrap());
            threads
                .into_iter()
                .for_each(|one| one.join().unwrap().unwrap());
        });
    });
}
