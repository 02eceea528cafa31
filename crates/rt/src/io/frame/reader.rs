//! Reading messages.

use std::fmt;
use std::io::{self, Read};
use std::ops::Range;

use super::{Codec, Found, FrameError};

/// Room for a read, at least.
const ROOM: usize = 8 * 1024;

/// Reads messages from a `Read`; see the [module](super).
pub struct FrameReader<R, C> {
    reader: R,
    codec: C,
    buf: Vec<u8>,
    /// What of the buffer was read and not taken.
    filled: Range<usize>,
    /// Whether the reader has said that it is at its end.
    ended: bool,
    /// What nothing can be read after.
    broken: Option<FrameError>,
}

enum Next {
    Frame(Range<usize>),
    End,
}

impl<R: Read, C: Codec> FrameReader<R, C> {
    /// Reads the messages of `reader`.
    pub fn new(reader: R, codec: C) -> FrameReader<R, C> {
        FrameReader {
            reader,
            codec,
            buf: Vec::new(),
            filled: 0..0,
            ended: false,
            broken: None,
        }
    }

    /// Waits for the next message and gives it, as long as the reader is not used again; `None`
    /// at the end of the stream.
    ///
    /// # Errors
    ///
    /// Those of the stream: nothing is lost, and the next call goes on there. A [`FrameError`]
    /// (as the source of the [`io::Error`]): a line that is too long or not UTF-8 is skipped, any
    /// other is given again by each further call.
    pub fn read_frame(&mut self) -> io::Result<Option<C::Frame<'_>>> {
        match self.next()? {
            Next::Frame(bytes) => Ok(Some(self.codec.frame(&self.buf[bytes])?)),
            Next::End => Ok(None),
        }
    }

    /// Waits for each message and calls `f` with it, until the end of the stream.
    ///
    /// # Errors
    ///
    /// As [`read_frame`](Self::read_frame), and `f`'s.
    pub fn for_each(
        &mut self,
        mut f: impl FnMut(C::Frame<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        while let Some(frame) = self.read_frame()? {
            f(frame)?;
        }
        Ok(())
    }

    fn next(&mut self) -> io::Result<Next> {
        loop {
            if let Some(error) = self.broken {
                return Err(error.into());
            }
            let found = self.codec.find(&self.buf[self.filled.clone()], self.ended);
            match found {
                Ok(Found::Frame { bytes, taken }) => {
                    let start = self.filled.start;
                    self.filled.start += taken;
                    return Ok(Next::Frame(start + bytes.start..start + bytes.end));
                }
                Ok(Found::Skip(bytes)) => self.filled.start += bytes,
                Ok(Found::End) => return Ok(Next::End),
                Ok(Found::More(wanted)) => self.fill(wanted)?,
                Err(error) => {
                    if !self.codec.goes_on_after(error) {
                        self.broken = Some(error);
                    }
                    return Err(error.into());
                }
            }
        }
    }

    /// Reads once, into a buffer that has room for `wanted` bytes from where it is.
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        if self.filled.is_empty() {
            self.filled = 0..0;
        }
        let len = self.filled.len();
        let room = wanted.saturating_sub(len).clamp(1, wanted.max(1));
        if self.buf.len() - self.filled.end < room {
            // Up to the front, and if that is not enough a larger one. A length that only claims
            // to be large gets no more than twice what has come.
            self.buf.copy_within(self.filled.clone(), 0);
            self.filled = 0..len;
            let least = wanted.min(2 * len + ROOM).max(len + 1);
            if self.buf.len() < least {
                self.buf.resize(least.max(ROOM), 0);
            }
        }
        loop {
            match self.reader.read(&mut self.buf[self.filled.end..]) {
                Ok(0) => self.ended = true,
                Ok(read) => self.filled.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            return Ok(());
        }
    }

    /// What was read, and is no message yet.
    pub fn buffered(&self) -> &[u8] {
        &self.buf[self.filled.clone()]
    }

    /// The stream.
    pub fn get_ref(&self) -> &R {
        &self.reader
    }

    /// The stream; who reads from it takes bytes away from the messages.
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.reader
    }

    /// Gives the stream back, and what was read from it beyond the last message.
    pub fn into_parts(mut self) -> (R, Vec<u8>) {
        self.buf.truncate(self.filled.end);
        self.buf.drain(..self.filled.start);
        (self.reader, self.buf)
    }
}

impl<R: fmt::Debug, C: fmt::Debug> fmt::Debug for FrameReader<R, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameReader")
            .field("reader", &self.reader)
            .field("codec", &self.codec)
            .field("buffered", &self.filled.len())
            .finish_non_exhaustive()
    }
}
