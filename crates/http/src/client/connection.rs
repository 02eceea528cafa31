//! One connection speaking HTTP/1.1: a request out, a response head in, then body bytes on demand.
//!
//! An exchange goes through these steps; each `?` ends it, and with it the connection:
//!
//! 1. send the head, with a small body behind it in the same write;
//! 2. with `Expect: 100-continue`, wait up to a second for the server's word;
//! 3. send the rest of the body, looking between pieces for an answer that makes it pointless;
//! 4. read heads until one is final (1xx are skipped).
//!
//! Bytes received and not yet consumed stay in the `Inbox` of the connection. It is asked to be used
//! again only if the inbox is empty, nothing was cut short, and both sides keep alive.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use ropewalk_rt::time::{Duration, Instant};
use url::Url;

use super::body::{Body, Source};
use super::error::{Cause, Error, Phase, cause_of};
use super::socket::{Pending, TimeLimits};
use super::target::Origin;
use super::transport::Transport;
use crate::codec::body::Decoder;
use crate::codec::{self, Framing, ResponseHead};

/// Bodies up to this size go out with their head in one write.
const INLINE_BODY_BYTES_MAX: usize = 16 * 1024;
/// A body is written in pieces of this size.
const PIECE_BYTES: usize = 32 * 1024;
/// What one read of the network may bring in.
const INBOX_BYTES: usize = 16 * 1024;
/// From this size on a buffer is read into directly.
const DIRECT_BYTES_MIN: usize = 4 * 1024;
/// How long to wait for the answer to `Expect: 100-continue` before sending the body regardless.
const EXPECT_WAIT: Duration = Duration::from_secs(1);
/// How many 1xx responses may come before the final one.
const INTERIM_MAX: usize = 32;

pub(crate) struct Connection {
    transport: Transport,
    inbox: Inbox,
}

/// What is to be sent, other than the body.
pub(crate) struct Exchange<'a> {
    pub(crate) method: &'a Method,
    pub(crate) url: &'a Url,
    pub(crate) host: &'a Origin,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) limits: &'a codec::Limits,
    pub(crate) expect: bool,
}

/// Why an exchange failed.
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// Not a byte of a response had come: the server may never have looked at the request.
    pub(crate) nothing_came_back: bool,
}

/// Received bytes that nobody has consumed yet: `bytes[start..end]`.
#[derive(Default)]
struct Inbox {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Inbox {
    fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    fn consume(&mut self, n: usize) {
        self.start += n;
        debug_assert!(self.start <= self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Reads once, behind what is there; 0 at the end of the stream.
    fn fill(&mut self, transport: &mut Transport) -> io::Result<usize> {
        if self.end == self.bytes.len() {
            if self.start > 0 {
                self.bytes.copy_within(self.start..self.end, 0);
                self.end -= self.start;
                self.start = 0;
            } else {
                self.bytes
                    .resize((self.bytes.len() * 2).max(INBOX_BYTES), 0);
            }
        }
        let n = transport.read(&mut self.bytes[self.end..])?;
        self.end += n;
        Ok(n)
    }
}

impl Connection {
    pub(crate) fn new(transport: Transport) -> Connection {
        Connection {
            transport,
            inbox: Inbox::default(),
        }
    }

    pub(crate) fn remote(&self) -> SocketAddr {
        self.transport.remote()
    }

    pub(crate) fn set_limits(&mut self, limits: TimeLimits) {
        self.transport.set_limits(limits);
    }

    /// Tells, without waiting, whether the connection is alive and silent, as an idle one must be.
    pub(crate) fn is_usable(&mut self, limits: TimeLimits) -> bool {
        self.set_limits(limits);
        self.inbox.is_empty() && self.transport.pending() == Pending::Nothing
    }

    /// Makes a request and returns the head of its final response.
    pub(crate) fn exchange(
        &mut self,
        exchange: &Exchange<'_>,
        body: &mut Body,
    ) -> Result<Reply, Failure> {
        let mut turn = Turn {
            connection: self,
            exchange,
            interim: 0,
            heard: false,
        };
        turn.run(body).map_err(|error| {
            let nothing_came_back = !turn.heard && turn.connection.inbox.is_empty();
            Failure {
                error,
                nothing_came_back,
            }
        })
    }
}

impl Connection {
    /// Moves the deadline of further reads forward to `by`.
    pub(crate) fn set_deadline_no_later_than(&mut self, by: Instant) {
        let limits = self.transport.limits().no_later_than(by);
        self.transport.set_limits(limits);
    }

    /// Makes the connection ready to lie idle. Returns false if it can't: something came unasked,
    /// which must not become the answer to another request.
    pub(crate) fn rest(&mut self) -> bool {
        let idle = self.inbox.is_empty();
        if idle && self.inbox.bytes.len() > INBOX_BYTES {
            // Grown for a large head.
            self.inbox = Inbox::default();
        }
        idle
    }

    /// Reads some of a body into `buf`, which is not empty; 0 when it has been read to its end.
    pub(crate) fn read_body(
        &mut self,
        decoder: &mut Decoder,
        buf: &mut [u8],
    ) -> Result<usize, Error> {
        const WHAT: &str = "reading the response's body";
        let failed = |e| Error::io(Phase::Body, WHAT, e);
        while !decoder.is_done() {
            if let Some(n) = self.take_body(decoder, buf)? {
                return Ok(n);
            }
            // Here the inbox is empty. What is body for certain need not go through it.
            if let Some(left) = decoder.left()
                && buf.len() >= DIRECT_BYTES_MIN
            {
                let most = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let n = self.transport.read(&mut buf[..most]).map_err(failed)?;
                let decoded = decoder.decode(&buf[..n]);
                let decoded = decoded.map_err(|e| protocol_error(Phase::Body, e))?;
                debug_assert_eq!(decoded.data, 0..n);
                if n > 0 {
                    return Ok(n);
                }
                return Err(cut_short());
            }
            if self.inbox.fill(&mut self.transport).map_err(failed)? == 0 {
                if decoder.eof() {
                    break;
                }
                return Err(cut_short());
            }
        }
        Ok(0)
    }

    /// Takes body bytes that have arrived already; `None` if there are none yet, `Some(0)` at the
    /// body's end.
    pub(crate) fn take_body(
        &mut self,
        decoder: &mut Decoder,
        buf: &mut [u8],
    ) -> Result<Option<usize>, Error> {
        while !decoder.is_done() {
            let filled = self.inbox.filled();
            let filled = &filled[..filled.len().min(buf.len())];
            let decoded = decoder
                .decode(filled)
                .map_err(|e| protocol_error(Phase::Body, e))?;
            let data = &filled[decoded.data];
            let n = data.len();
            buf[..n].copy_from_slice(data);
            self.inbox.consume(decoded.consumed);
            if n > 0 {
                return Ok(Some(n));
            }
            if decoded.consumed == 0 && !decoder.is_done() {
                return Ok(None);
            }
        }
        Ok(Some(0))
    }
}

/// The final response of an exchange: its head, and what is needed to read its body.
pub(crate) struct Reply {
    pub(crate) head: ResponseHead,
    pub(crate) decoder: Decoder,
    /// Whether the connection may be used again once the body has been read.
    pub(crate) keeps_alive: bool,
}

impl Reply {
    pub(crate) fn status(&self) -> StatusCode {
        self.head.status
    }
}

/// One exchange under way.
struct Turn<'a> {
    connection: &'a mut Connection,
    exchange: &'a Exchange<'a>,
    /// How many 1xx heads have been skipped.
    interim: usize,
    /// Whether a head has been read.
    heard: bool,
}

/// Why sending stopped.
enum Stopped {
    /// The peer answered in a way that makes the rest of the body pointless.
    Answered(Box<Reply>),
    /// The connection failed.
    Broken(io::Error),
    /// The caller's body failed, or the peer's answer is not HTTP.
    Failed(Error),
}

impl From<io::Error> for Stopped {
    fn from(err: io::Error) -> Stopped {
        Stopped::Broken(err)
    }
}

impl From<Error> for Stopped {
    fn from(err: Error) -> Stopped {
        Stopped::Failed(err)
    }
}

impl Turn<'_> {
    fn run(&mut self, body: &mut Body) -> Result<Reply, Error> {
        let err = match self.send(body) {
            Ok(None) => return self.read_final(),
            Ok(Some(reply)) => return Ok(reply),
            Err(Stopped::Answered(reply)) => {
                return Ok(Reply {
                    keeps_alive: false,
                    ..*reply
                });
            }
            Err(Stopped::Failed(e)) => return Err(e),
            Err(Stopped::Broken(e)) => e,
        };
        // A server that refuses a request early answers and closes: its answer says more than the
        // broken pipe, if it got through.
        if cause_of(&err) == Cause::Closed {
            match self.read_final() {
                Ok(reply) => {
                    return Ok(Reply {
                        keeps_alive: false,
                        ..reply
                    });
                }
                Err(e) if e.cause() == Cause::Protocol => return Err(e),
                Err(_) => {}
            }
        }
        Err(Error::io(Phase::Send, "sending the request", err))
    }

    /// Sends head and body. Returns the final response if its head came while sending.
    fn send(&mut self, body: &mut Body) -> Result<Option<Reply>, Stopped> {
        let mut out = Vec::with_capacity(1024);
        self.encode_head(body, &mut out)?;
        if self.exchange.expect {
            self.write(&out)?;
            out.clear();
            self.await_consent()?;
        }
        let mut answer = None;
        match body.source() {
            Source::Empty => {}
            Source::Bytes(bytes) => {
                // The head and the beginning of the body leave together.
                let first = bytes.len().min(INLINE_BODY_BYTES_MAX);
                out.extend_from_slice(&bytes[..first]);
                for piece in bytes[first..].chunks(PIECE_BYTES) {
                    self.write(&out)?;
                    out.clear();
                    self.look_for_answer(&mut answer)?;
                    out.extend_from_slice(piece);
                }
            }
            Source::Reader {
                reader,
                length,
                started,
            } => {
                *started = true;
                let mut left = *length;
                let mut piece =
                    vec![0; left.map_or(PIECE_BYTES, |n| n.min(PIECE_BYTES as u64) as usize)];
                loop {
                    let n = read_piece(reader, &mut piece, left)?;
                    match &mut left {
                        Some(left) => {
                            out.extend_from_slice(&piece[..n]);
                            *left -= n as u64;
                        }
                        None if n > 0 => codec::body::encode_chunk(&mut out, &piece[..n]),
                        None => codec::body::encode_last_chunk(&mut out),
                    }
                    if n == 0 || left == Some(0) {
                        break;
                    }
                    self.write(&out)?;
                    out.clear();
                    self.look_for_answer(&mut answer)?;
                }
            }
        }
        self.write(&out)?;
        Ok(answer)
    }

    /// Writes the request line and the headers: `Host` first, then the caller's, then the framing.
    fn encode_head(&self, body: &Body, out: &mut Vec<u8>) -> Result<(), Error> {
        let Exchange {
            method,
            url,
            host,
            headers,
            expect,
            ..
        } = *self.exchange;
        let target = &url[url::Position::BeforePath..url::Position::AfterQuery];
        let host = match headers.get(header::HOST) {
            Some(own) => own.clone(),
            None => host.host_header()?,
        };
        let framing = match body.len() {
            // For these methods no body is remarkable enough to be said.
            Some(0) if !matches!(*method, Method::POST | Method::PUT | Method::PATCH) => None,
            Some(length) => Some((header::CONTENT_LENGTH, HeaderValue::from(length))),
            None => Some((
                header::TRANSFER_ENCODING,
                HeaderValue::from_static("chunked"),
            )),
        };
        let asked = expect.then(|| (header::EXPECT, HeaderValue::from_static("100-continue")));
        let own = headers.iter().filter(|(name, _)| *name != header::HOST);
        let fields: Vec<_> = std::iter::once((&header::HOST, &host))
            .chain(own)
            .chain(
                framing
                    .iter()
                    .chain(&asked)
                    .map(|(name, value)| (name, value)),
            )
            .collect();
        codec::request::encode(out, method, target, &fields);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.connection.transport.write_all(bytes)?;
        self.connection.transport.flush()
    }

    /// Waits for the server's word on `Expect: 100-continue`: returns when the body is to be sent.
    fn await_consent(&mut self) -> Result<(), Stopped> {
        let whole = self.connection.transport.limits();
        self.connection
            .set_limits(whole.no_later_than(Instant::now() + EXPECT_WAIT));
        let word = self.await_word();
        self.connection.set_limits(whole);
        match word {
            // Silence is consent, unless the time of the call is over as well.
            Err(Stopped::Broken(e)) if cause_of(&e) == Cause::Timeout && whole.left().is_ok() => {
                Ok(())
            }
            word => word,
        }
    }

    fn await_word(&mut self) -> Result<(), Stopped> {
        loop {
            match self.take_head()? {
                Some(head) if head.status == StatusCode::CONTINUE => return Ok(()),
                Some(head) if head.status.is_informational() => {}
                Some(head) => return Err(Stopped::Answered(Box::new(self.reply(head)))),
                None => {
                    let connection = &mut *self.connection;
                    if connection.inbox.fill(&mut connection.transport)? == 0 {
                        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                    }
                }
            }
        }
    }

    /// Looks, between two pieces of the body, whether the server has answered already. An error or
    /// a redirect ends the sending; a success is kept for when all is sent.
    fn look_for_answer(&mut self, answer: &mut Option<Reply>) -> Result<(), Stopped> {
        while answer.is_none() && self.connection.transport.pending() == Pending::Data {
            let connection = &mut *self.connection;
            // There is data, so this does not wait.
            connection.inbox.fill(&mut connection.transport)?;
            while let Some(head) = self.take_head()? {
                if head.status.is_informational() {
                    continue;
                }
                let reply = self.reply(head);
                if !reply.status().is_success() {
                    return Err(Stopped::Answered(Box::new(reply)));
                }
                *answer = Some(reply);
                break;
            }
        }
        Ok(())
    }

    /// Reads heads until one is final.
    fn read_final(&mut self) -> Result<Reply, Error> {
        const WHAT: &str = "waiting for the response";
        loop {
            match self.take_head()? {
                Some(head) if head.status.is_informational() => {}
                Some(head) => return Ok(self.reply(head)),
                None => {
                    let connection = &mut *self.connection;
                    let n = connection
                        .inbox
                        .fill(&mut connection.transport)
                        .map_err(|e| Error::io(Phase::Head, WHAT, e))?;
                    if n == 0 {
                        let message = if self.connection.inbox.is_empty() {
                            "the server closed the connection without a response"
                        } else {
                            "the server closed the connection within the head of the response"
                        };
                        return Err(Error::new(Cause::Closed, Phase::Head, message));
                    }
                }
            }
        }
    }

    /// Takes a head out of the inbox, if there is a whole one.
    fn take_head(&mut self) -> Result<Option<ResponseHead>, Error> {
        let connection = &mut *self.connection;
        if connection.inbox.is_empty() {
            return Ok(None);
        }
        let mut head = ResponseHead::default();
        let filled = connection.inbox.filled();
        let length = codec::response::parse(
            filled,
            self.exchange.method,
            self.exchange.limits,
            &mut head,
        )
        .map_err(|e| protocol_error(Phase::Head, e))?;
        let Some(length) = length else {
            return Ok(None);
        };
        connection.inbox.consume(length);
        self.heard = true;
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            let message = "the server switched protocols, which nobody asked for";
            return Err(Error::new(Cause::Protocol, Phase::Head, message));
        }
        if head.status.is_informational() {
            self.interim += 1;
            if self.interim > INTERIM_MAX {
                let message = format!("more than {INTERIM_MAX} interim (1xx) responses");
                return Err(Error::new(Cause::Protocol, Phase::Head, message));
            }
        }
        Ok(Some(head))
    }

    fn reply(&self, head: ResponseHead) -> Reply {
        let asked_to_close = self
            .exchange
            .headers
            .get_all(header::CONNECTION)
            .iter()
            .any(|v| {
                v.as_bytes()
                    .split(|b| *b == b',')
                    .any(|t| t.trim_ascii().eq_ignore_ascii_case(b"close"))
            });
        let keeps_alive = head.keep_alive && !asked_to_close && head.framing != Framing::UntilClose;
        let decoder = Decoder::new(head.framing, self.exchange.limits);
        Reply {
            head,
            decoder,
            keeps_alive,
        }
    }
}

/// Reads the next piece of the caller's body; 0 at its end, which must not come before `left` is 0.
fn read_piece(reader: &mut dyn Read, piece: &mut [u8], left: Option<u64>) -> Result<usize, Error> {
    let most = left.map_or(piece.len(), |n| n.min(piece.len() as u64) as usize);
    loop {
        match reader.read(&mut piece[..most]) {
            Ok(0) if left.is_some_and(|n| n > 0) => {
                let message = format!("the request's body ended {} bytes early", left.unwrap_or(0));
                return Err(Error::new(Cause::Request, Phase::Send, message));
            }
            Ok(n) => return Ok(n),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => {
                let message = format!("the request's body could not be read: {e}");
                return Err(Error::new(Cause::Request, Phase::Send, message).with_source(e));
            }
        }
    }
}

/// The peer went away within a body.
fn cut_short() -> Error {
    let message = "the server closed the connection before the end of the body";
    Error::new(Cause::Closed, Phase::Body, message)
}

/// The peer broke the rules of HTTP.
fn protocol_error(phase: Phase, err: codec::ProtocolError) -> Error {
    Error::new(
        Cause::Protocol,
        phase,
        format!("the server's response is not valid HTTP: {err}"),
    )
    .with_source(err)
}
