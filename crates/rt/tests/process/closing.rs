//! Whatever a runtime's coroutines wait for in the system: closing the runtime ends it.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ropewalk_rt::Runtime;
use ropewalk_rt::fs::File;
use ropewalk_rt::future::block_on_cancellable;
use ropewalk_rt::io::{copy_bidirectional, pipe, sendfile};
use ropewalk_rt::net::server::{TcpServer, UdpServer};
use ropewalk_rt::net::unix::{UnixDatagram, UnixStream};
use ropewalk_rt::net::{TcpListener, TcpStream, UdpSocket};
use ropewalk_rt::process::Command;
use ropewalk_rt::signal::{SIGUSR2, Signals};

use crate::stage::{PATIENCE, drivers, runtime, until, worker_counts};

/// A FIFO; its file goes with it.
struct Fifo(PathBuf);

impl Fifo {
    fn new() -> Fifo {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("ropewalk-closing-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        // What an earlier process of this number has left.
        let _ = std::fs::remove_file(&path);
        let c_path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: a path that ends with a zero.
        assert_eq!(unsafe { libc::mkfifo(c_path.as_ptr(), 0o600) }, 0);
        Fifo(path)
    }
}

impl Drop for Fifo {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A stream into which nothing fits any more, and its other end.
fn full() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (far, _) = listener.accept().unwrap();
    near.set_write_timeout(Some(Duration::from_millis(3)))
        .unwrap();
    while (&near).write_all(&[0; 100_000]).is_ok() {}
    near.set_write_timeout(None).unwrap();
    (near, far)
}

fn ended<T>(result: io::Result<T>) {
    assert!(result.is_err(), "nothing came, and nobody went");
}

type Waiter = Box<dyn FnOnce() + Send>;

/// What waits until the runtime closes, with the other ends of what it waits for.
fn waiters(fifo: &Fifo) -> (Vec<Waiter>, impl Sized) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (near, far) = full();
    let (full_file, far_file) = full();
    let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (unix, other_unix) = UnixDatagram::pair().unwrap();
    let (stream, other_stream) = UnixStream::pair().unwrap();
    let (reader, writer) = pipe().unwrap();
    let (fed, mut feeding) = pipe().unwrap();
    let (a, b) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
    let both_ends = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&fifo.0);
    let both_ends = File::from(both_ends.unwrap());
    let tcp_server = TcpServer::bind("127.0.0.1:0", |_: TcpStream, _| ()).unwrap();
    let udp_server = UdpServer::bind("127.0.0.1:0", |_| ()).unwrap();
    let mut sleep = Command::new("sleep");
    let sleeper = sleep.arg("1000").kill_on_drop(true).spawn().unwrap();
    let signals = Signals::new([SIGUSR2]).unwrap();
    let waiters: Vec<Waiter> = vec![
        Box::new(move || ended(listener.accept())),
        // How much fits is the system's to say: more, once what is on its way has arrived.
        Box::new(move || while (&near).write_all(&[0; 1 << 16]).is_ok() {}),
        Box::new(move || ended(sendfile(&file, &full_file, 0, u64::MAX))),
        Box::new(move || ended(udp.recv_from(&mut [0; 10]))),
        Box::new(move || ended(unix.recv(&mut [0; 10]))),
        Box::new(move || ended(stream.recv_fds(&mut [0; 10], 1))),
        Box::new(move || ended((&reader).read(&mut [0; 10]))),
        Box::new(move || ended(feeding.write_all(&vec![0; 1 << 20]))),
        Box::new(move || ended(copy_bidirectional(&a.0, &b.0))),
        Box::new(move || ended((&both_ends).read(&mut [0; 10]))),
        Box::new(move || ended(tcp_server.serve_forever())),
        Box::new(move || ended(udp_server.serve_forever())),
        Box::new(move || ended(sleeper.handle().wait())),
        Box::new(move || ended(Command::new("sleep").arg("1000").output())),
        Box::new(move || assert!(signals.recv().is_err())),
        Box::new(|| assert!(block_on_cancellable(std::future::pending::<()>()).is_err())),
    ];
    let ends = (
        far,
        far_file,
        other_unix,
        other_stream,
        writer,
        fed,
        a.1,
        b.1,
    );
    (waiters, ends)
}

#[test]
fn every_wait_ends_when_the_runtime_closes() {
    with_closed(|runtime, handles| {
        until(|| {
            let tasks = runtime.list();
            let asleep = |waits| !["running", "runnable"].contains(&waits);
            tasks.len() >= handles
                && tasks
                    .iter()
                    .all(|task| task.is_started() && asleep(task.waits_for()))
        });
    });
}

// ... be it begun or not.
#[test]
fn no_wait_begins_when_the_runtime_closes() {
    with_closed(|_, _| ());
}

/// Closes a runtime of each kind with all the waiters, once `begun` says so.
fn with_closed(begun: fn(&Runtime, usize)) {
    for driver in drivers() {
        for workers in worker_counts() {
            let fifo = Fifo::new();
            let (waiters, ends) = waiters(&fifo);
            let runtime = runtime(driver, workers);
            let handles: Vec<_> = waiters.into_iter().map(|one| runtime.spawn(one)).collect();
            begun(&runtime, handles.len());
            if let Err(left) = runtime.close(PATIENCE) {
                panic!("left behind: {left}");
            }
            for handle in handles {
                match handle.join() {
                    Ok(()) => {}
                    Err(error) => assert!(error.is_cancelled() || error.is_shutdown(), "{error}"),
                }
            }
            drop(ends);
        }
    }
}
