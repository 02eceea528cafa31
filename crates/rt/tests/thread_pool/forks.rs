//! Fork and join on a pool's threads: they come when there are halves to steal, and go again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ropewalk_rt::executor::{join, slice};
use ropewalk_rt::{cancel, channel, coroutine};

use crate::{wait_until, with_drivers};

/// Joins two halves of which the first blocks its thread until the second runs: elsewhere.
fn needs_two_threads() {
    let elsewhere = AtomicBool::new(false);
    join(
        || {
            while !elsewhere.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
        },
        || elsewhere.store(true, Ordering::Release),
    );
}

#[test]
fn a_join_calls_a_second_thread_in() {
    with_drivers(|builder| {
        let pool = builder.max_threads(2).build().unwrap();
        for _ in 0..200 {
            pool.install(needs_two_threads);
        }
        assert_eq!(pool.live_threads(), 2);
    });
}

#[test]
fn threads_that_have_gone_come_back_for_a_join() {
    with_drivers(|builder| {
        let builder = builder.max_threads(2);
        let pool = builder
            .keep_alive(Duration::from_millis(1))
            .build()
            .unwrap();
        for _ in 0..10 {
            pool.install(needs_two_threads);
            wait_until("the threads have gone", || pool.live_threads() == 0);
        }
    });
}

#[test]
fn halves_wait_on_a_single_thread() {
    with_drivers(|builder| {
        let pool = builder.max_threads(1).build().unwrap();
        let handles: Vec<_> = (0..20)
            .map(|n| {
                let task = move || {
                    let (sender, receiver) = channel::bounded(0);
                    join(|| receiver.recv().unwrap(), || sender.send(n).unwrap()).0
                };
                pool.spawn(task).unwrap()
            })
            .collect();
        let sum: i32 = handles
            .into_iter()
            .map(|handle| handle.join().unwrap())
            .sum();
        assert_eq!(sum, 190);
        let squares = pool.install(|| slice::map(&[1, 2, 3], |n| n * n));
        assert_eq!(squares, [1, 4, 9]);
    });
}

#[test]
fn terminating_ends_halves_that_wait() {
    for threads in [1, 2] {
        with_drivers(|builder| {
            let pool = builder.max_threads(threads).build().unwrap();
            let (begun, beginning) = channel::bounded::<()>(2);
            let task = move || {
                let wait = || {
                    begun.send(()).unwrap();
                    coroutine::sleep(Duration::from_secs(1000));
                    cancel::check().is_err()
                };
                join(wait, wait)
            };
            let handle = pool.spawn(task).unwrap();
            beginning.recv().unwrap();
            beginning.recv().unwrap();
            pool.terminate();
            pool.join().unwrap();
            assert_eq!(handle.join().unwrap(), (true, true));
        });
    }
}
