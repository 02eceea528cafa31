//! The layout of a packet, and the files of messages that are too large for one.
//!
//! ```text
//!   inline   0 │ payload ...                        descriptors: the message's own
//!   by file  1 │ length, 8 bytes, little endian     descriptors: the file, then its own
//! ```
//!
//! A packet is never empty: a receive of no bytes is the end.
//!
//! The file is one in memory, sealed before it is sent: it has the length and the content that
//! it had then, whoever holds it. The receiver checks both the seals and the length before it
//! reads, so a packet that was made otherwise is a bad message and nothing else.

use std::fs::File;
use std::io::{self, IoSlice, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, SealFlags};

/// The most bytes that go inline. Above, a file costs less than what the socket's buffers do:
/// see BENCHMARKS.
pub(super) const INLINE_MAX: usize = 64 * 1024;
/// The longest packet.
pub(super) const PACKET_MAX: usize = 1 + INLINE_MAX;
/// The most descriptors that go with a packet: the system's limit.
pub(super) const FDS_MAX: usize = 253;

const INLINE: u8 = 0;
const BY_FILE: u8 = 1;

const SEALS: SealFlags = SealFlags::SHRINK
    .union(SealFlags::GROW)
    .union(SealFlags::WRITE)
    .union(SealFlags::SEAL);

/// A message that is ready to be sent.
pub(super) struct Packet {
    head: Vec<u8>,
    /// What follows the head; empty if it is in a file.
    payload: Vec<u8>,
    fds: Vec<OwnedFd>,
}

/// Why no packet was made.
pub(super) enum Unfit {
    /// It has more descriptors than can go with a packet.
    Fds(usize),
    /// The system's, when asked for a file.
    System(io::Error),
}

impl From<io::Error> for Unfit {
    fn from(error: io::Error) -> Unfit {
        Unfit::System(error)
    }
}

impl Packet {
    /// Lays out a payload and the descriptors that go with it.
    pub(super) fn new(payload: Vec<u8>, fds: Vec<OwnedFd>) -> Result<Packet, Unfit> {
        let mut packet = Packet {
            head: vec![INLINE],
            payload,
            fds,
        };
        if packet.fds.len() > FDS_MAX {
            return Err(Unfit::Fds(packet.fds.len()));
        }
        if packet.payload.len() > INLINE_MAX {
            packet.move_to_file()?;
        }
        Ok(packet)
    }

    /// Says whether the payload is in the packet itself.
    pub(super) fn is_inline(&self) -> bool {
        self.head == [INLINE]
    }

    /// Puts the payload into a file.
    pub(super) fn move_to_file(&mut self) -> Result<(), Unfit> {
        debug_assert!(self.is_inline());
        if self.fds.len() >= FDS_MAX {
            return Err(Unfit::Fds(self.fds.len()));
        }
        let file = sealed(&self.payload)?;
        self.fds.insert(0, file);
        self.head = vec![BY_FILE];
        self.head.extend((self.payload.len() as u64).to_le_bytes());
        self.payload = Vec::new();
        Ok(())
    }

    pub(super) fn bytes(&self) -> [IoSlice<'_>; 2] {
        [IoSlice::new(&self.head), IoSlice::new(&self.payload)]
    }

    pub(super) fn fds(&self) -> &[OwnedFd] {
        &self.fds
    }
}

/// The payload in a sealed file of its own.
fn sealed(payload: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = File::from(rustix::fs::memfd_create("ropewalk-message", flags)?);
    file.write_all_at(payload, 0)?;
    rustix::fs::fcntl_add_seals(&file, SEALS)?;
    Ok(file.into())
}

/// What came: the bytes, the descriptors, and whether some of these were lost.
pub(super) struct Arrived {
    pub(super) bytes: Vec<u8>,
    pub(super) fds: Vec<OwnedFd>,
    pub(super) fds_lost: bool,
}

/// A message's payload, and the descriptors that go with it.
pub(crate) struct Opened {
    bytes: Vec<u8>,
    /// Where in the bytes it begins.
    start: usize,
    pub(crate) fds: Vec<OwnedFd>,
}

impl Opened {
    pub(crate) fn payload(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

impl Arrived {
    /// Takes the message out of the packet; else says what is wrong.
    pub(super) fn open(self) -> Result<Opened, String> {
        if self.fds_lost {
            let lost = "its descriptors were lost: this process may open no more of them";
            return Err(lost.to_owned());
        }
        let Arrived { bytes, mut fds, .. } = self;
        match bytes.split_first() {
            Some((&INLINE, _)) => Ok(Opened {
                bytes,
                start: 1,
                fds,
            }),
            Some((&BY_FILE, length)) if !fds.is_empty() => {
                let length = length.try_into().map(u64::from_le_bytes);
                let length = length.map_err(|_| "its packet has no length".to_owned())?;
                let payload = unsealed(fds.remove(0), length);
                Ok(Opened {
                    bytes: payload.map_err(|error| error.to_string())?,
                    start: 0,
                    fds,
                })
            }
            _ => Err("its packet is of no known kind".to_owned()),
        }
    }
}

/// Copies the payload out of its file.
fn unsealed(file: OwnedFd, length: u64) -> io::Result<Vec<u8>> {
    let seals = rustix::fs::fcntl_get_seals(file.as_fd())?;
    let file = File::from(file);
    if !seals.contains(SEALS) || file.metadata()?.len() != length {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "its file is not what was announced",
        ));
    }
    // As long as the file is: it was allocated, so it is no made-up length.
    let mut payload = Vec::new();
    let capacity = usize::try_from(length).map_err(io::Error::other)?;
    payload
        .try_reserve_exact(capacity)
        .map_err(io::Error::other)?;
    // From its beginning: nobody has read or written at the file's own position.
    file.take(length).read_to_end(&mut payload)?;
    if payload.len() != capacity {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
    }
    Ok(payload)
}
