//! Some thousand coroutines that wait for this and that, to be looked into with `ropewalk top`.
//!
//! ```text
//! cargo run --release -p ropewalk-cli --example crowd -- 10000 60 &
//! ropewalk top
//! ```
//!
//! The arguments are how many, for how many seconds, and `deadlock` or `busy` to make it worse:
//! two who wait for each other, or a worker each that never comes back.

use std::sync::Arc;
use std::{env, io, process};

use ropewalk::channel;
use ropewalk::sync::{Barrier, Mutex, Semaphore};
use ropewalk::time::Duration;
use ropewalk::{Runtime, coroutine, inspect};

/// What is to be seen besides those who sleep, receive, lock and wait for a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// Nothing.
    None,
    /// Two coroutines hold a lock each and want the other's.
    Deadlock,
    /// Every worker runs a coroutine that computes for ever.
    Busy,
}

/// Sleeps in short naps, for ever.
#[inline(never)]
fn nap_again_and_again(nap: Duration) {
    loop {
        coroutine::sleep(nap);
    }
}

/// Has one lock and wants another.
#[inline(never)]
fn lock_both(first: &Mutex<u32>, second: &Mutex<u32>, meet: &Barrier) {
    let mut first = first.lock();
    meet.wait();
    let mut second = second.lock();
    *first += 1;
    *second += 1;
}

/// Computes without ever waiting.
#[inline(never)]
fn compute() {
    let mut number = 0u64;
    loop {
        number = std::hint::black_box(number.wrapping_mul(3).wrapping_add(1));
    }
}

/// Spawns about `count` coroutines that go on for as long as the runtime does.
pub fn gather(runtime: &Runtime, count: usize, mishap: Mishap) {
    let gate = Arc::new(Semaphore::new(0));
    let desk = Arc::new(Mutex::new(0u32));
    let (sender, receiver) = channel::unbounded::<u32>();
    for number in 0..count {
        match number % 20 {
            // One in twenty wants the desk, and has it for a while.
            0 => {
                let desk = Arc::clone(&desk);
                drop(runtime.spawn(move || {
                    loop {
                        let mut at_desk = desk.lock();
                        *at_desk += 1;
                        coroutine::sleep(Duration::from_millis(20));
                    }
                }));
            }
            1 | 2 => {
                let gate = Arc::clone(&gate);
                drop(runtime.spawn(move || {
                    let _never = gate.acquire();
                }));
            }
            3..=6 => {
                let receiver = receiver.clone();
                drop(runtime.spawn(move || while receiver.recv().is_ok() {}));
            }
            _ => {
                let nap = Duration::from_millis(500 + number as u64 % 1000);
                drop(runtime.spawn(move || nap_again_and_again(nap)));
            }
        }
    }
    drop(runtime.spawn(move || {
        for number in 0.. {
            let _ = sender.send(number);
            coroutine::sleep(Duration::from_millis(5));
        }
    }));
    match mishap {
        Mishap::None => {}
        Mishap::Deadlock => {
            let (a, b) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)));
            let meet = Arc::new(Barrier::new(2));
            for (first, second) in [(&a, &b), (&b, &a)] {
                let (first, second) = (Arc::clone(first), Arc::clone(second));
                let meet = Arc::clone(&meet);
                drop(runtime.spawn(move || lock_both(&first, &second, &meet)));
            }
        }
        Mishap::Busy => (0..runtime.workers()).for_each(|_| drop(runtime.spawn(compute))),
    }
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let number = |at: usize, default: u64| {
        let given = arguments.get(at).map(|text| text.parse());
        given.unwrap_or(Ok(default)).map_err(io::Error::other)
    };
    let count = usize::try_from(number(0, 10_000)?).map_err(io::Error::other)?;
    let seconds = number(1, 60)?;
    let mishap = match arguments.get(2).map(String::as_str) {
        None => Mishap::None,
        Some("deadlock") => Mishap::Deadlock,
        Some("busy") => Mishap::Busy,
        Some(other) => return Err(io::Error::other(format!("unknown argument {other}"))),
    };
    let _server = inspect::serve()?;
    let runtime = Runtime::new()?;
    gather(&runtime, count, mishap);
    println!("ropewalk top {}", process::id());
    std::thread::sleep(Duration::from_secs(seconds));
    // Nobody waits for the crowd.
    process::exit(0);
}
