//! The queue of waiters, their nodes and claim words: the state machine of waiting, free of
//! stacks and switching.
//!
//! See the head of [`wait`](super) for states, owners and orderings.

use std::cell::{Cell, UnsafeCell};
use std::hint;
use std::marker::{PhantomData, PhantomPinned};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use std::task::Waker;

use super::thread::ThreadParker;
use crate::record::Record;
use crate::worker::Worker;

pub(crate) const WAITING: u32 = 0;
/// A waker took a node out of its queue; the node's index is in the upper bits.
pub(super) const WOKEN: u32 = 1;
pub(super) const EXPIRED: u32 = 2;
pub(super) const CANCELLED: u32 = 3;
/// The bits of a claim word that say how the wait was decided.
pub(super) const DECISION: u32 = 3;
pub(super) const INDEX_SHIFT: u32 = 2;

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
    pub(super) queue: &'q WaitQueue,
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
    pub(super) unsafe fn link(&mut self, node: &Node) {
        debug_assert!(!node.linked.get());
        let this: *const Node = node;
        node.linked.set(true);
        node.queue
            .store(ptr::from_ref(self.queue).cast_mut(), Ordering::Relaxed);
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
    pub(super) unsafe fn unlink(&mut self, node: &Node) {
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

    /// Moves the first waiter to the end of `target`; says whether there was one. It is woken,
    /// handed something or cut off there as here.
    ///
    /// # Safety
    ///
    /// `target`'s queue outlives the waiter's wait, and what wakes in it can read the waiter's
    /// token. The waiter is no future.
    pub unsafe fn move_first_to(&mut self, target: &mut QueueGuard<'_>) -> bool {
        let Some(head) = NonNull::new(self.head.cast_mut()) else {
            return false;
        };
        // SAFETY: a linked node is alive, and ours under both locks.
        unsafe {
            let node = head.as_ref();
            self.unlink(node);
            target.link(node);
        }
        true
    }

    /// Says whether somebody waits whose wait is undecided, other than the wait that `except`
    /// is the [`Place::id`](super::Place::id) of (0: of none).
    pub fn anyone_waiting(&self, except: usize) -> bool {
        let mut node = self.head;
        while !node.is_null() {
            // SAFETY: linked nodes are alive, and a wait outlives its linked nodes.
            let (wait, next) = unsafe { ((*node).wait, (*node).next.get()) };
            // SAFETY: as above.
            let claim = unsafe { wait.as_ref() }.claim.load(Ordering::Acquire);
            if claim == WAITING && wait.as_ptr() as usize != except {
                return true;
            }
            if ptr::eq(next, self.head) {
                break;
            }
            node = next;
        }
        false
    }

    /// The token of the waiter that would be claimed next, if one waits.
    pub fn first_token(&self) -> Option<usize> {
        let head = self.head;
        // SAFETY: a linked node is alive.
        (!head.is_null()).then(|| unsafe { (*head).token.get() })
    }

    /// Takes the first waiter that is still waiting out of the queue and decides its
    /// wait. The caller may hand something over through [`Claimed::token`] while it
    /// holds this guard or after, and must then call [`Claimed::wake`].
    #[inline]
    pub fn claim_next(&mut self) -> Option<Claimed> {
        loop {
            let head = NonNull::new(self.head.cast_mut())?;
            // SAFETY: it is linked here.
            if let Some(claimed) = unsafe { self.take(head) } {
                return Some(claimed);
            }
        }
    }

    /// As [`claim_next`](Self::claim_next), of those who gave this token. Looks at each that
    /// came before it.
    pub fn claim_with_token(&mut self, token: usize) -> Option<Claimed> {
        let mut node = NonNull::new(self.head.cast_mut())?;
        loop {
            // SAFETY: linked nodes are alive, and ours under the lock.
            let (gave, next) = unsafe { (node.as_ref().token.get(), node.as_ref().next.get()) };
            let is_last = ptr::eq(next, self.head);
            if gave == token {
                // SAFETY: it is linked here.
                if let Some(claimed) = unsafe { self.take(node) } {
                    return Some(claimed);
                }
            }
            if is_last {
                return None;
            }
            node = NonNull::new(next.cast_mut()).expect("a ring");
        }
    }

    /// How many who gave this token stand in the queue.
    pub(super) fn count_with_token(&self, token: usize) -> usize {
        let mut count = 0;
        let mut node = self.head;
        while !node.is_null() {
            // SAFETY: linked nodes are alive, and ours to read under the lock.
            let (gave, next) = unsafe { ((*node).token.get(), (*node).next.get()) };
            count += usize::from(gave == token);
            if ptr::eq(next, self.head) {
                break;
            }
            node = next;
        }
        count
    }

    /// Takes a node out and decides its wait; `None` if that was decided already.
    ///
    /// # Safety
    ///
    /// The node is linked in this queue.
    #[inline]
    unsafe fn take(&mut self, node: NonNull<Node>) -> Option<Claimed> {
        // SAFETY: a linked node is alive and ours under the lock.
        let node = unsafe { node.as_ref() };
        // SAFETY: by the contract above.
        unsafe { self.unlink(node) };
        // SAFETY: a wait outlives its linked nodes, and this one was linked until
        // now, under a lock its owner needs before it may go.
        let wait = unsafe { node.wait.as_ref() };
        if wait.is_mine_to_decide() {
            if wait.claim.load(Ordering::Relaxed) != WAITING {
                return None;
            }
            wait.claim
                .store(WOKEN | node.index << INDEX_SHIFT, Ordering::Release);
        } else if wait.decide(WOKEN | node.index << INDEX_SHIFT).is_err() {
            // Its deadline, its cancellation or a waker in another of its queues was
            // faster: it will find itself unlinked.
            return None;
        }
        let target = match &wait.kind {
            Kind::Coroutine(record) => Target::Coroutine(*record),
            Kind::Thread(parker) => Target::Thread(*parker),
            // SAFETY: the waker belongs to whoever holds the queue's lock.
            Kind::Waker(waker) => Target::Waker(unsafe { (*waker.get()).take() }),
        };
        Some(Claimed {
            target,
            token: node.token.get(),
            not_send: PhantomData,
        })
    }
}

/// One waiter's place in one queue.
pub(crate) struct Node {
    next: Cell<*const Node>,
    prev: Cell<*const Node>,
    pub(super) linked: Cell<bool>,
    /// Which of its wait's nodes this is.
    index: u32,
    pub(super) token: Cell<usize>,
    wait: NonNull<Wait>,
    /// The queue it was last linked in. Changes under that queue's lock only.
    queue: AtomicPtr<WaitQueue>,
    _pinned: PhantomPinned,
}

impl Node {
    pub(super) fn new(wait: &Wait, index: u32, token: usize) -> Node {
        Node {
            next: Cell::new(ptr::null()),
            prev: Cell::new(ptr::null()),
            linked: Cell::new(false),
            index,
            token: Cell::new(token),
            wait: NonNull::from(wait),
            queue: AtomicPtr::new(ptr::null_mut()),
            _pinned: PhantomPinned,
        }
    }

    /// Takes the node out of whichever queue it is in, if it is in one.
    ///
    /// # Safety
    ///
    /// The queues it was linked in are alive. Only the waiter calls this, whose wait is decided.
    pub(super) unsafe fn leave(&self) {
        loop {
            let queue = self.queue.load(Ordering::Acquire);
            // SAFETY: by the contract above.
            let Some(this) = (unsafe { queue.as_ref() }) else {
                return;
            };
            let mut guard = this.lock();
            if self.queue.load(Ordering::Relaxed) != queue {
                // It was put into another queue meanwhile.
                continue;
            }
            if self.linked.get() {
                // SAFETY: linked in this queue, as its lock shows.
                unsafe { guard.unlink(self) };
            }
            return;
        }
    }
}

/// One wait, by one waiter, in however many queues.
pub(crate) struct Wait {
    pub(super) claim: AtomicU32,
    rivals: Rivals,
    pub(super) kind: Kind,
}

/// Who may decide a wait besides the holder of the lock of the queue it stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Rivals {
    /// Nobody: it stands in one queue, and has neither deadline nor cancellation.
    None,
    /// A coroutine's home worker, on its thread: for a deadline or a cancellation.
    Home,
    /// Anybody.
    All,
}

pub(super) enum Kind {
    Coroutine(NonNull<Record>),
    Thread(NonNull<ThreadParker>),
    /// Belongs to whoever holds the queue's lock.
    Waker(UnsafeCell<Option<Waker>>),
}

impl Wait {
    pub(super) fn new(kind: Kind, rivals: Rivals) -> Wait {
        Wait {
            claim: AtomicU32::new(WAITING),
            rivals,
            kind,
        }
    }

    /// Says whether nobody else can decide the wait while the caller, who holds the lock of
    /// a queue it stands in, does: then the claim needs no read-modify-write.
    #[inline]
    fn is_mine_to_decide(&self) -> bool {
        match (&self.rivals, &self.kind) {
            (Rivals::None, _) => true,
            (Rivals::Home, Kind::Coroutine(record)) => Worker::is_home_of(*record),
            _ => false,
        }
    }

    /// Decides the wait, if nobody has.
    #[inline]
    pub(super) fn decide(&self, decision: u32) -> Result<(), ()> {
        self.claim
            .compare_exchange(WAITING, decision, Ordering::AcqRel, Ordering::Acquire)
            .map(drop)
            .map_err(drop)
    }

    /// The coroutine that waits, if it is one.
    pub(crate) fn coroutine(&self) -> Option<NonNull<Record>> {
        match self.kind {
            Kind::Coroutine(record) => Some(record),
            _ => None,
        }
    }

    /// Decides the wait for its deadline; gives the coroutine to make runnable.
    pub(crate) fn expire(&self) -> Option<NonNull<Record>> {
        match self.kind {
            Kind::Coroutine(record) if self.decide(EXPIRED).is_ok() => Some(record),
            _ => None,
        }
    }

    /// Decides the wait for a cancellation; gives the coroutine to make runnable.
    pub(crate) fn cancel(&self) -> Option<NonNull<Record>> {
        match self.kind {
            Kind::Coroutine(record) if self.decide(CANCELLED).is_ok() => Some(record),
            _ => None,
        }
    }

    /// Decides a thread's wait for a cancellation, and wakes the thread.
    pub(crate) fn cancel_thread(&self) {
        if let Kind::Thread(parker) = self.kind
            && self.decide(CANCELLED).is_ok()
        {
            // SAFETY: decided by us, and the thread stays in its wait until the token is set.
            unsafe { ThreadParker::unpark(parker) };
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
