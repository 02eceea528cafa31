//! `RateLimiter`: never more than the rate allows, in turn, and nothing lost by who gives up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ropewalk_rt::cancel::{Token, TokenExt, WaitError};
use ropewalk_rt::future::timeout_async;
use ropewalk_rt::sync::RateLimiter;
use ropewalk_rt::{coroutine, spawn};

use crate::stage::{on_each, until_waiting};
use crate::who::{Polled, in_pairings};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn permits_are_spaced() {
    in_pairings(|waiter, _| {
        let limiter = Arc::new(RateLimiter::new(2_000, Duration::from_secs(1)));
        let start = Instant::now();
        let waiters: Vec<_> = (0..20)
            .map(|_| {
                let (blocking, future) = (Arc::clone(&limiter), Arc::clone(&limiter));
                waiter.wait(move || blocking.acquire().unwrap(), async move {
                    future.acquire_async().await
                })
            })
            .collect();
        for waiter in waiters {
            waiter.join().unwrap();
        }
        // Half a millisecond between each and the next.
        assert!(start.elapsed() >= Duration::from_micros(19 * 500));
    });
}

#[test]
fn a_burst_passes_at_once_and_no_more() {
    on_each(|| {
        let limiter = RateLimiter::new(1, HOUR).burst(5);
        assert!(limiter.try_acquire_many(2));
        assert!(!limiter.try_acquire_many(4));
        limiter.acquire_many(2).unwrap();
        coroutine::no_wait(|| limiter.acquire().unwrap());
        assert!(!limiter.try_acquire());
        assert!(limiter.try_acquire_many(0));
    });
}

#[test]
fn odd_rates_are_kept_exactly() {
    on_each(|| {
        // Three in a second: no whole number of nanoseconds each.
        let limiter = RateLimiter::new(3_000_000_000, Duration::from_secs(1)).burst(6);
        let start = Instant::now();
        for _ in 0..10_000 {
            limiter.acquire_many(3_000).unwrap();
        }
        // 30 million at 3 a nanosecond.
        assert!(start.elapsed() >= Duration::from_nanos(30_000_000 / 3 - 3_000));
    });
}

#[test]
fn who_would_be_late_is_told_at_once() {
    on_each(|| {
        let limiter = RateLimiter::new(1, HOUR);
        limiter.acquire().unwrap();
        let late = limiter.acquire_timeout(Duration::from_secs(60));
        assert_eq!(late, Err(WaitError::Timeout));
        let late = limiter.acquire_deadline(Instant::now());
        assert_eq!(late, Err(WaitError::Timeout));
    });
}

// A turn that is given up is the next one's, not an hour lost.
#[test]
fn a_turn_that_was_given_up_is_given_back() {
    on_each(|| {
        let limiter = Arc::new(RateLimiter::new(1_000, Duration::from_secs(1)));
        assert!(limiter.try_acquire());
        let before = Instant::now();
        for _ in 0..2_000 {
            let token = Token::with_timeout(Duration::ZERO);
            assert!(token.run(|| limiter.acquire_many(1_000_000)).is_err());
        }
        // A thousand seconds each, had they been kept.
        limiter.acquire().unwrap();
        assert!(before.elapsed() < Duration::from_secs(900));
    });
}

#[test]
fn a_cancelled_waiter_leaves_and_so_does_a_dropped_future() {
    on_each(|| {
        let limiter = Arc::new(RateLimiter::new(1, HOUR));
        limiter.acquire().unwrap();
        let waiting = Arc::clone(&limiter);
        let handle = spawn(move || waiting.acquire());
        until_waiting(handle.id(), "sleeping");
        handle.cancel();
        assert!(handle.join().unwrap().is_err());
        let mut future = Polled::new(limiter.acquire_async());
        assert_eq!(future.poll(), None);
        drop(future);
        let limited = timeout_async(Duration::from_millis(1), limiter.acquire_async());
        assert!(ropewalk_rt::block_on(limited).is_err());
    });
}

#[test]
fn many_share_a_rate() {
    on_each(|| {
        let limiter = RateLimiter::new(5_000, Duration::from_secs(1)).burst(10);
        let passed = AtomicUsize::new(0);
        let start = Instant::now();
        coroutine::scope(|s| {
            for _ in 0..10 {
                s.spawn(|| {
                    for _ in 0..20 {
                        limiter.acquire().unwrap();
                        let passed = passed.fetch_add(1, Ordering::SeqCst) + 1;
                        let due = 10 + start.elapsed().as_micros() / 200 + 1;
                        assert!(passed as u128 <= due, "{passed} passed, {due} due");
                    }
                });
            }
        });
        assert_eq!(passed.load(Ordering::SeqCst), 200);
    });
}
