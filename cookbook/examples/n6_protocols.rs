//! N6, known as asyncio's streams (`drain`), its transports and protocols, and its datagrams.
//!
//! A stream here is `Read` and `Write`, and needs no `drain`: a write that finds no room waits.
//! Where code comes as callbacks there are protocols, told of `connected`, `data`, `eof` and
//! `lost`, and of `pause` and `resume` when the peer is slower than they are: for TCP, for the
//! pipes of a child process, and for UDP.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use ropewalk::coroutine;
use ropewalk::net::protocol::{
    self, DatagramProtocol, Joined, Protocol, Transport, UdpTransport, run_udp,
};
use ropewalk::net::server::TcpServer;
use ropewalk::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use ropewalk::process::{Command, Stdio};
use ropewalk::sync::Mutex;
use ropewalk::time::Duration;

/// Sends `len` bytes to a peer that reads only when told to; gives how many the writer had
/// written before, and how many arrived in the end. Nothing piles up in between.
///
/// # Errors
///
/// The system's.
pub fn write_waits_for_room(len: usize) -> io::Result<(usize, usize)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut writer = TcpStream::connect(listener.local_addr()?)?;
    let (mut reader, _) = listener.accept()?;
    let written = Arc::new(Mutex::new(0));
    let writing = coroutine::spawn({
        let written = Arc::clone(&written);
        move || -> io::Result<()> {
            while *written.lock() < len {
                // With asyncio: `writer.write(chunk); await writer.drain()`.
                writer.write_all(&[7; 64 * 1024])?;
                *written.lock() += 64 * 1024;
            }
            Ok(())
        }
    });
    // It stands still when the system has no more room.
    let mut before = 0;
    loop {
        coroutine::sleep(Duration::from_millis(20));
        let now = *written.lock();
        if now == before && now > 0 {
            break;
        }
        before = now;
    }
    let arrived = io::copy(&mut reader, &mut io::sink())?;
    writing.join().expect("it doesn't panic")?;
    Ok((before, arrived as usize))
}

/// A protocol that echoes, and writes down what it is told.
#[derive(Clone, Default)]
pub struct Echo {
    log: Arc<Mutex<Vec<String>>>,
}

impl Echo {
    /// What it was told.
    pub fn log(&self) -> Vec<String> {
        self.log.lock().clone()
    }

    fn note(&self, what: String) {
        self.log.lock().push(what);
    }
}

impl Protocol for Echo {
    fn connected(&mut self, _transport: &Transport) {
        self.note("connected".into());
    }

    fn data(&mut self, transport: &Transport, data: &[u8]) {
        self.note(format!("data: {}", String::from_utf8_lossy(data)));
        transport.write(data);
    }

    fn eof(&mut self, transport: &Transport) -> bool {
        self.note("eof".into());
        transport.write(b", and goodbye");
        false
    }

    fn lost(&mut self, error: Option<&io::Error>) {
        self.note(format!("lost: {:?}", error.map(io::Error::kind)));
    }
}

/// One client of an echo server; gives what it received, and what the protocol was told.
///
/// # Errors
///
/// The system's.
pub fn over_tcp() -> io::Result<(String, Vec<String>)> {
    let echo = Echo::default();
    let factory = echo.clone();
    let server = TcpServer::bind("127.0.0.1:0", protocol::serve(move || factory.clone()))?;
    let (addr, handle) = (server.local_addr()?, server.handle());
    let serving = coroutine::spawn(move || server.serve_forever());

    let mut client = TcpStream::connect(addr)?;
    client.write_all(b"hello")?;
    client.shutdown(Shutdown::Write)?;
    let mut text = String::new();
    client.read_to_string(&mut text)?;

    handle
        .shutdown(Duration::from_secs(10))
        .map_err(io::Error::other)?;
    serving.join().expect("it doesn't panic")?;
    Ok((text, echo.log()))
}

/// Asks a child process by its pipes, and collects its answer.
#[derive(Default)]
struct Asks {
    answer: Vec<u8>,
}

impl Protocol for Asks {
    fn connected(&mut self, transport: &Transport) {
        for word in ["pear\n", "apple\n", "fig\n"] {
            transport.write(word.as_bytes());
        }
        // The child sees the end of its input.
        transport.end();
    }

    fn data(&mut self, _transport: &Transport, data: &[u8]) {
        self.answer.extend_from_slice(data);
    }
}

/// Has `sort` sort three words.
///
/// # Errors
///
/// The system's, if there is no such program.
pub fn over_pipes() -> Result<String, Box<dyn std::error::Error>> {
    let mut child = Command::new("sort")
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let pipes = Joined::new(
        child.stdout.take().expect("piped"),
        child.stdin.take().expect("piped"),
    );
    // Until both pipes are at their end; it could also be spawned, and written to meanwhile.
    let asks = protocol::run(pipes, Asks::default());
    child.wait()?;
    Ok(String::from_utf8(asks.answer)?)
}

/// Writes far more than the peer takes, as fast as it may: until it is told to pause.
struct Source {
    paused: Arc<Mutex<Vec<&'static str>>>,
}

impl Protocol for Source {
    fn connected(&mut self, transport: &Transport) {
        for _ in 0..256 {
            transport.write(&[1; 64 * 1024]);
        }
        transport.close();
    }

    fn data(&mut self, _transport: &Transport, _data: &[u8]) {}

    fn pause(&mut self) {
        self.paused.lock().push("pause");
    }

    fn resume(&mut self) {
        self.paused.lock().push("resume");
    }
}

/// What a protocol that writes too much is told.
///
/// # Errors
///
/// The system's.
pub fn flow_control() -> io::Result<Vec<&'static str>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut reader = TcpStream::connect(listener.local_addr()?)?;
    let paused = Arc::new(Mutex::new(Vec::new()));
    let source = Source {
        paused: Arc::clone(&paused),
    };
    let (_transport, running) = protocol::spawn(listener.accept()?.0, source);
    io::copy(&mut reader, &mut io::sink())?;
    running.join().expect("it doesn't panic");
    let mut told = paused.lock().clone();
    // It may be told so many times.
    told.truncate(2);
    Ok(told)
}

/// A protocol of datagrams: upper case.
struct Upper;

impl DatagramProtocol for Upper {
    fn datagram(&mut self, transport: &UdpTransport, data: &[u8], from: SocketAddr) {
        if let Err(error) = transport.send_to(&data.to_ascii_uppercase(), from) {
            eprintln!("not sent to {from}: {error}");
        }
    }
}

/// One question over UDP.
///
/// # Errors
///
/// The system's; `TimedOut` if no answer came to five questions.
pub fn over_udp() -> io::Result<String> {
    let server = UdpTransport::new(UdpSocket::bind("127.0.0.1:0")?);
    let addr = server.socket().local_addr()?;
    let running = coroutine::spawn({
        let server = server.clone();
        move || {
            run_udp(&server, Upper);
        }
    });
    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut buf = [0; 100];
    let mut answer = Err(io::ErrorKind::TimedOut.into());
    for _ in 0..5 {
        client.send_to(b"a datagram", addr)?;
        answer = client.recv(&mut buf);
        if answer.is_ok() {
            break;
        }
    }
    server.close();
    running.join().expect("it doesn't panic");
    Ok(String::from_utf8_lossy(&buf[..answer?]).into_owned())
}

#[ropewalk::main]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let len = 32 << 20;
    let (before, arrived) = write_waits_for_room(len)?;
    println!("a write waits for room: {}", before < len && arrived >= len);

    let (text, log) = over_tcp()?;
    println!("over tcp: {text:?}");
    println!("told of {}", log.join(" | "));
    println!("told to {}", flow_control()?.join(", "));
    println!("by pipes: {:?}", over_pipes()?);
    println!("over udp: {:?}", over_udp()?);
    Ok(())
}
