//! The contenders' side of `mutex`.
//!
//! Those who compete count in the locked number until it has reached what was asked for, so
//! that each gets as many turns as the lock gives it; how many is each one's share.

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use super::waiting::{Done, Fixed, Shares, run_on_may, run_on_tokio};
use crate::mutex::{WORK, YIELD_EVERY};

/// A mutex that is locked by a plain call.
trait Lock: Default + Sync + Send + 'static {
    fn with<R>(&self, f: impl FnOnce(&mut u64) -> R) -> R;
}

impl Lock for ropewalk::sync::Mutex<u64> {
    fn with<R>(&self, f: impl FnOnce(&mut u64) -> R) -> R {
        f(&mut self.lock())
    }
}

impl Lock for parking_lot::Mutex<u64> {
    fn with<R>(&self, f: impl FnOnce(&mut u64) -> R) -> R {
        f(&mut self.lock())
    }
}

impl Lock for std::sync::Mutex<u64> {
    fn with<R>(&self, f: impl FnOnce(&mut u64) -> R) -> R {
        f(&mut self.lock().expect("no panics"))
    }
}

impl Lock for may::sync::Mutex<u64> {
    fn with<R>(&self, f: impl FnOnce(&mut u64) -> R) -> R {
        f(&mut self.lock().expect("no panics"))
    }
}

/// Some work: about half a nanosecond for each of `rounds`.
fn work(rounds: u64) {
    for round in 0..rounds {
        black_box(round);
    }
}

/// Counts one more, if there is more to count.
fn count(total: &mut u64, n: u64) -> bool {
    let more = *total < n;
    *total += u64::from(more);
    more
}

fn alone<L: Lock>(n: u64) -> Done {
    let lock = L::default();
    let start = Instant::now();
    for _ in 0..n {
        black_box(&lock).with(|total| *total += 1);
    }
    start.elapsed().into()
}

async fn alone_async(n: u64) -> Duration {
    let lock = tokio::sync::Mutex::new(0u64);
    let start = Instant::now();
    for _ in 0..n {
        *black_box(&lock).lock().await += 1;
    }
    start.elapsed()
}

fn on_threads<L: Lock>(threads: u64, rounds: u64, n: u64) -> Done {
    let (lock, gate) = (L::default(), Barrier::new(threads as usize));
    let compete = || {
        gate.wait();
        let start = Instant::now();
        let mut own = 0;
        while lock.with(|total| {
            work(rounds);
            count(total, n)
        }) {
            own += 1;
            work(rounds);
        }
        (start, own, Instant::now())
    };
    let parts: Vec<_> = std::thread::scope(|s| {
        let all: Vec<_> = (0..threads).map(|_| s.spawn(compete)).collect();
        all.into_iter()
            .map(|thread| thread.join().expect("no panics"))
            .collect()
    });
    let start = parts.iter().map(|part| part.0).min().expect("a thread");
    let end = parts.iter().map(|part| part.2).max().expect("a thread");
    Done {
        elapsed: end - start,
        shares: Shares::of(&parts.iter().map(|part| part.1).collect::<Vec<_>>()),
    }
}

/// What one of several coroutines does: how many turns it got.
fn compete<L: Lock>(lock: &L, rounds: u64, n: u64, give_way: fn()) -> u64 {
    let mut own = 0;
    while lock.with(|total| {
        work(rounds);
        if own % YIELD_EVERY == 0 {
            give_way();
        }
        count(total, n)
    }) {
        own += 1;
        work(rounds);
    }
    own
}

fn done(start: Instant, parts: &[u64]) -> Done {
    Done {
        elapsed: start.elapsed(),
        shares: Shares::of(parts),
    }
}

fn ropewalk_tasks(runtime: &ropewalk::Runtime, tasks: u64, rounds: u64, n: u64) -> Done {
    let lock = Arc::new(ropewalk::sync::Mutex::new(0));
    runtime.run(|| {
        let start = Instant::now();
        let spawn = |_| {
            let lock = Arc::clone(&lock);
            ropewalk::spawn(move || compete(&*lock, rounds, n, ropewalk::coroutine::yield_now))
        };
        let all: Vec<_> = (0..tasks).map(spawn).collect();
        let parts = all.into_iter().map(|task| task.join().expect("no panics"));
        done(start, &parts.collect::<Vec<_>>())
    })
}

fn may_tasks(tasks: u64, workers: u64, rounds: u64, n: u64) -> Done {
    let lock = Arc::new(may::sync::Mutex::new(0));
    run_on_may(workers, move || {
        let start = Instant::now();
        let spawn = |_| {
            let lock = Arc::clone(&lock);
            let body = move || compete(&*lock, rounds, n, may::coroutine::yield_now);
            // SAFETY: it touches no thread-local storage, and its stack suffices.
            unsafe { may::coroutine::spawn(body) }
        };
        let all: Vec<_> = (0..tasks).map(spawn).collect();
        let parts = all.into_iter().map(|task| task.join().expect("no panics"));
        done(start, &parts.collect::<Vec<_>>())
    })
}

fn tokio_tasks(runtime: &tokio::runtime::Runtime, tasks: u64, rounds: u64, n: u64) -> Done {
    let lock = Arc::new(tokio::sync::Mutex::new(0));
    run_on_tokio(runtime, async move {
        let start = Instant::now();
        let spawn = |_| {
            let lock = Arc::clone(&lock);
            tokio::spawn(async move {
                let mut own = 0;
                loop {
                    let mut total = lock.lock().await;
                    work(rounds);
                    if own % YIELD_EVERY == 0 {
                        tokio::task::yield_now().await;
                    }
                    if !count(&mut total, n) {
                        return own;
                    }
                    drop(total);
                    own += 1;
                    work(rounds);
                }
            })
        };
        let all: Vec<_> = (0..tasks).map(spawn).collect();
        let mut parts = Vec::with_capacity(all.len());
        for task in all {
            parts.push(task.await.expect("no panics"));
        }
        done(start, &parts)
    })
}

/// Does `n` locks as `command` says; `None` if the contender has no such thing.
pub(super) fn run(
    fixed: &mut Fixed,
    contender: &str,
    command: &str,
    tasks: u64,
    workers: u64,
    n: u64,
) -> Option<Done> {
    let (command, rounds) = match command.strip_suffix("-work") {
        Some(command) => (command, WORK),
        None => (command, 0),
    };
    Some(match (command, contender) {
        ("lock-alone" | "lock-alone-task", "parking_lot") => alone::<parking_lot::Mutex<_>>(n),
        ("lock-alone" | "lock-alone-task", "std") => alone::<std::sync::Mutex<_>>(n),
        ("lock-alone", "ropewalk") => alone::<ropewalk::sync::Mutex<_>>(n),
        ("lock-alone", "tokio") => fixed.tokio(1).block_on(alone_async(n)).into(),
        ("lock-alone-task", "ropewalk") => {
            let runtime = fixed.ropewalk(1);
            runtime.run(|| alone::<ropewalk::sync::Mutex<_>>(n))
        }
        ("lock-alone-task", "tokio") => run_on_tokio(fixed.tokio(1), alone_async(n)).into(),
        ("lock-alone-task", "may") => run_on_may(1, move || alone::<may::sync::Mutex<_>>(n)),
        ("lock-threads", "ropewalk") => on_threads::<ropewalk::sync::Mutex<_>>(tasks, rounds, n),
        ("lock-threads", "parking_lot") => on_threads::<parking_lot::Mutex<_>>(tasks, rounds, n),
        ("lock-threads", "std") => on_threads::<std::sync::Mutex<_>>(tasks, rounds, n),
        ("lock-tasks", "ropewalk") => ropewalk_tasks(fixed.ropewalk(workers), tasks, rounds, n),
        ("lock-tasks", "tokio") => tokio_tasks(fixed.tokio(workers), tasks, rounds, n),
        ("lock-tasks", "may") => may_tasks(tasks, workers, rounds, n),
        _ => return None,
    })
}
