//! A descriptor that coroutines and threads can wait for.

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::readiness::Registration;
use super::stream::Manner;
use super::{On, Signal, recv_now, timed_out};
use crate::cancel::{self, Cancelled, Standing};
use crate::clock;
use crate::sys;
use crate::wait::{Context, check_may_wait};

/// A direction to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Something to read, a connection to accept, or the peer's end.
    Read,
    /// Room to write, or a connection attempt's end.
    Write,
}

/// An owned descriptor and what the readiness driver knows of it.
///
/// Its methods block the calling coroutine or thread. Deadlines are clock nanoseconds.
pub struct Source {
    fd: OwnedFd,
    /// An `Arc<Registration>` turned raw, or null: set once, replaced only when its home
    /// has gone.
    registration: AtomicPtr<Registration>,
    /// Taken to register. Holds the registrations that were replaced: who waits there borrows
    /// this source, and they go with it.
    registering: Mutex<Vec<Arc<Registration>>>,
    /// Whether the last receive came back short.
    drained: AtomicBool,
    /// Whether a short receive says that there is nothing more. Not so of messages.
    stream: bool,
    /// How it can be read and written without waiting in the call; see `stream.rs`.
    pub(super) manner: Manner,
}

impl Source {
    /// Takes a stream's descriptor. Its flags are left as they are.
    pub fn new(fd: OwnedFd) -> Source {
        Source::with(fd, true)
    }

    /// Takes the descriptor of a socket that keeps borders between messages.
    pub fn of_messages(fd: OwnedFd) -> Source {
        Source::with(fd, false)
    }

    fn with(fd: OwnedFd, stream: bool) -> Source {
        Source {
            fd,
            registration: AtomicPtr::new(ptr::null_mut()),
            registering: Mutex::new(Vec::new()),
            drained: AtomicBool::new(false),
            stream,
            manner: Manner::new(),
        }
    }

    /// Gives the descriptor back, deregistered.
    pub fn into_fd(self) -> OwnedFd {
        let mut this = ManuallyDrop::new(self);
        this.deregister();
        // SAFETY: read once; the source is not dropped.
        unsafe { ptr::read(&this.fd) }
    }

    pub(crate) fn raw(&self) -> i32 {
        self.fd.as_raw_fd()
    }

    pub(super) fn drained(&self) -> bool {
        self.drained.load(Ordering::Relaxed)
    }

    pub(super) fn set_drained(&self, drained: bool) {
        self.drained
            .store(drained && self.stream, Ordering::Relaxed);
    }

    pub(super) fn is_stream(&self) -> bool {
        self.stream
    }

    #[inline]
    pub(super) fn registration(&self) -> Option<&Registration> {
        // SAFETY: alive as long as this source, or until replaced under `registering` by
        // a caller that nobody waits beside: its home has gone.
        unsafe { self.registration.load(Ordering::Acquire).as_ref() }
    }

    /// The registration; made anew if there is none, or `stale` says so of it.
    pub(super) fn registration_or(
        &self,
        stale: impl Fn(&Registration) -> bool,
        register: impl FnOnce() -> io::Result<Arc<Registration>>,
    ) -> io::Result<&Registration> {
        if let Some(known) = self.registration().filter(|known| !stale(known)) {
            return Ok(known);
        }
        let mut replaced = self
            .registering
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = self.registration().filter(|known| !stale(known)) {
            return Ok(known);
        }
        let fresh = Arc::into_raw(register()?);
        let old = self.registration.swap(fresh.cast_mut(), Ordering::AcqRel);
        if !old.is_null() {
            // SAFETY: the reference that an earlier call stored.
            replaced.push(unsafe { Arc::from_raw(old) });
        }
        // SAFETY: just made.
        Ok(unsafe { &*fresh })
    }

    fn deregister(&mut self) {
        let replaced = self
            .registering
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        // Their homes have gone: no event names them.
        drop(std::mem::take(replaced));
        let registration = std::mem::replace(self.registration.get_mut(), ptr::null_mut());
        if !registration.is_null() {
            // SAFETY: the reference that `registration_or` stored.
            Registration::end(unsafe { Arc::from_raw(registration) }, self.fd.as_raw_fd());
        }
    }

    /// Runs a non-blocking `attempt` until it gives something else than `WouldBlock`.
    ///
    /// # Errors
    ///
    /// The attempt's; `TimedOut` once the deadline has passed.
    pub fn ready_op<R>(
        &self,
        interest: Interest,
        deadline: Option<u64>,
        mut attempt: impl FnMut() -> io::Result<R>,
    ) -> io::Result<R> {
        self.op(interest, deadline, || {
            attempt().map(|result| (result, false))
        })
    }

    pub(super) fn op<R>(
        &self,
        interest: Interest,
        deadline: Option<u64>,
        mut attempt: impl FnMut() -> io::Result<(R, bool)>,
    ) -> io::Result<R> {
        match Context::current() {
            Context::Coroutine(worker, record) => {
                let on = On {
                    worker,
                    record,
                    source: self,
                    interest,
                    deadline,
                };
                worker.driver.ready_op(on, attempt)
            }
            Context::Thread => self.thread_op(interest, deadline, || Ok(attempt()?.0)),
        }
    }

    fn thread_op<R>(
        &self,
        interest: Interest,
        deadline: Option<u64>,
        mut attempt: impl FnMut() -> io::Result<R>,
    ) -> io::Result<R> {
        let events = match interest {
            Interest::Read => libc::POLLIN | libc::POLLRDHUP,
            Interest::Write => libc::POLLOUT,
        };
        loop {
            match attempt() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => return result,
            }
            check_may_wait();
            self.wait_on_thread(events, deadline)?;
        }
    }

    /// Blocks the calling thread until the descriptor may be ready.
    fn wait_on_thread(&self, events: i16, deadline: Option<u64>) -> io::Result<()> {
        let (standing, slot) = cancel::standing_of_thread();
        let deadline = match standing {
            Standing::Cancelled { .. } => return Err(Cancelled::current().into_io()),
            Standing::Until(token) => Some(deadline.map_or(token, |own| own.min(token))),
            Standing::Free => deadline,
        };
        let timeout_ns = deadline.map(|deadline| deadline.saturating_sub(clock::now_ns()));
        let entry = |fd, events| libc::pollfd {
            fd,
            events,
            revents: 0,
        };
        let polled = match slot {
            None => (sys::table().poll)(&mut [entry(self.raw(), events)], timeout_ns),
            // Somebody may cancel us: their signal is one more thing to wait for.
            Some(slot) => {
                let Ok(signal) = Signal::new() else {
                    return self.wait_without_signal(entry(self.raw(), events), deadline);
                };
                let signal = Arc::new(signal);
                let mut fds = [entry(self.raw(), events), entry(signal.raw(), libc::POLLIN)];
                cancel::while_signalled(&slot, &signal, |cancelled| {
                    if cancelled {
                        return Err(Cancelled::current().into_io());
                    }
                    (sys::table().poll)(&mut fds, timeout_ns)
                })
            }
        };
        match polled {
            Ok(0) => {
                // A token that is over notes by this that it ended something.
                let _ = cancel::check();
                Err(timed_out())
            }
            // Ready, or cancelled: the next look tells.
            Ok(_) => match cancel::check() {
                Err(cancelled) if !cancelled.is_timeout() => Err(cancelled.into_io()),
                _ => Ok(()),
            },
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// As [`wait_on_thread`](Self::wait_on_thread) for one who may be cancelled, but for whom there
    /// is no descriptor left to be told by: looks now and then whether it was.
    #[cold]
    fn wait_without_signal(
        &self,
        mut entry: libc::pollfd,
        deadline: Option<u64>,
    ) -> io::Result<()> {
        const SLICE_NS: u64 = 10_000_000;
        loop {
            match cancel::standing_of_thread().0 {
                Standing::Cancelled { .. } => return Err(Cancelled::current().into_io()),
                Standing::Until(_) | Standing::Free => {}
            }
            let left = deadline.map(|deadline| deadline.saturating_sub(clock::now_ns()));
            let slice_ns = left.map_or(SLICE_NS, |left| left.min(SLICE_NS));
            match (sys::table().poll)(std::slice::from_mut(&mut entry), Some(slice_ns)) {
                Ok(0) if left.is_some_and(|left| left <= slice_ns) => {
                    let _ = cancel::check();
                    return Err(timed_out());
                }
                Ok(0) => {}
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Receives into `buf`: `recv(2)` with `flags`.
    ///
    /// # Errors
    ///
    /// The call's; `TimedOut` once the deadline has passed, with nothing received.
    #[inline]
    pub fn recv(&self, buf: &mut [u8], flags: i32, deadline: Option<u64>) -> io::Result<usize> {
        match Context::current() {
            Context::Coroutine(worker, record) => {
                let on = On {
                    worker,
                    record,
                    source: self,
                    interest: Interest::Read,
                    deadline,
                };
                worker.driver.recv(on, buf, flags)
            }
            Context::Thread => self.thread_op(Interest::Read, deadline, || {
                recv_now(self.raw(), buf, flags).map(|(received, _)| received)
            }),
        }
    }

    /// Sends from `buf`: `send(2)` with `flags`, without SIGPIPE.
    ///
    /// # Errors
    ///
    /// The call's; `TimedOut` once the deadline has passed, with nothing sent.
    #[inline]
    pub fn send(&self, buf: &[u8], flags: i32, deadline: Option<u64>) -> io::Result<usize> {
        self.op(Interest::Write, deadline, || {
            Ok((self.send_now(buf, flags)?, false))
        })
    }

    #[inline]
    pub(super) fn send_now(&self, buf: &[u8], flags: i32) -> io::Result<usize> {
        let flags = flags | libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: the buffer is ours for the call.
        unsafe { (sys::table().send)(self.raw(), buf.as_ptr(), buf.len(), flags) }
    }

    /// Receives into several buffers, in order: `recvmsg(2)`.
    ///
    /// # Errors
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_vectored(
        &self,
        bufs: &mut [io::IoSliceMut<'_>],
        deadline: Option<u64>,
    ) -> io::Result<usize> {
        // The kernel takes so many buffers at once, and no more.
        let taken = bufs.len().min(libc::UIO_MAXIOV as usize);
        let room: usize = bufs[..taken].iter().map(|buf| buf.len()).sum();
        self.op(Interest::Read, deadline, || {
            let received = self.recv_vectored_now(bufs)?;
            let drained = received != 0 && received < room && self.stream;
            Ok((received, drained))
        })
    }

    pub(super) fn recv_vectored_now(&self, bufs: &mut [io::IoSliceMut<'_>]) -> io::Result<usize> {
        // SAFETY: all zeroes is an empty header.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        // IoSliceMut is guaranteed to have the layout of an iovec.
        message.msg_iov = bufs.as_mut_ptr().cast();
        message.msg_iovlen = bufs.len().min(libc::UIO_MAXIOV as usize) as _;
        // SAFETY: the buffers are ours for the call.
        unsafe { (sys::table().recvmsg)(self.raw(), &raw mut message, libc::MSG_DONTWAIT) }
    }

    /// Sends several buffers, in order: `sendmsg(2)`.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_vectored(
        &self,
        bufs: &[io::IoSlice<'_>],
        deadline: Option<u64>,
    ) -> io::Result<usize> {
        self.op(Interest::Write, deadline, || {
            Ok((self.send_vectored_now(bufs)?, false))
        })
    }

    pub(super) fn send_vectored_now(&self, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
        // SAFETY: all zeroes is an empty header.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        // IoSlice is guaranteed to have the layout of an iovec; sending writes to none.
        message.msg_iov = bufs.as_ptr().cast_mut().cast();
        message.msg_iovlen = bufs.len().min(libc::UIO_MAXIOV as usize) as _;
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        // SAFETY: the buffers are ours for the call.
        unsafe { (sys::table().sendmsg)(self.raw(), &raw const message, flags) }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.deregister();
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source")
            .field("fd", &self.raw())
            .finish_non_exhaustive()
    }
}
