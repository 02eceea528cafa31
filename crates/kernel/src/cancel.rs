//! Cancellation: tokens in a tree, and how a cancellation finds the waits it is to end.
//!
//! A task (coroutine, async task or thread) stands under one token at a time, or under none:
//! what is spawned stands under the spawner's. A token has a deadline, which is the earliest
//! of its own and its ancestors', and may be cancelled, and its descendants with it. A task
//! may also be cancelled by itself, through its handle.
//!
//! # Delivery
//!
//! Nothing is unwound or killed. A wait that is a cancellation point
//! ([`Limit::cancellable`](crate::wait::Limit::cancellable)) ends as
//! [`Cancelled`](crate::wait::Outcome::Cancelled), or is refused, after giving way once, when
//! the task is cancelled already. Deadlines need no list: a wait takes the earlier of its own
//! and its token's.
//!
//! A canceller first sets the flag, then tells who may be waiting:
//!
//! ```text
//!   coroutine:  a letter to its home worker, on whose thread alone the coroutine parks:
//!               the worker looks at the wait that the record names, if there is one
//!   thread:     its slot, a lock under which it names its wait before it sleeps
//! ```
//!
//! Either the wait's beginning sees the flag, or the letter (the canceller's look into the slot)
//! comes after the wait was named. A letter decides nothing by itself: the worker asks again
//! whether the task *as it stands now* is cancelled, so one that comes late does no harm. A
//! thread names the token it stands under with its wait, to the same end.
//!
//! Lock order: a parent's lock before its child's; a token's lock before a slot's. Letters are
//! posted outside both.

use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context as TaskContext, Poll};

use crate::clock;
use crate::driver::Signal;
use crate::record::{self, CANCELLED, DONE, Record, UNDER};
use crate::runtime;
use crate::task::identity;
use crate::wait::{AsyncWait, Limit, Outcome, Reason, Wait, WaitQueue};
use crate::worker::Worker;

/// The error of a wait that was cancelled, or whose token's deadline passed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cancelled {
    timed_out: bool,
}

impl Cancelled {
    /// The error for the caller as it stands: whether a deadline or a cancellation ended it.
    pub fn current() -> Cancelled {
        match standing() {
            Standing::Cancelled { timed_out } => Cancelled { timed_out },
            _ => Cancelled { timed_out: false },
        }
    }

    /// Says whether it was a deadline, rather than a call of `cancel`.
    pub fn is_timeout(&self) -> bool {
        self.timed_out
    }

    /// As an I/O error: kind `TimedOut` for a deadline, else `Other` with this as the source.
    pub fn into_io(self) -> std::io::Error {
        if self.timed_out {
            std::io::Error::from(std::io::ErrorKind::TimedOut)
        } else {
            std::io::Error::other(self)
        }
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.timed_out {
            "cancelled: the deadline passed"
        } else {
            "cancelled"
        })
    }
}

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancelled")
            .field("timed_out", &self.timed_out)
            .finish()
    }
}

impl std::error::Error for Cancelled {}

impl From<Cancelled> for std::io::Error {
    fn from(cancelled: Cancelled) -> std::io::Error {
        cancelled.into_io()
    }
}

/// A place in the tree of what can be cancelled together.
///
/// Cheap to clone; all clones are the same token. Dropping it cancels nothing.
#[derive(Clone)]
pub struct Token(Arc<Node>);

/// A token's state; tasks refer to it by `Arc`s turned raw.
pub(crate) struct Node {
    parent: Option<Arc<Node>>,
    /// The earliest of its own and its ancestors'; clock nanoseconds.
    deadline: Option<u64>,
    own_deadline: Option<u64>,
    cancelled: AtomicBool,
    /// Whether a wait was ended by this node's own deadline.
    delivered: AtomicBool,
    below: Mutex<Below>,
    /// Who waits for the cancellation.
    waiters: WaitQueue,
}

#[derive(Default)]
struct Below {
    children: HashMap<usize, Weak<Node>>,
    tasks: HashMap<u64, Member>,
}

/// A task that stands under a token.
#[derive(Clone)]
enum Member {
    Coroutine(NonNull<Record>),
    Thread(Arc<Slot>),
}

// SAFETY: records are type-stable; the id is checked by whoever follows the pointer.
unsafe impl Send for Member {}

impl Node {
    fn below(&self) -> MutexGuard<'_, Below> {
        self.below.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new(parent: Option<Arc<Node>>, own_deadline: Option<u64>) -> Arc<Node> {
        let inherited = parent.as_ref().and_then(|parent| parent.deadline);
        let deadline = match (own_deadline, inherited) {
            (Some(own), Some(inherited)) => Some(own.min(inherited)),
            (own, inherited) => own.or(inherited),
        };
        let node = Arc::new(Node {
            parent,
            deadline,
            own_deadline,
            cancelled: AtomicBool::new(false),
            delivered: AtomicBool::new(false),
            below: Mutex::default(),
            waiters: WaitQueue::new(),
        });
        if let Some(parent) = &node.parent {
            parent
                .below()
                .children
                .insert(Arc::as_ptr(&node) as usize, Arc::downgrade(&node));
            // A canceller sets the flag before it takes the list.
            if parent.cancelled.load(Ordering::SeqCst) {
                node.cancelled.store(true, Ordering::SeqCst);
            }
        }
        node
    }

    fn is_over(&self) -> Option<Cancelled> {
        if self.cancelled.load(Ordering::SeqCst) {
            Some(Cancelled { timed_out: false })
        } else if self.deadline.is_some_and(|at| at <= clock::now_ns()) {
            Some(Cancelled { timed_out: true })
        } else {
            None
        }
    }

    /// Notes that a wait was ended because of a deadline: at each node whose own has passed.
    fn deliver(&self) {
        let now = clock::now_ns();
        let mut node = Some(self);
        while let Some(this) = node {
            if this.own_deadline.is_some_and(|at| at <= now) {
                this.delivered.store(true, Ordering::Relaxed);
            }
            node = this.parent.as_deref();
        }
    }

    fn cancel(self: &Arc<Node>) {
        let mut left = vec![Arc::clone(self)];
        let mut told: Vec<(u64, Member, Arc<Node>)> = Vec::new();
        while let Some(node) = left.pop() {
            if node.cancelled.swap(true, Ordering::SeqCst) {
                continue;
            }
            {
                let below = node.below();
                left.extend(below.children.values().filter_map(Weak::upgrade));
                let members = below.tasks.iter();
                told.extend(members.map(|(id, task)| (*id, task.clone(), Arc::clone(&node))));
            }
            node.waiters.wake_all();
        }
        for (id, member, node) in told {
            match member {
                Member::Coroutine(record) => runtime::tell_cancelled(record, id),
                Member::Thread(slot) => slot.notify(Some(&node)),
            }
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A long chain must not drop by recursion.
        let mut parent = self.parent.take();
        let this = ptr::from_ref(self) as usize;
        if let Some(parent) = &parent {
            parent.below().children.remove(&this);
        }
        while let Some(node) = parent {
            let address = Arc::as_ptr(&node) as usize;
            let Some(mut node) = Arc::into_inner(node) else {
                break;
            };
            parent = node.parent.take();
            if let Some(above) = &parent {
                above.below().children.remove(&address);
            }
        }
    }
}

impl Default for Token {
    fn default() -> Self {
        Token::new()
    }
}

impl Token {
    /// A token below the caller's: cancelled with it, and bound by its deadline.
    pub fn new() -> Token {
        Token(Node::new(ambient(), None))
    }

    /// A token below none.
    pub fn root() -> Token {
        Token(Node::new(None, None))
    }

    /// A token below this one.
    pub fn child(&self) -> Token {
        Token(Node::new(Some(Arc::clone(&self.0)), None))
    }

    /// A token below the caller's, with a deadline (clock nanoseconds).
    #[doc(hidden)]
    pub fn until_ns(deadline: u64) -> Token {
        Token(Node::new(ambient(), Some(deadline)))
    }

    /// A token below this one, with a deadline (clock nanoseconds).
    #[doc(hidden)]
    pub fn child_until_ns(&self, deadline: u64) -> Token {
        Token(Node::new(Some(Arc::clone(&self.0)), Some(deadline)))
    }

    /// The token the caller stands under, if it stands under one.
    pub fn current() -> Option<Token> {
        ambient().map(Token)
    }

    /// Cancels it and all below it: every wait under them that is a cancellation point ends.
    /// Doing so again does nothing.
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// Says whether it was cancelled, or its deadline has passed.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_over().is_some()
    }

    /// The deadline in clock nanoseconds: the earliest of its own and its ancestors'.
    #[doc(hidden)]
    pub fn deadline_ns(&self) -> Option<u64> {
        self.0.deadline
    }

    /// Says whether a wait was ended by this token's own deadline.
    #[doc(hidden)]
    pub fn was_delivered(&self) -> bool {
        self.0.delivered.load(Ordering::Relaxed)
    }

    /// Runs `f` under this token, in the place of the one the caller stands under; what `f`
    /// spawns stands under it too.
    ///
    /// The caller's own token doesn't reach into `f` unless this one is below it, as those of
    /// [`Token::new`] are.
    pub fn run<T>(&self, f: impl FnOnce() -> T) -> T {
        let _stand = Stand::under(Some(Arc::clone(&self.0)));
        f()
    }

    /// Waits until it is cancelled or its deadline passes, or the caller itself is cancelled.
    pub fn wait(&self) {
        while !self.is_cancelled() {
            let guard = self.0.waiters.lock();
            if self.is_cancelled() {
                return;
            }
            let limit = Limit::cancellable(self.0.deadline);
            let object = Arc::as_ptr(&self.0) as usize;
            if guard.wait(0, Reason::Event, object, limit) == Outcome::Cancelled {
                return;
            }
        }
    }

    /// Polls for the cancellation, for a future. A deadline doesn't wake: see
    /// [`wait`](Self::wait).
    #[doc(hidden)]
    pub fn poll_cancelled(&self, waiter: &mut AsyncWait, context: &TaskContext<'_>) -> Poll<()> {
        if self.is_cancelled() {
            waiter.leave(&self.0.waiters);
            return Poll::Ready(());
        }
        waiter.prepare(context);
        let guard = self.0.waiters.lock();
        if self.is_cancelled() {
            drop(guard);
            waiter.leave(&self.0.waiters);
            return Poll::Ready(());
        }
        // SAFETY: the caller's future keeps the token, and calls `forget_waiter` at its end.
        unsafe { waiter.join(guard) };
        Poll::Pending
    }

    /// Ends what [`poll_cancelled`](Self::poll_cancelled) began.
    #[doc(hidden)]
    pub fn forget_waiter(&self, waiter: &mut AsyncWait) {
        waiter.leave(&self.0.waiters);
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}

/// Runs `f` with cancellation held off: its waits see neither tokens' cancellations and
/// deadlines nor a cancellation of the task. They are seen again after it.
///
/// What `f` spawns stands under no token.
pub fn shield<T>(f: impl FnOnce() -> T) -> T {
    let _stand = Stand::shielded();
    f()
}

/// Says whether the caller is cancelled: by its token, its token's deadline, or its handle.
///
/// # Errors
///
/// [`Cancelled`] if so.
pub fn check() -> Result<(), Cancelled> {
    match standing() {
        Standing::Cancelled { timed_out } => Err(Cancelled { timed_out }),
        _ => Ok(()),
    }
}

// --- Where a task stands --------------------------------------------------------------------

/// Where a task stands; with the task, or in the thread's local storage.
pub(crate) struct Stance {
    /// An `Arc<Node>` turned raw, or null.
    node: Cell<*const Node>,
    /// How many `shield`s it is in.
    shield: Cell<u32>,
}

impl Stance {
    pub(crate) const fn new() -> Stance {
        Stance {
            node: Cell::new(ptr::null()),
            shield: Cell::new(0),
        }
    }

    fn node(&self) -> Option<&Node> {
        // SAFETY: the stance's own reference keeps it, and only the task changes it.
        unsafe { self.node.get().as_ref() }
    }

    fn clone_node(&self) -> Option<Arc<Node>> {
        let node = self.node.get();
        if node.is_null() {
            return None;
        }
        // SAFETY: one more reference beside the stance's own.
        unsafe {
            Arc::increment_strong_count(node);
            Some(Arc::from_raw(node))
        }
    }

    fn replace(&self, node: Option<Arc<Node>>) -> Option<Arc<Node>> {
        let new = node.map_or(ptr::null(), Arc::into_raw);
        let old = self.node.replace(new);
        // SAFETY: the stance's own reference, given up here.
        (!old.is_null()).then(|| unsafe { Arc::from_raw(old) })
    }

    /// What holds for a wait that begins now.
    fn standing(&self, cancelled: bool) -> Standing {
        if self.shield.get() != 0 {
            return Standing::Free;
        }
        if cancelled {
            return Standing::Cancelled { timed_out: false };
        }
        let Some(node) = self.node() else {
            return Standing::Free;
        };
        match node.is_over() {
            Some(Cancelled { timed_out }) => {
                if timed_out {
                    node.deliver();
                }
                Standing::Cancelled { timed_out }
            }
            None => match node.deadline {
                Some(deadline) => Standing::Until(deadline),
                None => Standing::Free,
            },
        }
    }
}

#[derive(Clone, Copy)]
pub(crate) enum Standing {
    Free,
    /// Its token's deadline.
    Until(u64),
    Cancelled {
        timed_out: bool,
    },
}

/// Where a coroutine stands. The caller is its home worker.
#[inline]
pub(crate) fn standing_of(record: &Record) -> Standing {
    if !record.has(CANCELLED | UNDER) {
        return Standing::Free;
    }
    standing_slow(record)
}

#[cold]
fn standing_slow(record: &Record) -> Standing {
    let cancelled = record.flags_now() & CANCELLED != 0;
    match record.known_extra() {
        Some(extra) => extra.stance.standing(cancelled),
        None if cancelled => Standing::Cancelled { timed_out: false },
        None => Standing::Free,
    }
}

/// Notes that a deadline of the coroutine's token ended a wait of it.
pub(crate) fn note_delivery(record: Option<&Record>) {
    match record {
        Some(record) => {
            if let Some(extra) = record.known_extra()
                && let Some(node) = extra.stance.node()
            {
                node.deliver();
            }
        }
        None => THREAD.with(|thread| {
            if let Some(node) = thread.stance.node() {
                node.deliver();
            }
        }),
    }
}

fn standing() -> Standing {
    match Worker::current().and_then(Worker::current_record) {
        Some(record) => standing_of(record),
        None => standing_of_thread().0,
    }
}

fn ambient() -> Option<Arc<Node>> {
    match Worker::current().and_then(Worker::current_record) {
        Some(record) if record.has(UNDER) => record.known_extra()?.stance.clone_node(),
        Some(_) => None,
        None => THREAD.try_with(|thread| thread.stance.clone_node()).ok()?,
    }
}

/// Gives a task that is being prepared its spawner's token.
#[inline]
pub(crate) fn inherit(record: &Record, parent: Option<&Record>) {
    let under = match parent {
        Some(parent) => parent.has(UNDER),
        None => THREAD_STANDS.get(),
    };
    if under {
        inherit_slow(record);
    }
}

#[cold]
fn inherit_slow(record: &Record) {
    if let Some(node) = ambient() {
        record.extra().stance.replace(Some(node));
        record.set_flag(UNDER);
    }
}

/// The token that a coroutine stands under, as an address: null for none. The caller is the
/// coroutine; the address is good for as long as the caller doesn't leave the token.
#[inline]
pub(crate) fn address_of(record: &Record) -> *const Node {
    if !record.has(UNDER) {
        return ptr::null();
    }
    match record.known_extra() {
        Some(extra) => extra.stance.node.get(),
        None => ptr::null(),
    }
}

/// Puts a task that is being prepared under the token at `node`, if that is not null.
///
/// # Safety
///
/// It is null, or what [`address_of`] gave and is still good.
pub(crate) unsafe fn put_under(record: &Record, node: *const Node) {
    if node.is_null() {
        return;
    }
    // SAFETY: alive, by the contract above: one more reference.
    let node = unsafe {
        Arc::increment_strong_count(node);
        Arc::from_raw(node)
    };
    record.extra().stance.replace(Some(node));
    record.set_flag(UNDER);
}

/// Says whether a task that has not started should not start.
#[inline]
pub(crate) fn refuses_start(record: &Record) -> bool {
    record.has(CANCELLED | UNDER) && matches!(standing_slow(record), Standing::Cancelled { .. })
}

/// Enters a starting coroutine with its token.
#[cold]
pub(crate) fn enter(record: &Record) {
    if let Some(extra) = record.known_extra()
        && let Some(node) = extra.stance.node()
    {
        let member = Member::Coroutine(NonNull::from(record));
        node.below().tasks.insert(record.id(), member);
    }
}

/// Takes a task that has ended, or never starts, from under its token.
#[cold]
pub(crate) fn exit(record: &Record) {
    if let Some(extra) = record.known_extra()
        && let Some(node) = extra.stance.replace(None)
    {
        node.below().tasks.remove(&record.id());
    }
}

/// Where a task stood before; it stands there again when this is dropped.
struct Stand {
    before: Option<Arc<Node>>,
    shielded: bool,
    not_send: std::marker::PhantomData<*const ()>,
}

impl Stand {
    fn under(node: Option<Arc<Node>>) -> Stand {
        let before = move_to(node);
        Stand {
            before,
            shielded: false,
            not_send: std::marker::PhantomData,
        }
    }

    fn shielded() -> Stand {
        let stand = Stand {
            before: move_to(None),
            shielded: true,
            not_send: std::marker::PhantomData,
        };
        change_shield(1);
        stand
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        if self.shielded {
            change_shield(-1);
        }
        drop(move_to(self.before.take()));
    }
}

fn change_shield(by: i32) {
    let change = |stance: &Stance| {
        let depth = stance.shield.get().wrapping_add_signed(by);
        stance.shield.set(depth);
    };
    match Worker::current().and_then(Worker::current_record) {
        Some(record) => change(&record.extra().stance),
        None => THREAD.with(|thread| change(&thread.stance)),
    }
}

/// Puts the calling task under another token, and gives the one it stood under.
fn move_to(node: Option<Arc<Node>>) -> Option<Arc<Node>> {
    let (id, member) = match Worker::current().and_then(Worker::current_record) {
        Some(record) => (record.id(), Member::Coroutine(NonNull::from(record))),
        None => (
            crate::task::Task::current().id(),
            Member::Thread(THREAD.with(|thread| Arc::clone(thread.slot()))),
        ),
    };
    if let Some(node) = &node {
        node.below().tasks.insert(id, member.clone());
    }
    let old = match &member {
        Member::Coroutine(record) => {
            // SAFETY: the calling coroutine's.
            let record = unsafe { record.as_ref() };
            if node.is_some() {
                record.set_flag(UNDER);
            }
            record.extra().stance.replace(node)
        }
        Member::Thread(_) => THREAD.with(|thread| {
            THREAD_STANDS.set(node.is_some());
            thread.stance.replace(node)
        }),
    };
    if let Some(old) = &old {
        let mut below = old.below();
        // It may stand there in two places of its stack: then it still does.
        if !stands_under(old) {
            below.tasks.remove(&id);
        }
    }
    old
}

fn stands_under(node: &Arc<Node>) -> bool {
    match Worker::current().and_then(Worker::current_record) {
        Some(record) => ptr::eq(record.extra().stance.node.get(), Arc::as_ptr(node)),
        None => THREAD.with(|thread| ptr::eq(thread.stance.node.get(), Arc::as_ptr(node))),
    }
}

// --- Coroutines -----------------------------------------------------------------------------

/// Cancels the task of `record`, which has `id`.
pub(crate) fn cancel_task(record: NonNull<Record>, id: u64) {
    // SAFETY: type-stable, and the caller's reference keeps it.
    let this = unsafe { record.as_ref() };
    if this.life.load(Ordering::SeqCst) & DONE != 0 || this.id() != id {
        return;
    }
    this.set_flag(CANCELLED);
    if this.has(record::THREAD) {
        let slot = this.extra().slot();
        if let Some(slot) = slot {
            slot.cancelled.store(true, Ordering::SeqCst);
            slot.notify(None);
        }
        return;
    }
    runtime::tell_cancelled(record, id);
}

/// Ends the wait of a coroutine of this worker, if it is cancelled as it stands now. Gives it
/// to be made runnable.
pub(crate) fn receive_letter(
    worker: &Worker,
    record: NonNull<Record>,
    id: u64,
) -> Option<NonNull<Record>> {
    // SAFETY: type-stable.
    let this = unsafe { record.as_ref() };
    let here = ptr::eq(this.home.load(Ordering::Relaxed), worker.me());
    if !here || this.id() != id {
        return None;
    }
    let wait = this.wait.get();
    if wait.is_none() || !matches!(standing_of(this), Standing::Cancelled { .. }) {
        return None;
    }
    // SAFETY: named by a coroutine of this worker that is parked in it.
    unsafe { wait.cancel() }
}

// --- Threads --------------------------------------------------------------------------------

struct ThreadStance {
    stance: Stance,
    slot: std::cell::OnceCell<Arc<Slot>>,
}

impl ThreadStance {
    fn slot(&self) -> &Arc<Slot> {
        self.slot.get_or_init(|| Arc::new(Slot::new()))
    }
}

impl Drop for ThreadStance {
    fn drop(&mut self) {
        self.stance.replace(None);
    }
}

thread_local! {
    static THREAD: ThreadStance = const {
        ThreadStance { stance: Stance::new(), slot: std::cell::OnceCell::new() }
    };
    /// Whether the thread stands under a token, for a quick look.
    static THREAD_STANDS: Cell<bool> = const { Cell::new(false) };
    /// Whether the thread can be cancelled by its handle, for a quick look.
    static HAS_SLOT: Cell<bool> = const { Cell::new(false) };
}

/// Where a canceller finds what a thread waits in.
pub(crate) struct Slot {
    cancelled: AtomicBool,
    waiting: Mutex<Waiting>,
}

/// With the address of the token it stands under: one that it has left by then concerns it no more.
enum Waiting {
    No,
    Queue(NonNull<Wait>, usize),
    /// In `poll`, with this eventfd among the descriptors.
    Descriptor(Arc<Signal>, usize),
}

// SAFETY: a wait that is named in the slot is alive for as long as it is named.
unsafe impl Send for Waiting {}

impl Slot {
    fn new() -> Slot {
        Slot {
            cancelled: AtomicBool::new(false),
            waiting: Mutex::new(Waiting::No),
        }
    }

    fn set(&self, waiting: Waiting) {
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = waiting;
    }

    /// Ends the wait that is named, if one is, and the thread stands under `node`; without one,
    /// it is the thread that is cancelled.
    fn notify(&self, node: Option<&Arc<Node>>) {
        let concerns = |under: usize| node.is_none_or(|node| Arc::as_ptr(node) as usize == under);
        match &*self.waiting.lock().unwrap_or_else(PoisonError::into_inner) {
            Waiting::Queue(wait, under) if concerns(*under) => {
                // SAFETY: named, so alive; it is unnamed under this lock.
                unsafe { wait.as_ref() }.cancel_thread();
            }
            Waiting::Descriptor(signal, under) if concerns(*under) => signal.send(),
            _ => {}
        }
    }
}

/// Gives a thread that the kernel starts the slot its handle cancels it through.
pub(crate) fn enter_thread(record: &Record) {
    let slot = THREAD.with(|thread| Arc::clone(thread.slot()));
    if record.has(CANCELLED) {
        slot.cancelled.store(true, Ordering::SeqCst);
    }
    HAS_SLOT.set(true);
    record.extra().set_slot(Some(Arc::clone(&slot)));
    // One that came between the look and the slot found no slot.
    if record.flags_now() & CANCELLED != 0 {
        slot.cancelled.store(true, Ordering::SeqCst);
    }
    let node = record
        .known_extra()
        .and_then(|extra| extra.stance.replace(None));
    if let Some(node) = node {
        drop(move_to(Some(node)));
    }
}

/// Takes a thread of the kernel's from under its token.
pub(crate) fn exit_thread() {
    drop(move_to(None));
    HAS_SLOT.set(false);
}

/// Where the calling thread stands, and its slot if it could be cancelled.
pub(crate) fn standing_of_thread() -> (Standing, Option<Arc<Slot>>) {
    if !THREAD_STANDS.get() && !HAS_SLOT.get() {
        return (Standing::Free, None);
    }
    THREAD
        .try_with(|thread| {
            let slot = thread.slot();
            let cancelled = slot.cancelled.load(Ordering::SeqCst);
            let standing = thread.stance.standing(cancelled);
            (
                standing,
                (thread.stance.shield.get() == 0).then(|| Arc::clone(slot)),
            )
        })
        .unwrap_or((Standing::Free, None))
}

/// The address of the token that the calling thread stands under.
fn thread_node() -> usize {
    THREAD.with(|thread| thread.stance.node.get() as usize)
}

/// Names `wait` in the slot for as long as `f` runs. `f` gets whether the thread was
/// cancelled before it was named.
pub(crate) fn while_named<R>(slot: &Slot, wait: &Wait, f: impl FnOnce(bool) -> R) -> R {
    slot.set(Waiting::Queue(NonNull::from(wait), thread_node()));
    let cancelled = matches!(standing_of_thread().0, Standing::Cancelled { .. });
    let result = f(cancelled);
    slot.set(Waiting::No);
    result
}

/// Has the slot send `signal` on a cancellation for as long as `f` runs, which gets whether
/// the thread was cancelled before.
pub(crate) fn while_signalled<R>(
    slot: &Slot,
    signal: &Arc<Signal>,
    f: impl FnOnce(bool) -> R,
) -> R {
    slot.set(Waiting::Descriptor(Arc::clone(signal), thread_node()));
    let cancelled = matches!(standing_of_thread().0, Standing::Cancelled { .. });
    let result = f(cancelled);
    slot.set(Waiting::No);
    result
}

/// The id of the calling task, for who asks often.
#[doc(hidden)]
pub fn current_id() -> u64 {
    match Worker::current().and_then(Worker::current_record) {
        Some(record) => record.id(),
        None => identity::current_id(),
    }
}

/// An id that the calling task has for itself, and that is used on this thread alone: a coroutine
/// and a thread keep theirs, an async task has another each time it is polled.
#[doc(hidden)]
pub fn current_turn_id() -> u64 {
    if let Some(worker) = Worker::current()
        && let Some(record) = worker.current_record()
    {
        // SAFETY: a running coroutine has a host, which is its worker's.
        return unsafe { &*record.host() }.turn_id(|| worker.take_id());
    }
    identity::current_id()
}
