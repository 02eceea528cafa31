//! The one door: how anything in Ropewalk waits for anything else in Ropewalk.
//!
//! A [`WaitQueue`] is a list embedded in each object that can be waited for. A waiter is
//! an OS thread, a coroutine or a [`Waker`]; its node lives on its own stack, or in
//! its own pinned future, and stands in the queue by reference. I/O and sleeping wait in
//! the worker's driver and timers instead, with the same record of what is waited for.
//!
//! # States
//!
//! Each wait has one claim word:
//!
//! ```text
//!   WAITING ──claim_next──▶ WOKEN        a waker took the node out of the queue
//!      └──────deadline────▶ EXPIRED      the waiter's own timer, or futex time-out
//! ```
//!
//! Whoever moves the word away from WAITING decides the wait, and only that one may
//! make the waiter run again. (A wait in one queue without a deadline has only one who may
//! move the word: whoever holds the queue's lock. A plain store does then.) **One claim, one unpark**: a coroutine that has linked a
//! node always parks, and is made runnable exactly once, by the claimer. Because a
//! started coroutine only ever runs on its home worker, and is resumed by that worker's
//! loop alone, an unpark that comes before the park simply waits in the worker's queue
//! or inbox: no third state is needed. A thread has a parker with a token; it leaves
//! the wait only after taking the token, so the parker outlives the claimer's use of it.
//!
//! # Who owns what, and lock order
//!
//! A queue's word holds the head of the list and a lock bit. The list, and the link
//! fields of the nodes in it, belong to whoever holds the bit. Critical sections are a
//! few loads and stores; nothing is allocated, dropped or woken inside one. A waker is
//! taken out under the lock and woken after it. Queues' locks are leaves, but for the
//! objects that nest two of their own (each says in which order).
//!
//! # Orderings
//!
//! Lock: `SeqCst` on taking the bit, `Release` on giving it back. The claim is
//! `AcqRel`: the waiter that reads WOKEN sees all its waker wrote before (a value handed
//! over through `token`). [`WaitQueue::is_empty`] takes no lock. It serves callers that
//! first publish a state with a `SeqCst` read-modify-write and look for waiters next,
//! while the waiter first takes the lock, then reads that state (`SeqCst`), then links.
//! In the single order of those four, either the waiter reads the new state, or the
//! caller reads a word that is locked or has a head; a locked queue counts as not empty.
//!
//! # Rejected
//!
//! A global table hashed by address: 82 ns a hop, measured on a sketch, against about
//! half with the list in the object. Allocated nodes: a wait would be able to fail.

mod asynchronous;
mod context;
mod thread;

pub use asynchronous::{AsyncWait, block_on};
pub use context::{check_may_wait, in_coroutine, mark_panic_hook, no_wait, panicked_waits};

pub(crate) use context::{Context, may_wait};

use std::cell::{Cell, UnsafeCell};
use std::hint;
use std::marker::{PhantomData, PhantomPinned};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::task::Waker;

use crate::record::Record;
use crate::worker::{Alarm, Worker};
use thread::ThreadParker;

/// What a waiter waits for, for dumps and reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// Not waiting.
    None = 0,
    /// Gave way to others and stands in the run queue.
    Yielded,
    /// Sleeping until a deadline.
    Sleep,
    /// Waiting for a task to end.
    Join,
    /// Waiting for the children of a scope.
    Scope,
    /// Waiting to lock a mutex.
    Lock,
    /// Waiting for a condition.
    Condition,
    /// Waiting for a message.
    Receive,
    /// Waiting for room in a channel.
    Send,
    /// Waiting for a descriptor to be readable.
    Read,
    /// Waiting for a descriptor to be writable.
    Write,
    /// Waiting for the blocking pool.
    Blocking,
    /// Waiting for a future to make progress.
    Future,
    /// A generator waiting for its next resume, or its caller for the next yield.
    Generator,
    /// Waiting for a runtime to fall quiet.
    Quiet,
}

impl Reason {
    /// The reason as a few words.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::None => "running",
            Reason::Yielded => "runnable",
            Reason::Sleep => "sleeping",
            Reason::Join => "joining",
            Reason::Scope => "waiting for a scope's children",
            Reason::Lock => "locking",
            Reason::Condition => "waiting for a condition",
            Reason::Receive => "receiving",
            Reason::Send => "sending",
            Reason::Read => "reading",
            Reason::Write => "writing",
            Reason::Blocking => "waiting for the blocking pool",
            Reason::Future => "awaiting a future",
            Reason::Generator => "switching with a generator",
            Reason::Quiet => "waiting for a runtime to fall quiet",
        }
    }

    pub(crate) fn from_u8(value: u8) -> Reason {
        const ALL: [Reason; 15] = [
            Reason::None,
            Reason::Yielded,
            Reason::Sleep,
            Reason::Join,
            Reason::Scope,
            Reason::Lock,
            Reason::Condition,
            Reason::Receive,
            Reason::Send,
            Reason::Read,
            Reason::Write,
            Reason::Blocking,
            Reason::Future,
            Reason::Generator,
            Reason::Quiet,
        ];
        ALL.get(value as usize).copied().unwrap_or(Reason::None)
    }
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A waker took this waiter out of the queue; what it handed over is in place.
    Woken,
    /// The deadline passed first; nothing was handed over.
    Expired,
}

pub(crate) const WAITING: u32 = 0;
const WOKEN: u32 = 1;
const EXPIRED: u32 = 2;

/// A list of waiters, embedded in the object they wait for.
///
/// One word: the address of the head node, and in its lowest bit the lock. The list is
/// circular, so that the head's `prev` is the tail.
pub struct WaitQueue {
    state: AtomicUsize,
}

const LOCKED: usize = 1;

// A queue must not be dropped with waiters in it: they borrow it, so they can't exist.
// SAFETY: the list is only touched under the lock bit, and nodes are only reached
// through it; see the module's "who owns what".
unsafe impl Send for WaitQueue {}
// SAFETY: as above.
unsafe impl Sync for WaitQueue {}

impl Default for WaitQueue {
    fn default() -> Self {
        Self::new()
    }
}

impl WaitQueue {
    /// An empty queue.
    pub const fn new() -> WaitQueue {
        WaitQueue {
            state: AtomicUsize::new(0),
        }
    }

    /// Says, without taking the lock, whether nobody waits nor is about to: see "Orderings".
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.state.load(Ordering::SeqCst) == 0
    }

    /// Takes the queue's lock.
    ///
    /// The object may keep more of its state under this lock; a critical section must
    /// be short and must not wait, allocate, or run foreign code.
    #[inline]
    pub fn lock(&self) -> QueueGuard<'_> {
        let seen = self.state.load(Ordering::Relaxed) & !LOCKED;
        let head = match self.try_lock(seen) {
            Ok(()) => seen,
            Err(_) => self.lock_contended(),
        };
        QueueGuard {
            queue: self,
            head: head as *const Node,
        }
    }

    #[inline]
    fn try_lock(&self, unlocked: usize) -> Result<(), usize> {
        self.state
            .compare_exchange_weak(
                unlocked,
                unlocked | LOCKED,
                Ordering::SeqCst,
                Ordering::Relaxed,
            )
            .map(drop)
    }

    #[cold]
    fn lock_contended(&self) -> usize {
        let mut spins = 0u32;
        loop {
            let seen = self.state.load(Ordering::Relaxed);
            if seen & LOCKED == 0 {
                if self.try_lock(seen).is_ok() {
                    return seen;
                }
            } else if spins < 64 {
                spins += 1;
                hint::spin_loop();
            } else {
                // The holder was preempted inside its few instructions.
                std::thread::yield_now();
            }
        }
    }

    /// Wakes the waiter that came first; says whether there was one.
    pub fn wake_one(&self) -> bool {
        if self.is_empty() {
            return false;
        }
        let mut guard = self.lock();
        let claimed = guard.claim_next();
        drop(guard);
        match claimed {
            Some(claimed) => {
                claimed.wake();
                true
            }
            None => false,
        }
    }

    /// Wakes everybody who waits at this moment; gives their number.
    pub fn wake_all(&self) -> usize {
        self.wake_each(Claimed::wake)
    }

    /// As [`wake_all`](Self::wake_all), behind what is runnable already.
    #[inline]
    pub fn wake_all_later(&self) -> usize {
        self.wake_each(Claimed::wake_later)
    }

    #[inline]
    fn wake_each(&self, wake: impl Fn(Claimed)) -> usize {
        if self.is_empty() {
            return 0;
        }
        let mut guard = self.lock();
        let Some(first) = guard.claim_next() else {
            return 0;
        };
        // Bounded by who is there now: a waiter that comes straight back isn't woken again.
        let others = guard.len();
        drop(guard);
        wake(first);
        1 + if others == 0 {
            0
        } else {
            self.wake_many(others, &wake)
        }
    }

    /// Wakes up to `left` waiters, claimed in batches and woken outside the lock.
    #[cold]
    fn wake_many(&self, mut left: usize, wake: &impl Fn(Claimed)) -> usize {
        let mut woken = 0;
        while left > 0 {
            let mut batch: [Option<Claimed>; 16] = Default::default();
            let mut guard = self.lock();
            let mut taken = 0;
            for place in batch.iter_mut().take(left) {
                *place = guard.claim_next();
                if place.is_none() {
                    left = taken;
                    break;
                }
                taken += 1;
            }
            drop(guard);
            left -= taken;
            woken += taken;
            batch.into_iter().flatten().for_each(wake);
        }
        woken
    }
}

/// The queue's lock, held.
///
/// It keeps the head meanwhile: reading the word back right after taking the lock would
/// stall on the very store that took it.
pub struct QueueGuard<'q> {
    queue: &'q WaitQueue,
    head: *const Node,
}

impl Drop for QueueGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        self.queue
            .state
            .store(self.head as usize, Ordering::Release);
    }
}

impl<'q> QueueGuard<'q> {
    /// Says whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.head.is_null()
    }

    fn len(&self) -> usize {
        let head = self.head;
        let mut node = head;
        let mut len = 0;
        while !node.is_null() {
            len += 1;
            // SAFETY: linked nodes are alive, and ours to read under the lock.
            node = unsafe { (*node).next.get() };
            if ptr::eq(node, head) {
                break;
            }
        }
        len
    }

    /// Puts `node` at the end.
    ///
    /// # Safety
    ///
    /// The node is unlinked, and stays where it is until it is unlinked again.
    #[inline]
    unsafe fn link(&mut self, node: &Node) {
        debug_assert!(!node.linked.get());
        let this: *const Node = node;
        node.linked.set(true);
        let head = self.head;
        if head.is_null() {
            node.next.set(this);
            node.prev.set(this);
            self.head = this;
        } else {
            // SAFETY: linked nodes are alive, and ours to change under the lock.
            unsafe {
                let tail = (*head).prev.get();
                node.prev.set(tail);
                node.next.set(head);
                (*tail).next.set(this);
                (*head).prev.set(this);
            }
        }
    }

    /// Takes `node` out.
    ///
    /// # Safety
    ///
    /// The node is linked in this queue.
    #[inline]
    unsafe fn unlink(&mut self, node: &Node) {
        debug_assert!(node.linked.get());
        let this: *const Node = node;
        let next = node.next.get();
        node.linked.set(false);
        if ptr::eq(next, this) {
            self.head = ptr::null();
            return;
        }
        let prev = node.prev.get();
        // SAFETY: the neighbours are linked too, so alive and ours under the lock.
        unsafe {
            (*prev).next.set(next);
            (*next).prev.set(prev);
        }
        if ptr::eq(self.head, this) {
            self.head = next;
        }
    }

    /// The token of the waiter that would be claimed next, if one waits.
    pub fn first_token(&self) -> Option<usize> {
        let head = self.head;
        // SAFETY: a linked node is alive.
        (!head.is_null()).then(|| unsafe { (*head).token })
    }

    /// Takes the first waiter that is still waiting out of the queue and decides its
    /// wait. The caller may hand something over through [`Claimed::token`] while it
    /// holds this guard or after, and must then call [`Claimed::wake`].
    #[inline]
    pub fn claim_next(&mut self) -> Option<Claimed> {
        loop {
            let head = NonNull::new(self.head.cast_mut())?;
            // SAFETY: a linked node is alive and ours under the lock.
            let node = unsafe { head.as_ref() };
            // SAFETY: it is linked here.
            unsafe { self.unlink(node) };
            // SAFETY: a wait outlives its linked nodes, and this one was linked until
            // now, under a lock its owner needs before it may go.
            let wait = unsafe { node.wait.as_ref() };
            if !wait.contested {
                wait.claim.store(WOKEN, Ordering::Release);
            } else if wait
                .claim
                .compare_exchange(WAITING, WOKEN, Ordering::AcqRel, Ordering::Relaxed)
                .is_err()
            {
                // Its deadline was faster: it will find itself unlinked.
                continue;
            }
            let target = match &wait.kind {
                Kind::Coroutine(record) => Target::Coroutine(*record),
                Kind::Thread(parker) => Target::Thread(*parker),
                // SAFETY: the waker belongs to whoever holds the queue's lock.
                Kind::Waker(waker) => Target::Waker(unsafe { (*waker.get()).take() }),
            };
            return Some(Claimed {
                target,
                token: node.token,
                not_send: PhantomData,
            });
        }
    }

    /// Joins the queue, lets go of the lock and waits until claimed or until `deadline`
    /// (clock nanoseconds).
    ///
    /// `token` is what a waker reads before it hands something over; if it is an
    /// address, it must stay valid until this returns.
    ///
    /// # Panics
    ///
    /// Inside [`no_wait`].
    #[inline]
    pub fn wait(
        self,
        token: usize,
        reason: Reason,
        object: usize,
        deadline: Option<u64>,
    ) -> Outcome {
        self.wait_after(token, reason, object, deadline, || ())
    }

    /// As [`wait`](Self::wait), running `then` after joining the queue and before
    /// parking: a condition variable unlocks its mutex there.
    ///
    /// `then` must not unwind (the process is aborted), and must not wait.
    #[inline]
    pub fn wait_after(
        self,
        token: usize,
        reason: Reason,
        object: usize,
        deadline: Option<u64>,
        then: impl FnOnce(),
    ) -> Outcome {
        if !may_wait() {
            // The panic's hook may come by these locks: give them back first.
            drop(self);
            drop(then);
            check_may_wait();
            unreachable!("waiting was refused");
        }
        match Context::current() {
            Context::Coroutine(worker, record) => {
                self.wait_coroutine(worker, record, token, (reason, object), deadline, then)
            }
            Context::Thread => self.wait_thread(token, deadline, then),
        }
    }

    #[inline]
    fn wait_coroutine(
        mut self,
        worker: &Worker,
        record: &Record,
        token: usize,
        (reason, object): (Reason, usize),
        deadline: Option<u64>,
        then: impl FnOnce(),
    ) -> Outcome {
        let wait = Wait::new(Kind::Coroutine(NonNull::from(record)), deadline.is_some());
        let node = Node::new(&wait, token);
        let guard = AbortOnUnwind;
        // SAFETY: both live in this frame, which is not left before the node is
        // unlinked: `park` returns only when the wait is decided, and nothing between
        // here and there unwinds (the guard above).
        unsafe { self.link(&node) };
        let queue = self.queue;
        drop(self);
        then();
        match deadline {
            None => worker.park(record, reason, object),
            Some(deadline) => {
                let alarm = Alarm::for_wait(&wait);
                // SAFETY: the alarm stays in this frame until it is disarmed.
                unsafe { worker.arm(&alarm, deadline) };
                worker.park(record, reason, object);
                // SAFETY: armed just above, by this worker.
                unsafe { worker.disarm(&alarm) };
            }
        }
        std::mem::forget(guard);
        if wait.claim.load(Ordering::Acquire) == WOKEN {
            return Outcome::Woken;
        }
        let mut again = queue.lock();
        if node.linked.get() {
            // SAFETY: linked in this queue.
            unsafe { again.unlink(&node) };
        }
        Outcome::Expired
    }

    fn wait_thread(mut self, token: usize, deadline: Option<u64>, then: impl FnOnce()) -> Outcome {
        ThreadParker::with(|parker| {
            let wait = Wait::new(Kind::Thread(NonNull::from(parker)), deadline.is_some());
            let node = Node::new(&wait, token);
            let guard = AbortOnUnwind;
            // SAFETY: as for a coroutine: the frame is not left before the node is
            // unlinked.
            unsafe { self.link(&node) };
            let queue = self.queue;
            drop(self);
            then();
            let mut outcome = Outcome::Woken;
            if !parker.park(deadline)
                && wait
                    .claim
                    .compare_exchange(WAITING, EXPIRED, Ordering::AcqRel, Ordering::Acquire)
                    .is_ok()
            {
                outcome = Outcome::Expired;
                let mut again = queue.lock();
                if node.linked.get() {
                    // SAFETY: linked in this queue.
                    unsafe { again.unlink(&node) };
                }
            } else {
                // Claimed: the token is there, or on its way. It must be taken, for it
                // is the claimer's last use of the parker.
                parker.take();
            }
            std::mem::forget(guard);
            outcome
        })
    }
}

/// One waiter's place in one queue.
pub(crate) struct Node {
    next: Cell<*const Node>,
    prev: Cell<*const Node>,
    linked: Cell<bool>,
    token: usize,
    wait: NonNull<Wait>,
    _pinned: PhantomPinned,
}

impl Node {
    fn new(wait: &Wait, token: usize) -> Node {
        Node {
            next: Cell::new(ptr::null()),
            prev: Cell::new(ptr::null()),
            linked: Cell::new(false),
            token,
            wait: NonNull::from(wait),
            _pinned: PhantomPinned,
        }
    }
}

/// One wait, by one waiter, in however many queues.
pub(crate) struct Wait {
    claim: AtomicU32,
    /// Whether anybody but the holder of its one queue's lock may decide it.
    contested: bool,
    kind: Kind,
}

enum Kind {
    Coroutine(NonNull<Record>),
    Thread(NonNull<ThreadParker>),
    /// Belongs to whoever holds the queue's lock.
    Waker(UnsafeCell<Option<Waker>>),
}

impl Wait {
    fn new(kind: Kind, contested: bool) -> Wait {
        Wait {
            claim: AtomicU32::new(WAITING),
            contested,
            kind,
        }
    }

    /// Decides the wait for its deadline; gives the coroutine to make runnable.
    pub(crate) fn expire(&self) -> Option<NonNull<Record>> {
        let expired = self
            .claim
            .compare_exchange(WAITING, EXPIRED, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok();
        match self.kind {
            Kind::Coroutine(record) if expired => Some(record),
            _ => None,
        }
    }
}

/// A waiter taken out of its queue, whose wait is decided: it must be woken.
#[must_use = "a claimed waiter sleeps until `wake` is called"]
pub struct Claimed {
    target: Target,
    token: usize,
    not_send: PhantomData<*const ()>,
}

enum Target {
    Coroutine(NonNull<Record>),
    Thread(NonNull<ThreadParker>),
    Waker(Option<Waker>),
}

impl Claimed {
    /// What the waiter gave when it joined the queue.
    pub fn token(&self) -> usize {
        self.token
    }

    /// Says whether the waiter may be handed a value or a permit: threads and
    /// coroutines may, a future that perhaps nobody polls again may not.
    pub fn takes_hand_over(&self) -> bool {
        !matches!(self.target, Target::Waker(_))
    }

    /// Lets the waiter run again, soon.
    #[inline]
    pub fn wake(self) {
        match self.target {
            // SAFETY: claimed by us and not yet woken, so the coroutine is parked, or
            // about to be, and its record is alive.
            Target::Coroutine(record) => unsafe { Worker::unpark(record, true) },
            // SAFETY: the thread stays in its wait until the token is set.
            Target::Thread(parker) => unsafe { ThreadParker::unpark(parker) },
            Target::Waker(Some(waker)) => {
                // Foreign code. Whoever wakes has its own work to finish, and some wake from
                // where nothing may unwind; the hook has told of the panic.
                if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
                    // Its drop may panic too.
                    std::mem::forget(payload);
                }
            }
            Target::Waker(None) => {}
        }
    }

    /// As [`wake`](Self::wake), but behind the work that is runnable already: for
    /// events that come in crowds, as the ends of a batch of tasks do, where letting
    /// the waiter run between each two would only make it wait again.
    #[inline]
    pub fn wake_later(self) {
        match self.target {
            // SAFETY: as in `wake`.
            Target::Coroutine(record) => unsafe { Worker::unpark(record, false) },
            _ => self.wake(),
        }
    }
}

/// Aborts the process if anything unwinds through the frame that holds it: the frame's
/// memory is known to others.
pub(crate) struct AbortOnUnwind;

impl Drop for AbortOnUnwind {
    fn drop(&mut self) {
        eprintln!(
            "ropewalk: unwinding out of a wait, or of a worker, that others rely on; aborting"
        );
        std::process::abort();
    }
}

/// Sleeps until `deadline` (clock nanoseconds). One that has passed gives way to others.
pub fn sleep_until(deadline: u64) {
    check_may_wait();
    match Context::current() {
        Context::Coroutine(worker, record) => {
            if deadline <= crate::clock::now_ns() {
                worker.yield_now(record);
                return;
            }
            let wait = Wait::new(Kind::Coroutine(NonNull::from(record)), true);
            let alarm = Alarm::for_wait(&wait);
            let guard = AbortOnUnwind;
            // SAFETY: the alarm stays in this frame, which is left after it went off.
            unsafe { worker.arm(&alarm, deadline) };
            worker.park(record, Reason::Sleep, 0);
            std::mem::forget(guard);
        }
        Context::Thread => loop {
            let left = deadline.saturating_sub(crate::clock::now_ns());
            if left == 0 {
                return;
            }
            std::thread::sleep(std::time::Duration::from_nanos(left));
        },
    }
}

/// Gives way to what else can run: on the worker, or on the machine.
#[inline]
pub fn yield_now() {
    check_may_wait();
    match Context::current() {
        Context::Coroutine(worker, record) => worker.yield_now(record),
        Context::Thread => std::thread::yield_now(),
    }
}

/// Counts an operation that succeeded without waiting: after many in a row the calling
/// coroutine gives way, so that one that never has to wait doesn't starve its worker.
#[inline]
pub fn spend() {
    if let Some(worker) = Worker::current()
        && let Some(record) = worker.current_record()
    {
        worker.spend(record);
    }
}
