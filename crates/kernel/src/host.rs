//! A host: one stack with a loop at its base that runs one task after another.
//!
//! Making a coroutine anew for each task would cost more than most short tasks do. A host
//! is entered once; when its task ends it takes the next fresh one that its worker
//! offers, without any switch, or suspends into the worker's pool of idle hosts. A task
//! that waits keeps its host until it ends.
//!
//! The host's own record lies in the header of its stack, so that a sleeping coroutine
//! costs its task record and one page.

use std::cell::{Cell, UnsafeCell};
use std::fmt::Write as _;
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::record::Record;
use crate::stack::overflow::Message;
use crate::stack::{self, Stack, StackPool};
use crate::switch::{Switch, Yielder, suspend};
use crate::task::complete;
use crate::worker::{Worker, WorkerShared};

/// What each switch touches comes first: it lies in one cache line.
#[repr(C)]
pub(crate) struct Host {
    switch: UnsafeCell<MaybeUninit<Switch>>,
    yielder: Cell<*const Yielder>,
    /// The task it runs or is to run; none while it is idle, and null then asks it to return.
    /// Its worker's, like `owner`: others look, at addresses that stay a host's for ever, but
    /// believe what they see only if it is themselves.
    task: AtomicPtr<Record>,
    /// The worker that made it; null once its stack is given back.
    owner: AtomicPtr<WorkerShared>,
    /// The link of the pool of idle hosts.
    next: Cell<*mut Host>,
    /// See [`turn_id`](Self::turn_id); 0 until it is asked for.
    turn_id: Cell<u64>,
    /// Usable bytes of its stack: the pool it belongs to.
    stack_bytes: usize,
}

const _: () = assert!(size_of::<Host>() <= Stack::HEADER_BYTES);
const _: () = assert!(align_of::<Host>() <= 64);

impl Host {
    /// Puts a host into the header of `stack`.
    fn create(stack: Stack, owner: *const WorkerShared) -> NonNull<Host> {
        let stack_bytes = stack.usable_bytes();
        let pointer = NonNull::new(stack.header_ptr().cast::<Host>()).expect("a mapped stack");
        let this = pointer.as_ptr();
        // SAFETY: the header is ours, large and aligned enough (asserted above), and
        // stays mapped as long as the stack is owned, which the switch does. What others look at
        // at any time is written as they read it; whatever lies there is an atomic's value.
        unsafe {
            (*this).task.store(ptr::null_mut(), Ordering::Relaxed);
            (*this).owner.store(owner.cast_mut(), Ordering::Relaxed);
            (&raw mut (*this).yielder).write(Cell::new(ptr::null()));
            (&raw mut (*this).next).write(Cell::new(ptr::null_mut()));
            (&raw mut (*this).turn_id).write(Cell::new(0));
            (&raw mut (*this).stack_bytes).write(stack_bytes);
        }
        // SAFETY: just written.
        let host: &'static Host = unsafe { pointer.as_ref() };
        let switch = Switch::new(stack, move |yielder| host.serve(yielder));
        // SAFETY: nobody else looks at it yet.
        unsafe { (*host.switch.get()).write(switch) };
        pointer
    }

    /// The loop at the base of the stack.
    fn serve(&self, yielder: &Yielder) {
        self.yielder.set(yielder);
        while let Some(mut task) = NonNull::new(self.task.load(Ordering::Relaxed)) {
            let worker = Worker::current().expect("a host runs on its worker");
            loop {
                // SAFETY: a queue's reference to the task came with it.
                let record = unsafe { task.as_ref() };
                let behaviour = record
                    .behaviour
                    .get()
                    .expect("a live record has a behaviour");
                // SAFETY: this host is the task's runner, and runs it once.
                if unsafe { (behaviour.run)(record) } {
                    // SAFETY: as above, and not used again.
                    unsafe { complete(task, || worker.note_completed()) };
                } else {
                    worker.note_paused();
                }
                match worker.offer_fresh(self.stack_bytes) {
                    Some(next) => {
                        self.assign(next);
                        worker.begin(next, self);
                        task = next;
                    }
                    None => break,
                }
            }
            self.task.store(ptr::null_mut(), Ordering::Relaxed);
            worker.hosts().put(NonNull::from(self));
            self.suspend();
        }
    }

    pub(crate) fn assign(&self, task: NonNull<Record>) {
        self.task.store(task.as_ptr(), Ordering::Relaxed);
        self.turn_id.set(0);
    }

    /// The id of the task that runs here, from when it got this stack until it leaves it.
    #[inline]
    pub(crate) fn turn_id(&self, take_id: impl FnOnce() -> u64) -> u64 {
        if self.turn_id.get() == 0 {
            self.turn_id.set(take_id());
        }
        self.turn_id.get()
    }

    /// Says whether `owner`, the caller, has this host, and runs `task` on it.
    ///
    /// Only an owner writes its own name here, and takes it away itself: who reads it reads
    /// no older value, and nobody else changes `task` meanwhile.
    pub(crate) fn is_running(&self, task: &Record, owner: *const WorkerShared) -> bool {
        ptr::eq(self.owner.load(Ordering::Relaxed), owner)
            && ptr::eq(self.task.load(Ordering::Relaxed), task)
    }

    /// Where the frames on its stack end, below, and begin, above.
    pub(crate) fn bounds(&self) -> (usize, usize) {
        let header = ptr::from_ref(self) as usize;
        (stack::limit_of(header, self.stack_bytes), header)
    }

    /// How much of its stack has ever been used.
    pub(crate) fn touched_bytes(&self) -> usize {
        stack::touched_bytes_of(ptr::from_ref(self) as usize, self.stack_bytes)
    }

    /// Enters the stack; comes back when its task waits or has ended.
    ///
    /// # Safety
    ///
    /// On the worker that made it, outside any coroutine.
    #[inline]
    pub(crate) unsafe fn resume(&self) -> bool {
        // SAFETY: written by `create`. One worker, not re-entered: a host never resumes
        // itself, and the worker's loop runs on its own stack.
        unsafe { (*self.switch.get()).assume_init_mut() }.resume()
    }

    /// Leaves the stack, back to the worker's loop.
    #[inline]
    pub(crate) fn suspend(&self) {
        // SAFETY: set when the host was first entered; lives at the base of the stack.
        suspend(unsafe { &*self.yielder.get() });
    }

    /// Writes which task runs on the stack with this header: for the overflow report, in a
    /// signal handler. Allocates nothing and takes no lock that the stack's own thread
    /// could hold: only the name has one, and is left out when it is taken.
    pub(crate) fn describe(header: *const u8, out: &mut Message) {
        // SAFETY: a header of a stack that is in use is a host's, and the fault was on it.
        let host = unsafe { &*header.cast::<Host>() };
        // SAFETY: records are type-stable; a host that runs has one.
        let Some(record) = (unsafe { host.task.load(Ordering::Relaxed).as_ref() }) else {
            let _ = out.write_str("a coroutine");
            return;
        };
        let _ = out.write_str("coroutine ");
        if let Some(extra) = record.known_extra()
            && let Ok(name) = extra.name.try_lock()
            && let Some(name) = name.as_deref()
        {
            let _ = write!(out, "'{name}' ");
        }
        let _ = write!(out, "(id {}", record.id());
        if let Some(site) = record.site() {
            let _ = write!(out, ", spawned at {site}");
        }
        let _ = out.write_str(")");
    }

    /// Lets an idle host's loop return, and takes its stack back.
    ///
    /// # Safety
    ///
    /// As [`resume`](Self::resume); the host is idle and in no pool.
    unsafe fn retire(host: NonNull<Host>) -> Stack {
        // SAFETY: alive until its stack is taken.
        let this = unsafe { host.as_ref() };
        this.task.store(ptr::null_mut(), Ordering::Relaxed);
        this.owner.store(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: by the contract above.
        let returned = unsafe { this.resume() };
        assert!(returned, "an idle host that is told to return does so");
        // SAFETY: written by `create`, read once, and the host is not used again.
        unsafe { (*this.switch.get()).assume_init_read() }.into_stack()
    }
}

/// The idle hosts of one worker, by stack size, last in first out.
pub(crate) struct HostPool {
    stacks: StackPool,
    default_bytes: usize,
    owner: *const WorkerShared,
    idle: Cell<*mut Host>,
    idle_len: Cell<usize>,
    /// Hosts with other than the default size.
    odd: UnsafeCell<Vec<NonNull<Host>>>,
}

/// How many idle hosts a worker keeps ready.
const IDLE_MAX: usize = 64;

impl HostPool {
    pub(crate) fn new(
        stacks: StackPool,
        default_bytes: usize,
        owner: *const WorkerShared,
    ) -> HostPool {
        HostPool {
            stacks,
            default_bytes,
            owner,
            idle: Cell::new(ptr::null_mut()),
            idle_len: Cell::new(0),
            odd: UnsafeCell::new(Vec::new()),
        }
    }

    /// A host with at least `bytes` of usable stack; 0 means the default.
    #[inline]
    pub(crate) fn take(&self, bytes: usize) -> std::io::Result<NonNull<Host>> {
        if bytes == 0
            && let Some(host) = NonNull::new(self.idle.get())
        {
            // SAFETY: an idle host in the pool is ours.
            self.idle.set(unsafe { host.as_ref() }.next.get());
            self.idle_len.set(self.idle_len.get() - 1);
            return Ok(host);
        }
        self.take_slow(bytes)
    }

    #[cold]
    fn take_slow(&self, bytes: usize) -> std::io::Result<NonNull<Host>> {
        let bytes = if bytes == 0 {
            self.default_bytes
        } else {
            bytes
        };
        // SAFETY: one worker, and nothing below calls back.
        let odd = unsafe { &mut *self.odd.get() };
        let fitting = odd.iter().rposition(|host| {
            // SAFETY: idle hosts in the pool are ours.
            let has = unsafe { host.as_ref() }.stack_bytes;
            has >= bytes && has / 2 < bytes
        });
        match fitting {
            Some(index) => Ok(odd.swap_remove(index)),
            None => Ok(Host::create(self.stacks.take(bytes)?, self.owner)),
        }
    }

    /// Says whether a host with this much stack can run a task that asks for `bytes`.
    pub(crate) fn suits(&self, stack_bytes: usize, bytes: usize) -> bool {
        bytes == 0 && stack_bytes == self.default_bytes
    }

    fn put(&self, host: NonNull<Host>) {
        // SAFETY: about to be idle, so the pool's.
        let this = unsafe { host.as_ref() };
        if this.stack_bytes == self.default_bytes {
            this.next.set(self.idle.get());
            self.idle.set(host.as_ptr());
            self.idle_len.set(self.idle_len.get() + 1);
        } else {
            // SAFETY: one worker, and nothing here calls back.
            unsafe { &mut *self.odd.get() }.push(host);
        }
    }

    /// Retires the hosts above the watermark. Called by the worker's loop.
    #[inline]
    pub(crate) fn trim(&self) {
        if self.idle_len.get() > IDLE_MAX {
            self.trim_to(IDLE_MAX);
        }
    }

    #[cold]
    fn trim_to(&self, keep: usize) {
        while self.idle_len.get() > keep {
            let Ok(host) = self.take(0) else { return };
            // SAFETY: taken from the pool by the worker's loop, outside any coroutine.
            self.stacks.give(unsafe { Host::retire(host) });
        }
    }

    /// Retires all hosts. Called by the worker's loop at its end.
    pub(crate) fn clear(&self) {
        self.trim_to(0);
        // SAFETY: as in `put`.
        let odd = std::mem::take(unsafe { &mut *self.odd.get() });
        for host in odd {
            // SAFETY: as in `trim_to`.
            self.stacks.give(unsafe { Host::retire(host) });
        }
        self.stacks.trim();
    }
}
