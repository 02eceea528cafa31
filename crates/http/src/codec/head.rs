//! What request and response heads share: where they end, their fields, what frames a body.

use std::ops::Range;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{StatusCode, Version};

use super::{Framing, Limits, ProtocolError};

/// The most fields a head can have, whatever the limits say.
pub(super) const FIELDS_MAX: usize = 256;

/// The longest body, or chunk of one, that can be named: what a signed number holds too, so
/// that no other reader sees another number in the digits.
pub(super) const LENGTH_MAX: u64 = i64::MAX as u64;

/// The fields of one head: a copy of its bytes and where in them names and values lie.
///
/// Kept that way because most handlers look at few of them or none; both vectors keep their
/// room from head to head.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    bytes: Vec<u8>,
    places: Vec<(Range<u32>, Range<u32>)>,
}

impl Fields {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Says whether there are none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Each field's name, as sent, and value, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.places.iter().map(|(name, value)| {
            let name = &self.bytes[name.start as usize..name.end as usize];
            // A token is ASCII.
            let name = std::str::from_utf8(name).unwrap_or_default();
            (name, &self.bytes[value.start as usize..value.end as usize])
        })
    }

    /// The value of the first field with this name, in any case.
    pub fn find(&self, name: &str) -> Option<&[u8]> {
        self.iter()
            .find_map(|(own, value)| own.eq_ignore_ascii_case(name).then_some(value))
    }

    /// The fields as a map, made anew.
    pub fn to_map(&self) -> HeaderMap {
        let mut map = HeaderMap::with_capacity(self.len());
        for (name, value) in self.iter() {
            // Both were checked when the head was parsed.
            if let (Ok(name), Ok(value)) = (
                HeaderName::from_bytes(name.as_bytes()),
                HeaderValue::from_bytes(value),
            ) {
                map.append(name, value);
            }
        }
        map
    }

    /// Takes over the head `bytes` and its parsed fields, which lie in it.
    pub(super) fn set(&mut self, bytes: &[u8], fields: &[httparse::Header<'_>]) {
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
        self.places.clear();
        let place = |part: &[u8]| {
            let start = (part.as_ptr() as usize - bytes.as_ptr() as usize) as u32;
            start..start + part.len() as u32
        };
        for field in fields {
            let value = field.value.trim_ascii();
            let value = if value.is_empty() { 0..0 } else { place(value) };
            self.places.push((place(field.name.as_bytes()), value));
        }
    }
}

/// Finds the end of the head: behind the first empty line.
///
/// `Ok(None)` if it isn't there yet. Each line must end with CR LF and may hold neither
/// elsewhere; a line that begins with white space (a folded field) is refused.
pub(super) fn end(buf: &[u8], limits: &Limits) -> Result<Option<usize>, ProtocolError> {
    const BARE: ProtocolError = ProtocolError::bad("a CR within a line of the head");
    let within = &buf[..buf.len().min(limits.head_bytes_max)];
    // Each line has one CR: counting all of them at the end finds those that stand alone.
    let crs = |part: &[u8]| memchr::memchr_iter(b'\r', part).count();
    let (mut start, mut lines) = (0, 0);
    for lf in memchr::memchr_iter(b'\n', within) {
        if lf == start || within[lf - 1] != b'\r' {
            return Err(ProtocolError::bad("a line of the head ends without CR LF"));
        }
        lines += 1;
        if lf - start == 1 {
            return if crs(&within[..lf]) == lines {
                Ok(Some(lf + 1))
            } else {
                Err(BARE)
            };
        }
        if start > 0 && matches!(within[start], b' ' | b'\t') {
            return Err(ProtocolError::bad("a folded header field"));
        }
        start = lf + 1;
    }
    // The rest is a line without an end: a CR in it that is not its last byte stays bare.
    let begun = usize::from(within[start..].ends_with(b"\r"));
    if crs(within) != lines + begun {
        return Err(BARE);
    }
    if buf.len() >= limits.head_bytes_max {
        Err(LONG)
    } else {
        Ok(None)
    }
}

/// What the parser of lines says, as ours.
pub(super) fn syntax(error: httparse::Error) -> ProtocolError {
    match error {
        httparse::Error::HeaderName => ProtocolError::bad("an invalid header name"),
        httparse::Error::HeaderValue => ProtocolError::bad("an invalid header value"),
        httparse::Error::NewLine => ProtocolError::bad("an invalid line end"),
        httparse::Error::Status => ProtocolError::bad("an invalid status line"),
        httparse::Error::Token => ProtocolError::bad("an invalid start line"),
        httparse::Error::TooManyHeaders => TOO_MANY,
        httparse::Error::Version => ProtocolError::new(
            StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            "not HTTP/1.0 or HTTP/1.1",
        ),
    }
}

const LONG: ProtocolError = ProtocolError::new(
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    "the head is too long",
);

pub(super) const TOO_MANY: ProtocolError = ProtocolError::new(
    StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
    "the head has too many fields",
);

pub(super) fn version(minor: Option<u8>) -> Version {
    if minor == Some(0) {
        Version::HTTP_10
    } else {
        Version::HTTP_11
    }
}

/// What the fields of a head say about the message and the connection.
#[derive(Debug, Default)]
pub(super) struct Said {
    length: Option<u64>,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    connection_upgrade: bool,
    upgrade: bool,
    /// How many `Host` fields there are, and where the last one is.
    pub(super) hosts: usize,
    pub(super) host_at: usize,
    pub(super) expects: Option<bool>,
}

impl Said {
    /// Reads the fields that matter for framing; all others pass.
    pub(super) fn read(fields: &[httparse::Header<'_>]) -> Result<Said, ProtocolError> {
        let mut said = Said::default();
        for (at, field) in fields.iter().enumerate() {
            // By length first: most names are none of these.
            match field.name.len() {
                4 if field.name.eq_ignore_ascii_case("host") => {
                    said.hosts += 1;
                    said.host_at = at;
                }
                6 if field.name.eq_ignore_ascii_case("expect") => {
                    let known = field
                        .value
                        .trim_ascii()
                        .eq_ignore_ascii_case(b"100-continue");
                    said.expects = Some(known && said.expects.is_none());
                }
                7 if field.name.eq_ignore_ascii_case("upgrade") => said.upgrade = true,
                10 if field.name.eq_ignore_ascii_case("connection") => {
                    said.connection(field.value);
                }
                14 if field.name.eq_ignore_ascii_case("content-length") => {
                    if said.length.is_some() {
                        return Err(ProtocolError::bad("more than one Content-Length"));
                    }
                    said.length = Some(content_length(field.value)?);
                }
                17 if field.name.eq_ignore_ascii_case("transfer-encoding") => {
                    if said.chunked {
                        return Err(ProtocolError::bad("more than one Transfer-Encoding"));
                    }
                    transfer_encoding(field.value)?;
                    said.chunked = true;
                }
                // `HeaderName` takes no more.
                0x1_0000.. => return Err(LONG),
                _ => {}
            }
        }
        if said.chunked && said.length.is_some() {
            return Err(ProtocolError::bad(
                "both Content-Length and Transfer-Encoding",
            ));
        }
        Ok(said)
    }

    fn connection(&mut self, value: &[u8]) {
        for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if option.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.connection_upgrade = true;
            }
        }
    }

    /// The framing that the fields name; `None` if they name none.
    pub(super) fn framing(&self, version: Version) -> Result<Option<Framing>, ProtocolError> {
        if self.chunked && version == Version::HTTP_10 {
            return Err(ProtocolError::bad("Transfer-Encoding in HTTP/1.0"));
        }
        Ok(match self.length {
            _ if self.chunked => Some(Framing::Chunked),
            Some(0) => Some(Framing::Empty),
            Some(length) => Some(Framing::Length(length)),
            None => None,
        })
    }

    /// Says whether the connection may carry another message after this one.
    pub(super) fn keeps_alive(&self, version: Version) -> bool {
        !self.close && (version == Version::HTTP_11 || self.keep_alive)
    }

    pub(super) fn upgrades(&self) -> bool {
        self.upgrade && self.connection_upgrade
    }
}

/// Digits and nothing else (RFC 9110, section 8.6): no sign, no list, no overflow.
fn content_length(value: &[u8]) -> Result<u64, ProtocolError> {
    const BAD: ProtocolError = ProtocolError::bad("an invalid Content-Length");
    let value = value.trim_ascii();
    if value.is_empty() {
        return Err(BAD);
    }
    let length = value.iter().try_fold(0u64, |length, byte| {
        let digit = byte
            .is_ascii_digit()
            .then(|| u64::from(byte - b'0'))
            .ok_or(BAD)?;
        length
            .checked_mul(10)
            .and_then(|tens| tens.checked_add(digit))
            .ok_or(BAD)
    })?;
    if length > LENGTH_MAX {
        Err(BAD)
    } else {
        Ok(length)
    }
}

/// `chunked`, alone: nobody here decodes another transfer coding.
fn transfer_encoding(value: &[u8]) -> Result<(), ProtocolError> {
    let mut codings = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let (first, rest) = (codings.next().unwrap_or_default(), codings.next());
    if first.eq_ignore_ascii_case(b"chunked") {
        return match rest {
            None => Ok(()),
            Some(_) => Err(ProtocolError::bad(
                "chunked is not the only transfer coding",
            )),
        };
    }
    if first.is_empty() {
        return Err(ProtocolError::bad("an empty Transfer-Encoding"));
    }
    Err(ProtocolError::new(
        StatusCode::NOT_IMPLEMENTED,
        "an unknown transfer coding",
    ))
}
