//! The one door: how anything in Ropewalk waits for anything else in Ropewalk.
//!
//! A [`WaitQueue`] is a list embedded in each object that can be waited for. A waiter is
//! an OS thread, a coroutine or a [`Waker`](std::task::Waker); its node lives on its own stack, or in
//! its own pinned future, and stands in the queue by reference. I/O and sleeping wait in
//! the worker's driver and timers instead, with the same record of what is waited for.
//!
//! # States
//!
//! Each wait has one claim word:
//!
//! ```text
//!   WAITING ──claim_next──▶ WOKEN + index  a waker took a node out of its queue
//!      ├──────deadline────▶ EXPIRED        the waiter's own timer, or futex time-out
//!      └──────cancel──────▶ CANCELLED      its home worker, or the canceller of a thread
//! ```
//!
//! Whoever moves the word away from WAITING decides the wait, and only that one may
//! make the waiter run again. (A wait in one queue that has no deadline and can't be
//! cancelled has only one who may move the word: whoever holds the queue's lock. So has that
//! of a coroutine whose waker is on its home worker, where deadlines and cancellations are
//! decided too. A plain store does then.) **One claim, one unpark**: a coroutine that has linked a
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

mod any;
mod asynchronous;
mod context;
pub mod lot;
mod queue;
mod thread;
mod waiting;

pub use any::{Joined, Place, Selected, wait_any};
pub use asynchronous::{AsyncWait, block_on, block_on_cancellable};
pub use context::{
    check_may_wait, in_coroutine, mark_panic_hook, may_wait, no_wait, note_given_up, panicked_waits,
};
pub use queue::{Claimed, QueueGuard, WaitQueue};
pub use waiting::sleep_until;

pub(crate) use context::{Context, no_wait_in};
pub(crate) use queue::Wait;

use crate::worker::Worker;

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
    /// Waiting for a permit of a semaphore.
    Semaphore,
    /// Waiting for an event, or for a token's cancellation.
    Event,
    /// Waiting for others at a barrier, or for a group of them.
    Barrier,
    /// Waiting for somebody else's initialisation.
    Once,
    /// Waiting for one of several things.
    Select,
    /// Waiting for a promise.
    Promise,
    /// Waiting for an item of a queue, or for room in it.
    Queue,
    /// Waiting for a place for one more coroutine.
    Place,
    /// Waiting for the file system: an open, a rename, a flush to the disk.
    File,
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
            Reason::Semaphore => "waiting for a permit",
            Reason::Event => "waiting for an event",
            Reason::Barrier => "waiting at a barrier",
            Reason::Once => "waiting for an initialisation",
            Reason::Select => "selecting",
            Reason::Promise => "waiting for a promise",
            Reason::Queue => "waiting for a queue",
            Reason::Place => "waiting for a place to spawn",
            Reason::File => "waiting for the file system",
        }
    }

    /// How many reasons there are.
    pub const COUNT: usize = Reason::ALL.len();

    /// All reasons, each at the place of its number.
    pub const ALL: [Reason; 24] = [
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
        Reason::Semaphore,
        Reason::Event,
        Reason::Barrier,
        Reason::Once,
        Reason::Select,
        Reason::Promise,
        Reason::Queue,
        Reason::Place,
        Reason::File,
    ];

    pub(crate) fn from_u8(value: u8) -> Reason {
        Reason::ALL
            .get(value as usize)
            .copied()
            .unwrap_or(Reason::None)
    }
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A waker took this waiter out of the queue; what it handed over is in place.
    Woken,
    /// The deadline passed first; nothing was handed over.
    Expired,
    /// The waiter was cancelled, or its token's deadline passed; nothing was handed over.
    Cancelled,
}

/// How long a wait lasts, and whether a cancellation may end it.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    deadline: Option<u64>,
    cancellable: bool,
}

impl Limit {
    /// For ever, and not a cancellation point.
    pub const NONE: Limit = Limit::until(None);

    /// Until a deadline (clock nanoseconds), if there is one; not a cancellation point.
    pub const fn until(deadline: Option<u64>) -> Limit {
        Limit {
            deadline,
            cancellable: false,
        }
    }

    /// Says whether nothing but a waker ends the wait.
    fn is_endless(self) -> bool {
        self.deadline.is_none() && !self.cancellable
    }

    /// Until a deadline, if there is one; a cancellation point, bound by the waiter's token.
    pub const fn cancellable(deadline: Option<u64>) -> Limit {
        Limit {
            deadline,
            cancellable: true,
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
