//! Async tasks: futures on the same workers, without a stack of their own; and timers for
//! futures.
//!
//! # An async task
//!
//! It is a task like others, with a record, that is queued as a fresh one each time it is
//! woken: whichever worker takes it polls it on a pooled stack. If the poll blocks, the task is
//! a coroutine for that while, keeps the stack, and the worker takes another. Between
//! two polls it has the record and its boxed future, nothing else.
//!
//! ```text
//!            spawn            taken by a worker            Pending
//!   (new) ──────────▶ SCHEDULED ──────────────▶ RUNNING ──────────▶ IDLE
//!                         ▲                       │  │                │ wake, cancel
//!                         │         wake, cancel  │  └─Ready─▶ OVER   │
//!                         │                       ▼                   │
//!                         ├──────Pending────── NOTIFIED               │
//!                         └───────────────────────────────────────────┘
//! ```
//!
//! Whoever moves `phase` from IDLE to SCHEDULED queues the task and owns it until then; all
//! wakes in between are one. The runner leaves the record alone once it has set IDLE. A waker
//! holds a reference to the record. A canceller holds none: records are type-stable, and a
//! stale one at worst makes another async task be polled once for nothing.
//!
//! A wake that finds the task scheduled or notified already still writes the word, with
//! `Release`: the poll that is its wake takes the word with `Acquire`, and so sees what was
//! written before the wake. A load alone could be ahead of those writes.
//!
//! Cancelling drops the future, before the next poll.
//!
//! # A timer
//!
//! An `Entry` is an alarm in the wheel of one worker, and a place for a waker. The wheel holds a
//! reference while it is armed. Off that worker it is armed and disarmed by letter.

use std::cell::UnsafeCell;
use std::future::Future;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use std::{io, mem};

use crate::cancel::{self, Standing};
use crate::clock;
use crate::driver::Letter;
use crate::fork;
use crate::outcome::JoinError;
use crate::record::{Behaviour, REF, Record};
use crate::runtime::{self, Runtime, Shared};
use crate::task::{self, Handle, Options, Role};
use crate::timer;
use crate::worker::{Alarm, Worker};

const OVER: u8 = 0;
const SCHEDULED: u8 = 1;
const RUNNING: u8 = 2;
const NOTIFIED: u8 = 3;
const IDLE: u8 = 4;

/// Where a task is between two polls, for who looks at it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It is no async task, or one that is over.
    NotAsync,
    /// It is to be polled.
    Scheduled,
    /// It is being polled; the poll may block.
    Polled,
    /// It waits for its waker.
    Idle,
}

pub(crate) fn phase_of(record: &Record) -> Phase {
    match record.phase.load(Ordering::Acquire) {
        SCHEDULED => Phase::Scheduled,
        RUNNING | NOTIFIED => Phase::Polled,
        IDLE => Phase::Idle,
        _ => Phase::NotAsync,
    }
}

/// What an async task's record holds until it has an outcome.
#[repr(C)]
struct Asleep<F> {
    /// First, for who wakes the task without knowing its type.
    runtime: Weak<Shared>,
    /// Wakes the task at its token's deadline.
    alarm: Option<Sleep>,
    future: Pin<Box<F>>,
}

struct Polled<F>(std::marker::PhantomData<F>);

impl<F: Future> Polled<F> {
    const BEHAVIOUR: Behaviour = Behaviour {
        run: Self::run,
        cancel: Self::cancel,
        drop_outcome: task::drop_outcome::<F::Output>,
    };

    /// # Safety
    ///
    /// As [`Behaviour::run`].
    unsafe fn run(record: &Record) -> bool {
        // Takes over what those wrote who found it scheduled: this poll is their wake.
        record.phase.swap(RUNNING, Ordering::AcqRel);
        if task::has_besides(record) && !task::begin_besides(record) {
            // SAFETY: the runner's.
            unsafe { Self::end_without(record, JoinError::Cancelled) };
            return true;
        }
        // SAFETY: the payload holds the box, and the runner owns it.
        let asleep = unsafe { &mut *record.payload().cast::<Asleep<F>>() };
        let future = asleep.future.as_mut();
        // SAFETY: the vtable's contract: the record is alive, as the runner's reference is.
        let waker = ManuallyDrop::new(unsafe { Waker::from_raw(raw_waker(record)) });
        let mut context = Context::from_waker(&waker);
        let outcome = match catch_unwind(AssertUnwindSafe(|| future.poll(&mut context))) {
            Ok(Poll::Pending) => {
                if task::has_besides(record) {
                    Self::mind_deadline(record, asleep, &waker);
                }
                return Self::pause(record);
            }
            Ok(Poll::Ready(value)) => Ok(value),
            Err(payload) => Err(JoinError::Panicked(payload.into())),
        };
        record.phase.store(OVER, Ordering::SeqCst);
        // SAFETY: the runner's; the future is over, or panicked, and is not polled again.
        let outcome = match unsafe { Self::drop_future(record) } {
            Ok(()) => outcome,
            Err(payload) => {
                if let Err(late) = catch_unwind(AssertUnwindSafe(|| drop(outcome))) {
                    mem::forget(late);
                }
                Err(JoinError::Panicked(payload.into()))
            }
        };
        let outcome = task::end_besides(record, outcome);
        // SAFETY: the future was dropped.
        unsafe { task::put::<Result<F::Output, JoinError>>(record, outcome) };
        true
    }

    /// Sees to it that the task is polled when its token's deadline passes.
    fn mind_deadline(record: &Record, asleep: &mut Asleep<F>, waker: &Waker) {
        let deadline = match cancel::standing_of(record) {
            Standing::Until(deadline) => deadline,
            // It passed during the poll.
            Standing::Cancelled { .. } => return waker.wake_by_ref(),
            Standing::Free => return,
        };
        if asleep.alarm.is_none() {
            asleep.alarm = Some(Sleep::new(deadline));
        }
        if let Some(alarm) = &mut asleep.alarm
            && Pin::new(alarm)
                .poll(&mut Context::from_waker(waker))
                .is_ready()
        {
            waker.wake_by_ref();
        }
    }

    fn pause(record: &Record) -> bool {
        // It leaves this stack; the next poll is on another's.
        record.set_host(std::ptr::null_mut());
        let idle =
            record
                .phase
                .compare_exchange(RUNNING, IDLE, Ordering::AcqRel, Ordering::Relaxed);
        if idle.is_err() {
            // Woken meanwhile: behind what is runnable, so that it can't keep others out.
            record.phase.swap(SCHEDULED, Ordering::AcqRel);
            let worker = Worker::current().expect("a task is polled on a worker");
            worker.reschedule(NonNull::from(record));
        }
        false
    }

    /// # Safety
    ///
    /// The caller owns the payload, which is the boxed future; it is gone after this.
    unsafe fn drop_future(record: &Record) -> Result<(), Box<dyn std::any::Any + Send>> {
        // SAFETY: by the contract above.
        let asleep = unsafe { task::take::<Asleep<F>>(record) };
        catch_unwind(AssertUnwindSafe(|| drop(asleep)))
    }

    /// # Safety
    ///
    /// As [`drop_future`](Self::drop_future).
    unsafe fn end_without(record: &Record, error: JoinError) {
        record.phase.store(OVER, Ordering::SeqCst);
        // SAFETY: the caller's contract.
        let error = match unsafe { Self::drop_future(record) } {
            Ok(()) => error,
            Err(payload) => JoinError::Panicked(payload.into()),
        };
        let outcome = task::end_besides::<F::Output>(record, Err(error));
        // SAFETY: the future was dropped.
        unsafe { task::put::<Result<F::Output, JoinError>>(record, outcome) };
    }

    /// # Safety
    ///
    /// As [`Behaviour::cancel`].
    unsafe fn cancel(record: &Record, error: JoinError) {
        // SAFETY: the caller's contract.
        unsafe { Self::end_without(record, error) };
    }
}

/// Spawns a future as a task of the caller's runtime, or of the global one.
///
/// # Errors
///
/// Those of the global runtime's start, if that is what it takes.
pub fn spawn<F>(
    options: Options,
    site: &'static Location<'static>,
    future: F,
) -> io::Result<Handle<F::Output>>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    match Worker::current() {
        Some(worker) => Ok(spawn_on(&worker.shared, options, site, future)),
        None => Runtime::global().map(|runtime| spawn_on(runtime.shared(), options, site, future)),
    }
}

/// Spawns a future as a task of `shared`'s runtime.
pub(crate) fn spawn_on<F>(
    shared: &Arc<Shared>,
    options: Options,
    site: &'static Location<'static>,
    future: F,
) -> Handle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let worker =
        Worker::current().filter(|worker| Arc::as_ptr(&worker.shared) == Arc::as_ptr(shared));
    fork::refuse();
    assert!(
        options.worker.is_none(),
        "an async task has no worker of its own"
    );
    shared.admit();
    let asleep = Asleep {
        runtime: Arc::downgrade(shared),
        alarm: None,
        future: Box::pin(future),
    };
    // It must lie in the record itself, as `wake` expects.
    const { assert!(task::fits::<Asleep<F>>()) };
    // SAFETY: `'static`.
    let task = unsafe { task::prepare_with(worker, Role::Stealable, options, None, site) };
    // SAFETY: prepared just now: ours, and its payload empty.
    unsafe {
        let record = task.as_ref();
        record.behaviour.set(Some(&Polled::<F>::BEHAVIOUR));
        task::put::<Asleep<F>>(record, asleep);
        record.phase.store(SCHEDULED, Ordering::Relaxed);
        task::publish(worker, task);
    }
    // SAFETY: prepared for this outcome; the handle's reference.
    let handle = unsafe { Handle::new(task) };
    match worker {
        Some(worker) => worker.spawn(task),
        None => match shared.announce() {
            Ok(()) => shared.inject(task, Arc::as_ptr(shared)),
            Err(error) => {
                shared.report_no_thread(&error);
                // SAFETY: it is in no queue, so ours.
                unsafe { runtime::end_unstarted(task, || shared.give_place()) };
            }
        },
    }
    handle
}

/// Says whether a task is async and no poll of it is under way.
pub(crate) fn is_between_polls(record: &Record) -> bool {
    matches!(record.phase.load(Ordering::SeqCst), SCHEDULED | IDLE)
}

/// Has an async task polled once more. The record may be another's by now, or no async task's.
pub(crate) fn wake(record: &Record) {
    let mut phase = record.phase.load(Ordering::Relaxed);
    loop {
        let next = match phase {
            IDLE | SCHEDULED => SCHEDULED,
            RUNNING | NOTIFIED => NOTIFIED,
            _ => return,
        };
        match record
            .phase
            .compare_exchange_weak(phase, next, Ordering::AcqRel, Ordering::Relaxed)
        {
            Ok(_) if phase == IDLE => break,
            Ok(_) => return,
            Err(seen) => phase = seen,
        }
    }
    let task = NonNull::from(record);
    // SAFETY: it was IDLE, so the payload is an `Asleep`, which begins with this, and it is
    // ours until the task is queued.
    let runtime = unsafe { &*record.payload().cast::<Weak<Shared>>() };
    if let Some(worker) = Worker::current()
        && std::ptr::eq(runtime.as_ptr(), Arc::as_ptr(&worker.shared))
    {
        worker.reschedule(task);
        return;
    }
    match runtime.upgrade() {
        Some(runtime) => runtime.inject_again(task),
        // Nobody is left to poll it: it ends here.
        // SAFETY: queued nowhere, so ours to end.
        None => unsafe { runtime::end_unstarted(task, || ()) },
    }
}

unsafe fn raw_waker_of(data: *const ()) -> &'static Record {
    // SAFETY: made from a record below, which the waker's reference keeps.
    unsafe { &*data.cast::<Record>() }
}

fn raw_waker(record: &Record) -> RawWaker {
    static VTABLE: RawWakerVTable = RawWakerVTable::new(
        |data| {
            // SAFETY: a waker's data.
            let record = unsafe { raw_waker_of(data) };
            if record.life.fetch_add(REF, Ordering::Relaxed) > u32::MAX / 2 {
                // As `Arc` does: a count that wraps would free it under its users.
                std::process::abort();
            }
            RawWaker::new(data, vtable())
        },
        |data| {
            // SAFETY: a waker's data.
            wake(unsafe { raw_waker_of(data) });
            // SAFETY: the waker's own reference, given up.
            unsafe { task::release(NonNull::from(raw_waker_of(data))) };
        },
        // SAFETY: a waker's data.
        |data| wake(unsafe { raw_waker_of(data) }),
        // SAFETY: the waker's own reference, given up.
        |data| unsafe { task::release(NonNull::from(raw_waker_of(data))) },
    );
    fn vtable() -> &'static RawWakerVTable {
        &VTABLE
    }
    RawWaker::new(std::ptr::from_ref(record).cast(), &VTABLE)
}

// --- Timers -----------------------------------------------------------------------------------

/// One future's timer.
#[repr(C)]
pub(crate) struct Entry {
    /// The worker's whose wheel it is in; first, as the wheel expects.
    alarm: UnsafeCell<Alarm>,
    deadline: u64,
    fired: AtomicBool,
    /// Whether nobody waits for it any more.
    dropped: AtomicBool,
    waker: Mutex<Option<Waker>>,
    runtime: Weak<Shared>,
    worker: usize,
}

// SAFETY: the alarm belongs to one worker, which alone arms and disarms it; all else is
// atomic or locked.
unsafe impl Send for Entry {}
// SAFETY: as above.
unsafe impl Sync for Entry {}

impl Entry {
    fn is_home(&self, worker: &Worker) -> bool {
        worker.index == self.worker
            && std::ptr::eq(self.runtime.as_ptr(), Arc::as_ptr(&worker.shared))
    }

    /// Puts it into the worker's wheel, which is its home; unless it would never come out by
    /// itself: a worker whose thread goes takes all that is in the wheel out by its time.
    pub(crate) fn arm(self: &Arc<Entry>, worker: &Worker) {
        debug_assert!(self.is_home(worker));
        if self.dropped.load(Ordering::Acquire) || timer::is_never(self.deadline) {
            return;
        }
        let kept = Arc::into_raw(Arc::clone(self));
        // SAFETY: at home; the reference made above keeps it until it fires or is disarmed.
        unsafe {
            *self.alarm.get() = Alarm::for_future(NonNull::new_unchecked(kept.cast_mut()));
            worker.arm(&*self.alarm.get(), self.deadline);
        }
    }

    /// Takes it out of the worker's wheel, which is its home, if it is in it.
    pub(crate) fn disarm(&self, worker: &Worker) {
        debug_assert!(self.is_home(worker));
        // SAFETY: at home.
        unsafe {
            let alarm = &*self.alarm.get();
            if alarm.is_armed() {
                worker.disarm(alarm);
                drop(Arc::from_raw(std::ptr::from_ref(self)));
            }
        }
    }

    /// Wakes its future: its time has come.
    ///
    /// # Safety
    ///
    /// The wheel has just let go of it.
    pub(crate) unsafe fn expire(entry: NonNull<Entry>) {
        // SAFETY: the wheel's reference.
        let entry = unsafe { Arc::from_raw(entry.as_ptr().cast_const()) };
        entry.fired.store(true, Ordering::SeqCst);
        let waker = entry
            .waker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(waker) = waker
            && let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake()))
        {
            mem::forget(payload);
        }
    }
}

/// A future that is ready at a point in time; on any executor.
#[must_use = "a future does nothing until it is awaited"]
pub struct Sleep {
    deadline: u64,
    /// Made when it is first polled.
    entry: Option<Arc<Entry>>,
}

impl Sleep {
    /// Waits until `deadline` (clock nanoseconds), in the timers of the worker that first
    /// polls it; outside the workers in the global runtime's.
    pub fn new(deadline: u64) -> Sleep {
        Sleep {
            deadline,
            entry: None,
        }
    }

    fn begin(&mut self, waker: &Waker) {
        let make = |shared: &Arc<Shared>, worker| {
            Arc::new(Entry {
                alarm: UnsafeCell::new(Alarm::for_future(NonNull::dangling())),
                deadline: self.deadline,
                fired: AtomicBool::new(false),
                dropped: AtomicBool::new(false),
                waker: Mutex::new(Some(waker.clone())),
                runtime: Arc::downgrade(shared),
                worker,
            })
        };
        let entry = match Worker::current() {
            Some(worker) => {
                let entry = make(&worker.shared, worker.index);
                entry.arm(worker);
                entry
            }
            None => {
                let shared = match Runtime::global() {
                    Ok(runtime) => runtime.shared(),
                    Err(error) => panic!("the global runtime can't be started: {error}"),
                };
                let entry = make(shared, 0);
                shared.workers[0].post(Letter::Arm(Arc::clone(&entry)));
                entry
            }
        };
        self.entry = Some(entry);
    }
}

impl Future for Sleep {
    type Output = ();

    /// # Panics
    ///
    /// Outside the workers, if the global runtime must be started and can't be.
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Some(entry) = &self.entry else {
            if self.deadline <= clock::now_ns() {
                return Poll::Ready(());
            }
            self.begin(context.waker());
            return Poll::Pending;
        };
        if entry.fired.load(Ordering::SeqCst) {
            return Poll::Ready(());
        }
        let waker = Some(context.waker().clone());
        let old = mem::replace(
            &mut *entry.waker.lock().unwrap_or_else(PoisonError::into_inner),
            waker,
        );
        drop(old);
        if entry.fired.load(Ordering::SeqCst) {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let Some(entry) = self.entry.take() else {
            return;
        };
        entry.dropped.store(true, Ordering::Release);
        if entry.fired.load(Ordering::SeqCst) {
            return;
        }
        match Worker::current() {
            Some(worker) if entry.is_home(worker) => entry.disarm(worker),
            _ => {
                if let Some(shared) = entry.runtime.upgrade() {
                    let home = entry.worker;
                    shared.workers[home].post(Letter::Disarm(entry));
                }
            }
        }
    }
}
