//! Where the standard streams of a process lead.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;

use crate::StartError;

/// Where a standard stream of a process leads; for
/// [`ProcessBuilder::stdin`](super::ProcessBuilder::stdin) and its like.
#[derive(Debug)]
pub enum Stream {
    /// To where this process's own leads.
    Inherit,
    /// To the null device.
    Null,
    /// To a pipe, whose other end is with the [`Process`](super::Process).
    Piped,
    /// To a file, a socket or whatever else has a descriptor.
    Fd(OwnedFd),
}

impl From<OwnedFd> for Stream {
    fn from(fd: OwnedFd) -> Stream {
        Stream::Fd(fd)
    }
}

impl From<File> for Stream {
    fn from(file: File) -> Stream {
        Stream::Fd(file.into())
    }
}

/// Which way the child uses a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Reads,
    Writes,
}

impl Stream {
    /// The child's descriptor, and ours if it is piped. `ours` is what it inherits.
    pub(super) fn open(
        self,
        direction: Direction,
        inherited: impl FnOnce() -> io::Result<OwnedFd>,
    ) -> Result<(OwnedFd, Option<OwnedFd>), StartError> {
        Ok(match self {
            Stream::Fd(fd) => (fd, None),
            Stream::Inherit => (inherited()?, None),
            Stream::Null => {
                let mut options = File::options();
                options.read(direction == Direction::Reads);
                options.write(direction == Direction::Writes);
                (options.open("/dev/null")?.into(), None)
            }
            Stream::Piped => {
                let (reader, writer) = io::pipe()?;
                match direction {
                    Direction::Reads => (reader.into(), Some(writer.into())),
                    Direction::Writes => (writer.into(), Some(reader.into())),
                }
            }
        })
    }
}
