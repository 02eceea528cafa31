//! An hour's worth of churn in a few seconds: what began as nothing ends as nothing.
//!
//! Connections are opened, used, half-closed, reset, timed out, cancelled and left alone, listeners
//! restarted, channels dropped in the middle, timers cancelled, threads and async tasks started;
//! all at once, round after round. Afterwards descriptors, stacks, threads, tasks and memory are
//! back where they began. Each driver and number of workers has a process of its own and
//! `ROPEWALK_SOAK_SECONDS` (6, unless said otherwise) seconds.

mod churn;
#[path = "../it/process.rs"]
mod process;

use std::time::{Duration, Instant};

use ropewalk_rt::{DriverKind, Runtime, coroutine};

use process::well_alone;

/// What a process has and could lose.
#[derive(Debug, PartialEq, Eq)]
struct Holdings {
    descriptors: usize,
    threads: usize,
    stacks: usize,
    coroutines: usize,
}

impl Holdings {
    fn count() -> Holdings {
        let entries = |folder| std::fs::read_dir(folder).map_or(0, Iterator::count);
        Holdings {
            descriptors: entries("/proc/self/fd"),
            threads: entries("/proc/self/task"),
            stacks: ropewalk_kernel::stack::counts().in_use,
            coroutines: coroutine::count(),
        }
    }

    /// Waits until the process has what it had at this count, and as many stacks or no more than
    /// `stacks_kept`.
    fn check_returned(&self, stacks_kept: usize) {
        let begun = Instant::now();
        loop {
            let mut now = Holdings::count();
            if now.stacks <= stacks_kept {
                now.stacks = self.stacks;
            }
            // What was still leaving at that count is no loss.
            now.threads = now.threads.max(self.threads);
            now.descriptors = now.descriptors.max(self.descriptors);
            if now == *self {
                return;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(120),
                "began with {self:?}, left with {now:?}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The memory of this process that is in use, in KiB.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.and_then(|kib| kib.parse().ok()).expect("VmRSS in KiB")
}

fn seconds() -> u64 {
    let said = std::env::var("ROPEWALK_SOAK_SECONDS").unwrap_or_default();
    if said.is_empty() {
        return 6;
    }
    said.parse().expect("ROPEWALK_SOAK_SECONDS is a number")
}

fn soak(driver: DriverKind, workers: usize) {
    let asked = DriverKind::from_env().expect("ROPEWALK_DRIVER names a driver");
    if asked.is_some_and(|asked| asked != driver) {
        return;
    }
    if let Err(error) = driver.check() {
        eprintln!("skipped: {error}");
        return;
    }
    // Above the round's own needs, below what a leak would need in a few rounds.
    churn::limit_descriptors(1000);
    let nothing = Holdings::count();
    let runtime = Runtime::builder()
        .driver(driver)
        .workers(workers)
        // The harness's machine may be busy, and this is not about the watcher.
        .watch(None)
        .build()
        .expect("a runtime");
    // What is kept for good (pools, buffers, symbols) is there after the first rounds.
    let mut tally = churn::Tally::default();
    for round in 0..8 {
        churn::round(&runtime, round, &mut tally);
    }
    wait_empty(&runtime);
    let (before, before_kib) = (Holdings::count(), resident_kib());
    let end = Instant::now() + Duration::from_secs(seconds());
    let mut round = 8;
    while Instant::now() < end {
        churn::round(&runtime, round, &mut tally);
        round += 1;
    }
    wait_empty(&runtime);
    // A worker keeps some for the next ones.
    before.check_returned(64 * workers);
    let after_kib = resident_kib();
    eprintln!(
        "{} with {workers} workers: {round} rounds, {tally:?}, {before_kib} KiB before, \
         {after_kib} KiB after",
        driver.as_str()
    );
    tally.check();
    assert!(
        after_kib <= before_kib + before_kib / 2 + 8192,
        "memory grew from {before_kib} KiB to {after_kib} KiB"
    );
    if let Err(left) = runtime.shutdown(Duration::from_secs(120)) {
        panic!("left behind: {left}");
    }
    nothing.check_returned(0);
}

/// Waits until the runtime has no task left.
fn wait_empty(runtime: &Runtime) {
    let begun = Instant::now();
    while runtime.live() != 0 {
        assert!(
            begun.elapsed() < Duration::from_secs(120),
            "still there: {:#?}",
            runtime.list()
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn epoll_with_one_worker() {
    well_alone(&[], || soak(DriverKind::Epoll, 1));
}

#[test]
fn epoll_with_two_workers() {
    well_alone(&[], || soak(DriverKind::Epoll, 2));
}

#[test]
fn io_uring_with_one_worker() {
    well_alone(&[], || soak(DriverKind::IoUring, 1));
}

#[test]
fn io_uring_with_two_workers() {
    well_alone(&[], || soak(DriverKind::IoUring, 2));
}
