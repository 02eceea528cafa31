//! may: stackful coroutines on one worker, with the features and the stack size (32 KiB) it
//! has by default. It pins its worker to a core, which here is the core all contenders get.

use std::hint::black_box;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use may::net::{TcpListener, TcpStream};
use may::{coroutine, go};

use super::gate::Gate;
use super::{ECHO_BUFFER_BYTES, Tasks, YieldSite};
use crate::memory::{ASLEEP, BUFFER_BYTES, SLEEP, wait_until_asleep};

/// Makes the scheduler, which starts with its first coroutine, have one worker.
pub(super) fn configure() {
    may::config().set_workers(1);
}

/// Tasks as coroutines.
pub(super) struct Coroutines;

impl Coroutines {
    /// Configures the scheduler.
    pub(super) fn new() -> Coroutines {
        configure();
        Coroutines
    }
}

impl Tasks for Coroutines {
    fn switch(&self, tasks: usize, yields: u64, site: YieldSite) -> Duration {
        let gate = Arc::new(Gate::new(tasks));
        let shared = gate.clone();
        let driver = go!(move || {
            let spawn_one = |_| {
                let gate = shared.clone();
                go!(move || match site {
                    YieldSite::Loop => gate.pass(yields, coroutine::yield_now),
                    YieldSite::TwoCallsDown => gate.pass(yields, yield_two_calls_down),
                })
            };
            let handles: Vec<_> = (0..tasks).map(spawn_one).collect();
            for handle in handles {
                handle.join().expect("a task that yields does not panic");
            }
        });
        driver.join().expect("a task that joins does not panic");
        gate.elapsed()
    }

    fn spawn_and_join(&self, batch: usize, batches: u64) -> Duration {
        let driver = go!(move || {
            let mut handles = Vec::with_capacity(batch);
            let start = Instant::now();
            for _ in 0..batches {
                handles.extend((0..batch).map(|index| go!(move || black_box(index))));
                for handle in handles.drain(..) {
                    black_box(handle.join().expect("a task that returns does not panic"));
                }
            }
            start.elapsed()
        });
        driver.join().expect("a task that joins does not panic")
    }

    /// Spawns from the calling thread: where no further stack can be had may panics, and here
    /// that ends the process for the parent to see.
    fn put_to_sleep(&self, count: usize, buffer: bool) {
        let before = ASLEEP.load(Ordering::Acquire);
        for _ in 0..count {
            drop(go!(move || if buffer { sleep_holding() } else { sleep() }));
        }
        wait_until_asleep(before, count);
    }
}

#[inline(never)]
fn yield_two_calls_down() {
    yield_one_call_down();
    black_box(());
}

#[inline(never)]
fn yield_one_call_down() {
    coroutine::yield_now();
    black_box(());
}

fn sleep() {
    ASLEEP.fetch_add(1, Ordering::AcqRel);
    coroutine::sleep(SLEEP);
}

fn sleep_holding() {
    let mut held = [1u8; BUFFER_BYTES];
    black_box(&mut held);
    sleep();
    black_box(&mut held);
}

/// Serves an echo with a coroutine for each connection.
pub(super) fn serve_echo() -> io::Result<u16> {
    configure();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    drop(go!(move || {
        while let Ok((stream, _)) = listener.accept() {
            drop(go!(move || echo(stream)));
        }
    }));
    Ok(port)
}

/// A peer that goes away ends its coroutine, whatever way it went.
fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; ECHO_BUFFER_BYTES];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            length => stream.write_all(&buffer[..length])?,
        }
    }
}
