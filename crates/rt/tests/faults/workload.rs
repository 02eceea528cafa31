//! A small program that uses all of the runtime, and reports what went wrong.
//!
//! It checks by itself that nothing is lost: what an echo brings back is what was sent, in order
//! and from the beginning; each message of a channel arrives; each timer goes off.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use ropewalk_rt::cancel::Cancelled;
use ropewalk_rt::io::pipe;
use ropewalk_rt::net::{TcpListener, TcpStream};
use ropewalk_rt::sync::Barrier;
use ropewalk_rt::{DriverKind, Runtime, channel, coroutine, scope, spawn, thread};

/// Clients that are coroutines; one more is a thread.
const CLIENTS: usize = 2;
const ROUNDS: usize = 2;
const BYTES: usize = 3000;
/// How often a server bears that it can't accept.
const BORNE: usize = 5;

/// What one run came to.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Why the runtime didn't start, if it didn't.
    pub(crate) start: Option<io::Error>,
    /// Errors of operations.
    pub(crate) errors: Vec<io::Error>,
    /// Echoes that came back whole, and texts that came whole through a pipe.
    pub(crate) echoes: usize,
    /// How many of those there are if nothing goes wrong.
    pub(crate) due: usize,
}

impl Report {
    /// How many of them are due of [`run`].
    pub(crate) const ECHOES: usize = (CLIENTS + 1) * ROUNDS + 2;
}

/// Runs it to its end on a runtime of its own.
pub(crate) fn run(driver: DriverKind, workers: usize) -> Report {
    run_with_crowd(driver, workers, 1)
}

/// As [`run`], with as many coroutines that are all there at once, each on its stack.
pub(crate) fn run_with_crowd(driver: DriverKind, workers: usize, crowd: usize) -> Report {
    on_a_runtime(driver, workers, Report::ECHOES, |report| {
        scope(|s| {
            s.spawn(timers);
            s.spawn(messages);
            s.spawn(|| meet(crowd));
            s.spawn(|| network(report));
            s.spawn(|| collect(report, through_a_pipe(false)));
            s.spawn(|| collect(report, through_a_pipe(true)));
        });
    })
}

/// Runs `body`, of which so many echoes are due, on a runtime of its own to its end.
pub(crate) fn on_a_runtime(
    driver: DriverKind,
    workers: usize,
    due: usize,
    body: impl Fn(&Mutex<Report>) + Sync,
) -> Report {
    let built = Runtime::builder()
        .driver(driver)
        .workers(workers)
        .watch(None)
        .build();
    let runtime = match built {
        Ok(runtime) => runtime,
        Err(error) => {
            return Report {
                start: Some(error),
                due,
                ..Report::default()
            };
        }
    };
    let report = Mutex::new(Report {
        due,
        ..Report::default()
    });
    runtime.run(|| body(&report));
    if let Err(left) = runtime.shutdown(Duration::from_secs(120)) {
        panic!("left behind: {left}");
    }
    report.into_inner().expect("nobody panicked")
}

fn timers() {
    let sleepers: Vec<_> = (0..5u64)
        .map(|n| spawn(move || coroutine::sleep(Duration::from_micros(100 * n))))
        .collect();
    for sleeper in sleepers {
        sleeper.join().expect("a timer goes off");
    }
}

fn meet(crowd: usize) {
    let barrier = Barrier::new(crowd);
    scope(|s| {
        for _ in 0..crowd {
            s.spawn(|| barrier.wait());
        }
    });
}

fn messages() {
    let (sender, receiver) = channel::bounded(1);
    let producer = spawn(move || {
        for n in 0..20u32 {
            sender.send(n).expect("a receiver is there");
        }
    });
    assert!(receiver.iter().eq(0..20), "a message was lost");
    producer.join().expect("the producer ends");
}

fn network(report: &Mutex<Report>) {
    let note = |error| report.lock().unwrap().errors.push(error);
    let listener = match TcpListener::bind("127.0.0.1:0") {
        Ok(listener) => listener,
        Err(error) => return note(error),
    };
    let addr = listener.local_addr().expect("a bound socket");
    scope(|s| {
        let server = s.spawn(move || {
            let mut borne = 0;
            while borne < BORNE {
                match listener.accept() {
                    Ok((stream, _)) => drop(s.spawn(move || note_error(report, serve(stream)))),
                    Err(error) if is_cancelled(&error) => break,
                    Err(error) => {
                        borne += 1;
                        note(error);
                    }
                }
            }
        });
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| s.spawn(move || client(addr, n)))
            .collect();
        let outside = thread::spawn(move || client(addr, CLIENTS));
        for client in clients {
            collect(report, client.join().expect("a client ends"));
        }
        collect(report, outside.join().expect("a client ends"));
        server.cancel();
    });
}

fn is_cancelled(error: &io::Error) -> bool {
    let inner = error.get_ref();
    inner.is_some_and(|inner| inner.is::<Cancelled>())
}

fn note_error(report: &Mutex<Report>, result: io::Result<()>) {
    if let Err(error) = result {
        report.lock().unwrap().errors.push(error);
    }
}

pub(crate) fn collect(report: &Mutex<Report>, (echoes, result): (usize, io::Result<()>)) {
    report.lock().unwrap().echoes += echoes;
    note_error(report, result);
}

/// Sends a text through a pipe to a coroutine, from a coroutine or a thread.
fn through_a_pipe(by_thread: bool) -> (usize, io::Result<()>) {
    let sent: Vec<u8> = (0..BYTES).map(|n| (n * 5) as u8).collect();
    let (mut reader, mut writer) = match pipe() {
        Ok(ends) => ends,
        Err(error) => return (0, Err(error)),
    };
    let text = sent.clone();
    let write = move || {
        for piece in text.chunks(BYTES / 3) {
            writer.write_all(piece)?;
            coroutine::yield_now();
        }
        Ok(())
    };
    let writing = if by_thread {
        thread::spawn(write)
    } else {
        spawn(write)
    };
    let mut received = Vec::new();
    let read = reader.read_to_end(&mut received).map(drop);
    drop(reader);
    assert!(
        sent.starts_with(&received),
        "what came is not what was sent"
    );
    let written = writing.join().expect("the writer ends");
    (usize::from(received == sent), read.and(written))
}

/// Sends back what comes, in one piece or in two.
fn serve(mut stream: TcpStream) -> io::Result<()> {
    let mut buf = [0; BYTES];
    loop {
        let (front, back) = buf.split_at_mut(BYTES / 2);
        let bufs = &mut [IoSliceMut::new(front), IoSliceMut::new(back)];
        let received = match stream.read_vectored(bufs)? {
            0 => return Ok(()),
            received => received,
        };
        let mut left = &buf[..received];
        while !left.is_empty() {
            let (front, back) = left.split_at(left.len() / 2);
            let sent = stream.write_vectored(&[IoSlice::new(front), IoSlice::new(back)])?;
            left = &left[sent..];
        }
    }
}

/// Sends and receives; gives how many echoes were whole.
fn client(addr: SocketAddr, number: usize) -> (usize, io::Result<()>) {
    let mut echoes = 0;
    let result = (|| {
        let mut stream = TcpStream::connect(addr)?;
        for round in 0..ROUNDS {
            let sent: Vec<u8> = (0..BYTES).map(|n| (n * 7 + round + number) as u8).collect();
            stream.write_all(&sent)?;
            let mut received = Vec::new();
            while received.len() < BYTES {
                let mut buf = [0; 1024];
                match stream.read(&mut buf)? {
                    0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                    n => received.extend_from_slice(&buf[..n]),
                }
                assert!(sent.starts_with(&received), "an echo is not what was sent");
            }
            echoes += 1;
        }
        Ok(())
    })();
    (echoes, result)
}
