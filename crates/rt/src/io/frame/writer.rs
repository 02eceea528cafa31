//! Writing messages.

use std::fmt;
use std::io::{self, ErrorKind, Write};

use super::Codec;

/// Writes messages to a `Write`, whole or not at all; see the [module](super).
///
/// A message whose writing failed in between is kept, and its rest goes out before the next: so
/// a time-out tears no message apart.
pub struct FrameWriter<W, C> {
    writer: W,
    codec: C,
    buf: Vec<u8>,
    sent: usize,
}

impl<W: Write, C: Codec> FrameWriter<W, C> {
    /// Writes messages to `writer`.
    pub fn new(writer: W, codec: C) -> FrameWriter<W, C> {
        FrameWriter {
            writer,
            codec,
            buf: Vec::new(),
            sent: 0,
        }
    }

    /// Writes a message, after those that are queued, and flushes the stream.
    ///
    /// # Errors
    ///
    /// `InvalidInput` or `InvalidData` with a [`FrameError`](super::FrameError) if it can't be
    /// written: then it isn't queued. Else the stream's: the message is queued, and
    /// [`flush`](Self::flush) goes on with it.
    pub fn write_frame(&mut self, frame: &C::Item) -> io::Result<()> {
        self.queue_frame(frame)?;
        self.flush()
    }

    /// Queues a message: it goes out with the next flush or write, in the same call.
    ///
    /// # Errors
    ///
    /// As [`write_frame`](Self::write_frame), for one that can't be written.
    pub fn queue_frame(&mut self, frame: &C::Item) -> io::Result<()> {
        Ok(self.codec.encode(frame, &mut self.buf)?)
    }

    /// Writes what is queued, and flushes the stream.
    ///
    /// # Errors
    ///
    /// The stream's; what was not written stays queued.
    pub fn flush(&mut self) -> io::Result<()> {
        while self.sent < self.buf.len() {
            match self.writer.write(&self.buf[self.sent..]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => self.sent += written,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.buf.clear();
        self.sent = 0;
        self.writer.flush()
    }

    /// How many bytes are queued.
    pub fn queued(&self) -> usize {
        self.buf.len() - self.sent
    }

    /// The stream.
    pub fn get_ref(&self) -> &W {
        &self.writer
    }

    /// The stream; what is written to it directly may come between a message's parts.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.writer
    }

    /// Gives the stream back; what is queued is dropped.
    pub fn into_inner(self) -> W {
        self.writer
    }
}

impl<W: fmt::Debug, C: fmt::Debug> fmt::Debug for FrameWriter<W, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameWriter")
            .field("writer", &self.writer)
            .field("codec", &self.codec)
            .field("queued", &(self.buf.len() - self.sent))
            .finish_non_exhaustive()
    }
}
