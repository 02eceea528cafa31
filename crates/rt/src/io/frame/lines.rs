//! Lines of text.

use super::{Codec, Found, FrameError, MAX_LEN};

/// Lines of UTF-8 that end with LF or CRLF, which a read leaves out; the last may end with the
/// stream.
///
/// Input is looked at once, however small the pieces it comes in.
#[derive(Clone, Debug)]
pub struct Lines {
    max: usize,
    crlf: bool,
    /// How much of the input has no line's end.
    seen: usize,
    /// Whether the rest of a line that was too long is to be skipped.
    skipping: bool,
}

impl Default for Lines {
    fn default() -> Self {
        Lines::new()
    }
}

impl Lines {
    /// Lines of 8 MiB at most, written with LF.
    pub const fn new() -> Lines {
        Lines {
            max: MAX_LEN,
            crlf: false,
            seen: 0,
            skipping: false,
        }
    }

    /// Takes lines of `max` bytes at most, without their ends, in both directions.
    pub const fn max_len(mut self, max: usize) -> Lines {
        self.max = max;
        self
    }

    /// Writes lines with CRLF.
    pub const fn crlf(mut self) -> Lines {
        self.crlf = true;
        self
    }

    fn line(&mut self, input: &[u8], end: usize, taken: usize) -> Result<Found, FrameError> {
        self.seen = 0;
        if std::mem::take(&mut self.skipping) {
            return Ok(Found::Skip(taken));
        }
        // A CR before the end of the stream is no part of a line's end.
        let end = match input[..end].last() {
            Some(b'\r') if taken > end => end - 1,
            _ => end,
        };
        if end > self.max {
            // All of it is here: nothing is left to be skipped but this.
            self.skipping = true;
            return Err(FrameError::TooLong { max: self.max });
        }
        Ok(Found::Frame {
            bytes: 0..end,
            taken,
        })
    }
}

impl Codec for Lines {
    type Frame<'a> = &'a str;
    type Item = str;

    fn find(&mut self, input: &[u8], ended: bool) -> Result<Found, FrameError> {
        let seen = self.seen.min(input.len());
        if let Some(at) = input[seen..].iter().position(|byte| *byte == b'\n') {
            return self.line(input, seen + at, seen + at + 1);
        }
        self.seen = input.len();
        if ended {
            return match input.len() {
                0 => Ok(Found::End),
                len => self.line(input, len, len),
            };
        }
        if self.skipping {
            self.seen = 0;
            return Ok(match input.len() {
                0 => Found::More(1),
                len => Found::Skip(len),
            });
        }
        // One more, which may be the CR of its end.
        if input.len() > self.max.saturating_add(1) {
            self.skipping = true;
            return Err(FrameError::TooLong { max: self.max });
        }
        Ok(Found::More(input.len() + 1))
    }

    fn goes_on_after(&self, _error: FrameError) -> bool {
        true
    }

    fn frame<'a>(&self, bytes: &'a [u8]) -> Result<&'a str, FrameError> {
        std::str::from_utf8(bytes).map_err(|error| FrameError::NotUtf8 {
            at: error.valid_up_to(),
        })
    }

    fn encode(&self, line: &str, output: &mut Vec<u8>) -> Result<(), FrameError> {
        // A CR at its end would be read as part of the line's end.
        if line.contains('\n') || line.ends_with('\r') {
            return Err(FrameError::LineBreak);
        }
        if line.len() > self.max {
            return Err(FrameError::TooLong { max: self.max });
        }
        output.extend_from_slice(line.as_bytes());
        output.extend_from_slice(if self.crlf { b"\r\n" } else { b"\n" });
        Ok(())
    }
}
