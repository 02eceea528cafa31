//! N8: an upper-case server for datagrams, and what datagrams are.
//!
//! A datagram arrives whole, cut to the buffer, or not at all. Its borders are kept; an empty one
//! is one like any other, and no end of anything. The client speaks first: before its first
//! datagram the server doesn't know that it exists. The second server answers each datagram in a
//! coroutine of its own, as Python's `ThreadingUDPServer` does in a thread of its own: a slow
//! answer holds no other up.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ropewalk::net::UdpSocket;
use ropewalk::{JoinHandle, coroutine};

/// The longest datagram that the servers take, in bytes.
pub const DATAGRAM_BYTES_MAX: usize = 1024;

/// What a server does with a datagram.
pub type Answer = fn(&[u8]) -> Vec<u8>;

/// The text in capitals; other bytes as they are.
pub fn upper(text: &[u8]) -> Vec<u8> {
    text.to_ascii_uppercase()
}

/// As [`upper`], but takes its time for what begins with "slow".
pub fn upper_at_leisure(text: &[u8]) -> Vec<u8> {
    if text.starts_with(b"slow") {
        coroutine::sleep(Duration::from_millis(200));
    }
    upper(text)
}

/// A server in a coroutine; it ends when this is dropped.
pub struct Server {
    addr: SocketAddr,
    coroutine: JoinHandle<io::Result<()>>,
}

impl Server {
    /// Answers datagrams one after the other.
    ///
    /// # Errors
    ///
    /// The socket's.
    pub fn in_turn(answer: Answer) -> io::Result<Server> {
        Server::start(move |socket, text, from| {
            socket.send_to(&answer(text), from)?;
            Ok(())
        })
    }

    /// Answers each datagram in a coroutine of its own.
    ///
    /// # Errors
    ///
    /// The socket's.
    pub fn coroutine_per_datagram(answer: Answer) -> io::Result<Server> {
        Server::start(move |socket, text, from| {
            let (socket, text) = (Arc::clone(socket), text.to_vec());
            coroutine::spawn(move || {
                if let Err(error) = socket.send_to(&answer(&text), from) {
                    eprintln!("answering {from}: {error}");
                }
            });
            Ok(())
        })
    }

    fn start<F>(handle: F) -> io::Result<Server>
    where
        F: Fn(&Arc<UdpSocket>, &[u8], SocketAddr) -> io::Result<()> + Send + 'static,
    {
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?);
        let addr = socket.local_addr()?;
        let coroutine = coroutine::spawn(move || {
            let mut buf = [0; DATAGRAM_BYTES_MAX];
            loop {
                let datagram = socket.recv_datagram(&mut buf)?;
                if datagram.is_truncated() {
                    let text = format!("{} bytes are too many", datagram.full_len);
                    socket.send_to(text.as_bytes(), datagram.from)?;
                } else {
                    handle(&socket, &buf[..datagram.len], datagram.from)?;
                }
            }
        });
        Ok(Server { addr, coroutine })
    }

    /// Where it can be reached.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.coroutine.cancel();
    }
}

/// A client's socket, which hears from that server only.
///
/// # Errors
///
/// The socket's.
pub fn client(server: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect(server)?;
    // An answer may be lost, even if hardly so on one machine.
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(socket)
}

/// Sends all questions, then receives as many answers, in the order in which they come.
///
/// # Errors
///
/// The socket's; `TimedOut` if an answer is missing.
pub fn ask(client: &UdpSocket, questions: &[&str]) -> io::Result<Vec<String>> {
    for question in questions {
        client.send(question.as_bytes())?;
    }
    let mut buf = [0; DATAGRAM_BYTES_MAX];
    let receive = |_: &&str| {
        let len = client.recv(&mut buf)?;
        Ok(String::from_utf8_lossy(&buf[..len]).into_owned())
    };
    questions.iter().map(receive).collect()
}

/// Asks, and takes the answer into a buffer of so many bytes; gives what came, and how long the
/// answer was.
///
/// # Errors
///
/// As [`ask`].
pub fn ask_with_room(
    client: &UdpSocket,
    question: &str,
    room: usize,
) -> io::Result<(String, usize)> {
    client.send(question.as_bytes())?;
    let mut buf = vec![0; room];
    let datagram = client.recv_datagram(&mut buf)?;
    let text = String::from_utf8_lossy(&buf[..datagram.len]).into_owned();
    Ok((text, datagram.full_len))
}

fn main() -> io::Result<()> {
    let server = Server::in_turn(upper)?;
    let socket = client(server.addr())?;
    // One after the other: UDP promises no order to those that are under way together.
    let questions = ["hello", "", "three sends", "three receives"];
    let answers = questions.map(|question| ask(&socket, &[question]));
    let answers: Vec<_> = answers.into_iter().collect::<Result<_, _>>()?;
    println!("borders, also of an empty one: {:?}", answers.concat());
    let (text, len) = ask_with_room(&socket, "cut off here", 7)?;
    println!("into a buffer of 7: {text:?} of {len} bytes");
    let long = "x".repeat(DATAGRAM_BYTES_MAX + 1);
    println!("too long: {:?}", ask(&socket, &[&long])?);

    let questions = ["slow one", "two", "three"];
    let server = Server::in_turn(upper_at_leisure)?;
    let mut answers = ask(&client(server.addr())?, &questions)?;
    answers[1..].sort();
    println!("one after the other: {answers:?}");
    let server = Server::coroutine_per_datagram(upper_at_leisure)?;
    let mut answers = ask(&client(server.addr())?, &questions)?;
    answers[..2].sort();
    println!("a coroutine for each: {answers:?}");
    Ok(())
}
