//! The watcher: one thread per process that notices workers kept by one coroutine.
//!
//! A worker runs one coroutine at a time, and one that computes, or blocks the thread by a
//! call that the runtime knows nothing of, stalls all others that started there. The watcher
//! says so, once for each spawn site, counts it, and has others take over what can still move.
//!
//! # How it sees
//!
//! It costs a worker nothing: the counters of what it resumed, started and ended are written
//! anyway, and their sum is a stamp that moves with every switch. Every `period` (the shortest
//! patience of all runtimes) the watcher reads the stamps. A worker that is awake and whose
//! stamp has stood still for the patience is kept, if its thread had the processor meanwhile
//! or is blocked in the system: a thread that merely waits for a processor on a busy machine
//! is not to blame. A watcher that is late itself (the process was stopped, the machine
//! suspended) starts anew.
//!
//! When all workers sleep for a while it parks, and the first worker to wake wakes it; it
//! ends with the last runtime.
//!
//! # What it does
//!
//! - marks the worker, so that no new work is placed there;
//! - wakes a sleeping worker if there are unstarted closures in the kept worker's reach: what
//!   is in its deque or was placed there is stolen as ever. Coroutines that have started, and
//!   closures pinned to the worker, can't move and wait.
//! - tells on standard error who it is: name, id, spawn site and a backtrace; see `sample`. Not of
//!   one that is about a panic or another report: symbols take long to be found; see `excuse`.
//! - counts it, once all is said.
//!
//! It does not preempt: suspending a coroutine inside a signal handler is unsound.

mod sample;
mod unwind;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use crate::clock;
use crate::inspect::Frames;
use crate::record::{self, Record, Snapshot};
use crate::runtime::Shared;
use crate::worker::{Worker, WorkerShared};

/// How long a coroutine may keep its worker before it is told of, unless said otherwise.
pub const PATIENCE: Duration = Duration::from_millis(10);

/// What a runtime wants of the watcher.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Watch {
    /// What `ROPEWALK_WATCH` says, else [`PATIENCE`].
    #[default]
    FromEnv,
    /// Nothing.
    Off,
    /// To be told of coroutines that keep their worker for this long; a millisecond at least.
    After(Duration),
}

/// Where a worker's thread can be found, and what it runs. Set while the worker lives.
pub(crate) struct Here {
    thread: i32,
    current: ptr::NonNull<AtomicPtr<Record>>,
}

// SAFETY: it points at an atomic, which lives as long as this is set; see `Post`.
unsafe impl Send for Here {}

/// A worker's place on the watcher's list.
pub(crate) struct Post(Mutex<Option<Here>>);

impl Post {
    pub(crate) const fn new() -> Post {
        Post(Mutex::new(None))
    }

    fn here(&self) -> MutexGuard<'_, Option<Here>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows what the calling worker runs.
    ///
    /// # Safety
    ///
    /// `current` stays where it is until [`leave`](Self::leave).
    pub(crate) unsafe fn enter(&self, current: &AtomicPtr<Record>) {
        // SAFETY: no pointers.
        let thread = unsafe { libc::gettid() };
        let current = ptr::NonNull::from(current);
        *self.here() = Some(Here { thread, current });
    }

    pub(crate) fn leave(&self) {
        *self.here() = None;
    }

    fn thread(&self) -> Option<i32> {
        self.here().as_ref().map(|here| here.thread)
    }

    /// The coroutine that runs there, as it is at this moment.
    fn running(&self) -> Option<Snapshot> {
        let here = self.here();
        // SAFETY: set, so alive, and it can't be taken away while we hold the lock.
        let current = unsafe { here.as_ref()?.current.as_ref() };
        // SAFETY: records are type-stable.
        let record = unsafe { current.load(Ordering::Relaxed).as_ref() }?;
        record::snapshot(record, ptr::null())
    }
}

/// The patience of a runtime in nanoseconds; `None` for one that is not watched.
pub(crate) fn patience_of(watch: Watch) -> std::io::Result<Option<u64>> {
    let invalid = |text: String| std::io::Error::new(std::io::ErrorKind::InvalidInput, text);
    let (patience, said) = match watch {
        Watch::Off => return Ok(None),
        Watch::After(patience) => (patience, format!("{patience:?}")),
        Watch::FromEnv => {
            let Some(said) = std::env::var_os("ROPEWALK_WATCH").filter(|said| !said.is_empty())
            else {
                return Ok(Some(PATIENCE.as_nanos() as u64));
            };
            let said = said.to_string_lossy().into_owned();
            if said == "off" {
                return Ok(None);
            }
            let patience = parse(&said).ok_or_else(|| {
                invalid(format!(
                    "ROPEWALK_WATCH={said} is neither `off` nor a time such as `20ms` or `1s`"
                ))
            })?;
            (patience, format!("ROPEWALK_WATCH={said}"))
        }
    };
    if patience < Duration::from_millis(1) {
        return Err(invalid(format!(
            "{said}: the watcher can't look that often; use 1ms or more, or switch it off"
        )));
    }
    Ok(Some(u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX)))
}

fn parse(said: &str) -> Option<Duration> {
    let (number, unit) = match said.strip_suffix("ms") {
        Some(number) => (number, Duration::from_millis as fn(u64) -> Duration),
        None => (said.strip_suffix('s')?, Duration::from_secs as _),
    };
    number.parse().ok().map(unit)
}

/// Who is watched.
struct List {
    runtimes: Vec<(Weak<Shared>, u64)>,
    /// Grows whenever `runtimes` changes.
    version: u64,
    /// The watcher, and its number: one that finds another number there has been dismissed.
    thread: Option<thread::JoinHandle<()>>,
    number: u64,
    /// The spawn sites that were told of: file, line and column.
    told: BTreeSet<(&'static str, u32, u32)>,
}

static LIST: Mutex<List> = Mutex::new(List {
    runtimes: Vec::new(),
    version: 0,
    thread: None,
    number: 0,
    told: BTreeSet::new(),
});
static CHANGED: Condvar = Condvar::new();
/// Whether the watcher has parked, and wants to be woken by the first worker that wakes.
static PARKED: AtomicBool = AtomicBool::new(false);

fn list() -> MutexGuard<'static, List> {
    LIST.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has a runtime watched. Without a thread for it the runtime does without.
pub(crate) fn watch(shared: &Arc<Shared>, patience_ns: u64) {
    let mut list = list();
    list.runtimes.push((Arc::downgrade(shared), patience_ns));
    list.version += 1;
    if list.thread.is_none() {
        list.number += 1;
        let number = list.number;
        let thread = thread::Builder::new().name("ropewalk/watcher".into());
        match thread.spawn(move || serve(number)) {
            Ok(thread) => list.thread = Some(thread),
            Err(error) => eprintln!("ropewalk: no thread for the watcher: {error}"),
        }
    }
    drop(list);
    rouse();
}

/// Has a runtime watched no more. With the last one the watcher ends; whoever is not one of
/// the runtime's coroutines waits for that.
pub(crate) fn forget(shared: &Arc<Shared>, inside: bool) {
    let mut list = list();
    let before = list.runtimes.len();
    list.runtimes
        .retain(|(known, _)| !ptr::eq(known.as_ptr(), Arc::as_ptr(shared)));
    if list.runtimes.len() == before {
        return;
    }
    list.version += 1;
    let mut dismissed = None;
    if list.runtimes.is_empty() {
        dismissed = list.thread.take();
        list.number += 1;
    }
    drop(list);
    rouse();
    if let Some(dismissed) = dismissed.filter(|_| !inside) {
        let _ = dismissed.join();
    }
}

/// How many threads the watcher has: one or none.
pub(crate) fn threads() -> usize {
    usize::from(list().thread.is_some())
}

/// Has nobody told of the calling worker's coroutine while `f` runs, which does not wait: it is the
/// runtime that takes its time, over a report.
pub(crate) fn excuse<R>(f: impl FnOnce() -> R) -> R {
    struct Reset(Option<(&'static Worker, bool)>);
    impl Drop for Reset {
        fn drop(&mut self) {
            if let Some((worker, before)) = self.0 {
                worker.me().excused.store(before, Ordering::Relaxed);
            }
        }
    }
    let _reset = Reset(Worker::current().map(|worker| {
        let before = worker.me().excused.swap(true, Ordering::Relaxed);
        (worker, before)
    }));
    f()
}

/// Called by a worker that wakes.
#[inline]
pub(crate) fn note_awake() {
    if PARKED.load(Ordering::SeqCst) {
        rouse();
    }
}

#[cold]
fn rouse() {
    let _list = list();
    PARKED.store(false, Ordering::SeqCst);
    CHANGED.notify_all();
}

/// What is known of one worker.
#[derive(Default)]
struct Look {
    /// The worker's stamp when it last moved, and when that was.
    stamp: u64,
    since_ns: u64,
    /// The processor time its thread had used then.
    used_ns: u64,
    /// Whether it was seen to be kept since.
    kept: bool,
}

struct Watched {
    runtime: Weak<Shared>,
    patience_ns: u64,
    looks: Vec<Look>,
}

/// The watcher's thread.
fn serve(number: u64) {
    /// So many looks in a row that find all asleep, and it parks.
    const QUIET_LOOKS: u32 = 50;
    let mut watched: Vec<Watched> = Vec::new();
    let mut version = 0;
    let mut quiet_looks = 0;
    let mut last_ns = clock::real_ns();
    loop {
        let mut list = list();
        if list.number != number {
            return;
        }
        if version != list.version {
            version = list.version;
            refresh(&mut watched, &list);
        }
        if quiet_looks >= QUIET_LOOKS {
            PARKED.store(true, Ordering::SeqCst);
            if all_asleep(&watched) {
                while PARKED.load(Ordering::SeqCst) && list.number == number {
                    list = CHANGED.wait(list).unwrap_or_else(PoisonError::into_inner);
                }
            }
            PARKED.store(false, Ordering::SeqCst);
            quiet_looks = 0;
            last_ns = clock::real_ns();
            continue;
        }
        let period_ns = watched.iter().map(|one| one.patience_ns).min();
        let period_ns = period_ns.unwrap_or(u64::MAX).min(1_000_000_000);
        let waited = CHANGED.wait_timeout(list, Duration::from_nanos(period_ns));
        let (list, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if version != list.version {
            continue;
        }
        drop(list);
        let now_ns = clock::real_ns();
        let late = now_ns - last_ns > 2 * period_ns + 5_000_000;
        last_ns = now_ns;
        let mut quiet = true;
        for one in &mut watched {
            quiet &= one.look_around(now_ns, late);
        }
        quiet_looks = if quiet { quiet_looks + 1 } else { 0 };
    }
}

fn refresh(watched: &mut Vec<Watched>, list: &List) {
    watched.retain(|one| {
        let known = list.runtimes.iter();
        known
            .into_iter()
            .any(|(known, _)| known.ptr_eq(&one.runtime))
    });
    for (runtime, patience_ns) in &list.runtimes {
        if !watched.iter().any(|one| one.runtime.ptr_eq(runtime)) {
            watched.push(Watched {
                runtime: Weak::clone(runtime),
                patience_ns: *patience_ns,
                looks: Vec::new(),
            });
        }
    }
}

fn all_asleep(watched: &[Watched]) -> bool {
    let runtimes = watched.iter().filter_map(|one| one.runtime.upgrade());
    runtimes.into_iter().all(|shared| {
        let mut workers = shared.workers.iter();
        workers.all(|worker| worker.asleep.load(Ordering::SeqCst))
    })
}

impl Watched {
    /// Looks at each worker; says whether all sleep.
    fn look_around(&mut self, now_ns: u64, late: bool) -> bool {
        let Some(shared) = self.runtime.upgrade() else {
            return true;
        };
        self.looks.resize_with(shared.workers.len(), Look::default);
        let mut quiet = true;
        for (index, look) in self.looks.iter_mut().enumerate() {
            let worker = &shared.workers[index];
            let asleep = worker.asleep.load(Ordering::Relaxed);
            quiet &= asleep;
            if look.sees_kept(worker, asleep, self.patience_ns, now_ns, late) {
                if !look.kept
                    && let Some(task) = worker.post.running()
                {
                    look.kept = true;
                    worker.note_kept();
                    if !worker.excused.load(Ordering::Relaxed) {
                        tell(&shared, index, &task, now_ns - look.since_ns);
                    }
                    // Who sees the count finds all said.
                    worker.count_kept();
                }
                shared.rescue(index);
            }
        }
        quiet
    }
}

impl Look {
    fn sees_kept(
        &mut self,
        worker: &WorkerShared,
        asleep: bool,
        patience_ns: u64,
        now_ns: u64,
        late: bool,
    ) -> bool {
        let stamp = worker.counts.stamp();
        if asleep || late || stamp != self.stamp {
            if self.kept && (asleep || stamp != self.stamp) {
                worker.kept.store(false, Ordering::Relaxed);
                self.kept = false;
            }
            self.stamp = stamp;
            self.since_ns = now_ns;
            self.used_ns = match worker.post.thread() {
                Some(thread) if !asleep => used_ns(thread).unwrap_or(0),
                _ => 0,
            };
            return self.kept;
        }
        if self.kept {
            return true;
        }
        let Some(thread) = worker.post.thread() else {
            return false;
        };
        let kept_ns = now_ns - self.since_ns;
        let used_ns = used_ns(thread).map_or(kept_ns, |used| used.saturating_sub(self.used_ns));
        kept_ns >= patience_ns && (used_ns >= patience_ns / 2 || is_blocked(thread))
    }
}

/// The processor time that a thread of this process has used.
fn used_ns(thread: i32) -> Option<u64> {
    // The clock of a thread, as the kernel makes it: CPUCLOCK_PERTHREAD | CPUCLOCK_SCHED.
    let clock = (!thread << 3) | 6;
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the place is writable.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return None;
    }
    Some(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Says whether a thread of this process sleeps in a system call.
fn is_blocked(thread: i32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/self/task/{thread}/stat")) else {
        return false;
    };
    // The state follows the name, which is in parentheses and may contain some.
    let state = stat
        .rsplit_once(") ")
        .and_then(|(_, rest)| rest.chars().next());
    matches!(state, Some('S' | 'D'))
}

/// Says who keeps a worker, once for each spawn site.
fn tell(shared: &Shared, index: usize, task: &Snapshot, kept_ns: u64) {
    let site = task
        .site
        .map(|site| (site.file(), site.line(), site.column()));
    if !list().told.insert(site.unwrap_or(("", 0, 0))) {
        return;
    }
    let sample = shared.workers[index].post.thread().and_then(sample::take);
    let mut text = format!(
        "ropewalk: {} has kept worker {index} (of {}) for {} ms without waiting; what else \
         started there can't run meanwhile\n",
        name(task),
        shared.workers.len(),
        kept_ns / 1_000_000,
    );
    match sample.filter(|sample| sample.id == task.id) {
        Some(sample) => text.push_str(&unwind::describe(&sample)),
        None => text.push_str("      (its stack could not be looked at)\n"),
    }
    text.push_str(
        "      give way with `coroutine::yield_now`, or do this in `unblock`; told once for each \
         spawn site, never with ROPEWALK_WATCH=off\n",
    );
    eprint!("{text}");
}

/// The stack of the coroutine with this id, if it runs on that worker at this moment: for dumps.
/// Only of runtimes that are watched, whose threads expect the signal.
pub(crate) fn frames_of_running(shared: &Shared, worker: &WorkerShared, id: u64) -> Option<Frames> {
    let is_watched = list()
        .runtimes
        .iter()
        .any(|(known, _)| ptr::eq(known.as_ptr(), shared));
    if !is_watched {
        return None;
    }
    let sample = worker.post.thread().and_then(sample::take)?;
    (sample.id == id).then(|| unwind::frames(&sample).into())
}

fn name(task: &Snapshot) -> String {
    let mut text = String::from("coroutine ");
    if let Some(name) = &task.name {
        let _ = write!(text, "'{name}' ");
    }
    let _ = write!(text, "(id {}", task.id);
    if let Some(site) = task.site {
        let _ = write!(text, ", spawned at {site}");
    }
    text.push(')');
    text
}
