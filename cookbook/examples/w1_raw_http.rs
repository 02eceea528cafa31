//! W1, known as a raw HTTP/1.0 GET over a socket or an asyncio stream, to several hosts at
//! once.
//!
//! The request is written and the answer read to its end by hand, on a `TcpStream`. One
//! coroutine a host: the requests are out at the same time, which the hosts here prove by
//! answering only once each of them has been asked.

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use ropewalk::JoinHandle;
use ropewalk::coroutine;
use ropewalk::net::{TcpListener, TcpStream};
use ropewalk::sync::{Condvar, Mutex};

/// An answer, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status, such as 200.
    pub status: u16,
    /// The header lines, as name and value.
    pub headers: Vec<(String, String)>,
    /// The body, which in HTTP/1.0 may end with the connection.
    pub body: String,
}

impl Answer {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// Fetches `path` from `addr`.
///
/// # Errors
///
/// The system's, and `InvalidData` for what is no answer.
pub fn fetch(addr: SocketAddr, path: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(addr)?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {addr}\r\n\r\n")?;
    read_answer(BufReader::new(stream))
}

fn read_answer(mut stream: impl BufRead) -> io::Result<Answer> {
    let broken = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_string());
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let version = words.next().unwrap_or_default();
    if !version.starts_with("HTTP/1.") {
        return Err(broken("not HTTP"));
    }
    let status = words.next().and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| broken("no status"))?;
    let mut headers = Vec::new();
    loop {
        line.clear();
        if stream.read_line(&mut line)? == 0 {
            return Err(broken("it ends within the headers"));
        }
        if line.trim_end().is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| broken("no colon"))?;
        headers.push((name.to_string(), value.trim().to_string()));
    }
    let mut body = String::new();
    stream.read_to_string(&mut body)?;
    Ok(Answer {
        status,
        headers,
        body,
    })
}

/// Fetches `path` from all of them, at the same time; the answers come in the hosts' order.
pub fn fetch_all(hosts: &[SocketAddr], path: &str) -> Vec<io::Result<Answer>> {
    coroutine::scope(|s| {
        let fetches: Vec<_> = hosts
            .iter()
            .map(|&host| s.spawn(move || fetch(host, path)))
            .collect();
        let answers = fetches.into_iter().map(|fetch| fetch.join());
        answers.map(|answer| answer.expect("no panic")).collect()
    })
}

/// Where the hosts wait until all of them have been asked.
#[derive(Default)]
struct Asked {
    count: Mutex<usize>,
    more: Condvar,
}

impl Asked {
    /// Counts one, and waits until there are `all` of them.
    fn meet(&self, all: usize) {
        let mut count = self.count.lock();
        *count += 1;
        self.more.notify_all();
        self.more.wait_while(&mut count, |count| *count < all);
    }
}

/// Starts `count` hosts, which answer one request each, and all of them only once each has
/// been asked. One after the other would wait for ever.
///
/// # Errors
///
/// The system's.
pub fn start_hosts(count: usize) -> io::Result<Vec<(SocketAddr, JoinHandle<io::Result<()>>)>> {
    let asked = Arc::new(Asked::default());
    let host = |number| {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let asked = Arc::clone(&asked);
        let addr = listener.local_addr()?;
        let task = coroutine::spawn(move || {
            let (stream, _) = listener.accept()?;
            let request = read_request(&stream)?;
            asked.meet(count);
            let body = format!("host {number} was sent {request:?}\n");
            let mut stream = &stream;
            write!(
                stream,
                "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nX-Host: {number}\r\n\r\n{body}"
            )
        });
        Ok((addr, task))
    };
    (1..=count).map(host).collect()
}

/// Reads a request to the empty line, and gives its first line.
fn read_request(stream: &TcpStream) -> io::Result<String> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    Ok(first)
}

fn main() -> io::Result<()> {
    let hosts = start_hosts(5)?;
    let (addrs, tasks): (Vec<_>, Vec<_>) = hosts.into_iter().unzip();
    for answer in fetch_all(&addrs, "/index.html") {
        let answer = answer?;
        print!("{} {}", answer.status, answer.body);
    }
    for task in tasks {
        task.join().expect("no host panics")?;
    }
    println!("{} hosts fetched at once", addrs.len());
    Ok(())
}
