//! Descriptors that go with the bytes of a Unix socket (`SCM_RIGHTS`).
//!
//! Rustix lays the control messages out and owns what is received from the moment the call
//! returns: nothing is left open by a buffer that is dropped.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ropewalk_kernel::driver::Interest;
use ropewalk_kernel::sys;
use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

use crate::net::endpoint::Endpoint;

/// The most descriptors that go with one message.
pub const FDS_MAX: usize = 253;

/// What came with a message; from `recv_fds`.
#[derive(Debug)]
pub struct ReceivedFds {
    /// How many bytes are in the buffer.
    pub len: usize,
    /// The descriptors, close-on-exec, in the order in which they were sent.
    pub fds: Vec<OwnedFd>,
    /// Whether descriptors were lost (`MSG_CTRUNC`): more were sent than asked for, or this
    /// process may open no more. The lost ones are closed.
    pub fds_truncated: bool,
    /// Whether the buffer was too small for a datagram. Never so of a stream.
    pub truncated: bool,
}

pub(super) fn send(inner: &Endpoint, buf: &[u8], fds: &[impl AsFd]) -> io::Result<usize> {
    if fds.len() > FDS_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{} descriptors: at most {FDS_MAX} go at once", fds.len()),
        ));
    }
    let fds: Vec<BorrowedFd<'_>> = fds.iter().map(AsFd::as_fd).collect();
    let rights = SendAncillaryMessage::ScmRights(&fds);
    let mut space = vec![MaybeUninit::uninit(); rights.size()];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        let pushed = control.push(rights);
        debug_assert!(pushed, "the space is for it");
    }
    let deadline = inner.timeouts.write_deadline();
    inner.source.ready_op(Interest::Write, deadline, || {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        (sys::table().sendmsg_with)(inner.as_fd(), &[IoSlice::new(buf)], &mut control, flags)
    })
}

pub(super) fn receive(inner: &Endpoint, buf: &mut [u8], limit: usize) -> io::Result<ReceivedFds> {
    let limit = limit.min(FDS_MAX);
    let room = if limit == 0 {
        0
    } else {
        cmsg_space!(ScmRights(limit))
    };
    let mut space = vec![MaybeUninit::uninit(); room];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let deadline = inner.timeouts.read_deadline();
    let message = inner.source.ready_op(Interest::Read, deadline, || {
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let bufs = &mut [IoSliceMut::new(buf)];
        (sys::table().recvmsg_with)(inner.as_fd(), bufs, &mut control, flags)
    })?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            fds.extend(rights);
        }
    }
    // The space is rounded up: it may have had room for more than was asked for.
    let more = fds.len() > limit;
    fds.truncate(limit);
    Ok(ReceivedFds {
        len: message.bytes,
        fds,
        fds_truncated: more || message.flags.contains(ReturnFlags::CTRUNC),
        truncated: message.flags.contains(ReturnFlags::TRUNC),
    })
}

/// Sending and receiving descriptors, for a socket with a field `inner: Endpoint`.
macro_rules! fds_methods {
    ($socket:ty) => {
        impl $socket {
            /// Sends bytes, and descriptors with the first of them; gives how many bytes went.
            /// The descriptors are duplicated for the receiver, however many bytes go.
            ///
            /// # Errors
            ///
            /// `InvalidInput` for more than [`FDS_MAX`](super::FDS_MAX) descriptors, and for
            /// descriptors without a byte on a stream; `TimedOut`, with nothing sent; else
            /// the system's.
            pub fn send_fds(&self, buf: &[u8], fds: &[impl AsFd]) -> io::Result<usize> {
                if Self::IS_STREAM && buf.is_empty() && !fds.is_empty() {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidInput,
                        "descriptors go with a byte of the stream: send at least one",
                    ));
                }
                super::fds::send(&self.inner, buf, fds)
            }

            /// Receives bytes, and at most `limit` descriptors that came with them (never
            /// more than [`FDS_MAX`](super::FDS_MAX)). They are close-on-exec.
            ///
            /// A plain read throws descriptors away. On a stream, bytes that were sent before
            /// may come in front of those that the descriptors came with, but none after.
            ///
            /// # Errors
            ///
            /// As a read.
            pub fn recv_fds(&self, buf: &mut [u8], limit: usize) -> io::Result<super::ReceivedFds> {
                super::fds::receive(&self.inner, buf, limit)
            }
        }
    };
}
pub(super) use fds_methods;
