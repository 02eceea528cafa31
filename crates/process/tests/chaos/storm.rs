//! A pool whose workers die by their own tasks, and are killed besides.

use std::collections::VecDeque;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use ropewalk_process::ProcessPool;
use ropewalk_process::shared::RawArray;
use ropewalk_rt::executor::RunTask;
use ropewalk_rt::{JoinError, JoinHandle, Runtime};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_bytes::ByteBuf;

use crate::chance::{Chance, seed, tasks};
use crate::fate::{Fate, be_quiet};
use crate::traces::{Traces, alone};

/// How often each task has begun, in memory that all workers have.
static BEGUN: OnceLock<RawArray<u32>> = OnceLock::new();

fn prepare(begun: RawArray<u32>) {
    be_quiet();
    let _ = BEGUN.set(begun);
}

/// Counts that it begins, and meets its fate; gives back what it was given.
fn live(number: u64, fate: Fate, payload: ByteBuf) -> (u64, ByteBuf) {
    let begun = BEGUN.get().expect("prepared");
    let index = number as usize;
    begun.set(index, begun.get(index) + 1);
    fate.meet();
    (number, payload)
}

ropewalk_rt::register! { "prepare" => prepare, "live" => live }

type Handle = JoinHandle<(u64, ByteBuf)>;

/// What is done to a task besides its fate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Deed {
    Nothing,
    Cancel,
    /// It may run for a millisecond.
    Limit,
}

struct Given {
    number: u64,
    fate: Fate,
    payload: ByteBuf,
    deed: Deed,
    handle: Handle,
}

impl Given {
    /// Joins it: whether it was ended by SIGKILL.
    fn end(self) -> bool {
        let result = self.handle.join();
        let deed = match (&result, self.deed) {
            // It may also have ended before.
            (Err(JoinError::Cancelled), Deed::Cancel) => true,
            (Err(JoinError::TimedOut), Deed::Limit) => true,
            _ => false,
        };
        let killed = matches!(&result, Err(JoinError::WorkerDied { .. }));
        if !deed {
            let expected = (self.number, self.payload);
            let wrong = self.fate.contradicts(&result, &expected);
            assert_eq!(wrong, None, "task {}", self.number);
        }
        killed
    }
}

/// Gives the pool the tasks `from..to`, some ahead of their joins; counts those whose worker died,
/// and those whose worker must have, as it is their fate.
fn submit(pool: &ProcessPool, seed: u64, from: u64, to: u64) -> (u64, u64) {
    const AHEAD: usize = 200;
    let mut chance = Chance::new(seed ^ from);
    let mut given: VecDeque<Given> = VecDeque::new();
    let (mut died, mut doomed) = (0, 0);
    for number in from..to {
        if given.len() >= AHEAD
            && let Some(first) = given.pop_front()
        {
            died += u64::from(first.end());
        }
        let fate = Fate::draw(&mut chance);
        // Some are too large for the memory that a worker shares.
        let bytes = match chance.below(100) {
            0 => 2 << 20,
            1..10 => chance.below(100_000),
            _ => chance.below(100),
        };
        let payload = ByteBuf::from(vec![number as u8; bytes as usize]);
        let deed = match chance.below(100) {
            0 => Deed::Cancel,
            1 => Deed::Limit,
            _ => Deed::Nothing,
        };
        doomed += u64::from(deed == Deed::Nothing && fate.is_deadly());
        let args = (number, fate, payload.clone());
        let handle = match deed {
            Deed::Limit => pool
                .with_timeout(Duration::from_millis(1))
                .submit(live, args),
            _ => pool.submit(live, args),
        };
        let handle = handle.expect("an open pool");
        given.push_back(Given {
            number,
            fate,
            payload,
            deed,
            handle,
        });
        if chance.below(3) == 0
            && let Some(any) = given.iter().rev().nth(chance.below(20) as usize)
            && any.deed == Deed::Cancel
        {
            any.handle.cancel();
        }
    }
    died += given
        .into_iter()
        .map(|one| u64::from(one.end()))
        .sum::<u64>();
    (died, doomed)
}

/// Kills a worker now and then, until told to stop; counts.
fn kill_some(pool: &ProcessPool, seed: u64, stop: &AtomicBool) -> u64 {
    let mut chance = Chance::new(seed ^ 0xdead);
    let mut killed = 0;
    while !stop.load(Ordering::Acquire) {
        thread::sleep(Duration::from_micros(chance.below(100_000)));
        let pids = pool.pids();
        if pids.is_empty() {
            continue;
        }
        let pid = pids[chance.below(pids.len() as u64) as usize];
        killed += u64::from(kill_child(pid));
    }
    killed
}

/// Stops who kills workers, when it is dropped.
struct Stop<'s>(&'s AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Kills a process if it is a child of ours, and not another that has got its number.
fn kill_child(pid: u32) -> bool {
    let kill = || {
        let fd = pidfd_open(Pid::from_raw(pid as i32)?, PidfdFlags::empty()).ok()?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
        if parent.trim() != std::process::id().to_string() {
            return None;
        }
        pidfd_send_signal(fd, Signal::KILL).ok()
    };
    kill().is_some()
}

fn pool(begun: &RawArray<u32>) -> ProcessPool {
    ProcessPool::builder()
        .workers(3)
        .name("chaos")
        .queue(300)
        .max_tasks_per_child(700)
        .stack_size(256 << 10)
        .initializer(prepare, (begun.clone(),))
        .build()
        .unwrap()
}

#[test]
fn every_task_ends_once_whatever_becomes_of_its_worker() {
    let _alone = alone();
    let (seed, tasks) = (seed(), tasks());
    let begun = RawArray::new(tasks as usize).unwrap();
    // Whatever is made once, at the first use of anything.
    let runtime = Runtime::builder().workers(2).build().unwrap();
    drop(
        pool(&begun)
            .submit(live, (0, Fate::Panic, ByteBuf::new()))
            .unwrap()
            .join(),
    );
    begun.set(0, 0);
    let before = Traces::settled();

    let pool = pool(&begun);
    let stop = AtomicBool::new(false);
    let (died, doomed) = (AtomicU64::new(0), AtomicU64::new(0));
    let count = |from, to| {
        let part = submit(&pool, seed, from, to);
        died.fetch_add(part.0, Ordering::Relaxed);
        doomed.fetch_add(part.1, Ordering::Relaxed);
    };
    let killed = thread::scope(|scope| {
        let killer = scope.spawn(|| kill_some(&pool, seed, &stop));
        // Also if what follows panics: it would go on for ever, and nobody would see why.
        let stopped = Stop(&stop);
        // A half from threads, a half from coroutines.
        let parts: Vec<u64> = (0..=4).map(|part| tasks * part / 4).collect();
        let threads: Vec<_> = [0, 1]
            .map(|part| {
                scope.spawn({
                    let (from, to, count) = (parts[part], parts[part + 1], &count);
                    move || count(from, to)
                })
            })
            .into();
        runtime.run(|| {
            ropewalk_rt::scope(|coroutines| {
                for part in [2, 3] {
                    let (from, to, count) = (parts[part], parts[part + 1], &count);
                    coroutines.spawn(move || count(from, to));
                }
            });
        });
        for thread in threads {
            thread.join().unwrap();
        }
        drop(stopped);
        killer.join().unwrap()
    });
    let (died, doomed) = (died.into_inner(), doomed.into_inner());
    println!("{tasks} tasks, {died} with the death of their worker; {killed} killed from outside");
    let twice: Vec<usize> = (0..tasks as usize).filter(|&n| begun.get(n) > 1).collect();
    assert!(twice.is_empty(), "run twice: {twice:?}");
    assert!(died >= doomed, "{doomed} were to die");
    // It is as good as new.
    let last = pool
        .submit(live, (0, Fate::Return, ByteBuf::from([1])))
        .unwrap()
        .join();
    assert_eq!(last.unwrap(), (0, ByteBuf::from([1])));
    drop(pool);
    before.until_gone();
}
