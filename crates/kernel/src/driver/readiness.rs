//! The readiness driver: try, and where that would block wait for an edge.
//!
//! A descriptor is registered once, for both directions, with the worker that first waits
//! for it: its home, which has a selector (`selector.rs`: epoll, poll or select) that
//! reports edges. What is known of its readiness is kept in one word:
//!
//! ```text
//!   bit 0 readable   1 writable   2 read side closed   3 write side closed   4.. edges seen
//!
//!   event            sets bits, counts an edge, wakes the waiters of the direction
//!   WouldBlock       clears the direction's bits, unless an edge came meanwhile
//!   short read       clears `readable` likewise: the next read waits first, which saves
//!                    one failing call per message. A closed side stays: what is left to
//!                    read then ends with 0, and no further edge would come.
//! ```
//!
//! Coroutines of other workers wait in the same queues and are woken through their inboxes.
//!
//! Who is about to wait looks at the word once more under the lock of the direction's queue,
//! asks the selector for the next edge (which epoll needs no asking for), and is in the queue
//! when it gives up the lock. An event sets the word before it looks whether the queue is
//! empty, and a locked queue isn't: so either the waiter sees the bit, or the event sees
//! the waiter.
//!
//! A registration is named by its address in the selector. Once its descriptor is removed
//! there no new event names it, but one fetched before may: so it is dropped by its home,
//! between two polls, and nowhere else.

use std::io;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::Waker;

use super::poller::{self, Wakers};
use super::selector::{Events, Readied, SIGNAL, Selector};
use super::{DriverKind, Interest, Letter, On, Signal, Source, is_not_yet, timed_out};
use crate::cancel::Cancelled;
use crate::runtime::Shared;
use crate::wait::{Limit, Outcome, WaitQueue, check_may_wait};
use crate::worker::Worker;

const READABLE: u64 = 1;
const WRITABLE: u64 = 2;
const READ_CLOSED: u64 = 4;
const WRITE_CLOSED: u64 = 8;
const EDGE: u64 = 16;

/// Full batches of events that are taken in one poll.
const BATCHES_MAX: usize = 16;

/// A selector and whether its worker is still there.
pub(crate) struct Home {
    selector: Selector,
    closed: AtomicBool,
    /// How many descriptors are registered.
    registered: AtomicU64,
    /// The registrations that may be alive, to wake their waiters when this home closes.
    known: Mutex<Vec<Weak<Registration>>>,
}

pub(crate) struct Readiness {
    home: Arc<Home>,
    events: Events,
    complained: AtomicBool,
}

/// What is known of one descriptor's readiness.
pub(crate) struct Registration {
    home: Arc<Home>,
    runtime: Arc<Shared>,
    worker: usize,
    state: AtomicU64,
    read: WaitQueue,
    write: WaitQueue,
    /// Futures that wait; see `poller.rs`.
    wakers: Wakers,
}

impl Home {
    fn of(selector: Selector) -> Arc<Home> {
        Arc::new(Home {
            selector,
            closed: AtomicBool::new(false),
            registered: AtomicU64::new(0),
            known: Mutex::new(Vec::new()),
        })
    }

    /// One for futures alone, beside a ring.
    pub(super) fn beside() -> io::Result<Arc<Home>> {
        Selector::beside().map(Home::of)
    }

    /// Ends it: all who wait here go on, and register elsewhere.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        let known = std::mem::take(&mut *self.known.lock().unwrap_or_else(PoisonError::into_inner));
        let mut wakers = Vec::new();
        for registration in known.iter().filter_map(Weak::upgrade) {
            registration.read.wake_all_later();
            registration.write.wake_all_later();
            registration.wakers.take(true, true, &mut wakers);
        }
        poller::wake_all(wakers);
    }

    /// Registers a source one of whose directions was found not ready, at the worker `index` of
    /// `shared`; from any thread.
    pub(super) fn register(
        self: &Arc<Home>,
        shared: &Arc<Shared>,
        index: usize,
        source: &Source,
        blocked: Interest,
    ) -> io::Result<Arc<Registration>> {
        let state = match blocked {
            _ if !self.selector.reports_who_waits() => 0,
            Interest::Read => WRITABLE,
            Interest::Write => READABLE,
        };
        let registration = Arc::new(Registration {
            home: Arc::clone(self),
            runtime: Arc::clone(shared),
            worker: index,
            state: AtomicU64::new(state),
            read: WaitQueue::new(),
            write: WaitQueue::new(),
            wakers: Wakers::default(),
        });
        self.selector
            .add(source.raw(), Arc::as_ptr(&registration) as u64)?;
        let registered = self.registered.fetch_add(1, Ordering::Relaxed) + 1;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() as u64 > 2 * registered + 64 {
            known.retain(|other| other.strong_count() > 0);
        }
        known.push(Arc::downgrade(&registration));
        drop(known);
        Ok(registration)
    }

    /// What is readable when there are events, of one beside a ring.
    pub(super) fn raw(&self) -> i32 {
        self.selector.raw()
    }
}

impl Registration {
    pub(super) fn seen(&self) -> u64 {
        self.state.load(Ordering::SeqCst)
    }

    pub(super) fn is_stale(&self) -> bool {
        self.home.closed.load(Ordering::SeqCst)
    }

    pub(super) fn wakers(&self) -> &Wakers {
        &self.wakers
    }

    pub(super) fn mask(interest: Interest) -> u64 {
        match interest {
            Interest::Read => READABLE | READ_CLOSED,
            Interest::Write => WRITABLE | WRITE_CLOSED,
        }
    }

    fn queue(&self, interest: Interest) -> &WaitQueue {
        match interest {
            Interest::Read => &self.read,
            Interest::Write => &self.write,
        }
    }

    /// Asks for the next edge of a direction.
    #[inline]
    pub(super) fn arm(&self, fd: i32, interest: Interest) {
        if self.home.selector.arm(fd, interest) {
            self.wake_home();
        }
    }

    #[cold]
    fn wake_home(&self) {
        self.runtime.workers[self.worker].signal.send();
    }

    /// Clears `bits`, unless there was an edge since `seen`.
    pub(super) fn clear(&self, bits: u64, seen: u64) {
        let _ =
            self.state
                .compare_exchange(seen, seen & !bits, Ordering::SeqCst, Ordering::Relaxed);
    }

    /// Notes an event; the wakers of futures are to be woken after the batch.
    fn notice(&self, ready: Readied, wakers: &mut Vec<Waker>) {
        let mut bits = 0;
        for (set, bit) in [
            (ready.readable, READABLE),
            (ready.writable, WRITABLE),
            (ready.read_closed, READ_CLOSED),
            (ready.write_closed, WRITE_CLOSED),
        ] {
            if set {
                bits |= bit;
            }
        }
        let mut seen = self.state.load(Ordering::Relaxed);
        while let Err(now) = self.state.compare_exchange_weak(
            seen,
            seen.wrapping_add(EDGE) | bits,
            Ordering::SeqCst,
            Ordering::Relaxed,
        ) {
            seen = now;
        }
        if bits & Self::mask(Interest::Read) != 0 {
            self.read.wake_all_later();
        }
        if bits & Self::mask(Interest::Write) != 0 {
            self.write.wake_all_later();
        }
        let for_whom = |interest| bits & Self::mask(interest) != 0;
        self.wakers
            .take(for_whom(Interest::Read), for_whom(Interest::Write), wakers);
    }

    /// Ends a registration whose source goes.
    pub(super) fn end(registration: Arc<Registration>, fd: i32) {
        registration
            .home
            .selector
            .remove(fd, || registration.wake_home());
        registration.home.registered.fetch_sub(1, Ordering::Relaxed);
        let at_home = Worker::current().is_some_and(|worker| {
            worker.index == registration.worker
                && ptr::eq(
                    Arc::as_ptr(&worker.shared),
                    Arc::as_ptr(&registration.runtime),
                )
        });
        if at_home || registration.home.closed.load(Ordering::Acquire) {
            // At home no batch of events is being gone through: coroutines don't run then.
            return;
        }
        let runtime = Arc::clone(&registration.runtime);
        runtime.workers[registration.worker].post(Letter::Release(registration));
    }
}

impl Readiness {
    pub(super) fn new(kind: DriverKind, signal: &Signal) -> io::Result<Readiness> {
        let (selector, events) = Selector::new(kind, signal)?;
        Ok(Readiness::of(Home::of(selector), events))
    }

    /// Goes through the events of `home`, which has none but futures' descriptors.
    pub(super) fn beside(home: Arc<Home>) -> Readiness {
        Readiness::of(home, Events::beside())
    }

    fn of(home: Arc<Home>, events: Events) -> Readiness {
        Readiness {
            home,
            events,
            complained: AtomicBool::new(false),
        }
    }

    pub(super) fn home(&self) -> &Arc<Home> {
        &self.home
    }

    pub(super) fn close(&self) {
        self.home.close();
    }

    pub(super) fn ready_op<R>(
        &self,
        on: On<'_>,
        mut attempt: impl FnMut() -> io::Result<(R, bool)>,
    ) -> io::Result<R> {
        let mask = Registration::mask(on.interest);
        loop {
            let registration = on.source.registration();
            let seen = registration.map_or(mask, |known| known.state.load(Ordering::Acquire));
            if seen & mask != 0 {
                match attempt() {
                    Ok((result, drained)) => {
                        if drained && let Some(known) = registration {
                            known.clear(READABLE, seen);
                        }
                        on.worker.spend(on.record);
                        return Ok(result);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                        if let Some(known) = registration {
                            known.clear(mask, seen);
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error),
                }
            }
            check_may_wait();
            let known = on.source.registration_or(
                |old| old.home.closed.load(Ordering::Acquire),
                || {
                    let (shared, index) = (&on.worker.shared, on.worker.index);
                    self.home.register(shared, index, on.source, on.interest)
                },
            )?;
            let guard = known.queue(on.interest).lock();
            if known.state.load(Ordering::SeqCst) & mask != 0
                || known.home.closed.load(Ordering::SeqCst)
            {
                continue;
            }
            known.arm(on.source.raw(), on.interest);
            match guard.wait(0, on.reason(), on.object(), Limit::cancellable(on.deadline)) {
                Outcome::Woken => {}
                Outcome::Expired => {
                    // After a short read nobody has looked yet: what had come before this
                    // call is not late.
                    return match attempt() {
                        Ok((result, _)) => Ok(result),
                        Err(error) if is_not_yet(&error) => Err(timed_out()),
                        Err(error) => Err(error),
                    };
                }
                Outcome::Cancelled => return Err(Cancelled::current().into_io()),
            }
        }
    }

    /// Says how many events there were.
    pub(super) fn poll(&self, timeout_ns: Option<u64>) -> u64 {
        let mut count = 0;
        if timeout_ns == Some(0) && self.home.registered.load(Ordering::Relaxed) == 0 {
            return 0;
        }
        let mut timeout_ns = timeout_ns;
        let mut wakers = Vec::new();
        // More than so many can wait for the next look: where others make events faster than
        // they are taken, coroutines are to run all the same.
        for _ in 0..BATCHES_MAX {
            let more = self
                .home
                .selector
                .wait(&self.events, timeout_ns, |key, ready| {
                    count += 1;
                    if key != SIGNAL {
                        // SAFETY: a registration in the selector, or removed from it since the
                        // last poll: alive either way, see the head of this file.
                        unsafe { &*(key as *const Registration) }.notice(ready, &mut wakers);
                    }
                });
            if !wakers.is_empty() {
                poller::wake_all(std::mem::take(&mut wakers));
            }
            match more {
                Ok(true) => timeout_ns = Some(0),
                Ok(false) => return count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return count,
                Err(error) => {
                    if !self.complained.swap(true, Ordering::Relaxed) {
                        eprintln!(
                            "ropewalk: waiting for descriptors failed ({error}); trying again"
                        );
                    }
                    super::pause();
                    return count;
                }
            }
        }
        count
    }
}
