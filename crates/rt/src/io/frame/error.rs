//! What is wrong with a stream of messages.

use std::fmt;
use std::io;

/// Why bytes are no message, or a message can't be written; the source of the [`io::Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FrameError {
    /// A message is longer than the reader or writer takes. A longer line is skipped; after a
    /// length that is too large nothing more can be read.
    TooLong {
        /// The longest it takes, in bytes.
        max: usize,
    },
    /// The stream ended inside a message.
    Truncated {
        /// How much of it there is, in bytes.
        got: usize,
    },
    /// A line is not UTF-8. It is skipped.
    NotUtf8 {
        /// The first bad byte's place in the line.
        at: usize,
    },
    /// A length of variable size goes on beyond 64 bits.
    BadVarint,
    /// A line to be written holds the end of one.
    LineBreak,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::TooLong { max } => write!(f, "a message of more than {max} bytes"),
            FrameError::Truncated { got } => {
                write!(
                    f,
                    "the stream ended inside a message, after {got} bytes of it"
                )
            }
            FrameError::NotUtf8 { at } => write!(f, "a line that is not UTF-8, at its byte {at}"),
            FrameError::BadVarint => f.write_str("a length of more than 64 bits"),
            FrameError::LineBreak => f.write_str("a line break inside a line to be written"),
        }
    }
}

impl std::error::Error for FrameError {}

impl From<FrameError> for io::Error {
    fn from(error: FrameError) -> io::Error {
        let kind = match error {
            FrameError::Truncated { .. } => io::ErrorKind::UnexpectedEof,
            FrameError::LineBreak => io::ErrorKind::InvalidInput,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, error)
    }
}
