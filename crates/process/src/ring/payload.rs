//! What a task is given or returns, encoded: in memory, or, if it is large, in a parcel from the
//! first byte on. Where there are too many parcels already, large ones wait in memory too, and
//! are put into a parcel when they are sent.

use std::io;

use super::parcel::{Allowance, Allowed, Opened, Parcel, Unsealed};

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
    /// In a file that could not be received or mapped, as this process is out of something.
    Lost(io::Error),
}

impl Arrived {
    /// The bytes; `buffer` is the one they were copied into.
    pub(crate) fn bytes<'b>(&'b self, buffer: &'b [u8]) -> &'b [u8] {
        match self {
            Arrived::Copied(range) => &buffer[range.clone()],
            Arrived::Opened(opened) => opened,
            Arrived::Lost(_) => &[],
        }
    }
}

/// Gathers what is encoded, in memory up to a limit, then in a file.
pub(crate) struct Writer {
    bytes: Vec<u8>,
    memory_max: usize,
    /// How many parcels there may be, if that is limited.
    allowance: Option<Allowance>,
    file: Option<Unsealed>,
    error: Option<io::Error>,
}

impl Writer {
    /// Keeps up to `memory_max` bytes in memory, or all if there may be no further parcel; uses
    /// `buffer`, which is cleared.
    pub(crate) fn new(
        mut buffer: Vec<u8>,
        memory_max: usize,
        allowance: Option<Allowance>,
    ) -> Writer {
        buffer.clear();
        Writer {
            bytes: buffer,
            memory_max,
            allowance,
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
        if self.bytes.len().saturating_add(piece.len()) <= limit {
            self.bytes.extend_from_slice(piece);
            return Ok(());
        }
        self.spill(piece)
    }

    #[cold]
    fn spill(&mut self, piece: &[u8]) -> io::Result<()> {
        let mut gathered = std::mem::take(&mut self.bytes);
        match self.file() {
            None => {
                self.memory_max = usize::MAX;
                gathered.extend_from_slice(piece);
            }
            Some(file) => {
                file.write(&gathered)?;
                gathered.clear();
                if piece.len() >= PIECE {
                    file.write(piece)?;
                } else {
                    gathered.extend_from_slice(piece);
                }
            }
        }
        self.bytes = gathered;
        Ok(())
    }

    /// The file, if there may be one.
    fn file(&mut self) -> Option<&mut Unsealed> {
        if self.file.is_none() {
            let allowed = match &self.allowance {
                Some(allowance) => allowance.take()?,
                None => Allowed::always(),
            };
            // Without a descriptor it waits in memory, and perhaps there is one later.
            self.file = Unsealed::new(allowed).ok();
        }
        self.file.as_mut()
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
