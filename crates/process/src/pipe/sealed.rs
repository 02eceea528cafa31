//! The files of messages that are too large for a packet.
//!
//! Such a file is one in memory. It is sealed before it is sent: nobody can write to it, change
//! its size or punch holes into it any more, whoever holds it, and nobody has it mapped for
//! writing. So it can be read in place: what lies in a mapping of it is as constant as what lies
//! in a `&[u8]`. A file that came without these seals, or is not as long as was announced, is
//! refused.

use std::fs::File;
use std::io::{self, Write};
use std::ops::Deref;
use std::os::fd::OwnedFd;
use std::ptr::NonNull;

use ropewalk_rt::executor::tasks::{Output, Overflow};
use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};

use super::packet::INLINE_MAX;

const SEALS: SealFlags = SealFlags::SHRINK
    .union(SealFlags::GROW)
    .union(SealFlags::WRITE)
    .union(SealFlags::SEAL);

/// A message's payload while it is written: in memory as long as it fits into a packet, and in a
/// file if it doesn't.
#[derive(Default)]
pub(crate) struct Payload {
    /// What is not in the file.
    bytes: Vec<u8>,
    file: Option<File>,
    /// How much is in the file.
    filed: u64,
    error: Option<io::Error>,
}

/// A payload that has been written.
pub(super) enum Written {
    Inline(Vec<u8>),
    /// A sealed file, and its length.
    File(OwnedFd, u64),
}

impl Payload {
    pub(crate) fn new() -> Payload {
        Payload::default()
    }

    /// Writes what is not in the file to the file.
    fn flush(&mut self) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.bytes);
        self.file(&bytes)?;
        self.bytes = bytes;
        self.bytes.clear();
        Ok(())
    }

    fn file(&mut self, bytes: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(new_file()?),
        };
        file.write_all(bytes)?;
        self.filed += bytes.len() as u64;
        Ok(())
    }

    fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.bytes.len() + bytes.len() > INLINE_MAX {
            self.flush()?;
        }
        if bytes.len() > INLINE_MAX {
            // From where it lies.
            return self.file(bytes);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// What went wrong with the file, if it did.
    pub(crate) fn take_error(&mut self) -> Option<io::Error> {
        self.error.take()
    }

    pub(super) fn finish(mut self) -> io::Result<Written> {
        if self.file.is_some() {
            self.flush()?;
        }
        match self.file {
            None => Ok(Written::Inline(self.bytes)),
            Some(file) => {
                rustix::fs::fcntl_add_seals(&file, SEALS)?;
                Ok(Written::File(file.into(), self.filed))
            }
        }
    }
}

impl Output for Payload {
    fn write(&mut self, bytes: &[u8]) -> Result<(), Overflow> {
        self.add(bytes).map_err(|error| {
            self.error = Some(error);
            Overflow
        })
    }
}

fn new_file() -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    Ok(rustix::fs::memfd_create(c"ropewalk-message", flags)?.into())
}

/// Puts a payload into a sealed file.
pub(super) fn file_of(payload: &[u8]) -> io::Result<OwnedFd> {
    let mut file = new_file()?;
    file.write_all(payload)?;
    rustix::fs::fcntl_add_seals(&file, SEALS)?;
    Ok(file.into())
}

/// A sealed file, mapped for reading.
pub(super) struct Mapped {
    /// The mapping: `len` bytes, readable as long as this lives.
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the bytes are constant, and the mapping stays until the drop.
unsafe impl Send for Mapped {}
// SAFETY: as above.
unsafe impl Sync for Mapped {}

impl Mapped {
    /// Maps a file that must be sealed and of this length, which is not 0.
    pub(super) fn new(file: OwnedFd, length: u64) -> io::Result<Mapped> {
        let seals = rustix::fs::fcntl_get_seals(&file)?;
        let announced = rustix::fs::fstat(&file)?.st_size as u64 == length;
        if !seals.contains(SEALS) || !announced || length == 0 {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "its file is not what was announced",
            ));
        }
        let len = usize::try_from(length).map_err(io::Error::other)?;
        // Present at once: that is a call for all pages instead of a fault for each.
        let flags = MapFlags::SHARED | MapFlags::POPULATE;
        // SAFETY: a new mapping, at an address of the system's choice.
        let start = unsafe {
            rustix::mm::mmap(std::ptr::null_mut(), len, ProtFlags::READ, flags, &file, 0)?
        };
        let start = NonNull::new(start.cast::<u8>()).expect("no mapping is at address 0");
        Ok(Mapped { start, len })
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `len` bytes are mapped until the drop, and the file's seals, which were there
        // before the mapping and can't be taken off, keep everybody from changing them.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and no slice of it outlives this.
        let unmapped = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.len) };
        debug_assert!(unmapped.is_ok(), "a mapping of our own can be unmapped");
    }
}
