//! How a pool ends, and that nothing is left of it.

use std::time::Duration;

use ropewalk_process::ProcessPool;
use ropewalk_rt::executor::PoolJoinError;
use ropewalk_rt::executor::{Refusal, RunTask};

use crate::alone::{self, lives, wait_for};
use crate::tasks::{self, Blob};

#[test]
fn closed_it_does_what_it_has_and_takes_no_more() {
    let pool = ProcessPool::new(2).unwrap();
    let handles: Vec<_> = (0..300)
        .map(|n| pool.submit(tasks::square, (n,)).unwrap())
        .collect();
    assert_eq!(pool.join(), Err(PoolJoinError::StillOpen));
    pool.close();
    let error = pool.submit(tasks::square, (1,)).unwrap_err();
    assert!(error.is_closed());
    let pids = pool.pids();
    pool.join().unwrap();
    for (n, handle) in handles.into_iter().enumerate() {
        let result = handle.try_join().expect("a result");
        assert_eq!(result.unwrap(), (n * n) as u64);
    }
    assert!(pids.into_iter().all(|pid| !lives(pid)));
    assert_eq!(pool.pids(), []);
}

/// Large results are decoded on other threads than the pool's: they count too.
#[test]
fn when_it_has_ended_large_results_are_there_too() {
    for _ in 0..5 {
        let pool = ProcessPool::new(1).unwrap();
        let handles: Vec<_> = (0..4)
            .map(|_| pool.submit(tasks::make, (4 << 20,)).unwrap())
            .collect();
        pool.shutdown(true, false).unwrap();
        for handle in handles {
            let result = handle.try_join().expect("a result");
            assert_eq!(result.unwrap().0.len(), 4 << 20);
        }
    }
}

#[test]
fn terminated_it_gives_everything_up() {
    let pool = ProcessPool::new(2).unwrap();
    wait_for("two workers", || pool.pids().len() == 2);
    let pids = pool.pids();
    let handles: Vec<_> = (0..20)
        .map(|_| pool.submit(tasks::sleeps, (60_000,)).unwrap())
        .collect();
    pool.terminate();
    for handle in handles {
        assert!(handle.join().unwrap_err().is_cancelled());
    }
    pool.join().unwrap();
    assert!(pids.into_iter().all(|pid| !lives(pid)));
}

#[test]
fn shut_down_it_may_give_up_what_has_not_begun() {
    let pool = ProcessPool::new(1).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let [path, end] = ["mark", "end"].map(|name| directory.path().join(name));
    let texts = [&path, &end].map(|path| path.to_str().unwrap().to_owned());
    let running = pool.submit(tasks::stays_until, texts.into()).unwrap();
    let pending: Vec<_> = (0..20)
        .map(|_| pool.submit(tasks::sleeps, (60_000,)).unwrap())
        .collect();
    wait_for("the first one's begin", || path.exists());
    pool.shutdown(false, true).unwrap();
    std::fs::write(end, b"").unwrap();
    pool.shutdown(true, true).unwrap();
    assert!(running.join().is_ok());
    for handle in pending {
        assert!(handle.join().unwrap_err().is_cancelled());
    }
}

/// Closing, giving up what is pending and terminating, in every order, with tasks that run and wait,
/// before and after the workers are there: all ends, and each task has one outcome.
#[test]
fn it_ends_in_every_order_of_its_ends() {
    let ends: [fn(&ProcessPool); 3] = [
        ProcessPool::close,
        ProcessPool::cancel_pending,
        ProcessPool::terminate,
    ];
    for round in 0..27 {
        let pool = ProcessPool::new(2).unwrap();
        if round % 2 == 0 {
            wait_for("two workers", || pool.pids().len() == 2);
        }
        let quick: Vec<_> = (0..50)
            .map(|n| pool.submit(tasks::square, (n,)).unwrap())
            .collect();
        let long: Vec<_> = (0..3)
            .map(|_| pool.submit(tasks::sleeps, (60_000,)).unwrap())
            .collect();
        std::thread::scope(|s| {
            s.spawn(|| [round % 3, round / 3 % 3, round / 9].map(|end| ends[end](&pool)));
            s.spawn(|| long[0].cancel());
        });
        assert!(pool.submit(tasks::square, (1,)).unwrap_err().is_closed());
        pool.terminate();
        pool.join().unwrap();
        for (n, handle) in quick.into_iter().enumerate() {
            match handle.try_join().expect("an outcome") {
                Ok(square) => assert_eq!(square, (n * n) as u64),
                Err(error) => assert!(error.is_cancelled(), "{error}"),
            }
        }
        for handle in long {
            assert!(
                handle
                    .try_join()
                    .expect("an outcome")
                    .unwrap_err()
                    .is_cancelled()
            );
        }
        assert_eq!(pool.pids(), []);
    }
}

#[test]
fn a_shutdown_that_takes_too_long_says_what_is_left() {
    let pool = ProcessPool::new(1).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("mark");
    let text = path.to_str().unwrap().to_owned();
    let running = pool.submit(tasks::leaves_a_mark, (text, 60_000)).unwrap();
    let _pending = pool.submit(tasks::sleeps, (60_000,)).unwrap();
    wait_for("the first one's begin", || path.exists());
    let left = pool.shutdown_timeout(Duration::from_millis(20), false);
    let expected = PoolJoinError::TimedOut {
        pending: 1,
        running: 1,
    };
    assert_eq!(left, Err(expected));
    drop(pool);
    assert!(running.join().unwrap_err().is_cancelled());
}

#[test]
fn a_full_queue_refuses_or_waits_as_it_is_told() {
    let pool = ProcessPool::builder().workers(1).queue(2).build().unwrap();
    let mut handles = Vec::new();
    let refused = loop {
        match pool.try_submit(tasks::sleeps, (60_000,)) {
            Ok(handle) => handles.push(handle),
            Err(error) => break error,
        }
        assert!(handles.len() < 100);
    };
    assert!(matches!(refused.reason, Refusal::Full), "{refused}");
    assert_eq!(refused.work, (60_000,));
    wait_for("a worker that runs one, and has one ahead", || {
        if let Ok(handle) = pool.try_submit(tasks::sleeps, (60_000,)) {
            handles.push(handle);
        }
        handles.len() == 4
    });
    let late = pool.submit_timeout(tasks::sleeps, (1,), Duration::from_millis(10));
    assert!(matches!(late.unwrap_err().reason, Refusal::TimedOut));
    std::thread::scope(|s| {
        let waits = s.spawn(|| pool.submit(tasks::square, (3,)));
        handles.pop().unwrap().cancel();
        let handle = waits.join().unwrap().unwrap();
        pool.terminate();
        assert!(handle.join().unwrap_err().is_cancelled());
    });
}

/// A full queue is an error where nothing may wait, not a panic; and a closed pool refuses at once,
/// also if its queue is full.
#[test]
fn who_may_not_wait_for_a_place_is_told() {
    let pool = std::sync::Arc::new(ProcessPool::builder().workers(1).queue(1).build().unwrap());
    let fill = || while pool.try_submit(tasks::sleeps, (60_000,)).is_ok() {};
    wait_for("a worker that runs one, and has one ahead", || {
        fill();
        let workers = pool.insight().workers;
        workers.iter().any(|worker| worker.in_flight == 2)
    });
    fill();
    let (sender, answer) = std::sync::mpsc::channel();
    let (inside, done) = (std::sync::Arc::clone(&pool), ropewalk_rt::spawn(|| ()));
    done.on_done(move |_| {
        let refused = inside.submit(tasks::square, (1,)).map(drop).unwrap_err();
        sender.send(refused.reason).unwrap();
    });
    assert!(matches!(answer.recv().unwrap(), Refusal::Full));
    pool.close();
    assert!(pool.submit(tasks::square, (1,)).unwrap_err().is_closed());
    pool.terminate();
}

#[test]
fn who_waits_for_a_place_is_refused_when_the_pool_ends() {
    let pool = ProcessPool::builder().workers(1).queue(1).build().unwrap();
    while pool.try_submit(tasks::sleeps, (60_000,)).is_ok() {}
    std::thread::scope(|s| {
        let waiting: Vec<_> = (0..3)
            .map(|_| s.spawn(|| pool.submit(tasks::sleeps, (60_000,))))
            .collect();
        while pool.try_submit(tasks::sleeps, (60_000,)).is_ok() {}
        pool.terminate();
        for waiting in waiting {
            match waiting.join().unwrap() {
                Ok(handle) => assert!(handle.join().unwrap_err().is_cancelled()),
                Err(error) => assert!(error.is_closed(), "{error}"),
            }
        }
    });
}

#[test]
fn it_may_be_dropped_where_nothing_may_wait() {
    let pool = ProcessPool::new(1).unwrap();
    let pid = pool.submit(tasks::pid, ()).unwrap().join().unwrap();
    ropewalk_rt::coroutine::no_wait(|| drop(pool));
    wait_for("the worker's end", || !lives(pid));
}

/// Descriptors, mappings of ours, children and threads.
fn belongings() -> (usize, usize, usize) {
    let fds = std::fs::read_dir("/proc/self/fd").unwrap().count();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let maps = maps
        .lines()
        .filter(|line| line.contains("memfd:ropewalk"))
        .count();
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let children = threads.map(|thread| {
        let path = thread.unwrap().path().join("children");
        let list = std::fs::read_to_string(path).unwrap_or_default();
        list.split_whitespace().count()
    });
    (fds, maps, children.sum())
}

#[test]
#[ignore = "needs a process of its own"]
fn alone_nothing_is_left() {
    let use_one = |round: u32| {
        let pool = ProcessPool::new(2).unwrap();
        let bytes = Blob(vec![1; 1 << 20]);
        let large = pool.submit(tasks::same, (bytes.clone(),)).unwrap();
        let dies = pool.submit(tasks::exits, (1,)).unwrap();
        let long = pool.submit(tasks::sleeps, (60_000,)).unwrap();
        // Those that are never run, with a file each.
        let never = pool.submit(tasks::same, (bytes,)).unwrap();
        large.join().unwrap();
        dies.join().unwrap_err();
        match round % 3 {
            0 => drop(pool),
            1 => {
                pool.terminate();
                pool.join().unwrap();
            }
            _ => {
                long.cancel();
                pool.shutdown(true, false).unwrap();
            }
        }
        drop((long, never));
    };
    for round in 0..3 {
        use_one(round);
    }
    // Large results are decoded elsewhere, and dropped there.
    let mut before = belongings();
    wait_for("what is dropped later", || {
        before = belongings();
        (before.1, before.2) == (0, 0)
    });
    for round in 0..9 {
        use_one(round);
    }
    wait_for("nothing more than before", || {
        let now = belongings();
        now.0 <= before.0 && (now.1, now.2) == (0, 0)
    });
}

#[test]
fn nothing_is_left() {
    alone::run("ends::alone_nothing_is_left");
}

#[test]
#[ignore = "needs a process of its own"]
fn alone_many_tasks_with_few_descriptors() {
    let limit = libc::rlimit {
        rlim_cur: 256,
        rlim_max: 256,
    };
    // SAFETY: a valid limit.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    let pool = ProcessPool::builder()
        .workers(2)
        .queue(100_000)
        .build()
        .unwrap();
    let handles: Vec<_> = (0..100_000)
        .map(|n| pool.submit(tasks::square, (n,)).unwrap())
        .collect();
    for (n, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.join().unwrap(), (n * n) as u64);
    }
    // Large ones, of which each has a file while it is under way.
    let hold = pool.submit(tasks::sleeps, (200,)).unwrap();
    let large: Vec<_> = (0..1000)
        .map(|n| {
            pool.submit(tasks::same, (Blob(vec![n as u8; 300_000]),))
                .unwrap()
        })
        .collect();
    hold.join().unwrap();
    for (n, handle) in large.into_iter().enumerate() {
        assert_eq!(handle.join().unwrap().0[7], n as u8);
    }
}

#[test]
fn a_hundred_thousand_tasks_need_no_descriptors() {
    alone::run("ends::alone_many_tasks_with_few_descriptors");
}
