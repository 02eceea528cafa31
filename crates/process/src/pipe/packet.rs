//! The layout of a packet, and the files of messages that are too large for one.
//!
//! ```text
//!   inline   0 │ payload ...                        descriptors: the message's own
//!   by file  1 │ length, 8 bytes, little endian     descriptors: the file, then its own
//! ```
//!
//! A packet is never empty: a receive of no bytes is the end.
//!
//! The file is in memory and constant: see `sealed.rs`.

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;

use super::sealed::{self, Mapped, Payload, Written};

/// The most bytes that go inline. A packet is cheaper than a file at any size, but for one that
/// is longer than this the system needs one piece of memory that it may not have.
pub(super) const INLINE_MAX: usize = 64 * 1024;
/// The longest packet.
pub(super) const PACKET_MAX: usize = 1 + INLINE_MAX;
/// The most descriptors that go with a packet: the system's limit.
pub(super) const FDS_MAX: usize = 253;

const INLINE: u8 = 0;
const BY_FILE: u8 = 1;

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
    pub(super) fn new(payload: Payload, fds: Vec<OwnedFd>) -> Result<Packet, Unfit> {
        let mut packet = Packet {
            head: vec![INLINE],
            payload: Vec::new(),
            fds,
        };
        match payload.finish()? {
            Written::Inline(payload) => packet.payload = payload,
            Written::File(file, length) => packet.set_file(file, length),
        }
        if packet.fds.len() > FDS_MAX {
            let own = packet.fds.len() - usize::from(!packet.is_inline());
            return Err(Unfit::Fds(own));
        }
        Ok(packet)
    }

    fn set_file(&mut self, file: OwnedFd, length: u64) {
        self.fds.insert(0, file);
        self.head = vec![BY_FILE];
        self.head.extend(length.to_le_bytes());
        self.payload = Vec::new();
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
        let file = sealed::file_of(&self.payload)?;
        self.set_file(file, self.payload.len() as u64);
        Ok(())
    }

    pub(super) fn bytes(&self) -> [IoSlice<'_>; 2] {
        [IoSlice::new(&self.head), IoSlice::new(&self.payload)]
    }

    pub(super) fn fds(&self) -> &[OwnedFd] {
        &self.fds
    }
}

/// What came: the bytes, the descriptors, and whether some of these were lost.
pub(super) struct Arrived {
    pub(super) bytes: Vec<u8>,
    pub(super) fds: Vec<OwnedFd>,
    pub(super) fds_lost: bool,
}

/// A message's payload, and the descriptors that go with it.
pub(crate) struct Opened {
    body: Body,
    pub(crate) fds: Vec<OwnedFd>,
}

enum Body {
    /// A whole packet of the first kind.
    Inline(Vec<u8>),
    File(Mapped),
}

impl Opened {
    pub(crate) fn payload(&self) -> &[u8] {
        match &self.body {
            Body::Inline(packet) => &packet[1..],
            Body::File(file) => file,
        }
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
        let body = match bytes.split_first() {
            Some((&INLINE, _)) => Body::Inline(bytes),
            Some((&BY_FILE, length)) if !fds.is_empty() => {
                let length = length.try_into().map(u64::from_le_bytes);
                let length = length.map_err(|_| "its packet has no length".to_owned())?;
                let mapped = Mapped::new(fds.remove(0), length);
                Body::File(mapped.map_err(|error| error.to_string())?)
            }
            _ => return Err("its packet is of no known kind".to_owned()),
        };
        Ok(Opened { body, fds })
    }
}
