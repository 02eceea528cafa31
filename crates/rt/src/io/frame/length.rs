//! Messages with their length before them.

use super::{Codec, Found, FrameError, MAX_LEN};

/// Bytes with their length before them, in 1, 2, 4 or 8 bytes or in as many as it needs.
///
/// The length is that of the message alone. Fixed widths are big-endian unless told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LengthPrefixed {
    width: Width,
    little: bool,
    max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    Bytes(usize),
    Varint,
}

impl LengthPrefixed {
    const fn of(width: Width) -> LengthPrefixed {
        LengthPrefixed {
            width,
            little: false,
            max: MAX_LEN,
        }
    }

    /// Lengths of one byte.
    pub const fn u8() -> LengthPrefixed {
        LengthPrefixed::of(Width::Bytes(1))
    }

    /// Lengths of two bytes.
    pub const fn u16() -> LengthPrefixed {
        LengthPrefixed::of(Width::Bytes(2))
    }

    /// Lengths of four bytes.
    pub const fn u32() -> LengthPrefixed {
        LengthPrefixed::of(Width::Bytes(4))
    }

    /// Lengths of eight bytes.
    pub const fn u64() -> LengthPrefixed {
        LengthPrefixed::of(Width::Bytes(8))
    }

    /// Lengths of one to ten bytes, seven bits in each, the lowest first, the high bit set in
    /// all but the last (LEB128, as in protocol buffers).
    pub const fn varint() -> LengthPrefixed {
        LengthPrefixed::of(Width::Varint)
    }

    /// With the lowest byte of a length first.
    pub const fn little_endian(mut self) -> LengthPrefixed {
        self.little = true;
        self
    }

    /// Takes messages of `max` bytes at most, in both directions; without it 8 MiB.
    pub const fn max_len(mut self, max: usize) -> LengthPrefixed {
        self.max = max;
        self
    }

    /// The length, and how many bytes it takes; `None` if they aren't all there.
    fn read_length(&self, input: &[u8]) -> Result<Option<(u64, usize)>, FrameError> {
        match self.width {
            Width::Bytes(width) => {
                let Some(bytes) = input.get(..width) else {
                    return Ok(None);
                };
                let push = |length: u64, byte: &u8| length << 8 | u64::from(*byte);
                let length = if self.little {
                    bytes.iter().rev().fold(0, push)
                } else {
                    bytes.iter().fold(0, push)
                };
                Ok(Some((length, width)))
            }
            Width::Varint => {
                let mut length = 0;
                for (n, byte) in input.iter().enumerate() {
                    let bits = u64::from(byte & 0x7f);
                    // The tenth byte has room for one bit.
                    if n == 9 && *byte > 1 {
                        return Err(FrameError::BadVarint);
                    }
                    length |= bits << (7 * n);
                    if byte & 0x80 == 0 {
                        return Ok(Some((length, n + 1)));
                    }
                }
                Ok(None)
            }
        }
    }

    fn write_length(&self, length: usize, output: &mut Vec<u8>) {
        let mut length = length as u64;
        match self.width {
            Width::Bytes(width) if self.little => {
                output.extend_from_slice(&length.to_le_bytes()[..width]);
            }
            Width::Bytes(width) => output.extend_from_slice(&length.to_be_bytes()[8 - width..]),
            Width::Varint => {
                while length >= 0x80 {
                    output.push(length as u8 | 0x80);
                    length >>= 7;
                }
                output.push(length as u8);
            }
        }
    }

    /// The longest that both the limit and the width allow.
    fn longest(&self) -> usize {
        match self.width {
            Width::Bytes(width) if width < size_of::<usize>() => {
                self.max.min((1 << (8 * width)) - 1)
            }
            _ => self.max,
        }
    }
}

impl Codec for LengthPrefixed {
    type Frame<'a> = &'a [u8];
    type Item = [u8];

    fn find(&mut self, input: &[u8], ended: bool) -> Result<Found, FrameError> {
        let more = |wanted| match input.len() {
            0 if ended => Ok(Found::End),
            got if ended => Err(FrameError::Truncated { got }),
            _ => Ok(Found::More(wanted)),
        };
        let Some((length, header)) = self.read_length(input)? else {
            return more(match self.width {
                Width::Bytes(width) => width,
                Width::Varint => input.len() + 1,
            });
        };
        let length = usize::try_from(length)
            .ok()
            .filter(|length| *length <= self.max)
            .ok_or(FrameError::TooLong { max: self.max })?;
        let taken = header
            .checked_add(length)
            .ok_or(FrameError::TooLong { max: self.max })?;
        if input.len() < taken {
            return more(taken);
        }
        Ok(Found::Frame {
            bytes: header..taken,
            taken,
        })
    }

    fn frame<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], FrameError> {
        Ok(bytes)
    }

    fn encode(&self, item: &[u8], output: &mut Vec<u8>) -> Result<(), FrameError> {
        let max = self.longest();
        if item.len() > max {
            return Err(FrameError::TooLong { max });
        }
        self.write_length(item.len(), output);
        output.extend_from_slice(item);
        Ok(())
    }
}
