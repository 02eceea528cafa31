//! `Barrier`: all go together, one leads; who gives up is not counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ropewalk_rt::cancel::{Token, WaitError};
use ropewalk_rt::sync::Barrier;
use ropewalk_rt::{coroutine, spawn};

use crate::stage::{on_each, until_waiting};
use crate::who::{Polled, Who, in_pairings};

const WAITS: &str = "waiting at a barrier";

// Two who meet, and each other, round after round.
#[test]
fn any_two_meet() {
    in_pairings(|one, other| {
        const ROUNDS: usize = 20;
        let barrier = Arc::new(Barrier::new(2));
        let leaders = Arc::new(AtomicUsize::new(0));
        let both = [one, other].map(|who| {
            let (barrier, leaders) = (Arc::clone(&barrier), Arc::clone(&leaders));
            let (barrier_too, leaders_too) = (Arc::clone(&barrier), Arc::clone(&leaders));
            who.wait(
                move || {
                    for _ in 0..ROUNDS {
                        let led = barrier.wait().is_leader();
                        leaders.fetch_add(led.into(), Ordering::Relaxed);
                    }
                },
                async move {
                    for _ in 0..ROUNDS {
                        let led = barrier_too.wait_async().await.is_leader();
                        leaders_too.fetch_add(led.into(), Ordering::Relaxed);
                    }
                },
            )
        });
        for handle in both {
            handle.join().unwrap();
        }
        assert_eq!(leaders.load(Ordering::Relaxed), ROUNDS);
    });
}

// Nobody is a round ahead: what all wrote before a round, all see after it.
#[test]
fn nobody_goes_before_all_have_come() {
    on_each(|| {
        const SIZE: usize = 10;
        const ROUNDS: usize = 50;
        let barrier = Arc::new(Barrier::new(SIZE));
        let arrived = Arc::new(AtomicUsize::new(0));
        let handles: Vec<_> = Who::ALL
            .into_iter()
            .cycle()
            .take(SIZE)
            .map(|who| {
                let (barrier, arrived) = (Arc::clone(&barrier), Arc::clone(&arrived));
                let (barrier_too, arrived_too) = (Arc::clone(&barrier), Arc::clone(&arrived));
                who.wait(
                    move || {
                        for round in 1..=ROUNDS {
                            arrived.fetch_add(1, Ordering::Relaxed);
                            barrier.wait();
                            assert_eq!(arrived.load(Ordering::Relaxed), round * SIZE);
                            barrier.wait();
                        }
                    },
                    async move {
                        for round in 1..=ROUNDS {
                            arrived_too.fetch_add(1, Ordering::Relaxed);
                            barrier_too.wait_async().await;
                            assert_eq!(arrived_too.load(Ordering::Relaxed), round * SIZE);
                            barrier_too.wait_async().await;
                        }
                    },
                )
            })
            .collect();
        for handle in handles {
            handle.join().unwrap();
        }
    });
}

#[test]
fn of_nobody_and_of_one() {
    for size in [0, 1] {
        let barrier = Barrier::new(size);
        for _ in 0..3 {
            assert!(barrier.wait().is_leader());
            assert!(barrier.wait_timeout(Duration::ZERO).unwrap().is_leader());
            let result = Polled::new(barrier.wait_async()).poll();
            assert!(result.unwrap().is_leader());
        }
    }
}

// Whoever's time is over is not counted: the others wait for one more.
#[test]
fn who_gives_up_is_not_counted() {
    on_each(|| {
        let barrier = Arc::new(Barrier::new(3));
        let waiter = {
            let barrier = Arc::clone(&barrier);
            spawn(move || barrier.wait().is_leader())
        };
        until_waiting(waiter.id(), WAITS);
        let patience = Duration::from_millis(2);
        for _ in 0..5 {
            assert_eq!(barrier.wait_timeout(patience), Err(WaitError::Timeout));
            let result = barrier.wait_deadline(Instant::now() + patience);
            assert_eq!(result, Err(WaitError::Timeout));
            drop(Polled::waiting(barrier.wait_async()));
        }
        assert!(!waiter.is_finished());
        let mut future = Polled::waiting(barrier.wait_async());
        assert!(barrier.wait_timeout(patience).unwrap().is_leader());
        assert!(!waiter.join().unwrap());
        assert!(future.wakes() >= 1);
        assert!(!future.poll().unwrap().is_leader());
    });
}

// A future dropped when its round is over takes nobody out of the next.
#[test]
fn a_future_dropped_after_its_round() {
    let barrier = Barrier::new(2);
    for _ in 0..3 {
        let future = Polled::waiting(barrier.wait_async());
        assert!(Polled::new(barrier.wait_async()).poll().is_some());
        let mut next = Polled::waiting(barrier.wait_async());
        drop(future);
        assert!(next.poll().is_none());
        assert!(barrier.wait().is_leader());
        assert!(!next.poll().unwrap().is_leader());
    }
}

#[test]
#[should_panic(expected = "polled after it was ready")]
fn a_future_polled_too_often() {
    let barrier = Barrier::new(1);
    let mut future = Polled::new(barrier.wait_async());
    assert!(future.poll().is_some());
    future.poll();
}

#[test]
fn only_the_cancellable_wait_is_cancelled() {
    on_each(|| {
        let barrier = Arc::new(Barrier::new(3));
        let token = Token::root();
        let (firm, weak) = token.run(|| {
            let (firm, weak) = (Arc::clone(&barrier), Arc::clone(&barrier));
            (
                spawn(move || firm.wait().is_leader()),
                spawn(move || weak.wait_cancellable().is_err()),
            )
        });
        until_waiting(firm.id(), WAITS);
        until_waiting(weak.id(), WAITS);
        token.cancel();
        assert!(weak.join().unwrap());
        assert!(!firm.is_finished());
        let second = {
            let barrier = Arc::clone(&barrier);
            spawn(move || barrier.wait())
        };
        barrier.wait();
        second.join().unwrap();
        assert!(!firm.join().unwrap());
    });
}

// Refused before it is counted.
#[test]
fn waiting_is_refused_inside_no_wait() {
    on_each(|| {
        let barrier = Arc::new(Barrier::new(2));
        let refused = {
            let barrier = Arc::clone(&barrier);
            spawn(move || {
                coroutine::no_wait(|| barrier.wait());
            })
        };
        assert!(refused.join().unwrap_err().is_panic());
        let result = barrier.wait_timeout(Duration::from_millis(1));
        assert_eq!(result, Err(WaitError::Timeout));
    });
}

// Time-outs race with the last one's coming: whoever says it went, went with all.
#[test]
fn giving_up_races_with_the_last_arrival() {
    on_each(|| {
        const ROUNDS: usize = 20_000;
        let barrier = Arc::new(Barrier::new(2));
        let handles: Vec<_> = (0..2u64)
            .map(|who| {
                let barrier = Arc::clone(&barrier);
                spawn(move || {
                    let mut met = (0, 0);
                    for round in 0..ROUNDS as u64 {
                        let patience = Duration::from_micros((round * 7 + who * 13) % 30);
                        if let Ok(result) = barrier.wait_timeout(patience) {
                            met.0 += 1;
                            met.1 += usize::from(result.is_leader());
                        }
                    }
                    met
                })
            })
            .collect();
        let met: Vec<_> = handles.into_iter().map(|one| one.join().unwrap()).collect();
        assert_eq!(met[0].0, met[1].0, "they met one another");
        assert_eq!(met[0].1 + met[1].1, met[0].0, "one leader a round");
    });
}
