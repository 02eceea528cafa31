//! How tasks come into a runtime: from its own coroutines, from outside, onto one worker.

use std::panic::Location;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::{io, thread};

use super::{Runtime, Shared, THREADS_BEGUN, end_unstarted};
use crate::places::Places;
use crate::record::{HANDED_IN, LOCAL, Record};
use crate::scope::ScopeState;
use crate::task::{Handle, Options, Role};
use crate::worker::{Fresh, Worker};
use crate::{cancel, clock, fork, task};

impl Shared {
    /// Waits for a place for one more task, if there is a limit.
    #[inline]
    pub(crate) fn admit(&self) {
        if let Some(places) = &self.places {
            places.take(|| self.is_stopping());
        }
    }

    /// Takes a place for one more task, if one is free.
    fn try_admit(&self) -> bool {
        self.places.as_ref().is_none_or(Places::try_take)
    }

    /// Lets those go on who wait for a place: none will come free.
    pub(super) fn open_places(&self) {
        if let Some(places) = &self.places {
            places.open();
        }
    }

    #[cold]
    pub(crate) fn give_place(&self) {
        if let Some(places) = &self.places {
            places.give();
        }
    }

    /// Says whether there is such a worker as the options ask for.
    fn check_worker(&self, options: &Options) -> io::Result<()> {
        match options.worker {
            Some(index) if usize::from(index) >= self.workers.len() => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "there is no such worker: the runtime has {}, from 0 on",
                    self.workers.len()
                ),
            )),
            _ => Ok(()),
        }
    }

    /// Starts a task that has its place, and is announced if it comes from outside, on a worker
    /// that there is.
    ///
    /// # Safety
    ///
    /// What the closure and its value borrow outlives the task.
    unsafe fn start<F, T>(
        self: &Arc<Self>,
        options: Options,
        scope: Option<&Arc<ScopeState>>,
        site: &'static Location<'static>,
        closure: F,
    ) -> Handle<T>
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        let pinned = options.worker.map(usize::from);
        let worker =
            Worker::current().filter(|worker| Arc::as_ptr(&worker.shared) == Arc::as_ptr(self));
        // SAFETY: the caller's contract.
        let task = unsafe { task::prepare(worker, Role::Stealable, options, scope, site, closure) };
        // SAFETY: prepared for this `T`; the handle's reference.
        let handle = unsafe { Handle::new(task) };
        match (worker, pinned) {
            (Some(worker), None) => worker.spawn(task),
            (Some(worker), Some(index)) => worker.spawn_pinned(task, index),
            (None, None) => self.inject(task, Arc::as_ptr(self)),
            (None, Some(index)) => self.inject_pinned(task, Arc::as_ptr(self), index),
        }
        handle
    }

    /// Spawns on this runtime, waiting for a place if there is a limit.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if there is no such worker as the options ask for, `Unsupported` in a
    /// forked child.
    ///
    /// # Safety
    ///
    /// What the closure and its value borrow outlives the task.
    pub(crate) unsafe fn spawn_unchecked<F, T>(
        self: &Arc<Self>,
        options: Options,
        site: &'static Location<'static>,
        closure: F,
    ) -> io::Result<Handle<T>>
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        fork::check()?;
        self.check_worker(&options)?;
        self.admit();
        self.announce_here().inspect_err(|_| self.give_place())?;
        // SAFETY: the caller's contract.
        Ok(unsafe { self.start(options, None, site, closure) })
    }

    /// As [`spawn_unchecked`](Self::spawn_unchecked), but gives the closure back where that would
    /// wait, or give an error.
    ///
    /// # Safety
    ///
    /// As there.
    pub(crate) unsafe fn try_spawn_unchecked<F, T>(
        self: &Arc<Self>,
        options: Options,
        site: &'static Location<'static>,
        closure: F,
    ) -> Result<Handle<T>, Refused<F>>
    where
        F: FnOnce() -> T + Send,
        T: Send,
    {
        if let Err(error) = fork::check().and_then(|()| self.check_worker(&options)) {
            return Err(Refused {
                error: Some(error),
                closure,
            });
        }
        if !self.try_admit() {
            return Err(Refused {
                error: None,
                closure,
            });
        }
        if let Err(error) = self.announce_here() {
            self.give_place();
            return Err(Refused {
                error: Some(error),
                closure,
            });
        }
        // SAFETY: the caller's contract.
        Ok(unsafe { self.start(options, None, site, closure) })
    }

    /// Counts a task that [`start`](Self::start) is to start, if it comes from outside.
    ///
    /// # Errors
    ///
    /// Those of [`announce`](Self::announce).
    #[inline]
    fn announce_here(self: &Arc<Self>) -> io::Result<()> {
        let inside = Worker::current()
            .is_some_and(|worker| ptr::eq(&raw const *worker.shared, &raw const **self));
        if inside { Ok(()) } else { self.announce() }
    }

    /// Hands a closure in, which `wrap` makes of `work`, with a priority: one of those that
    /// [`refuse_handed_in`](Self::refuse_handed_in) is about.
    ///
    /// # Errors
    ///
    /// The work, and why: `Unsupported` in a forked child, and what starting the first thread
    /// gives.
    pub(crate) fn hand_in<W, F, T>(
        self: &Arc<Self>,
        options: Options,
        priority: i32,
        site: &'static Location<'static>,
        work: W,
        wrap: impl FnOnce(W) -> F,
    ) -> Result<Handle<T>, Refused<W>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        if let Err(error) = fork::check().and_then(|()| self.announce_here()) {
            return Err(Refused {
                error: Some(error),
                closure: work,
            });
        }
        let closure = wrap(work);
        let worker =
            Worker::current().filter(|worker| Arc::as_ptr(&worker.shared) == Arc::as_ptr(self));
        // SAFETY: `'static`.
        let task = unsafe { task::prepare(worker, Role::Stealable, options, None, site, closure) };
        // SAFETY: prepared for this `T`; the handle's reference.
        let handle = unsafe { Handle::new(task) };
        // SAFETY: just prepared.
        let record = unsafe { task.as_ref() };
        record.set_flag(HANDED_IN);
        match worker {
            Some(worker) if priority == 0 => worker.spawn(task),
            Some(worker) => worker.spawn_ranked(task, priority),
            None if priority == 0 => self.inject(task, Arc::as_ptr(self)),
            None => {
                record
                    .runtime
                    .store(Arc::as_ptr(self).cast_mut(), Ordering::Relaxed);
                record.born_ns.store(clock::now_ns(), Ordering::Relaxed);
                #[cfg(feature = "tracing")]
                crate::trace::spawned(record);
                self.push_ranked(task, priority);
            }
        }
        Ok(handle)
    }

    /// Queues an unstarted task for one worker, from outside the workers.
    fn inject_pinned(&self, task: NonNull<Record>, runtime: *const Shared, index: usize) {
        // SAFETY: just prepared.
        let record = unsafe { task.as_ref() };
        record.runtime.store(runtime.cast_mut(), Ordering::Relaxed);
        record.born_ns.store(clock::now_ns(), Ordering::Relaxed);
        #[cfg(feature = "tracing")]
        crate::trace::spawned(record);
        self.pin(task, index);
    }

    /// Hands a task to the one worker that is to run it.
    pub(crate) fn pin(&self, task: NonNull<Record>, index: usize) {
        // SAFETY: prepared, and in no queue yet.
        unsafe { task.as_ref() }.set_flag(LOCAL);
        self.workers[index].pinned.push(Fresh(task));
        fence(Ordering::SeqCst);
        if self.is_stopping() {
            self.cancel_queued();
        } else {
            self.workers[index].rouse();
        }
    }

    /// Queues an unstarted task from outside the workers, which was announced.
    pub(crate) fn inject(&self, task: NonNull<Record>, runtime: *const Shared) {
        // SAFETY: just prepared.
        let record = unsafe { task.as_ref() };
        record.runtime.store(runtime.cast_mut(), Ordering::Relaxed);
        record.born_ns.store(clock::now_ns(), Ordering::Relaxed);
        self.injector.push(Fresh(task));
        fence(Ordering::SeqCst);
        self.look_after_push();
    }

    /// Queues an async task that was woken from outside the workers.
    pub(crate) fn inject_again(&self, task: NonNull<Record>) {
        self.injector.push(Fresh(task));
        fence(Ordering::SeqCst);
        if self.is_stopping() {
            self.cancel_queued();
        } else {
            self.rouse_one();
        }
    }
}

/// A closure that `try_spawn` gives back.
pub struct Refused<F> {
    /// Why, if it was not for want of a place.
    pub error: Option<io::Error>,
    /// What was to run.
    pub closure: F,
}

/// Spawns a coroutine on the caller's runtime, or on the global one.
///
/// # Errors
///
/// Those of the global runtime's start, if that is what it takes.
///
/// # Safety
///
/// What the closure and its value borrow outlives the task: it is `'static`, or `scope` is
/// waited for before the borrow ends.
#[inline]
pub unsafe fn spawn_unchecked<F, T>(
    options: Options,
    scope: Option<&Arc<ScopeState>>,
    site: &'static Location<'static>,
    closure: F,
) -> io::Result<Handle<T>>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    if let Some(worker) = Worker::current()
        && !worker.limited
        && options.worker.is_none()
    {
        // SAFETY: the caller's contract.
        let task =
            unsafe { task::prepare(Some(worker), Role::Stealable, options, scope, site, closure) };
        // SAFETY: prepared for this `T`; the handle's reference.
        let handle = unsafe { Handle::new(task) };
        worker.spawn(task);
        return Ok(handle);
    }
    // SAFETY: the caller's contract.
    unsafe { spawn_besides(options, scope, site, closure) }
}

/// Spawns from outside, under a limit, or on a worker of one's choice.
///
/// # Safety
///
/// As [`spawn_unchecked`].
#[cold]
unsafe fn spawn_besides<F, T>(
    options: Options,
    scope: Option<&Arc<ScopeState>>,
    site: &'static Location<'static>,
    closure: F,
) -> io::Result<Handle<T>>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    fork::check()?;
    let shared = match Worker::current() {
        Some(worker) => &worker.shared,
        None => &Runtime::global()?.shared,
    };
    shared.check_worker(&options)?;
    shared.admit();
    shared
        .announce_here()
        .inspect_err(|_| shared.give_place())?;
    // SAFETY: the caller's contract.
    Ok(unsafe { shared.start(options, scope, site, closure) })
}

/// As [`spawn_unchecked`], but gives the closure back where that would wait for a place, or give
/// an error.
///
/// # Errors
///
/// The closure, and why.
pub fn try_spawn<F, T>(
    options: Options,
    site: &'static Location<'static>,
    closure: F,
) -> Result<Handle<T>, Refused<F>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let shared = match Worker::current() {
        Some(worker) => &worker.shared,
        None => match fork::check().and_then(|()| Runtime::global()) {
            Ok(runtime) => &runtime.shared,
            Err(error) => {
                return Err(Refused {
                    error: Some(error),
                    closure,
                });
            }
        },
    };
    // SAFETY: `'static`.
    unsafe { shared.try_spawn_unchecked(options, site, closure) }
}

/// The index of the worker that the caller runs on.
pub fn current_worker() -> Option<usize> {
    Worker::current().map(|worker| worker.index)
}

/// How many workers the caller's runtime has; 1 outside any.
pub fn worker_count() -> usize {
    Worker::current().map_or(1, |worker| worker.shared.workers.len())
}

/// Spawns a coroutine that stays on the caller's worker, for closures that are not `Send`.
///
/// # Panics
///
/// Outside a coroutine.
pub fn spawn_local<F, T>(
    options: Options,
    site: &'static Location<'static>,
    closure: F,
) -> Handle<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    let worker = Worker::current().filter(|worker| worker.current_record().is_some());
    let worker = worker.expect("spawn_local needs a coroutine to be called from");
    assert!(
        options
            .worker
            .is_none_or(|index| usize::from(index) == worker.index),
        "spawn_local can't spawn on another worker"
    );
    if worker.limited {
        worker.shared.admit();
    }
    // SAFETY: `'static`.
    let task = unsafe { task::prepare(Some(worker), Role::Local, options, None, site, closure) };
    // SAFETY: prepared for this `T`; the handle's reference.
    let handle = unsafe { Handle::new(task) };
    worker.spawn(task);
    handle
}

/// Starts an OS thread whose handle, name and place among the living are a coroutine's.
///
/// # Errors
///
/// What starting a thread gives.
pub fn spawn_thread<F, T>(
    options: Options,
    site: &'static Location<'static>,
    closure: F,
) -> io::Result<Handle<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let mut builder = thread::Builder::new();
    if let Some(name) = &options.name {
        check_name(name)?;
        builder = builder.name(name.to_string());
    }
    if options.stack_bytes != 0 {
        builder = builder.stack_size(options.stack_bytes);
    }
    let worker = Worker::current();
    // SAFETY: `'static`.
    let task = unsafe { task::prepare(worker, Role::Thread, options, None, site, closure) };
    // SAFETY: prepared for this `T`; the handle's reference.
    let handle = unsafe { Handle::new(task) };
    THREADS_BEGUN.fetch_add(1, Ordering::AcqRel);
    let fresh = Fresh(task);
    let started = builder.spawn(move || {
        let Fresh(task) = { fresh };
        // SAFETY: this thread is the task's runner, and its reference keeps the record.
        unsafe {
            let record = task.as_ref();
            record.started.store(true, Ordering::Relaxed);
            let behaviour = record
                .behaviour
                .get()
                .expect("a live record has a behaviour");
            task::identity::with_record(record, || {
                cancel::enter_thread(record);
                (behaviour.run)(record);
                cancel::exit_thread();
            });
            task::complete(task, || ());
        }
    });
    match started {
        Ok(_detached) => Ok(handle),
        Err(error) => {
            // SAFETY: it never ran, and nobody else will.
            unsafe { end_unstarted(task, || ()) };
            Err(error)
        }
    }
}

/// A thread's name can't hold a NUL: std would panic.
pub(super) fn check_name(name: &str) -> io::Result<()> {
    if name.contains('\0') {
        let text = format!("the thread name {name:?} contains a NUL");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(())
}
