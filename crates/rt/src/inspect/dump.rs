//! What a dump holds: tasks in groups of equal stacks.

use std::collections::HashMap;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ropewalk_kernel::clock;
use ropewalk_kernel::driver::DriverKind;
use ropewalk_kernel::inspect::{self as kernel, Folded, Seen, Survey};

pub use ropewalk_kernel::inspect::{Frame, Kind, State};

/// All tasks of the process, or of one runtime, each as it was at a moment of its own.
///
/// `Display` gives text; of large groups it shows the first few tasks.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Dump {
    /// The id of this process.
    pub pid: u32,
    /// The name of its executable.
    pub program: String,
    /// When the dump was begun.
    pub taken: SystemTime,
    /// The runtimes.
    pub runtimes: Vec<RuntimeInfo>,
    /// The tasks, by equal stack, state and reason; the largest group first.
    pub groups: Vec<Group>,
}

/// One runtime.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RuntimeInfo {
    /// The number of its workers.
    pub workers: usize,
    /// The driver it uses.
    pub driver: DriverKind,
    /// How many of its coroutines and async tasks had not ended.
    pub live: u64,
    /// The workers that did not answer: what is parked on them has no stack in the dump.
    pub silent_workers: Vec<SilentWorker>,
}

/// A worker that did not answer, as something on it ran all the time.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SilentWorker {
    /// Its index in its runtime.
    pub index: usize,
    /// For how long it has not been in its loop.
    pub busy: Duration,
    /// The id of the task that runs on it, if that could be seen.
    pub task: Option<u64>,
}

/// Tasks with the same stack, in the same state, for the same reason.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Group {
    /// What they were doing.
    pub state: State,
    /// What they wait for, if they wait.
    pub reason: Option<&'static str>,
    /// Their stack, innermost frame first: without the runtime's own innermost frames, and
    /// without those below the task's own. Empty if they have none, or it could not be seen.
    pub stack: Vec<Frame>,
    /// How many innermost frames of the runtime were left out.
    pub folded: usize,
    /// The tasks, oldest first.
    pub tasks: Vec<TaskInfo>,
}

/// One task.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TaskInfo {
    /// Its id, never reused.
    pub id: u64,
    /// Its name.
    pub name: Option<Arc<str>>,
    /// The id of the task that spawned it, if that is known.
    pub parent: Option<u64>,
    /// What kind of task it is.
    pub kind: Kind,
    /// Where it was spawned.
    pub site: Option<&'static Location<'static>>,
    /// Whether the program's end doesn't wait for it.
    pub daemon: bool,
    /// Its runtime: an index into [`Dump::runtimes`].
    pub runtime: Option<usize>,
    /// The worker it is on, or was last on.
    pub worker: Option<usize>,
    /// How long ago it was spawned; coarse.
    pub age: Option<Duration>,
    /// How long it has waited; coarse.
    pub waiting: Option<Duration>,
    /// When its wait ends by itself, from the moment of the dump.
    pub deadline: Option<Duration>,
    /// The address of what it waits for; for reading and writing, the descriptor.
    pub object: Option<usize>,
    /// The id of the task that holds the lock it waits for, where locks are tracked.
    pub owner: Option<u64>,
    /// How much of its stack has ever been used, in bytes, if that was measured.
    pub stack_bytes: Option<usize>,
}

impl Dump {
    pub(super) fn new(survey: Survey, symbols: bool) -> Dump {
        let taken_ns = survey.taken_ns;
        let mut groups: HashMap<_, Vec<TaskInfo>> = HashMap::new();
        // Most are walked once for many: the address tells them apart without a look at the
        // whole, and equal stacks of several workers meet in the second map.
        let mut by_address: HashMap<*const usize, usize> = HashMap::new();
        let mut by_frames: HashMap<kernel::Frames, usize> = HashMap::new();
        for seen in survey.tasks {
            let stack = seen.frames.as_ref().map(|frames| {
                *by_address.entry(frames.as_ptr()).or_insert_with(|| {
                    let next = by_frames.len();
                    *by_frames.entry(Arc::clone(frames)).or_insert(next)
                })
            });
            let key = (
                stack,
                seen.state,
                reason(&seen),
                stack.is_none().then_some(seen.kind),
            );
            groups
                .entry(key)
                .or_default()
                .push(TaskInfo::new(&seen, taken_ns));
        }
        let mut stacks = vec![Folded::default(); by_frames.len()];
        if symbols {
            for (frames, index) in by_frames {
                stacks[index] = kernel::resolve(&frames);
            }
            kernel::forget();
        }
        let mut groups: Vec<Group> = groups
            .into_iter()
            .map(|((stack, state, reason, _), tasks)| {
                let stack = stack.map(|index| stacks[index].clone()).unwrap_or_default();
                Group {
                    state,
                    reason,
                    stack: stack.frames,
                    folded: stack.folded,
                    tasks,
                }
            })
            .collect();
        groups.sort_by_key(|group| (std::cmp::Reverse(group.tasks.len()), group.tasks[0].id));
        let runtimes = survey.runtimes.into_iter().map(RuntimeInfo::new).collect();
        Dump {
            pid: std::process::id(),
            program: program(),
            taken: SystemTime::now(),
            runtimes,
            groups,
        }
    }

    /// All tasks, group by group.
    pub fn tasks(&self) -> impl Iterator<Item = (&Group, &TaskInfo)> {
        self.groups
            .iter()
            .flat_map(|group| group.tasks.iter().map(move |task| (group, task)))
    }
}

impl RuntimeInfo {
    fn new(seen: kernel::RuntimeSeen) -> RuntimeInfo {
        let silent = seen.silent.into_iter().map(|silent| SilentWorker {
            index: silent.worker,
            busy: Duration::from_nanos(silent.busy_ns),
            task: silent.task,
        });
        RuntimeInfo {
            workers: seen.workers,
            driver: seen.driver,
            live: seen.live,
            silent_workers: silent.collect(),
        }
    }
}

impl TaskInfo {
    fn new(seen: &Seen, taken_ns: u64) -> TaskInfo {
        let snapshot = &seen.snapshot;
        let waits = matches!(seen.state, State::Parked | State::Blocked)
            && seen.snapshot.reason != ropewalk_kernel::wait::Reason::None;
        let ago = |ns: u64| Duration::from_nanos(clock::now_ns().saturating_sub(ns));
        TaskInfo {
            id: snapshot.id,
            name: snapshot.name.clone(),
            parent: (snapshot.parent != 0).then_some(snapshot.parent),
            kind: seen.kind,
            site: snapshot.site,
            daemon: snapshot.daemon,
            runtime: seen.runtime,
            worker: seen.worker,
            age: (snapshot.born_ns != 0).then(|| ago(snapshot.born_ns)),
            waiting: waits.then(|| ago(seen.since_ns)),
            deadline: seen
                .deadline_ns
                .map(|at| Duration::from_nanos(at.saturating_sub(taken_ns))),
            object: (waits && snapshot.object != 0).then_some(snapshot.object),
            owner: seen.owner,
            stack_bytes: seen.stack_bytes,
        }
    }
}

fn reason(seen: &Seen) -> Option<&'static str> {
    let reason = seen.snapshot.reason;
    match seen.state {
        State::Parked | State::Blocked if reason == ropewalk_kernel::wait::Reason::None => {
            Some("waiting for a waker")
        }
        State::Parked | State::Blocked => Some(reason.as_str()),
        _ => None,
    }
}

/// The name of this process's executable.
pub(super) fn program() -> String {
    std::env::current_exe()
        .ok()
        .and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()))
        .unwrap_or_else(|| "?".into())
}
