//! `WaitGroup`: the wait ends when the last handle is gone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ropewalk_rt::cancel::{Token, WaitError};
use ropewalk_rt::sync::{Unfinished, WaitGroup};
use ropewalk_rt::{coroutine, spawn};

use crate::stage::{on_each, until_waiting};
use crate::who::{Polled, Who, in_pairings};

const WAITS: &str = "waiting at a barrier";

#[test]
fn the_last_handle_lets_go() {
    in_pairings(|waiter, worker| {
        let group = WaitGroup::new();
        let done = Arc::new(AtomicUsize::new(0));
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let (member, done) = (group.clone(), Arc::clone(&done));
                worker.act(move || {
                    done.fetch_add(1, Ordering::Relaxed);
                    drop(member);
                })
            })
            .collect();
        let (blocking, future) = (group.clone(), group.clone());
        drop(group);
        let waits = waiter.wait(
            move || {
                // The other form's handle is dropped with its closure.
                blocking.wait();
            },
            future.wait_async(),
        );
        waits.join().unwrap();
        assert_eq!(done.load(Ordering::Relaxed), 4);
        for worker in workers {
            worker.join().unwrap();
        }
    });
}

#[test]
fn nobody_else() {
    on_each(|| {
        WaitGroup::new().wait();
        WaitGroup::default().wait_timeout(Duration::ZERO).unwrap();
        let group = WaitGroup::new();
        drop(group.clone());
        coroutine::no_wait(|| drop(group.clone()));
        group.wait_deadline(Instant::now()).unwrap();
        assert_eq!(Polled::new(WaitGroup::new().wait_async()).poll(), Some(()));
    });
}

// Several may wait, each giving its handle up.
#[test]
fn many_wait() {
    on_each(|| {
        let group = WaitGroup::new();
        let waiters: Vec<_> = Who::ALL
            .into_iter()
            .cycle()
            .take(6)
            .map(|who| {
                let (blocking, future) = (group.clone(), group.clone());
                who.wait(move || blocking.wait(), future.wait_async())
            })
            .collect();
        coroutine::yield_now();
        assert!(waiters.iter().all(|waiter| !waiter.is_finished()));
        drop(group);
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
}

// One that gave up holds a handle again: the others wait for it.
#[test]
fn giving_up_gives_the_handle_back() {
    on_each(|| {
        let group = WaitGroup::new();
        let member = group.clone();
        let Unfinished { group, error } = group
            .wait_timeout(Duration::from_millis(2))
            .expect_err("a member is left");
        assert_eq!(error, WaitError::Timeout);
        let waiter = spawn(move || member.wait());
        until_waiting(waiter.id(), WAITS);
        assert!(!waiter.is_finished());
        let unfinished = Polled::waiting(group.clone().wait_async());
        drop(group);
        waiter.join().unwrap();
        drop(unfinished);
    });
}

#[test]
fn only_the_cancellable_wait_is_cancelled() {
    on_each(|| {
        let group = WaitGroup::new();
        let token = Token::root();
        let (firm, weak) = token.run(|| {
            let (firm, weak) = (group.clone(), group.clone());
            (
                spawn(move || firm.wait()),
                spawn(move || weak.wait_cancellable().map_err(|error| error.error)),
            )
        });
        until_waiting(firm.id(), WAITS);
        until_waiting(weak.id(), WAITS);
        token.cancel();
        assert_eq!(weak.join().unwrap(), Err(WaitError::Cancelled));
        assert!(!firm.is_finished());
        drop(group);
        firm.join().unwrap();
    });
}

// A wait that is refused has given nothing up.
#[test]
fn waiting_is_refused_inside_no_wait() {
    on_each(|| {
        let group = WaitGroup::new();
        let member = group.clone();
        let refused = spawn(move || coroutine::no_wait(|| member.wait()));
        assert!(refused.join().unwrap_err().is_panic());
        group.wait();
    });
}

// Giving up races with the last handle's end: the wait that succeeds is the one after it.
#[test]
fn giving_up_races_with_the_end() {
    on_each(|| {
        let mut given_up = 0;
        for round in 0..20_000u64 {
            let mut group = WaitGroup::new();
            let member = group.clone();
            let ended = Arc::new(AtomicUsize::new(0));
            let last = {
                let ended = Arc::clone(&ended);
                spawn(move || {
                    ended.store(1, Ordering::Relaxed);
                    drop(member);
                })
            };
            let mut patience = Duration::from_micros(round % 8);
            while let Err(unfinished) = group.wait_timeout(patience) {
                given_up += 1;
                group = unfinished.group;
                patience *= 2;
                coroutine::yield_now();
            }
            assert_eq!(
                ended.load(Ordering::Relaxed),
                1,
                "{given_up} times given up"
            );
            last.join().unwrap();
        }
    });
}
