//! The contenders' side of the tasks that do nothing, in `executor`.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::{self, Thread};
use std::time::Duration;

use super::waiting::{Fixed, timed};
use crate::executor::noop::BATCH;

/// What is left of a batch, and who waits for it.
struct Batch {
    left: AtomicU64,
    waiter: Thread,
}

impl Batch {
    fn done(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.waiter.unpark();
        }
    }
}

/// Gives `n` tasks away by `give`, batch by batch.
fn batches(n: u64, give: impl Fn(Arc<Batch>)) -> Duration {
    timed(|| {
        let mut left = n;
        while left != 0 {
            let size = left.min(BATCH);
            left -= size;
            let batch = Arc::new(Batch {
                left: AtomicU64::new(size),
                waiter: thread::current(),
            });
            for _ in 0..size {
                give(Arc::clone(&batch));
            }
            while batch.left.load(Ordering::Acquire) != 0 {
                thread::park();
            }
        }
    })
}

/// Has `ask` give one number after the other to a task, and take it back.
fn round_trips(n: u64, ask: impl Fn(u64) -> u64) -> Duration {
    timed(|| {
        for number in 0..n {
            assert_eq!(ask(black_box(number)), number);
        }
    })
}

/// Runs `n` tasks as `command` says, in a pool of so many threads; `None` if the contender has no
/// such thing.
pub(super) fn run(
    fixed: &mut Fixed,
    contender: &str,
    command: &str,
    [_, threads, n]: [u64; 3],
) -> Option<Duration> {
    let batches_of = match command.strip_prefix("pool-")? {
        "noop" => true,
        "round-trip" => false,
        _ => return None,
    };
    Some(match (contender, batches_of) {
        ("ropewalk", true) => {
            let pool = fixed.ropewalk_pool(threads);
            batches(n, |batch| {
                let spawned = pool.spawn(move || batch.done());
                drop(spawned.expect("an open pool"));
            })
        }
        ("ropewalk", false) => {
            let pool = fixed.ropewalk_pool(threads);
            round_trips(n, |number| {
                let handle = pool.spawn(move || number).expect("an open pool");
                handle.join().expect("no panic")
            })
        }
        ("rayon", true) => {
            let pool = fixed.rayon(threads);
            batches(n, |batch| pool.spawn(move || batch.done()))
        }
        ("rayon", false) => {
            let pool = fixed.rayon(threads);
            round_trips(n, |number| pool.install(|| number))
        }
        ("threadpool", true) => {
            let pool = fixed.threadpool(threads);
            batches(n, |batch| pool.execute(move || batch.done()))
        }
        ("threadpool", false) => {
            let pool = fixed.threadpool(threads);
            round_trips(n, |number| {
                let (sender, receiver) = mpsc::sync_channel(1);
                pool.execute(move || sender.send(number).expect("a receiver"));
                receiver.recv().expect("a value")
            })
        }
        ("tokio-spawn-blocking", true) => {
            let runtime = fixed.tokio_blocking(threads);
            let _inside = runtime.enter();
            batches(n, |batch| {
                drop(tokio::task::spawn_blocking(move || batch.done()));
            })
        }
        ("tokio-spawn-blocking", false) => {
            let runtime = fixed.tokio_blocking(threads);
            let _inside = runtime.enter();
            round_trips(n, |number| {
                let task = tokio::task::spawn_blocking(move || number);
                runtime.block_on(task).expect("no panic")
            })
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_run_what_they_are_given() {
        for contender in ["ropewalk", "rayon", "threadpool", "tokio-spawn-blocking"] {
            let mut fixed = Fixed::default();
            for command in ["pool-noop", "pool-round-trip"] {
                let counts = [0, 2, BATCH + 1];
                assert!(run(&mut fixed, contender, command, counts).is_some());
            }
        }
    }
}
