//! The raw lock under [`RwLock`](super::RwLock).
//!
//! # States
//!
//! | bits of `state` | meaning |
//! |---|---|
//! | WRITER | held for writing; no readers then |
//! | readers, from READER up | how many hold it for reading |
//! | UPGRADABLE | one of the readers may upgrade |
//! | UPGRADING | that one waits, in `upgrader`, for the other readers to go |
//! | WAITERS | somebody stands in `queue`, or did a moment ago |
//! | LOOKERS | futures that want to read stand in `lookers`, or did a moment ago |
//!
//! WAITERS only changes under the lock of `queue`. While it is up, new readers join the queue,
//! unless nobody holds the lock at all. While UPGRADING is up, nobody comes in but readers who
//! say that they hold it already. UPGRADING is set under the lock of `upgrader`, and cleared
//! by the one who waits there. LOOKERS only changes under the lock of `lookers`.
//!
//! # Fairness
//!
//! Who gives up the lock serves the queue: readers at its front are handed the lock, all of
//! them up to the first writer. A writer at the front is woken and competes with whoever
//! comes: so a running task need not wait for a sleeping one to wake up. One that loses joins
//! again as *starved*, a thread once it has been losing for a while (`patience.rs`), and is
//! handed the lock when its turn comes next. So readers wait for
//! the writers before them and no longer, writers for those before them and for a few that
//! were faster.
//!
//! Futures are handed nothing: they are woken and compete. One that wants to write does so
//! alone, in its turn. Those that want to read stand apart, as it can't be told from a place in
//! the queue what a future wants: they are woken whenever a reader may come in, all of them.
//!
//! A waiter may give up between being looked at and being claimed; the claim then yields the
//! next one, which perhaps can't be served: it is woken with empty hands and joins again.
//! Whoever gives up serves the queue, as it may have stood in the way of others.
//!
//! # Orderings
//!
//! Taking is `Acquire`, giving up `Release`. A hand-over is written and read under the queue's
//! lock, or after the claim, which synchronise; and `serve` takes with `Acquire` on behalf of
//! the one it hands over to.
//!
//! The last reader gives up under the queue's lock if anybody waits, so that no running task
//! can be faster than a starved writer again and again.

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use ropewalk_kernel::locks::{self, Owner};
use ropewalk_kernel::wait::{
    AsyncWait, Limit, Outcome, QueueGuard, Reason, WaitQueue, check_may_wait,
};

use super::super::Batch;
use crate::patience::{self, Losing};

pub(super) const WRITER: usize = 1;
pub(super) const UPGRADABLE: usize = 2;
pub(super) const UPGRADING: usize = 4;
pub(super) const WAITERS: usize = 8;
pub(super) const LOOKERS: usize = 16;
pub(super) const READER: usize = 32;

/// A lock for readers and writers without data: the raw type under
/// [`RwLock`](super::RwLock).
pub struct RawRwLock {
    pub(super) state: AtomicUsize,
    queue: WaitQueue,
    upgrader: WaitQueue,
    lookers: WaitQueue,
    /// The writer.
    pub(super) owner: Owner,
}

/// In which way the lock is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    /// By one who perhaps reads already: not to be kept waiting by a writer who waits.
    ReadAgain,
    Upgradable,
    Write,
}

impl Kind {
    /// Says whether the lock can be held this way beside those who hold it.
    #[inline]
    fn fits(self, state: usize) -> bool {
        match self {
            Kind::Read => state & (WRITER | UPGRADING) == 0,
            Kind::ReadAgain => state & WRITER == 0,
            Kind::Upgradable => state & (WRITER | UPGRADABLE | UPGRADING) == 0,
            Kind::Write => state & WRITER == 0 && readers(state) == 0,
        }
    }

    /// Says whether one who just comes may take the lock.
    #[inline]
    fn may_enter(self, state: usize) -> bool {
        let in_turn = match self {
            Kind::Read | Kind::Upgradable => state & WAITERS == 0 || readers(state) == 0,
            Kind::ReadAgain | Kind::Write => true,
        };
        self.fits(state) && in_turn
    }

    /// What holding it this way adds to the state.
    #[inline]
    fn bits(self) -> usize {
        match self {
            Kind::Read | Kind::ReadAgain => READER,
            Kind::Upgradable => READER | UPGRADABLE,
            Kind::Write => WRITER,
        }
    }
}

#[inline]
pub(super) fn readers(state: usize) -> usize {
    state / READER
}

/// On the frame of a waiter in `queue`; its address is the waiter's token. Futures, which all
/// want to write, have the token 0.
struct Waiting {
    kind: Kind,
    starved: bool,
    handed: Cell<bool>,
}

impl RawRwLock {
    /// What it is called in waits.
    #[inline]
    pub(super) fn address(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    pub(super) const fn new() -> RawRwLock {
        RawRwLock {
            state: AtomicUsize::new(0),
            queue: WaitQueue::new(),
            upgrader: WaitQueue::new(),
            lookers: WaitQueue::new(),
            owner: Owner::none(),
        }
    }

    /// Takes the lock if `allowed` says so of the state.
    #[inline]
    fn take_if(&self, kind: Kind, allowed: impl Fn(usize) -> bool) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        while allowed(state) {
            match self.state.compare_exchange_weak(
                state,
                add(state, kind.bits()),
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(seen) => state = seen,
            }
        }
        false
    }

    #[inline]
    fn try_take(&self, kind: Kind) -> bool {
        self.take_if(kind, |state| kind.may_enter(state))
    }

    #[inline]
    pub(super) fn try_lock(&self, kind: Kind) -> bool {
        self.try_take(kind) && self.note(kind)
    }

    /// Notes that the caller has taken the lock.
    #[inline]
    fn note(&self, kind: Kind) -> bool {
        if kind == Kind::Write {
            self.owner.acquired();
        }
        true
    }

    /// Takes the lock, or sets `flag`; under the lock of the flag's queue.
    fn take_or_announce(&self, kind: Kind, flag: usize) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let enter = kind.may_enter(state);
            let next = if enter {
                add(state, kind.bits())
            } else {
                state | flag
            };
            match self.state.compare_exchange_weak(
                state,
                next,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return enter,
                Err(seen) => state = seen,
            }
        }
    }

    #[inline]
    pub(super) fn lock(&self, kind: Kind) {
        if !self.try_lock(kind) {
            self.lock_slow(kind, Limit::NONE, true);
        }
    }

    /// Locks within a limit, if that can be done.
    #[inline]
    pub(super) fn lock_within(&self, kind: Kind, limit: impl FnOnce() -> Limit) -> bool {
        self.try_lock(kind) || self.lock_slow(kind, limit(), false)
    }

    #[cold]
    pub(super) fn lock_slow(&self, kind: Kind, limit: Limit, endless: bool) -> bool {
        let object = self.address();
        let _wanting = endless.then(|| locks::want(&self.owner, object));
        self.take_slow(kind, limit) && self.note(kind)
    }

    fn take_slow(&self, kind: Kind, limit: Limit) -> bool {
        let mut losing = Losing::default();
        if self.look_again(kind) {
            return true;
        }
        loop {
            let guard = self.queue.lock();
            if self.take_or_announce(kind, WAITERS) {
                return true;
            }
            let waiting = Waiting {
                kind,
                starved: losing.is_starved(),
                handed: Cell::new(false),
            };
            let token = (&raw const waiting) as usize;
            let object = self.address();
            if guard.wait(token, Reason::Lock, object, limit) != Outcome::Woken {
                self.serve(self.queue.lock());
                return false;
            }
            if waiting.handed.get() || self.try_take(kind) {
                return true;
            }
            losing.lost();
            if self.look_again(kind) {
                return true;
            }
        }
    }

    fn look_again(&self, kind: Kind) -> bool {
        let anybody_waits = || self.state.load(Ordering::Relaxed) & WAITERS != 0;
        patience::look_again(anybody_waits, || self.try_take(kind))
    }

    /// Takes the lock for a future, or has it wait. `waiting` is its place in the queue, once
    /// it has waited.
    pub(super) fn poll_take(
        &self,
        kind: Kind,
        waiting: &mut Option<AsyncWait>,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        if self.try_lock(kind) {
            self.give_up(kind, waiting);
            return Poll::Ready(());
        }
        let wait = waiting.get_or_insert_with(AsyncWait::new);
        wait.prepare(context);
        let (queue, flag) = self.place_of_future(kind);
        let guard = queue.lock();
        if self.take_or_announce(kind, flag) {
            drop(guard);
            self.note(kind);
            self.give_up(kind, waiting);
            return Poll::Ready(());
        }
        // SAFETY: it leaves this queue in `give_up`, which is called when it is ready and, by
        // the future that holds it, when that is dropped, while the lock is there.
        unsafe { wait.join(guard) };
        Poll::Pending
    }

    /// Ends a future's wait. It may have stood in the way of others, or been woken in place of
    /// others; or it reads now, and so may those in the queue.
    pub(super) fn give_up(&self, kind: Kind, waiting: &mut Option<AsyncWait>) {
        if let Some(mut wait) = waiting.take() {
            wait.leave(self.place_of_future(kind).0);
            self.serve_if_any(self.state.load(Ordering::Relaxed));
        }
    }

    fn place_of_future(&self, kind: Kind) -> (&WaitQueue, usize) {
        match kind {
            Kind::Write => (&self.queue, WAITERS),
            _ => (&self.lookers, LOOKERS),
        }
    }

    #[inline]
    fn serve_if_any(&self, state: usize) {
        if state & (WAITERS | LOOKERS) != 0 {
            self.serve(self.queue.lock());
        }
    }

    /// Changes the state by `change`, from one that had no bits but those of `whole`; or under
    /// the queue's lock, and serves the queue.
    #[inline]
    pub(super) fn change(&self, whole: usize, next: usize) {
        if self
            .state
            .compare_exchange(whole, next, Ordering::Release, Ordering::Relaxed)
            .is_err()
        {
            self.change_slow(next.wrapping_sub(whole));
        }
    }

    #[cold]
    fn change_slow(&self, difference: usize) {
        let guard = self.queue.lock();
        // AcqRel: `serve` may hand over what others gave up before.
        self.state.fetch_add(difference, Ordering::AcqRel);
        self.serve(guard);
    }

    #[cold]
    pub(super) fn unlock_shared_slow(&self) {
        let guard = self.queue.lock();
        let before = self.state.fetch_sub(READER, Ordering::AcqRel);
        if before & UPGRADING != 0 && readers(before) == 2 {
            drop(guard);
            self.upgrader.wake_one();
        } else {
            self.serve(guard);
        }
    }

    /// Lets those who wait have the lock, as far as it goes.
    fn serve<'q>(&'q self, guard: QueueGuard<'q>) {
        self.serve_queue(guard);
        let state = self.state.load(Ordering::Relaxed);
        if state & LOOKERS != 0 && Kind::Read.may_enter(state) {
            let guard = self.lookers.lock();
            self.state.fetch_and(!LOOKERS, Ordering::Relaxed);
            drop(guard);
            self.lookers.wake_all();
        }
    }

    fn serve_queue<'q>(&'q self, mut guard: QueueGuard<'q>) {
        loop {
            let mut woken = Batch::new();
            let more = loop {
                let Some(token) = guard.first_token() else {
                    break false;
                };
                if woken.is_full() {
                    break true;
                }
                // SAFETY: the token of a waiter in the queue.
                let kind = unsafe { waiting(token) }.map_or(Kind::Write, |waiting| waiting.kind);
                if !kind.fits(self.state.load(Ordering::Relaxed)) {
                    break false;
                }
                let Some(claimed) = guard.claim_next() else {
                    continue;
                };
                // SAFETY: claimed and not yet woken.
                let competes = unsafe { self.hand_over(claimed.token()) };
                woken.push(claimed);
                if competes {
                    break false;
                }
            };
            if guard.is_empty() {
                self.state.fetch_and(!WAITERS, Ordering::Relaxed);
            }
            drop(guard);
            woken.wake();
            if !more {
                return;
            }
            guard = self.queue.lock();
        }
    }

    /// Takes the lock for a waiter, or has it compete.
    ///
    /// # Safety
    ///
    /// The waiter is claimed and not yet woken.
    unsafe fn hand_over(&self, token: usize) -> bool {
        // SAFETY: by the contract above.
        match unsafe { waiting(token) } {
            Some(waiting) if waiting.starved || waiting.kind != Kind::Write => {
                let kind = waiting.kind;
                let handed = self.take_if(kind, |state| kind.fits(state));
                waiting.handed.set(handed);
                false
            }
            _ => true,
        }
    }

    /// Upgrades if no other reader is there, else does what is said with the state.
    #[inline]
    pub(super) fn upgrade_or(&self, otherwise: impl Fn(usize) -> usize) -> bool {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let alone = readers(state) == 1;
            let next = if alone {
                state & (WAITERS | LOOKERS) | WRITER
            } else {
                otherwise(state)
            };
            match self
                .state
                .compare_exchange_weak(state, next, Ordering::SeqCst, Ordering::Relaxed)
            {
                Ok(_) => return alone && self.note(Kind::Write),
                Err(seen) => state = seen,
            }
        }
    }

    #[cold]
    pub(super) fn upgrade_slow(&self, limit: Limit) -> bool {
        check_may_wait();
        loop {
            let guard = self.upgrader.lock();
            if self.upgrade_or(|state| state | UPGRADING) {
                return true;
            }
            let object = self.address();
            if guard.wait(0, Reason::Lock, object, limit) == Outcome::Woken {
                continue;
            }
            if self.upgrade_or(|state| state & !UPGRADING) {
                return true;
            }
            self.serve_if_any(self.state.load(Ordering::Relaxed));
            return false;
        }
    }
}

/// Adds a holder.
#[inline]
fn add(state: usize, bits: usize) -> usize {
    match state.checked_add(bits) {
        Some(next) => next,
        None => too_many(),
    }
}

#[cold]
fn too_many() -> ! {
    panic!("too many readers of one `RwLock`");
}

/// # Safety
///
/// The token of a waiter that stands in the queue, or is claimed and not yet woken.
unsafe fn waiting<'a>(token: usize) -> Option<&'a Waiting> {
    // SAFETY: 0 for a future; else the address of a `Waiting` on the frame of a waiter that
    // stays in its wait until it is woken, or takes the queue's lock to leave.
    unsafe { (token as *const Waiting).as_ref() }
}

impl fmt::Debug for RawRwLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.load(Ordering::Relaxed);
        f.debug_struct("RawRwLock")
            .field("writer", &(state & WRITER != 0))
            .field("readers", &readers(state))
            .finish_non_exhaustive()
    }
}
