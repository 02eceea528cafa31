//! `Event`: everybody goes who waited, even if the flag is down again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ropewalk_rt::cancel::{Token, WaitError};
use ropewalk_rt::sync::Event;
use ropewalk_rt::{coroutine, spawn, spawn_async};

use crate::stage::{on_each, until, until_waiting};
use crate::who::{Polled, Who, in_pairings};

const WAITS: &str = "waiting for an event";

#[test]
fn set_lets_go_whoever_waits() {
    in_pairings(|waiter, waker| {
        let event = Arc::new(Event::new());
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let (blocking, future) = (Arc::clone(&event), Arc::clone(&event));
                waiter.wait(move || blocking.wait().unwrap(), async move {
                    future.wait_async().await
                })
            })
            .collect();
        coroutine::yield_now();
        assert!(waiters.iter().all(|waiter| !waiter.is_finished()));
        let setter = Arc::clone(&event);
        waker.act(move || setter.set()).join().unwrap();
        for waiter in waiters {
            waiter.join().unwrap();
        }
        assert!(event.is_set());
    });
}

// A flag that is up is no wait, whoever asks and however; until it is down again.
#[test]
fn a_set_event_lets_through() {
    on_each(|| {
        let event = Event::new();
        assert!(!event.is_set());
        event.set();
        event.set();
        assert!(event.is_set());
        event.wait().unwrap();
        event.wait_timeout(Duration::ZERO).unwrap();
        event.wait_deadline(Instant::now()).unwrap();
        assert_eq!(Polled::new(event.wait_async()).poll(), Some(()));
        coroutine::no_wait(|| event.wait().unwrap());
        event.clear();
        event.clear();
        assert!(!event.is_set());
        assert_eq!(
            event.wait_timeout(Duration::ZERO),
            Err(WaitError::Timeout),
            "cleared"
        );
    });
}

#[test]
fn time_is_over() {
    on_each(|| {
        let event = Event::new();
        let begun = Instant::now();
        let patience = Duration::from_millis(5);
        assert_eq!(event.wait_timeout(patience), Err(WaitError::Timeout));
        assert!(begun.elapsed() >= patience);
        let result = event.wait_deadline(Instant::now() + patience);
        assert_eq!(result, Err(WaitError::Timeout));
        assert_eq!(
            event.wait_deadline(begun),
            Err(WaitError::Timeout),
            "a deadline that has passed"
        );
    });
}

// Python: `set()` immediately followed by `clear()` releases all that were waiting.
#[test]
fn cleared_right_after_it_was_set() {
    on_each(|| {
        let event = Arc::new(Event::new());
        for _ in 0..50 {
            let waiters: Vec<_> = (0..5)
                .map(|_| {
                    let event = Arc::clone(&event);
                    spawn(move || event.wait_timeout(Duration::from_secs(3600)))
                })
                .collect();
            let mut future = Polled::waiting(event.wait_async());
            for waiter in &waiters {
                until_waiting(waiter.id(), WAITS);
            }
            event.set();
            event.clear();
            assert_eq!(future.wakes(), 1);
            assert_eq!(future.poll(), Some(()));
            for waiter in waiters {
                waiter.join().unwrap().unwrap();
            }
            assert!(!event.is_set());
        }
    });
}

// One that is polled again for another reason still waits, with the newer waker.
#[test]
fn a_future_polled_for_nothing() {
    let event = Event::new();
    let mut future = Polled::waiting(event.wait_async());
    assert_eq!(future.poll(), None);
    event.clear();
    assert_eq!(future.poll(), None);
    event.set();
    assert_eq!(future.wakes(), 1);
    assert_eq!(future.poll(), Some(()));
}

// Dropped futures leave nothing behind that a later `set` could trip over.
#[test]
fn dropped_futures() {
    let event = Event::new();
    let mut kept = Polled::waiting(event.wait_async());
    for _ in 0..10 {
        drop(Polled::waiting(event.wait_async()));
    }
    let woken = Polled::waiting(event.wait_async());
    event.set();
    drop(woken);
    assert_eq!(kept.poll(), Some(()));
}

#[test]
fn cancelled_while_waiting() {
    on_each(|| {
        let event = Arc::new(Event::new());
        let token = Token::root();
        let waiter = {
            let event = Arc::clone(&event);
            token.run(|| spawn(move || (event.wait().is_err(), event.is_set())))
        };
        until_waiting(waiter.id(), WAITS);
        token.cancel();
        assert_eq!(waiter.join().unwrap(), (true, false));
        event.set();
        // Cancelled, but there is nothing to wait for.
        assert!(token.run(|| event.wait()).is_ok());
    });
}

// Waiters that come while it is raised and lowered all the time each get through.
#[test]
fn raised_and_lowered_all_the_time() {
    on_each(|| {
        let event = Arc::new(Event::new());
        let through = Arc::new(AtomicUsize::new(0));
        const EACH: usize = 100;
        let waiters: Vec<_> = Who::ALL
            .into_iter()
            .cycle()
            .take(9)
            .map(|who| {
                let (event, through) = (Arc::clone(&event), Arc::clone(&through));
                let (event_too, through_too) = (Arc::clone(&event), Arc::clone(&through));
                who.wait(
                    move || {
                        for _ in 0..EACH {
                            event.wait().unwrap();
                            through.fetch_add(1, Ordering::Relaxed);
                        }
                    },
                    async move {
                        for _ in 0..EACH {
                            event_too.wait_async().await;
                            through_too.fetch_add(1, Ordering::Relaxed);
                        }
                    },
                )
            })
            .collect();
        until(|| {
            event.set();
            event.clear();
            waiters.iter().all(|waiter| waiter.is_finished())
        });
        for waiter in waiters {
            waiter.join().unwrap();
        }
        assert_eq!(through.load(Ordering::Relaxed), 9 * EACH);
    });
}

#[test]
fn waiting_is_refused_inside_no_wait() {
    on_each(|| {
        let event = Arc::new(Event::new());
        let waiter = {
            let event = Arc::clone(&event);
            spawn(move || coroutine::no_wait(|| event.wait()))
        };
        assert!(waiter.join().unwrap_err().is_panic());
        let future = Arc::clone(&event);
        let waiter = spawn_async(async move { future.wait_async().await });
        event.set();
        waiter.join().unwrap();
    });
}
