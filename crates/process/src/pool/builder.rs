//! How a pool of processes is to be.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ropewalk_rt::executor::TaskFn;
use ropewalk_rt::executor::tasks::TaskEntry;
use serde::Serialize;

use super::{Initializer, ProcessPool};
use crate::StartError;
use crate::pass;

/// How a [`ProcessPool`] is to be started; from [`ProcessPool::builder`].
#[derive(Clone)]
#[must_use = "a builder does nothing until `build`"]
pub struct ProcessPoolBuilder {
    settings: Settings,
    error: Option<Arc<StartError>>,
}

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) workers: usize,
    pub(super) name: String,
    pub(super) queue: usize,
    pub(super) env: Vec<(String, String)>,
    pub(super) handshake_timeout: Duration,
    pub(super) task_timeout: Option<Duration>,
    pub(super) tasks_max: Option<u64>,
    pub(super) memory_max: Option<u64>,
    pub(super) stack_size: usize,
    pub(super) arena: u32,
    pub(super) slots: u32,
    pub(super) spin_ns: u64,
    pub(super) prefix_output: bool,
    pub(super) initializer: Option<Initializer>,
}

impl ProcessPoolBuilder {
    pub(super) fn new() -> ProcessPoolBuilder {
        ProcessPoolBuilder {
            settings: Settings {
                workers: thread::available_parallelism().map_or(1, usize::from),
                name: "pool".to_owned(),
                queue: 1024,
                env: Vec::new(),
                handshake_timeout: Duration::from_secs(30),
                task_timeout: None,
                tasks_max: None,
                memory_max: None,
                stack_size: 8 << 20,
                arena: 1 << 20,
                slots: 256,
                spin_ns: 20_000,
                prefix_output: false,
                initializer: None,
            },
            error: None,
        }
    }

    /// Sets the number of worker processes; a core each if not said.
    ///
    /// # Panics
    ///
    /// With 0.
    pub fn workers(mut self, n: usize) -> Self {
        assert!(n > 0, "a pool without workers");
        self.settings.workers = n;
        self
    }

    /// Names the workers `name-0`, `name-1` and so on; `ps` shows the first 15 bytes.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.settings.name = name.into();
        self
    }

    /// Sets how many tasks may wait in this process until a worker has room for them; 1024 if not
    /// said. Submitting to a full queue waits.
    ///
    /// # Panics
    ///
    /// With 0.
    pub fn queue(mut self, n: usize) -> Self {
        assert!(n > 0, "a queue without places");
        self.settings.queue = n;
        self
    }

    /// Adds a variable to the workers' environment.
    pub fn env(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.env.push((key.into(), value.into()));
        self
    }

    /// Sets how long a worker may take from its start until it is ready, initialiser included; 30
    /// seconds if not said.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.settings.handshake_timeout = timeout;
        self
    }

    /// Sets how long a task may run: then its worker is killed and replaced, and joining the task
    /// gives [`JoinError::TimedOut`](ropewalk_rt::JoinError::TimedOut). The wait in the queue
    /// doesn't count. See also [`ProcessPool::with_timeout`].
    pub fn task_timeout(mut self, timeout: Duration) -> Self {
        self.settings.task_timeout = Some(timeout);
        self
    }

    /// Replaces a worker when it has run `n` tasks (a chunk counts as one).
    ///
    /// # Panics
    ///
    /// With 0.
    pub fn max_tasks_per_child(mut self, n: u64) -> Self {
        assert!(n > 0, "workers that may run no task");
        self.settings.tasks_max = Some(n);
        self
    }

    /// Replaces a worker when more than `bytes` of its memory are resident after a task. It is
    /// looked at once in a millisecond at most.
    pub fn max_memory_per_child(mut self, bytes: u64) -> Self {
        self.settings.memory_max = Some(bytes);
        self
    }

    /// Sets the usable stack of tasks, in bytes; 8 MiB if not said. Overflowing it ends the
    /// worker.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.settings.stack_size = bytes;
        self
    }

    /// Sets how many bytes of each worker's shared memory are for arguments, and again as many for
    /// results; 1 MiB if not said. A payload of more than a quarter of it, or
    /// that finds no room, travels in a file of its own, which takes a few system calls.
    pub fn arena_size(mut self, bytes: u32) -> Self {
        self.settings.arena = bytes.clamp(4096, 1 << 30).next_multiple_of(4096);
        self
    }

    /// Has what workers write to standard output and standard error come out line by line, with
    /// the worker's name in front: `pool-1| …`. If not asked for, they write to ours themselves.
    pub fn prefix_output(mut self, prefix: bool) -> Self {
        self.settings.prefix_output = prefix;
        self
    }

    /// Calls `task` with `args` in each worker before it runs anything else, also in
    /// replacements. The arguments may have handles in them: ends of pipes, queues, shared memory,
    /// locks. If it fails, the worker is not used.
    ///
    /// `task` must be registered, as one that is submitted.
    pub fn initializer<F, A>(mut self, task: F, args: A) -> Self
    where
        F: TaskFn<A>,
        A: Serialize + Send + Sync + 'static,
    {
        match TaskEntry::of::<F, A>(&task) {
            Some(entry) => {
                let index = entry.index();
                self.settings.initializer = Some(Arc::new(move || {
                    let mut bytes = Vec::new();
                    let fds = pass::encode(&args, &mut bytes)
                        .map_err(|error| StartError::Encode(error.into()))?;
                    Ok((index, bytes, fds))
                }));
            }
            None => {
                let function = std::any::type_name::<F>();
                self.error = Some(Arc::new(StartError::NotATask { function }));
            }
        }
        self
    }

    /// Starts the pool. Its workers begin in the background; tasks may be submitted at once.
    ///
    /// # Errors
    ///
    /// [`StartError`], above all if the start-up hook has not run, or in a worker.
    pub fn build(self) -> Result<ProcessPool, StartError> {
        if let Some(error) = self.error {
            return Err(
                Arc::into_inner(error).unwrap_or_else(|| StartError::NotBegun {
                    why: "its initialiser is not registered as a task".to_owned(),
                }),
            );
        }
        ProcessPool::start(self.settings)
    }
}
