//! The contenders' side of `timers`.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::Duration;

use super::waiting::{Fixed, tokio_runtime};
use crate::measure::Usage;

/// Sleeps of `fire` last this long and up to twice as long, spread evenly.
const SHORTEST: Duration = Duration::from_millis(200);
/// Sleeps of `cancel` last this long; they don't.
const LONG: Duration = Duration::from_secs(3600);

fn duration_of(index: u64, n: u64) -> Duration {
    SHORTEST + SHORTEST.mul_f64(index as f64 / n as f64)
}

fn processor_time(f: impl FnOnce()) -> Duration {
    let before = Usage::of_this_process();
    f();
    Duration::from_micros(Usage::of_this_process().since(before).total_us())
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
    Some(match (command, contender) {
        ("timers-fire", "ropewalk") => fixed.ropewalk(1).run(|| {
            processor_time(|| {
                let tasks: Vec<_> = (0..n)
                    .map(|index| {
                        let duration = duration_of(index, n);
                        ropewalk::spawn_async(ropewalk::future::sleep_async(duration))
                    })
                    .collect();
                for task in tasks {
                    task.join().expect("no panics");
                }
            })
        }),
        ("timers-fire", "tokio") => tokio_runtime(1).block_on(async move {
            let before = Usage::of_this_process();
            let all = tokio::spawn(async move {
                let tasks: Vec<_> = (0..n)
                    .map(|index| tokio::spawn(tokio::time::sleep(duration_of(index, n))))
                    .collect();
                for task in tasks {
                    task.await.expect("no panics");
                }
            });
            all.await.expect("no panics");
            Duration::from_micros(Usage::of_this_process().since(before).total_us())
        }),
        ("timers-fire-coroutines", "ropewalk") => fixed.ropewalk(1).run(|| {
            processor_time(|| {
                let tasks: Vec<_> = (0..n)
                    .map(|index| {
                        let duration = duration_of(index, n);
                        ropewalk::spawn(move || ropewalk::coroutine::sleep(duration))
                    })
                    .collect();
                for task in tasks {
                    task.join().expect("no panics");
                }
            })
        }),
        ("timers-cancel", "ropewalk") => fixed.ropewalk(1).run(|| {
            processor_time(|| {
                set_and_drop((0..n).map(|_| ropewalk::future::sleep_async(LONG)));
            })
        }),
        ("timers-cancel", "tokio") => tokio_runtime(1).block_on(async move {
            let all = tokio::spawn(async move {
                processor_time(|| {
                    set_and_drop((0..n).map(|_| Box::pin(tokio::time::sleep(LONG))));
                })
            });
            all.await.expect("no panics")
        }),
        _ => return None,
    })
}
