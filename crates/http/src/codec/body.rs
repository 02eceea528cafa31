//! Bodies: told from what follows them, and framed.

use std::ops::Range;

use http::StatusCode;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::head::{self, FIELDS_MAX, LENGTH_MAX};
use super::{Framing, Limits, ProtocolError};

/// Finds the data of one body in the bytes of a connection.
#[derive(Clone, Debug)]
pub struct Decoder {
    state: State,
    /// How many bytes of data may still come.
    room: u64,
    chunk_line_bytes_max: usize,
    trailer_bytes_max: usize,
    fields_max: usize,
    /// Bytes of all chunks' extensions so far.
    extension_bytes: usize,
    trailers: HeaderMap,
}

/// Bytes of the extensions of one body's chunks, together; nobody uses any.
const EXTENSION_BYTES_MAX: usize = 8 * 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Length(u64),
    UntilClose,
    /// In the digits of a chunk's size.
    Size {
        value: u64,
        line_bytes: usize,
        digits: bool,
    },
    /// In a chunk's extensions.
    Extension {
        value: u64,
        line_bytes: usize,
    },
    /// At the LF behind a chunk's size.
    SizeEnd {
        value: u64,
    },
    Data(u64),
    /// At the CR LF behind a chunk's data: how many of the two have been seen.
    DataEnd(u8),
    /// In the lines behind the last chunk.
    Trailers(Vec<u8>),
    Done,
}

/// What [`Decoder::decode`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// How many bytes of the input are done with; what follows is to be given again.
    pub consumed: usize,
    /// Where the data lies in the input; may be empty.
    pub data: Range<usize>,
}

impl Decoder {
    /// A decoder for one body.
    pub fn new(framing: Framing, limits: &Limits) -> Decoder {
        let state = match framing {
            Framing::Empty | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size {
                value: 0,
                line_bytes: 0,
                digits: false,
            },
            Framing::UntilClose => State::UntilClose,
        };
        Decoder {
            state,
            room: limits.body_bytes_max.unwrap_or(u64::MAX),
            chunk_line_bytes_max: limits.chunk_line_bytes_max,
            trailer_bytes_max: limits.trailer_bytes_max,
            fields_max: limits.fields_max.min(FIELDS_MAX),
            extension_bytes: 0,
            trailers: HeaderMap::new(),
        }
    }

    /// Says whether the body has come to its end.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// How many bytes of data are still to come, where that is known.
    pub fn left(&self) -> Option<u64> {
        match self.state {
            State::Length(left) => Some(left),
            State::Done => Some(0),
            _ => None,
        }
    }

    /// The fields behind a chunked body, once it is done.
    pub fn trailers(&self) -> &HeaderMap {
        &self.trailers
    }

    /// Takes the end of the connection; says whether the body is whole.
    pub fn eof(&mut self) -> bool {
        if self.state == State::UntilClose {
            self.state = State::Done;
        }
        self.is_done()
    }

    /// Finds the next piece of data in `input`.
    ///
    /// Without data in what it gives, all of `input` was consumed (more is needed), or the
    /// body is done.
    ///
    /// # Errors
    ///
    /// What is wrong with the framing; the connection can't be used further.
    pub fn decode(&mut self, input: &[u8]) -> Result<Decoded, ProtocolError> {
        let mut at = 0;
        while at < input.len() {
            let left = match &mut self.state {
                State::Done => break,
                State::UntilClose => u64::MAX,
                State::Length(left) | State::Data(left) => *left,
                _ => {
                    self.frame(input[at])?;
                    at += 1;
                    continue;
                }
            };
            return self.data(left, at, input.len());
        }
        Ok(Decoded {
            consumed: at,
            data: at..at,
        })
    }

    /// Gives data from `at` on, as much as there is of what is `left`.
    fn data(&mut self, left: u64, at: usize, end: usize) -> Result<Decoded, ProtocolError> {
        let len = (end - at).min(usize::try_from(left).unwrap_or(usize::MAX));
        self.room = self.room.checked_sub(len as u64).ok_or(TOO_LONG)?;
        let rest = left - len as u64;
        match &mut self.state {
            State::Length(left) if rest > 0 => *left = rest,
            State::Length(_) => self.state = State::Done,
            State::Data(left) if rest > 0 => *left = rest,
            State::Data(_) => self.state = State::DataEnd(0),
            _ => {}
        }
        Ok(Decoded {
            consumed: at + len,
            data: at..at + len,
        })
    }

    /// Takes one byte that is not data.
    fn frame(&mut self, byte: u8) -> Result<(), ProtocolError> {
        const SIZE: ProtocolError = ProtocolError::bad("an invalid chunk size");
        const LINE: ProtocolError = ProtocolError::bad("the line of a chunk's size is too long");
        let line_max = self.chunk_line_bytes_max;
        match &mut self.state {
            State::Size {
                value,
                line_bytes,
                digits,
            } => {
                *line_bytes += 1;
                let digit = char::from(byte).to_digit(16);
                match (digit, byte) {
                    _ if *line_bytes > line_max => return Err(LINE),
                    (Some(digit), _) => {
                        if *value > LENGTH_MAX >> 4 {
                            return Err(SIZE);
                        }
                        *value = *value << 4 | u64::from(digit);
                        *digits = true;
                    }
                    (None, b'\r') if *digits => {
                        self.state = State::SizeEnd { value: *value };
                    }
                    (None, b';') if *digits => {
                        self.state = State::Extension {
                            value: *value,
                            line_bytes: *line_bytes,
                        };
                    }
                    _ => return Err(SIZE),
                }
            }
            State::Extension { value, line_bytes } => {
                *line_bytes += 1;
                self.extension_bytes += 1;
                match byte {
                    _ if *line_bytes > line_max => return Err(LINE),
                    _ if self.extension_bytes > EXTENSION_BYTES_MAX => {
                        return Err(ProtocolError::bad("too many chunk extensions"));
                    }
                    b'\r' => self.state = State::SizeEnd { value: *value },
                    b'\t' | b' '..=b'~' | 0x80.. => {}
                    _ => return Err(ProtocolError::bad("an invalid chunk extension")),
                }
            }
            State::SizeEnd { value } => {
                if byte != b'\n' {
                    return Err(SIZE);
                }
                self.state = match *value {
                    0 => State::Trailers(Vec::new()),
                    size if size > self.room => return Err(TOO_LONG),
                    size => State::Data(size),
                };
            }
            State::DataEnd(seen) => match (*seen, byte) {
                (0, b'\r') => *seen = 1,
                (1, b'\n') => {
                    self.state = State::Size {
                        value: 0,
                        line_bytes: 0,
                        digits: false,
                    };
                }
                _ => return Err(ProtocolError::bad("a chunk does not end with CR LF")),
            },
            State::Trailers(lines) => {
                lines.push(byte);
                if lines.len() > self.trailer_bytes_max {
                    return Err(ProtocolError::new(
                        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                        "the trailers are too long",
                    ));
                }
                let after_cr = lines.len() > 1 && lines[lines.len() - 2] == b'\r';
                if after_cr != (byte == b'\n') {
                    return Err(ProtocolError::bad(
                        "a line of the trailers ends without CR LF",
                    ));
                }
                if lines.as_slice() == b"\r\n" || lines.ends_with(b"\r\n\r\n") {
                    self.trailers = trailers(lines, self.fields_max)?;
                    self.state = State::Done;
                }
            }
            State::Length(_) | State::UntilClose | State::Data(_) | State::Done => {
                unreachable!("data is not framing")
            }
        }
        Ok(())
    }
}

const TOO_LONG: ProtocolError =
    ProtocolError::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long");

/// Fields that frame, route or guard a message, or say how to read it, can't come behind its
/// body (RFC 9110, section 6.5.1).
const NO_TRAILERS: &[&str] = &[
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "host",
    "proxy-authorization",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

fn trailers(lines: &[u8], fields_max: usize) -> Result<HeaderMap, ProtocolError> {
    const BAD: ProtocolError = ProtocolError::bad("an invalid trailer");
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let (_, fields) = match httparse::parse_headers(lines, &mut fields[..fields_max]) {
        Ok(httparse::Status::Complete(parsed)) => parsed,
        Err(httparse::Error::TooManyHeaders) => return Err(head::TOO_MANY),
        Ok(httparse::Status::Partial) | Err(_) => return Err(BAD),
    };
    let mut map = HeaderMap::new();
    for field in fields {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| BAD)?;
        if NO_TRAILERS.contains(&name.as_str()) {
            return Err(ProtocolError::bad("a trailer that may not be one"));
        }
        let value = HeaderValue::from_bytes(field.value).map_err(|_| BAD)?;
        map.append(name, value);
    }
    Ok(map)
}

/// Appends `data` as a chunk to `out`. Empty data is no chunk (it would end the body).
pub fn encode_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let nibbles = (usize::BITS - data.len().leading_zeros()).div_ceil(4);
    for nibble in (0..nibbles).rev() {
        out.push(DIGITS[(data.len() >> (4 * nibble)) & 15]);
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Appends the end of a chunked body to `out`, without trailers.
pub fn encode_last_chunk(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n\r\n");
}
