//! What a process answers, as far as it is shown here.
//!
//! The process may be of another version: fields that are missing stand at their defaults, unknown
//! ones are passed over.

use std::collections::BTreeMap;

use serde::Deserialize;

/// All tasks at a moment.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Dump {
    pub(super) program: String,
    pub(super) runtimes: Vec<Runtime>,
    pub(super) groups: Vec<Group>,
}

/// A runtime of the process.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Runtime {
    pub(super) workers: u64,
    pub(super) driver: Option<String>,
    pub(super) live: u64,
    /// Those that did not answer: they compute.
    pub(super) silent_workers: Vec<u64>,
}

/// Tasks with equal stacks.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Group {
    pub(super) count: u64,
    pub(super) state: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) stack: Vec<Frame>,
    /// How many frames of the runtime were left out.
    pub(super) folded: u64,
    /// How long the first of them has waited.
    pub(super) waiting_ms_max: Option<u64>,
    /// Some or all of them.
    pub(super) tasks: Vec<Task>,
}

impl Group {
    /// Returns what they wait for, or else their state.
    pub(super) fn doing(&self) -> &str {
        let known = [self.reason.as_deref(), self.state.as_deref()];
        known
            .into_iter()
            .flatten()
            .find(|text| !text.is_empty())
            .unwrap_or("?")
    }

    /// Returns how long the first of them has waited, as far as it is known.
    pub(super) fn longest_ms(&self) -> Option<u64> {
        let known = self.tasks.iter().filter_map(|task| task.waiting_ms).max();
        self.waiting_ms_max.max(known)
    }

    /// Returns the function they are in, as far as it is known.
    pub(super) fn top(&self) -> Option<&Frame> {
        self.stack.first()
    }

    /// Tells groups apart from one snapshot to the next.
    pub(super) fn key(&self) -> String {
        let mut key = format!("{:?} {:?}", self.state, self.reason);
        for frame in &self.stack {
            key.push('\n');
            key.push_str(&frame.function);
            key.push_str(&frame.place().unwrap_or_default());
        }
        if self.stack.is_empty() {
            // Those without a stack are told apart by where they come from.
            key.extend(
                self.tasks
                    .first()
                    .and_then(|task| task.spawned_at.as_deref()),
            );
        }
        key
    }
}

/// A frame of a stack.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Frame {
    pub(super) function: String,
    pub(super) file: Option<String>,
    pub(super) line: Option<u64>,
}

impl Frame {
    /// Returns `file:line`.
    pub(super) fn place(&self) -> Option<String> {
        let file = self.file.as_ref()?;
        Some(match self.line {
            Some(line) => format!("{file}:{line}"),
            None => file.clone(),
        })
    }
}

/// A task.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Task {
    pub(super) id: u64,
    pub(super) name: Option<String>,
    pub(super) parent: Option<u64>,
    pub(super) kind: Option<String>,
    pub(super) spawned_at: Option<String>,
    pub(super) worker: Option<u64>,
    pub(super) age_ms: Option<u64>,
    pub(super) waiting_ms: Option<u64>,
    pub(super) object: Option<String>,
    pub(super) owner: Option<u64>,
    pub(super) stack_bytes: Option<u64>,
}

/// Counters of the runtime.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Metrics {
    pub(super) program: String,
    pub(super) uptime_ms: Option<u64>,
    pub(super) total: Total,
    pub(super) workers: Vec<Worker>,
}

/// Sums over the workers.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Total {
    #[serde(alias = "resumed")]
    pub(super) resumes: Option<u64>,
    #[serde(alias = "spawned")]
    pub(super) spawns: Option<u64>,
    #[serde(alias = "stolen")]
    pub(super) steals: Option<u64>,
    #[serde(alias = "stacks")]
    pub(super) stacks_in_use: Option<u64>,
    #[serde(alias = "live_tasks")]
    pub(super) live: Option<u64>,
}

/// A worker's counters.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Worker {
    pub(super) runtime: u64,
    pub(super) index: u64,
    #[serde(alias = "resumed")]
    pub(super) resumes: Option<u64>,
    pub(super) queue_len: Option<u64>,
    pub(super) queue_latency_ns: Option<Latency>,
    /// How many times tasks have parked here, by reason.
    pub(super) parks: BTreeMap<String, u64>,
}

/// How long tasks have waited in a run queue, in nanoseconds, since the process began.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Latency {
    pub(super) p50: Option<u64>,
    pub(super) p99: Option<u64>,
    pub(super) max: Option<u64>,
    /// An upper bound, and how many times are below it but not below the one before.
    pub(super) buckets: Vec<(u64, u64)>,
}

impl Metrics {
    /// Returns how many times tasks have parked for each reason, on all workers.
    pub(super) fn parks(&self) -> BTreeMap<&str, u64> {
        let mut parks = BTreeMap::new();
        for worker in &self.workers {
            for (reason, count) in &worker.parks {
                *parks.entry(reason.as_str()).or_default() += count;
            }
        }
        parks
    }
}
