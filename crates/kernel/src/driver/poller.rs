//! Descriptors in futures: try, and where that would block leave the waker with the
//! registration of the readiness driver.
//!
//! A future can't lend its buffer to the kernel: it may be dropped, or never polled again. So a
//! poll is a non-blocking call, and on `WouldBlock` a wait for an edge, with both drivers: in a
//! worker with a ring a selector lies beside that, and the ring polls the selector.
//!
//! # Whose selector
//!
//! That of the worker that first polls the future, which becomes the descriptor's home as in
//! `readiness.rs`; outside the workers that of the global runtime's worker 0, as with timers of
//! futures. Any thread may register there. Each worker's is in its [`Futures`]:
//!
//! ```text
//!   Unused ──first future──▶ Serving(home) ──the worker ends──▶ Left
//!      │  (with epoll: from the worker's start)                  ▲
//!      └────────────────────the worker ends──────────────────────┘
//! ```
//!
//! A worker that gets another thread, after one has left, begins with `Unused` again.
//!
//! Whoever makes a home beside a ring posts a letter with it, and the worker then arms a one-shot
//! poll of it in its ring, and again each time it has emptied the selector. A one-shot poll looks
//! at the selector when it is armed: what came before that is not lost. When the worker
//! ends, its home closes: all who wait there are woken, and register at another.
//!
//! # A poll
//!
//! ```text
//!   poller:  attempt gave WouldBlock; clear the direction's bits, unless an edge came since they
//!            were read; lock the wakers; `waiting` = true; read the bits; none set: ask for
//!            the next edge, leave the waker, unlock, Pending
//!   home:    set the bits (a read-modify-write); `waiting`? lock the wakers, take them all, unlock
//! ```
//!
//! The bits and `waiting` are `SeqCst`: in their single order either the poller sees the new
//! bits, and tries again, or the home sees `waiting`. Then it takes the lock: after the poller, and
//! finds the waker, or before, and the poller reads the bits after it has got the lock, and sees
//! them. `closed` of the home takes the place of the bits when a worker ends.
//!
//! Wakers are foreign code: they run after the batch of events in which they were taken, as they
//! may drop a source at home, whose registration a later event of the same batch may name.
//! They are never cloned or dropped under the lock.
//!
//! Each direction keeps the last few distinct wakers, as several tasks may poll one descriptor.
//! One that is pushed out by newer ones is woken, not forgotten: its task polls again.
//!
//! # Dropping
//!
//! A future that is dropped leaves its waker, which is woken once for nothing, or dropped with the
//! source. The source's end removes the descriptor from the selector before it is closed.

use std::io;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::readiness::{Home, Registration};
use super::{Interest, Letter, Source, recv_now};
use crate::runtime::{Runtime, Shared};
use crate::worker::Worker;

/// How many distinct wakers each direction keeps.
const KEPT: usize = 32;

/// How many wakers are kept in the process: tasks that descriptors may still wake.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Says whether any future waits for a descriptor, or has.
pub(crate) fn anyone_waits() -> bool {
    WAITING.load(Ordering::SeqCst) != 0
}

/// Where futures register on a worker; see the head of this file.
pub(crate) struct Futures(Mutex<State>);

enum State {
    Unused,
    Serving(Arc<Home>),
    Left,
}

impl Futures {
    pub(crate) fn new() -> Futures {
        Futures(Mutex::new(State::Unused))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins anew, for another thread of the worker.
    pub(crate) fn begin(&self) {
        *self.state() = State::Unused;
    }

    /// Makes the driver's own selector that of futures too.
    pub(crate) fn serve(&self, home: Arc<Home>) {
        *self.state() = State::Serving(home);
    }

    /// Ends it: nobody looks at the selector any more.
    pub(crate) fn leave(&self) {
        let state = mem::replace(&mut *self.state(), State::Left);
        if let State::Serving(home) = state {
            home.close();
        }
    }

    /// The home at the worker `index`, which is made if need be.
    fn home(shared: &Arc<Shared>, index: usize) -> io::Result<Arc<Home>> {
        let worker = &shared.workers[index];
        let mut state = worker.futures.state();
        match &*state {
            State::Serving(home) => Ok(Arc::clone(home)),
            State::Left => Err(io::Error::other("the runtime has ended")),
            State::Unused => {
                let home = Home::beside()?;
                *state = State::Serving(Arc::clone(&home));
                drop(state);
                // Not taken by a worker that ends, and will close the home.
                worker.post(Letter::Watch(Arc::clone(&home)));
                Ok(home)
            }
        }
    }
}

/// The wakers of those who wait at a registration.
#[derive(Default)]
pub(super) struct Wakers {
    waiting: AtomicBool,
    lists: Mutex<Lists>,
}

#[derive(Default)]
struct Lists {
    read: Vec<Waker>,
    write: Vec<Waker>,
}

impl Lists {
    fn of(&mut self, interest: Interest) -> &mut Vec<Waker> {
        match interest {
            Interest::Read => &mut self.read,
            Interest::Write => &mut self.write,
        }
    }
}

/// What became of a waker that was to be left.
enum Left {
    /// There is something to be done: here it is again.
    Not(Waker),
    /// Beside those that are there.
    Beside,
    /// One that wakes the same task is there.
    Known(Waker),
    /// In the place of the oldest, whose task must poll again.
    InPlaceOf(Waker),
}

impl Wakers {
    fn lists(&self) -> MutexGuard<'_, Lists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves `waker` and asks for the next edge, unless there is something to be done at once.
    fn leave(
        &self,
        interest: Interest,
        waker: Waker,
        at_once: impl FnOnce() -> bool,
        arm: impl FnOnce(),
    ) -> Left {
        let mut lists = self.lists();
        self.waiting.store(true, Ordering::SeqCst);
        if at_once() {
            return Left::Not(waker);
        }
        arm();
        let list = lists.of(interest);
        if list.iter().any(|known| known.will_wake(&waker)) {
            return Left::Known(waker);
        }
        if list.len() == KEPT {
            let oldest = list.remove(0);
            list.push(waker);
            return Left::InPlaceOf(oldest);
        }
        list.push(waker);
        WAITING.fetch_add(1, Ordering::SeqCst);
        Left::Beside
    }

    /// Takes out those who wait in the directions that are ready.
    pub(super) fn take(&self, read: bool, write: bool, into: &mut Vec<Waker>) {
        if !self.waiting.load(Ordering::SeqCst) {
            return;
        }
        let mut lists = self.lists();
        let before = into.len();
        if read {
            into.append(&mut lists.read);
        }
        if write {
            into.append(&mut lists.write);
        }
        if lists.read.is_empty() && lists.write.is_empty() {
            self.waiting.store(false, Ordering::SeqCst);
        }
        WAITING.fetch_sub(into.len() - before, Ordering::SeqCst);
    }
}

impl Drop for Wakers {
    fn drop(&mut self) {
        let lists = self.lists.get_mut().unwrap_or_else(PoisonError::into_inner);
        WAITING.fetch_sub(lists.read.len() + lists.write.len(), Ordering::SeqCst);
    }
}

/// Wakes all of `wakers`, whatever one of them does.
pub(super) fn wake_all(wakers: Vec<Waker>) {
    for waker in wakers {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
            // Its drop may panic too; the hook has told of the panic.
            mem::forget(payload);
        }
    }
}

impl Source {
    /// Runs a non-blocking `attempt`, again after each edge, until it gives something else than
    /// `WouldBlock`; for a future, on any executor.
    ///
    /// # Errors
    ///
    /// The attempt's; those of the registration; and those of the global runtime's start, if
    /// that is what it takes.
    pub fn poll_ready_op<R>(
        &self,
        interest: Interest,
        context: &mut Context<'_>,
        mut attempt: impl FnMut() -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        if let Some(worker) = Worker::current()
            && worker.current_record().is_some()
            && worker.spent()
        {
            // Others have their turn.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mask = Registration::mask(interest);
        loop {
            let registration = self.registration();
            let seen = registration.map_or(mask, Registration::seen);
            if seen & mask != 0 {
                match attempt() {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        if let Some(known) = registration {
                            known.clear(mask, seen);
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    result => return Poll::Ready(result),
                }
            }
            let known =
                match self.registration_or(Registration::is_stale, || self.register(interest)) {
                    Ok(known) => known,
                    Err(error) => return Poll::Ready(Err(error)),
                };
            let waker = context.waker().clone();
            let at_once = || known.seen() & mask != 0 || known.is_stale();
            let arm = || known.arm(self.raw(), interest);
            match known.wakers().leave(interest, waker, at_once, arm) {
                Left::Not(unused) => drop(unused),
                // Not to be woken: a task may poll many times before anything comes.
                Left::Known(unused) => {
                    drop(unused);
                    return Poll::Pending;
                }
                Left::Beside => return Poll::Pending,
                Left::InPlaceOf(oldest) => {
                    wake_all(vec![oldest]);
                    return Poll::Pending;
                }
            }
        }
    }

    fn register(&self, interest: Interest) -> io::Result<Arc<Registration>> {
        let (shared, index) = match Worker::current() {
            Some(worker) => (&worker.shared, worker.index),
            None => (Runtime::global()?.shared(), 0),
        };
        let home = Futures::home(shared, index)?;
        home.register(shared, index, self, interest)
    }
}

/// What futures do with streams. The buffers are the caller's for the call, and for no longer.
impl Source {
    /// Receives into `buf`.
    ///
    /// # Errors
    ///
    /// As [`poll_ready_op`](Self::poll_ready_op).
    pub fn poll_recv(&self, context: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_ready_op(Interest::Read, context, || {
            recv_now(self.raw(), buf, 0).map(|(received, _)| received)
        })
    }

    /// Receives into several buffers, in order.
    ///
    /// # Errors
    ///
    /// As [`poll_ready_op`](Self::poll_ready_op).
    pub fn poll_recv_vectored(
        &self,
        context: &mut Context<'_>,
        bufs: &mut [io::IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_ready_op(Interest::Read, context, || self.recv_vectored_now(bufs))
    }

    /// Sends from `buf`.
    ///
    /// # Errors
    ///
    /// As [`poll_ready_op`](Self::poll_ready_op).
    pub fn poll_send(&self, context: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_ready_op(Interest::Write, context, || self.send_now(buf, 0))
    }

    /// Sends several buffers, in order.
    ///
    /// # Errors
    ///
    /// As [`poll_ready_op`](Self::poll_ready_op).
    pub fn poll_send_vectored(
        &self,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_ready_op(Interest::Write, context, || self.send_vectored_now(bufs))
    }
}
