//! A table of system calls in which the n-th call of one kind fails.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicI64, AtomicUsize, Ordering};

use ropewalk_kernel::sys::{self, SysTable};
use rustix::net::{RecvAncillaryBuffer, RecvFlags, RecvMsg, SendAncillaryBuffer, SendFlags};

use crate::kinds::Kind;

/// How many calls in a row fail when they fail for long. The system recovers then, so that the
/// end can be seen of those who wait for that.
pub(crate) const LONG: i64 = 60;

static KIND: AtomicUsize = AtomicUsize::new(0);
static ERRNO: AtomicI32 = AtomicI32::new(0);
/// Calls left before the one that fails; negative: calls since.
static LEFT: AtomicI64 = AtomicI64::new(i64::MAX);
static TIMES: AtomicI64 = AtomicI64::new(0);
static REACHED: AtomicBool = AtomicBool::new(false);

/// Has the call number `n` (from 0) of a kind fail, and `times - 1` after it.
pub(crate) fn arm(kind: Kind, n: i64, times: i64, errno: i32) {
    LEFT.store(i64::MAX, Ordering::SeqCst);
    REACHED.store(false, Ordering::SeqCst);
    KIND.store(kind as usize, Ordering::SeqCst);
    ERRNO.store(errno, Ordering::SeqCst);
    TIMES.store(times, Ordering::SeqCst);
    LEFT.store(n, Ordering::SeqCst);
}

/// Has all calls succeed again; says whether one failed.
pub(crate) fn disarm() -> bool {
    LEFT.store(i64::MAX, Ordering::SeqCst);
    REACHED.load(Ordering::SeqCst)
}

fn check(kind: Kind) -> io::Result<()> {
    if KIND.load(Ordering::Relaxed) != kind as usize {
        return Ok(());
    }
    let left = LEFT.fetch_sub(1, Ordering::SeqCst);
    if left > 0 || left <= -TIMES.load(Ordering::SeqCst) {
        return Ok(());
    }
    REACHED.store(true, Ordering::SeqCst);
    Err(io::Error::from_raw_os_error(ERRNO.load(Ordering::SeqCst)))
}

/// Entries of the kind's name that fail when told to and else do the real thing.
macro_rules! table {
    ($($entry:ident: $kind:ident, $($safety:ident)? ($($argument:ident: $type:ty),*) -> $result:ty;)*) => {{
        $(
            #[allow(clippy::too_many_arguments, reason = "the call has as many")]
            $($safety)? fn $entry($($argument: $type),*) -> io::Result<$result> {
                check(Kind::$kind)?;
                table!(@call $($safety)? $entry($($argument),*))
            }
        )*
        SysTable { $($entry,)* ..*sys::real_table() }
    }};
    (@call unsafe $entry:ident($($argument:ident),*)) => {
        // SAFETY: the caller's contract is the real call's.
        unsafe { (sys::real_table().$entry)($($argument),*) }
    };
    (@call $entry:ident($($argument:ident),*)) => {
        (sys::real_table().$entry)($($argument),*)
    };
}

/// Puts the table in force for the rest of the process.
pub(crate) fn install() {
    use std::ffi::c_int;
    let mut table = table! {
        recv: Recv, unsafe (fd: c_int, buf: *mut u8, len: usize, flags: c_int) -> usize;
        send: Send, unsafe (fd: c_int, buf: *const u8, len: usize, flags: c_int) -> usize;
        recvmsg: Recvmsg, unsafe (fd: c_int, message: *mut libc::msghdr, flags: c_int) -> usize;
        sendmsg: Sendmsg, unsafe (fd: c_int, message: *const libc::msghdr, flags: c_int) -> usize;
        recvmsg_with: RecvmsgWith, (fd: BorrowedFd<'_>, bufs: &mut [IoSliceMut<'_>],
            control: &mut RecvAncillaryBuffer<'_>, flags: RecvFlags) -> RecvMsg;
        sendmsg_with: SendmsgWith, (fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>],
            control: &mut SendAncillaryBuffer<'_, '_, '_>, flags: SendFlags) -> usize;
        recvmmsg: Recvmmsg, unsafe (fd: c_int, messages: *mut libc::mmsghdr, count: u32,
            flags: c_int) -> usize;
        sendmmsg: Sendmmsg, unsafe (fd: c_int, messages: *mut libc::mmsghdr, count: u32,
            flags: c_int) -> usize;
        sendfile: Sendfile, unsafe (to: c_int, from: c_int, offset: *mut i64,
            len: usize) -> usize;
        pidfd_open: PidfdOpen, (pid: libc::pid_t) -> c_int;
        readv: Readv, unsafe (fd: c_int, bufs: *const libc::iovec, count: c_int) -> usize;
        writev: Writev, unsafe (fd: c_int, bufs: *const libc::iovec, count: c_int) -> usize;
        pipe: Pipe, () -> [c_int; 2];
        socket: Socket, (domain: c_int, kind: c_int, protocol: c_int) -> c_int;
        accept4: Accept, unsafe (fd: c_int, addr: *mut libc::sockaddr, len: *mut libc::socklen_t,
            flags: c_int) -> c_int;
        connect: Connect, unsafe (fd: c_int, addr: *const libc::sockaddr,
            len: libc::socklen_t) -> ();
        poll: Poll, (fds: &mut [libc::pollfd], timeout_ns: Option<u64>) -> usize;
        select: Select, (count: c_int, read: &mut libc::fd_set, write: &mut libc::fd_set,
            timeout_ns: Option<u64>) -> usize;
        epoll_create: EpollCreate, () -> c_int;
        epoll_ctl: EpollCtl, unsafe (epoll: c_int, op: c_int, fd: c_int,
            event: *mut libc::epoll_event) -> ();
        epoll_wait: EpollWait, (epoll: c_int, events: &mut [libc::epoll_event],
            timeout_ns: Option<u64>) -> usize;
        eventfd: Eventfd, () -> c_int;
        io_uring_setup: UringSetup, (builder: &io_uring::Builder, entries: u32)
            -> io_uring::IoUring;
        io_uring_enter: UringEnter, (ring: &io_uring::Submitter<'_>, want: usize,
            args: Option<&io_uring::types::SubmitArgs<'_, '_>>) -> usize;
        mmap: Mmap, unsafe (len: usize, protection: c_int, flags: c_int) -> *mut u8;
        mprotect: Mprotect, unsafe (addr: *mut u8, len: usize, protection: c_int) -> ();
    };
    table.madvise = madvise;
    table.readv_nowait = readv_nowait;
    table.writev_nowait = writev_nowait;
    // SAFETY: each entry does the real thing or fails.
    unsafe { sys::replace(Some(Box::leak(Box::new(table)))) };
}

/// While calls of `mprotect` are to fail, the kernel is one that has no markers for guards, so
/// that there are such calls.
unsafe fn madvise(addr: *mut u8, len: usize, advice: std::ffi::c_int) -> io::Result<()> {
    const MADV_GUARD_INSTALL: std::ffi::c_int = 102;
    check(Kind::Madvise)?;
    if advice == MADV_GUARD_INSTALL && is_armed(Kind::Mprotect) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: the caller's contract is the real call's.
    unsafe { (sys::real_table().madvise)(addr, len, advice) }
}

/// Says whether it is this kind that is to fail.
fn is_armed(kind: Kind) -> bool {
    KIND.load(Ordering::Relaxed) == kind as usize
}

/// Not supported while it is `readv` that is to fail.
unsafe fn readv_nowait(
    fd: std::ffi::c_int,
    bufs: *const libc::iovec,
    count: std::ffi::c_int,
) -> io::Result<usize> {
    check(Kind::ReadvNowait)?;
    if is_armed(Kind::Readv) {
        return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
    }
    // SAFETY: the caller's contract is the real call's.
    unsafe { (sys::real_table().readv_nowait)(fd, bufs, count) }
}

/// Not supported while it is `writev` that is to fail.
unsafe fn writev_nowait(
    fd: std::ffi::c_int,
    bufs: *const libc::iovec,
    count: std::ffi::c_int,
) -> io::Result<usize> {
    check(Kind::WritevNowait)?;
    if is_armed(Kind::Writev) {
        return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
    }
    // SAFETY: the caller's contract is the real call's.
    unsafe { (sys::real_table().writev_nowait)(fd, bufs, count) }
}
