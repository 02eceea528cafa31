//! A payload in a file of its own: for what is too large for an arena.
//!
//! The sender writes an anonymous file, seals it against any further change and sends its
//! descriptor over the worker's socket, with the position of the slot it belongs to. The
//! receiver insists on the seals. Then the file is the one kind of shared memory that may be read
//! in place, through `&[u8]`: nobody can write it any more, nor shorten it. So a large payload is
//! copied twice in all: when it is encoded into the file, and when it is decoded out of it.
//!
//! Files are written with `write(2)` rather than through a mapping: the kernel then fills
//! fresh pages without zeroing them first, and without a fault for each.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::mm::{MapFlags, ProtFlags};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

/// What makes a file safe to be read in place.
const SEALS: SealFlags = SealFlags::WRITE
    .union(SealFlags::SHRINK)
    .union(SealFlags::GROW);

/// How many parcels there may be at once: each is a descriptor for as long as its task is under
/// way.
#[derive(Clone, Debug)]
pub(crate) struct Allowance(Arc<AtomicUsize>);

impl Allowance {
    pub(crate) fn new(parcels: usize) -> Allowance {
        Allowance(Arc::new(AtomicUsize::new(parcels)))
    }

    /// One of them, until it is dropped.
    pub(crate) fn take(&self) -> Option<Allowed> {
        let less = |left: usize| left.checked_sub(1);
        let taken = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
        taken.is_ok().then(|| Allowed(Some(Arc::clone(&self.0))))
    }
}

/// The right to one parcel.
#[derive(Debug)]
pub(crate) struct Allowed(Option<Arc<AtomicUsize>>);

impl Allowed {
    /// For who doesn't count.
    pub(crate) fn always() -> Allowed {
        Allowed(None)
    }
}

impl Drop for Allowed {
    fn drop(&mut self) {
        if let Some(left) = &self.0 {
            left.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A file that is being written.
pub(crate) struct Unsealed {
    file: OwnedFd,
    len: u64,
    allowed: Allowed,
}

impl Unsealed {
    pub(crate) fn new(allowed: Allowed) -> io::Result<Unsealed> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = rustix::fs::memfd_create(c"ropewalk-payload", flags)?;
        Ok(Unsealed {
            file,
            len: 0,
            allowed,
        })
    }

    pub(crate) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = rustix::io::retry_on_intr(|| rustix::io::write(&self.file, bytes))?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.len += written as u64;
            bytes = &bytes[written..];
        }
        Ok(())
    }

    pub(crate) fn seal(self) -> io::Result<Parcel> {
        rustix::fs::fcntl_add_seals(&self.file, SEALS | SealFlags::SEAL)?;
        Ok(Parcel {
            file: self.file,
            len: self.len,
            _allowed: self.allowed,
        })
    }
}

/// A sealed file.
#[derive(Debug)]
pub(crate) struct Parcel {
    file: OwnedFd,
    len: u64,
    _allowed: Allowed,
}

impl Parcel {
    /// Makes one of bytes that are there.
    pub(crate) fn of(bytes: &[u8], allowed: Allowed) -> io::Result<Parcel> {
        let mut file = Unsealed::new(allowed)?;
        file.write(bytes)?;
        file.seal()
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Takes a descriptor from elsewhere for a parcel, if it is one.
    fn check(file: OwnedFd) -> io::Result<Parcel> {
        let seals = rustix::fs::fcntl_get_seals(&file);
        let size = rustix::fs::fstat(&file)?.st_size;
        match (seals, u64::try_from(size)) {
            (Ok(seals), Ok(len)) if seals.contains(SEALS) => Ok(Parcel {
                file,
                len,
                _allowed: Allowed::always(),
            }),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a payload's file is not sealed",
            )),
        }
    }

    /// Maps it, for reading in place; closes the descriptor.
    pub(crate) fn open(self) -> io::Result<Opened> {
        let len =
            usize::try_from(self.len).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        if len == 0 {
            return Ok(Opened { start: None, len });
        }
        // Private: kernels before 6.7 refuse to share a mapping of a file sealed against
        // writing. As it is not written, there is only ever the file's own page.
        let flags = MapFlags::PRIVATE | MapFlags::POPULATE;
        // SAFETY: a new mapping at an address that the kernel chooses touches no other memory.
        let start = unsafe {
            let anywhere = std::ptr::null_mut();
            rustix::mm::mmap(anywhere, len, ProtFlags::READ, flags, &self.file, 0)?
        };
        let start = NonNull::new(start.cast());
        Ok(Opened { start, len })
    }
}

/// A sealed file's content.
#[derive(Debug)]
pub(crate) struct Opened {
    start: Option<NonNull<u8>>,
    len: usize,
}

// SAFETY: read-only memory that nobody can change, unmapped by the owner's drop.
unsafe impl Send for Opened {}
// SAFETY: as above.
unsafe impl Sync for Opened {}

impl Deref for Opened {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self.start {
            None => &[],
            // SAFETY: mapped until the drop, and `len` bytes long, as the file's size is sealed;
            // never written while this lives, as that is sealed too (`check`, `seal`).
            Some(start) => unsafe { std::slice::from_raw_parts(start.as_ptr(), self.len) },
        }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some(start) = self.start {
            // SAFETY: this mapping is ours, and all borrows of it are over.
            let unmapped = unsafe { rustix::mm::munmap(start.as_ptr().cast(), self.len) };
            debug_assert!(unmapped.is_ok(), "munmap: {unmapped:?}");
        }
    }
}

/// Sends a parcel to the other end of a socket, without waiting.
///
/// # Errors
///
/// `WouldBlock` if there are too many on the way.
pub(crate) fn send(socket: BorrowedFd<'_>, position: u64, parcel: &Parcel) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let files = [parcel.file.as_fd()];
    let pushed = control.push(SendAncillaryMessage::ScmRights(&files));
    debug_assert!(pushed, "there is room for one");
    let position = position.to_ne_bytes();
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    let data = [IoSlice::new(&position)];
    match rustix::io::retry_on_intr(|| rustix::net::sendmsg(socket, &data, &mut control, flags)) {
        Ok(_) => Ok(()),
        // More descriptors under way than a user may have.
        Err(rustix::io::Errno::TOOMANYREFS) => Err(io::ErrorKind::WouldBlock.into()),
        Err(error) => Err(error.into()),
    }
}

/// As [`send`], waiting for room; blocks the thread.
pub(crate) fn send_all(socket: BorrowedFd<'_>, position: u64, parcel: &Parcel) -> io::Result<()> {
    loop {
        match send(socket, position, parcel) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result,
        }
        // Room for descriptors is not announced, so it is looked for again after a while. Nor is
        // the other end's death found in another way.
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// Takes the next parcel that has arrived, with its position.
///
/// # Errors
///
/// `WouldBlock` if there is none, `UnexpectedEof` if the other end is closed, `InvalidData` for
/// what is no parcel. Beside a position, why its parcel was lost: this process may open no more
/// descriptors.
pub(crate) fn receive(socket: BorrowedFd<'_>) -> io::Result<(u64, io::Result<Parcel>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut position = [0; 8];
    let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
    let received = rustix::io::retry_on_intr(|| {
        let mut data = [IoSliceMut::new(&mut position)];
        rustix::net::recvmsg(socket, &mut data, &mut control, flags)
    })?;
    let mut file = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(files) = message {
            file = file.or(files.last());
        }
    }
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let whose = u64::from_ne_bytes(position);
    match file {
        Some(file) if received.bytes == 8 => Ok((whose, Ok(Parcel::check(file)?))),
        None if received.flags.contains(ReturnFlags::CTRUNC) && received.bytes == 8 => {
            Ok((whose, Err(rustix::io::Errno::MFILE.into())))
        }
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a message on a worker's socket that is no payload",
        )),
    }
}

/// Takes the parcel of a position, and drops those of earlier ones, which were revoked.
///
/// # Errors
///
/// As [`receive`]. `InvalidData` if it was passed by; that this process may open no more
/// descriptors, if it was lost.
pub(crate) fn receive_for(socket: BorrowedFd<'_>, position: u64) -> io::Result<Parcel> {
    loop {
        let (whose, parcel) = receive(socket)?;
        if whose == position {
            return parcel;
        }
        if whose > position {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "a payload never came",
            ));
        }
    }
}
