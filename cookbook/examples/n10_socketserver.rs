//! N10, known as `socketserver`: `TCPServer`, `UDPServer`, `serve_forever`, `shutdown`.
//!
//! Handlers are closures, or types where they have something to keep. Each connection has a
//! coroutine of its own, as `ThreadingMixIn` gives it a thread; so many at once, and no more. A
//! shutdown lets handlers end, and says who had to be cancelled.

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ropewalk::net::server::{Request, ServerHandle, TcpHandler, TcpServer, UdpHandler, UdpServer};
use ropewalk::net::{TcpStream, UdpSocket};
use ropewalk::time::Duration;
use ropewalk::{JoinHandle, coroutine};

/// A running server.
pub struct Running {
    /// The address it listens at.
    pub addr: SocketAddr,
    /// What ends it.
    pub handle: ServerHandle,
    serving: JoinHandle<io::Result<()>>,
}

impl Running {
    /// Waits for the end of `serve_forever`.
    ///
    /// # Errors
    ///
    /// The server's.
    pub fn join(self) -> io::Result<()> {
        self.serving.join().expect("it doesn't panic")
    }
}

/// As a `StreamRequestHandler` with state of its own: counts the lines of all its clients.
#[derive(Default)]
pub struct Upper {
    /// How many lines there were.
    pub lines: Arc<AtomicUsize>,
}

impl TcpHandler for Upper {
    fn handle(&self, stream: TcpStream, _peer: SocketAddr) -> io::Result<()> {
        for line in BufReader::new(&stream).lines() {
            self.lines.fetch_add(1, Ordering::SeqCst);
            writeln!(&stream, "{}", line?.to_uppercase())?;
        }
        Ok(())
    }
}

/// Starts a TCP server with a limit on its connections.
///
/// # Errors
///
/// The system's.
pub fn start_tcp(handler: impl TcpHandler, most: usize) -> io::Result<Running> {
    let server = TcpServer::bind("127.0.0.1:0", handler)?.max_connections(most);
    Ok(Running {
        addr: server.local_addr()?,
        handle: server.handle(),
        serving: coroutine::spawn(move || server.serve_forever()),
    })
}

/// Starts a UDP server.
///
/// # Errors
///
/// The system's.
pub fn start_udp(handler: impl UdpHandler) -> io::Result<Running> {
    let server = UdpServer::bind("127.0.0.1:0", handler)?;
    Ok(Running {
        addr: server.local_addr()?,
        handle: server.handle(),
        serving: coroutine::spawn(move || server.serve_forever()),
    })
}

/// A client that asks line by line.
pub struct Client(BufReader<TcpStream>);

impl Client {
    /// Connects.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn connect(addr: SocketAddr) -> io::Result<Client> {
        TcpStream::connect(addr).map(|stream| Client(BufReader::new(stream)))
    }

    /// Sends a line and waits for the answer; an empty one is the end.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn ask(&mut self, line: &str) -> io::Result<String> {
        writeln!(self.0.get_mut(), "{line}")?;
        let mut answer = String::new();
        self.0.read_line(&mut answer)?;
        Ok(answer.trim_end().to_string())
    }
}

/// Asks over UDP; a datagram may be lost, so it asks again.
///
/// # Errors
///
/// The system's; `TimedOut` if no answer came to five questions.
pub fn ask_udp(addr: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut buf = [0; 1500];
    for _ in 0..5 {
        socket.send_to(question, addr)?;
        match socket.recv_from(&mut buf) {
            Ok((len, from)) if from == addr => return Ok(buf[..len].to_vec()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// The UDP server's handler, a closure: upper case.
///
/// # Errors
///
/// The system's.
pub fn upper(request: Request) -> io::Result<()> {
    request
        .reply(&request.data().to_ascii_uppercase())
        .map(drop)
}

#[ropewalk::main]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let handler = Upper::default();
    let lines = Arc::clone(&handler.lines);
    let server = start_tcp(handler, 2)?;
    let mut first = Client::connect(server.addr)?;
    let mut second = Client::connect(server.addr)?;
    println!("{} {}", first.ask("one")?, second.ask("two")?);
    // The third is connected, and waits to be accepted.
    let mut third = Client::connect(server.addr)?;
    let waiting = coroutine::spawn(move || (third.ask("three"), third));
    println!("served at once: {}", server.handle.stats().open);
    drop(first);
    let (answer, third) = waiting.join()?;
    println!("{}, after the first had gone", answer?);
    println!("lines: {}", lines.load(Ordering::SeqCst));

    // Those two stay, and say nothing: they are waited for, and then cancelled.
    let error = server
        .handle
        .shutdown(Duration::from_millis(50))
        .unwrap_err();
    println!(
        "cancelled: {}, not ended: {}",
        error.cancelled(),
        error.left().len()
    );
    println!("stats: {:?}", server.handle.stats());
    server.join()?;
    drop((second, third));

    let server = start_udp(upper)?;
    let answer = ask_udp(server.addr, b"a datagram")?;
    println!("udp: {}", String::from_utf8(answer)?);
    server.handle.shutdown(Duration::from_secs(5))?;
    server.join()?;
    Ok(())
}
