//! Looking at all tasks of the process: a survey, to which each worker contributes.
//!
//! Whoever asks sends one letter to each worker. The worker goes through the records, and adds
//! those whose coroutine is parked on one of its own hosts, with its stack: see `walk.rs`. It
//! gives way after [`SLICE_NS`], by posting the rest of the letter to itself. A worker that
//! computes does not read its letters: once nobody has answered for [`Patience`], the survey goes
//! on without it. All others (unstarted tasks, async tasks between two polls, threads, and
//! coroutines of a worker that was silent) are then read from their records, which anybody may.
//!
//! The tasks go on meanwhile: each is seen at a moment of its own.

pub mod counters;
pub(crate) mod symbols;
pub(crate) mod walk;

use std::collections::{HashMap, HashSet};
use std::panic::Location;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

pub use symbols::{Folded, Frame, forget, resolve};
pub use walk::Frames;

use crate::clock;
use crate::driver::{DriverKind, Letter};
use crate::future::{self, Phase};
use crate::host::Host;
use crate::locks;
use crate::record::{self, DONE, Record, Snapshot, THREAD};
use crate::runtime::{self, Runtime, Shared};
use crate::task::Options;
use crate::wait::{Reason, in_coroutine, may_wait};
use crate::worker::{Worker, WorkerShared};
use walk::Walker;

/// How long a worker works for a survey before others have their turn.
const SLICE_NS: u64 = 2_000_000;

/// What a survey is to look at, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How long to wait for workers none of which answers.
    pub patience: Duration,
    /// Whether to ask the workers, for stacks and deadlines.
    pub ask_workers: bool,
    /// Whether to measure how much of each stack has ever been used: a system call for each.
    pub measure_stacks: bool,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            patience: Duration::from_millis(500),
            ask_workers: true,
            measure_stacks: false,
        }
    }
}

/// What kind of task it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A coroutine.
    Coroutine,
    /// A future on the workers.
    AsyncTask,
    /// A thread.
    Thread,
}

impl Kind {
    /// The kind in a word or two.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Coroutine => "coroutine",
            Kind::AsyncTask => "async task",
            Kind::Thread => "thread",
        }
    }
}

/// What a task was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It has not begun.
    Fresh,
    /// It could run, and waits for its turn.
    Queued,
    /// It runs.
    Running,
    /// It waits.
    Parked,
    /// It is a thread, and waits.
    Blocked,
}

impl State {
    /// The state in a word.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Fresh => "fresh",
            State::Queued => "queued",
            State::Running => "running",
            State::Parked => "parked",
            State::Blocked => "blocked",
        }
    }
}

/// What was known of one task.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its record.
    pub snapshot: Snapshot,
    /// What it is.
    pub kind: Kind,
    /// What it was doing.
    pub state: State,
    /// Its runtime: an index into [`Survey::runtimes`].
    pub runtime: Option<usize>,
    /// The worker it is on, or was last.
    pub worker: Option<usize>,
    /// Clock nanoseconds at which its wait began, if it waits; coarse.
    pub since_ns: u64,
    /// Clock nanoseconds at which its wait ends by itself.
    pub deadline_ns: Option<u64>,
    /// The id of the task that holds the lock it waits for, if that is known.
    pub owner: Option<u64>,
    /// Its stack, if it has one that could be walked.
    pub frames: Option<Frames>,
    /// How much of its stack has ever been used, if that was measured.
    pub stack_bytes: Option<usize>,
    home: usize,
    of: usize,
}

/// What was known of one runtime.
#[derive(Clone, Debug)]
pub struct RuntimeSeen {
    /// The number of its workers.
    pub workers: usize,
    /// Its driver.
    pub driver: DriverKind,
    /// How many coroutines and async tasks had not ended.
    pub live: u64,
    /// The workers that did not answer.
    pub silent: Vec<Silent>,
}

/// A worker that did not answer.
#[derive(Clone, Copy, Debug)]
pub struct Silent {
    /// Its index.
    pub worker: usize,
    /// For how many nanoseconds it has not been in its loop.
    pub busy_ns: u64,
    /// What runs on it, if that could be seen.
    pub task: Option<u64>,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// The runtimes.
    pub runtimes: Vec<RuntimeSeen>,
    /// The tasks, in order of their ids.
    pub tasks: Vec<Seen>,
    /// When it began, in clock nanoseconds.
    pub taken_ns: u64,
}

/// What a survey looks at.
#[derive(Clone)]
pub struct Subject(Option<Arc<Shared>>);

impl Subject {
    /// All tasks of the process.
    pub const EVERYTHING: Subject = Subject(None);

    /// The tasks of one runtime.
    pub fn of(runtime: &Runtime) -> Subject {
        Subject(Some(Arc::clone(runtime.shared())))
    }
}

/// Looks at tasks. On a plain thread: it blocks.
pub fn survey(subject: &Subject, plan: Plan) -> Survey {
    match &subject.0 {
        None => take(runtime::living_runtimes(), true, plan),
        Some(shared) => take(vec![Arc::clone(shared)], false, plan),
    }
}

/// Runs `f` where the stack is deep and blocking harms nobody: a coroutine waits for a thread to
/// do it. `None` if the system has no thread to give.
pub fn on_thread<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    if !in_coroutine() {
        return Some(f());
    }
    let name = "ropewalk-inspect";
    if !may_wait() {
        let builder = std::thread::Builder::new().name(name.into());
        return builder.spawn(f).ok()?.join().ok();
    }
    let options = Options {
        name: Some(name.into()),
        daemon: Some(true),
        ..Options::default()
    };
    let handle = runtime::spawn_thread(options, Location::caller(), f).ok()?;
    handle.join_uncancelled().ok()
}

fn take(runtimes: Vec<Arc<Shared>>, everywhere: bool, plan: Plan) -> Survey {
    let taken_ns = clock::now_ns();
    let (sender, answers) = channel();
    let mut pending = HashSet::new();
    for (runtime, shared) in runtimes.iter().enumerate() {
        for (index, worker) in shared.workers.iter().enumerate() {
            let inquiry = Inquiry {
                of: (runtime, index),
                sender: sender.clone(),
                measure_stacks: plan.measure_stacks,
                at: 0,
                walker: Walker::new(),
                deadlines: None,
            };
            if plan.ask_workers && worker.post(Letter::Inquire(Box::new(inquiry))) {
                pending.insert((runtime, index));
            }
        }
    }
    drop(sender);
    let mut tasks = HashMap::new();
    let mut patience_ends = Instant::now() + plan.patience;
    while !pending.is_empty() {
        let left = patience_ends.saturating_duration_since(Instant::now());
        match answers.recv_timeout(left) {
            Ok(answer) => {
                if answer.is_last {
                    pending.remove(&answer.of);
                }
                tasks.extend(answer.seen.into_iter().map(|seen| (seen.snapshot.id, seen)));
                patience_ends = Instant::now() + plan.patience;
            }
            // They left meanwhile, and read no more letters.
            Err(RecvTimeoutError::Disconnected) => pending.clear(),
            Err(RecvTimeoutError::Timeout) => break,
        }
    }
    record::for_each(0, |_, record| {
        if let Some(seen) = look(record)
            && (everywhere || runtimes.iter().any(|shared| is_of(&seen, shared)))
        {
            tasks.entry(seen.snapshot.id).or_insert(seen);
        }
        true
    });
    let mut tasks: Vec<Seen> = tasks.into_values().collect();
    tasks.sort_unstable_by_key(|seen| seen.snapshot.id);
    let owners = locks::owners();
    for seen in &mut tasks {
        seen.runtime = runtimes.iter().position(|shared| is_of(seen, shared));
        seen.worker = seen.runtime.and_then(|runtime| {
            let mut workers = runtimes[runtime].workers.iter();
            workers.position(|worker| ptr::from_ref(worker) as usize == seen.home)
        });
        if seen.snapshot.reason == Reason::Lock {
            seen.owner = owners.get(&seen.snapshot.id).copied();
        }
    }
    let describe = |(runtime, shared): (usize, &Arc<Shared>)| {
        let silent = |&(_, worker): &(usize, usize)| Silent {
            worker,
            busy_ns: taken_ns
                .saturating_sub(shared.workers[worker].beat_ns.load(Ordering::Relaxed)),
            task: tasks
                .iter()
                .find(|seen| {
                    seen.runtime == Some(runtime)
                        && seen.worker == Some(worker)
                        && seen.state == State::Running
                })
                .map(|seen| seen.snapshot.id),
        };
        let mut silent: Vec<Silent> = pending
            .iter()
            .filter(|(of, _)| *of == runtime)
            .map(silent)
            .collect();
        silent.sort_unstable_by_key(|silent| silent.worker);
        RuntimeSeen {
            workers: shared.workers.len(),
            driver: shared.driver(),
            live: shared.live(),
            silent,
        }
    };
    let runtimes = runtimes.iter().enumerate().map(describe).collect();
    Survey {
        runtimes,
        tasks,
        taken_ns,
    }
}

fn is_of(seen: &Seen, shared: &Arc<Shared>) -> bool {
    Arc::as_ptr(shared) as usize == seen.of
}

/// Reads a record, as anybody may.
fn look(record: &Record) -> Option<Seen> {
    let phase = future::phase_of(record);
    let since_ns = record.since_ns.load(Ordering::Relaxed);
    let home = record.home.load(Ordering::Relaxed) as usize;
    let of = record.runtime.load(Ordering::Relaxed) as usize;
    let snapshot = record::snapshot(record, ptr::null())?;
    let kind = match phase {
        _ if snapshot.thread => Kind::Thread,
        Phase::NotAsync => Kind::Coroutine,
        _ => Kind::AsyncTask,
    };
    let waits = snapshot.reason != Reason::None;
    let state = match (kind, phase) {
        _ if !snapshot.started => State::Fresh,
        (Kind::Thread, _) if waits => State::Blocked,
        (Kind::AsyncTask, Phase::Idle) => State::Parked,
        (Kind::AsyncTask, Phase::Scheduled) => State::Queued,
        _ if snapshot.reason == Reason::Yielded => State::Queued,
        _ if waits => State::Parked,
        _ => State::Running,
    };
    Some(Seen {
        snapshot,
        kind,
        state,
        runtime: None,
        worker: None,
        since_ns,
        deadline_ns: None,
        owner: None,
        frames: None,
        stack_bytes: None,
        home,
        of,
    })
}

/// A letter to one worker: it is to contribute its parked coroutines.
pub(crate) struct Inquiry {
    of: (usize, usize),
    sender: Sender<Answer>,
    measure_stacks: bool,
    /// Where to go on.
    at: usize,
    walker: Walker,
    /// By the address of the record: when the waits of this worker's coroutines end.
    deadlines: Option<HashMap<usize, u64>>,
}

struct Answer {
    of: (usize, usize),
    seen: Vec<Seen>,
    is_last: bool,
}

impl Inquiry {
    /// Contributes what can be done in a slice; gives what is left. In the worker's loop.
    pub(crate) fn answer(mut self: Box<Self>, worker: &Worker) -> Option<Box<Inquiry>> {
        const LOOKS: usize = 64;
        let ends = clock::real_ns() + SLICE_NS;
        let mut seen = Vec::new();
        let mut looks = 0;
        let mut rest = None;
        let deadlines = self
            .deadlines
            .take()
            .unwrap_or_else(|| worker.wait_deadlines());
        record::for_each(self.at, |at, record| {
            if let Some(mut task) = self.contribute(worker, record) {
                task.deadline_ns = deadlines.get(&(ptr::from_ref(record) as usize)).copied();
                seen.push(task);
                looks += 1;
            }
            let over = looks == LOOKS && clock::real_ns() > ends;
            looks %= LOOKS;
            if over {
                rest = Some(at + 1);
            }
            !over
        });
        let _ = self.sender.send(Answer {
            of: self.of,
            seen,
            is_last: rest.is_none(),
        });
        self.at = rest?;
        self.deadlines = Some(deadlines);
        Some(self)
    }

    fn contribute(&mut self, worker: &Worker, record: &Record) -> Option<Seen> {
        let host = worker.host_of(record)?;
        let mut seen = look(record)?;
        if self.measure_stacks {
            let used = host.touched_bytes();
            counters::note_stack_used(used);
            seen.stack_bytes = Some(used);
        }
        // SAFETY: `host_of` found it parked here, and we are in the loop.
        unsafe { worker.walk(record, host, &mut self.walker) };
        seen.frames = self.walker.take();
        seen.home = ptr::from_ref::<WorkerShared>(worker.me()) as usize;
        Some(seen)
    }
}

/// The stack of a coroutine that is parked on this worker. In the worker's loop.
pub(crate) fn stack_on(worker: &Worker, record: NonNull<Record>, id: u64) -> Option<Frames> {
    // SAFETY: type-stable.
    let this = unsafe { record.as_ref() };
    if this.id() != id || this.life.load(Ordering::Acquire) & DONE != 0 || this.has(THREAD) {
        return None;
    }
    let host: &Host = worker.host_of(this)?;
    let mut walker = Walker::new();
    // SAFETY: as in `contribute`.
    unsafe { worker.walk(this, host, &mut walker) };
    walker.take()
}
