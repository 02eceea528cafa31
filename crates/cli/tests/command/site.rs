//! A web site for the tests, on plain threads and independent of the code under test, so that it can
//! also behave badly.
//!
//! | path | answer |
//! |---|---|
//! | `/ok/…` | 200, the path as body |
//! | `/status/N` | status N |
//! | `/flaky/N` | 503 the first N times this path is asked for, then 200 |
//! | `/busy/N` | as `/flaky`, but 429 with `Retry-After: 1` |
//! | `/redirect` | 302 to `/ok/redirected` |
//! | `/cut` | promises 100 bytes, sends 10 and closes |
//! | `/nonsense` | no HTTP at all |
//! | `/bytes/N` | N bytes |
//! | `/hold/…` | nothing until [`Site::release`] |
//! | `/meet/N` | nothing until N such requests wait at once; then 200 to each |

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use rustix::net::{self, AddressFamily, SocketFlags, SocketType};

/// See the file's opening comment. Its threads end with the test process.
pub(crate) struct Site {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    released: bool,
    /// Requests being answered, and the most there ever were.
    busy: usize,
    busy_max: usize,
    /// How often each path was asked for.
    asked: HashMap<String, usize>,
}

impl Site {
    pub(crate) fn start() -> Site {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let for_connections = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&for_connections);
                thread::spawn(move || shared.connection(stream.unwrap()));
            }
        });
        Site { address, shared }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Lets `/hold` answer.
    pub(crate) fn release(&self) {
        self.shared.state.lock().unwrap().released = true;
        self.shared.changed.notify_all();
    }

    /// Waits until a path was asked for `times` times.
    pub(crate) fn wait_for(&self, path: &str, times: usize) {
        let state = self.shared.state.lock().unwrap();
        let waiting = |state: &mut State| state.asked.get(path).copied().unwrap_or(0) < times;
        drop(self.shared.changed.wait_while(state, waiting).unwrap());
    }

    /// Returns how many requests were answered at the same time, at most.
    pub(crate) fn busy_max(&self) -> usize {
        self.shared.state.lock().unwrap().busy_max
    }
}

/// An address at which nobody listens: its socket is bound, lest anybody else have it.
pub(crate) struct Nobody(OwnedFd);

impl Nobody {
    pub(crate) fn bind() -> Nobody {
        let (family, kind) = (AddressFamily::INET, SocketType::STREAM);
        let socket = net::socket_with(family, kind, SocketFlags::CLOEXEC, None).unwrap();
        net::bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        Nobody(socket)
    }

    pub(crate) fn url(&self) -> String {
        let address = SocketAddr::try_from(net::getsockname(&self.0).unwrap()).unwrap();
        format!("http://{address}/")
    }
}

impl Shared {
    fn connection(&self, stream: TcpStream) {
        let mut reader = BufReader::new(&stream);
        while let Some(path) = request(&mut reader) {
            {
                let mut state = self.state.lock().unwrap();
                *state.asked.entry(path.clone()).or_default() += 1;
                state.busy += 1;
                state.busy_max = state.busy_max.max(state.busy);
                self.changed.notify_all();
            }
            let goes_on = self.answer(&path, &stream);
            self.state.lock().unwrap().busy -= 1;
            if !goes_on {
                return;
            }
        }
    }

    /// Answers a request; false ends the connection.
    fn answer(&self, path: &str, mut stream: &TcpStream) -> bool {
        let (kind, rest) = path[1..].split_once('/').unwrap_or((&path[1..], ""));
        let number = || rest.parse::<usize>().unwrap_or(0);
        match kind {
            "ok" => reply(stream, "200 OK", "", path.as_bytes()),
            "status" => reply(stream, &format!("{rest} Status"), "", b"status"),
            "flaky" | "busy" => {
                let asked = self.state.lock().unwrap().asked[path];
                match (asked > number(), kind) {
                    (true, _) => reply(stream, "200 OK", "", b"at last"),
                    (false, "flaky") => reply(stream, "503 Busy", "", b"not now"),
                    (false, _) => reply(stream, "429 Busy", "Retry-After: 1\r\n", b"not now"),
                }
            }
            "redirect" => reply(stream, "302 Found", "Location: /ok/redirected\r\n", b""),
            "cut" => {
                let _ =
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789");
                false
            }
            "nonsense" => {
                let _ = stream.write_all(b"220 mail.example ESMTP\r\n\r\n");
                false
            }
            "bytes" => reply(stream, "200 OK", "", &vec![b'x'; number()]),
            "hold" => {
                let state = self.state.lock().unwrap();
                drop(
                    self.changed
                        .wait_while(state, |state| !state.released)
                        .unwrap(),
                );
                reply(stream, "200 OK", "", b"held")
            }
            "meet" => {
                let count = number();
                let state = self.state.lock().unwrap();
                let waiting = |state: &mut State| state.asked[path] < count;
                drop(self.changed.wait_while(state, waiting).unwrap());
                reply(stream, "200 OK", "", b"met")
            }
            _ => reply(stream, "404 Not Found", "", b"not found"),
        }
    }
}

/// Reads the head of a request and returns its path; `None` at the end of the connection.
fn request(reader: &mut impl BufRead) -> Option<String> {
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let path = first.split(' ').nth(1)?.to_owned();
    let mut line = String::new();
    while reader.read_line(&mut line).ok()? > 2 {
        line.clear();
    }
    Some(path)
}

fn reply(mut stream: &TcpStream, status: &str, headers: &str, body: &[u8]) -> bool {
    let mut bytes = format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    stream.write_all(&bytes).is_ok()
}
