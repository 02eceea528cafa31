//! Starting a task and taking its outcome: the typed face of a `Record`.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::ptr::{self, NonNull};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};

use crate::cancel;
use crate::fork;
use crate::local;
use crate::outcome::JoinError;
use crate::record::{
    self, Behaviour, CALLBACKS, CANCELLED, DAEMON, DETACHED, DONE, LOCAL, LOCALS, NAMED, Named,
    PAYLOAD_BYTES, REF, Record, THREAD, UNDER,
};
use crate::scope::ScopeState;
use crate::wait::{AsyncWait, Limit, Outcome, Reason, WaitQueue, no_wait_in};
use crate::worker::Worker;

/// How a task is to be started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Its name, for dumps and panics.
    pub name: Option<Arc<str>>,
    /// Usable stack bytes; 0 for the runtime's default.
    pub stack_bytes: usize,
    /// Whether the program's end waits for it; `None` inherits the spawner's.
    pub daemon: Option<bool>,
    /// The worker it is to run on; `None` for whichever is free.
    pub worker: Option<u16>,
}

impl Options {
    /// Has it run on the worker with this index. No runtime has as many as a `u16` can count.
    pub fn on_worker(&mut self, index: usize) {
        self.worker = Some(u16::try_from(index).unwrap_or(u16::MAX));
    }
}

const _: () = assert!(
    size_of::<Options>() == 32,
    "it is handed on with every spawn"
);

/// What kind of task a record is made for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Stealable,
    Local,
    Thread,
}

struct Typed<F, T>(PhantomData<(F, T)>);

impl<F: FnOnce() -> T, T> Typed<F, T> {
    const BEHAVIOUR: Behaviour = Behaviour {
        run: Self::run,
        cancel: Self::cancel,
        drop_outcome: drop_outcome::<T>,
    };

    unsafe fn run(record: &Record) -> bool {
        if has_besides(record) && !begin_besides(record) {
            // SAFETY: the runner's.
            unsafe { Self::end_without(record, JoinError::Cancelled) };
            return true;
        }
        // SAFETY: the runner owns the payload, which is the closure until now.
        let closure: F = unsafe { take(record) };
        let mut outcome = catch_unwind(AssertUnwindSafe(closure))
            .map_err(|payload| JoinError::Panicked(payload.into()));
        if has_besides(record) {
            outcome = end_besides(record, outcome);
        }
        // SAFETY: as above; the closure was taken out.
        unsafe { put::<Result<T, JoinError>>(record, outcome) };
        true
    }

    unsafe fn cancel(record: &Record, error: JoinError) {
        // SAFETY: whoever took it from the queue owns the payload, still the closure.
        unsafe { Self::end_without(record, error) };
    }

    #[cold]
    unsafe fn end_without(record: &Record, error: JoinError) {
        // SAFETY: the caller owns the payload, still the closure.
        let closure: F = unsafe { take(record) };
        let error = match catch_unwind(AssertUnwindSafe(|| drop(closure))) {
            Ok(()) => error,
            Err(payload) => JoinError::Panicked(payload.into()),
        };
        let mut outcome = Err(error);
        if has_besides(record) {
            outcome = end_besides(record, outcome);
        }
        // SAFETY: as above.
        unsafe { put::<Result<T, JoinError>>(record, outcome) };
    }
}

/// Says whether the task has what few have: a token, a cancellation, values of its own.
#[inline]
pub(crate) fn has_besides(record: &Record) -> bool {
    record.has(CANCELLED | UNDER | LOCALS)
}

/// Begins a task that has; says whether it may begin, or is cancelled already.
#[cold]
pub(crate) fn begin_besides(record: &Record) -> bool {
    if cancel::refuses_start(record) {
        return false;
    }
    cancel::enter(record);
    true
}

/// Ends a task that has; on its own stack, as its values may wait when they are dropped.
#[cold]
pub(crate) fn end_besides<T>(
    record: &Record,
    outcome: Result<T, JoinError>,
) -> Result<T, JoinError> {
    let dropped = catch_unwind(AssertUnwindSafe(|| local::end(record)));
    cancel::exit(record);
    match dropped {
        Ok(()) => outcome,
        Err(payload) => {
            if let Err(late) = catch_unwind(AssertUnwindSafe(|| drop(outcome))) {
                std::mem::forget(late);
            }
            Err(JoinError::Panicked(payload.into()))
        }
    }
}

pub(crate) unsafe fn drop_outcome<T>(record: &Record) -> bool {
    // SAFETY: the caller owns the payload, which is the outcome.
    let outcome: Result<T, JoinError> = unsafe { take(record) };
    let panicked = matches!(outcome, Err(JoinError::Panicked(_)));
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(outcome))) {
        // A result or payload whose drop panics. The message has been printed; the new
        // payload might panic again.
        std::mem::forget(payload);
        return true;
    }
    panicked
}

pub(crate) const fn fits<X>() -> bool {
    size_of::<X>() <= PAYLOAD_BYTES && align_of::<X>() <= align_of::<u64>()
}

/// # Safety
///
/// The caller owns the payload, and nothing in it needs dropping.
pub(crate) unsafe fn put<X>(record: &Record, value: X) {
    let payload = record.payload();
    if const { fits::<X>() } {
        // SAFETY: it fits, and the place is ours.
        unsafe { payload.cast::<X>().write(value) };
    } else {
        // SAFETY: a box fits.
        unsafe { payload.cast::<Box<X>>().write(Box::new(value)) };
    }
}

/// # Safety
///
/// The caller owns the payload, it holds an `X` put there by `put`, and is not read again.
pub(crate) unsafe fn take<X>(record: &Record) -> X {
    let payload = record.payload();
    if const { fits::<X>() } {
        // SAFETY: by the contract above.
        unsafe { payload.cast::<X>().read() }
    } else {
        // SAFETY: by the contract above.
        *unsafe { payload.cast::<Box<X>>().read() }
    }
}

/// The value that `put` left in the record.
///
/// # Safety
///
/// The payload holds an `X` put there by `put`.
unsafe fn look<X>(record: &Record) -> *const X {
    let payload = record.payload();
    if const { fits::<X>() } {
        payload.cast::<X>()
    } else {
        // SAFETY: by the contract above.
        unsafe { &raw const **payload.cast::<Box<X>>() }
    }
}

/// Makes a record for `closure`, with one reference for its runner and one for a handle.
///
/// # Safety
///
/// What the closure and its value borrow outlives the task: it is `'static`, or held by
/// `scope`, or by a caller that waits for the end.
#[inline]
pub(crate) unsafe fn prepare<F, T>(
    worker: Option<&Worker>,
    role: Role,
    options: Options,
    scope: Option<&Arc<ScopeState>>,
    site: &'static Location<'static>,
    closure: F,
) -> NonNull<Record>
where
    F: FnOnce() -> T,
{
    // SAFETY: the caller's contract.
    let pointer = unsafe { prepare_with(worker, role, options, scope, site) };
    // SAFETY: just prepared.
    let record = unsafe { pointer.as_ref() };
    record.behaviour.set(Some(&Typed::<F, T>::BEHAVIOUR));
    // SAFETY: the record is ours, its payload empty.
    unsafe {
        put::<F>(record, closure);
        publish(worker, pointer);
    }
    pointer
}

/// Gives a prepared task its id. Last, and with Release: a reader that sees the id sees the
/// rest.
///
/// # Safety
///
/// The record was prepared, its behaviour is set and its payload in place.
#[inline]
pub(crate) unsafe fn publish(worker: Option<&Worker>, task: NonNull<Record>) {
    let id = match worker {
        Some(worker) => worker.take_id(),
        None => record::take_ids(1),
    };
    // SAFETY: just prepared.
    unsafe { task.as_ref() }.id.store(id, Ordering::Release);
}

/// As [`prepare`], but for behaviour, payload and id.
///
/// # Safety
///
/// As [`prepare`].
#[inline]
pub(crate) unsafe fn prepare_with(
    worker: Option<&Worker>,
    role: Role,
    options: Options,
    scope: Option<&Arc<ScopeState>>,
    site: &'static Location<'static>,
) -> NonNull<Record> {
    let (pointer, parent) = match worker {
        Some(worker) => (worker.magazine().take(), worker.current_record()),
        // Perhaps a coroutine of another runtime.
        None => {
            let parent = Worker::current().and_then(Worker::current_record);
            (record::take_loose(), parent)
        }
    };
    // SAFETY: a free record of our own.
    let record = unsafe { pointer.as_ref() };
    let (parent_id, inherited) = match parent {
        Some(parent) => (parent.id(), parent.has(DAEMON)),
        None => identity::inherited(),
    };
    let mut flags = match role {
        Role::Stealable => 0,
        Role::Local => LOCAL,
        Role::Thread => THREAD,
    };
    if options.daemon.unwrap_or(inherited) {
        flags |= DAEMON;
    }
    record.flags.store(flags, Ordering::Relaxed);
    record.life.store(2 * REF, Ordering::Relaxed);
    record.started.store(false, Ordering::Relaxed);
    record.note(Reason::None, 0);
    record.next.set(ptr::null());
    record.wait.set(Named::NONE);
    record.home.store(ptr::null_mut(), Ordering::Relaxed);
    record.runtime.store(ptr::null_mut(), Ordering::Relaxed);
    record.set_host(ptr::null_mut());
    record.parent.store(parent_id, Ordering::Relaxed);
    record
        .site
        .store(ptr::from_ref(site).cast_mut(), Ordering::Relaxed);
    record.stack_bytes.set(options.stack_bytes);
    if options.name.is_some() {
        record.set_name(options.name);
    }
    match scope {
        None => record.scope.set(ptr::null()),
        Some(scope) => {
            scope.enter();
            record.scope.set(Arc::into_raw(Arc::clone(scope)));
        }
    }
    cancel::inherit(record, parent);
    pointer
}

/// Ends a task whose outcome is in place, and drops the runner's reference. `ended` is
/// called when the last of the task's own code has run.
///
/// # Safety
///
/// The caller is the record's runner, and does not use it again.
#[inline]
pub(crate) unsafe fn complete(pointer: NonNull<Record>, ended: impl FnOnce()) {
    // SAFETY: the runner's reference keeps it; and after that, see `wake_joiners`.
    let record = unsafe { pointer.as_ref() };
    let mut life = record.life.load(Ordering::Acquire);
    if life & CALLBACKS != 0 {
        life = call_back(record);
    }
    let detached = life & DETACHED != 0;
    if detached {
        // SAFETY: the handle is gone, so the outcome is ours. Its drop may wait.
        unsafe { discard_outcome(record) };
    }
    ended();
    let scoped = !record.scope.get().is_null();
    if detached || scoped {
        // SAFETY: the caller's contract.
        unsafe { complete_slow(pointer, detached) };
        return;
    }
    // Nobody counts it: publish the end and let go in one step.
    while life & (DETACHED | CALLBACKS) == 0 {
        let next = (life | DONE) - REF;
        match record
            .life
            .compare_exchange_weak(life, next, Ordering::SeqCst, Ordering::Acquire)
        {
            Ok(_) => return wake_joiners(record),
            Err(seen) => life = seen,
        }
    }
    // SAFETY: the caller's contract.
    unsafe { complete_slow(pointer, false) };
}

/// The end of a task that is counted by a scope or whose handle is gone.
///
/// # Safety
///
/// As [`complete`]; `discarded` says whether the outcome is gone.
#[cold]
unsafe fn complete_slow(pointer: NonNull<Record>, discarded: bool) {
    // SAFETY: the runner's reference keeps it.
    let record = unsafe { pointer.as_ref() };
    let mut life = record.life.load(Ordering::Acquire);
    loop {
        if life & CALLBACKS != 0 {
            life = call_back(record);
        }
        let done = record.life.compare_exchange_weak(
            life,
            life | DONE,
            Ordering::SeqCst,
            Ordering::Acquire,
        );
        match done {
            Ok(_) => break,
            Err(seen) => life = seen,
        }
    }
    if life & DETACHED != 0 && !discarded {
        // Detached between the task's last code and here: the worker's own code runs this
        // drop, so a wait in it would block the thread. Rare, and short.
        // SAFETY: the handle went before DONE was set, so the outcome is ours.
        unsafe { discard_outcome(record) };
    }
    wake_joiners(record);
    let scope = record.scope.get();
    if !scope.is_null() {
        // SAFETY: the record's own reference keeps the state.
        unsafe { (*scope).leave() };
    }
    // SAFETY: the runner's reference is given up here.
    unsafe { release(pointer) };
}

/// Calls what is to be called before the end is published; gives `life` as it is then.
#[cold]
fn call_back(record: &Record) -> u32 {
    let mut life = record.life.load(Ordering::Acquire);
    while life & CALLBACKS != 0 {
        let callbacks = {
            let extra = record.extra();
            let mut callbacks = extra
                .callbacks
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            // Under the lock: what is added later sets it again.
            record.life.fetch_and(!CALLBACKS, Ordering::SeqCst);
            std::mem::take(&mut callbacks.list)
        };
        for callback in callbacks {
            contained(|| callback(record));
        }
        if record.has(LOCALS) {
            contained(|| local::end(record));
        }
        life = record.life.load(Ordering::Acquire);
    }
    life
}

/// Runs a callback: it may not wait, and its panic ends with it.
fn contained(callback: impl FnOnce()) {
    let callback = AssertUnwindSafe(|| no_wait_in("an `on_done` callback", callback));
    if let Err(payload) = catch_unwind(callback) {
        // The hook has told of it; its drop may panic too.
        std::mem::forget(payload);
    }
}

/// Wakes who waits for the end, after DONE was published (`SeqCst`).
///
/// The record may be another task's by now: then that one's joiners, if there are any, are
/// woken for nothing and wait again. Its memory is a record's for ever, and the queue is
/// never made anew.
#[inline]
fn wake_joiners(record: &Record) {
    if !record.done.is_empty() {
        record.done.wake_all_later();
    }
}

/// # Safety
///
/// The outcome is in place, and the caller's.
unsafe fn discard_outcome(record: &Record) {
    let behaviour = record
        .behaviour
        .get()
        .expect("a live record has a behaviour");
    // SAFETY: by the contract above.
    let mut panicked = unsafe { (behaviour.drop_outcome)(record) };
    if record.has(LOCALS) {
        // The drop made some, on the task's own stack: elsewhere they were its dropper's.
        panicked |= end_besides(record, Ok(())).is_err();
    }
    if panicked && !record.scope.get().is_null() {
        // SAFETY: the record's own reference keeps the state.
        unsafe { (*record.scope.get()).note_panic() };
    }
}

/// Gives up one reference.
///
/// # Safety
///
/// The caller has one, and does not use it again.
#[inline]
pub(crate) unsafe fn release(pointer: NonNull<Record>) {
    // SAFETY: the caller's reference keeps it.
    let record = unsafe { pointer.as_ref() };
    // Alone? Then nobody can take another reference, and the count needs no update.
    let alone = record.life.load(Ordering::Acquire) & !(REF - 1) == REF;
    if alone || record.life.fetch_sub(REF, Ordering::AcqRel) & !(REF - 1) == REF {
        // SAFETY: it was the last.
        unsafe { free(pointer) };
    }
}

/// # Safety
///
/// No reference is left, and the outcome is gone.
#[inline]
unsafe fn free(pointer: NonNull<Record>) {
    // SAFETY: the last owner.
    let record = unsafe { pointer.as_ref() };
    record.id.store(0, Ordering::Release);
    #[cfg(feature = "tracing")]
    crate::trace::forget(record);
    let scope = record.scope.replace(ptr::null());
    if !scope.is_null() {
        // SAFETY: the record's own reference, from `prepare`.
        drop(unsafe { Arc::from_raw(scope) });
    }
    if record.has(NAMED) {
        record.set_name(None);
    }
    if record.has(UNDER | THREAD) {
        // A task that never ran still stands where it was put.
        cancel::exit(record);
        record.extra().set_slot(None);
    }
    match Worker::current() {
        Some(worker) => worker.magazine().give(pointer),
        None => record::give_loose(pointer),
    }
}

/// The right to a task's outcome; dropping it detaches the task.
pub struct Handle<T> {
    record: NonNull<Record>,
    asynchronous: AsyncWait,
    /// Whether the outcome was taken, by a poll that was ready.
    taken: bool,
    marker: PhantomData<T>,
}

// SAFETY: the outcome is `T` or a payload that is `Send`; all else is the record's, which
// is shared by design. A `T` that isn't `Send` keeps the handle on its worker.
unsafe impl<T: Send> Send for Handle<T> {}
// SAFETY: `&Handle` reads atomics only.
unsafe impl<T: Send> Sync for Handle<T> {}

impl<T> Handle<T> {
    /// # Safety
    ///
    /// The record was prepared for a closure giving `T`, and its handle's reference is
    /// the caller's to give.
    #[inline]
    pub(crate) unsafe fn new(record: NonNull<Record>) -> Handle<T> {
        Handle {
            record,
            asynchronous: AsyncWait::new(),
            taken: false,
            marker: PhantomData,
        }
    }

    #[inline]
    pub(crate) fn record(&self) -> &Record {
        // SAFETY: the handle's reference keeps it.
        unsafe { self.record.as_ref() }
    }

    /// The task's id.
    pub fn id(&self) -> u64 {
        self.record().id()
    }

    /// A reference to the task that doesn't own its outcome.
    pub fn task(&self) -> Task {
        Task::of(self.record())
    }

    /// Says whether the task has ended.
    #[inline]
    pub fn is_finished(&self) -> bool {
        self.record().life.load(Ordering::Acquire) & DONE != 0
    }

    /// Waits for the end, as long as `limit` allows. [`Outcome::Woken`] says that it came.
    ///
    /// # Panics
    ///
    /// In the task itself, which would wait for ever.
    #[inline]
    pub fn wait(&self, limit: Limit) -> Outcome {
        let record = self.record();
        loop {
            if self.is_finished() {
                return Outcome::Woken;
            }
            let guard = record.done.lock();
            if record.life.load(Ordering::SeqCst) & DONE != 0 {
                return Outcome::Woken;
            }
            if identity::is(record) {
                drop(guard);
                panic!("a task can't join itself: it would wait for ever");
            }
            let object = self.record.as_ptr() as usize;
            let outcome = guard.wait(0, Reason::Join, object, limit);
            if outcome != Outcome::Woken {
                return if self.is_finished() {
                    Outcome::Woken
                } else {
                    outcome
                };
            }
        }
    }

    /// Waits for the end and takes the outcome; a cancellation point.
    #[inline]
    pub fn join(self) -> Result<T, JoinError> {
        self.check_end_can_come();
        match self.wait(Limit::cancellable(None)) {
            Outcome::Woken => self.into_outcome(),
            _ => Err(JoinError::WaitCancelled),
        }
    }

    /// As [`join`](Self::join), but not a cancellation point.
    #[inline]
    pub fn join_uncancelled(self) -> Result<T, JoinError> {
        self.check_end_can_come();
        self.wait(Limit::NONE);
        self.into_outcome()
    }

    /// Panics in a forked child: who was to run the task is not there.
    #[inline]
    fn check_end_can_come(&self) {
        if !self.is_finished() {
            fork::refuse();
        }
    }

    /// Cancels the task: see [`cancel`](mod@crate::cancel).
    pub fn cancel(&self) {
        cancel::cancel_task(self.record, self.id());
    }

    /// Calls `callback` with the outcome when the task has ended, before joiners see it; at
    /// once if it has ended already. On the thread that ends the task, or the caller's, or, if
    /// several call this at once after the end, on one of theirs.
    ///
    /// # Panics
    ///
    /// If the outcome was taken. A panic of the callback is contained.
    pub fn on_done<F>(&self, callback: F)
    where
        F: FnOnce(&Result<T, JoinError>) + Send + 'static,
    {
        assert!(!self.taken, "the outcome was taken from this handle");
        let call = move |record: &Record| {
            // SAFETY: called between the outcome's being put in place and its being taken:
            // by the runner before DONE, or by the handle that would take it.
            let outcome = unsafe { look::<Result<T, JoinError>>(record) };
            // SAFETY: not read again.
            callback(unsafe { &*outcome });
        };
        let record = self.record();
        let extra = record.extra();
        let mut callbacks = extra
            .callbacks
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let call: Box<dyn FnOnce(&Record) + Send + '_> = Box::new(call);
        // SAFETY: only the lifetime of `T` is forgotten. The callback is called, or dropped,
        // before the outcome of type `T` is.
        let call: Box<dyn FnOnce(&Record) + Send + 'static> = unsafe { std::mem::transmute(call) };
        callbacks.list.push(call);
        if record.life.fetch_or(CALLBACKS, Ordering::SeqCst) & DONE == 0 || callbacks.being_called {
            return;
        }
        // It has ended: nobody else calls them, until we say that we are through.
        callbacks.being_called = true;
        while !callbacks.list.is_empty() {
            let list = std::mem::take(&mut callbacks.list);
            drop(callbacks);
            for callback in list {
                contained(|| callback(record));
            }
            callbacks = extra
                .callbacks
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
        }
        callbacks.being_called = false;
    }

    /// The queue of those who wait for the end, and whether it has come: for waits in
    /// several queues.
    #[doc(hidden)]
    pub fn done_queue(&self) -> &WaitQueue {
        &self.record().done
    }

    /// Says, under the lock of [`done_queue`](Self::done_queue), whether the task has ended.
    #[doc(hidden)]
    pub fn is_done_now(&self) -> bool {
        self.record().life.load(Ordering::SeqCst) & DONE != 0
    }

    /// Takes the outcome of a task that has ended, once.
    ///
    /// # Panics
    ///
    /// If it has not ended, or the outcome was taken.
    #[doc(hidden)]
    pub fn take_outcome(&mut self) -> Result<T, JoinError> {
        assert!(self.is_finished(), "the task has not ended");
        // SAFETY: it has.
        unsafe { self.consume() }
    }

    /// Takes the outcome if the task has ended, else gives the handle back.
    pub fn try_join(self) -> Result<Result<T, JoinError>, Self> {
        if self.is_finished() {
            Ok(self.into_outcome())
        } else {
            Err(self)
        }
    }

    #[inline]
    fn into_outcome(self) -> Result<T, JoinError> {
        debug_assert!(self.is_finished());
        assert!(!self.taken, "a join handle was used for its value twice");
        // Not by way of `drop`, which has more to ask.
        let mut this = ManuallyDrop::new(self);
        // SAFETY: our reference keeps it, until it is released below.
        let record = unsafe { this.record.as_ref() };
        this.asynchronous.leave(&record.done);
        // SAFETY: neither used nor dropped again.
        unsafe { ptr::drop_in_place(&raw mut this.asynchronous) };
        // SAFETY: the task has ended, its handle was here, and takes the outcome once.
        let outcome = unsafe { take::<Result<T, JoinError>>(record) };
        // SAFETY: the handle's reference.
        unsafe { release(this.record) };
        outcome
    }

    /// Polls for the outcome; ready once only.
    ///
    /// # Panics
    ///
    /// If it was ready before.
    pub fn poll(&mut self, context: &Context<'_>) -> Poll<Result<T, JoinError>> {
        assert!(!self.taken, "a join handle was polled after it was ready");
        if !self.is_finished() {
            self.asynchronous.prepare(context);
            // SAFETY: our reference keeps the record.
            let record = unsafe { self.record.as_ref() };
            let guard = record.done.lock();
            if record.life.load(Ordering::SeqCst) & DONE == 0 {
                // SAFETY: `consume` and `drop` leave the queue before letting go of the
                // record.
                unsafe { self.asynchronous.join(guard) };
                return Poll::Pending;
            }
        }
        // SAFETY: as in `into_outcome`.
        Poll::Ready(unsafe { self.consume() })
    }

    /// # Safety
    ///
    /// The task has ended.
    unsafe fn consume(&mut self) -> Result<T, JoinError> {
        assert!(!self.taken, "a join handle was used for its value twice");
        self.taken = true;
        // SAFETY: our reference keeps it, until the handle is dropped.
        let record = unsafe { self.record.as_ref() };
        self.asynchronous.leave(&record.done);
        // SAFETY: the task has ended, its handle was here, and takes the outcome once.
        unsafe { take::<Result<T, JoinError>>(record) }
    }
}

impl<T> Drop for Handle<T> {
    fn drop(&mut self) {
        // SAFETY: our reference keeps it.
        let record = unsafe { self.record.as_ref() };
        self.asynchronous.leave(&record.done);
        if self.taken {
            // The task has ended, and its outcome is gone.
        } else if record.life.fetch_or(DETACHED, Ordering::AcqRel) & DONE != 0 {
            // SAFETY: ended before we detached, so the outcome is ours.
            unsafe { discard_outcome(record) };
        }
        // SAFETY: the handle's reference.
        unsafe { release(self.record) };
    }
}

/// A task as others may refer to it: its id, and its name while it lives.
#[derive(Clone, Debug)]
pub struct Task {
    record: Option<NonNull<Record>>,
    id: u64,
    name: Option<Arc<str>>,
    thread: bool,
}

// SAFETY: records are type-stable and shared; the id is checked at each use.
unsafe impl Send for Task {}
// SAFETY: as above.
unsafe impl Sync for Task {}

impl Task {
    fn of(record: &Record) -> Task {
        Task {
            record: Some(NonNull::from(record)),
            id: record.id(),
            name: record.name(),
            thread: record.has(THREAD),
        }
    }

    /// The calling task. A thread that the kernel did not start gets an id when it first
    /// asks, and the name that std knows.
    pub fn current() -> Task {
        if let Some(record) = Worker::current().and_then(Worker::current_record) {
            return Task::of(record);
        }
        identity::current()
    }

    /// Never reused in this process.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Says whether this is a thread.
    pub fn is_thread(&self) -> bool {
        self.thread
    }

    /// Says whether the task hasn't ended. A thread that the kernel did not start counts
    /// as alive.
    pub fn is_alive(&self) -> bool {
        match self.record {
            // SAFETY: type-stable.
            Some(record) => record::snapshot(unsafe { record.as_ref() }, ptr::null())
                .is_some_and(|snapshot| snapshot.id == self.id),
            None => true,
        }
    }

    /// The name: of now if the task is alive, else the one it had when this was made.
    pub fn name(&self) -> Option<Arc<str>> {
        if let Some(record) = self.record {
            // SAFETY: type-stable.
            let snapshot = record::snapshot(unsafe { record.as_ref() }, ptr::null());
            if let Some(snapshot) = snapshot.filter(|snapshot| snapshot.id == self.id) {
                return snapshot.name;
            }
        }
        self.name.clone()
    }

    /// Says whether the program's end doesn't wait for it.
    pub fn is_daemon(&self) -> bool {
        match self.record {
            // SAFETY: type-stable.
            Some(record) => record::snapshot(unsafe { record.as_ref() }, ptr::null())
                .is_some_and(|snapshot| snapshot.id == self.id && snapshot.daemon),
            None => false,
        }
    }

    /// Changes the name of a living task; does nothing once it has ended.
    pub fn set_name(&mut self, name: Option<Arc<str>>) {
        if let Some(record) = self.record {
            // SAFETY: type-stable.
            unsafe { record.as_ref() }.rename(self.id, name.clone());
        }
        self.name = name;
    }
}

/// Who plain threads are.
pub(crate) mod identity {
    use std::cell::Cell;
    use std::ptr::{self, NonNull};
    use std::sync::atomic::Ordering;

    use super::Task;
    use crate::clock;
    use crate::record::{DAEMON, Record, take_ids};
    use crate::wait::Reason;

    thread_local! {
        /// The record of a thread that the kernel started; null elsewhere.
        static RECORD: Cell<*const Record> = const { Cell::new(ptr::null()) };
        /// The id of a thread that it did not start; 0 until asked for.
        static FOREIGN_ID: Cell<u64> = const { Cell::new(0) };
    }

    /// Says which record the calling thread runs, for as long as `f` does.
    pub(crate) fn with_record<R>(record: &Record, f: impl FnOnce() -> R) -> R {
        RECORD.set(record);
        let result = f();
        RECORD.set(ptr::null());
        result
    }

    /// Says whether `record` is the calling task's.
    pub(crate) fn is(task: &Record) -> bool {
        let current = match crate::worker::Worker::current() {
            Some(worker) => worker.current_record(),
            None => record(),
        };
        current.is_some_and(|current| ptr::eq(current, task))
    }

    /// The calling thread's id.
    pub(crate) fn current_id() -> u64 {
        if let Some(record) = record() {
            return record.id();
        }
        if FOREIGN_ID.get() == 0 {
            FOREIGN_ID.set(take_ids(1));
        }
        FOREIGN_ID.get()
    }

    fn record() -> Option<&'static Record> {
        // SAFETY: set by `with_record` for as long as the record lives.
        unsafe { RECORD.get().as_ref() }
    }

    /// Notes what the calling thread waits for, if the kernel started it.
    pub(crate) fn note_wait(reason: Reason, object: usize) {
        if let Some(record) = record() {
            record.since_ns.store(clock::now_ns(), Ordering::Relaxed);
            record.note(reason, object);
        }
    }

    /// The parent id and daemon flag that a task spawned here inherits.
    pub(crate) fn inherited() -> (u64, bool) {
        match record() {
            Some(record) => (record.id(), record.has(DAEMON)),
            None => (FOREIGN_ID.get(), false),
        }
    }

    pub(super) fn current() -> Task {
        if let Some(record) = record() {
            return Task::of(record);
        }
        if FOREIGN_ID.get() == 0 {
            FOREIGN_ID.set(take_ids(1));
        }
        let name = std::thread::current().name().map(Into::into);
        Task {
            record: None::<NonNull<Record>>,
            id: FOREIGN_ID.get(),
            name,
            thread: true,
        }
    }
}
