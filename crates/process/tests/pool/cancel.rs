//! Time-outs and cancelling: what runs is really stopped.

use std::time::Duration;

use ropewalk_process::ProcessPool;
use ropewalk_rt::executor::RunTask;

use crate::alone::{lives, wait_for};
use crate::tasks::{self, Blob};

#[test]
fn a_task_that_takes_too_long_is_stopped_and_no_other() {
    let pool = ProcessPool::builder()
        .workers(2)
        .task_timeout(Duration::from_millis(200))
        .build()
        .unwrap();
    // A slow machine may keep even those for as long as the others may take.
    let patient = pool.with_timeout(Duration::from_secs(60));
    let short: Vec<_> = (0..100)
        .map(|n| patient.submit(tasks::square, (n,)).unwrap())
        .collect();
    let long = pool.submit(tasks::sleeps, (60_000,)).unwrap();
    let waits = pool.submit(tasks::waits, (60_000,)).unwrap();
    let more: Vec<_> = (0..100)
        .map(|n| patient.submit(tasks::square, (n,)).unwrap())
        .collect();
    assert!(long.join().unwrap_err().is_timeout());
    assert!(waits.join().unwrap_err().is_timeout());
    for (n, handle) in short.into_iter().chain(more).enumerate() {
        assert_eq!(handle.join().unwrap(), (n as u64 % 100).pow(2));
    }
    assert_eq!(pool.insight().ended_workers, 2);
}

#[test]
fn the_time_in_the_queue_does_not_count() {
    let pool = ProcessPool::new(1).unwrap();
    // One that takes longer than the others may, who wait for it.
    let first = pool.submit(tasks::sleeps, (1_500,)).unwrap();
    let limited = pool.with_timeout(Duration::from_secs(1));
    let handles: Vec<_> = (0..20)
        .map(|n| limited.submit(tasks::square, (n,)).unwrap())
        .collect();
    assert_eq!(first.join().unwrap(), 1_500);
    // All have waited for longer than they may run. A worker that gets no processor in the midst
    // of one takes too long for it all the same, but not for each.
    let mut late = 0;
    for (n, handle) in handles.into_iter().enumerate() {
        match handle.join() {
            Ok(square) => assert_eq!(square, (n * n) as u64),
            Err(error) => {
                assert!(error.is_timeout(), "{error}");
                late += 1;
            }
        }
    }
    assert!(late < 20, "none of them had its time");
    let limited = pool.with_timeout(Duration::from_millis(30));
    let handles: Vec<_> = (0..3)
        .map(|_| limited.submit(tasks::sleeps, (60_000,)).unwrap())
        .collect();
    for handle in handles {
        assert!(handle.join().unwrap_err().is_timeout());
    }
    assert_eq!(pool.insight().ended_workers, late + 3);
}

#[test]
fn a_task_that_runs_is_stopped_by_cancelling_it() {
    let pool = ProcessPool::new(1).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mark");
    let text = path.to_str().unwrap().to_owned();
    let running = pool.submit(tasks::leaves_a_mark, (text, 60_000)).unwrap();
    let behind = pool.submit(tasks::pid, ()).unwrap();
    wait_for("the task's begin", || path.exists());
    let pid = pool.pids()[0];
    running.cancel();
    assert!(running.join().unwrap_err().is_cancelled());
    let next = behind.join().unwrap();
    assert_ne!(next, pid);
    wait_for("the worker's end", || !lives(pid));
}

#[test]
fn a_task_that_has_not_begun_never_does_if_it_is_cancelled() {
    let pool = ProcessPool::new(1).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = |n: usize| directory.path().join(n.to_string());
    let text = |n: usize| path(n).to_str().unwrap().to_owned();
    let first = (text(0), text(50));
    let first = pool.submit(tasks::stays_until, first).unwrap();
    let handles: Vec<_> = (1..50)
        .map(|n| pool.submit(tasks::leaves_a_mark, (text(n), 0)).unwrap())
        .collect();
    wait_for("the first one's begin", || path(0).exists());
    for handle in handles.iter().step_by(2) {
        handle.cancel();
    }
    std::fs::write(path(50), b"").unwrap();
    let pid = first.join().unwrap();
    for (n, handle) in (1..50).zip(handles) {
        let result = handle.join();
        if n % 2 == 1 {
            assert!(result.unwrap_err().is_cancelled());
        } else {
            assert_eq!(result.unwrap(), pid);
        }
        assert_eq!(path(n).exists(), n % 2 == 0, "{n}");
    }
}

#[test]
fn cancelling_what_is_done_does_nothing() {
    let pool = ProcessPool::new(1).unwrap();
    let handle = pool.submit(tasks::square, (5,)).unwrap();
    wait_for("the result", || handle.is_finished());
    handle.cancel();
    assert_eq!(handle.join().unwrap(), 25);
    assert_eq!(pool.insight().ended_workers, 0);
}

#[test]
fn any_number_may_be_cancelled_at_any_moment() {
    let pool = ProcessPool::builder()
        .workers(2)
        .queue(5000)
        .build()
        .unwrap();
    let handles: Vec<_> = (0..3000)
        .map(|n| pool.submit(tasks::square, (n,)).unwrap())
        .collect();
    std::thread::scope(|s| {
        for half in handles.chunks(1500) {
            s.spawn(move || {
                half.iter()
                    .rev()
                    .step_by(3)
                    .for_each(ropewalk_rt::JoinHandle::cancel)
            });
        }
    });
    for (n, handle) in handles.into_iter().enumerate() {
        match handle.join() {
            Ok(square) => assert_eq!(square, (n * n) as u64),
            Err(error) => assert!(
                error.is_cancelled() && (1499 - n % 1500) % 3 == 0,
                "{n} {error}"
            ),
        }
    }
    // Who cancels has the outcome before the pool has heard of it, and a worker that is killed for
    // it may be dead only later.
    wait_for("all to be settled", || pool.insight().settled == 3000);
}

/// What was cancelled leaves its room in the shared memory to others, although no result comes
/// that would wake the one who sees to it.
#[test]
fn the_room_of_what_was_cancelled_is_used_again() {
    let pool = ProcessPool::builder()
        .workers(1)
        .arena_size(4096)
        .build()
        .unwrap();
    for _ in 0..2000 {
        pool.submit(tasks::noop, ()).unwrap();
    }
    let blob = || Blob(vec![3; 1000]);
    let directory = tempfile::tempdir().unwrap();
    let [mark, end] = ["mark", "end"].map(|name| directory.path().join(name));
    let texts = [&mark, &end].map(|path| path.to_str().unwrap().to_owned());
    let first = pool.submit(tasks::stays_until, texts.into()).unwrap();
    let fill: Vec<_> = (0..20)
        .map(|_| pool.submit(tasks::same, (blob(),)).unwrap())
        .collect();
    let last = pool.submit(tasks::same, (blob(),)).unwrap();
    // None of them has begun: it would take the worker along.
    fill.iter().for_each(ropewalk_rt::JoinHandle::cancel);
    std::fs::write(end, b"").unwrap();
    first.join().unwrap();
    assert!(last.join().unwrap() == blob());
    assert_eq!(pool.insight().ended_workers, 0);
}
