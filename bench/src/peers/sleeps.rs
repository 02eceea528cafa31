//! The contenders' side of `timers`.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use super::waiting::{Fixed, run_on_tokio, timed};
use crate::memory::ASLEEP;

/// Sleeps of `fire` last this long and up to twice as long, spread evenly.
const SHORTEST: Duration = Duration::from_millis(200);
/// Sleeps of `cancel` last this long; they don't.
const LONG: Duration = Duration::from_secs(3600);

/// How often it is looked whether all who will be cancelled have fallen asleep.
const LOOK: Duration = Duration::from_millis(1);

fn short(index: u64, n: u64) -> Duration {
    SHORTEST + SHORTEST.mul_f64(index as f64 / n as f64)
}

fn long(_: u64, _: u64) -> Duration {
    LONG
}

/// Polls each once, so that its timer is set, and drops them all.
fn set_and_drop<F: Future + Unpin>(futures: impl Iterator<Item = F>) {
    let mut context = Context::from_waker(Waker::noop());
    let armed: Vec<F> = futures
        .map(|mut future| {
            assert!(Pin::new(&mut future).poll(&mut context).is_pending());
            future
        })
        .collect();
    drop(armed);
}

/// Does `n` sleeps as `command` says; `None` if the contender has no such thing.
pub(super) fn run(fixed: &mut Fixed, contender: &str, command: &str, n: u64) -> Option<Duration> {
    let command = command.strip_prefix("timers-")?;
    match contender {
        "ropewalk" => fixed.ropewalk(1).run(|| with_ropewalk(command, n)),
        "tokio" => {
            let command = command.to_owned();
            run_on_tokio(fixed.tokio(1), with_tokio(command, n))
        }
        _ => None,
    }
}

fn with_ropewalk(command: &str, n: u64) -> Option<Duration> {
    use ropewalk::future::sleep_async;
    let asleep = ASLEEP.load(Ordering::Acquire) + n as usize;
    let futures = |duration: fn(u64, u64) -> Duration| {
        let spawn = move |index| {
            ropewalk::spawn_async(async move {
                ASLEEP.fetch_add(1, Ordering::AcqRel);
                sleep_async(duration(index, n)).await;
            })
        };
        (0..n).map(spawn)
    };
    let coroutines = |duration: fn(u64, u64) -> Duration| {
        let sleep = move |index| {
            let duration = duration(index, n);
            ropewalk::spawn(move || {
                ASLEEP.fetch_add(1, Ordering::AcqRel);
                ropewalk::coroutine::sleep(duration);
            })
        };
        (0..n).map(sleep)
    };
    Some(match command {
        "fire" => timed(|| join(futures(short).collect())),
        "fire-coroutines" => timed(|| join(coroutines(short).collect())),
        "cancel" => timed(|| set_and_drop((0..n).map(|_| sleep_async(LONG)))),
        "cancel-tasks" => timed(|| cancel(futures(long).collect(), asleep)),
        "cancel-coroutines" => timed(|| cancel(coroutines(long).collect(), asleep)),
        _ => return None,
    })
}

fn join(tasks: Vec<ropewalk::coroutine::JoinHandle<()>>) {
    for task in tasks {
        task.join().expect("no panics");
    }
}

fn cancel(tasks: Vec<ropewalk::coroutine::JoinHandle<()>>, asleep: usize) {
    while ASLEEP.load(Ordering::Acquire) < asleep {
        ropewalk::coroutine::sleep(LOOK);
    }
    for task in &tasks {
        task.cancel();
    }
    for task in tasks {
        // A coroutine may ignore that it was cancelled; this one's sleep just ends.
        let _ = task.join();
    }
}

async fn with_tokio(command: String, n: u64) -> Option<Duration> {
    let start = Instant::now();
    let asleep = ASLEEP.load(Ordering::Acquire) + n as usize;
    let spawn = |duration: fn(u64, u64) -> Duration| {
        let spawn = |index| {
            tokio::spawn(async move {
                ASLEEP.fetch_add(1, Ordering::AcqRel);
                tokio::time::sleep(duration(index, n)).await;
            })
        };
        (0..n).map(spawn).collect::<Vec<_>>()
    };
    match &*command {
        "fire" => {
            for task in spawn(short) {
                task.await.expect("no panics");
            }
        }
        "cancel" => set_and_drop((0..n).map(|_| Box::pin(tokio::time::sleep(LONG)))),
        "cancel-tasks" => {
            let tasks = spawn(long);
            while ASLEEP.load(Ordering::Acquire) < asleep {
                tokio::time::sleep(LOOK).await;
            }
            for task in &tasks {
                task.abort();
            }
            for task in tasks {
                task.await.expect_err("cancelled");
            }
        }
        _ => return None,
    }
    Some(start.elapsed())
}
