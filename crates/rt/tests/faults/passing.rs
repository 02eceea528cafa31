//! A second small program, of what passes things on: a file to a connection, descriptors through
//! sockets, datagrams in batches, a child's output and its end.
//!
//! Like the first it checks by itself that what comes is what was sent.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Mutex;
use std::time::Duration;

use ropewalk_rt::io::sendfile;
use ropewalk_rt::net::unix::{ReceivedFds, UnixDatagram, UnixStream};
use ropewalk_rt::net::{DatagramBatch, TcpListener, TcpStream, UdpSocket};
use ropewalk_rt::process::{Command, Stdio};
use ropewalk_rt::{DriverKind, scope, spawn};

use crate::workload::{Report, collect, on_a_runtime};

const BYTES: usize = 100_000;

/// Runs it to its end on a runtime of its own.
pub(crate) fn run(driver: DriverKind, workers: usize) -> Report {
    let jobs = [
        || sent_file(),
        || descriptors_over_a_stream(),
        || descriptors_in_a_datagram(),
        || batches(),
        || child(),
    ];
    on_a_runtime(driver, workers, jobs.len(), |report: &Mutex<Report>| {
        scope(|s| {
            for job in jobs {
                s.spawn(move || match job() {
                    Ok(()) => collect(report, (1, Ok(()))),
                    Err(error) => collect(report, (0, Err(error))),
                });
            }
        });
    })
}

fn pattern() -> Vec<u8> {
    (0..BYTES).map(|n| (n * 31 % 251) as u8).collect()
}

/// A file without a name that holds the pattern.
fn file() -> io::Result<std::fs::File> {
    use std::os::fd::FromRawFd;
    // SAFETY: the name ends with a zero; a fresh descriptor is ours.
    let mut file = unsafe {
        let fd = libc::memfd_create(c"pattern".as_ptr(), libc::MFD_CLOEXEC);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        std::fs::File::from_raw_fd(fd)
    };
    file.write_all(&pattern())?;
    Ok(file)
}

fn sent_file() -> io::Result<()> {
    let file = file()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let near = TcpStream::connect(listener.local_addr()?)?;
    let (mut far, _) = listener.accept()?;
    let sending = spawn(move || sendfile(&file, &near, 0, u64::MAX));
    let mut got = Vec::new();
    let read = far.read_to_end(&mut got);
    let sent = sending.join().expect("the sender ends")?;
    read?;
    assert_eq!(sent as usize, BYTES);
    assert!(got == pattern(), "what came is not what was sent");
    Ok(())
}

/// The end of a pipe that came works, and nobody else has it.
fn works(mut reader: io::PipeReader, mut received: ReceivedFds) -> io::Result<()> {
    assert!(!received.fds_truncated && received.fds.len() == 1);
    let end: OwnedFd = received.fds.pop().expect("one");
    std::fs::File::from(end).write_all(b"through")?;
    let mut text = String::new();
    reader.read_to_string(&mut text)?;
    assert_eq!(text, "through");
    Ok(())
}

fn descriptors_over_a_stream() -> io::Result<()> {
    let (one, other) = UnixStream::pair()?;
    let receiving = spawn(move || other.recv_fds(&mut [0; 10], 1));
    let (reader, writer) = io::pipe()?;
    let sent = one.send_fds(b"x", &[writer.as_fd()]);
    drop((one, writer));
    let received = receiving.join().expect("the receiver ends");
    sent?;
    works(reader, received?)
}

fn descriptors_in_a_datagram() -> io::Result<()> {
    let (one, other) = UnixDatagram::pair()?;
    let (reader, writer) = io::pipe()?;
    one.send_fds(b"x", &[writer.as_fd()])?;
    drop(writer);
    works(reader, other.recv_fds(&mut [0; 10], 1)?)
}

fn batches() -> io::Result<()> {
    let sender = UdpSocket::bind("127.0.0.1:0")?;
    let receiver = UdpSocket::bind("127.0.0.1:0")?;
    let to = receiver.local_addr()?;
    let texts = ["one", "", "three"];
    let mut sent = 0;
    while sent < texts.len() {
        sent += sender.send_batch(
            &texts[sent..]
                .iter()
                .map(|text| (text, to))
                .collect::<Vec<_>>(),
        )?;
    }
    let mut batch = DatagramBatch::new(2, 10);
    let mut got = Vec::new();
    while got.len() < texts.len() {
        receiver.recv_batch(&mut batch)?;
        got.extend(batch.iter().map(|(_, bytes)| bytes.to_vec()));
    }
    assert_eq!(got, texts.map(str::as_bytes));
    Ok(())
}

/// Its end is waited for in vain, then with its output; another is dropped.
fn child() -> io::Result<()> {
    let mut cat = Command::new("cat");
    let child = cat.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let early = child.handle().wait_timeout(Duration::from_millis(1));
    let early = early.expect_err("it waits for its input");
    assert_eq!(early.kind(), io::ErrorKind::TimedOut);
    let output = child.communicate(b"what goes in")?;
    assert!(output.status.success() && output.stdout == b"what goes in");
    drop(Command::new("true").spawn()?);
    Ok(())
}
