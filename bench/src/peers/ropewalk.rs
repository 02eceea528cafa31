//! Ropewalk: coroutines of a runtime with one worker.

use std::hint::black_box;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ropewalk::http::{App, Request, Server};
use ropewalk::net::{TcpListener, TcpStream};
use ropewalk::{Runtime, coroutine};

use super::gate::Gate;
use super::{ECHO_BUFFER_BYTES, HELLO, Tasks, YieldSite};
use crate::memory::{ASLEEP, BUFFER_BYTES, SLEEP, wait_until_asleep};

fn runtime() -> io::Result<Runtime> {
    Runtime::builder().workers(1).build()
}

/// Tasks as coroutines.
pub(super) struct Coroutines {
    runtime: Runtime,
}

impl Coroutines {
    /// Starts the runtime.
    pub(super) fn new() -> Coroutines {
        Coroutines {
            runtime: runtime().expect("a runtime"),
        }
    }
}

impl Tasks for Coroutines {
    fn switch(&self, tasks: usize, yields: u64, site: YieldSite) -> Duration {
        let gate = Arc::new(Gate::new(tasks));
        self.runtime.run(|| {
            let spawn_one = |_| {
                let gate = gate.clone();
                coroutine::spawn(move || match site {
                    YieldSite::Loop => gate.pass(yields, coroutine::yield_now),
                    YieldSite::TwoCallsDown => gate.pass(yields, yield_two_calls_down),
                })
            };
            let handles: Vec<_> = (0..tasks).map(spawn_one).collect();
            for handle in handles {
                handle.join().expect("a task that yields does not panic");
            }
        });
        gate.elapsed()
    }

    fn spawn_and_join(&self, batch: usize, batches: u64) -> Duration {
        self.runtime.run(|| {
            let mut handles = Vec::with_capacity(batch);
            let start = Instant::now();
            for _ in 0..batches {
                handles.extend((0..batch).map(|index| coroutine::spawn(move || black_box(index))));
                for handle in handles.drain(..) {
                    black_box(handle.join().expect("a task that returns does not panic"));
                }
            }
            start.elapsed()
        })
    }

    fn put_to_sleep(&self, count: usize, buffer: bool) {
        let before = ASLEEP.load(Ordering::Acquire);
        self.runtime.run(|| {
            for _ in 0..count {
                // A dropped handle leaves its coroutine running, here as with the peers.
                drop(coroutine::spawn(move || {
                    if buffer { sleep_holding() } else { sleep() }
                }));
            }
        });
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
    let runtime = runtime()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    std::thread::Builder::new().spawn(move || {
        runtime.run(|| {
            while let Ok((stream, _)) = listener.accept() {
                drop(coroutine::spawn(move || echo(stream)));
            }
        });
    })?;
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

/// Serves HTTP with the server as it is set by default. The answer has `content-type`,
/// `content-length` and `date`.
pub(super) fn serve_http() -> io::Result<u16> {
    let runtime = runtime()?;
    let server = Server::bind("127.0.0.1:0")?;
    let port = server.local_addr()?.port();
    std::thread::Builder::new().spawn(move || {
        let app = App::new().get("/", |_: &mut Request| HELLO);
        // It ends only if it is told to.
        let _ = runtime.run(|| server.serve(app));
    })?;
    Ok(port)
}
