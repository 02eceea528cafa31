//! A server on loopback, and a client that sends bytes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use ropewalk_http::server::{Config, Handle};
use ropewalk_http::{App, Server};
use ropewalk_rt::coroutine::JoinHandle;

/// Longer than anything here takes; a test that waits so long has failed.
pub(super) const LONG: Duration = Duration::from_secs(60);

/// A running server; dropping it shuts it down and checks that nothing is left.
pub(super) struct Site {
    pub(super) addr: SocketAddr,
    pub(super) handle: Handle,
    serving: Option<JoinHandle<std::io::Result<()>>>,
}

impl Site {
    pub(super) fn of(app: App) -> Site {
        Site::with(Config::default(), app)
    }

    pub(super) fn with(config: Config, app: App) -> Site {
        Site::serving(Server::bind("127.0.0.1:0").unwrap().config(config), app)
    }

    fn serving(server: Server, app: App) -> Site {
        let addr = server.local_addr().unwrap();
        let handle = server.handle();
        let serving = Some(ropewalk_rt::spawn(move || server.serve(app)));
        Site {
            addr,
            handle,
            serving,
        }
    }

    /// As [`with`](Self::with), and a client that had sent `request` before the server began.
    pub(super) fn with_early(config: Config, app: App, request: &str) -> (Site, Peer) {
        let server = Server::bind("127.0.0.1:0").unwrap().config(config);
        let mut peer = Peer::new(TcpStream::connect(server.local_addr().unwrap()).unwrap());
        peer.send(request);
        (Site::serving(server, app), peer)
    }

    pub(super) fn connect(&self) -> Peer {
        Peer::new(TcpStream::connect(self.addr).unwrap())
    }

    /// Cancels who serves.
    pub(super) fn cancel(&self) {
        self.serving.as_ref().unwrap().cancel();
    }

    /// Waits for the end of `serve`.
    pub(super) fn join(mut self) -> std::io::Result<()> {
        self.serving.take().unwrap().join().unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let Some(serving) = self.serving.take() else {
            return;
        };
        let ended = self.handle.shutdown(LONG);
        if !std::thread::panicking() {
            assert_eq!(ended, Ok(()));
            serving.join().unwrap().unwrap();
            assert_eq!(self.handle.connections(), 0);
        }
    }
}

/// A client.
pub(super) struct Peer {
    pub(super) stream: TcpStream,
    received: Vec<u8>,
}

/// An answer, as far as a client of bytes understands it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn closes(&self) -> bool {
        self.head.contains("\r\nconnection: close\r\n")
    }
}

impl Peer {
    pub(super) fn new(stream: TcpStream) -> Peer {
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_nodelay(true).unwrap();
        Peer {
            stream,
            received: Vec::new(),
        }
    }

    pub(super) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    pub(super) fn get(&mut self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: here\r\n\r\n"));
        self.answer()
    }

    /// Reads an answer with a length.
    pub(super) fn answer(&mut self) -> Answer {
        let end = loop {
            if let Some(at) = find(&self.received, b"\r\n\r\n") {
                break at + 4;
            }
            assert_ne!(self.more(), 0, "an answer: {:?}", self.text());
        };
        let head = String::from_utf8(self.received.drain(..end).collect()).unwrap();
        let status = head[9..12].parse().unwrap();
        let length = head
            .split("\r\n")
            .find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |digits| digits.parse().unwrap());
        while self.received.len() < length {
            assert_ne!(self.more(), 0, "the body of {head:?}");
        }
        let body = String::from_utf8(self.received.drain(..length).collect()).unwrap();
        Answer { status, head, body }
    }

    /// Reads to the end; a reset is no clean one.
    pub(super) fn rest(&mut self) -> String {
        while self.more() > 0 {}
        self.text()
    }

    /// Waits until the server has closed, in whatever way.
    pub(super) fn ended(&mut self) {
        let mut buf = [0; 1024];
        loop {
            match self.read(&mut buf) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
                    return;
                }
            }
        }
    }

    pub(super) fn end_writing(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    fn more(&mut self) -> usize {
        let mut buf = [0; 4096];
        let len = self.read(&mut buf).unwrap();
        self.received.extend_from_slice(&buf[..len]);
        len
    }

    /// Reads; that the process was stopped meanwhile, which with a timeout ends the call, is nothing.
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        loop {
            match self.stream.read(buf) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.received).into_owned()
    }
}

pub(super) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}
