//! A pipe of bytes and descriptors, for what carries more than one type: the talk of a process
//! with its starter.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use ropewalk_kernel::clock;

use super::packet::{FDS_MAX, Opened, Packet};
use super::sealed::Payload;
use super::socket::{Patience, SendFailure, Socket};

/// How long to wait if too many descriptors of this user's are on their way already.
const DESCRIPTORS_MAX: Duration = Duration::from_secs(5);

/// One end of it.
pub(crate) struct Carrier(Socket);

/// What came.
pub(crate) type Carried = Opened;

impl Carrier {
    pub(crate) fn pair() -> io::Result<(Carrier, Carrier)> {
        let (one, other) = Socket::pair()?;
        Ok((Carrier(one), Carrier(other)))
    }

    pub(crate) fn from_fd(fd: OwnedFd) -> Result<Carrier, String> {
        Socket::checked(fd).map(Carrier)
    }

    pub(crate) fn into_fd(self) -> OwnedFd {
        self.0.into_fd()
    }

    /// Sends, without waiting for anybody to read: what is sent so is the first and only. If
    /// nobody can read it any more, nobody wants it.
    pub(crate) fn send_first(&self, payload: Payload, fds: Vec<OwnedFd>) -> Result<(), String> {
        let packet = Packet::new(payload, fds).map_err(SendFailure::from);
        let patience = Patience::Until(Some(clock::deadline_after(DESCRIPTORS_MAX)));
        let sent = packet.and_then(|mut packet| self.0.send(&mut packet, patience));
        match sent {
            Ok(()) => Ok(()),
            Err(SendFailure::Unfit(count)) => Err(format!(
                "it has {count} descriptors, and at most {FDS_MAX} go at once"
            )),
            Err(SendFailure::Io(error)) => match error.kind() {
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Ok(()),
                _ => Err(error.to_string()),
            },
        }
    }

    /// Takes what has come; `None` if nothing has.
    pub(crate) fn try_take(&self) -> Result<Option<Carried>, String> {
        match self.0.recv(Patience::No) {
            Ok(Some(arrived)) => arrived.open().map(Some),
            Ok(None) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }
}
