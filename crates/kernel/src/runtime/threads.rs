//! The threads of workers: all there from the start, or each started when it is needed.
//!
//! A worker is a seat: what others see of it (`WorkerShared`) is there as long as the runtime;
//! a thread sits on it. In most runtimes each seat is taken from the start to the end. With
//! [`Lazy`] a seat may be vacant:
//!
//! ```text
//!                  roused                    idle for long enough
//!   ┌─▶ VACANT ───────────────▶ TAKEN ─────────────────────────▶ LEAVING
//!   │     ▲      no thread, or    │ ▲    found something after all │ │
//!   │     └────────no driver──────┘ └──────────────────────────────┘ │
//!   │                               ▲   roused meanwhile: same thread│
//!   │                               └────────────────────────────────┤
//!   └────────────────────────────────────────────────────────────────┘
//! ```
//!
//! The states change under the lock of [`Crew`]; `Seat::taken` says TAKEN to those who have not
//! got it.
//!
//! # A vacant seat sleeps
//!
//! It has `asleep` set, like a worker that sleeps, and a bit in `vacant` instead of one in
//! `sleepers`. Whoever has pushed something takes a sleeper's bit, or else a vacant seat's: so
//! a thread is started only if there is work and nobody is idle. Then `asleep.swap(false)`
//! names the one who must rouse it, who signals a taken seat and starts a thread for a vacant one.
//!
//! No push is missed. A worker that retires stores `taken = false`, then `asleep = true`, then
//! sets its bit, and then looks at every queue once more (all `SeqCst`). In their single order
//! with the pusher's push, fence and look at the bits, either the look finds the push, and the
//! worker stays, or the pusher finds the bit. If the pusher's `swap` took an `asleep` of a
//! sleep before, it may find `taken` still set and signal a thread that goes; but then its push
//! came before that sleep's end, and the look finds it. If it took the one of the retirement
//! it finds `taken` false, and waits for the lock: in LEAVING it leaves word, and the thread,
//! once all is handed over, takes its seat again.
//!
//! Threads that are `coming`, as they were asked for and have not looked for work yet, are as good
//! as idle ones: another is asked for only if more is queued than there are of them. Each lowers
//! `coming` before it looks; as many come as were pushed, so that none of the pushes is left.
//!
//! # What is handed over
//!
//! A worker retires only with no coroutine of its own on a stack and no timer in its wheel.
//! Its thread takes the driver, the stacks and the magazine of records with it; descriptors
//! that others use find another home (`Futures::leave`, `Home::close`), as at the runtime's end.
//! The deques, empty, go back to the seat, for the next thread; thieves keep the `Stealer`s.
//! A vacant seat reads no letters (`letters` is `None`): what they are about lives on a stack or
//! in a wheel, of which a vacant seat has none; that all is to be cancelled is noted in `Shared`.
//! Counters stay, and go on: one thread writes them at a time, and the lock orders the two.
//!
//! # Somebody is always there
//!
//! `up` counts threads that have their driver and look for work. What comes from outside is
//! counted (`injected`), and then `up` is looked at; the last thread to leave lowers `up`, and
//! then looks whether anything is live. Both `SeqCst`: one of the two sees the other. So with work
//! there is a thread, which finds the work in the end even if no other can be started. Where there
//! is none, the one who brings the work starts the first, and waits until that has its driver:
//! its failure is the spawner's error. A failure to start one more is told once, and tried again
//! after a while. Only closures pinned to a vacant worker need a certain thread; who idles
//! meanwhile tries again for them.
//!
//! # The end
//!
//! Seats are taken and given up only while the runtime is not stopping, which is looked at under
//! the lock; whoever stops it then counts the handles that are there, under the lock too. A thread
//! that gives up its seat finds its handle and puts it with those that have gone, or finds it
//! counted already, and reports its end like all.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;
use std::{fmt, io, thread};

use super::Shared;
use super::starting::{install_panic_hook, not_started, worker_thread};
use crate::clock;
use crate::driver::Driver;
use crate::fork;
use crate::remote::Remote;
use crate::worker::{Deques, Sleepers, Worker, WorkerShared};

/// How long no thread is asked for after one could not be had.
const PAUSE_NS: u64 = 10_000_000;

/// Has threads started when there is work for them, and lets them go when there is none.
#[derive(Clone, Debug, Default)]
pub struct Lazy {
    /// How many threads there are at least, from the start.
    pub threads_min: usize,
    /// How long a thread idles before it goes; `None`: for ever.
    pub keep_alive: Option<Duration>,
}

/// What a layer above does on the threads of its workers.
pub trait Hooks: Send + Sync {
    /// What the thread of this worker is called; `None` for the runtime's own name.
    fn name(&self, worker: usize) -> Option<String>;

    /// Called on a thread that takes this worker's seat, before it runs anything; false has it
    /// go again.
    fn enter(&self, runtime: &Remote, worker: usize) -> bool;

    /// Called on a thread that gives up this worker's seat, after all it ran has ended.
    fn leave(&self, worker: usize);
}

/// [`Hooks`] in a `Config`.
#[derive(Clone)]
pub struct HookRef(pub Arc<dyn Hooks>);

impl fmt::Debug for HookRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HookRef(..)")
    }
}

/// A worker's place for a thread.
pub(crate) struct Seat {
    taken: AtomicBool,
    /// The runtime, if its seats may be vacant.
    runtime: OnceLock<Weak<Shared>>,
    index: usize,
    /// The deques, while no thread has them.
    deques: Mutex<Option<Deques>>,
    /// Clock nanoseconds at which its thread had its driver; 0 while it is vacant.
    since_ns: AtomicU64,
    /// How long that took, from the request on.
    startup_ns: AtomicU64,
    /// How many threads have sat here; how long those did that have gone; and how long all of
    /// them have slept.
    threads: AtomicU64,
    seated_ns: AtomicU64,
    slept_ns: AtomicU64,
}

/// What is known of one worker and its thread.
#[derive(Clone, Copy, Debug)]
pub struct SeatSeen {
    /// Whether it has a thread, which looks for work.
    pub seated: bool,
    /// Whether that sleeps, so that a push would rouse it.
    pub asleep: bool,
    /// How many threads it has had.
    pub threads: u64,
    /// How long it has had one, in nanoseconds.
    pub seated_ns: u64,
    /// How long those slept, in nanoseconds.
    pub slept_ns: u64,
    /// How long the last one took to start, in nanoseconds.
    pub startup_ns: u64,
}

impl Seat {
    pub(crate) fn new(index: usize, deques: Deques) -> Seat {
        Seat {
            taken: AtomicBool::new(false),
            runtime: OnceLock::new(),
            index,
            deques: Mutex::new(Some(deques)),
            since_ns: AtomicU64::new(0),
            startup_ns: AtomicU64::new(0),
            threads: AtomicU64::new(0),
            seated_ns: AtomicU64::new(0),
            slept_ns: AtomicU64::new(0),
        }
    }

    #[inline]
    pub(crate) fn is_taken(&self) -> bool {
        self.taken.load(Ordering::SeqCst)
    }

    /// Starts a thread for a vacant seat. By whom has taken its `asleep` away. Gives the runtime,
    /// which the caller may be the last owner of.
    #[cold]
    pub(crate) fn call(&self, worker: &WorkerShared) -> Option<Arc<Shared>> {
        let runtime = self.runtime.get().and_then(Weak::upgrade);
        let Some(shared) = &runtime else {
            worker.signal.send();
            return None;
        };
        if let Err(error) = shared.seat(self.index) {
            shared.report_no_thread(&error);
        }
        runtime
    }

    pub(super) fn take_deques(&self) -> Deques {
        let mut deques = self.deques.lock().unwrap_or_else(PoisonError::into_inner);
        deques.take().expect("who takes a seat finds its deques")
    }

    fn put_deques(&self, deques: Deques) {
        *self.deques.lock().unwrap_or_else(PoisonError::into_inner) = Some(deques);
    }

    /// The thread has its driver.
    fn note_seated(&self, asked_ns: u64) {
        let now = clock::now_ns();
        self.startup_ns
            .store(now.saturating_sub(asked_ns), Ordering::Relaxed);
        self.threads.fetch_add(1, Ordering::Relaxed);
        self.since_ns.store(now.max(1), Ordering::Release);
    }

    fn note_vacated(&self) {
        let since = self.since_ns.swap(0, Ordering::AcqRel);
        if since != 0 {
            let seated = clock::now_ns().saturating_sub(since);
            self.seated_ns.fetch_add(seated, Ordering::Relaxed);
        }
    }

    pub(crate) fn note_slept(&self, ns: u64) {
        // One writer: the worker.
        let slept = self.slept_ns.load(Ordering::Relaxed) + ns;
        self.slept_ns.store(slept, Ordering::Relaxed);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Vacant,
    Taken,
    Leaving { again: bool },
}

type Thread = thread::JoinHandle<()>;

/// The threads of a runtime.
pub(crate) struct Crew {
    lazy: Option<Lazy>,
    hooks: Option<HookRef>,
    thread_name: String,
    /// Bits of the vacant seats.
    vacant: Sleepers,
    /// How many threads have their driver.
    up: AtomicUsize,
    /// How many threads have been asked for and have not begun to look for work.
    coming: AtomicUsize,
    /// Clock nanoseconds before which no further thread is asked for.
    again_ns: AtomicU64,
    no_thread_told: AtomicBool,
    list: Mutex<List>,
}

struct List {
    states: Vec<State>,
    threads: Vec<Option<Thread>>,
    gone: Vec<Thread>,
}

/// What became of a thread that has given up its seat.
enum Left {
    Again,
    Gone,
    /// Its end is waited for.
    Counted,
}

impl Crew {
    pub(super) fn new(
        workers: usize,
        lazy: Option<Lazy>,
        hooks: Option<HookRef>,
        thread_name: String,
    ) -> Crew {
        Crew {
            lazy,
            hooks,
            thread_name,
            vacant: Sleepers::new(workers),
            up: AtomicUsize::new(0),
            coming: AtomicUsize::new(0),
            again_ns: AtomicU64::new(0),
            no_thread_told: AtomicBool::new(false),
            list: Mutex::new(List {
                states: vec![State::Vacant; workers],
                threads: (0..workers).map(|_| None).collect(),
                gone: Vec::new(),
            }),
        }
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_lazy(&self) -> bool {
        self.lazy.is_some()
    }

    fn name_of(&self, index: usize) -> String {
        let hooks = self.hooks.as_ref();
        if let Some(name) = hooks.and_then(|hooks| hooks.0.name(index)) {
            return name;
        }
        let prefix = match self.thread_name.as_str() {
            "" => "ropewalk",
            name => name,
        };
        format!("{prefix}-{index}")
    }

    /// Takes the handles of the threads that sit somewhere, by worker, and of those that do no
    /// more. Nobody takes a seat from then on: the runtime is stopping.
    pub(super) fn take_handles(&self) -> (Vec<(usize, Thread)>, Vec<Thread>) {
        let mut list = self.list();
        let gone = std::mem::take(&mut list.gone);
        let threads = list.threads.iter_mut().enumerate();
        let threads = threads.filter_map(|(index, thread)| Some((index, thread.take()?)));
        (threads.collect(), gone)
    }
}

impl Shared {
    /// Starts all threads, or those that a lazy runtime has at least.
    pub(super) fn seat_all(self: &Arc<Self>) -> io::Result<()> {
        let all = self.workers.len();
        let first = match &self.crew.lazy {
            None => all,
            Some(lazy) => {
                for (index, worker) in self.workers.iter().enumerate() {
                    let _ = worker.seat.runtime.set(Arc::downgrade(self));
                    worker.close_letters();
                    self.crew.vacant.set(index);
                    worker.asleep.store(true, Ordering::SeqCst);
                }
                // One that can't be had is an error now, and not of the first who spawns.
                Driver::new(self.driver, &self.workers[0].signal)
                    .map_err(|error| no_driver(self, 0, &error))?
                    .close();
                lazy.threads_min.min(all)
            }
        };
        let (report, reports) = mpsc::channel();
        let mut result = Ok(());
        let mut started = 0;
        for index in 0..first {
            self.crew.vacant.clear(index);
            self.workers[index].asleep.store(false, Ordering::SeqCst);
            let mut list = self.crew.list();
            if let Err(error) = self.start_thread(&mut list, index, Some(report.clone())) {
                drop(list);
                self.note_vacant(index);
                result = Err(error);
                break;
            }
            started += 1;
        }
        for _ in 0..started {
            let report = reports
                .recv()
                .unwrap_or_else(|_| Err(io::Error::other("a worker died")));
            if report.is_err() && result.is_ok() {
                result = report;
            }
        }
        // On failure the runtime is dropped by the caller, which stops those that started.
        result
    }

    fn start_thread(
        self: &Arc<Self>,
        list: &mut List,
        index: usize,
        report: Option<mpsc::Sender<io::Result<()>>>,
    ) -> io::Result<()> {
        let shared = Arc::clone(self);
        self.crew.coming.fetch_add(1, Ordering::SeqCst);
        let asked_ns = clock::now_ns();
        let thread = thread::Builder::new()
            .name(self.crew.name_of(index))
            .spawn(move || sit(&shared, index, asked_ns, report));
        match thread {
            Ok(thread) => {
                list.states[index] = State::Taken;
                self.workers[index].seat.taken.store(true, Ordering::SeqCst);
                list.threads[index] = Some(thread);
                list.gone.retain(|thread| !thread.is_finished());
                Ok(())
            }
            Err(error) => {
                self.crew.coming.fetch_sub(1, Ordering::SeqCst);
                Err(not_started(index, self.workers.len(), "its thread", &error))
            }
        }
    }

    /// A thread begins to look for work.
    pub(super) fn note_arrived(&self) {
        self.crew.coming.fetch_sub(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// About how many tasks and jobs lie in queues.
    fn waiting(&self) -> usize {
        let of = |worker: &WorkerShared| {
            worker.placed.len() + worker.pinned.len() + worker.stealer.len() + worker.jobs.len()
        };
        let workers: usize = self.workers.iter().map(of).sum();
        workers + self.injector.len() + self.ranked.len()
    }

    /// Gives the seat a thread if it is vacant, and wakes whoever sits there if not. If there is no
    /// other thread, waits until it has its driver. The caller has taken `asleep` away.
    fn seat(self: &Arc<Self>, index: usize) -> io::Result<()> {
        let crew = &self.crew;
        let mut list = crew.list();
        match list.states[index] {
            State::Taken => {
                self.workers[index].signal.send();
                return Ok(());
            }
            State::Leaving { .. } => {
                list.states[index] = State::Leaving { again: true };
                return Ok(());
            }
            State::Vacant => {}
        }
        if self.is_stopping() || fork::is_child() {
            self.note_vacant(index);
            return Ok(());
        }
        let first = crew.up.load(Ordering::SeqCst) == 0;
        if !first && clock::now_ns() < crew.again_ns.load(Ordering::Relaxed) {
            self.note_vacant(index);
            return Ok(());
        }
        let (report, reports) = if first {
            let (report, reports) = mpsc::channel();
            (Some(report), Some(reports))
        } else {
            (None, None)
        };
        if let Err(error) = self.start_thread(&mut list, index, report) {
            self.note_vacant(index);
            self.note_refused();
            return Err(error);
        }
        match reports {
            // The thread wants the lock only after its report.
            Some(reports) => reports
                .recv()
                .unwrap_or_else(|_| Err(io::Error::other("a worker died"))),
            None => Ok(()),
        }
    }

    /// Shows a seat as vacant to those who have work.
    fn note_vacant(&self, index: usize) {
        self.workers[index].asleep.store(true, Ordering::SeqCst);
        self.crew.vacant.set(index);
    }

    fn note_refused(&self) {
        let again = clock::now_ns() + PAUSE_NS;
        self.crew.again_ns.store(again, Ordering::Relaxed);
    }

    #[cold]
    pub(crate) fn report_no_thread(&self, error: &io::Error) {
        if !self.crew.no_thread_told.swap(true, Ordering::Relaxed) {
            eprintln!("ropewalk: {error}; going on with those there are");
        }
    }

    /// Says whether a push would rouse anybody.
    #[inline]
    pub(crate) fn may_rouse(&self) -> bool {
        self.sleepers.any() || self.crew.is_lazy() && self.crew.vacant.any()
    }

    /// Starts a thread for what was just pushed, if a seat is vacant: nobody idles.
    #[cold]
    pub(super) fn call_in(&self) {
        let coming = self.crew.coming.load(Ordering::SeqCst);
        if coming != 0 && coming >= self.waiting() {
            return;
        }
        while let Some(index) = self.crew.vacant.take_one() {
            if self.workers[index].rouse() {
                return;
            }
        }
    }

    /// Counts a task that comes from outside, and sees to it that there is a thread to run it.
    ///
    /// # Errors
    ///
    /// What starting the first thread gives; the task is not counted then.
    #[inline]
    pub(crate) fn announce(self: &Arc<Self>) -> io::Result<()> {
        self.injected.fetch_add(1, Ordering::AcqRel);
        if self.crew.is_lazy() {
            fence(Ordering::SeqCst);
            if self.crew.up.load(Ordering::SeqCst) == 0
                && let Err(error) = self.seat_first()
            {
                self.cancelled.fetch_add(1, Ordering::AcqRel);
                return Err(error);
            }
        }
        Ok(())
    }

    #[cold]
    fn seat_first(self: &Arc<Self>) -> io::Result<()> {
        while self.crew.up.load(Ordering::SeqCst) == 0 && !self.is_stopping() && !fork::is_child() {
            match self.crew.vacant.take_one() {
                Some(index) => {
                    if self.workers[index].asleep.swap(false, Ordering::SeqCst) {
                        return self.seat(index);
                    }
                }
                // Others are starting them, or they are about to be vacant again.
                None => thread::yield_now(),
            }
        }
        Ok(())
    }

    /// How long the caller, which idles, may sleep before it retires; `None`: for ever.
    pub(crate) fn keep_alive_ns(&self) -> Option<u64> {
        let lazy = self.crew.lazy.as_ref()?;
        let keep_alive = lazy.keep_alive?;
        let spare = self.crew.up.load(Ordering::Relaxed) > lazy.threads_min;
        spare.then(|| u64::try_from(keep_alive.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Begins to give up a worker's seat, unless that is needed, or `look` finds something.
    pub(crate) fn begin_leaving(&self, worker: &Worker, look: impl FnOnce() -> bool) -> bool {
        let crew = &self.crew;
        let index = worker.index;
        let mut list = crew.list();
        let least = crew.lazy.as_ref().map_or(0, |lazy| lazy.threads_min);
        if self.is_stopping() || crew.up.load(Ordering::SeqCst) <= least {
            return false;
        }
        list.states[index] = State::Leaving { again: false };
        let me = worker.me();
        me.seat.taken.store(false, Ordering::SeqCst);
        me.asleep.store(true, Ordering::SeqCst);
        crew.vacant.set(index);
        let last = crew.up.fetch_sub(1, Ordering::SeqCst) == 1;
        fence(Ordering::SeqCst);
        let needed = look() || last && self.live() != 0;
        if !needed {
            return true;
        }
        crew.up.fetch_add(1, Ordering::SeqCst);
        crew.vacant.clear(index);
        me.asleep.store(false, Ordering::SeqCst);
        me.seat.taken.store(true, Ordering::SeqCst);
        list.states[index] = State::Taken;
        false
    }

    /// Ends to give up a seat: all is handed over.
    fn leave_seat(&self, index: usize) -> Left {
        let seat = &self.workers[index].seat;
        let mut list = self.crew.list();
        if list.states[index] == (State::Leaving { again: true }) && !self.is_stopping() {
            list.states[index] = State::Taken;
            seat.taken.store(true, Ordering::SeqCst);
            self.crew.coming.fetch_add(1, Ordering::SeqCst);
            return Left::Again;
        }
        list.states[index] = State::Vacant;
        seat.note_vacated();
        match list.threads[index].take() {
            Some(thread) => {
                list.gone.push(thread);
                Left::Gone
            }
            None => Left::Counted,
        }
    }

    /// Gives up a seat whose thread has never run anything.
    fn resign(&self, index: usize) {
        let mut list = self.crew.list();
        list.states[index] = State::Vacant;
        let seat = &self.workers[index].seat;
        seat.taken.store(false, Ordering::SeqCst);
        seat.note_vacated();
        self.workers[index].close_letters();
        let thread = list.threads[index].take();
        let counted = thread.is_none();
        list.gone.extend(thread);
        drop(list);
        let left = self.crew.coming.fetch_sub(1, Ordering::SeqCst) - 1;
        if self.crew.is_lazy() {
            self.note_vacant(index);
            fence(Ordering::SeqCst);
            if left == 0 && self.crew.up.load(Ordering::SeqCst) == 0 {
                // It was to take its seat again, and nobody waits for its report.
                self.cancel_queued();
            }
        }
        if counted {
            self.note_stopped();
        }
    }

    /// How many threads have their driver and look for work.
    pub(crate) fn threads_up(&self) -> usize {
        self.crew.up.load(Ordering::SeqCst)
    }

    /// Tries again for workers that have something to run and could not have a thread; says
    /// whether there are such. By one who idles.
    pub(crate) fn call_the_missing(&self) -> bool {
        if self.crew.again_ns.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let mut missing = false;
        for worker in &self.workers {
            if !worker.seat.is_taken() && !worker.pinned.is_empty() {
                missing = true;
                worker.rouse();
            }
        }
        missing
    }

    pub(crate) fn seats(&self) -> Vec<SeatSeen> {
        let now = clock::now_ns();
        let look = |(index, worker): (usize, &WorkerShared)| {
            let seat = &worker.seat;
            let since = seat.since_ns.load(Ordering::Acquire);
            let now_seated = match since {
                0 => 0,
                since => now.saturating_sub(since),
            };
            SeatSeen {
                seated: since != 0,
                asleep: since != 0 && self.sleepers.has(index),
                threads: seat.threads.load(Ordering::Relaxed),
                seated_ns: seat.seated_ns.load(Ordering::Relaxed) + now_seated,
                slept_ns: seat.slept_ns.load(Ordering::Relaxed),
                startup_ns: seat.startup_ns.load(Ordering::Relaxed),
            }
        };
        self.workers.iter().enumerate().map(look).collect()
    }
}

fn no_driver(shared: &Shared, index: usize, error: &io::Error) -> io::Error {
    let what = format!("its {} driver", shared.driver.as_str());
    not_started(index, shared.workers.len(), &what, error)
}

/// A worker's thread.
fn sit(
    shared: &Arc<Shared>,
    index: usize,
    mut asked_ns: u64,
    report: Option<mpsc::Sender<io::Result<()>>>,
) {
    install_panic_hook();
    let mut report = report;
    let worker = &shared.workers[index];
    let tell = |report: Option<mpsc::Sender<_>>, result: io::Result<()>| match report {
        Some(report) => drop(report.send(result)),
        None => {
            if let Err(error) = result {
                shared.report_no_thread(&error);
            }
        }
    };
    loop {
        worker.open_letters();
        let driver = match Driver::new(shared.driver, &worker.signal) {
            Ok(driver) => driver,
            Err(error) => {
                shared.note_refused();
                tell(report.take(), Err(no_driver(shared, index, &error)));
                return shared.resign(index);
            }
        };
        worker.seat.note_seated(asked_ns);
        shared.crew.up.fetch_add(1, Ordering::SeqCst);
        tell(report.take(), Ok(()));
        let hooks = shared.crew.hooks.as_ref().map(|hooks| &*hooks.0);
        if hooks.is_some_and(|hooks| !hooks.enter(&Remote::of(shared), index)) {
            shared.crew.up.fetch_sub(1, Ordering::SeqCst);
            driver.close();
            return shared.resign(index);
        }
        let Some(deques) = worker_thread(shared, index, driver) else {
            // The runtime stops.
            if let Some(hooks) = hooks {
                hooks.leave(index);
            }
            shared.crew.up.fetch_sub(1, Ordering::SeqCst);
            worker.seat.note_vacated();
            return shared.note_stopped();
        };
        if let Some(hooks) = hooks {
            hooks.leave(index);
        }
        worker.seat.put_deques(deques);
        match shared.leave_seat(index) {
            Left::Again => asked_ns = clock::now_ns(),
            Left::Gone => return,
            Left::Counted => return shared.note_stopped(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::Location;

    use super::*;
    use crate::driver::DriverKind;
    use crate::runtime::{Config, Runtime};
    use crate::task::Options;

    fn lazy(workers: usize, driver: DriverKind, keep_alive: Option<Duration>) -> Runtime {
        let config = Config {
            workers: Some(workers),
            driver: Some(driver),
            lazy: Some(Lazy {
                threads_min: 0,
                keep_alive,
            }),
            ..Config::default()
        };
        Runtime::new(config).expect("a runtime")
    }

    fn drivers() -> impl Iterator<Item = DriverKind> {
        [DriverKind::Epoll, DriverKind::IoUring]
            .into_iter()
            .filter(|driver| driver.check().is_ok())
    }

    /// Threads that come and go all the time, with work from outside and inside.
    #[test]
    fn nothing_is_lost_while_threads_come_and_go() {
        for driver in drivers() {
            let runtime = lazy(3, driver, Some(Duration::ZERO));
            let remote = runtime.remote();
            for round in 0..300 {
                let handles = (0..round % 5 + 1).map(|number| {
                    let inner = remote.clone();
                    let spawned = remote.spawn(Options::default(), Location::caller(), move || {
                        let inside = inner
                            .spawn(Options::default(), Location::caller(), move || number)
                            .expect("a coroutine");
                        inside.join().expect("its value")
                    });
                    spawned.expect("a coroutine")
                });
                for (number, handle) in handles.collect::<Vec<_>>().into_iter().enumerate() {
                    assert_eq!(handle.join().ok(), Some(number));
                }
                // Now and then all go before more comes.
                while round % 10 == 9 && remote.threads() != 0 {
                    thread::yield_now();
                }
            }
            let threads: u64 = remote.seats().iter().map(|seat| seat.threads).sum();
            assert!(threads >= 30, "only {threads} threads were started");
            assert!(runtime.shutdown(Duration::MAX).is_ok());
            assert_eq!(remote.threads(), 0);
        }
    }

    /// What is pinned to a worker without a thread starts one.
    #[test]
    fn a_pinned_closure_has_its_thread_started() {
        for driver in drivers() {
            let runtime = lazy(4, driver, None);
            let mut options = Options::default();
            options.on_worker(2);
            let remote = runtime.remote();
            let spawned = remote.spawn(options, Location::caller(), crate::runtime::current_worker);
            assert_eq!(spawned.expect("a coroutine").join().ok(), Some(Some(2)));
        }
    }

    /// A lazy runtime that never ran anything ends.
    #[test]
    fn an_unused_one_ends() {
        for driver in drivers() {
            let runtime = lazy(4, driver, None);
            assert_eq!(runtime.remote().threads(), 0);
            assert!(runtime.shutdown(Duration::MAX).is_ok());
        }
    }
}
