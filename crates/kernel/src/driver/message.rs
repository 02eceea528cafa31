//! Messages: what a socket sends and receives with its borders and addresses.
//!
//! Nothing here takes a short receive for a drained socket: the next message may be there
//! already, however small this one was.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use super::{Interest, On, Source};
use crate::sys;
use crate::wait::Context;

/// A socket's address, as the system lays it out.
#[derive(Clone, Copy)]
pub struct Address {
    storage: libc::sockaddr_storage,
    len: libc::socklen_t,
}

impl Address {
    /// An address to receive into.
    pub fn empty() -> Address {
        Address {
            // SAFETY: all zeroes is an address of no family.
            storage: unsafe { mem::zeroed() },
            len: 0,
        }
    }

    /// The length that tells the system how much room there is.
    const ROOM: libc::socklen_t = size_of::<libc::sockaddr_storage>() as libc::socklen_t;

    /// The internet address that this is, if it is one.
    pub fn ip(&self) -> Option<SocketAddr> {
        let pointer = std::ptr::from_ref(&self.storage);
        match i32::from(self.storage.ss_family) {
            libc::AF_INET => {
                // SAFETY: the family says that it is one, and the storage is large enough.
                let addr = unsafe { &*pointer.cast::<libc::sockaddr_in>() };
                let ip = Ipv4Addr::from(u32::from_be(addr.sin_addr.s_addr));
                Some(SocketAddr::from((ip, u16::from_be(addr.sin_port))))
            }
            libc::AF_INET6 => {
                // SAFETY: as above.
                let addr = unsafe { &*pointer.cast::<libc::sockaddr_in6>() };
                Some(SocketAddr::V6(SocketAddrV6::new(
                    Ipv6Addr::from(addr.sin6_addr.s6_addr),
                    u16::from_be(addr.sin6_port),
                    addr.sin6_flowinfo,
                    addr.sin6_scope_id,
                )))
            }
            _ => None,
        }
    }

    /// The bytes after the family, as far as the system filled them in; of a Unix socket's
    /// address: its path with the zero behind it, its abstract name with the zero before
    /// it, or nothing. `None` for another family.
    pub fn unix_path(&self) -> Option<&[u8]> {
        let offset = mem::offset_of!(libc::sockaddr_un, sun_path);
        // Unnamed sockets are told with a length of 0 or of the family alone.
        if self.len as usize <= offset {
            return Some(&[]);
        }
        if i32::from(self.storage.ss_family) != libc::AF_UNIX {
            return None;
        }
        let len = (self.len as usize).min(size_of::<libc::sockaddr_un>()) - offset;
        let start = std::ptr::from_ref(&self.storage).cast::<u8>();
        // SAFETY: within the storage, which is initialized throughout.
        Some(unsafe { std::slice::from_raw_parts(start.add(offset), len) })
    }

    /// The address of the Unix socket with these bytes after the family.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if they are more than an address holds.
    pub fn unix(path: &[u8]) -> io::Result<Address> {
        let offset = mem::offset_of!(libc::sockaddr_un, sun_path);
        if offset + path.len() > size_of::<libc::sockaddr_un>() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "the path is longer than a socket's address may be",
            ));
        }
        let mut address = Address::empty();
        address.storage.ss_family = libc::AF_UNIX as libc::sa_family_t;
        let start = std::ptr::from_mut(&mut address.storage).cast::<u8>();
        // SAFETY: within the storage, as was checked.
        unsafe { std::ptr::copy_nonoverlapping(path.as_ptr(), start.add(offset), path.len()) };
        address.len = (offset + path.len()) as libc::socklen_t;
        Ok(address)
    }

    /// Where it begins, for a system call.
    pub fn as_ptr(&self) -> *const libc::sockaddr {
        std::ptr::from_ref(&self.storage).cast()
    }

    /// How long it is, for a system call.
    pub fn len(&self) -> libc::socklen_t {
        self.len
    }

    /// Whether it says nothing: the sender has no address.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where the system may write an address, and how much room there is.
    pub(super) fn room(&mut self) -> (*mut libc::sockaddr, libc::socklen_t) {
        (std::ptr::from_mut(&mut self.storage).cast(), Address::ROOM)
    }

    /// Notes how long the address is that the system wrote there.
    pub(super) fn set_len(&mut self, len: libc::socklen_t) {
        self.len = len.min(Address::ROOM);
    }

    /// Lets a system call that writes an address and its length fill this one.
    pub fn fill<R>(
        call: impl FnOnce(*mut libc::sockaddr, *mut libc::socklen_t) -> io::Result<R>,
    ) -> io::Result<(R, Address)> {
        let mut address = Address::empty();
        address.len = Address::ROOM;
        let result = call(
            std::ptr::from_mut(&mut address.storage).cast(),
            &raw mut address.len,
        )?;
        address.len = address.len.min(Address::ROOM);
        Ok((result, address))
    }
}

impl From<SocketAddr> for Address {
    fn from(addr: SocketAddr) -> Address {
        match addr {
            SocketAddr::V4(addr) => Address::from(addr),
            SocketAddr::V6(addr) => Address::from(addr),
        }
    }
}

impl From<SocketAddrV4> for Address {
    fn from(addr: SocketAddrV4) -> Address {
        let mut address = Address::empty();
        let place = std::ptr::from_mut(&mut address.storage).cast::<libc::sockaddr_in>();
        // SAFETY: the storage is large enough for each family and aligned for all, and all
        // zeroes is a value of each.
        let inner = unsafe { &mut *place };
        inner.sin_family = libc::AF_INET as libc::sa_family_t;
        inner.sin_port = addr.port().to_be();
        inner.sin_addr.s_addr = u32::from(*addr.ip()).to_be();
        address.len = size_of::<libc::sockaddr_in>() as libc::socklen_t;
        address
    }
}

impl From<SocketAddrV6> for Address {
    fn from(addr: SocketAddrV6) -> Address {
        let mut address = Address::empty();
        let place = std::ptr::from_mut(&mut address.storage).cast::<libc::sockaddr_in6>();
        // SAFETY: as above.
        let inner = unsafe { &mut *place };
        inner.sin6_family = libc::AF_INET6 as libc::sa_family_t;
        inner.sin6_port = addr.port().to_be();
        inner.sin6_addr.s6_addr = addr.ip().octets();
        inner.sin6_flowinfo = addr.flowinfo();
        inner.sin6_scope_id = addr.scope_id();
        address.len = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
        address
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address")
            .field("family", &self.storage.ss_family)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

/// What came with a message.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// How many bytes were written to the buffers.
    pub len: usize,
    /// How long the message was: more, if its end was cut off.
    pub full_len: usize,
    /// Who sent it.
    pub from: Address,
}

impl Source {
    /// Receives one message into several buffers, in order: `recvmsg(2)` with `flags`.
    ///
    /// # Errors
    ///
    /// The call's; `TimedOut` once the deadline has passed, with nothing received.
    pub fn recv_message(
        &self,
        bufs: &mut [IoSliceMut<'_>],
        flags: i32,
        deadline: Option<u64>,
    ) -> io::Result<Received> {
        // The kernel takes so many buffers at once, and no more.
        let taken = bufs.len().min(libc::UIO_MAXIOV as usize);
        let room: usize = bufs[..taken].iter().map(|buf| buf.len()).sum();
        let mut from = Address::empty();
        // SAFETY: all zeroes is an empty header.
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        // IoSliceMut is guaranteed to have the layout of an iovec.
        header.msg_iov = bufs.as_mut_ptr().cast();
        header.msg_iovlen = taken as _;
        header.msg_name = std::ptr::from_mut(&mut from.storage).cast();
        header.msg_namelen = Address::ROOM;
        // The length that is told is the message's, not the part's that there was room for.
        let flags = flags | libc::MSG_TRUNC;
        let full_len = match Context::current() {
            Context::Coroutine(worker, record) => {
                let on = On {
                    worker,
                    record,
                    source: self,
                    interest: Interest::Read,
                    deadline,
                };
                // SAFETY: the header points at the buffers and at `from`, which are ours
                // until this returns.
                unsafe { worker.driver.recv_message(on, &raw mut header, flags) }
            }
            Context::Thread => self.ready_op(Interest::Read, deadline, || {
                // SAFETY: as above.
                unsafe { recv_message_now(self.raw(), &raw mut header, flags) }
            }),
        }?;
        from.len = header.msg_namelen.min(Address::ROOM);
        Ok(Received {
            len: full_len.min(room),
            full_len,
            from,
        })
    }

    /// Sends several buffers, in order, as one message: `sendmsg(2)`. `to` is for sockets
    /// that are not connected.
    ///
    /// # Errors
    ///
    /// The call's; `TimedOut` once the deadline has passed, with nothing sent.
    pub fn send_message(
        &self,
        bufs: &[IoSlice<'_>],
        to: Option<&Address>,
        deadline: Option<u64>,
    ) -> io::Result<usize> {
        self.ready_op(Interest::Write, deadline, || {
            self.send_message_now(bufs, to)
        })
    }

    /// Tries once to send a message.
    ///
    /// # Errors
    ///
    /// The call's; `WouldBlock` if there is no room.
    pub fn send_message_now(
        &self,
        bufs: &[IoSlice<'_>],
        to: Option<&Address>,
    ) -> io::Result<usize> {
        // SAFETY: all zeroes is an empty header.
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        // IoSlice is guaranteed to have the layout of an iovec; sending writes to none.
        header.msg_iov = bufs.as_ptr().cast_mut().cast();
        // More than the kernel takes are its error, not a message cut off.
        header.msg_iovlen = bufs.len() as _;
        if let Some(to) = to {
            header.msg_name = to.as_ptr().cast_mut().cast();
            header.msg_namelen = to.len;
        }
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: the buffers and the address are ours for the call.
        unsafe { (sys::table().sendmsg)(self.raw(), &raw const header, flags) }
    }
}

/// One non-blocking `recvmsg`.
///
/// # Safety
///
/// The header and all it points at are the caller's, and writable.
#[inline]
pub(super) unsafe fn recv_message_now(
    fd: i32,
    header: *mut libc::msghdr,
    flags: i32,
) -> io::Result<usize> {
    // SAFETY: by the contract above.
    unsafe { (sys::table().recvmsg)(fd, header, flags | libc::MSG_DONTWAIT) }
}
