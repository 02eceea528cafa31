//! Files: what reaches the file system without holding a worker up.
//!
//! # The ways
//!
//! A transfer between a buffer and a file first asks for what can be had at once
//! (`RWF_NOWAIT`: the page cache), and an open for what needs no disk to resolve
//! (`RESOLVE_CACHED`). What is left goes
//!
//! - to the ring, on io_uring. The kernel tries once more and hands what blocks to threads
//!   of its own (io-wq);
//! - to the blocking pool, on a readiness driver, as one plain system call;
//! - nowhere, on a plain thread: that makes the plain system call to begin with.
//!
//! Why the attempt comes first, by the benchmark `files` (4 KiB reads of what is in the page
//! cache, two workers on two cores, processor time a read): with the attempt 0.9–1.1 µs, by the
//! ring alone 1.0–1.5 µs, by the pool alone 3.9–9 µs, whether 1, 16 or 256 are in flight; with 1 in
//! flight the ring takes 1.5–3.7 µs from call to return, the attempt 1.1 µs. Of what is not in
//! the cache (60 µs a read on that machine) the failed attempt can't be seen in the figures.
//!
//! Metadata by name stays with the pool and so keeps std's type: the ring hands a statx to a
//! kernel thread in any case, and a way there (a rename: 3.4–7 µs) is no shorter than the one to
//! the pool (3.2–8 µs).
//!
//! # Placed files and streams
//!
//! A *placed* file has offsets and is always ready: a regular file, a directory, a block
//! device. A *stream* (a FIFO, a terminal, a socket) may keep its reader waiting for as long
//! as it likes: its transfers are those of `stream.rs`, with every driver and from threads, and
//! end by deadline or cancellation. A placed file's, once it runs, may only be ended by the
//! kernel, which on the ring tries to and in the pool doesn't.
//!
//! # What an operation points at
//!
//! Paths and buffers are borrowed by the call, and the call returns only after the operation.
//! Results come back by value; there is nothing else.
//!
//! # Opening
//!
//! The kernel's own threads are few, so nothing goes there that may wait for another
//! process: opens carry `O_NONBLOCK`, which is taken off before anybody sees the descriptor.
//! A FIFO opens for writing at once that way if it has a reader, as it would without the flag, or not
//! at all. For reading it always opens: there it is opened a second time where it may block, in the
//! pool, unless the other end has been there meanwhile.

use std::ffi::{CStr, c_int};
use std::io;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::slice;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, PoisonError};

use io_uring::{opcode, squeue, types};

use super::uring::Uring;
use super::{Caller, Driver, Interest, Source};
use crate::blocking::unblock;
use crate::cancel;
use crate::record::Record;
use crate::sys;
use crate::wait::{Context, Reason, in_coroutine, may_wait};
use crate::worker::Worker;

/// The most bytes that one transfer moves; the kernel's own limit, which fits an entry.
const TRANSFER_MAX: usize = 0x7fff_f000;
/// As much is copied on the worker in one go.
const QUICK_MAX: usize = 256 << 10;
/// The offset that stands for the file's own position.
const AT_POSITION: i64 = -1;
/// `RESOLVE_CACHED` of linux/openat2.h.
const RESOLVE_CACHED: u64 = 0x20;

/// What is known of a descriptor, as bits.
mod known {
    /// Whether it is placed or a stream has been looked up.
    pub(super) const LOOKED: u16 = 1;
    /// It has offsets and is always ready.
    pub(super) const PLACED: u16 = 2;
    /// It can't be asked to read or write at once or not at all.
    pub(super) const NO_READ_NOW: u16 = 4;
    pub(super) const NO_WRITE_NOW: u16 = 8;
    /// Something was written to it: closing may have work to do.
    pub(super) const WRITTEN: u16 = 16;
    /// Somebody has set `O_NONBLOCK`, so that the ring doesn't wait for it.
    pub(super) const NEVER_BLOCKS: u16 = 64;
    /// Whether its file system is one that is all in memory has been looked up.
    pub(super) const ASKED: u16 = 128;
    /// It is: a call doesn't wait for a disk.
    pub(super) const IN_MEMORY: u16 = 256;
    /// It lies on a disk of this machine: what it is, the kernel has in memory.
    pub(super) const LOCAL: u16 = 32;
}

/// An open file's descriptor, and what has been learnt of it.
///
/// Its methods block the calling coroutine or thread. They are cancellation points, as far as
/// the kernel lets go of an operation.
pub struct Opened {
    source: ManuallyDrop<Source>,
    known: AtomicU16,
}

/// One transfer between buffers and a file.
#[derive(Clone, Copy)]
struct Transfer {
    fd: c_int,
    direction: Interest,
    bufs: *const libc::iovec,
    count: usize,
    offset: i64,
}

// SAFETY: the buffers are borrowed by the caller, who waits until the transfer is done.
unsafe impl Send for Transfer {}
// SAFETY: nothing is changed through a shared transfer but the buffers, by one call at a time.
unsafe impl Sync for Transfer {}

impl Transfer {
    fn run(&self, flags: c_int) -> io::Result<usize> {
        let count = self.count as c_int;
        // SAFETY: the buffers are the caller's, valid until the transfer is done; see
        // `Opened::transfer`.
        unsafe {
            match self.direction {
                Interest::Read => {
                    (sys::table().preadv2)(self.fd, self.bufs, count, self.offset, flags)
                }
                Interest::Write => {
                    (sys::table().pwritev2)(self.fd, self.bufs, count, self.offset, flags)
                }
            }
        }
    }

    /// Says whether there is more to move than `moved` bytes, which one buffer tells easily.
    fn is_short(&self, moved: usize) -> bool {
        // SAFETY: one buffer header is there.
        self.count == 1 && moved < unsafe { &*self.bufs }.iov_len.min(TRANSFER_MAX)
    }

    /// Says whether it is about one buffer, and that not a big one.
    fn is_little(&self) -> bool {
        self.count == 1 && !self.is_short(QUICK_MAX)
    }

    /// What is left of a transfer between one buffer and a file after `moved` bytes: the
    /// transfer, which is to point at the buffer given beside.
    fn after(&self, moved: usize) -> (Transfer, libc::iovec) {
        // SAFETY: one buffer header is there, and the buffer is longer than `moved`.
        let buf = unsafe {
            let whole = &*self.bufs;
            libc::iovec {
                iov_base: whole.iov_base.cast::<u8>().add(moved).cast(),
                iov_len: whole.iov_len - moved,
            }
        };
        let mut rest = *self;
        if rest.offset != AT_POSITION {
            rest.offset = rest.offset.saturating_add_unsigned(moved as u64);
        }
        (rest, buf)
    }

    fn run_to_its_end(&self) -> io::Result<usize> {
        retry(|| self.run(0))
    }

    fn entry(&self) -> squeue::Entry {
        let fd = types::Fd(self.fd);
        let offset = self.offset as u64;
        if self.count == 1 {
            // SAFETY: one buffer header is there.
            let buf = unsafe { &*self.bufs };
            let len = buf.iov_len.min(TRANSFER_MAX) as u32;
            return match self.direction {
                Interest::Read => opcode::Read::new(fd, buf.iov_base.cast(), len)
                    .offset(offset)
                    .build(),
                Interest::Write => opcode::Write::new(fd, buf.iov_base.cast(), len)
                    .offset(offset)
                    .build(),
            };
        }
        let count = self.count as u32;
        match self.direction {
            Interest::Read => opcode::Readv::new(fd, self.bufs, count)
                .offset(offset)
                .build(),
            Interest::Write => opcode::Writev::new(fd, self.bufs, count)
                .offset(offset)
                .build(),
        }
    }

    fn no_attempt(&self) -> u16 {
        match self.direction {
            Interest::Read => known::NO_READ_NOW,
            Interest::Write => known::NO_WRITE_NOW,
        }
    }

    fn reason(&self) -> Reason {
        match self.direction {
            Interest::Read => Reason::Read,
            Interest::Write => Reason::Write,
        }
    }
}

impl Opened {
    /// Takes a descriptor. Its flags are left as they are.
    pub fn new(fd: OwnedFd) -> Opened {
        Opened {
            source: ManuallyDrop::new(Source::new(fd)),
            known: AtomicU16::new(0),
        }
    }

    /// Gives the descriptor back.
    pub fn into_fd(self) -> OwnedFd {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: taken once; `this` is not dropped.
        unsafe { ManuallyDrop::take(&mut this.source) }.into_fd()
    }

    fn knows(&self, bit: u16) -> bool {
        self.known.load(Ordering::Relaxed) & bit != 0
    }

    fn learn(&self, bits: u16) {
        self.known.fetch_or(bits, Ordering::Relaxed);
    }

    /// Says whether the file has offsets and is always ready, as a regular file is and a FIFO
    /// isn't. Doesn't wait.
    pub fn is_placed(&self) -> bool {
        if !self.knows(known::LOOKED) {
            match Look::at(self.source.as_fd()) {
                Ok(look) => self.learn(look.bits()),
                // Most likely a sandbox that knows no statx: as most files are.
                Err(_) => self.learn(known::LOOKED | known::PLACED),
            }
        }
        self.knows(known::PLACED)
    }

    /// How long the file was when somebody last looked; a hint. Doesn't wait.
    pub fn len_hint(&self) -> u64 {
        Look::at(self.source.as_fd()).map_or(0, |look| look.len)
    }

    /// Runs `f` with the file as std's, where it may block.
    ///
    /// # Errors
    ///
    /// `f`'s; and `f` is not run for a caller who is cancelled already.
    pub fn pooled<T: Send>(
        &self,
        f: impl FnOnce(&std::fs::File) -> io::Result<T> + Send,
    ) -> io::Result<T> {
        let file = self.as_std();
        pooled(|| f(&file))
    }

    /// The file's metadata: at once if the kernel has it, else as [`pooled`](Self::pooled).
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn metadata(&self) -> io::Result<std::fs::Metadata> {
        self.is_placed();
        if self.knows(known::LOCAL | known::IN_MEMORY) {
            return self.as_std().metadata();
        }
        self.pooled(std::fs::File::metadata)
    }

    fn as_std(&self) -> ManuallyDrop<std::fs::File> {
        // SAFETY: the descriptor is open as long as `self`, which each user keeps longer than
        // this, and it is not closed by it.
        ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(self.source.raw()) })
    }

    /// Sets the file's length; what is missing is zeroes.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_len(&self, len: u64) -> io::Result<()> {
        self.learn(known::WRITTEN);
        self.pooled(|file| file.set_len(len))
    }

    /// Reads into `buf`: from `offset` on, or `None` from the file's position on, which then
    /// moves. 0 means the end, or that `buf` is empty.
    ///
    /// Transfers at the position of a placed file must not run at the same time: io_uring
    /// doesn't take turns there.
    ///
    /// # Errors
    ///
    /// The system's, without `Interrupted` and `WouldBlock`.
    pub fn read(&self, buf: &mut [u8], offset: Option<u64>) -> io::Result<usize> {
        // SAFETY: initialised bytes stay so: the kernel writes to them, nothing else.
        let buf = unsafe { &mut *(std::ptr::from_mut(buf) as *mut [MaybeUninit<u8>]) };
        self.read_uninit(buf, offset)
    }

    /// As [`read`](Self::read); the bytes it counts are initialised after it.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_uninit(
        &self,
        buf: &mut [MaybeUninit<u8>],
        offset: Option<u64>,
    ) -> io::Result<usize> {
        let mut iovec = libc::iovec {
            iov_base: buf.as_mut_ptr().cast(),
            iov_len: buf.len(),
        };
        self.transfer(Interest::Read, &raw mut iovec, 1, offset)
    }

    /// Reads into several buffers, in order; else as [`read`](Self::read).
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn read_vectored(
        &self,
        bufs: &mut [io::IoSliceMut<'_>],
        offset: Option<u64>,
    ) -> io::Result<usize> {
        // IoSliceMut is guaranteed to have the layout of an iovec.
        self.transfer(Interest::Read, bufs.as_mut_ptr().cast(), bufs.len(), offset)
    }

    /// Writes `buf`, or the first of it: at `offset`, or `None` at the file's position, which
    /// then moves; or at the end if the file is open for appending.
    ///
    /// As to transfers at the same time see [`read`](Self::read).
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub fn write(&self, buf: &[u8], offset: Option<u64>) -> io::Result<usize> {
        let iovec = libc::iovec {
            iov_base: buf.as_ptr().cast_mut().cast(),
            iov_len: buf.len(),
        };
        self.transfer(Interest::Write, &raw const iovec, 1, offset)
    }

    /// Writes several buffers, in order; else as [`write`](Self::write).
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub fn write_vectored(
        &self,
        bufs: &[io::IoSlice<'_>],
        offset: Option<u64>,
    ) -> io::Result<usize> {
        // IoSlice is guaranteed to have the layout of an iovec; writing changes none.
        self.transfer(Interest::Write, bufs.as_ptr().cast(), bufs.len(), offset)
    }

    fn transfer(
        &self,
        direction: Interest,
        bufs: *const libc::iovec,
        count: usize,
        offset: Option<u64>,
    ) -> io::Result<usize> {
        let offset = match offset {
            None => AT_POSITION,
            Some(offset) => {
                i64::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?
            }
        };
        let transfer = Transfer {
            fd: self.source.raw(),
            direction,
            bufs,
            // The kernel takes so many buffers at once, and no more.
            count: count.min(libc::UIO_MAXIOV as usize),
            offset,
        };
        if direction == Interest::Write && !self.knows(known::WRITTEN) {
            self.learn(known::WRITTEN);
        }
        // What has no offsets says so by itself.
        if offset != AT_POSITION || self.is_placed() {
            self.placed_transfer(&transfer)
        } else {
            self.stream_transfer(&transfer)
        }
    }

    fn placed_transfer(&self, transfer: &Transfer) -> io::Result<usize> {
        let Context::Coroutine(worker, record) = Context::current() else {
            cancel::check().map_err(cancel::Cancelled::into_io)?;
            return transfer.run_to_its_end();
        };
        let mut rest = *transfer;
        let mut buf;
        let mut moved = 0;
        while let Some(attempted) = self.attempt(&rest) {
            moved += match attempted {
                Ok(now) => now,
                Err(_) if moved != 0 => 0,
                Err(error) => return Err(error),
            };
            // Short of the end only because the rest is not at hand? Then the rest is waited
            // for, as the plain call does.
            if !matches!(attempted, Ok(1..)) || !transfer.is_short(moved) {
                worker.spend(record);
                return Ok(moved);
            }
            (rest, buf) = transfer.after(moved);
            rest.bufs = &raw const buf;
        }
        match self.hand_over(worker, record, &rest) {
            Ok(now) => Ok(moved + now),
            Err(_) if moved != 0 => Ok(moved),
            Err(error) => Err(error),
        }
    }

    /// Has a transfer done by the ring or in the pool.
    fn hand_over(
        &self,
        worker: &Worker,
        record: &Record,
        transfer: &Transfer,
    ) -> io::Result<usize> {
        if self.is_quick(transfer) {
            worker.spend(record);
            return transfer.run_to_its_end();
        }
        if let Driver::Uring(uring) = &worker.driver
            && self.is_placed()
            && !self.knows(known::NEVER_BLOCKS)
        {
            let caller = Caller {
                worker,
                record,
                reason: transfer.reason(),
                object: transfer.fd as usize,
                deadline: None,
            };
            // SAFETY: the caller's buffers are borrowed until this returns.
            match retry(|| unsafe { uring.perform(caller, transfer.entry()) }) {
                // Somebody set O_NONBLOCK, which io_uring minds and the call doesn't.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.learn(known::NEVER_BLOCKS);
                }
                done => return done.map(|moved| moved as usize),
            }
        }
        pooled(|| transfer.run_to_its_end())
    }

    /// Says whether the plain call is a matter of copying a little memory: tmpfs doesn't know
    /// `RWF_NOWAIT`, and doesn't need it.
    fn is_quick(&self, transfer: &Transfer) -> bool {
        if !self.knows(transfer.no_attempt()) || !transfer.is_little() {
            return false;
        }
        if !self.knows(known::ASKED) {
            let found = Look::at(self.source.as_fd()).is_ok_and(|look| look.is_in_memory(self));
            let bits = if found { known::IN_MEMORY } else { 0 };
            self.learn(known::ASKED | bits);
        }
        self.knows(known::IN_MEMORY)
    }

    /// Transfers what can be at once; `None` if that is nothing.
    fn attempt(&self, transfer: &Transfer) -> Option<io::Result<usize>> {
        if self.knows(transfer.no_attempt()) {
            return None;
        }
        match transfer.run(libc::RWF_NOWAIT) {
            Err(error) => match error.raw_os_error() {
                Some(libc::EAGAIN | libc::EINTR) => None,
                Some(libc::EOPNOTSUPP | libc::ENOSYS) => {
                    self.learn(transfer.no_attempt());
                    None
                }
                _ => Some(Err(error)),
            },
            done => Some(done),
        }
    }

    fn stream_transfer(&self, transfer: &Transfer) -> io::Result<usize> {
        if self.never_blocks() {
            return self
                .source
                .ready_op(transfer.direction, None, || transfer.run(0));
        }
        let first = transfer.bufs.cast_mut();
        match transfer.direction {
            Interest::Read => {
                // SAFETY: made of a slice of such buffers, or of one buffer; see `transfer`.
                let bufs = unsafe { slice::from_raw_parts_mut(first.cast(), transfer.count) };
                self.source.read_vectored(bufs, None)
            }
            Interest::Write => {
                // SAFETY: likewise.
                let bufs = unsafe { slice::from_raw_parts(first.cast(), transfer.count) };
                self.source.write_vectored(bufs, None)
            }
        }
    }

    /// Says whether somebody set `O_NONBLOCK`.
    fn never_blocks(&self) -> bool {
        // SAFETY: no pointers.
        let flags = unsafe { libc::fcntl(self.source.raw(), libc::F_GETFL) };
        flags != -1 && flags & libc::O_NONBLOCK != 0
    }

    /// Puts what was written on the disk: the contents, and unless `data_only` all else that is
    /// known of the file.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn sync(&self, data_only: bool) -> io::Result<()> {
        let fd = self.source.raw();
        let flags = if data_only {
            types::FsyncFlags::DATASYNC
        } else {
            types::FsyncFlags::empty()
        };
        // SAFETY: the entry points at nothing.
        unsafe {
            operate(
                fd as usize,
                || opcode::Fsync::new(types::Fd(fd)).flags(flags).build(),
                || (sys::table().fsync)(fd, data_only).map(|()| 0),
            )
        }
        .map(drop)
    }
}

impl Drop for Opened {
    /// Closes. The end of a file that was written to may take long (a network's file system
    /// sends what it has, ext4 begins to write out what replaced a file): its coroutine
    /// waits for it in the pool, which is not a cancellation point.
    fn drop(&mut self) {
        // SAFETY: taken once, here.
        let source = unsafe { ManuallyDrop::take(&mut self.source) };
        let long = self.knows(known::WRITTEN) && self.knows(known::PLACED);
        if !long || !may_wait() || std::thread::panicking() || !in_coroutine() {
            return;
        }
        let fd = source.into_fd();
        unblock(move || drop(fd));
    }
}

impl AsFd for Opened {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened")
            .field("fd", &self.source.raw())
            .finish_non_exhaustive()
    }
}

/// Opens a file: `openat(2)` with `O_CLOEXEC`.
///
/// # Errors
///
/// The system's.
pub fn open(path: &CStr, flags: c_int, mode: libc::mode_t) -> io::Result<Opened> {
    let flags = flags | libc::O_CLOEXEC;
    let blocking = || retry(|| open_with(path, flags, mode, 0));
    let Context::Coroutine(worker, record) = Context::current() else {
        cancel::check().map_err(cancel::Cancelled::into_io)?;
        return blocking();
    };
    // For one that is about the path alone there is nobody to wait for.
    let unblocking = flags & (libc::O_NONBLOCK | libc::O_PATH) == 0;
    let asked = if unblocking {
        flags | libc::O_NONBLOCK
    } else {
        flags
    };
    let attempted = if changes_something(flags) {
        Err(io::Error::from(io::ErrorKind::WouldBlock))
    } else {
        open_with(path, asked, 0, RESOLVE_CACHED)
    };
    let opened = match attempted {
        Ok(opened) => {
            worker.spend(record);
            opened
        }
        // Not known without the disk, or not knowable: no such flag, or no such call.
        Err(error) if may_be_had_later(&error) => match &worker.driver {
            Driver::Uring(uring) => {
                let caller = Caller {
                    worker,
                    record,
                    reason: Reason::File,
                    object: 0,
                    deadline: None,
                };
                match open_by_ring(uring, caller, path, asked, mode) {
                    // A FIFO without readers; a file under a lease, which its holder is to
                    // give up.
                    Err(error) if unblocking && would_wait(&error) => return pooled(blocking),
                    opened => opened?,
                }
            }
            Driver::Readiness(_) => return pooled(blocking),
        },
        Err(error) if unblocking && would_wait(&error) => return pooled(blocking),
        Err(error) => return Err(error),
    };
    if !unblocking {
        return Ok(opened);
    }
    let look = Look::at(opened.as_fd())?;
    if look.kind == libc::S_IFIFO && flags & libc::O_ACCMODE == libc::O_RDONLY {
        // The one at hand stays open meanwhile: who waits for us at the other end must not
        // see us leave. Nor must we miss one who met us here, and has gone again.
        let other = opened.as_fd();
        let waited = pooled(|| match has_been_met(other) {
            true => Ok(None),
            false => blocking().map(Some),
        });
        if let Some(waited) = waited? {
            return Ok(waited);
        }
    }
    opened.learn(look.bits());
    // Changes the flags that can be changed, and these were asked for but O_NONBLOCK.
    // SAFETY: no pointers.
    check(unsafe { libc::fcntl(opened.source.raw(), libc::F_SETFL, flags) })?;
    Ok(opened)
}

/// Says whether somebody has opened the FIFO for writing since this end was opened without waiting,
/// and has written or gone.
fn has_been_met(reader: BorrowedFd<'_>) -> bool {
    let mut fds = [libc::pollfd {
        fd: reader.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    }];
    (sys::table().poll)(&mut fds, Some(0)).is_ok_and(|ready| ready > 0)
}

fn open_with(path: &CStr, flags: c_int, mode: libc::mode_t, resolve: u64) -> io::Result<Opened> {
    // SAFETY: the path ends with a zero.
    let fd = unsafe { (sys::table().openat)(path.as_ptr(), flags, mode, resolve) }?;
    // SAFETY: just opened, ours alone.
    Ok(Opened::new(unsafe { OwnedFd::from_raw_fd(fd) }))
}

fn open_by_ring(
    uring: &Uring,
    caller: Caller<'_>,
    path: &CStr,
    flags: c_int,
    mode: libc::mode_t,
) -> io::Result<Opened> {
    let fd = retry(|| {
        let entry = opcode::OpenAt::new(types::Fd(libc::AT_FDCWD), path.as_ptr())
            .flags(flags)
            .mode(mode)
            .build();
        // SAFETY: the path is borrowed until this returns.
        unsafe { uring.perform(caller, entry) }
    })?;
    // SAFETY: just opened, ours alone.
    Ok(Opened::new(unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Says whether opening with these flags may change the file system, which takes a disk.
fn changes_something(flags: c_int) -> bool {
    flags & (libc::O_CREAT | libc::O_TRUNC) != 0 || flags & libc::O_TMPFILE == libc::O_TMPFILE
}

/// The attempt to open at once failed for what it is, not for what was to be opened.
fn may_be_had_later(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        None | Some(libc::EAGAIN | libc::EINVAL | libc::ENOSYS | libc::EPERM | libc::EINTR)
    )
}

/// An open with `O_NONBLOCK` failed where one without waits.
fn would_wait(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENXIO | libc::EAGAIN))
}

/// Gives a file another name, in the place of what has that name.
///
/// # Errors
///
/// The system's.
pub fn rename(from: &CStr, to: &CStr) -> io::Result<()> {
    let here = types::Fd(libc::AT_FDCWD);
    // SAFETY: the paths are borrowed until this returns.
    unsafe {
        operate(
            0,
            || opcode::RenameAt::new(here, from.as_ptr(), here, to.as_ptr()).build(),
            || check(libc::rename(from.as_ptr(), to.as_ptr())),
        )
    }
    .map(drop)
}

/// Removes a name: a file's, or if `directory` an empty directory's.
///
/// # Errors
///
/// The system's.
pub fn unlink(path: &CStr, directory: bool) -> io::Result<()> {
    let here = libc::AT_FDCWD;
    let flags = if directory { libc::AT_REMOVEDIR } else { 0 };
    // SAFETY: the path is borrowed until this returns.
    unsafe {
        operate(
            0,
            || {
                opcode::UnlinkAt::new(types::Fd(here), path.as_ptr())
                    .flags(flags)
                    .build()
            },
            || check(libc::unlinkat(here, path.as_ptr(), flags)),
        )
    }
    .map(drop)
}

/// Makes a directory, with the permissions `mode` less the process's mask.
///
/// # Errors
///
/// The system's.
pub fn make_directory(path: &CStr, mode: libc::mode_t) -> io::Result<()> {
    let here = libc::AT_FDCWD;
    // SAFETY: the path is borrowed until this returns.
    unsafe {
        operate(
            0,
            || {
                opcode::MkDirAt::new(types::Fd(here), path.as_ptr())
                    .mode(mode)
                    .build()
            },
            || check(libc::mkdirat(here, path.as_ptr(), mode)),
        )
    }
    .map(drop)
}

/// Makes `link` one more name of the file `original`; a symbolic link is not followed.
///
/// # Errors
///
/// The system's.
pub fn link(original: &CStr, link: &CStr) -> io::Result<()> {
    let here = libc::AT_FDCWD;
    // SAFETY: the paths are borrowed until this returns.
    unsafe {
        operate(
            0,
            || {
                let here = types::Fd(here);
                opcode::LinkAt::new(here, original.as_ptr(), here, link.as_ptr()).build()
            },
            || {
                check(libc::linkat(
                    here,
                    original.as_ptr(),
                    here,
                    link.as_ptr(),
                    0,
                ))
            },
        )
    }
    .map(drop)
}

/// Makes `link` a symbolic link that says `original`.
///
/// # Errors
///
/// The system's.
pub fn symlink(original: &CStr, link: &CStr) -> io::Result<()> {
    let here = libc::AT_FDCWD;
    // SAFETY: the paths are borrowed until this returns.
    unsafe {
        operate(
            0,
            || opcode::SymlinkAt::new(types::Fd(here), original.as_ptr(), link.as_ptr()).build(),
            || check(libc::symlinkat(original.as_ptr(), here, link.as_ptr())),
        )
    }
    .map(drop)
}

/// Runs `f`, a call into the file system, where it may block: a coroutine parks meanwhile.
///
/// # Errors
///
/// `f`'s; and `f` is not run for a caller who is cancelled already.
pub fn pooled<T: Send>(f: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    if let Err(cancelled) = cancel::check() {
        if let Context::Coroutine(worker, record) = Context::current() {
            worker.yield_now(record);
        }
        return Err(cancelled.into_io());
    }
    unblock(f)
}

/// Runs an operation by the ring's entry or by the plain call, whichever suits the caller.
///
/// # Safety
///
/// What the entry points at is valid until this returns.
unsafe fn operate(
    object: usize,
    entry: impl Fn() -> squeue::Entry,
    call: impl Fn() -> io::Result<c_int> + Send + Sync,
) -> io::Result<c_int> {
    if let Context::Coroutine(worker, record) = Context::current()
        && let Driver::Uring(uring) = &worker.driver
    {
        let caller = Caller {
            worker,
            record,
            reason: Reason::File,
            object,
            deadline: None,
        };
        // SAFETY: by the contract above.
        return retry(|| unsafe { uring.perform(caller, entry()) });
    }
    pooled(|| retry(&call))
}

fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// What is known of an open file without asking a disk or a server.
struct Look {
    /// The format bits of its mode.
    kind: libc::mode_t,
    /// Whether it lies on a block device.
    local: bool,
    len: u64,
    /// The mount's number, where the kernel gives one that is never used again.
    mount: Option<u64>,
}

impl Look {
    fn at(fd: BorrowedFd<'_>) -> io::Result<Look> {
        // SAFETY: all zeroes is a valid statx.
        let mut found: libc::statx = unsafe { std::mem::zeroed() };
        // SAFETY: an empty path, and room for the result.
        check(unsafe {
            libc::statx(
                fd.as_raw_fd(),
                c"".as_ptr(),
                libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC,
                libc::STATX_TYPE | libc::STATX_SIZE | libc::STATX_MNT_ID_UNIQUE,
                &raw mut found,
            )
        })?;
        Ok(Look {
            kind: libc::mode_t::from(found.stx_mode) & libc::S_IFMT,
            local: found.stx_dev_major != 0,
            len: found.stx_size,
            mount: (found.stx_mask & libc::STATX_MNT_ID_UNIQUE != 0).then_some(found.stx_mnt_id),
        })
    }

    /// Says whether the file lies in a tmpfs. The first time for each mount the pool asks: of a
    /// server that doesn't answer the question is as slow as any other.
    fn is_in_memory(&self, opened: &Opened) -> bool {
        /// Mounts and whether they are; their numbers are never used again.
        static MOUNTS: Mutex<Vec<(u64, bool)>> = Mutex::new(Vec::new());
        const MOUNTS_MAX: usize = 64;
        let Some(mount) = self.mount.filter(|_| !self.local) else {
            return false;
        };
        let mounts = || MOUNTS.lock().unwrap_or_else(PoisonError::into_inner);
        let known = mounts().iter().find(|(id, _)| *id == mount).copied();
        if let Some((_, answer)) = known {
            return answer;
        }
        let fd = opened.source.raw();
        let answer = unblock(|| {
            // SAFETY: all zeroes is a valid statfs, and there is room for it.
            unsafe {
                let mut found: libc::statfs = std::mem::zeroed();
                libc::fstatfs(fd, &raw mut found) == 0 && found.f_type == libc::TMPFS_MAGIC
            }
        });
        let mut mounts = mounts();
        if mounts.len() == MOUNTS_MAX {
            mounts.clear();
        }
        mounts.push((mount, answer));
        answer
    }

    fn bits(&self) -> u16 {
        let placed = matches!(self.kind, libc::S_IFREG | libc::S_IFDIR | libc::S_IFBLK);
        known::LOOKED
            | if placed { known::PLACED } else { 0 }
            | if self.local { known::LOCAL } else { 0 }
    }
}
