//! What runs in a pool: closures, tasks, forks, and what panics.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ropewalk_rt::executor::{RunTask, SpawnClosure, ThreadPool, join};
use ropewalk_rt::{JoinError, Runtime, spawn};

use crate::{occupy, wait_until, with_drivers};

#[test]
fn a_hundred_thousand_tasks_run_once_each() {
    with_drivers(|builder| {
        let pool = builder.max_threads(4).queue(1_000).build().unwrap();
        let sum = Arc::new(AtomicUsize::new(0));
        for n in 0..100_000 {
            let sum = Arc::clone(&sum);
            pool.spawn(move || sum.fetch_add(n, Ordering::Relaxed))
                .unwrap();
        }
        pool.close();
        pool.join().unwrap();
        assert_eq!(sum.load(Ordering::Relaxed), 99_999 * 100_000 / 2);
        assert_eq!(pool.completed(), 100_000);
    });
}

#[test]
fn a_panicking_task_is_its_own_affair() {
    with_drivers(|builder| {
        let pool = builder.max_threads(1).build().unwrap();
        let bad = pool.spawn(|| panic!("this one")).unwrap();
        assert_eq!(bad.join().unwrap_err().panic_message(), Some("this one"));
        assert_eq!(pool.spawn(|| 3).unwrap().join().unwrap(), 3);
        assert_eq!((pool.live_threads(), pool.running()), (1, 0));
    });
}

#[test]
fn a_panicking_callback_harms_nobody() {
    with_drivers(|builder| {
        let pool = builder.max_threads(1).build().unwrap();
        let gate = occupy(&pool);
        let calls = Arc::new(AtomicUsize::new(0));
        let handle = pool.spawn(|| 3).unwrap();
        handle.on_done(|_| panic!("in a callback"));
        let seen = Arc::clone(&calls);
        handle.on_done(move |outcome| {
            seen.fetch_add(*outcome.as_ref().unwrap(), Ordering::SeqCst);
        });
        gate.open();
        assert_eq!(handle.join().unwrap(), 3);
        assert_eq!(calls.load(Ordering::SeqCst), 3);
        assert_eq!(pool.spawn(|| 4).unwrap().join().unwrap(), 4);
    });
}

/// A task that waits for another of its own pool suspends; one thread is enough at any depth.
#[test]
fn tasks_wait_for_tasks_of_their_own_pool_on_one_thread() {
    fn nested(pool: &Arc<ThreadPool>, depth: u32) -> u32 {
        if depth == 0 {
            return 0;
        }
        let inside = Arc::clone(pool);
        let below = pool.spawn(move || nested(&inside, depth - 1)).unwrap();
        below.join().unwrap() + 1
    }
    with_drivers(|builder| {
        let pool = Arc::new(builder.max_threads(1).build().unwrap());
        assert_eq!(nested(&pool, 100), 100);
    });
}

#[test]
fn a_queued_task_that_is_cancelled_never_runs() {
    with_drivers(|builder| {
        let pool = builder.max_threads(1).build().unwrap();
        let gate = occupy(&pool);
        let ran = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&ran);
        let handle = pool
            .spawn(move || counted.fetch_add(1, Ordering::SeqCst))
            .unwrap();
        handle.cancel();
        gate.open();
        assert!(matches!(handle.join(), Err(JoinError::Cancelled)));
        assert_eq!(ran.load(Ordering::SeqCst), 0);
        wait_until("its place is free", || pool.queued() == 0);
    });
}

/// Cancelling a running task is a request: one that blocks its thread goes on, and says so.
#[test]
fn a_running_task_is_never_reported_as_cancelled() {
    with_drivers(|builder| {
        let pool = builder.max_threads(1).build().unwrap();
        let gate = crate::Gate::default();
        let inside = gate.clone();
        let handle = pool
            .spawn(move || {
                inside.pass();
                "went on"
            })
            .unwrap();
        gate.await_waiting(1);
        handle.cancel();
        assert!(!handle.is_finished());
        gate.open();
        assert_eq!(handle.join().unwrap(), "went on");
    });
}

#[test]
fn fork_and_join_work_inside() {
    fn fib(n: u32) -> u64 {
        if n < 2 {
            return n.into();
        }
        let (a, b) = join(|| fib(n - 1), || fib(n - 2));
        a + b
    }
    with_drivers(|builder| {
        let pool = builder.max_threads(3).build().unwrap();
        assert_eq!(pool.install(|| fib(18)), 2584);
        assert_eq!(pool.spawn(|| fib(15)).unwrap().join().unwrap(), 610);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            pool.install(|| join(|| panic!("left"), || ()));
        }));
        assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"left"));
    });
}

#[test]
fn installed_closures_and_scopes_borrow() {
    with_drivers(|builder| {
        let pool = Arc::new(builder.max_threads(2).build().unwrap());
        let numbers: Vec<u64> = (0..1000).collect();
        let sum = pool.install(|| {
            // Again, inside: just a call.
            pool.install(|| numbers.iter().sum::<u64>())
        });
        assert_eq!(sum, 499_500);
        let mut halves = [0, 0];
        let (first, second) = numbers.split_at(500);
        let [left, right] = &mut halves;
        pool.scope(|s| {
            s.spawn(|| *left = first.iter().sum());
            s.spawn(|| *right = second.iter().sum());
        });
        assert_eq!(halves.iter().sum::<u64>(), 499_500);
    });
}

#[test]
fn installing_in_a_closed_pool_is_refused() {
    let pool = ThreadPool::new(1).unwrap();
    pool.close();
    let install = std::panic::AssertUnwindSafe(|| pool.install(|| ()));
    let payload = std::panic::catch_unwind(install).unwrap_err();
    assert!(payload.downcast_ref::<String>().unwrap().contains("closed"));
}

fn add(a: u32, b: u32) -> u32 {
    a + b
}

fn three<P: RunTask>(pool: &P) -> (u32, Vec<u32>) {
    let one = pool.submit(add, (1, 2)).unwrap();
    let chunk = pool.start_chunk(
        add,
        vec![(1, 1), (2, 2)],
        ropewalk_rt::executor::Patience::Wait,
    );
    let chunk = chunk.unwrap().join().unwrap().into_iter();
    (one.join().unwrap(), chunk.map(Result::unwrap).collect())
}

fn third(n: u32) -> u32 {
    assert_ne!(n, 0, "nothing to divide");
    3 / n
}

#[test]
fn a_call_that_panics_does_not_end_its_chunk() {
    let pool = ThreadPool::new(1).unwrap();
    let list = vec![(3,), (0,), (1,)];
    let chunk = pool.start_chunk(third, list, ropewalk_rt::executor::Patience::No);
    let results = chunk.unwrap().join().unwrap();
    let [Ok(1), Err(error), Ok(3)] = &results[..] else {
        panic!("{results:?}");
    };
    assert!(error.panic_message().unwrap().contains("nothing to divide"));
}

fn closure<P: SpawnClosure>(pool: &P) -> String {
    pool.spawn(|| "in the pool".to_owned())
        .unwrap()
        .join()
        .unwrap()
}

#[test]
fn it_is_a_pool_like_all() {
    with_drivers(|builder| {
        let pool = builder.max_threads(3).build().unwrap();
        assert_eq!(three(&pool), (3, vec![2, 4]));
        assert_eq!(closure(&pool), "in the pool");
        assert_eq!(pool.width(), 3);
        pool.close();
        assert_eq!(pool.submit(add, (1, 2)).unwrap_err().work, (1, 2));
    });
}

/// Coroutines of another runtime, with one and two workers, use it like threads do.
#[test]
fn coroutines_elsewhere_wait_for_its_tasks() {
    for workers in [1, 2] {
        with_drivers(|builder| {
            let pool = Arc::new(builder.max_threads(2).build().unwrap());
            let runtime = Runtime::builder().workers(workers).build().unwrap();
            let total: u64 = runtime.run(|| {
                let callers: Vec<_> = (0..50u64)
                    .map(|n| {
                        let pool = Arc::clone(&pool);
                        spawn(move || pool.spawn(move || n).unwrap().join().unwrap())
                    })
                    .collect();
                callers.into_iter().map(|one| one.join().unwrap()).sum()
            });
            assert_eq!(total, 1225);
        });
    }
}

/// Timers and descriptors of a thread that has ended work on in the next.
#[test]
fn input_output_and_timers_outlive_the_threads() {
    use std::io::{Read, Write};

    with_drivers(|builder| {
        let pool = builder
            .max_threads(2)
            .keep_alive(Duration::ZERO)
            .build()
            .unwrap();
        let (mut left, right) = ropewalk_rt::net::unix::UnixStream::pair().unwrap();
        let right = Arc::new(right);
        let mut threads = HashSet::new();
        for round in 0..30u8 {
            let reader = Arc::clone(&right);
            let reading = pool.spawn(move || {
                let mut byte = [0];
                (&*reader).read_exact(&mut byte).unwrap();
                ropewalk_rt::thread::sleep(Duration::from_micros(100));
                (byte[0], std::thread::current().id())
            });
            left.write_all(&[round]).unwrap();
            let (byte, thread) = reading.unwrap().join().unwrap();
            assert_eq!(byte, round);
            threads.insert(thread);
            wait_until("the thread has gone", || pool.live_threads() == 0);
        }
        // One that was about to go may have stayed for the next.
        assert!(threads.len() > 1);
    });
}
