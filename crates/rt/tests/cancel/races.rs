//! Cancellations and deadlines that race with completion: nothing is lost, nobody is stuck.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ropewalk_rt::cancel;
use ropewalk_rt::{JoinError, coroutine, spawn_async};

use crate::duel::rounds;
use crate::stage::in_coroutines;

#[test]
fn sleeping() {
    in_coroutines(|| {
        let cut = AtomicU64::new(0);
        let full = AtomicU64::new(0);
        for round in 0..rounds() {
            let handle = coroutine::spawn(move || {
                cancel::sleep(Duration::from_nanos(round % 5 * 200)).is_err()
            });
            if round % 2 == 0 {
                coroutine::yield_now();
            }
            handle.cancel();
            match handle.join() {
                Ok(true) => cut.fetch_add(1, Ordering::Relaxed),
                Ok(false) => full.fetch_add(1, Ordering::Relaxed),
                Err(error) => {
                    assert!(error.is_cancelled(), "{error}");
                    cut.fetch_add(1, Ordering::Relaxed)
                }
            };
        }
        assert_eq!(cut.into_inner() + full.into_inner(), rounds());
    });
}

#[test]
fn joining() {
    in_coroutines(|| {
        for round in 0..rounds() {
            let target = coroutine::spawn(move || {
                if round % 3 == 0 {
                    coroutine::yield_now();
                }
                round
            });
            let joiner = coroutine::spawn(move || target.join());
            if round % 2 == 0 {
                coroutine::yield_now();
            }
            joiner.cancel();
            match joiner.join() {
                Ok(Ok(value)) => assert_eq!(value, round),
                Ok(Err(JoinError::WaitCancelled)) | Err(JoinError::Cancelled) => {}
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn joining_with_a_deadline_loses_no_value() {
    in_coroutines(|| {
        for round in 0..rounds() {
            let mut target = coroutine::spawn(move || {
                coroutine::yield_now();
                Box::new(round)
            });
            let value = loop {
                match target.join_timeout(Duration::from_nanos(round % 4 * 100)) {
                    Ok(value) => break value.unwrap(),
                    Err(handle) => target = handle,
                }
            };
            assert_eq!(*value, round);
        }
    });
}

#[test]
fn waking_and_cancelling_async_tasks() {
    in_coroutines(|| {
        for round in 0..rounds() {
            let (sender, receiver) = ropewalk_rt::channel::bounded(1);
            let inner = coroutine::spawn(move || {
                let _ = sender.send(round);
            });
            let task = spawn_async(async move {
                let _ = inner.await;
                receiver.try_recv().unwrap_or(u64::MAX)
            });
            if round % 2 == 0 {
                coroutine::yield_now();
            }
            task.cancel();
            match task.join() {
                Ok(value) => assert_eq!(value, round),
                Err(error) => assert!(error.is_cancelled(), "{error}"),
            }
        }
    });
}
