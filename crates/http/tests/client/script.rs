//! A server that does what a test says, byte by byte: the only way to see stale connections, hostile
//! answers and half-sent bodies.
//!
//! It runs on plain threads with std's sockets, so that nothing but the client is on trial.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Runs a test from a plain thread and inside runtimes of one and of two workers.
pub(crate) fn each_way(test: impl Fn() + Send + Sync) {
    test();
    for workers in [1, 2] {
        let runtime = ropewalk_rt::Runtime::builder()
            .workers(workers)
            .build()
            .unwrap();
        runtime.run(&test);
        // Nothing may be left behind: neither a lookup nor a call that nobody waits for.
        runtime.shutdown(Duration::from_secs(60)).unwrap();
    }
}

/// A scripted server; dropped, it fails the test if one of its scripts panicked.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    accepted: Arc<AtomicUsize>,
    panics: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicUsize>,
}

/// One accepted connection, seen from the server.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

/// A request as it came in.
#[derive(Debug)]
pub(crate) struct Request {
    /// Request line and headers, without the empty line.
    pub(crate) head: String,
    /// The body, with chunks taken apart.
    pub(crate) body: Vec<u8>,
}

impl Server {
    /// Runs `script(n, peer)` on a thread for the n-th connection (from 0).
    pub(crate) fn start(script: impl Fn(usize, &mut Peer) + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let panics = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicUsize::new(0));
        let script = Arc::new(script);
        let (count, failures, stopped) = (
            Arc::clone(&accepted),
            Arc::clone(&panics),
            Arc::clone(&stop),
        );
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) > 0 {
                    return;
                }
                let n = count.fetch_add(1, Ordering::SeqCst);
                let mut peer = Peer {
                    stream: stream.unwrap(),
                    buffer: Vec::new(),
                };
                let (script, failures) = (Arc::clone(&script), Arc::clone(&failures));
                thread::spawn(move || {
                    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| script(n, &mut peer))) {
                        let text = payload
                            .downcast_ref::<String>()
                            .cloned()
                            .or_else(|| payload.downcast_ref::<&str>().map(|s| s.to_string()));
                        failures.lock().unwrap().push(text.unwrap_or_default());
                    }
                });
            }
        });
        Server {
            addr,
            accepted,
            panics,
            stop,
        }
    }

    /// Answers every request of every connection with the same bytes.
    pub(crate) fn always(answer: impl Into<Vec<u8>>) -> Server {
        let answer = answer.into();
        Server::start(move |_, peer| {
            while peer.request().is_some() {
                peer.send(&answer);
            }
        })
    }

    /// Answers one request a connection with these bytes, then closes.
    pub(crate) fn once(answer: impl Into<Vec<u8>>) -> Server {
        let answer = answer.into();
        Server::start(move |_, peer| {
            if peer.request().is_some() {
                peer.send(&answer);
            }
        })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    /// How many connections were accepted so far.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(1, Ordering::SeqCst);
        // Wakes the accept.
        let _ = TcpStream::connect(self.addr);
        let panics = self.panics.lock().unwrap();
        if !thread::panicking() {
            assert!(panics.is_empty(), "the script failed: {panics:?}");
        }
    }
}

impl Peer {
    /// Sends bytes; a client that has gone is no failure of the script.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Reads the next request whole; `None` if the client closed instead.
    pub(crate) fn request(&mut self) -> Option<Request> {
        let head = self.head()?;
        let body = self.body(&head);
        Some(Request { head, body })
    }

    /// Reads up to the empty line.
    pub(crate) fn head(&mut self) -> Option<String> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                break at;
            }
            if self.fill() == 0 {
                assert!(self.buffer.is_empty(), "half a head: {:?}", self.buffer);
                return None;
            }
        };
        let head = String::from_utf8(self.buffer[..end].to_vec()).unwrap();
        self.buffer.drain(..end + 4);
        Some(head)
    }

    /// Reads the body that `head` announces.
    pub(crate) fn body(&mut self, head: &str) -> Vec<u8> {
        if field(head, "transfer-encoding").as_deref() == Some("chunked") {
            let mut body = Vec::new();
            loop {
                let line = self.line();
                let size = usize::from_str_radix(&line, 16).expect("chunk size");
                body.extend(self.take(size));
                assert_eq!(self.line(), "");
                if size == 0 {
                    return body;
                }
            }
        }
        let length = field(head, "content-length").map_or(0, |v| v.parse().unwrap());
        self.take(length)
    }

    fn line(&mut self) -> String {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|w| w == b"\r\n") {
                let line = String::from_utf8(self.buffer[..at].to_vec()).unwrap();
                self.buffer.drain(..at + 2);
                return line;
            }
            assert!(self.fill() > 0, "closed within a line");
        }
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        while self.buffer.len() < length {
            assert!(self.fill() > 0, "closed within a body");
        }
        self.buffer.drain(..length).collect()
    }

    /// Reads some more; 0 when the client has closed or reset.
    pub(crate) fn fill(&mut self) -> usize {
        let mut chunk = [0; 4096];
        let n = self.stream.read(&mut chunk).unwrap_or(0);
        self.buffer.extend_from_slice(&chunk[..n]);
        n
    }

    /// Waits until the client closes.
    pub(crate) fn until_closed(&mut self) {
        while self.fill() > 0 {}
    }
}

impl Request {
    pub(crate) fn line(&self) -> &str {
        self.head.lines().next().unwrap()
    }

    pub(crate) fn field(&self, name: &str) -> Option<String> {
        field(&self.head, name)
    }
}

/// The value of the only field of that name.
pub(crate) fn field(head: &str, name: &str) -> Option<String> {
    let mut values = head.lines().skip(1).filter_map(|line| {
        let (n, v) = line.split_once(':')?;
        n.eq_ignore_ascii_case(name).then(|| v.trim().to_owned())
    });
    let value = values.next();
    assert!(values.next().is_none(), "two fields named {name}: {head}");
    value
}

/// A whole answer with a length.
pub(crate) fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
