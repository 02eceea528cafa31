//! The HTTP/1.1 codec: bytes to heads and bodies and back, without any I/O.
//!
//! Client and server stand on the same few functions. What can't be framed without doubt is
//! refused: two parties that disagree about where a message ends are what request smuggling
//! is made of (RFC 9112, section 11.2).
//!
//! | file | what lives there |
//! |---|---|
//! | `head.rs` | what both kinds of heads share: line ends, fields, framing |
//! | [`request`] | request heads |
//! | [`response`] | response heads |
//! | [`body`] | bodies: by length, chunked, until the connection closes |
//!
//! A parser is given all that has been received and not been consumed. It says how many bytes
//! the head has, `None` if it is not complete, or what is wrong with it; it keeps nothing
//! between two calls, and what it says of a prefix it also says of the whole.

pub mod body;
mod head;
pub mod request;
pub mod response;

pub use head::Fields;
pub use request::{RequestHead, Target};
pub use response::ResponseHead;

use http::StatusCode;

/// What a message may have at most; beyond it is an error, never a silent cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a head, with its start line and the empty line. Default 64 KiB.
    pub head_bytes_max: usize,
    /// Fields of a head. Default 100.
    pub fields_max: usize,
    /// Bytes of a request's target; never more than 65,534. Default 8 KiB.
    pub target_bytes_max: usize,
    /// Bytes of the line that begins a chunk, with its extensions. Default 256.
    pub chunk_line_bytes_max: usize,
    /// Bytes of the trailers behind a chunked body. Default 8 KiB.
    pub trailer_bytes_max: usize,
    /// Bytes of a body; `None` for no limit. Default: none.
    pub body_bytes_max: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            head_bytes_max: 64 * 1024,
            fields_max: 100,
            target_bytes_max: 8 * 1024,
            chunk_line_bytes_max: 256,
            trailer_bytes_max: 8 * 1024,
            body_bytes_max: None,
        }
    }
}

/// Where a body ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    #[default]
    Empty,
    /// After so many bytes.
    Length(u64),
    /// With its last chunk.
    Chunked,
    /// With the connection (responses only).
    UntilClose,
}

/// What is wrong with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolError {
    status: StatusCode,
    text: &'static str,
}

impl ProtocolError {
    pub(crate) const fn new(status: StatusCode, text: &'static str) -> ProtocolError {
        ProtocolError { status, text }
    }

    pub(crate) const fn bad(text: &'static str) -> ProtocolError {
        ProtocolError::new(StatusCode::BAD_REQUEST, text)
    }

    /// What a server answers to it: 400, 413, 414, 417, 431, 501 or 505.
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

impl std::fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text)
    }
}

impl std::error::Error for ProtocolError {}
