//! A coroutine or thread as others see it.

use std::panic::Location;
use std::time::{Duration, Instant};

use ropewalk_kernel::clock;
use ropewalk_kernel::record::Snapshot;

/// A coroutine or a thread, by its id.
///
/// Doesn't keep the task alive, nor its value.
#[derive(Clone, Debug)]
pub struct Task(pub(crate) ropewalk_kernel::task::Task);

impl Task {
    /// The calling coroutine, or the calling thread.
    pub fn current() -> Task {
        Task(ropewalk_kernel::task::Task::current())
    }

    /// The id, given at birth and never reused in this process.
    pub fn id(&self) -> u64 {
        self.0.id()
    }

    /// The name: today's while the task lives, else the last one this handle knew.
    pub fn name(&self) -> Option<String> {
        self.0.name().map(|name| name.to_string())
    }

    /// Gives the task another name. Does nothing once it has ended, nor to a thread that
    /// was not started through [`thread`](crate::thread), whose name is the system's.
    pub fn set_name(&mut self, name: &str) {
        self.0.set_name(Some(name.into()));
    }

    /// Says whether the task has not ended.
    pub fn is_alive(&self) -> bool {
        self.0.is_alive()
    }

    /// Says whether the program's end doesn't wait for the task.
    pub fn is_daemon(&self) -> bool {
        self.0.is_daemon()
    }

    /// Says whether this is a thread rather than a coroutine.
    pub fn is_thread(&self) -> bool {
        self.0.is_thread()
    }
}

/// What was known of a living task at the moment it was listed.
#[derive(Clone, Debug)]
pub struct Info {
    snapshot: Snapshot,
}

impl Info {
    pub(crate) fn new(snapshot: Snapshot) -> Info {
        Info { snapshot }
    }

    /// The id.
    pub fn id(&self) -> u64 {
        self.snapshot.id
    }

    /// The name, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.snapshot.name.as_deref()
    }

    /// The id of the task that spawned it, if that is known.
    pub fn parent(&self) -> Option<u64> {
        (self.snapshot.parent != 0).then_some(self.snapshot.parent)
    }

    /// Where it was spawned.
    pub fn site(&self) -> Option<&'static Location<'static>> {
        self.snapshot.site
    }

    /// Says whether it is a thread rather than a coroutine.
    pub fn is_thread(&self) -> bool {
        self.snapshot.thread
    }

    /// Says whether the program's end doesn't wait for it.
    pub fn is_daemon(&self) -> bool {
        self.snapshot.daemon
    }

    /// Says whether it has begun to run.
    pub fn is_started(&self) -> bool {
        self.snapshot.started
    }

    /// What it waits for, in a few words.
    pub fn waits_for(&self) -> &'static str {
        self.snapshot.reason.as_str()
    }

    /// How long ago it was spawned; coarse.
    pub fn age(&self) -> Duration {
        Instant::now().saturating_duration_since(clock::ns_to_instant(self.snapshot.born_ns))
    }
}

impl std::fmt::Display for Info {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.snapshot.fmt(f)
    }
}
