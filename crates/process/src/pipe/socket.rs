//! One socket of a pipe: sends and receives packets, and waits for readiness.
//!
//! Every call is made with `MSG_DONTWAIT`, so the mode of the socket, which other processes
//! share, is left alone. What is received lies in a buffer of the thread until it is copied
//! out; a coroutine doesn't wait in between.

use std::cell::RefCell;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use ropewalk_kernel::cancel::{self, Cancelled};
use ropewalk_kernel::clock;
use ropewalk_kernel::driver::{Interest, Source};
use ropewalk_kernel::wait;
use rustix::cmsg_space;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

use super::packet::{Arrived, FDS_MAX, PACKET_MAX, Packet, Unfit};

/// How long to wait before another attempt to send descriptors, when too many are on their way.
const PAUSE_MIN: Duration = Duration::from_micros(100);
const PAUSE_MAX: Duration = Duration::from_millis(20);

/// How long a call may wait.
#[derive(Clone, Copy)]
pub(super) enum Patience {
    /// Not at all.
    No,
    /// Until a time in clock nanoseconds; `None`: for ever.
    Until(Option<u64>),
}

/// What sending has met.
pub(super) enum SendFailure {
    Unfit(usize),
    Io(io::Error),
}

impl From<Unfit> for SendFailure {
    fn from(unfit: Unfit) -> SendFailure {
        match unfit {
            Unfit::Fds(count) => SendFailure::Unfit(count),
            Unfit::System(error) => SendFailure::Io(error),
        }
    }
}

thread_local! {
    static PACKET: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

pub(super) struct Socket {
    source: Source,
}

impl Socket {
    pub(super) fn pair() -> io::Result<(Socket, Socket)> {
        let (one, other) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        Ok((Socket::from_fd(one), Socket::from_fd(other)))
    }

    pub(super) fn from_fd(fd: OwnedFd) -> Socket {
        Socket {
            source: Source::of_messages(fd),
        }
    }

    /// Takes a descriptor that came from elsewhere; refuses all but sockets like ours.
    pub(super) fn checked(fd: OwnedFd) -> Result<Socket, String> {
        let kind = rustix::net::sockopt::socket_type(&fd).map_err(|error| error.to_string())?;
        if kind != SocketType::SEQPACKET {
            return Err("the descriptor is no end of a pipe".to_owned());
        }
        Ok(Socket::from_fd(fd))
    }

    pub(super) fn into_fd(self) -> OwnedFd {
        self.source.into_fd()
    }

    pub(super) fn send(&self, packet: &mut Packet, patience: Patience) -> Result<(), SendFailure> {
        let mut pause = PAUSE_MIN;
        loop {
            let error = match self.send_packet(packet, patience) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            match Errno::from_io_error(&error) {
                // The socket's buffer was made smaller than a packet may be, or the system has
                // no memory in such large pieces.
                Some(Errno::MSGSIZE | Errno::NOBUFS) if packet.is_inline() => {
                    packet.move_to_file()?;
                }
                // More descriptors of this user's are on their way than it may have open.
                Some(Errno::TOOMANYREFS) => {
                    self.pause(patience, pause).map_err(SendFailure::Io)?;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
                _ => return Err(SendFailure::Io(error)),
            }
        }
    }

    fn send_packet(&self, packet: &Packet, patience: Patience) -> io::Result<()> {
        let fds: Vec<BorrowedFd<'_>> = packet.fds().iter().map(AsFd::as_fd).collect();
        let rights = SendAncillaryMessage::ScmRights(&fds);
        let mut space = Vec::new();
        if !fds.is_empty() {
            space.resize_with(rights.size(), MaybeUninit::uninit);
        }
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() {
            let pushed = control.push(rights);
            debug_assert!(pushed, "the space is for it");
        }
        self.attempt(Interest::Write, patience, || {
            let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
            let bytes = packet.bytes();
            rustix::net::sendmsg(self.source.as_fd(), &bytes, &mut control, flags)?;
            Ok(())
        })
    }

    /// Receives a packet; `None` at the end.
    pub(super) fn recv(&self, patience: Patience) -> io::Result<Option<Arrived>> {
        self.attempt(Interest::Read, patience, || {
            loop {
                match self.recv_now() {
                    // The other side was closed before it had read all: told once, and before
                    // what it has sent. What it has sent is still there.
                    Err(Errno::CONNRESET) => {}
                    Err(error) => return Err(error.into()),
                    Ok(arrived) => return Ok(arrived),
                }
            }
        })
    }

    fn recv_now(&self) -> Result<Option<Arrived>, Errno> {
        PACKET.with_borrow_mut(|buffer| {
            buffer.resize(PACKET_MAX, 0);
            let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(FDS_MAX))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
            let bufs = &mut [IoSliceMut::new(buffer)];
            let received = rustix::net::recvmsg(self.source.as_fd(), bufs, &mut control, flags)?;
            if received.bytes == 0 {
                return Ok(None);
            }
            let mut fds = Vec::new();
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(rights) = message {
                    fds.extend(rights);
                }
            }
            Ok(Some(Arrived {
                bytes: buffer[..received.bytes].to_vec(),
                fds,
                fds_lost: received.flags.contains(ReturnFlags::CTRUNC),
            }))
        })
    }

    /// Waits until a receive would not wait: for a packet or the end.
    pub(super) fn poll(&self, patience: Patience) -> io::Result<()> {
        self.attempt(Interest::Read, patience, || {
            let flags = RecvFlags::DONTWAIT | RecvFlags::PEEK;
            match rustix::net::recv(self.source.as_fd(), &mut [0u8; 1], flags) {
                // A descriptor that goes with it stays with it.
                Ok(_) | Err(Errno::CONNRESET) => Ok(()),
                Err(error) => Err(error.into()),
            }
        })
    }

    fn attempt<R>(
        &self,
        interest: Interest,
        patience: Patience,
        mut attempt: impl FnMut() -> io::Result<R>,
    ) -> io::Result<R> {
        match patience {
            Patience::Until(deadline) => self.source.ready_op(interest, deadline, attempt),
            Patience::No => loop {
                match attempt() {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    result => return result,
                }
            },
        }
    }

    fn pause(&self, patience: Patience, pause: Duration) -> io::Result<()> {
        let Patience::Until(deadline) = patience else {
            return Err(io::Error::from(io::ErrorKind::WouldBlock));
        };
        if deadline.is_some_and(|deadline| deadline <= clock::now_ns()) {
            return Err(io::Error::from(io::ErrorKind::TimedOut));
        }
        wait::sleep_until(clock::deadline_after(pause));
        cancel::check().map_err(Cancelled::into_io)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}
