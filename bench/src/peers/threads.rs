//! The base line: a thread of the operating system for each task and each connection.

use std::hint::black_box;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use super::gate::Gate;
use super::{ECHO_BUFFER_BYTES, Tasks, YieldSite};
use crate::memory::{ASLEEP, BUFFER_BYTES, SLEEP, wait_until_asleep};

/// Tasks as threads.
pub(super) struct Threads;

impl Tasks for Threads {
    fn switch(&self, tasks: usize, yields: u64, site: YieldSite) -> Duration {
        let gate = Arc::new(Gate::new(tasks));
        let spawn_one = |_| {
            let gate = gate.clone();
            thread::spawn(move || match site {
                YieldSite::Loop => gate.pass(yields, thread::yield_now),
                YieldSite::TwoCallsDown => gate.pass(yields, yield_two_calls_down),
            })
        };
        let handles: Vec<_> = (0..tasks).map(spawn_one).collect();
        for handle in handles {
            handle.join().expect("a thread that yields does not panic");
        }
        gate.elapsed()
    }

    fn spawn_and_join(&self, batch: usize, batches: u64) -> Duration {
        let mut handles = Vec::with_capacity(batch);
        let start = Instant::now();
        for _ in 0..batches {
            handles.extend((0..batch).map(|index| thread::spawn(move || black_box(index))));
            for handle in handles.drain(..) {
                black_box(handle.join().expect("a thread that returns does not panic"));
            }
        }
        start.elapsed()
    }

    fn put_to_sleep(&self, count: usize, buffer: bool) {
        let before = ASLEEP.load(Ordering::Acquire);
        for _ in 0..count {
            drop(thread::spawn(move || {
                if buffer { sleep_holding() } else { sleep() }
            }));
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
    thread::yield_now();
    black_box(());
}

fn sleep() {
    ASLEEP.fetch_add(1, Ordering::AcqRel);
    thread::sleep(SLEEP);
}

fn sleep_holding() {
    let mut held = [1u8; BUFFER_BYTES];
    black_box(&mut held);
    sleep();
    black_box(&mut held);
}

/// Serves an echo with a thread for each connection.
pub(super) fn serve_echo() -> io::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            drop(thread::spawn(move || echo(stream)));
        }
    });
    Ok(port)
}

/// A peer that goes away ends its thread, whatever way it went.
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
