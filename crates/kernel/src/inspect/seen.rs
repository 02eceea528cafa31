//! What a survey finds: tasks, and the runtimes they belong to.

use std::time::Duration;

use super::walk::Frames;
use crate::driver::DriverKind;
use crate::record::Snapshot;

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
    pub(super) home: usize,
    pub(super) of: usize,
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
