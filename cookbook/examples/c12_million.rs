//! C12, known as "a million tasks" with asyncio or gevent.
//!
//! A million coroutines, each with a stack of its own, asleep at the same time in one
//! process; what they cost is read from `/proc/self/status`. The argument is how many:
//! `cargo run --release -p ropewalk-cookbook --example c12_million -- 200000`.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ropewalk::Runtime;
use ropewalk::coroutine;
use ropewalk::time::{Duration, Instant};

/// How long each sleeps at a time: longer than it takes to spawn them all.
fn nap(count: usize) -> Duration {
    Duration::from_secs(1) + Duration::from_micros(10) * u32::try_from(count).unwrap_or(u32::MAX)
}

/// What the process holds, in KiB.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// Pages in memory: `VmRSS`.
    pub resident_kib: u64,
    /// Page tables: `VmPTE`.
    pub tables_kib: u64,
}

impl Memory {
    /// Reads what this process holds now.
    ///
    /// # Errors
    ///
    /// If `/proc` can't be read, or lacks a line.
    pub fn now() -> io::Result<Memory> {
        let status = fs::read_to_string("/proc/self/status")?;
        let kib = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name));
            let number = line.and_then(|line| line.split_whitespace().nth(1));
            number
                .and_then(|number| number.parse().ok())
                .ok_or_else(|| io::Error::other(format!("no {name} in /proc/self/status")))
        };
        Ok(Memory {
            resident_kib: kib("VmRSS:")?,
            tables_kib: kib("VmPTE:")?,
        })
    }

    /// All of it.
    pub fn total_kib(self) -> u64 {
        self.resident_kib + self.tables_kib
    }
}

/// What was seen while all slept.
#[derive(Debug)]
pub struct Sleepers {
    /// How many coroutines the runtime had.
    pub live: u64,
    /// How many of them sat in `sleep` at one look.
    pub asleep: usize,
    /// The memory before the first was spawned.
    pub before: Memory,
    /// The memory while all of them slept.
    pub during: Memory,
    /// How many have woken up and ended well.
    pub woken: usize,
    /// From the first spawn to the moment when all slept.
    pub spawning: Duration,
}

impl Sleepers {
    /// What one of them costs, page tables included.
    pub fn bytes_each(&self) -> u64 {
        let kib = self
            .during
            .total_kib()
            .saturating_sub(self.before.total_kib());
        kib * 1024 / self.live.max(1)
    }
}

/// Puts `count` coroutines to sleep at once, looks at them, and wakes them.
///
/// # Errors
///
/// If the runtime can't be started or `/proc` can't be read.
pub fn put_to_sleep(count: usize) -> io::Result<Sleepers> {
    let runtime = Runtime::new()?;
    let nap = nap(count);
    let before = Memory::now()?;
    let start = Instant::now();
    let arrived = Arc::new(AtomicUsize::new(0));
    let seen = Arc::new(AtomicBool::new(false));
    let handles: Vec<_> = (0..count)
        .map(|_| {
            let (arrived, seen) = (Arc::clone(&arrived), Arc::clone(&seen));
            runtime.spawn(move || {
                arrived.fetch_add(1, Ordering::Relaxed);
                // Who wakes before all were seen asleep sleeps again, for longer: so all do at last.
                let mut nap = nap;
                while !seen.load(Ordering::Relaxed) {
                    coroutine::sleep(nap);
                    nap *= 2;
                }
            })
        })
        .collect();
    while arrived.load(Ordering::Relaxed) < count {
        coroutine::sleep(Duration::from_millis(5));
    }
    let spawning = start.elapsed();
    let during = Memory::now()?;
    let live = runtime.live();
    let asleep = all_asleep(&runtime, count);
    seen.store(true, Ordering::Relaxed);
    let woken = handles
        .into_iter()
        .filter_map(|handle| handle.join().ok())
        .count();
    Ok(Sleepers {
        live,
        asleep,
        before,
        during,
        woken,
        spawning,
    })
}

/// How many of the runtime's coroutines sleep: looks again, for some time, while that is not
/// all of them, since some may have been about to fall asleep or to sleep on.
fn all_asleep(runtime: &Runtime, count: usize) -> usize {
    const PATIENCE: Duration = Duration::from_secs(60);
    let start = Instant::now();
    let mut most = 0;
    while most < count && start.elapsed() < PATIENCE {
        let living = runtime.list();
        let asleep = living.iter().filter(|task| task.waits_for() == "sleeping");
        most = most.max(asleep.count());
    }
    most
}

fn main() -> io::Result<()> {
    let count = match std::env::args().nth(1) {
        Some(argument) => argument.parse().map_err(io::Error::other)?,
        None => 1_000_000,
    };
    let sleepers = put_to_sleep(count)?;
    println!(
        "{} coroutines alive after {:.2?}, {} of them seen asleep",
        sleepers.live, sleepers.spawning, sleepers.asleep
    );
    let mib = |kib: u64| kib / 1024;
    println!(
        "memory before: {} MiB, with all asleep: {} MiB and {} MiB of page tables",
        mib(sleepers.before.total_kib()),
        mib(sleepers.during.resident_kib),
        mib(sleepers.during.tables_kib)
    );
    println!("{} bytes each", sleepers.bytes_each());
    println!("{} woken and joined", sleepers.woken);
    Ok(())
}
