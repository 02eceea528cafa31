//! How a worker's coroutines wait for descriptors: one contract, two drivers.
//!
//! # The contract
//!
//! Each worker has one driver, used on its own thread only. A driver provides
//!
//! - `ready_op`: run `attempt`, a non-blocking system call, until it gives
//!   something else than `WouldBlock`, parking the calling coroutine in between until the
//!   descriptor may be ready;
//! - `recv`: receive into the caller's buffer;
//! - `poll`: hand over what has been asked for, make runnable whom the kernel
//!   has news for, and block for it if told to; also wakes for the worker's signal.
//!
//! and keeps these promises:
//!
//! 1. **An operation returns only after its completion.** A buffer, an address, a header
//!    that the kernel may touch is the caller's, borrowed for the call. If the deadline
//!    passes, the operation is cancelled *and its end awaited* before the call returns; if
//!    it succeeded meanwhile, the success is what the call returns.
//! 2. Nothing unwinds between handing an operation over and its completion; a guard
//!    aborts the process if it did.
//! 3. Every operation takes a deadline (clock nanoseconds); when it passes the operation
//!    ends with `TimedOut`, and what it would have moved is still there to be moved.
//! 4. Several coroutines may wait on one descriptor, also in the same direction.
//! 5. `O_NONBLOCK` is never set on a descriptor that was given to us, and no operation
//!    depends on it being set.
//! 6. Operations that keep succeeding without waiting give way after a budget.
//!
//! # The two
//!
//! `uring.rs` completes: one ring per worker (SINGLE_ISSUER, DEFER_TASKRUN), submissions
//! go in with the worker's next poll. `readiness.rs` stands on a selector (`selector.rs`:
//! epoll edge-triggered; `poll` and `select` made to report edges by `level.rs`): a
//! descriptor's home is the worker that first waited for it, and readiness is kept with the
//! descriptor.
//!
//! Reading and writing what is no socket (`stream.rs`) is a call that doesn't wait, after
//! readiness, in both.
//!
//! Futures wait for descriptors by readiness with both: `poller.rs`.
//!
//! `Accept` is a direct `accept4` after readiness in both. A multishot accept would save
//! no call per connection under load (the direct loop accepts until `EAGAIN`), and would
//! leave accepted connections inside a ring when a listener closes.

mod batch;
mod epoll;
pub mod file;
mod level;
mod message;
mod poller;
mod readiness;
mod select;
mod selector;
mod send_file;
mod source;
mod stream;
mod uring;

pub use batch::BATCH_MAX;
use message::recv_message_now;
pub use message::{Address, Received};
pub(crate) use poller::{Futures, anyone_waits};
pub(crate) use readiness::{Home, Registration};
pub use source::{Interest, Source};

use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::Arc;

use crate::cancel::{self, Cancelled, Standing};
use crate::future::Entry;
use crate::inspect::Inquiry;
use crate::probe::Probe;
use crate::record::Record;
use crate::sys;
use crate::wait::Reason;
use crate::worker::{Counts, Worker};

/// Which driver to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DriverKind {
    /// Completions, through io_uring (kernel 6.1 and later).
    IoUring,
    /// Readiness, through epoll.
    Epoll,
    /// Readiness, through `poll(2)`: looks at every descriptor that is waited for, each time.
    Poll,
    /// Readiness, through `select(2)`: as `Poll`, and only for descriptors below 1024.
    Select,
}

impl DriverKind {
    /// Every kind there is, the best first.
    pub const ALL: [DriverKind; 4] = [
        DriverKind::IoUring,
        DriverKind::Epoll,
        DriverKind::Poll,
        DriverKind::Select,
    ];

    /// The name that `ROPEWALK_DRIVER` takes.
    pub fn as_str(self) -> &'static str {
        match self {
            DriverKind::IoUring => "io_uring",
            DriverKind::Epoll => "epoll",
            DriverKind::Poll => "poll",
            DriverKind::Select => "select",
        }
    }

    /// The driver that `ROPEWALK_DRIVER` asks for; `None` if it is unset or empty.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a name that is no driver's.
    pub fn from_env() -> io::Result<Option<DriverKind>> {
        let Some(value) = std::env::var_os("ROPEWALK_DRIVER") else {
            return Ok(None);
        };
        let name = value.to_string_lossy();
        if name.is_empty() {
            return Ok(None);
        }
        let asked = DriverKind::ALL
            .into_iter()
            .find(|kind| kind.as_str() == name);
        asked.map(Some).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "ROPEWALK_DRIVER={name} is not a driver: use `io_uring`, `epoll`, `poll` or \
                     `select`"
                ),
            )
        })
    }

    /// The driver to use when none is asked for: io_uring where it works, else epoll.
    pub fn probe() -> DriverKind {
        match uring::Uring::probe() {
            Ok(()) => DriverKind::IoUring,
            Err(_) => DriverKind::Epoll,
        }
    }

    /// Says whether the driver works here.
    ///
    /// # Errors
    ///
    /// Names the driver and the reason it doesn't work.
    pub fn check(self) -> io::Result<()> {
        match self {
            DriverKind::Epoll | DriverKind::Poll | DriverKind::Select => Ok(()),
            DriverKind::IoUring => uring::Uring::probe().map_err(|error| {
                io::Error::new(
                    error.kind(),
                    format!(
                        "the io_uring driver is unavailable ({error}): it needs Linux 6.1 or \
                         later, `kernel.io_uring_disabled` = 0, and a sandbox that allows it; \
                         use ROPEWALK_DRIVER=epoll"
                    ),
                )
            }),
        }
    }
}

/// One worker's driver.
pub(crate) enum Driver {
    Uring(Box<uring::Uring>),
    Readiness(readiness::Readiness),
}

impl Driver {
    /// Makes a driver for the calling thread, woken by `signal`.
    pub(crate) fn new(kind: DriverKind, signal: &Signal) -> io::Result<Driver> {
        Ok(match kind {
            DriverKind::IoUring => Driver::Uring(Box::new(uring::Uring::new(signal)?)),
            DriverKind::Epoll | DriverKind::Poll | DriverKind::Select => {
                Driver::Readiness(readiness::Readiness::new(kind, signal)?)
            }
        })
    }

    /// See the contract. `attempt` says besides its result whether it drained what there
    /// was (a short read), so that the next attempt may wait first.
    #[inline]
    pub(crate) fn ready_op<R>(
        &self,
        on: On<'_>,
        attempt: impl FnMut() -> io::Result<(R, bool)>,
    ) -> io::Result<R> {
        match self {
            Driver::Uring(uring) => uring.ready_op(on, attempt),
            Driver::Readiness(readiness) => readiness.ready_op(on, attempt),
        }
    }

    /// See the contract.
    #[inline]
    pub(crate) fn recv(&self, on: On<'_>, buf: &mut [u8], flags: i32) -> io::Result<usize> {
        match self {
            Driver::Uring(uring) => uring.recv(on, buf, flags),
            Driver::Readiness(readiness) => {
                let (fd, stream) = (on.source.raw(), on.source.is_stream());
                readiness.ready_op(on, || {
                    recv_now(fd, buf, flags).map(|(received, short)| (received, short && stream))
                })
            }
        }
    }

    /// See the contract. Receives one message.
    ///
    /// # Safety
    ///
    /// The header and all it points at are the caller's, and writable, until this returns.
    #[inline]
    pub(crate) unsafe fn recv_message(
        &self,
        on: On<'_>,
        header: *mut libc::msghdr,
        flags: i32,
    ) -> io::Result<usize> {
        match self {
            // SAFETY: by the contract above.
            Driver::Uring(uring) => unsafe { uring.recv_message(on, header, flags) },
            Driver::Readiness(readiness) => readiness.ready_op(on, || {
                // SAFETY: by the contract above.
                unsafe { recv_message_now(on.source.raw(), header, flags) }
                    .map(|received| (received, false))
            }),
        }
    }

    /// See the contract. Blocks for `timeout_ns` at most (`None`: for ever, 0: not at all).
    #[inline]
    pub(crate) fn poll(&self, worker: &Worker, timeout_ns: Option<u64>) {
        let counts = &worker.me().counts;
        Counts::add(&counts.polls);
        let news = match self {
            Driver::Uring(uring) => uring.poll(worker, timeout_ns),
            Driver::Readiness(readiness) => readiness.poll(timeout_ns),
        };
        if news != 0 {
            Counts::add(&counts.batches);
            Counts::add_many(&counts.completions, news);
        }
    }

    /// The selector it stands on, if it stands on one.
    pub(crate) fn home(&self) -> Option<Arc<Home>> {
        match self {
            Driver::Uring(_) => None,
            Driver::Readiness(readiness) => Some(Arc::clone(readiness.home())),
        }
    }

    /// Looks after `home` too, a selector for futures.
    pub(crate) fn watch(&self, worker: &Worker, home: Arc<Home>) {
        match self {
            Driver::Uring(uring) => uring.watch(worker, home),
            Driver::Readiness(_) => unreachable!("futures use the driver's own selector"),
        }
    }

    /// Ends the driver: nothing waits in it.
    pub(crate) fn close(&self) {
        if let Driver::Readiness(readiness) = self {
            readiness.close();
        }
    }
}

/// Lets a little time pass before the system is asked again for what it has just refused: a
/// driver that can't wait must not keep the processor from whoever can mend that.
#[cold]
fn pause() {
    std::thread::sleep(std::time::Duration::from_millis(1));
}

/// Who waits, for what, until when.
#[derive(Clone, Copy)]
pub(crate) struct On<'a> {
    pub(crate) worker: &'a Worker,
    pub(crate) record: &'a Record,
    pub(crate) source: &'a Source,
    pub(crate) interest: Interest,
    pub(crate) deadline: Option<u64>,
}

impl On<'_> {
    fn reason(&self) -> Reason {
        match self.interest {
            Interest::Read => Reason::Read,
            Interest::Write => Reason::Write,
        }
    }

    fn object(&self) -> usize {
        self.source.raw() as usize
    }
}

/// Who waits for a completion, what a dump says of it, until when.
#[derive(Clone, Copy)]
pub(crate) struct Caller<'a> {
    pub(crate) worker: &'a Worker,
    pub(crate) record: &'a Record,
    pub(crate) reason: Reason,
    pub(crate) object: usize,
    pub(crate) deadline: Option<u64>,
}

impl<'a> From<On<'a>> for Caller<'a> {
    fn from(on: On<'a>) -> Caller<'a> {
        Caller {
            worker: on.worker,
            record: on.record,
            reason: on.reason(),
            object: on.object(),
            deadline: on.deadline,
        }
    }
}

impl Caller<'_> {
    /// The deadline, with what the coroutine's token says.
    ///
    /// # Errors
    ///
    /// If the coroutine is cancelled already; it has given way to others then.
    fn bound(&self) -> io::Result<Option<u64>> {
        match cancel::standing_of(self.record) {
            Standing::Free => Ok(self.deadline),
            Standing::Until(token) => Ok(Some(self.deadline.map_or(token, |own| own.min(token)))),
            Standing::Cancelled { .. } => {
                self.worker.yield_now(self.record);
                Err(Cancelled::current().into_io())
            }
        }
    }

    /// The error of a wait whose deadline has passed, its own or the token's.
    fn expired(&self) -> io::Error {
        // A token that is over notes by this that it ended something.
        let _ = cancel::standing_of(self.record);
        timed_out()
    }
}

/// What others ask of a worker, to be done on its thread between two polls.
pub(crate) enum Letter {
    /// A deregistered descriptor's readiness, which events fetched before may still name:
    /// to be dropped.
    Release(Arc<Registration>),
    /// A coroutine with this id was cancelled.
    Cancel(Addressed, u64),
    /// All tasks are to be cancelled: the runtime closes.
    CancelAll,
    /// The stack of the coroutine with this id is to be looked at.
    Probe(Addressed, u64, Arc<Probe>),
    /// The worker is to say what is parked on it.
    Inquire(Box<Inquiry>),
    /// A selector for futures is to be looked after.
    Watch(Arc<Home>),
    /// A future's timer is to be set.
    Arm(Arc<Entry>),
    /// A future's timer is not needed any more.
    Disarm(Arc<Entry>),
}

/// A record that a letter is about; it may be another task's by now.
pub(crate) struct Addressed(pub(crate) NonNull<Record>);

// SAFETY: records are type-stable and shared; the reader checks the id.
unsafe impl Send for Addressed {}

pub(crate) fn timed_out() -> io::Error {
    io::Error::from(io::ErrorKind::TimedOut)
}

/// Whether a call that doesn't wait has failed for that only, or for a signal.
fn is_not_yet(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

/// One non-blocking `recv`.
#[inline]
fn recv_now(fd: i32, buf: &mut [u8], flags: i32) -> io::Result<(usize, bool)> {
    // SAFETY: the buffer is ours for the call.
    let received = unsafe {
        (sys::table().recv)(fd, buf.as_mut_ptr(), buf.len(), flags | libc::MSG_DONTWAIT)
    }?;
    // A peek leaves the data, and an end of file stays.
    let drained = received != 0 && received < buf.len() && flags & libc::MSG_PEEK == 0;
    Ok((received, drained))
}

/// Wakes a worker that blocks in its driver: an eventfd.
pub(crate) struct Signal(OwnedFd);

impl Signal {
    pub(crate) fn new() -> io::Result<Signal> {
        let fd = (sys::table().eventfd)()?;
        // SAFETY: a fresh descriptor of our own.
        Ok(Signal(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    pub(crate) fn send(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: eight readable bytes. It fails only when the counter is full, and then
        // the signal is set.
        unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    fn raw(&self) -> i32 {
        self.0.as_raw_fd()
    }
}

/// Takes back what was sent to a signal.
fn clear_signal(fd: i32) {
    let mut count = [0u8; 8];
    // SAFETY: eight writable bytes; non-blocking.
    unsafe { libc::read(fd, count.as_mut_ptr().cast(), count.len()) };
}

/// One wait for a completion or its deadline, by a coroutine of the driver's worker.
///
/// All on one thread: whichever of the two comes first makes the coroutine runnable, and
/// the second finds `queued` set. After a deadline the coroutine parks again for the end
/// of its cancelled operation.
pub(crate) struct IoWait {
    record: NonNull<Record>,
    queued: Cell<bool>,
    expired: Cell<bool>,
    cancelled: Cell<bool>,
    result: Cell<Option<i32>>,
}

impl IoWait {
    fn new(record: &Record) -> IoWait {
        IoWait {
            record: NonNull::from(record),
            queued: Cell::new(false),
            expired: Cell::new(false),
            cancelled: Cell::new(false),
            result: Cell::new(None),
        }
    }

    pub(crate) fn coroutine(&self) -> NonNull<Record> {
        self.record
    }

    /// Notes the completion; gives the coroutine if it is to be made runnable.
    fn complete(&self, result: i32) -> Option<NonNull<Record>> {
        self.result.set(Some(result));
        (!self.queued.replace(true)).then_some(self.record)
    }

    /// Notes that the coroutine was cancelled; likewise.
    pub(crate) fn cancel(&self) -> Option<NonNull<Record>> {
        self.cancelled.set(true);
        (!self.queued.replace(true)).then_some(self.record)
    }

    /// Notes that the deadline has passed; likewise.
    pub(crate) fn expire(&self) -> Option<NonNull<Record>> {
        self.expired.set(true);
        (!self.queued.replace(true)).then_some(self.record)
    }
}
