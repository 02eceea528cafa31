//! Condition variables: who goes, and who doesn't.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ropewalk_process::shared::{Condition, Event, Lock, Value};
use ropewalk_rt::coroutine;

use crate::stage::on_each;
use crate::{kill, start};

#[test]
fn as_many_go_as_were_notified() {
    on_each(|| {
        let (lock, changed) = (Lock::new().unwrap(), Condition::new().unwrap());
        let (waiting, gone) = (AtomicU32::new(0), AtomicU32::new(0));
        ropewalk_rt::scope(|s| {
            for _ in 0..5 {
                s.spawn(|| {
                    let mut guard = lock.lock().unwrap();
                    waiting.fetch_add(1, Ordering::SeqCst);
                    changed.wait(&mut guard).unwrap();
                    gone.fetch_add(1, Ordering::SeqCst);
                });
            }
            // Who counted under the lock has a number when the lock is free again.
            let all_wait = || {
                let _guard = lock.lock().unwrap();
                waiting.load(Ordering::SeqCst) == 5
            };
            while !all_wait() {
                coroutine::yield_now();
            }
            for (notify, expected) in [(1, 1), (2, 3), (9, 5)] {
                changed.notify(notify);
                while gone.load(Ordering::SeqCst) < expected {
                    coroutine::yield_now();
                }
                // One notified too many would come within a slice.
                coroutine::sleep(Duration::from_millis(10));
                assert_eq!(gone.load(Ordering::SeqCst), expected);
            }
            changed.notify_all();
        });
    });
}

/// A ball goes to and fro: whose turn it is is guarded by the lock.
#[ropewalk_macros::task(crate = ropewalk_rt)]
fn play(lock: Lock, changed: Condition, turn: Value<u32>, mine: u32, until: u32) {
    let mut guard = lock.lock().unwrap();
    while turn.get() < until {
        if turn.get() % 2 == mine {
            turn.update(|turn| *turn += 1);
            changed.notify_one();
        } else {
            changed.wait(&mut guard).unwrap();
        }
    }
    changed.notify_all();
}

#[test]
fn two_processes_take_turns() {
    let (lock, changed) = (Lock::new().unwrap(), Condition::new().unwrap());
    let turn = Value::new(0_u32).unwrap();
    let players = [0, 1].map(|mine| {
        let args = (lock.clone(), changed.clone(), turn.clone(), mine, 100);
        start(play, args)
    });
    for player in players {
        player.join().unwrap();
    }
    assert_eq!(turn.get(), 100);
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn wait_once(lock: Lock, changed: Condition, waiting: Event) {
    let mut guard = lock.lock().unwrap();
    waiting.set();
    changed.wait(&mut guard).unwrap();
}

/// The notification that a killed waiter would have got goes to one who lives.
#[test]
fn a_killed_waiter_takes_no_notification_along() {
    let (lock, changed) = (Lock::new().unwrap(), Condition::new().unwrap());
    for _ in 0..5 {
        let waiting = Event::new().unwrap();
        let args = (lock.clone(), changed.clone(), waiting.clone());
        let victim = start(wait_once, args);
        waiting.wait().unwrap();
        // It has given the lock back, so it has a number.
        drop(lock.lock().unwrap());
        let survivor_waits = Event::new().unwrap();
        let args = (lock.clone(), changed.clone(), survivor_waits.clone());
        let survivor = start(wait_once, args);
        survivor_waits.wait().unwrap();
        drop(lock.lock().unwrap());
        kill(&victim);
        changed.notify_one();
        survivor.join().unwrap();
    }
}
