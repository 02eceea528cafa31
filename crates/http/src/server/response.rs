//! What a handler gives.

use std::io::{self, Read, Write};

use bytes::Bytes;
use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use ropewalk_rt::net::TcpStream;

use crate::codec::ProtocolError;
use crate::codec::body::encode_chunk;

/// A response: status, headers and a body that is there, or comes as it is sent.
pub struct Response {
    pub(super) status: StatusCode,
    /// Beside the map, so that the common response needs none.
    pub(super) content_type: Option<HeaderValue>,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
}

pub(super) enum Body {
    Empty,
    Bytes(Bytes),
    Reader {
        reader: Box<dyn Read + Send>,
        length: Option<u64>,
    },
    Stream(Box<Stream>),
    Upgrade(Box<Upgrade>),
}

pub(super) type Stream = dyn FnOnce(&mut BodyWriter<'_>) -> io::Result<()> + Send;
pub(super) type Upgrade = dyn FnOnce(&mut Upgraded<'_>) + Send;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

impl Response {
    /// A response without a body.
    pub fn new(status: StatusCode) -> Response {
        Response {
            status,
            content_type: None,
            headers: HeaderMap::new(),
            body: Body::Empty,
        }
    }

    /// 200 with a text.
    pub fn text(text: impl Into<String>) -> Response {
        Response::new(StatusCode::OK).body_of(TEXT, Bytes::from(text.into()))
    }

    /// 200 with a page of HTML.
    pub fn html(page: impl Into<String>) -> Response {
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        Response::new(StatusCode::OK).body_of(html, Bytes::from(page.into()))
    }

    /// 200 with bytes.
    pub fn bytes(bytes: impl Into<Bytes>) -> Response {
        Response::new(StatusCode::OK).body_of(BYTES, bytes.into())
    }

    /// 200 with a body that is read while it is sent. With a `length`, exactly so many bytes
    /// are sent, and a reader that has fewer breaks the connection off; without, it is chunked.
    /// If it fails before anything was sent, the client gets a 500 instead.
    pub fn reader(reader: impl Read + Send + 'static, length: Option<u64>) -> Response {
        let mut response = Response::new(StatusCode::OK);
        response.content_type = Some(BYTES);
        response.body = Body::Reader {
            reader: Box::new(reader),
            length,
        };
        response
    }

    /// 200 with a body that `f` writes while it is sent, chunked. An error breaks the
    /// connection off, so that nobody takes the part for the whole; or it becomes a 500, if
    /// nothing was sent before it.
    pub fn stream(
        f: impl FnOnce(&mut BodyWriter<'_>) -> io::Result<()> + Send + 'static,
    ) -> Response {
        let mut response = Response::new(StatusCode::OK);
        response.content_type = Some(BYTES);
        response.body = Body::Stream(Box::new(f));
        response
    }

    /// 101: the connection speaks `protocol` from here on, and `f` speaks it.
    ///
    /// A client that has not asked for an upgrade gets 426 with the protocol's name, and so
    /// does one whose request has a body that was not read.
    ///
    /// # Panics
    ///
    /// If `protocol` can't be a header's value.
    pub fn upgrade(protocol: &str, f: impl FnOnce(&mut Upgraded<'_>) + Send + 'static) -> Response {
        let protocol = HeaderValue::from_str(protocol).expect("a protocol's name");
        let mut response = Response::new(StatusCode::SWITCHING_PROTOCOLS)
            .with_header(header::CONNECTION, HeaderValue::from_static("upgrade"))
            .with_header(header::UPGRADE, protocol);
        response.body = Body::Upgrade(Box::new(f));
        response
    }

    /// A redirect to `location` with `status` (302, 303, 307, 308 …).
    ///
    /// # Panics
    ///
    /// If `location` can't be a header's value.
    pub fn redirect(status: StatusCode, location: &str) -> Response {
        let location = HeaderValue::from_str(location).expect("a location");
        Response::new(status).with_header(header::LOCATION, location)
    }

    fn body_of(mut self, content_type: HeaderValue, bytes: Bytes) -> Response {
        self.content_type = Some(content_type);
        self.body = Body::Bytes(bytes);
        self
    }

    /// The same with another status.
    pub fn with_status(mut self, status: StatusCode) -> Response {
        self.status = status;
        self
    }

    /// The same with this header set, in the place of any other of its name.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Response {
        self.headers_mut().insert(name, value);
        self
    }

    /// The same with this media type.
    ///
    /// # Panics
    ///
    /// If it can't be a header's value.
    pub fn with_type(mut self, media_type: &str) -> Response {
        self.headers.remove(header::CONTENT_TYPE);
        self.content_type = Some(HeaderValue::from_str(media_type).expect("a media type"));
        self
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers. What frames the body (`Content-Length`, `Transfer-Encoding`) is the
    /// server's, and replaced.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        if let Some(content_type) = self.content_type.take() {
            self.headers.insert(header::CONTENT_TYPE, content_type);
        }
        &mut self.headers
    }
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("content_type", &self.content_type)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

/// Where a streamed body is written to.
///
/// Writes are gathered; [`flush`](Write::flush) sends what there is.
pub struct BodyWriter<'a> {
    pub(super) out: &'a mut Vec<u8>,
    pub(super) send: &'a mut dyn FnMut(&mut Vec<u8>) -> io::Result<()>,
    pub(super) chunked: bool,
}

/// What is gathered before it is sent.
pub(super) const GATHER_BYTES: usize = 64 << 10;

impl Write for BodyWriter<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let piece = &buf[..buf.len().min(GATHER_BYTES)];
        if self.chunked {
            encode_chunk(self.out, piece);
        } else {
            self.out.extend_from_slice(piece);
        }
        if self.out.len() >= GATHER_BYTES {
            self.flush()?;
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        (self.send)(self.out)
    }
}

/// An upgraded connection: what was received behind the request is read first.
pub struct Upgraded<'a> {
    pub(super) received: Vec<u8>,
    pub(super) stream: &'a mut dyn Both,
}

pub(super) trait Both: Read + Write {
    fn tcp(&self) -> Option<&TcpStream>;
}

impl<S: super::connection::Stream> Both for S {
    fn tcp(&self) -> Option<&TcpStream> {
        super::connection::Stream::tcp(self)
    }
}

impl Upgraded<'_> {
    /// The connection itself, for deadlines or to read and write at once; `None` in tests
    /// without a network. What was received already is read from here only.
    ///
    /// Each read may wait as long as the server's connections may be idle, until
    /// [`TcpStream::set_read_timeout`] says otherwise.
    pub fn tcp(&self) -> Option<&TcpStream> {
        self.stream.tcp()
    }
}

impl Read for Upgraded<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.received.is_empty() {
            return self.stream.read(buf);
        }
        let len = self.received.len().min(buf.len());
        buf[..len].copy_from_slice(&self.received[..len]);
        self.received.drain(..len);
        Ok(len)
    }
}

impl Write for Upgraded<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.stream.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

/// What can be a handler's answer.
pub trait IntoResponse {
    /// Makes the response.
    fn into_response(self) -> Response;
}

impl IntoResponse for Response {
    fn into_response(self) -> Response {
        self
    }
}

impl IntoResponse for () {
    /// 200 without a body.
    fn into_response(self) -> Response {
        Response::new(StatusCode::OK)
    }
}

impl IntoResponse for StatusCode {
    /// Without a body.
    fn into_response(self) -> Response {
        Response::new(self)
    }
}

impl IntoResponse for &'static str {
    fn into_response(self) -> Response {
        let bytes = Bytes::from_static(self.as_bytes());
        Response::new(StatusCode::OK).body_of(TEXT, bytes)
    }
}

impl IntoResponse for String {
    fn into_response(self) -> Response {
        Response::text(self)
    }
}

impl IntoResponse for Vec<u8> {
    fn into_response(self) -> Response {
        Response::bytes(self)
    }
}

impl IntoResponse for Bytes {
    fn into_response(self) -> Response {
        Response::bytes(self)
    }
}

impl<T: IntoResponse> IntoResponse for (StatusCode, T) {
    fn into_response(self) -> Response {
        self.1.into_response().with_status(self.0)
    }
}

impl<T: IntoResponse> IntoResponse for Option<T> {
    /// `None` is 404.
    fn into_response(self) -> Response {
        self.map_or_else(|| Response::new(StatusCode::NOT_FOUND), T::into_response)
    }
}

impl<T: IntoResponse, E: IntoResponse> IntoResponse for Result<T, E> {
    fn into_response(self) -> Response {
        match self {
            Ok(value) => value.into_response(),
            Err(error) => error.into_response(),
        }
    }
}

impl<B: Into<Bytes>> IntoResponse for http::Response<B> {
    fn into_response(self) -> Response {
        let (parts, body) = self.into_parts();
        let mut response = Response::bytes(body).with_status(parts.status);
        response.content_type = None;
        response.headers = parts.headers;
        response
    }
}

impl IntoResponse for io::Error {
    /// A body that could not be read: 400, 408 or 413, as it was the client's doing. All else
    /// is 500, with no details told to the client.
    fn into_response(self) -> Response {
        let inner = self
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<ProtocolError>());
        let status = match (inner, self.kind()) {
            (Some(error), _) => error.status(),
            (None, io::ErrorKind::TimedOut) => StatusCode::REQUEST_TIMEOUT,
            (None, io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData) => {
                StatusCode::BAD_REQUEST
            }
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        plain(status)
    }
}

/// A status with its reason as the text.
pub(super) fn plain(status: StatusCode) -> Response {
    let reason = status.canonical_reason().unwrap_or("Unknown");
    (status, format!("{} {reason}\n", status.as_u16())).into_response()
}
