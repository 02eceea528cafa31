//! Messages in a stream of bytes: lines, or bytes with their length before them.
//!
//! A [`FrameReader`] takes any `Read`, a [`FrameWriter`] any `Write`, and a [`Codec`] says where
//! messages begin and end: [`Lines`] or [`LengthPrefixed`]. Both keep their place: a read that
//! timed out in the middle of a message goes on there the next time, and so does a
//! write.
//!
//! # Examples
//!
//! ```
//! use ropewalk_rt::io::frame::{FrameReader, FrameWriter, LengthPrefixed, Lines};
//!
//! let mut lines = FrameReader::new(&b"one\r\ntwo\nlast"[..], Lines::new());
//! assert_eq!(lines.read_frame()?, Some("one"));
//! assert_eq!(lines.read_frame()?, Some("two"));
//! assert_eq!(lines.read_frame()?, Some("last"));
//! assert_eq!(lines.read_frame()?, None);
//!
//! let codec = LengthPrefixed::u16().max_len(1000);
//! let mut writer = FrameWriter::new(Vec::new(), codec);
//! writer.write_frame(b"hello")?;
//! let bytes = writer.into_inner();
//! assert_eq!(bytes, b"\x00\x05hello");
//! assert_eq!(FrameReader::new(&bytes[..], codec).read_frame()?, Some(&b"hello"[..]));
//! # Ok::<(), std::io::Error>(())
//! ```

mod error;
mod length;
mod lines;
mod reader;
mod writer;

pub use error::FrameError;
pub use length::LengthPrefixed;
pub use lines::Lines;
pub use reader::FrameReader;
pub use writer::FrameWriter;

use std::ops::Range;

/// The longest message, if nothing else was said: 8 MiB.
const MAX_LEN: usize = 8 << 20;

/// Where messages begin and end in a stream, and how they are written to one.
pub trait Codec {
    /// A message that was read.
    type Frame<'a>;
    /// A message to be written.
    type Item: ?Sized;

    /// Looks for a message at the beginning of `input`; `ended` says that nothing comes after it.
    ///
    /// As long as it gives [`Found::More`], it is called with the same input and more after it.
    ///
    /// # Errors
    ///
    /// What is no message, which then is skipped or ends the reading.
    fn find(&mut self, input: &[u8], ended: bool) -> Result<Found, FrameError>;

    /// Says whether messages can be found after `error`, which [`find`](Self::find) gave.
    fn goes_on_after(&self, _error: FrameError) -> bool {
        false
    }

    /// Makes a message of the bytes that were found.
    ///
    /// # Errors
    ///
    /// If they are none; they are skipped.
    fn frame<'a>(&self, bytes: &'a [u8]) -> Result<Self::Frame<'a>, FrameError>;

    /// Appends a message to `output`, which is as it was if that fails.
    ///
    /// # Errors
    ///
    /// If such a message can't be written.
    fn encode(&self, item: &Self::Item, output: &mut Vec<u8>) -> Result<(), FrameError>;
}

/// What a [`Codec`] has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A message.
    Frame {
        /// Where its bytes are.
        bytes: Range<usize>,
        /// How much of the input it takes, borders included.
        taken: usize,
    },
    /// Not all of one: it must grow to so many bytes at least.
    More(usize),
    /// So many bytes that belong to no message.
    Skip(usize),
    /// No further message: the end, at the end of a message.
    End,
}
