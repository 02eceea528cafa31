//! What a task is given or returns, encoded: in memory, or, if it is large, in a parcel from the
//! first byte on.

use std::io;

use super::parcel::{Opened, Parcel, Unsealed};

/// From here on a piece is written to the file directly, without being gathered first.
const PIECE: usize = 64 << 10;

/// Encoded bytes that are on their way.
#[derive(Debug)]
pub(crate) enum Payload {
    /// In memory.
    Bytes(Vec<u8>),
    /// In a file.
    Parcel(Parcel),
}

impl Payload {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Payload::Bytes(bytes) => bytes.len() as u64,
            Payload::Parcel(parcel) => parcel.len(),
        }
    }
}

/// Encoded bytes that have arrived.
#[derive(Debug)]
pub(crate) enum Arrived {
    /// Copied out of the mapping: a range of the buffer that was given.
    Copied(std::ops::Range<usize>),
    /// In a sealed file.
    Opened(Opened),
}

impl Arrived {
    /// The bytes; `buffer` is the one they were copied into.
    pub(crate) fn bytes<'b>(&'b self, buffer: &'b [u8]) -> &'b [u8] {
        match self {
            Arrived::Copied(range) => &buffer[range.clone()],
            Arrived::Opened(opened) => opened,
        }
    }
}

/// Gathers what is encoded, in memory up to a limit, then in a file.
pub(crate) struct Writer {
    bytes: Vec<u8>,
    memory_max: usize,
    file: Option<Unsealed>,
    error: Option<io::Error>,
}

impl Writer {
    /// Keeps up to `memory_max` bytes in memory; uses `buffer`, which is cleared.
    pub(crate) fn new(mut buffer: Vec<u8>, memory_max: usize) -> Writer {
        buffer.clear();
        Writer {
            bytes: buffer,
            memory_max,
            file: None,
            error: None,
        }
    }

    /// Takes the next piece.
    pub(crate) fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        let limit = match self.file {
            None => self.memory_max,
            Some(_) => PIECE,
        };
        if self.bytes.len() + piece.len() <= limit {
            self.bytes.extend_from_slice(piece);
            return Ok(());
        }
        self.spill(piece)
    }

    #[cold]
    fn spill(&mut self, piece: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(Unsealed::new()?),
        };
        file.write(&self.bytes)?;
        self.bytes.clear();
        if piece.len() >= PIECE {
            return file.write(piece);
        }
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// As [`write`](Self::write); an error is kept for [`take_error`](Self::take_error).
    pub(crate) fn write_or_note(&mut self, piece: &[u8]) -> Result<(), ()> {
        self.write(piece).map_err(|error| self.error = Some(error))
    }

    /// Why writing failed, if it did.
    pub(crate) fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }

    /// What was written.
    pub(crate) fn finish(mut self) -> io::Result<Payload> {
        match self.file.take() {
            None => Ok(Payload::Bytes(self.bytes)),
            Some(mut file) => {
                file.write(&self.bytes)?;
                Ok(Payload::Parcel(file.seal()?))
            }
        }
    }
}
