//! Those who are being served: how many, until when, and who is left.
//!
//! # States
//!
//! `taken` is the number of places taken. A place is taken before its coroutine is spawned and
//! lies in its closure; when that is gone, having run or not, the place is given back; `serving`
//! counts those that have a connection. `stopping` is set once, `loops` counts those who accept.
//! All of these change by `SeqCst` read-modify-writes, after which everybody in `changed` is woken; who waits there looks at them
//! (`SeqCst`) with the queue locked, and then joins it: see "Orderings" in the kernel's `wait`.
//!
//! A shutdown goes: `stopping`, the accepting token, the loops' ends, the handlers' ends; then the
//! handlers' token, and their ends once more. `members` is a leaf lock.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ropewalk_kernel::cancel::{self, Cancelled, Token};
use ropewalk_kernel::clock;
use ropewalk_kernel::wait::{Limit, Outcome, Reason, WaitQueue};

use super::handle::{Left, Stats, Unfinished};
use crate::task::Task;

/// How long cancelled handlers have to end, if nothing else was said.
const GRACE: Duration = Duration::from_secs(1);

/// What a server, its handlers and its handles share.
pub(super) struct Handlers {
    most: AtomicUsize,
    grace_ns: AtomicU64,
    taken: AtomicUsize,
    /// The places whose handlers are there: but for those that wait for a connection.
    serving: AtomicUsize,
    stopping: AtomicBool,
    /// Whether nobody waits for those that are left.
    given_up: AtomicBool,
    loops: AtomicUsize,
    changed: WaitQueue,
    members: Mutex<Members>,
    pub(super) counts: Counts,
}

#[derive(Default)]
struct Members {
    last: u64,
    open: BTreeMap<u64, Member>,
    tokens: Option<Tokens>,
}

struct Member {
    peer: SocketAddr,
    task: Option<Task>,
}

/// The tokens of a server that serves.
#[derive(Clone)]
pub(super) struct Tokens {
    pub(super) accepting: Token,
    pub(super) handling: Token,
}

#[derive(Default)]
pub(super) struct Counts {
    pub(super) accepted: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) panicked: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) pauses: AtomicU64,
    ended: AtomicU64,
}

impl Counts {
    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// The right of one handler to run.
pub(super) struct Place {
    handlers: Arc<Handlers>,
    /// Its number among the members, once it is one.
    number: u64,
}

/// One who accepts, or will.
pub(super) struct Loop(Arc<Handlers>);

impl Handlers {
    pub(super) fn new() -> Handlers {
        Handlers {
            most: AtomicUsize::new(usize::MAX),
            grace_ns: AtomicU64::new(GRACE.as_nanos() as u64),
            taken: AtomicUsize::new(0),
            serving: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            loops: AtomicUsize::new(0),
            changed: WaitQueue::new(),
            members: Mutex::default(),
            counts: Counts::default(),
        }
    }

    pub(super) fn set_most(&self, most: usize) {
        self.most.store(most, Ordering::SeqCst);
    }

    pub(super) fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }

    pub(super) fn set_grace(&self, grace: Duration) {
        let ns = u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX);
        self.grace_ns.store(ns, Ordering::Relaxed);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to serve, below the caller's token, with as many loops; `None` if it was stopped
    /// before.
    pub(super) fn begin(this: &Arc<Self>, loops: usize) -> Option<(Tokens, Vec<Loop>)> {
        let tokens = Tokens {
            accepting: Token::new(),
            handling: Token::new(),
        };
        let mut members = this.members();
        if this.is_stopping() {
            return None;
        }
        members.tokens = Some(tokens.clone());
        this.loops.store(loops, Ordering::SeqCst);
        let loops = (0..loops).map(|_| Loop(Arc::clone(this))).collect();
        Some((tokens, loops))
    }

    pub(super) fn try_reserve(self: &Arc<Self>) -> Option<Place> {
        let most = self.most();
        self.taken
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |taken| {
                (taken < most).then_some(taken + 1)
            })
            .ok()?;
        Some(Place {
            handlers: Arc::clone(self),
            number: 0,
        })
    }

    /// Waits for a place.
    ///
    /// # Errors
    ///
    /// If the caller is cancelled, as it is when the server stops.
    pub(super) fn reserve(self: &Arc<Self>) -> Result<Place, Cancelled> {
        loop {
            if let Some(place) = self.try_reserve() {
                return Ok(place);
            }
            let room = || self.taken.load(Ordering::SeqCst) < self.most();
            if self.wait_for(room, Limit::cancellable(None)) == Outcome::Cancelled {
                return Err(Cancelled::current());
            }
        }
    }

    /// Waits for `pause`, or until one of the handlers has ended, which leaves a descriptor free.
    pub(super) fn pause(&self, pause: Duration) {
        Counts::add(&self.counts.pauses);
        let seen = self.counts.ended.load(Ordering::SeqCst);
        let ended = || self.counts.ended.load(Ordering::SeqCst) != seen;
        let until = Some(clock::deadline_after(pause));
        self.wait_for(ended, Limit::cancellable(until));
    }

    fn wait_for(&self, condition: impl Fn() -> bool, limit: Limit) -> Outcome {
        loop {
            if condition() {
                return Outcome::Woken;
            }
            let guard = self.changed.lock();
            if condition() {
                return Outcome::Woken;
            }
            let object = std::ptr::from_ref(self) as usize;
            let outcome = guard.wait(0, Reason::Join, object, limit);
            if outcome != Outcome::Woken {
                return if condition() { Outcome::Woken } else { outcome };
            }
        }
    }

    /// Stops accepting.
    pub(super) fn stop(&self) {
        let members = self.members();
        self.stopping.swap(true, Ordering::SeqCst);
        let tokens = members.tokens.clone();
        drop(members);
        if let Some(tokens) = tokens {
            tokens.accepting.cancel();
        }
        self.changed.wake_all();
    }

    /// Ends serving, whose loops have ended with `result`.
    pub(super) fn end(&self, result: io::Result<()>) -> io::Result<()> {
        match result {
            Err(error) if !self.is_stopping() => {
                self.stop();
                // Nobody is left to be told who they are.
                let _ = self.cancel();
                Err(error)
            }
            _ => {
                self.wait_ended();
                Ok(())
            }
        }
    }

    /// Waits until all have ended, or nobody waits for them any more.
    fn wait_ended(&self) {
        let over =
            || self.taken.load(Ordering::SeqCst) == 0 || self.given_up.load(Ordering::SeqCst);
        self.wait_for(over, Limit::NONE);
    }

    /// Cancels the handlers, and waits for them as long as it is theirs to end.
    ///
    /// # Errors
    ///
    /// With those that are left then.
    fn cancel(&self) -> Result<(), Unfinished> {
        let me = cancel::current_id();
        let mine = self.mine(me);
        let cancelled = self.serving.load(Ordering::SeqCst).saturating_sub(mine);
        let token = self.members().tokens.clone();
        if let Some(tokens) = token {
            tokens.handling.cancel();
        }
        let grace = Duration::from_nanos(self.grace_ns.load(Ordering::Relaxed));
        let until = Some(clock::deadline_after(grace));
        self.wait_for(|| self.is_quiet(mine), Limit::until(until));
        let left = self.left(me);
        self.given_up.swap(true, Ordering::SeqCst);
        self.changed.wake_all();
        if cancelled == 0 {
            return Ok(());
        }
        Err(Unfinished { cancelled, left })
    }

    /// Whether nobody accepts, and nobody is served but by the caller, if it is `mine`. Who accepts
    /// is cancelled at a stop, but may be waiting for the runtime to have room for one more
    /// coroutine.
    fn is_quiet(&self, mine: usize) -> bool {
        self.loops.load(Ordering::SeqCst) == 0 && self.serving.load(Ordering::SeqCst) == mine
    }

    /// 1 if the task `me` is one of the handlers, else 0.
    fn mine(&self, me: u64) -> usize {
        let members = self.members();
        let is_me = |member: &Member| member.task.as_ref().is_some_and(|task| task.id() == me);
        usize::from(members.open.values().any(is_me))
    }

    fn left(&self, me: u64) -> Vec<Left> {
        let members = self.members();
        let left = members.open.values().map(|member| Left {
            peer: member.peer,
            task: member.task.clone(),
        });
        left.filter(|left| left.task.as_ref().is_none_or(|task| task.id() != me))
            .collect()
    }

    pub(super) fn shutdown(&self, patience: Duration) -> Result<(), Unfinished> {
        self.stop();
        let until = Some(clock::deadline_after(patience));
        let mine = self.mine(cancel::current_id());
        match self.wait_for(|| self.is_quiet(mine), Limit::until(until)) {
            Outcome::Woken => Ok(()),
            _ => self.cancel(),
        }
    }

    /// Those that are being served, oldest first.
    pub(super) fn peers(&self) -> Vec<SocketAddr> {
        let members = self.members();
        members.open.values().map(|member| member.peer).collect()
    }

    pub(super) fn stats(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            open: self.members().open.len(),
            accepted: read(&self.counts.accepted),
            refused: read(&self.counts.refused),
            panicked: read(&self.counts.panicked),
            failed: read(&self.counts.failed),
            pauses: read(&self.counts.pauses),
        }
    }
}

impl Place {
    /// Makes it a member, that serves `peer`.
    pub(super) fn serve(&mut self, peer: SocketAddr) {
        let mut members = self.handlers.members();
        members.last += 1;
        self.number = members.last;
        let task = None;
        members.open.insert(self.number, Member { peer, task });
        // Under the lock: who sees it among the members finds it counted.
        self.handlers.serving.fetch_add(1, Ordering::SeqCst);
    }

    /// Notes that the caller is who serves, and gives what all share.
    pub(super) fn begin(&self) -> &Handlers {
        if let Some(member) = self.handlers.members().open.get_mut(&self.number) {
            member.task = Some(Task::current());
        }
        &self.handlers
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let handlers = &self.handlers;
        let member = handlers.members().open.remove(&self.number);
        if member.is_some() {
            handlers.serving.fetch_sub(1, Ordering::SeqCst);
            handlers.counts.ended.fetch_add(1, Ordering::SeqCst);
        }
        drop(member);
        handlers.taken.fetch_sub(1, Ordering::SeqCst);
        handlers.changed.wake_all();
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.0.loops.fetch_sub(1, Ordering::SeqCst);
        self.0.changed.wake_all();
    }
}
