//! The system calls the kernel makes where they may fail, in one replaceable table.
//!
//! Everything that allocates a kernel resource or moves bytes goes through [`table`],
//! so that a test can make the n-th call fail (once, or for good) and see that nothing
//! is lost, leaked or hung. The entries keep libc's shapes and give `io::Result`.
//! The table is read with one relaxed load; replacing it is for tests only.

use std::ffi::{c_char, c_int};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use rustix::net::{RecvAncillaryBuffer, RecvFlags, RecvMsg, SendAncillaryBuffer, SendFlags};

/// One entry for each replaceable system call.
///
/// Pointer arguments carry libc's contracts for the call of the same name.
#[derive(Clone, Copy, Debug)]
pub struct SysTable {
    /// `recv(2)`.
    pub recv: unsafe fn(c_int, *mut u8, usize, c_int) -> io::Result<usize>,
    /// `send(2)`.
    pub send: unsafe fn(c_int, *const u8, usize, c_int) -> io::Result<usize>,
    /// `recvmsg(2)`.
    pub recvmsg: unsafe fn(c_int, *mut libc::msghdr, c_int) -> io::Result<usize>,
    /// `sendmsg(2)`.
    pub sendmsg: unsafe fn(c_int, *const libc::msghdr, c_int) -> io::Result<usize>,
    /// `recvmsg(2)` of bytes and what came with them: descriptors.
    pub recvmsg_with: fn(
        BorrowedFd<'_>,
        &mut [IoSliceMut<'_>],
        &mut RecvAncillaryBuffer<'_>,
        RecvFlags,
    ) -> io::Result<RecvMsg>,
    /// `sendmsg(2)` of bytes and what goes with them.
    pub sendmsg_with: fn(
        BorrowedFd<'_>,
        &[IoSlice<'_>],
        &mut SendAncillaryBuffer<'_, '_, '_>,
        SendFlags,
    ) -> io::Result<usize>,
    /// `read(2)`, by way of `readv(2)`: descriptor, buffers, how many.
    pub readv: unsafe fn(c_int, *const libc::iovec, c_int) -> io::Result<usize>,
    /// `write(2)`, by way of `writev(2)`.
    pub writev: unsafe fn(c_int, *const libc::iovec, c_int) -> io::Result<usize>,
    /// `preadv2(2)` at the current position with `RWF_NOWAIT`.
    pub readv_nowait: unsafe fn(c_int, *const libc::iovec, c_int) -> io::Result<usize>,
    /// `pwritev2(2)` at the current position with `RWF_NOWAIT`.
    pub writev_nowait: unsafe fn(c_int, *const libc::iovec, c_int) -> io::Result<usize>,
    /// `pipe2(2)` with `O_CLOEXEC`: the end to read from, then the end to write to.
    pub pipe: fn() -> io::Result<[c_int; 2]>,
    /// `pidfd_open(2)`.
    pub pidfd_open: fn(libc::pid_t) -> io::Result<c_int>,
    /// `recvmmsg(2)` without a timeout.
    pub recvmmsg: unsafe fn(c_int, *mut libc::mmsghdr, u32, c_int) -> io::Result<usize>,
    /// `sendmmsg(2)`.
    pub sendmmsg: unsafe fn(c_int, *mut libc::mmsghdr, u32, c_int) -> io::Result<usize>,
    /// `socket(2)`.
    pub socket: fn(c_int, c_int, c_int) -> io::Result<c_int>,
    /// `accept4(2)`.
    pub accept4:
        unsafe fn(c_int, *mut libc::sockaddr, *mut libc::socklen_t, c_int) -> io::Result<c_int>,
    /// `connect(2)`.
    pub connect: unsafe fn(c_int, *const libc::sockaddr, libc::socklen_t) -> io::Result<()>,
    /// `ppoll(2)` without a signal mask; the timeout is in nanoseconds, `None` for ever.
    pub poll: fn(&mut [libc::pollfd], Option<u64>) -> io::Result<usize>,
    /// `pselect(2)` without exceptional conditions and without a signal mask: one more than
    /// the highest descriptor, who is to be readable, who writable, and the timeout as for
    /// `poll`.
    pub select: fn(c_int, &mut libc::fd_set, &mut libc::fd_set, Option<u64>) -> io::Result<usize>,
    /// `epoll_create1(2)` with `EPOLL_CLOEXEC`.
    pub epoll_create: fn() -> io::Result<c_int>,
    /// `epoll_ctl(2)`.
    pub epoll_ctl: unsafe fn(c_int, c_int, c_int, *mut libc::epoll_event) -> io::Result<()>,
    /// `epoll_pwait2(2)`, or `epoll_wait(2)` with the time rounded up where the kernel
    /// has no such call; the timeout is in nanoseconds, `None` for ever.
    pub epoll_wait: fn(c_int, &mut [libc::epoll_event], Option<u64>) -> io::Result<usize>,
    /// `eventfd(2)` with `EFD_CLOEXEC | EFD_NONBLOCK`.
    pub eventfd: fn() -> io::Result<c_int>,
    /// `io_uring_setup(2)` with as many entries, and the mappings that go with it.
    pub io_uring_setup: fn(&io_uring::Builder, u32) -> io::Result<io_uring::IoUring>,
    /// `io_uring_enter(2)`: submits what is queued and waits for `want` completions, for
    /// no longer than the arguments say.
    pub io_uring_enter: fn(
        &io_uring::Submitter<'_>,
        usize,
        Option<&io_uring::types::SubmitArgs<'_, '_>>,
    ) -> io::Result<usize>,
    /// `openat(2)`, relative to the current directory; if the last argument is not 0,
    /// `openat2(2)` that resolves so.
    pub openat: unsafe fn(*const c_char, c_int, libc::mode_t, u64) -> io::Result<c_int>,
    /// `preadv2(2)`: buffers and how many, offset (-1: the file's position), flags.
    pub preadv2: unsafe fn(c_int, *const libc::iovec, c_int, i64, c_int) -> io::Result<usize>,
    /// `sendfile(2)`: to, from, the offset, which it moves on, how much.
    pub sendfile: unsafe fn(c_int, c_int, *mut i64, usize) -> io::Result<usize>,
    /// `pwritev2(2)`, likewise.
    pub pwritev2: unsafe fn(c_int, *const libc::iovec, c_int, i64, c_int) -> io::Result<usize>,
    /// `fsync(2)`, or `fdatasync(2)` if the flag is set.
    pub fsync: fn(c_int, bool) -> io::Result<()>,
    /// `mmap(2)` of fresh private anonymous memory: length, protection, extra flags.
    pub mmap: unsafe fn(usize, c_int, c_int) -> io::Result<*mut u8>,
    /// `madvise(2)`.
    pub madvise: unsafe fn(*mut u8, usize, c_int) -> io::Result<()>,
    /// `mprotect(2)`.
    pub mprotect: unsafe fn(*mut u8, usize, c_int) -> io::Result<()>,
}

static REAL: SysTable = SysTable {
    recv: real::recv,
    send: real::send,
    recvmsg: real::recvmsg,
    sendmsg: real::sendmsg,
    recvmsg_with: real::recvmsg_with,
    sendmsg_with: real::sendmsg_with,
    recvmmsg: real::recvmmsg,
    sendmmsg: real::sendmmsg,
    readv: real::readv,
    writev: real::writev,
    readv_nowait: real::readv_nowait,
    writev_nowait: real::writev_nowait,
    pipe: real::pipe,
    pidfd_open: real::pidfd_open,
    socket: real::socket,
    accept4: real::accept4,
    connect: real::connect,
    poll: real::poll,
    select: real::select,
    epoll_create: real::epoll_create,
    epoll_ctl: real::epoll_ctl,
    epoll_wait: real::epoll_wait,
    eventfd: real::eventfd,
    io_uring_setup: real::io_uring_setup,
    io_uring_enter: real::io_uring_enter,
    openat: real::openat,
    preadv2: real::preadv2,
    sendfile: real::sendfile,
    pwritev2: real::pwritev2,
    fsync: real::fsync,
    mmap: real::mmap,
    madvise: real::madvise,
    mprotect: real::mprotect,
};

static TABLE: AtomicPtr<SysTable> = AtomicPtr::new(ptr::null_mut());

/// The table in force.
#[inline]
pub fn table() -> &'static SysTable {
    let replaced = TABLE.load(Ordering::Acquire);
    // SAFETY: only `replace` stores here, and it takes `&'static SysTable`.
    unsafe { replaced.as_ref() }.unwrap_or(&REAL)
}

/// The real system calls, for a replacement to fall back on.
pub fn real_table() -> &'static SysTable {
    &REAL
}

/// Puts `table` in force for the whole process; `None` restores the real calls.
///
/// # Safety
///
/// Each entry must keep the contract of the call it stands for: in particular it must
/// not report more bytes than it wrote, nor a descriptor that is not open.
pub unsafe fn replace(table: Option<&'static SysTable>) {
    let table = table.map_or(ptr::null(), ptr::from_ref);
    TABLE.store(table.cast_mut(), Ordering::Release);
}

mod real {
    use std::ffi::{c_char, c_int};
    use std::io::{self, IoSlice, IoSliceMut};
    use std::os::fd::BorrowedFd;
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustix::net::{RecvAncillaryBuffer, RecvFlags, RecvMsg, SendAncillaryBuffer, SendFlags};

    fn check(result: c_int) -> io::Result<c_int> {
        if result < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(result)
        }
    }

    fn check_len(result: isize) -> io::Result<usize> {
        usize::try_from(result).map_err(|_| io::Error::last_os_error())
    }

    fn timespec(ns: u64) -> libc::timespec {
        libc::timespec {
            tv_sec: (ns / 1_000_000_000) as libc::time_t,
            tv_nsec: (ns % 1_000_000_000) as _,
        }
    }

    pub(super) unsafe fn recv(
        fd: c_int,
        buf: *mut u8,
        len: usize,
        flags: c_int,
    ) -> io::Result<usize> {
        // SAFETY: the caller's buffer is writable for `len` bytes.
        check_len(unsafe { libc::recv(fd, buf.cast(), len, flags) })
    }

    pub(super) unsafe fn send(
        fd: c_int,
        buf: *const u8,
        len: usize,
        flags: c_int,
    ) -> io::Result<usize> {
        // SAFETY: the caller's buffer is readable for `len` bytes.
        check_len(unsafe { libc::send(fd, buf.cast(), len, flags) })
    }

    pub(super) unsafe fn recvmsg(
        fd: c_int,
        msg: *mut libc::msghdr,
        flags: c_int,
    ) -> io::Result<usize> {
        // SAFETY: the caller's header and all it points at are valid.
        check_len(unsafe { libc::recvmsg(fd, msg, flags) })
    }

    pub(super) unsafe fn sendmsg(
        fd: c_int,
        msg: *const libc::msghdr,
        flags: c_int,
    ) -> io::Result<usize> {
        // SAFETY: the caller's header and all it points at are valid.
        check_len(unsafe { libc::sendmsg(fd, msg, flags) })
    }

    pub(super) fn recvmsg_with(
        fd: BorrowedFd<'_>,
        bufs: &mut [IoSliceMut<'_>],
        control: &mut RecvAncillaryBuffer<'_>,
        flags: RecvFlags,
    ) -> io::Result<RecvMsg> {
        Ok(rustix::net::recvmsg(fd, bufs, control, flags)?)
    }

    pub(super) fn sendmsg_with(
        fd: BorrowedFd<'_>,
        bufs: &[IoSlice<'_>],
        control: &mut SendAncillaryBuffer<'_, '_, '_>,
        flags: SendFlags,
    ) -> io::Result<usize> {
        Ok(rustix::net::sendmsg(fd, bufs, control, flags)?)
    }

    pub(super) unsafe fn readv(
        fd: c_int,
        bufs: *const libc::iovec,
        count: c_int,
    ) -> io::Result<usize> {
        // SAFETY: the caller's `count` buffers are writable.
        check_len(unsafe { libc::readv(fd, bufs, count) })
    }

    pub(super) unsafe fn writev(
        fd: c_int,
        bufs: *const libc::iovec,
        count: c_int,
    ) -> io::Result<usize> {
        // SAFETY: the caller's `count` buffers are readable.
        check_len(unsafe { libc::writev(fd, bufs, count) })
    }

    pub(super) unsafe fn readv_nowait(
        fd: c_int,
        bufs: *const libc::iovec,
        count: c_int,
    ) -> io::Result<usize> {
        // SAFETY: the caller's `count` buffers are writable.
        check_len(unsafe { libc::preadv2(fd, bufs, count, -1, libc::RWF_NOWAIT) })
    }

    pub(super) unsafe fn writev_nowait(
        fd: c_int,
        bufs: *const libc::iovec,
        count: c_int,
    ) -> io::Result<usize> {
        // SAFETY: the caller's `count` buffers are readable.
        check_len(unsafe { libc::pwritev2(fd, bufs, count, -1, libc::RWF_NOWAIT) })
    }

    pub(super) fn pipe() -> io::Result<[c_int; 2]> {
        let mut ends = [0; 2];
        // SAFETY: room for two descriptors.
        check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
        Ok(ends)
    }

    pub(super) fn pidfd_open(pid: libc::pid_t) -> io::Result<c_int> {
        // SAFETY: no pointers.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        check(fd as c_int)
    }

    pub(super) unsafe fn recvmmsg(
        fd: c_int,
        msgs: *mut libc::mmsghdr,
        count: u32,
        flags: c_int,
    ) -> io::Result<usize> {
        // SAFETY: the caller's headers and all they point at are valid; no timeout.
        let received = unsafe { libc::recvmmsg(fd, msgs, count, flags, std::ptr::null_mut()) };
        check(received).map(|n| n as usize)
    }

    pub(super) unsafe fn sendmmsg(
        fd: c_int,
        msgs: *mut libc::mmsghdr,
        count: u32,
        flags: c_int,
    ) -> io::Result<usize> {
        // SAFETY: the caller's headers and all they point at are valid.
        check(unsafe { libc::sendmmsg(fd, msgs, count, flags) }).map(|n| n as usize)
    }

    pub(super) fn socket(domain: c_int, kind: c_int, protocol: c_int) -> io::Result<c_int> {
        // SAFETY: no pointers.
        check(unsafe { libc::socket(domain, kind, protocol) })
    }

    pub(super) unsafe fn accept4(
        fd: c_int,
        addr: *mut libc::sockaddr,
        len: *mut libc::socklen_t,
        flags: c_int,
    ) -> io::Result<c_int> {
        // SAFETY: the caller's address buffer is writable for `*len` bytes.
        check(unsafe { libc::accept4(fd, addr, len, flags) })
    }

    pub(super) unsafe fn connect(
        fd: c_int,
        addr: *const libc::sockaddr,
        len: libc::socklen_t,
    ) -> io::Result<()> {
        // SAFETY: the caller's address is readable for `len` bytes.
        check(unsafe { libc::connect(fd, addr, len) }).map(drop)
    }

    pub(super) fn poll(fds: &mut [libc::pollfd], timeout_ns: Option<u64>) -> io::Result<usize> {
        let timeout = timeout_ns.map(timespec);
        let timeout = timeout
            .as_ref()
            .map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: the slice is writable for its length; the timeout outlives the call.
        let ready = unsafe {
            libc::ppoll(
                fds.as_mut_ptr(),
                fds.len() as libc::nfds_t,
                timeout,
                std::ptr::null(),
            )
        };
        check(ready).map(|n| n as usize)
    }

    pub(super) fn select(
        below: c_int,
        readable: &mut libc::fd_set,
        writable: &mut libc::fd_set,
        timeout_ns: Option<u64>,
    ) -> io::Result<usize> {
        let timeout = timeout_ns.map(timespec);
        let timeout = timeout
            .as_ref()
            .map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: the sets are live, and the kernel looks at no bit at or above FD_SETSIZE
        // (`below` is cut to it); the timeout outlives the call.
        let ready = unsafe {
            libc::pselect(
                below.min(libc::FD_SETSIZE as c_int),
                readable,
                writable,
                std::ptr::null_mut(),
                timeout,
                std::ptr::null(),
            )
        };
        check(ready).map(|n| n as usize)
    }

    pub(super) fn epoll_create() -> io::Result<c_int> {
        // SAFETY: no pointers.
        check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })
    }

    pub(super) unsafe fn epoll_ctl(
        epoll: c_int,
        op: c_int,
        fd: c_int,
        event: *mut libc::epoll_event,
    ) -> io::Result<()> {
        // SAFETY: the caller's event is valid, or null for a removal.
        check(unsafe { libc::epoll_ctl(epoll, op, fd, event) }).map(drop)
    }

    pub(super) fn epoll_wait(
        epoll: c_int,
        events: &mut [libc::epoll_event],
        timeout_ns: Option<u64>,
    ) -> io::Result<usize> {
        static NO_PWAIT2: AtomicBool = AtomicBool::new(false);
        let len = events.len() as c_int;
        if !NO_PWAIT2.load(Ordering::Relaxed) && timeout_ns.is_some_and(|ns| ns != 0) {
            let timeout = timeout_ns.map(timespec);
            let timeout = timeout
                .as_ref()
                .map_or(std::ptr::null(), std::ptr::from_ref);
            // SAFETY: the slice is writable for its length, the timeout outlives the
            // call, and a null signal mask leaves the mask alone.
            let ready = unsafe {
                libc::syscall(
                    libc::SYS_epoll_pwait2,
                    epoll,
                    events.as_mut_ptr(),
                    len,
                    timeout,
                    std::ptr::null::<libc::sigset_t>(),
                    0usize,
                )
            };
            match check(ready as c_int) {
                Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
                    NO_PWAIT2.store(true, Ordering::Relaxed);
                }
                result => return result.map(|n| n as usize),
            }
        }
        let timeout_ms = match timeout_ns {
            None => -1,
            Some(ns) => c_int::try_from(ns.div_ceil(1_000_000)).unwrap_or(c_int::MAX),
        };
        // SAFETY: the slice is writable for its length.
        check(unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), len, timeout_ms) })
            .map(|n| n as usize)
    }

    pub(super) fn eventfd() -> io::Result<c_int> {
        // SAFETY: no pointers.
        check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })
    }

    pub(super) fn io_uring_setup(
        builder: &io_uring::Builder,
        entries: u32,
    ) -> io::Result<io_uring::IoUring> {
        builder.build(entries)
    }

    pub(super) fn io_uring_enter(
        ring: &io_uring::Submitter<'_>,
        want: usize,
        args: Option<&io_uring::types::SubmitArgs<'_, '_>>,
    ) -> io::Result<usize> {
        match args {
            Some(args) => ring.submit_with_args(want, args),
            None => ring.submit_and_wait(want),
        }
    }

    pub(super) unsafe fn openat(
        path: *const c_char,
        flags: c_int,
        mode: libc::mode_t,
        resolve: u64,
    ) -> io::Result<c_int> {
        if resolve == 0 {
            // SAFETY: the caller's path ends with a zero.
            return check(unsafe { libc::openat64(libc::AT_FDCWD, path, flags, mode) });
        }
        // SAFETY: all zeroes is a valid open_how.
        let mut how: libc::open_how = unsafe { std::mem::zeroed() };
        // What openat ignores, openat2 refuses; and it is told what openat adds.
        how.flags = u64::from((flags | libc::O_LARGEFILE).cast_unsigned());
        how.mode = u64::from(mode);
        how.resolve = resolve;
        // SAFETY: the caller's path ends with a zero; the structure is of the size given.
        check(unsafe {
            libc::syscall(
                libc::SYS_openat2,
                libc::AT_FDCWD,
                path,
                &raw const how,
                size_of::<libc::open_how>(),
            )
        } as c_int)
    }

    pub(super) unsafe fn sendfile(
        to: c_int,
        from: c_int,
        offset: *mut i64,
        len: usize,
    ) -> io::Result<usize> {
        // SAFETY: the caller's offset is valid.
        check_len(unsafe { libc::sendfile64(to, from, offset, len) })
    }

    pub(super) unsafe fn preadv2(
        fd: c_int,
        bufs: *const libc::iovec,
        count: c_int,
        offset: i64,
        flags: c_int,
    ) -> io::Result<usize> {
        // SAFETY: the caller's buffers are writable for their lengths.
        check_len(unsafe { libc::preadv2(fd, bufs, count, offset, flags) })
    }

    pub(super) unsafe fn pwritev2(
        fd: c_int,
        bufs: *const libc::iovec,
        count: c_int,
        offset: i64,
        flags: c_int,
    ) -> io::Result<usize> {
        // SAFETY: the caller's buffers are readable for their lengths.
        check_len(unsafe { libc::pwritev2(fd, bufs, count, offset, flags) })
    }

    pub(super) fn fsync(fd: c_int, data_only: bool) -> io::Result<()> {
        // SAFETY: no pointers.
        check(unsafe {
            if data_only {
                libc::fdatasync(fd)
            } else {
                libc::fsync(fd)
            }
        })
        .map(drop)
    }

    pub(super) unsafe fn mmap(len: usize, prot: c_int, flags: c_int) -> io::Result<*mut u8> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | flags;
        // SAFETY: a fresh mapping at an address of the kernel's choice touches nothing.
        let addr = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, flags, -1, 0) };
        if addr == libc::MAP_FAILED {
            Err(io::Error::last_os_error())
        } else {
            Ok(addr.cast())
        }
    }

    pub(super) unsafe fn madvise(addr: *mut u8, len: usize, advice: c_int) -> io::Result<()> {
        // SAFETY: the caller owns the range.
        check(unsafe { libc::madvise(addr.cast(), len, advice) }).map(drop)
    }

    pub(super) unsafe fn mprotect(addr: *mut u8, len: usize, prot: c_int) -> io::Result<()> {
        // SAFETY: the caller owns the range.
        check(unsafe { libc::mprotect(addr.cast(), len, prot) }).map(drop)
    }
}
