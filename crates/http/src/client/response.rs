//! A response: its head, and its body read from the connection as the caller asks for it.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::SocketAddr;

use http::header::HeaderMap;
use http::{StatusCode, Version};
use ropewalk_rt::time::{Duration, Instant};
use url::Url;

use super::connection::{Connection, Reply};
use super::error::{Cause, Error, Phase};
use super::pool::Lease;
use crate::codec::body::Decoder;
use crate::codec::{Framing, ResponseHead};

/// What is read at most, and for how long, of a body nobody wants, to save its connection.
const DISCARD_BYTES_MAX: usize = 64 * 1024;
const DISCARD_TIME: Duration = Duration::from_millis(500);
/// How much is reserved at once on the word of a `Content-Length`.
const RESERVE_BYTES_MAX: u64 = 1 << 20;
/// How much [`Response::copy_to`] and its like read at a time.
const COPY_BYTES: usize = 32 * 1024;

/// The response to a request. The body is read from the connection when it is asked for, through
/// [`Read`] or one of the methods that read it whole.
///
/// Read to its end, the response gives its connection back to the client's pool at once. Dropped
/// before, it closes it, unless the rest had arrived already.
///
/// A body that ends before the length its head promised, before its last chunk, or (over TLS)
/// without the peer's farewell is an error, never a short body.
pub struct Response {
    head: ResponseHead,
    url: Url,
    remote: SocketAddr,
    body: Incoming,
}

/// The body on its way in.
struct Incoming {
    decoder: Decoder,
    /// The connection, as long as there may be more to come.
    lease: Option<Lease<Connection>>,
    /// Whether reading has failed; it then fails again.
    failed: bool,
    keeps_alive: bool,
    /// Bytes given to the caller so far.
    read: u64,
    bytes_max: Option<u64>,
}

impl Response {
    pub(crate) fn new(
        url: Url,
        remote: SocketAddr,
        reply: Reply,
        lease: Lease<Connection>,
        bytes_max: Option<u64>,
    ) -> Response {
        let Reply {
            head,
            decoder,
            keeps_alive,
        } = reply;
        let mut body = Incoming {
            decoder,
            lease: Some(lease),
            failed: false,
            keeps_alive,
            read: 0,
            bytes_max,
        };
        body.finish_if_done();
        Response {
            head,
            url,
            remote,
            body,
        }
    }

    /// Returns the status.
    pub fn status(&self) -> StatusCode {
        self.head.status
    }

    /// Returns the version the server speaks: HTTP/1.1 or HTTP/1.0.
    pub fn version(&self) -> Version {
        self.head.version
    }

    /// Returns the headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// Returns the URL of this response: after redirects, without user name and password.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Returns the length of the whole body in bytes, unless it shows only at its end. 0 for a
    /// response to HEAD, which has none; what GET would bring is in [`headers`](Response::headers).
    pub fn content_length(&self) -> Option<u64> {
        match self.head.framing {
            Framing::Empty => Some(0),
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::UntilClose => None,
        }
    }

    /// Returns the address that answered.
    pub fn remote_addr(&self) -> SocketAddr {
        self.remote
    }

    /// Reads the rest of the body into memory.
    ///
    /// # Errors
    /// See [`Error::is_body`]; [`ClientBuilder::body_bytes_max`](super::ClientBuilder::body_bytes_max)
    /// bounds what is read.
    pub fn bytes(mut self) -> Result<Vec<u8>, Error> {
        let promised = self
            .content_length()
            .unwrap_or(0)
            .saturating_sub(self.body.read);
        let mut bytes = Vec::with_capacity(promised.min(RESERVE_BYTES_MAX) as usize);
        let mut filled = 0;
        while !self.body.is_done() {
            if filled == bytes.len() {
                bytes.resize(bytes.capacity().max(filled + COPY_BYTES), 0);
            }
            match self.read_some(&mut bytes[filled..])? {
                0 => break,
                n => filled += n,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Reads the rest of the body as text.
    ///
    /// It is taken for UTF-8 whatever `charset` the `Content-Type` names; what isn't valid becomes
    /// U+FFFD, and a byte order mark is dropped. For other charsets decode
    /// [`bytes`](Response::bytes).
    ///
    /// # Errors
    /// As [`bytes`](Response::bytes).
    pub fn text(self) -> Result<String, Error> {
        let mut bytes = self.bytes()?;
        if bytes.starts_with(b"\xef\xbb\xbf") {
            bytes.drain(..3);
        }
        Ok(String::from_utf8(bytes)
            .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned()))
    }

    /// Writes the rest of the body to `writer`, and returns how many bytes that were. `writer` is
    /// not flushed.
    ///
    /// # Errors
    /// Those of reading, as [`io::Error`] with the client's [`Error`] inside, and the writer's.
    pub fn copy_to(&mut self, writer: &mut (impl Write + ?Sized)) -> io::Result<u64> {
        let mut piece = vec![0; COPY_BYTES];
        let mut copied = 0;
        loop {
            match self.read_some(&mut piece)? {
                0 => return Ok(copied),
                n => {
                    writer.write_all(&piece[..n])?;
                    copied += n as u64;
                }
            }
        }
    }

    /// Reads what is left if that is little and quick, so that the connection can be used again;
    /// closes it otherwise.
    pub(crate) fn discard(mut self) {
        let keeps_alive = self.body.keeps_alive;
        match self.body.connection() {
            Some(connection) if keeps_alive => {
                connection.set_deadline_no_later_than(Instant::now() + DISCARD_TIME);
            }
            _ => return,
        }
        let mut piece = vec![0; DISCARD_BYTES_MAX];
        let mut read = 0;
        while read < DISCARD_BYTES_MAX {
            match self.read_some(&mut piece) {
                Ok(n) if n > 0 => read += n,
                _ => return,
            }
        }
    }

    fn read_some(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        self.body.read(buf).map_err(|e| e.with_url(&self.url))
    }
}

impl Read for Response {
    /// Reads body bytes; 0 only at the end of a complete body (or for an empty `buf`).
    ///
    /// # Errors
    /// The client's [`Error`] inside an [`io::Error`] of kind `TimedOut`, `UnexpectedEof` (the peer
    /// went away in the middle) or `InvalidData`.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(self.read_some(buf)?)
    }
}

impl Incoming {
    fn connection(&mut self) -> Option<&mut Connection> {
        self.lease.as_mut()?.connection.as_mut()
    }

    /// Tells whether the body was read to its end.
    fn is_done(&self) -> bool {
        self.lease.is_none() && !self.failed
    }

    /// Reads some of the body; 0 at its end or for an empty `buf`.
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        if self.is_done() || buf.is_empty() {
            return Ok(0);
        }
        let result = self.read_open(buf);
        match &result {
            Ok(_) => self.finish_if_done(),
            Err(_) => {
                self.failed = true;
                // Closes the connection.
                self.lease = None;
            }
        }
        result
    }

    fn read_open(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        // Not `self.connection()`: that would borrow the decoder too.
        let connection = self
            .lease
            .as_mut()
            .and_then(|lease| lease.connection.as_mut());
        let Some(connection) = connection else {
            let message = "reading the body failed before";
            return Err(Error::new(Cause::Closed, Phase::Body, message));
        };
        // A length that is too large is refused at once, chunks when they have proved too many.
        let promised = self.read.saturating_add(self.decoder.left().unwrap_or(0));
        within(self.bytes_max, promised)?;
        let n = connection.read_body(&mut self.decoder, buf)?;
        self.read += n as u64;
        within(self.bytes_max, self.read)?;
        Ok(n)
    }

    /// Gives the connection back, or closes it, once the body has been read to its end.
    fn finish_if_done(&mut self) {
        if !self.decoder.is_done() {
            return;
        }
        if let Some(mut lease) = self.lease.take()
            && self.keeps_alive
            && lease.connection.as_mut().is_some_and(Connection::rest)
        {
            lease.keep();
        }
    }
}

/// Refuses a body of more than `max` bytes.
fn within(max: Option<u64>, bytes: u64) -> Result<(), Error> {
    match max {
        Some(max) if bytes > max => {
            let message = format!("the body is longer than {max} bytes (body_bytes_max)");
            Err(Error::new(Cause::Limit, Phase::Body, message))
        }
        _ => Ok(()),
    }
}

/// Reads on as far as bytes have arrived, and no further: dropping never waits.
impl Drop for Incoming {
    fn drop(&mut self) {
        let mut piece = [0; 512];
        while self.keeps_alive
            && let Some(lease) = &mut self.lease
            && let Some(connection) = &mut lease.connection
            && let Ok(Some(n)) = connection.take_body(&mut self.decoder, &mut piece)
        {
            if n == 0 {
                return self.finish_if_done();
            }
        }
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.head.status)
            .field("version", &self.head.version)
            .field("url", &self.url.as_str())
            .field("headers", &self.head.headers)
            .finish_non_exhaustive()
    }
}
