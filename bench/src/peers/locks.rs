//! The contenders' side of `mutex`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::waiting::{Fixed, split, tokio_runtime};
use crate::mutex::YIELD_EVERY;

/// A mutex of a library that threads lock.
trait Lock: Default + Sync + Send + 'static {
    fn add(&self);
}

impl Lock for ropewalk::sync::Mutex<u64> {
    fn add(&self) {
        *self.lock() += 1;
    }
}

impl Lock for parking_lot::Mutex<u64> {
    fn add(&self) {
        *self.lock() += 1;
    }
}

impl Lock for std::sync::Mutex<u64> {
    fn add(&self) {
        *self.lock().expect("no panics") += 1;
    }
}

fn alone<L: Lock>(n: u64) -> Duration {
    let lock = L::default();
    let start = Instant::now();
    for _ in 0..n {
        black_box(&lock).add();
    }
    start.elapsed()
}

fn on_threads<L: Lock>(threads: u64, n: u64) -> Duration {
    let lock = L::default();
    let gate = std::sync::Barrier::new(threads as usize + 1);
    std::thread::scope(|s| {
        for share in split(n, threads) {
            let (lock, gate) = (&lock, &gate);
            s.spawn(move || {
                gate.wait();
                for _ in 0..share {
                    lock.add();
                }
                gate.wait();
            });
        }
        gate.wait();
        let start = Instant::now();
        gate.wait();
        start.elapsed()
    })
}

fn ropewalk_tasks(fixed: &mut Fixed, tasks: u64, workers: u64, n: u64) -> Duration {
    let lock = Arc::new(ropewalk::sync::Mutex::new(0u64));
    fixed.ropewalk(workers).run(|| {
        let start = Instant::now();
        let handles: Vec<_> = split(n, tasks)
            .map(|share| {
                let lock = Arc::clone(&lock);
                ropewalk::spawn(move || {
                    for turn in 0..share {
                        let mut guard = lock.lock();
                        *guard += 1;
                        if turn % YIELD_EVERY == 0 {
                            ropewalk::coroutine::yield_now();
                        }
                    }
                })
            })
            .collect();
        for handle in handles {
            handle.join().expect("no panics");
        }
        start.elapsed()
    })
}

fn tokio_tasks(tasks: u64, workers: u64, n: u64) -> Duration {
    let lock = Arc::new(tokio::sync::Mutex::new(0u64));
    tokio_runtime(workers).block_on(async move {
        let all = tokio::spawn(async move {
            let start = Instant::now();
            let handles: Vec<_> = split(n, tasks)
                .map(|share| {
                    let lock = Arc::clone(&lock);
                    tokio::spawn(async move {
                        for turn in 0..share {
                            let mut guard = lock.lock().await;
                            *guard += 1;
                            if turn % YIELD_EVERY == 0 {
                                tokio::task::yield_now().await;
                            }
                        }
                    })
                })
                .collect();
            for handle in handles {
                handle.await.expect("no panics");
            }
            start.elapsed()
        });
        all.await.expect("no panics")
    })
}

fn may_tasks(tasks: u64, workers: u64, n: u64) -> Duration {
    may::config().set_workers(workers as usize);
    let lock = Arc::new(may::sync::Mutex::new(0u64));
    let body = move || {
        let start = Instant::now();
        let handles: Vec<_> = split(n, tasks)
            .map(|share| {
                let lock = Arc::clone(&lock);
                // SAFETY: it touches no thread-local storage, and its stack suffices.
                unsafe {
                    may::coroutine::spawn(move || {
                        for turn in 0..share {
                            let mut guard = lock.lock().expect("no panics");
                            *guard += 1;
                            if turn % YIELD_EVERY == 0 {
                                may::coroutine::yield_now();
                            }
                        }
                    })
                }
            })
            .collect();
        for handle in handles {
            handle.join().expect("no panics");
        }
        start.elapsed()
    };
    // SAFETY: as above.
    unsafe { may::coroutine::spawn(body) }
        .join()
        .expect("no panics")
}

/// Does `n` locks as `command` says; `None` if the contender has no such thing.
pub(super) fn run(
    fixed: &mut Fixed,
    contender: &str,
    command: &str,
    tasks: u64,
    workers: u64,
    n: u64,
) -> Option<Duration> {
    Some(match (command, contender) {
        ("lock-alone", "ropewalk") => alone::<ropewalk::sync::Mutex<u64>>(n),
        ("lock-alone", "parking_lot") => alone::<parking_lot::Mutex<u64>>(n),
        ("lock-alone", "std") => alone::<std::sync::Mutex<u64>>(n),
        ("lock-alone", "tokio") => tokio_runtime(1).block_on(async {
            let lock = tokio::sync::Mutex::new(0u64);
            let start = Instant::now();
            for _ in 0..n {
                *black_box(&lock).lock().await += 1;
            }
            start.elapsed()
        }),
        ("lock-threads", "ropewalk") => on_threads::<ropewalk::sync::Mutex<u64>>(tasks, n),
        ("lock-threads", "parking_lot") => on_threads::<parking_lot::Mutex<u64>>(tasks, n),
        ("lock-threads", "std") => on_threads::<std::sync::Mutex<u64>>(tasks, n),
        ("lock-tasks", "ropewalk") => ropewalk_tasks(fixed, tasks, workers, n),
        ("lock-tasks", "tokio") => tokio_tasks(tasks, workers, n),
        ("lock-tasks", "may") => may_tasks(tasks, workers, n),
        _ => return None,
    })
}
