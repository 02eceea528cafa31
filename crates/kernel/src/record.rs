//! The task record: what the kernel knows of one coroutine or thread.
//!
//! Records are **type-stable**: they live in slabs that are never given back, and a freed
//! record is only ever used as a record again. Whoever lists the living may therefore
//! read any record at any time; it reads atomics, and checks the id (never reused, 0 when
//! free) before and after.
//!
//! # Life
//!
//! `life` counts references in its upper bits and holds two flags:
//!
//! ```text
//!   spawn: refs = 2 (the runner, the handle)
//!   runner ends ──▶ DONE, runner's reference dropped
//!   handle dropped ──▶ DETACHED, handle's reference dropped
//!   last reference ──▶ record freed
//! ```
//!
//! Of DONE and DETACHED, whoever sets the second drops the outcome. A third flag, CALLBACKS,
//! says that the runner has callbacks to call first: DONE is only set while it is clear, so a
//! callback that is left finds DONE set, and is its owner's to call.
//!
//! A joiner locks `done`, then reads `life`, then joins the queue; a runner publishes DONE,
//! then looks at the queue (all `SeqCst`). The runner's look comes after it has let go: by
//! then the record may be another task's. See `task::wake_joiners`.
//!
//! # Payload
//!
//! A small closure, and later its outcome, lie inside the record: spawning allocates
//! nothing but a record from the worker's own magazine. Larger ones are boxed.

use std::cell::{Cell, UnsafeCell};
use std::mem::MaybeUninit;
use std::panic::Location;
use std::ptr::{self, NonNull};
use std::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};
use std::sync::{Arc, Mutex, PoisonError};

use crate::cancel::{Slot, Stance};
use crate::driver::IoWait;
use crate::host::Host;
use crate::local::Locals;
use crate::outcome::JoinError;
use crate::runtime::Shared;
use crate::scope::ScopeState;
use crate::wait::{Limit, Reason, Wait, WaitQueue};
use crate::worker::WorkerShared;

/// The bytes a closure or an outcome may have to lie inside the record.
pub(crate) const PAYLOAD_BYTES: usize = 56;
pub(crate) type Payload = [MaybeUninit<u64>; PAYLOAD_BYTES / 8];

pub(crate) const DONE: u32 = 1;
pub(crate) const DETACHED: u32 = 2;
/// There are callbacks to call before DONE is set.
pub(crate) const CALLBACKS: u32 = 4;
pub(crate) const REF: u32 = 1 << 8;

/// It was spawned with `spawn_local`: never stolen.
pub(crate) const LOCAL: u8 = 1;
/// The program's end doesn't wait for it.
pub(crate) const DAEMON: u8 = 2;
/// It is a thread, not a coroutine.
pub(crate) const THREAD: u8 = 4;
/// It has a name.
pub(crate) const NAMED: u8 = 8;
/// It was cancelled through its handle.
pub(crate) const CANCELLED: u8 = 16;
/// It stands, or stood, under a token.
pub(crate) const UNDER: u8 = 32;
/// It has coroutine-local values.
pub(crate) const LOCALS: u8 = 64;
/// It was handed in to a runtime that may refuse such; see `runtime/ranked.rs`.
pub(crate) const HANDED_IN: u8 = 128;

/// What a record's payload is, and how to run and drop it.
pub(crate) struct Behaviour {
    /// Takes the closure out, runs it, and puts the outcome in its place. Never unwinds.
    ///
    /// Says whether the task has ended: an async task that waits has not, and its record is
    /// not the runner's any more.
    pub(crate) run: unsafe fn(&Record) -> bool,
    /// Drops a closure that never ran, and puts the error in its place.
    pub(crate) cancel: unsafe fn(&Record, JoinError),
    /// Drops the outcome; says whether it was a panic.
    pub(crate) drop_outcome: unsafe fn(&Record) -> bool,
}

#[repr(C, align(64))]
pub(crate) struct Record {
    pub(crate) life: AtomicU32,
    pub(crate) flags: AtomicU8,
    pub(crate) reason: AtomicU8,
    pub(crate) started: AtomicBool,
    /// Where an async task is between two polls; see `future.rs`.
    pub(crate) phase: AtomicU8,
    pub(crate) id: AtomicU64,
    /// The link of whichever queue holds the record: fresh list, run queue, inbox, or
    /// the magazine of free records. Belongs to that queue.
    pub(crate) next: Cell<*const Record>,
    /// Clock nanoseconds at which the wait began; coarse.
    pub(crate) since_ns: AtomicU64,
    /// The worker it started on; null before.
    pub(crate) home: AtomicPtr<WorkerShared>,
    /// The host it is on. Another worker may be changing it unless the host says that it is
    /// the reader's: see `Worker::host_of`.
    pub(crate) host: AtomicPtr<Host>,
    pub(crate) done: WaitQueue,
    /// The address of what it waits for.
    pub(crate) object: AtomicUsize,
    pub(crate) runtime: AtomicPtr<Shared>,
    /// The scope it belongs to: one reference of the scope's `Arc`, or null.
    pub(crate) scope: Cell<*const ScopeState>,
    pub(crate) parent: AtomicU64,
    pub(crate) site: AtomicPtr<Location<'static>>,
    pub(crate) born_ns: AtomicU64,
    /// Requested stack bytes; 0 for the runtime's default.
    pub(crate) stack_bytes: Cell<usize>,
    /// The wait it is parked in, for who would cancel it. Its home worker's.
    pub(crate) wait: Cell<Named>,
    /// What few tasks have. Made when first needed, and the record's for ever.
    extra: AtomicPtr<Extra>,
    pub(crate) behaviour: Cell<Option<&'static Behaviour>>,
    payload: UnsafeCell<Payload>,
}

/// What few tasks have: as type-stable as the record it belongs to.
pub(crate) struct Extra {
    pub(crate) name: Mutex<Option<Arc<str>>>,
    /// The running task's own.
    pub(crate) stance: Stance,
    /// The slot of a thread.
    slot: Mutex<Option<Arc<Slot>>>,
    pub(crate) callbacks: Mutex<Callbacks>,
    /// The running task's own.
    pub(crate) locals: UnsafeCell<Option<Box<Locals>>>,
    /// Its span, if a subscriber wants to know of it.
    #[cfg(feature = "tracing")]
    pub(crate) span: Mutex<Option<tracing::Span>>,
}

/// What is to be called with the outcome.
#[derive(Default)]
pub(crate) struct Callbacks {
    pub(crate) list: Vec<Callback>,
    /// Whether somebody calls them, after the end, and will see what is added. Outcomes need not
    /// be `Sync`: two threads must not call at once.
    pub(crate) being_called: bool,
}

/// A callback that looks at the outcome in the record.
pub(crate) type Callback = Box<dyn FnOnce(&Record) + Send>;

impl Extra {
    pub(crate) fn slot(&self) -> Option<Arc<Slot>> {
        self.slot
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn set_slot(&self, slot: Option<Arc<Slot>>) {
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = slot;
    }
}

/// The wait of a parked coroutine: in a queue, or for a descriptor.
#[derive(Clone, Copy)]
pub(crate) struct Named(usize);

impl Named {
    pub(crate) const NONE: Named = Named(0);
    const IO: usize = 1;

    #[inline]
    pub(crate) fn queue(wait: &Wait) -> Named {
        Named(ptr::from_ref(wait) as usize)
    }

    #[inline]
    pub(crate) fn io(wait: &IoWait) -> Named {
        Named(ptr::from_ref(wait) as usize | Named::IO)
    }

    pub(crate) fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Ends the wait; gives the coroutine to make runnable, unless it was ended already.
    ///
    /// # Safety
    ///
    /// The coroutine that named it is parked in it, on the calling worker.
    pub(crate) unsafe fn cancel(self) -> Option<NonNull<Record>> {
        if self.0 & Named::IO == 0 {
            // SAFETY: named, so alive, by the contract above.
            unsafe { (*(self.0 as *const Wait)).cancel() }
        } else {
            // SAFETY: as above.
            unsafe { (*((self.0 & !Named::IO) as *const IoWait)).cancel() }
        }
    }
}

const _: () = assert!(size_of::<Record>() == 192);

// SAFETY: the `Cell`s and the payload belong, at each time, to one owner: the spawner
// until the record is queued, then the queue, then the worker that runs it, then (the
// payload, after DONE) the handle. Hand-overs synchronise through the deque, the inbox
// or `life`. All else is atomic or locked.
unsafe impl Send for Record {}
// SAFETY: as above.
unsafe impl Sync for Record {}

impl Record {
    fn empty() -> Record {
        Record {
            life: AtomicU32::new(0),
            flags: AtomicU8::new(0),
            reason: AtomicU8::new(0),
            started: AtomicBool::new(false),
            phase: AtomicU8::new(0),
            id: AtomicU64::new(0),
            next: Cell::new(ptr::null()),
            since_ns: AtomicU64::new(0),
            home: AtomicPtr::new(ptr::null_mut()),
            host: AtomicPtr::new(ptr::null_mut()),
            done: WaitQueue::new(),
            object: AtomicUsize::new(0),
            runtime: AtomicPtr::new(ptr::null_mut()),
            scope: Cell::new(ptr::null()),
            parent: AtomicU64::new(0),
            site: AtomicPtr::new(ptr::null_mut()),
            born_ns: AtomicU64::new(0),
            stack_bytes: Cell::new(0),
            wait: Cell::new(Named::NONE),
            extra: AtomicPtr::new(ptr::null_mut()),
            behaviour: Cell::new(None),
            payload: UnsafeCell::new([MaybeUninit::uninit(); PAYLOAD_BYTES / 8]),
        }
    }

    #[inline]
    pub(crate) fn payload(&self) -> *mut Payload {
        self.payload.get()
    }

    #[inline]
    pub(crate) fn id(&self) -> u64 {
        self.id.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags.load(Ordering::Relaxed) & flag != 0
    }

    /// The flags, in the single order with whoever sets them.
    pub(crate) fn flags_now(&self) -> u8 {
        self.flags.load(Ordering::SeqCst)
    }

    pub(crate) fn set_flag(&self, flag: u8) {
        self.flags.fetch_or(flag, Ordering::SeqCst);
    }

    pub(crate) fn clear_flag(&self, flag: u8) {
        self.flags.fetch_and(!flag, Ordering::SeqCst);
    }

    pub(crate) fn known_extra(&self) -> Option<&Extra> {
        // SAFETY: once there, it is never given back.
        unsafe { self.extra.load(Ordering::Acquire).as_ref() }
    }

    pub(crate) fn extra(&self) -> &Extra {
        self.known_extra().unwrap_or_else(|| self.make_extra())
    }

    #[cold]
    fn make_extra(&self) -> &Extra {
        let fresh = Box::into_raw(Box::new(Extra {
            name: Mutex::new(None),
            stance: Stance::new(),
            slot: Mutex::new(None),
            callbacks: Mutex::default(),
            locals: UnsafeCell::new(None),
            #[cfg(feature = "tracing")]
            span: Mutex::default(),
        }));
        let made = self.extra.compare_exchange(
            ptr::null_mut(),
            fresh,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        if let Err(other) = made {
            // SAFETY: ours alone.
            drop(unsafe { Box::from_raw(fresh) });
            // SAFETY: never given back.
            return unsafe { &*other };
        }
        // SAFETY: as above.
        unsafe { &*fresh }
    }

    pub(crate) fn name(&self) -> Option<Arc<str>> {
        if !self.has(NAMED) {
            return None;
        }
        self.known_extra()?
            .name
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn set_name(&self, name: Option<Arc<str>>) {
        self.rename(self.id(), name);
    }

    /// Gives the task with this id a name, if it is still the record's.
    pub(crate) fn rename(&self, id: u64, name: Option<Arc<str>>) {
        let old = {
            let mut slot = self
                .extra()
                .name
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if self.id() != id {
                return;
            }
            if name.is_some() {
                self.flags.fetch_or(NAMED, Ordering::Relaxed);
            }
            std::mem::replace(&mut *slot, name)
        };
        drop(old);
    }

    pub(crate) fn site(&self) -> Option<&'static Location<'static>> {
        let site = self.site.load(Ordering::Relaxed);
        // SAFETY: only `&'static Location`s are stored.
        unsafe { site.as_ref() }
    }

    #[inline]
    pub(crate) fn host(&self) -> *mut Host {
        self.host.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn set_host(&self, host: *mut Host) {
        self.host.store(host, Ordering::Relaxed);
    }

    /// Notes what is waited for; the reader's view may be torn, never dangling.
    #[inline]
    pub(crate) fn note(&self, reason: Reason, object: usize) {
        self.reason.store(reason as u8, Ordering::Relaxed);
        self.object.store(object, Ordering::Relaxed);
    }
}

/// Free records of one thread.
#[derive(Default)]
pub(crate) struct Magazine {
    head: Cell<*const Record>,
    len: Cell<usize>,
}

const MAGAZINE_MAX: usize = 256;
const BATCH: usize = 128;

struct Depot {
    /// Batches of `BATCH` free records, each linked through `next`.
    batches: Vec<NonNull<Record>>,
    /// Single free records from threads without a magazine.
    loose: Magazine,
    slabs: Vec<(NonNull<Record>, usize)>,
}

// SAFETY: free records belong to whoever holds the depot's lock.
unsafe impl Send for Depot {}

static DEPOT: Mutex<Depot> = Mutex::new(Depot {
    batches: Vec::new(),
    loose: Magazine {
        head: Cell::new(ptr::null()),
        len: Cell::new(0),
    },
    slabs: Vec::new(),
});

fn depot() -> std::sync::MutexGuard<'static, Depot> {
    DEPOT.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Magazine {
    #[inline]
    fn pop(&self) -> Option<NonNull<Record>> {
        let head = NonNull::new(self.head.get().cast_mut())?;
        // SAFETY: a free record in this magazine is ours.
        self.head.set(unsafe { head.as_ref() }.next.get());
        self.len.set(self.len.get() - 1);
        Some(head)
    }

    #[inline]
    fn push(&self, record: NonNull<Record>) {
        // SAFETY: the caller gives a free record of its own.
        unsafe { record.as_ref() }.next.set(self.head.get());
        self.head.set(record.as_ptr());
        self.len.set(self.len.get() + 1);
    }

    /// Takes a free record.
    #[inline]
    pub(crate) fn take(&self) -> NonNull<Record> {
        self.pop().unwrap_or_else(|| self.refill())
    }

    #[cold]
    fn refill(&self) -> NonNull<Record> {
        let mut depot = depot();
        if let Some(record) = depot.loose.pop() {
            return record;
        }
        let batch = match depot.batches.pop() {
            Some(batch) => batch,
            None => {
                depot.grow();
                depot.batches.pop().expect("a new slab has batches")
            }
        };
        self.head.set(batch.as_ptr());
        self.len.set(BATCH);
        self.pop().expect("a batch is not empty")
    }

    /// Gives a free record back.
    #[inline]
    pub(crate) fn give(&self, record: NonNull<Record>) {
        self.push(record);
        if self.len.get() >= MAGAZINE_MAX {
            self.spill();
        }
    }

    #[cold]
    fn spill(&self) {
        let first = self.pop().expect("more than a batch");
        let mut last = first;
        for _ in 1..BATCH {
            let next = self.pop().expect("more than a batch");
            // SAFETY: popped, so ours.
            unsafe { last.as_ref() }.next.set(next.as_ptr());
            last = next;
        }
        // SAFETY: as above.
        unsafe { last.as_ref() }.next.set(ptr::null());
        depot().batches.push(first);
    }
}

impl Drop for Magazine {
    fn drop(&mut self) {
        while let Some(record) = self.pop() {
            depot().loose.push(record);
        }
    }
}

impl Depot {
    fn grow(&mut self) {
        // Small first, then larger, so that few slabs hold a million.
        let records = (BATCH << self.slabs.len().min(9)).max(BATCH);
        let slab: Box<[Record]> = (0..records).map(|_| Record::empty()).collect();
        let slab = Box::leak(slab);
        for batch in slab.chunks(BATCH) {
            for pair in batch.windows(2) {
                pair[0].next.set(&raw const pair[1]);
            }
            self.batches.push(NonNull::from(&batch[0]));
        }
        self.slabs.push((NonNull::from(&slab[0]), records));
    }
}

/// Takes a record on a thread that has no magazine.
pub(crate) fn take_loose() -> NonNull<Record> {
    let mut depot = depot();
    loop {
        if let Some(record) = depot.loose.pop() {
            return record;
        }
        match depot.batches.pop() {
            Some(batch) => {
                depot.loose.head.set(batch.as_ptr());
                depot.loose.len.set(BATCH);
            }
            None => depot.grow(),
        }
    }
}

/// Gives a record back on a thread that has no magazine.
pub(crate) fn give_loose(record: NonNull<Record>) {
    depot().loose.push(record);
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// Takes `count` ids, which are never used again, and gives the first.
pub fn take_ids(count: u64) -> u64 {
    NEXT_ID.fetch_add(count, Ordering::Relaxed)
}

/// What was known of one living task at the moment it was looked at.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Never reused.
    pub id: u64,
    /// The name, if it has one.
    pub name: Option<Arc<str>>,
    /// The id of the task that spawned it; 0 if that was a thread unknown to the kernel.
    pub parent: u64,
    /// Where it was spawned.
    pub site: Option<&'static Location<'static>>,
    /// Whether it is a thread.
    pub thread: bool,
    /// Whether the program's end doesn't wait for it.
    pub daemon: bool,
    /// Whether it has run.
    pub started: bool,
    /// What it waits for.
    pub reason: Reason,
    /// The address of what it waits for.
    pub object: usize,
    /// Clock nanoseconds at which it was spawned; coarse.
    pub born_ns: u64,
}

impl std::fmt::Display for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.thread { "thread" } else { "coroutine" };
        match &self.name {
            Some(name) => write!(f, "{kind} '{name}' (id {}", self.id)?,
            None => write!(f, "{kind} {} (", self.id)?,
        }
        if self.name.is_some() {
            f.write_str(", ")?;
        }
        match self.site {
            Some(site) => write!(f, "spawned at {site}, ")?,
            None => f.write_str("spawned outside, ")?,
        }
        let state = if self.started {
            self.reason.as_str()
        } else {
            "not started"
        };
        write!(f, "{state})")
    }
}

/// Goes through all records, free ones too, from the one with the number `start`, as long as
/// `visit` says so. Later calls number them likewise.
pub(crate) fn for_each(start: usize, mut visit: impl FnMut(usize, &'static Record) -> bool) {
    let slabs = depot().slabs.clone();
    let mut number = 0;
    for (first, records) in slabs {
        for index in start.saturating_sub(number).min(records)..records {
            // SAFETY: slabs are never given back, and hold `records` records.
            let record = unsafe { first.add(index).as_ref() };
            if !visit(number + index, record) {
                return;
            }
        }
        number += records;
    }
}

/// Looks at every record that is alive and of `runtime` (of any, if null).
pub(crate) fn living(runtime: *const Shared) -> Vec<Snapshot> {
    let mut found = Vec::new();
    for_each(0, |_, record| {
        found.extend(snapshot(record, runtime));
        true
    });
    found.sort_by_key(|snapshot| snapshot.id);
    found
}

/// The tasks of a runtime that have not ended, with their ids.
pub(crate) fn of_runtime(runtime: *const Shared) -> Vec<(NonNull<Record>, u64)> {
    let slabs = depot().slabs.clone();
    let mut found = Vec::new();
    for (first, records) in slabs {
        for index in 0..records {
            // SAFETY: as in `living`.
            let record = unsafe { first.add(index) };
            // SAFETY: as above.
            if let Some(snapshot) = snapshot(unsafe { record.as_ref() }, runtime) {
                found.push((record, snapshot.id));
            }
        }
    }
    found
}

pub(crate) fn snapshot(record: &Record, runtime: *const Shared) -> Option<Snapshot> {
    let id = record.id.load(Ordering::Acquire);
    if id == 0 || record.life.load(Ordering::Acquire) & DONE != 0 {
        return None;
    }
    if !runtime.is_null() && !ptr::eq(record.runtime.load(Ordering::Relaxed), runtime) {
        return None;
    }
    let flags = record.flags.load(Ordering::Relaxed);
    let snapshot = Snapshot {
        id,
        name: record.name(),
        parent: record.parent.load(Ordering::Relaxed),
        site: record.site(),
        thread: flags & THREAD != 0,
        daemon: flags & DAEMON != 0,
        started: record.started.load(Ordering::Relaxed),
        reason: Reason::from_u8(record.reason.load(Ordering::Relaxed)),
        object: record.object.load(Ordering::Relaxed),
        born_ns: record.born_ns.load(Ordering::Relaxed),
    };
    (record.id.load(Ordering::Acquire) == id).then_some(snapshot)
}

/// The record of the task with this id, which may end at any moment.
pub(crate) fn find(id: u64) -> Option<NonNull<Record>> {
    let slabs = depot().slabs.clone();
    slabs.into_iter().find_map(|(first, records)| {
        (0..records)
            // SAFETY: as in `living`.
            .map(|index| unsafe { first.add(index) })
            // SAFETY: as above.
            .find(|record| unsafe { record.as_ref() }.id.load(Ordering::Acquire) == id)
    })
}

/// Has nobody wait any more for the end of a task that was left parked when its runtime stopped.
pub(crate) fn give_up(id: u64) {
    if let Some(record) = find(id) {
        // SAFETY: type-stable. The task never ends, so the record stays its own.
        let record = unsafe { record.as_ref() };
        record.set_flag(DAEMON);
        record.done.wake_all();
    }
}

/// Waits for the end of the task with this id, if it is alive and not given up.
pub(crate) fn wait_end(id: u64) {
    if let Some(record) = find(id) {
        // SAFETY: type-stable.
        unsafe { record.as_ref() }.wait_end(id);
    }
}

impl Record {
    fn wait_end(&self, id: u64) {
        loop {
            let guard = self.done.lock();
            // If it is still ours and not done, its runner will come by this queue, whose
            // lock we hold.
            let done = self.life.load(Ordering::SeqCst) & DONE != 0;
            if done || self.id.load(Ordering::SeqCst) != id || self.has(DAEMON) {
                return;
            }
            guard.wait(0, Reason::Join, ptr::from_ref(self) as usize, Limit::NONE);
        }
    }
}

/// Looks at every task of this process that the kernel started and that has not ended.
pub fn living_everywhere() -> Vec<Snapshot> {
    living(ptr::null())
}
