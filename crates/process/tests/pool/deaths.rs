//! Workers that die, and tasks that panic: each harms one task at most.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use ropewalk_process::ProcessPool;
use ropewalk_rt::JoinError;
use ropewalk_rt::executor::RunTask;

use crate::alone::{self, is_stopped, lives, wait_for};
use crate::tasks;

#[track_caller]
fn death<T: std::fmt::Debug>(result: Result<T, JoinError>) -> (u32, ExitStatus) {
    match result {
        Err(JoinError::WorkerDied { pid, status }) => (pid, status),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_panic_comes_back_with_its_place_and_the_worker_goes_on() {
    let pool = ProcessPool::new(1).unwrap();
    let before = pool.submit(tasks::pid, ()).unwrap().join().unwrap();
    let handle = pool
        .submit(tasks::panics, ("so it is".to_owned(),))
        .unwrap();
    let error = handle.join().unwrap_err();
    assert_eq!(error.panic_message(), Some("so it is"));
    let panic = error.remote_panic().unwrap();
    assert_eq!(panic.pid, before);
    let location = panic.location.as_deref().unwrap();
    assert!(location.contains("tests/pool/tasks.rs"), "{location}");
    let after = pool.submit(tasks::pid, ()).unwrap().join().unwrap();
    assert_eq!(before, after);
}

#[test]
#[ignore = "needs a process of its own"]
fn alone_with_backtraces() {
    let backtrace = |pool: ProcessPool| {
        let handle = pool.submit(tasks::panics, ("look".to_owned(),)).unwrap();
        let error = handle.join().unwrap_err();
        error.remote_panic().unwrap().backtrace.clone()
    };
    let seen = backtrace(ProcessPool::new(1).unwrap()).unwrap();
    assert!(seen.contains("tasks::panics"), "{seen}");
    let builder = ProcessPool::builder().workers(1).env("RUST_BACKTRACE", "0");
    assert_eq!(backtrace(builder.build().unwrap()), None);
}

/// Also if nobody has asked for it: who gets the panic can't run it once more.
#[test]
fn a_backtrace_comes_along_unless_it_is_not_wanted() {
    let mut command = alone::command("deaths::alone_with_backtraces");
    for variable in ["RUST_BACKTRACE", "RUST_LIB_BACKTRACE"] {
        command.env_remove(variable);
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
}

// What a worker says was taken back the reader went past, and nobody settled it: its handle was
// joined for ever.
#[test]
fn a_worker_that_hides_a_task_does_not_keep_it() {
    let pool = ProcessPool::new(1).unwrap();
    let hides = pool.submit(tasks::hides_the_next_task, ()).unwrap();
    let hidden = pool.submit(tasks::square, (7,)).unwrap();
    assert!(hides.join().unwrap(), "there was one to hide");
    let result = hidden.join_timeout(Duration::from_secs(60));
    assert_eq!(result.expect("it is not forgotten").unwrap(), 49);
}

#[test]
fn a_workers_end_fails_its_task_and_says_how_it_ended() {
    let pool = ProcessPool::new(2).unwrap();
    let exit = pool.submit(tasks::exits, (3,)).unwrap().join();
    assert_eq!(death(exit).1.code(), Some(3));
    let exit = pool.submit(tasks::exits, (0,)).unwrap().join();
    assert_eq!(death(exit).1.code(), Some(0));
    let abort = pool.submit(tasks::aborts, ()).unwrap().join();
    assert_eq!(death(abort).1.signal(), Some(libc::SIGABRT));
    let kill = pool
        .submit(tasks::kills_itself, (libc::SIGKILL,))
        .unwrap()
        .join();
    assert_eq!(death(kill).1.signal(), Some(libc::SIGKILL));
    let overflow = pool
        .submit(tasks::overflows_its_stack, (0,))
        .unwrap()
        .join();
    let signal = death(overflow).1.signal();
    assert!(
        matches!(signal, Some(libc::SIGSEGV | libc::SIGABRT)),
        "{signal:?}"
    );
    let memory = pool
        .submit(tasks::takes_too_much_memory, (1 << 30,))
        .unwrap()
        .join();
    assert_eq!(death(memory).1.signal(), Some(libc::SIGABRT));
    let still = pool.submit(tasks::square, (9,)).unwrap();
    assert_eq!(still.join().unwrap(), 81);
}

#[test]
fn tasks_given_ahead_to_a_worker_that_dies_are_run_by_others_once() {
    let pool = ProcessPool::new(2).unwrap();
    for round in 0..5 {
        let handles: Vec<_> = (0..600)
            .map(|n| match n % 200 {
                7 => Err(pool.submit(tasks::exits, (9,)).unwrap()),
                _ => Ok((n, pool.submit(tasks::square, (n,)).unwrap())),
            })
            .collect();
        for handle in handles {
            match handle {
                Ok((n, handle)) => assert_eq!(handle.join().unwrap(), n * n, "{round}"),
                Err(handle) => assert_eq!(death(handle.join()).1.code(), Some(9)),
            }
        }
    }
    assert_eq!(pool.insight().settled, 3000);
}

#[test]
fn an_idle_worker_that_is_killed_is_replaced_and_nothing_fails() {
    let pool = ProcessPool::new(1).unwrap();
    let first = pool.submit(tasks::pid, ()).unwrap().join().unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(first as i32).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    wait_for("another worker", || {
        let pids = pool.pids();
        pids.len() == 1 && pids[0] != first
    });
    let second = pool.submit(tasks::pid, ()).unwrap().join().unwrap();
    assert_ne!(first, second);
    assert!(!lives(first));
    assert_eq!(pool.insight().ended_workers, 1);
}

/// Once a tiny task was gathered behind one that had turned out to be endless, with the other
/// worker idle and the collector asleep without an alarm: it waited for ever.
#[test]
fn a_worker_that_is_stopped_holds_up_its_own_task_alone() {
    let pool = ProcessPool::new(2).unwrap();
    wait_for("two workers", || pool.pids().len() == 2);
    let stuck = pool.submit(tasks::kills_itself, (libc::SIGSTOP,)).unwrap();
    for n in 0..500 {
        let handle = pool.submit(tasks::square, (n,)).unwrap();
        assert_eq!(handle.join().unwrap(), n * n);
    }
    assert!(!stuck.is_finished());
    // Cancelled before it has begun, it would harm nobody.
    wait_for("it to be stopped", || {
        pool.pids().into_iter().any(is_stopped)
    });
    stuck.cancel();
    wait_for("a replacement", || pool.insight().ended_workers == 1);
}

/// Large arguments go through a socket, which a worker that dies closes before its death is seen: the
/// task was told then that it can't be given to a worker.
#[test]
fn a_worker_that_dies_before_it_is_given_a_task_harms_nothing() {
    use rustix::process::{Pid, Signal, kill_process};
    let pool = ProcessPool::new(1).unwrap();
    for _ in 0..100 {
        let pid = pool.submit(tasks::pid, ()).unwrap().join().unwrap();
        kill_process(Pid::from_raw(pid as i32).unwrap(), Signal::KILL).unwrap();
        // At most one is begun before the worker is dead.
        let handles: Vec<_> = (0..20)
            .map(|_| {
                let blob = tasks::Blob(vec![1; 300_000]);
                let handle = pool.submit(tasks::count, (blob,)).unwrap();
                std::thread::yield_now();
                handle
            })
            .collect();
        for handle in handles {
            match handle.join() {
                Ok(len) => assert_eq!(len, 300_000),
                Err(JoinError::WorkerDied { .. }) => {}
                Err(other) => panic!("{other:?}"),
            }
        }
    }
}

/// A worker that is stopped while it has nothing is given tasks, but never begins with them.
#[test]
fn tasks_that_a_stopped_worker_does_not_begin_are_run_by_others() {
    use rustix::process::{Pid, Signal, kill_process};
    let pool = ProcessPool::new(2).unwrap();
    wait_for("two workers", || pool.pids().len() == 2);
    let stopped = pool.pids()[0];
    kill_process(Pid::from_raw(stopped as i32).unwrap(), Signal::STOP).unwrap();
    // Its threads go on until they hear of it: one might begin, and be stopped in the midst of it.
    wait_for("it to be stopped", || is_stopped(stopped));
    let handles: Vec<_> = (0..100)
        .map(|n| pool.submit(tasks::square, (n,)).unwrap())
        .collect();
    for (n, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.join().unwrap(), (n * n) as u64);
    }
}
