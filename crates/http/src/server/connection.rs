//! The loop of one connection.
//!
//! ```text
//!   idle ──first byte──▶ head ──complete──▶ handler ──answer──▶ more in the buffer? ──no──▶ send, idle
//!                          │                                      └──yes──▶ head
//!                          └──broken──▶ answer the error, linger, close
//! ```
//!
//! Answers gather in `out` until no complete request is left in `inbox`, or `out` has
//! [`PENDING_BYTES_MAX`]: a client that sends requests and doesn't read the answers is waited
//! for before more of its requests are run.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use http::StatusCode;
use http::header::{self, HeaderValue};
use ropewalk_rt::net::TcpStream;

use super::answer::{self, Asked};
use super::body::{RequestBody, Wire};
use super::request::Request;
use super::response::{Body, Response, Upgrade, Upgraded, plain};
use super::stage::{Stage, Waiting};
use super::{App, Config};
use crate::codec::body::Decoder;
use crate::codec::{self, ProtocolError, RequestHead};

/// What is received at once, at first; the buffer grows with long heads.
const INBOX_BYTES: usize = 8 << 10;
/// Answers that may wait to be sent while further requests of the same client run.
const PENDING_BYTES_MAX: usize = 256 << 10;
/// Room that `out` keeps from request to request.
const OUT_KEPT_BYTES: usize = 64 << 10;
/// How long a closing connection listens for what the client still sends, so that it gets to
/// read the last answer before a reset.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES_MAX: usize = 1 << 20;

/// What a connection goes over: TCP, or memory in tests.
pub(super) trait Stream: Read + Write {
    fn limit_read(&self, timeout: Duration);
    fn limit_write(&self, timeout: Duration);
    fn end_writing(&self);
    /// Makes closing tell the client that the answer is not whole.
    fn reset_on_close(&self);
    fn tcp(&self) -> Option<&TcpStream>;
}

impl Stream for &TcpStream {
    fn limit_read(&self, timeout: Duration) {
        // Only 0 is refused.
        let _ = self.set_read_timeout(Some(timeout.max(Duration::from_millis(1))));
    }

    fn limit_write(&self, timeout: Duration) {
        let _ = self.set_write_timeout(Some(timeout.max(Duration::from_millis(1))));
    }

    fn end_writing(&self) {
        let _ = self.shutdown(Shutdown::Write);
    }

    fn reset_on_close(&self) {
        let _ = rustix::net::sockopt::set_socket_linger(self, Some(Duration::ZERO));
    }

    fn tcp(&self) -> Option<&TcpStream> {
        Some(self)
    }
}

/// What the server says to a connection while it runs.
#[derive(Clone, Copy)]
pub(super) struct Notices<'a> {
    /// How far the server's end has come.
    pub(super) stage: &'a Stage,
    /// Whether the connection waits for a request.
    pub(super) waiting: &'a Waiting,
}

pub(super) struct Connection<'a, S> {
    wire: TcpWire<'a, S>,
    head: RequestHead,
    had_request: bool,
    app: &'a App,
    peer: Option<SocketAddr>,
    notices: Notices<'a>,
}

/// The bytes that come and go.
struct TcpWire<'a, S> {
    stream: S,
    config: &'a Config,
    /// Received and not consumed: `inbox[start..end]`.
    inbox: Vec<u8>,
    start: usize,
    end: usize,
    out: Vec<u8>,
}

/// Why a connection ends.
enum End {
    /// Nothing is owed to the client.
    Close,
    /// The client may not have read the last answer, and may still be sending.
    Linger,
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> End {
        // The client is gone, or too slow: there is nobody to tell.
        End::Close
    }
}

impl<'a, S: Stream> Connection<'a, S> {
    pub(super) fn new(
        stream: S,
        peer: Option<SocketAddr>,
        app: &'a App,
        config: &'a Config,
        notices: Notices<'a>,
    ) -> Self {
        stream.limit_write(config.write_timeout);
        let wire = TcpWire {
            stream,
            config,
            inbox: Vec::new(),
            start: 0,
            end: 0,
            out: Vec::new(),
        };
        Connection {
            wire,
            head: RequestHead::default(),
            had_request: false,
            app,
            peer,
            notices,
        }
    }

    /// Serves until the connection ends.
    pub(super) fn run(mut self) -> S {
        let end = loop {
            if let Err(end) = self.turn() {
                break end;
            }
        };
        if self.wire.flush().is_ok() && matches!(end, End::Linger) {
            self.linger();
        }
        self.wire.stream
    }

    /// Runs one request, or gets more of it.
    fn turn(&mut self) -> Result<(), End> {
        let wire = &mut self.wire;
        let filled = &wire.inbox[wire.start..wire.end];
        let parsed = if filled.is_empty() {
            Ok(None)
        } else {
            codec::request::parse(filled, &wire.config.limits, &mut self.head)
        };
        match parsed {
            Ok(Some(length)) => {
                wire.consume(length);
                self.had_request = true;
                self.answer()
            }
            Ok(None) => self.receive(),
            Err(error) => Err(self.refuse(&error)),
        }
    }

    /// Sends what is to be sent and waits for more.
    fn receive(&mut self) -> Result<(), End> {
        let wire = &mut self.wire;
        wire.flush()?;
        if wire.start == wire.end {
            // Before the first request, or between two.
            let Notices { stage, waiting } = self.notices;
            waiting.begin(!self.had_request);
            if waiting.is_over(stage) {
                return Err(End::Close);
            }
            wire.stream.limit_read(wire.config.idle_timeout);
            let received = wire.receive();
            waiting.end();
            return match received? {
                0 => Err(End::Close),
                _ => Ok(()),
            };
        }
        self.rest_of_head()
    }

    /// Waits for the rest of a head, whose first bytes are there.
    fn rest_of_head(&mut self) -> Result<(), End> {
        let wire = &mut self.wire;
        let by = Instant::now() + wire.config.head_timeout;
        loop {
            let left = by.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(self.refuse_with(StatusCode::REQUEST_TIMEOUT));
            }
            wire.stream.limit_read(left);
            match wire.receive() {
                Ok(0) => return Err(End::Close),
                Ok(_) => {}
                Err(error) if is_timeout(&error) => {
                    return Err(self.refuse_with(StatusCode::REQUEST_TIMEOUT));
                }
                Err(error) => return Err(error.into()),
            }
            let filled = &wire.inbox[wire.start..wire.end];
            match codec::request::parse(filled, &wire.config.limits, &mut self.head) {
                Ok(Some(length)) => {
                    wire.consume(length);
                    return self.answer();
                }
                Ok(None) => {}
                Err(error) => return Err(self.refuse(&error)),
            }
        }
    }

    /// Runs the handler for `head`, and encodes what it gives.
    fn answer(&mut self) -> Result<(), End> {
        let mut decoder = Decoder::new(self.head.framing, &self.wire.config.limits);
        let mut held_back = self.head.expects_continue;
        if !decoder.is_done() {
            self.wire.stream.limit_read(self.wire.config.body_timeout);
        }
        let body = RequestBody {
            wire: &mut self.wire,
            decoder: &mut decoder,
            held_back: &mut held_back,
        };
        let app = self.app;
        let ran = {
            let mut request = Request::new(&self.head, body, self.peer);
            catch_unwind(AssertUnwindSafe(|| app.respond(&mut request)))
        };
        let panicked = ran.is_err();
        let mut response = ran.unwrap_or_else(|_| plain(StatusCode::INTERNAL_SERVER_ERROR));
        if let Body::Upgrade(_) = response.body {
            let Body::Upgrade(speak) = std::mem::replace(&mut response.body, Body::Empty) else {
                unreachable!("just looked")
            };
            if self.head.upgrade && decoder.is_done() {
                return Err(self.upgrade(response, speak));
            }
            // The client did not ask for it, or speaks HTTP still.
            response = response.with_status(StatusCode::UPGRADE_REQUIRED);
        } else if response.status.is_informational() {
            // No answer: the client would wait for another one.
            response = plain(StatusCode::INTERNAL_SERVER_ERROR);
        }
        let too_much = decoder
            .left()
            .is_some_and(|left| left > self.wire.config.drain_bytes_max);
        let asked = Asked {
            method: &self.head.method,
            version: self.head.version,
            // A body that was held back and never asked for may come or not.
            keep_alive: self.head.keep_alive
                && !panicked
                && !held_back
                && !too_much
                && !self.notices.stage.is_stopping(),
        };
        let wire = &mut self.wire;
        let keep = wire.encode(response, &asked)?;
        if wire.out.len() >= PENDING_BYTES_MAX {
            wire.flush()?;
        }
        match (keep, decoder.is_done()) {
            (true, true) => Ok(()),
            (true, false) => self.drain(decoder),
            // It was the client who said that nothing follows.
            (false, true) if wire.start == wire.end && !self.head.keep_alive => Err(End::Close),
            (false, _) => Err(End::Linger),
        }
    }

    /// Throws away what the handler left of the body.
    fn drain(&mut self, mut decoder: Decoder) -> Result<(), End> {
        let wire = &mut self.wire;
        let most = wire.config.drain_bytes_max;
        let mut thrown = 0u64;
        while !decoder.is_done() {
            let filled = &wire.inbox[wire.start..wire.end];
            let Ok(decoded) = decoder.decode(filled) else {
                return Err(End::Linger);
            };
            wire.consume(decoded.consumed);
            thrown += decoded.consumed as u64;
            if thrown > most {
                return Err(End::Linger);
            }
            if decoded.consumed == 0 && !decoder.is_done() {
                wire.flush()?;
                if wire.receive()? == 0 {
                    return Err(End::Close);
                }
            }
        }
        Ok(())
    }

    /// Sends the head of a 101 and lets `speak` have the connection.
    fn upgrade(&mut self, response: Response, speak: Box<Upgrade>) -> End {
        let asked = Asked {
            method: &self.head.method,
            version: self.head.version,
            keep_alive: true,
        };
        let wire = &mut self.wire;
        if wire.encode(response, &asked).is_err() || wire.flush().is_err() {
            return End::Close;
        }
        let received = wire.inbox[wire.start..wire.end].to_vec();
        wire.start = wire.end;
        wire.stream.limit_read(wire.config.idle_timeout);
        let mut upgraded = Upgraded {
            received,
            stream: &mut wire.stream,
        };
        // Its panic has been told by the hook; the connection ends either way.
        let _ = catch_unwind(AssertUnwindSafe(|| speak(&mut upgraded)));
        End::Close
    }

    /// Answers a request that can't be understood: where the next one begins is not known.
    fn refuse(&mut self, error: &ProtocolError) -> End {
        let text = format!("{}: {error}\n", error.status());
        self.refuse_by(Response::text(text).with_status(error.status()))
    }

    fn refuse_with(&mut self, status: StatusCode) -> End {
        self.refuse_by(plain(status))
    }

    fn refuse_by(&mut self, response: Response) -> End {
        let close = HeaderValue::from_static("close");
        let response = response.with_header(header::CONNECTION, close);
        let asked = Asked {
            method: &http::Method::GET,
            version: http::Version::HTTP_11,
            keep_alive: false,
        };
        let encoded = answer::encode(&mut self.wire.out, response, &asked, &mut |_| Ok(()));
        if encoded.is_ok() {
            End::Linger
        } else {
            End::Close
        }
    }

    /// Ends writing and listens a while: a reset, which closing with unread data causes, could
    /// overtake the last answer.
    fn linger(&mut self) {
        let wire = &mut self.wire;
        wire.stream.end_writing();
        let by = Instant::now() + LINGER;
        let mut heard = 0;
        loop {
            let left = by.saturating_duration_since(Instant::now());
            if left.is_zero() || heard > LINGER_BYTES_MAX {
                return;
            }
            wire.stream.limit_read(left);
            wire.start = wire.end;
            match wire.receive() {
                Ok(0) | Err(_) => return,
                Ok(more) => heard += more,
            }
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
    )
}

fn send(stream: &mut impl Write, out: &mut Vec<u8>) -> io::Result<()> {
    if !out.is_empty() {
        stream.write_all(out)?;
        out.clear();
        out.shrink_to(OUT_KEPT_BYTES);
    }
    Ok(())
}

impl<S: Stream> TcpWire<'_, S> {
    /// Encodes a response behind those that wait to be sent; says whether the connection can
    /// be kept.
    ///
    /// If its body breaks off before anything of it was sent, it becomes a 500. Else the
    /// connection is broken off too, as what was announced can't be kept.
    fn encode(&mut self, response: Response, asked: &Asked<'_>) -> Result<bool, End> {
        let before = self.out.len();
        let mut sent = false;
        let stream = &mut self.stream;
        let encoded = answer::encode(&mut self.out, response, asked, &mut |out| {
            sent = true;
            send(stream, out)
        });
        match encoded {
            Ok(keep) => Ok(keep),
            Err(_) if sent => {
                self.out.clear();
                self.stream.reset_on_close();
                Err(End::Close)
            }
            Err(_) => {
                self.out.truncate(before);
                let asked = Asked {
                    keep_alive: false,
                    ..*asked
                };
                let response = plain(StatusCode::INTERNAL_SERVER_ERROR);
                let _ = answer::encode(&mut self.out, response, &asked, &mut |_| Ok(()));
                Err(End::Linger)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        send(&mut self.stream, &mut self.out)
    }

    /// Reads once, behind what is there; 0 at the end.
    fn receive(&mut self) -> io::Result<usize> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.inbox.len() && self.start > 0 {
            self.inbox.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.inbox.len() {
            self.inbox
                .resize((self.inbox.len() * 2).max(INBOX_BYTES), 0);
        }
        loop {
            match self.stream.read(&mut self.inbox[self.end..]) {
                Ok(received) => {
                    self.end += received;
                    return Ok(received);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        debug_assert!(self.start <= self.end);
    }
}

impl<S: Stream> Wire for TcpWire<'_, S> {
    fn filled(&self) -> &[u8] {
        &self.inbox[self.start..self.end]
    }

    fn consume(&mut self, bytes: usize) {
        TcpWire::consume(self, bytes);
    }

    fn fill(&mut self) -> io::Result<usize> {
        self.flush()?;
        self.receive()
    }

    fn send_continue(&mut self) -> io::Result<()> {
        self.out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        self.flush()
    }

    fn socket(&mut self) -> Option<&TcpStream> {
        // A failure shows in what follows.
        let _ = self.flush();
        self.stream.tcp()
    }
}

/// A client in memory: what it sends, and what it is answered.
struct Memory<'a> {
    input: &'a [u8],
    output: Vec<u8>,
    /// How many writes there were.
    writes: usize,
}

impl Read for Memory<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.input.read(buf)
    }
}

impl Write for Memory<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.writes += 1;
        self.output.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Memory<'_> {
    fn limit_read(&self, _: Duration) {}
    fn limit_write(&self, _: Duration) {}
    fn end_writing(&self) {}
    fn reset_on_close(&self) {}
    fn tcp(&self) -> Option<&TcpStream> {
        None
    }
}

impl App {
    /// Gives what a client is answered that sends `input` and then nothing more: the whole
    /// server but for the network, for tests.
    pub fn exchange(&self, input: &[u8]) -> Vec<u8> {
        self.exchange_counted(input).0
    }

    /// As [`exchange`](Self::exchange), with the number of writes that the answers took.
    pub fn exchange_counted(&self, input: &[u8]) -> (Vec<u8>, usize) {
        let memory = Memory {
            input,
            output: Vec::new(),
            writes: 0,
        };
        let notices = Notices {
            stage: &Stage::default(),
            waiting: &Waiting::default(),
        };
        let config = Config::default();
        let memory = Connection::new(memory, None, self, &config, notices).run();
        (memory.output, memory.writes)
    }
}
