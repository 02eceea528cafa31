//! Several messages with one system call: `recvmmsg(2)` and `sendmmsg(2)`.

use std::io::{self, IoSlice};
use std::mem;

use super::{Address, Interest, Received, Source};
use crate::sys;

/// The most messages that one call moves.
pub const BATCH_MAX: usize = 64;

impl Source {
    /// Receives the messages that are there, at least one, each into the next `size` bytes of
    /// `buf`; gives how many there were. `received` says how many are wanted.
    ///
    /// # Errors
    ///
    /// As [`recv_message`](Self::recv_message).
    ///
    /// # Panics
    ///
    /// If `buf` has less than `size` bytes for each.
    pub fn recv_messages(
        &self,
        buf: &mut [u8],
        size: usize,
        received: &mut [Received],
        deadline: Option<u64>,
    ) -> io::Result<usize> {
        let wanted = received.len().min(BATCH_MAX);
        let room = size.checked_mul(wanted);
        assert!(room.is_some_and(|room| room <= buf.len()), "too small");
        self.ready_op(Interest::Read, deadline, || {
            // SAFETY: all zeroes is an empty header.
            let mut headers: [libc::mmsghdr; BATCH_MAX] = unsafe { mem::zeroed() };
            let mut parts = [libc::iovec {
                iov_base: std::ptr::null_mut(),
                iov_len: size,
            }; BATCH_MAX];
            for (index, message) in received[..wanted].iter_mut().enumerate() {
                parts[index].iov_base = buf[index * size..][..size].as_mut_ptr().cast();
                headers[index].msg_hdr.msg_iov = &raw mut parts[index];
                headers[index].msg_hdr.msg_iovlen = 1;
                let (name, len) = message.from.room();
                headers[index].msg_hdr.msg_name = name.cast();
                headers[index].msg_hdr.msg_namelen = len;
            }
            let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
            // SAFETY: so many headers, whose buffers and addresses are ours for the call.
            let count = unsafe {
                (sys::table().recvmmsg)(self.raw(), headers.as_mut_ptr(), wanted as u32, flags)
            }?;
            for (message, header) in received.iter_mut().zip(&headers[..count]) {
                message.full_len = header.msg_len as usize;
                message.len = message.full_len.min(size);
                message.from.set_len(header.msg_hdr.msg_namelen);
            }
            Ok(count)
        })
    }

    /// Sends messages, at least one, each to its address if it has one; gives how many went.
    ///
    /// # Errors
    ///
    /// As [`send_message`](Self::send_message), for the first of them.
    pub fn send_messages(
        &self,
        messages: &[(IoSlice<'_>, Option<Address>)],
        deadline: Option<u64>,
    ) -> io::Result<usize> {
        let messages = &messages[..messages.len().min(BATCH_MAX)];
        self.ready_op(Interest::Write, deadline, || {
            // SAFETY: all zeroes is an empty header.
            let mut headers: [libc::mmsghdr; BATCH_MAX] = unsafe { mem::zeroed() };
            for (header, (part, to)) in headers.iter_mut().zip(messages) {
                // IoSlice is guaranteed to have the layout of an iovec; sending writes to none.
                header.msg_hdr.msg_iov = std::ptr::from_ref(part).cast_mut().cast();
                header.msg_hdr.msg_iovlen = 1;
                if let Some(to) = to {
                    header.msg_hdr.msg_name = to.as_ptr().cast_mut().cast();
                    header.msg_hdr.msg_namelen = to.len();
                }
            }
            let count = messages.len() as u32;
            let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
            // SAFETY: so many headers, whose buffers and addresses are ours for the call.
            unsafe { (sys::table().sendmmsg)(self.raw(), headers.as_mut_ptr(), count, flags) }
        })
    }
}
