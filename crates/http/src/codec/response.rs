//! Response heads.

use std::mem::MaybeUninit;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Version};

use super::head::{self, FIELDS_MAX, Fields, Said};
use super::{Framing, Limits, ProtocolError};

/// A parsed response head.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// The status: 100 to 599.
    pub status: StatusCode,
    /// The version: 1.0 or 1.1.
    pub version: Version,
    /// The fields.
    pub headers: HeaderMap,
    /// Where the body ends.
    pub framing: Framing,
    /// Whether the server is ready for another request on the connection. What the framing
    /// says comes on top: after a body until close there is none.
    pub keep_alive: bool,
}

impl Default for ResponseHead {
    fn default() -> Self {
        ResponseHead {
            status: StatusCode::OK,
            version: Version::HTTP_11,
            headers: HeaderMap::new(),
            framing: Framing::Empty,
            keep_alive: true,
        }
    }
}

/// Parses a response head at the start of `buf` into `head`; gives its length in bytes.
///
/// `method` is the request's: the answer to HEAD has no body, whatever its fields say.
/// `None`: not complete, nothing wrong so far.
///
/// # Errors
///
/// What is wrong; the connection can't be used further.
pub fn parse(
    buf: &[u8],
    method: &Method,
    limits: &Limits,
    head: &mut ResponseHead,
) -> Result<Option<usize>, ProtocolError> {
    let Some(len) = head::end(buf, limits)? else {
        return Ok(None);
    };
    let bytes = &buf[..len];
    let mut fields = [MaybeUninit::uninit(); FIELDS_MAX];
    let most = limits.fields_max.min(FIELDS_MAX);
    let mut response = httparse::Response::new(&mut []);
    let status = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut response, bytes, &mut fields[..most])
        .map_err(head::syntax)?;
    if status.is_partial() {
        return Err(ProtocolError::bad("an invalid head"));
    }
    let code = response.code.filter(|code| (100..600).contains(code));
    let code = code.and_then(|code| StatusCode::from_u16(code).ok());
    head.status = code.ok_or(ProtocolError::bad("an invalid status"))?;
    head.version = head::version(response.version);
    let said = Said::read(response.headers)?;
    let named = said.framing(head.version)?;
    head.framing = if is_bodiless(method, head.status) {
        Framing::Empty
    } else {
        named.unwrap_or(Framing::UntilClose)
    };
    if let (Framing::Length(length), Some(most)) = (head.framing, limits.body_bytes_max)
        && length > most
    {
        return Err(ProtocolError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the body is too long",
        ));
    }
    // These have no body and may not name one (RFC 9110, section 8.6). Where the peer sends it
    // all the same is not known, so nothing is read behind it.
    let named = named.is_some_and(|framing| framing != Framing::Empty);
    if named && head.status.is_informational() {
        return Err(ProtocolError::bad("an interim response with a body"));
    }
    let in_doubt = named && head.status == StatusCode::NO_CONTENT;
    head.keep_alive = said.keeps_alive(head.version) && !in_doubt;
    let mut kept = Fields::default();
    kept.set(bytes, response.headers);
    head.headers = kept.to_map();
    Ok(Some(len))
}

/// Says whether a response has no body, whatever its fields say (RFC 9112, section 6.3).
pub fn is_bodiless(method: &Method, status: StatusCode) -> bool {
    *method == Method::HEAD
        || (*method == Method::CONNECT && status.is_success())
        || status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
}

/// Appends the status line of HTTP/1.1 to `out`.
pub fn encode_status(out: &mut Vec<u8>, status: StatusCode) {
    if status == StatusCode::OK {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return;
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or("Unknown").as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Appends one field to `out`.
pub fn encode_field(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    super::request::encode_field(out, name, value);
}

/// Appends the field that says the body's length to `out`.
pub fn encode_length(out: &mut Vec<u8>, length: u64) {
    out.extend_from_slice(b"content-length: ");
    out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    out.extend_from_slice(b"\r\n");
}
