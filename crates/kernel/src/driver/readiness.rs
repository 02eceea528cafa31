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

use super::selector::{Events, Readied, SIGNAL, Selector};
use super::{DriverKind, Interest, Letter, On, Signal, Source, timed_out};
use crate::cancel::Cancelled;
use crate::runtime::Shared;
use crate::wait::{Limit, Outcome, WaitQueue, check_may_wait};
use crate::worker::Worker;

const READABLE: u64 = 1;
const WRITABLE: u64 = 2;
const READ_CLOSED: u64 = 4;
const WRITE_CLOSED: u64 = 8;
const EDGE: u64 = 16;

/// A selector and whether its worker is still there.
struct Home {
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
}

impl Registration {
    fn mask(interest: Interest) -> u64 {
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
    fn arm(&self, fd: i32, interest: Interest) {
        if self.home.selector.arm(fd, interest) {
            self.wake_home();
        }
    }

    #[cold]
    fn wake_home(&self) {
        self.runtime.workers[self.worker].signal.send();
    }

    /// Clears `bits`, unless there was an edge since `seen`.
    fn clear(&self, bits: u64, seen: u64) {
        let _ =
            self.state
                .compare_exchange(seen, seen & !bits, Ordering::SeqCst, Ordering::Relaxed);
    }

    fn notice(&self, ready: Readied) {
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
        let home = Arc::new(Home {
            selector,
            closed: AtomicBool::new(false),
            registered: AtomicU64::new(0),
            known: Mutex::new(Vec::new()),
        });
        Ok(Readiness {
            home,
            events,
            complained: AtomicBool::new(false),
        })
    }

    pub(super) fn close(&self) {
        self.home.closed.store(true, Ordering::SeqCst);
        // Coroutines of other runtimes that wait here go on, and register at home.
        let known = std::mem::take(
            &mut *self
                .home
                .known
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        for registration in known.iter().filter_map(Weak::upgrade) {
            registration.read.wake_all_later();
            registration.write.wake_all_later();
        }
    }

    /// Registers a source one of whose directions was found not ready.
    fn register(
        &self,
        worker: &Worker,
        source: &Source,
        blocked: Interest,
    ) -> io::Result<Arc<Registration>> {
        let state = match blocked {
            _ if !self.home.selector.reports_who_waits() => 0,
            Interest::Read => WRITABLE,
            Interest::Write => READABLE,
        };
        let registration = Arc::new(Registration {
            home: Arc::clone(&self.home),
            runtime: Arc::clone(&worker.shared),
            worker: worker.index,
            state: AtomicU64::new(state),
            read: WaitQueue::new(),
            write: WaitQueue::new(),
        });
        self.home
            .selector
            .add(source.raw(), Arc::as_ptr(&registration) as u64)?;
        let registered = self.home.registered.fetch_add(1, Ordering::Relaxed) + 1;
        let mut known = self
            .home
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if known.len() as u64 > 2 * registered + 64 {
            known.retain(|other| other.strong_count() > 0);
        }
        known.push(Arc::downgrade(&registration));
        drop(known);
        Ok(registration)
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
                || self.register(on.worker, on.source, on.interest),
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
                Outcome::Expired => return Err(timed_out()),
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
        loop {
            let more = self
                .home
                .selector
                .wait(&self.events, timeout_ns, |key, ready| {
                    count += 1;
                    if key != SIGNAL {
                        // SAFETY: a registration in the selector, or removed from it since the
                        // last poll: alive either way, see the head of this file.
                        unsafe { &*(key as *const Registration) }.notice(ready);
                    }
                });
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
                    std::thread::yield_now();
                    return count;
                }
            }
        }
    }
}
