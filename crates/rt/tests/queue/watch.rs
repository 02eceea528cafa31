//! A watched value: the newest is seen, no change is missed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ropewalk_rt::cancel::{Token, WaitError};
use ropewalk_rt::channel::{RecvError, RecvTimeoutError, SendError, watch};
use ropewalk_rt::{block_on, coroutine, spawn, spawn_async, thread};

use crate::stage::{on_each, until_waiting};
use crate::who::{Polled, Who, in_pairings};

const MOMENT: Duration = Duration::from_millis(5);

#[test]
fn the_newest_value_is_seen() {
    on_each(|| {
        let (sender, mut receiver) = watch::channel(0);
        assert_eq!(receiver.has_changed(), Ok(false));
        assert_eq!(*receiver.borrow(), 0);
        sender.send(1).unwrap();
        sender.send(2).unwrap();
        assert_eq!(receiver.has_changed(), Ok(true));
        assert_eq!(*receiver.borrow(), 2);
        assert_eq!(receiver.has_changed(), Ok(true), "borrowing is not seeing");
        receiver.changed().unwrap();
        assert_eq!(receiver.has_changed(), Ok(false));
        sender.send_modify(|n| *n += 1);
        assert_eq!(*receiver.borrow_and_update(), 3);
        assert_eq!(receiver.has_changed(), Ok(false));
        assert_eq!(sender.send_replace(9), 3);
        assert_eq!(*sender.borrow(), 9);
        receiver.mark_unchanged();
        assert_eq!(receiver.has_changed(), Ok(false));
        receiver.mark_changed();
        receiver.changed().unwrap();
        assert_eq!(
            receiver.changed_timeout(Duration::ZERO),
            Err(RecvTimeoutError::Timeout)
        );
    });
}

#[test]
fn what_is_not_modified_is_not_told() {
    let (sender, receiver) = watch::channel(1);
    assert!(!sender.send_if_modified(|n| *n > 1));
    assert_eq!(receiver.has_changed(), Ok(false));
    assert!(sender.send_if_modified(|n| {
        *n = 5;
        true
    }));
    assert_eq!(receiver.has_changed(), Ok(true));
}

#[test]
fn a_change_that_panics_leaves_the_value_usable() {
    on_each(|| {
        let (sender, receiver) = watch::channel(1);
        let result = catch_unwind(AssertUnwindSafe(|| {
            sender.send_modify(|n| {
                *n = 2;
                panic!("half done");
            })
        }));
        assert!(result.is_err());
        assert_eq!(receiver.has_changed(), Ok(false));
        assert_eq!(*receiver.borrow(), 2);
        sender.send(3).unwrap();
        assert_eq!(receiver.has_changed(), Ok(true));
    });
}

#[test]
fn the_last_value_outlives_the_senders() {
    on_each(|| {
        let (sender, mut receiver) = watch::channel("first");
        let second = sender.clone();
        sender.send("last").unwrap();
        drop(sender);
        let mut other = receiver.clone();
        receiver.changed().unwrap();
        assert_eq!(
            receiver.changed_timeout(Duration::ZERO),
            Err(RecvTimeoutError::Timeout)
        );
        drop(second);
        assert_eq!(receiver.changed(), Err(RecvError));
        assert_eq!(receiver.has_changed(), Err(RecvError));
        assert_eq!(
            receiver.changed_deadline(Instant::now() + Duration::from_secs(3600)),
            Err(RecvTimeoutError::Disconnected)
        );
        assert_eq!(*receiver.borrow(), "last");
        // The clone has not seen it.
        assert_eq!(other.has_changed(), Ok(true));
        assert_eq!(block_on(other.changed_async()), Ok(()));
        assert_eq!(block_on(other.changed_async()), Err(RecvError));
        assert_eq!(*other.wait_for(|v| *v == "last").unwrap(), "last");
        assert!(other.wait_for(|v| *v == "other").is_err());
        assert!(block_on(other.wait_for_async(|v| *v == "other")).is_err());
    });
}

#[test]
fn without_receivers_a_value_comes_back() {
    on_each(|| {
        let (sender, receiver) = watch::channel(String::from("a"));
        assert_eq!(sender.receiver_count(), 1);
        assert!(!sender.is_closed());
        drop(receiver);
        assert!(sender.is_closed());
        assert_eq!(
            sender.send(String::from("b")),
            Err(SendError(String::from("b")))
        );
        assert_eq!(*sender.borrow(), "a");
        assert_eq!(sender.send_replace(String::from("c")), "a");
        let receiver = sender.subscribe();
        assert_eq!(receiver.has_changed(), Ok(false));
        assert_eq!(*receiver.borrow(), "c");
        sender.send(String::from("d")).unwrap();
        assert_eq!(receiver.has_changed(), Ok(true));
        assert!(receiver.same_channel(&receiver.clone()));
        assert!(sender.same_channel(&sender.clone()));
        assert!(!sender.same_channel(&watch::channel(String::new()).0));
    });
}

#[test]
fn a_change_wakes_everybody() {
    in_pairings(|waiter, waker| {
        let (sender, receiver) = watch::channel(0);
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let (mut one, mut two) = (receiver.clone(), receiver.clone());
                waiter.wait(move || one.changed().map(|()| *one.borrow()), async move {
                    two.changed_async().await.map(|()| *two.borrow())
                })
            })
            .collect();
        for handle in &waiters {
            if waiter == Who::Coroutine {
                until_waiting(handle.id(), "receiving");
            }
        }
        waker.act(move || sender.send(7)).join().unwrap().unwrap();
        for handle in waiters {
            assert_eq!(handle.join().unwrap(), Ok(7));
        }
    });
}

#[test]
fn the_end_of_the_senders_wakes_everybody() {
    in_pairings(|waiter, waker| {
        let (sender, receiver) = watch::channel(0);
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let (mut one, mut two) = (receiver.clone(), receiver.clone());
                waiter.wait(move || one.wait_for(|n| *n > 0).map(|n| *n), async move {
                    two.wait_for_async(|n| *n > 0).await.map(|n| *n)
                })
            })
            .collect();
        waker.act(move || drop(sender)).join().unwrap();
        for handle in waiters {
            assert_eq!(handle.join().unwrap(), Err(RecvError));
        }
    });
}

#[test]
fn a_condition_is_waited_for() {
    in_pairings(|waiter, waker| {
        let (sender, mut receiver) = watch::channel(0);
        let mut other = receiver.clone();
        let waited = waiter.wait(
            move || receiver.wait_for(|n| *n >= 3).map(|n| *n),
            async move { other.wait_for_async(|n| *n >= 3).await.map(|n| *n) },
        );
        waker
            .act(move || (1..=3).for_each(|n| sender.send(n).unwrap()))
            .join()
            .unwrap();
        assert_eq!(waited.join().unwrap(), Ok(3));
    });
}

#[test]
fn a_wait_lasts_as_long_as_it_may() {
    on_each(|| {
        let (sender, mut receiver) = watch::channel(0);
        let begun = Instant::now();
        assert_eq!(
            receiver.changed_timeout(MOMENT),
            Err(RecvTimeoutError::Timeout)
        );
        assert!(begun.elapsed() >= MOMENT);
        let soon = Instant::now() + MOMENT;
        assert_eq!(
            receiver.changed_deadline(soon),
            Err(RecvTimeoutError::Timeout)
        );
        let late = receiver.wait_for_timeout(|n| *n > 0, MOMENT).map(|n| *n);
        assert_eq!(late, Err(RecvTimeoutError::Timeout));
        assert_eq!(sender.closed_timeout(MOMENT), Err(WaitError::Timeout));
        assert_eq!(sender.closed_deadline(soon), Err(WaitError::Timeout));
        sender.send(1).unwrap();
        receiver.changed_deadline(soon).unwrap();
        let now = receiver.wait_for_deadline(|n| *n > 0, soon).map(|n| *n);
        assert_eq!(now, Ok(1));
        drop(receiver);
        sender.closed_deadline(soon).unwrap();
    });
}

#[test]
fn every_wait_can_be_cancelled() {
    on_each(|| {
        let (sender, receiver) = watch::channel(0);
        let (mut one, mut two) = (receiver.clone(), receiver.clone());
        let changed = spawn(move || one.changed());
        let awaited = spawn(move || two.wait_for(|n| *n > 0).is_err());
        until_waiting(changed.id(), "receiving");
        until_waiting(awaited.id(), "receiving");
        changed.cancel();
        awaited.cancel();
        assert_eq!(changed.join().unwrap(), Err(RecvError));
        assert!(awaited.join().unwrap());
        let own = sender.clone();
        let closed = spawn(move || own.closed().is_err());
        until_waiting(closed.id(), "sending");
        closed.cancel();
        assert!(closed.join().unwrap());
        // What has changed is seen all the same.
        let mut receiver = receiver;
        sender.send(1).unwrap();
        let token = Token::root();
        token.cancel();
        token.run(|| {
            receiver.changed().unwrap();
            assert_eq!(receiver.changed(), Err(RecvError));
        });
    });
}

#[test]
fn senders_wait_until_the_receivers_are_gone() {
    in_pairings(|waiter, waker| {
        let (sender, receiver) = watch::channel(0);
        let second = receiver.clone();
        let gone = Arc::new(AtomicBool::new(false));
        let (seen, seen_too) = (Arc::clone(&gone), Arc::clone(&gone));
        let other = sender.clone();
        let closed = waiter.wait(
            move || {
                sender.closed().unwrap();
                seen.load(Ordering::SeqCst)
            },
            async move {
                other.closed_async().await;
                seen_too.load(Ordering::SeqCst)
            },
        );
        drop(second);
        coroutine::yield_now();
        waker
            .act(move || {
                gone.store(true, Ordering::SeqCst);
                drop(receiver);
            })
            .join()
            .unwrap();
        assert!(closed.join().unwrap(), "one was there");
    });
}

#[test]
fn a_dropped_future_has_seen_nothing() {
    on_each(|| {
        let (sender, mut receiver) = watch::channel(0);
        let future = Polled::waiting(receiver.changed_async());
        sender.send(1).unwrap();
        assert_eq!(future.wakes(), 1);
        drop(future);
        assert_eq!(receiver.has_changed(), Ok(true));
        assert_eq!(Polled::new(receiver.changed_async()).poll(), Some(Ok(())));
        drop(Polled::waiting(receiver.changed_async()));
        drop(Polled::waiting(sender.closed_async()));
        sender.send(2).unwrap();
        drop(receiver);
        assert_eq!(Polled::new(sender.closed_async()).poll(), Some(()));
    });
}

// A borrow holds senders up, as a lock does: in a coroutine, only that one.
#[test]
fn a_borrow_keeps_the_value() {
    on_each(|| {
        let (sender, receiver) = watch::channel(1);
        let borrowed = receiver.borrow();
        let sent = spawn(move || sender.send(2));
        until_waiting(sent.id(), "locking");
        assert_eq!(*borrowed, 1);
        drop(borrowed);
        sent.join().unwrap().unwrap();
        assert_eq!(*receiver.borrow(), 2);
    });
}

// Several senders count up; each receiver sees the count rise, and its end, in whatever way
// it waits, with less patience than it needs.
#[test]
fn no_change_is_missed_in_100_000() {
    const ROUNDS: usize = 100_000;
    on_each(|| {
        let (sender, receiver) = watch::channel(0usize);
        let receivers: Vec<_> = (0..6)
            .map(|n| {
                let mut receiver = receiver.clone();
                let watch = move || {
                    let mut last = 0;
                    let mut looks = 0usize;
                    while last < ROUNDS {
                        match receiver.changed_timeout(Duration::from_micros(n * 4)) {
                            Ok(()) => {}
                            Err(RecvTimeoutError::Timeout) => continue,
                            Err(error) => panic!("{error} after {last}"),
                        }
                        let value = *receiver.borrow();
                        assert!(value >= last);
                        last = value;
                        looks += 1;
                    }
                    looks
                };
                match n {
                    0 | 1 => thread::spawn(watch),
                    2 | 3 => spawn(watch),
                    _ => {
                        let mut receiver = sender.subscribe();
                        spawn_async(async move {
                            let (mut last, mut looks) = (0, 0);
                            while last < ROUNDS {
                                receiver.changed_async().await.unwrap();
                                last = *receiver.borrow_and_update();
                                looks += 1;
                            }
                            looks
                        })
                    }
                }
            })
            .collect();
        let senders: Vec<_> = (0..4)
            .map(|n| {
                let sender = sender.clone();
                let send = move || {
                    for round in 0..ROUNDS / 4 {
                        sender.send_modify(|value| *value += 1);
                        if round % 64 == 0 {
                            coroutine::yield_now();
                        }
                    }
                };
                if n == 0 {
                    thread::spawn(send)
                } else {
                    spawn(send)
                }
            })
            .collect();
        for handle in senders {
            handle.join().unwrap();
        }
        for handle in receivers {
            assert!(handle.join().unwrap() > 0);
        }
    });
}
