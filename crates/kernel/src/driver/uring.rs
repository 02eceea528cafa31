//! The completion driver: one io_uring per worker.
//!
//! Set up with SINGLE_ISSUER and DEFER_TASKRUN (kernel 6.1): completions are processed
//! only when the worker enters the ring, and TASKRUN_FLAG tells it without a system call
//! whether entering would bring anything.
//!
//! An entry's user data is the address of the [`IoWait`] on the waiting coroutine's
//! stack. That stack is never reused before the coroutine ends, the coroutine doesn't go
//! on before the completion, and nothing unwinds it: so the address, and the buffer the
//! entry points at, are good until the kernel is done with them.
//!
//! Receiving tries the call itself first, and if there is nothing asks the kernel to poll
//! first (POLL_FIRST). If the last one on the socket came back short there is most likely
//! nothing there yet: then the entry goes in without a try. It does not ask for the poll either:
//! by the time it goes in with others, the answer may have come, and to poll before taking it
//! cost 4 to 5% of the messages a processor second at 64 and 1000 connections, and saves
//! nothing that could be measured with one.
//!
//! # What a message costs
//!
//! Calls for each message of an echo (`strace -c` of the benchmark's server): with one
//! connection one `send` and one `io_uring_enter`, which takes the next receive to the kernel
//! and waits for it; with 64 connections an enter for 20 sends, with 1000 one for 36. epoll needs
//! a `recv` for each besides. No spinning before blocking: it would cost the processor time that
//! is measured, and the other end's answer takes longer than a spin that pays.
//!
//! Sends are direct calls. Handing them over with the next enter when 8 or 32 coroutines were
//! runnable saved the call (0.2 µs here) and cost a park, a resume and a completion: no gain in
//! requests a processor second at 64 or 1000 connections, and later answers.

use std::cell::{Cell, OnceCell, UnsafeCell};
use std::io;
use std::sync::Arc;

use io_uring::{IoUring, opcode, squeue, types};

use super::readiness::{Home, Readiness};
use super::{
    Caller, Interest, IoWait, On, Signal, clear_signal, is_not_yet, recv_message_now, recv_now,
};
use crate::cancel::Cancelled;
use crate::record::Named;
use crate::sys;
use crate::wait::{AbortOnUnwind, check_may_wait};
use crate::worker::{Alarm, Worker};

const ENTRIES: u32 = 1024;
const COMPLETIONS: u32 = 4096;

/// User data of entries nobody waits for, and of the signal's poll.
const IGNORED: u64 = 0;
const SIGNAL: u64 = 1;
/// User data of the poll of the selector beside the ring.
const BESIDE: u64 = 2;

/// `IORING_RECVSEND_POLL_FIRST` of linux/io_uring.h.
const POLL_FIRST: u16 = 1;

pub(crate) struct Uring {
    ring: UnsafeCell<IoUring>,
    /// A signal's descriptor, owned by what others see of the worker.
    signal: i32,
    signal_armed: Cell<bool>,
    /// The selector for futures, once there is one; see `poller.rs`.
    beside: OnceCell<Readiness>,
    /// Whether the selector has something.
    beside_ready: Cell<bool>,
    /// Whether a failure of io_uring_enter has been told.
    complained: Cell<bool>,
}

impl Uring {
    /// Says whether a ring as we need it can be made.
    pub(super) fn probe() -> io::Result<()> {
        build(8, 8).map(drop)
    }

    pub(super) fn new(signal: &Signal) -> io::Result<Uring> {
        let uring = Uring {
            ring: UnsafeCell::new(build(ENTRIES, COMPLETIONS)?),
            signal: signal.raw(),
            signal_armed: Cell::new(false),
            beside: OnceCell::new(),
            beside_ready: Cell::new(false),
            complained: Cell::new(false),
        };
        Ok(uring)
    }

    #[expect(clippy::mut_from_ref, reason = "one worker, and no reference is kept")]
    fn ring(&self) -> &mut IoUring {
        // SAFETY: the driver is used by its worker's thread only, and no caller keeps the
        // reference across anything that could come back here (a park, a wake).
        unsafe { &mut *self.ring.get() }
    }

    /// Queues an entry; it goes in with the next poll.
    ///
    /// # Safety
    ///
    /// What the entry points at is valid until its completion.
    unsafe fn push(&self, worker: &Worker, entry: &squeue::Entry) {
        // SAFETY: by the contract above.
        while unsafe { self.ring().submission().push(entry) }.is_err() {
            // Full: hand over what is there. The kernel may want completions taken out first.
            self.enter(0, None);
            self.reap(worker);
        }
    }

    /// Submits and waits for `want` completions; failures other than those that simply
    /// mean "look again" are told once.
    fn enter(&self, want: usize, timeout_ns: Option<u64>) {
        let ring = self.ring();
        let result = match timeout_ns {
            Some(ns) if want > 0 => {
                let timeout = types::Timespec::new()
                    .sec(ns / 1_000_000_000)
                    .nsec((ns % 1_000_000_000) as u32);
                let args = types::SubmitArgs::new().timespec(&timeout);
                (sys::table().io_uring_enter)(&ring.submitter(), want, Some(&args))
            }
            _ => (sys::table().io_uring_enter)(&ring.submitter(), want, None),
        };
        let Err(error) = result else { return };
        match error.raw_os_error() {
            // ETIME: the time-out. EBUSY, EAGAIN: completions must be taken out first, or
            // memory is short for the moment. EINTR: a signal.
            Some(libc::ETIME | libc::EINTR | libc::EBUSY) => {}
            Some(libc::EAGAIN) => std::thread::yield_now(),
            _ => {
                if !self.complained.replace(true) {
                    eprintln!("ropewalk: io_uring_enter failed ({error}); trying again");
                }
                super::pause();
            }
        }
    }

    fn arm_signal(&self, worker: &Worker) {
        if self.signal_armed.replace(true) {
            return;
        }
        let entry = opcode::PollAdd::new(types::Fd(self.signal), libc::POLLIN as u32)
            .multi(true)
            .build()
            .user_data(SIGNAL);
        // SAFETY: a poll points at nothing.
        unsafe { self.push(worker, &entry) };
    }

    /// Looks after `home` from now on.
    pub(super) fn watch(&self, worker: &Worker, home: Arc<Home>) {
        let first = self.beside.set(Readiness::beside(home)).is_ok();
        debug_assert!(first, "a worker has one selector for futures");
        self.arm_beside(worker);
    }

    fn arm_beside(&self, worker: &Worker) {
        let Some(beside) = self.beside.get() else {
            return;
        };
        let fd = types::Fd(beside.home().raw());
        let entry = opcode::PollAdd::new(fd, libc::POLLIN as u32)
            .build()
            .user_data(BESIDE);
        // SAFETY: a poll points at nothing.
        unsafe { self.push(worker, &entry) };
    }

    /// Wakes the futures that the selector has news for.
    fn poll_beside(&self, worker: &Worker) {
        if self.beside_ready.replace(false)
            && let Some(beside) = self.beside.get()
        {
            beside.poll(Some(0));
            self.arm_beside(worker);
        }
    }

    /// Says how many completions there were.
    pub(super) fn poll(&self, worker: &Worker, timeout_ns: Option<u64>) -> u64 {
        if timeout_ns == Some(0) {
            let (mut submission, completion) = {
                let ring = self.ring();
                // SAFETY: the one submission and completion queue object at this time.
                unsafe { (ring.submission_shared(), ring.completion_shared()) }
            };
            submission.sync();
            let idle = submission.is_empty() && !submission.taskrun() && !submission.cq_overflow();
            let nothing = completion.is_empty();
            drop((submission, completion));
            if idle && nothing && !self.beside_ready.get() {
                return 0;
            }
            if !idle {
                self.enter(0, None);
            }
        } else {
            self.arm_signal(worker);
            let ready = self.beside_ready.get() || !self.ring().completion().is_empty();
            self.enter(usize::from(!ready), timeout_ns);
        }
        let count = self.reap(worker);
        self.poll_beside(worker);
        count
    }

    fn reap(&self, worker: &Worker) -> u64 {
        let mut count = 0;
        let mut completions = self.ring().completion();
        for completion in &mut completions {
            count += 1;
            match completion.user_data() {
                IGNORED => {}
                SIGNAL => {
                    if !io_uring::cqueue::more(completion.flags()) {
                        self.signal_armed.set(false);
                        clear_signal(self.signal);
                    }
                }
                BESIDE => self.beside_ready.set(true),
                address => {
                    // SAFETY: the entry's `IoWait` lives until this completion is noted.
                    let wait = unsafe { &*(address as *const IoWait) };
                    if let Some(record) = wait.complete(completion.result()) {
                        worker.runnable(record);
                    }
                }
            }
        }
        count
    }

    /// Runs one operation to its completion.
    ///
    /// # Safety
    ///
    /// What the entry points at is valid until this returns.
    pub(super) unsafe fn perform<'a>(
        &self,
        on: impl Into<Caller<'a>>,
        entry: squeue::Entry,
    ) -> io::Result<i32> {
        check_may_wait();
        let on = on.into();
        let deadline = on.bound()?;
        let wait = IoWait::new(on.record);
        let address = std::ptr::from_ref(&wait) as u64;
        let guard = AbortOnUnwind;
        // SAFETY: by the contract above; `wait` lives in this frame, which is left only
        // after the completion.
        unsafe { self.push(on.worker, &entry.user_data(address)) };
        let alarm = deadline.map(|deadline| (Alarm::for_io(&wait), deadline));
        if let Some((alarm, deadline)) = &alarm {
            // SAFETY: disarmed below, in the same frame.
            unsafe { on.worker.arm(alarm, *deadline) };
        }
        on.record.wait.set(Named::io(&wait));
        let mut cancelling = false;
        let result = loop {
            on.worker.park(on.record, on.reason, on.object);
            wait.queued.set(false);
            if let Some(result) = wait.result.get() {
                break result;
            }
            // The deadline, or a cancellation. Cancel, and wait on for the end.
            if !std::mem::replace(&mut cancelling, true) {
                let cancel = opcode::AsyncCancel::new(address).build().user_data(IGNORED);
                // SAFETY: the address is compared, not followed.
                unsafe { self.push(on.worker, &cancel) };
            }
        };
        on.record.wait.set(Named::NONE);
        if let Some((alarm, _)) = &alarm {
            // SAFETY: armed above, by this worker.
            unsafe { on.worker.disarm(alarm) };
        }
        std::mem::forget(guard);
        match result {
            // It ran into the deadline, or was interrupted by its cancellation.
            code if cancelling && (code == -libc::ECANCELED || code == -libc::EINTR) => {
                Err(if wait.cancelled.get() {
                    Cancelled::current().into_io()
                } else {
                    on.expired()
                })
            }
            code if code < 0 => Err(io::Error::from_raw_os_error(-code)),
            code => Ok(code),
        }
    }

    /// Waits until the descriptor may be ready.
    fn wait_ready(&self, on: On<'_>) -> io::Result<()> {
        let events = match on.interest {
            Interest::Read => libc::POLLIN | libc::POLLRDHUP,
            Interest::Write => libc::POLLOUT,
        };
        let entry = opcode::PollAdd::new(types::Fd(on.source.raw()), events as u32).build();
        // SAFETY: a poll points at nothing.
        unsafe { self.perform(on, entry) }.map(drop)
    }

    pub(super) fn ready_op<R>(
        &self,
        on: On<'_>,
        mut attempt: impl FnMut() -> io::Result<(R, bool)>,
    ) -> io::Result<R> {
        loop {
            match attempt() {
                Ok((result, _)) => {
                    on.worker.spend(on.record);
                    return Ok(result);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait_ready(on)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(super) fn recv(&self, on: On<'_>, buf: &mut [u8], flags: i32) -> io::Result<usize> {
        let source = on.source;
        loop {
            let first = if source.drained() { 0 } else { POLL_FIRST };
            if first != 0 {
                match recv_now(source.raw(), buf, flags) {
                    Ok((received, drained)) => {
                        source.set_drained(drained);
                        on.worker.spend(on.record);
                        return Ok(received);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error),
                }
            }
            let len = u32::try_from(buf.len()).unwrap_or(u32::MAX);
            let entry = opcode::Recv::new(types::Fd(source.raw()), buf.as_mut_ptr(), len)
                .flags(flags)
                .ioprio(first)
                .build();
            // SAFETY: the buffer is borrowed until this returns.
            match unsafe { self.perform(on, entry) } {
                Ok(received) => {
                    let received = received as usize;
                    let short = received != 0 && received < buf.len();
                    source.set_drained(short && flags & libc::MSG_PEEK == 0);
                    return Ok(received);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Somebody else set O_NONBLOCK: the kernel doesn't wait for us then.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait_ready(on)?;
                    source.set_drained(false);
                }
                Err(error) if error.kind() == io::ErrorKind::TimedOut && source.drained() => {
                    source.set_drained(false);
                    // Nobody has looked yet: what had come before this call is not late.
                    return match recv_now(source.raw(), buf, flags) {
                        Ok((received, _)) => Ok(received),
                        Err(late) if is_not_yet(&late) => Err(error),
                        Err(error) => Err(error),
                    };
                }
                Err(error) => {
                    source.set_drained(false);
                    return Err(error);
                }
            }
        }
    }

    /// Receives one message: tries, then leaves it to the kernel.
    ///
    /// # Safety
    ///
    /// The header and all it points at are the caller's, and writable, until this returns.
    pub(super) unsafe fn recv_message(
        &self,
        on: On<'_>,
        header: *mut libc::msghdr,
        flags: i32,
    ) -> io::Result<usize> {
        let fd = on.source.raw();
        loop {
            // SAFETY: by the contract above.
            match unsafe { recv_message_now(fd, header, flags) } {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Ok(received) => {
                    on.worker.spend(on.record);
                    return Ok(received);
                }
                Err(error) => return Err(error),
            }
            let entry = opcode::RecvMsg::new(types::Fd(fd), header)
                .flags(flags as u32)
                .ioprio(POLL_FIRST)
                .build();
            // SAFETY: by the contract above.
            match unsafe { self.perform(on, entry) } {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Somebody else set O_NONBLOCK: the kernel doesn't wait for us then.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait_ready(on)?,
                result => return result.map(|received| received as usize),
            }
        }
    }
}

fn build(entries: u32, completions: u32) -> io::Result<IoUring> {
    let mut builder = IoUring::builder();
    builder
        .dontfork()
        .setup_clamp()
        .setup_cqsize(completions)
        .setup_submit_all()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag();
    let ring = (sys::table().io_uring_setup)(&builder, entries)?;
    if !ring.params().is_feature_ext_arg() || !ring.params().is_feature_nodrop() {
        return Err(io::Error::from(io::ErrorKind::Unsupported));
    }
    Ok(ring)
}
