//! What is left when all is over: nothing.
//!
//! Each test counts what its process has, so each runs in a process of its own.

use std::fmt;
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use ropewalk_rt::net::{TcpListener, TcpStream};
use ropewalk_rt::{Runtime, coroutine};

use crate::process::well_alone;
use crate::stage::{PATIENCE, close, drivers, runtime};

/// What a process has and could lose.
#[derive(PartialEq, Eq)]
struct Holdings {
    descriptors: usize,
    threads: usize,
    stacks: usize,
    coroutines: usize,
}

impl Holdings {
    fn count() -> Holdings {
        let entries = |folder| {
            std::fs::read_dir(folder)
                .expect("a folder of /proc")
                .count()
        };
        Holdings {
            descriptors: entries("/proc/self/fd"),
            threads: entries("/proc/self/task"),
            stacks: ropewalk_kernel::stack::counts().in_use,
            coroutines: coroutine::count(),
        }
    }

    /// Waits until the process has no more than at this count: a thread that was joined takes
    /// a moment to leave `/proc`.
    fn returned(&self) {
        let begun = Instant::now();
        loop {
            let mut now = Holdings::count();
            // Also at this count.
            now.threads = now.threads.max(self.threads);
            if now == *self {
                return;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "began with {self}, left with {now}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl fmt::Display for Holdings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Holdings {
            descriptors,
            threads,
            stacks,
            coroutines,
        } = self;
        write!(
            f,
            "{descriptors} descriptors, {threads} threads, {stacks} stacks, {coroutines} coroutines"
        )
    }
}

/// Serves `clients` connections, some of which end early, time out or are reset.
fn serve(runtime: &Runtime, clients: u32) {
    runtime.run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        coroutine::scope(|s| {
            s.spawn(|| {
                for _ in 0..clients {
                    let (mut stream, _) = listener.accept().unwrap();
                    s.spawn(move || {
                        let mut buf = [0; 64];
                        while let Ok(n) = stream.read(&mut buf) {
                            if n == 0 || stream.write_all(&buf[..n]).is_err() {
                                break;
                            }
                        }
                    });
                }
            });
            for n in 0..clients {
                s.spawn(move || {
                    let mut stream = TcpStream::connect(addr).unwrap();
                    stream
                        .set_read_timeout(Some(Duration::from_micros(100)))
                        .unwrap();
                    if n % 3 == 0 {
                        let _ = stream.read(&mut [0; 8]);
                    }
                    stream.write_all(b"ping").unwrap();
                    if n % 5 == 0 {
                        stream.set_linger(Some(Duration::ZERO)).unwrap();
                        return;
                    }
                    stream.set_read_timeout(None).unwrap();
                    stream.read_exact(&mut [0; 4]).unwrap();
                });
            }
        });
    });
}

// A thousand connections on ten runtimes.
#[test]
fn a_thousand_connections_leave_nothing() {
    well_alone(&[], || {
        for driver in drivers() {
            for workers in [1, 2] {
                // What is made once and kept is not a leak.
                let first = runtime(driver, workers);
                serve(&first, 10);
                close(first);
                let before = Holdings::count();
                for _ in 0..10 {
                    let runtime = runtime(driver, workers);
                    serve(&runtime, 100);
                    close(runtime);
                }
                before.returned();
            }
        }
    });
}

// Runtimes that are dropped rather than shut down, with nobody left.
#[test]
fn dropped_runtimes_leave_nothing() {
    well_alone(&[], || {
        for driver in drivers() {
            drop(runtime(driver, 2));
            let before = Holdings::count();
            for _ in 0..50 {
                let runtime = runtime(driver, 2);
                runtime.run(|| coroutine::spawn(|| ()).join().unwrap());
                drop(runtime);
            }
            before.returned();
        }
    });
}

/// A stream that the driver of `runtime` knows, and its other end.
fn known_pair(runtime: &Runtime) -> (TcpStream, TcpStream) {
    runtime.run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        server
            .set_read_timeout(Some(Duration::from_micros(10)))
            .unwrap();
        assert!(server.read(&mut [0; 1]).is_err());
        (client, server)
    })
}

// A stream that goes from runtime to runtime takes nothing of the old ones with it.
#[test]
fn a_wandering_stream_leaves_nothing() {
    well_alone(&[], || {
        for driver in drivers() {
            drop(runtime(driver, 1));
            let before = Holdings::count();
            let first = runtime(driver, 1);
            let (client, mut server) = known_pair(&first);
            close(first);
            for _ in 0..10 {
                let next = runtime(driver, 1);
                server = next.run(move || {
                    assert!(server.read(&mut [0; 1]).is_err());
                    server
                });
                close(next);
            }
            drop((client, server));
            before.returned();
        }
    });
}

// Streams are dropped by another thread while the runtime that knew them ends.
#[test]
fn streams_dropped_while_their_runtime_ends_leave_nothing() {
    well_alone(&[], || {
        for driver in drivers() {
            drop(runtime(driver, 1));
            let before = Holdings::count();
            for round in 0..200 {
                let runtime = runtime(driver, 1);
                let streams: Vec<_> = (0..3).map(|_| known_pair(&runtime)).collect();
                let dropper = std::thread::spawn(move || {
                    for _ in 0..round % 20 * 50 {
                        std::hint::spin_loop();
                    }
                    drop(streams);
                });
                close(runtime);
                dropper.join().unwrap();
            }
            before.returned();
        }
    });
}

// A hundred thousand coroutines, come and gone: their stacks are free again.
#[test]
fn a_crowd_leaves_nothing() {
    well_alone(&[], || {
        for driver in drivers() {
            let runtime = runtime(driver, 2);
            let before = Holdings::count();
            for _ in 0..10 {
                runtime.run(|| {
                    coroutine::scope(|s| {
                        for n in 0..10_000u64 {
                            s.spawn(move || coroutine::sleep(Duration::from_micros(n % 1_000)));
                        }
                    });
                });
            }
            assert_eq!(Holdings::count().coroutines, before.coroutines);
            assert_eq!(runtime.live(), 0);
            close(runtime);
            let now = Holdings::count();
            assert_eq!(now.stacks, 0, "{now}");
        }
    });
}
