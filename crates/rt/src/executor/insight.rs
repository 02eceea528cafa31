//! What a pool tells of its workers.

use std::time::Duration;

/// What one worker of a pool has done so far.
///
/// All pools give a list of these by a method `insights`. What a pool's "worker" is, it says itself: a
/// thread, a process, or one of the places of a [`CoroutinePool`](super::CoroutinePool).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerInsight {
    /// The worker's name.
    pub name: String,
    /// How many tasks it has run to their end; a chunk of a map counts as one.
    pub tasks: u64,
    /// For how long it has run tasks, waits inside them included.
    pub busy: Duration,
    /// For how long it has lived without one.
    pub idle: Duration,
    /// How long it took until it could take its first task.
    pub start_up: Duration,
}

impl WorkerInsight {
    /// Makes one of a worker that has done nothing yet.
    pub fn new(name: impl Into<String>) -> WorkerInsight {
        WorkerInsight {
            name: name.into(),
            ..WorkerInsight::default()
        }
    }

    /// The share of its life that it was busy, from 0 to 1.
    pub fn load(&self) -> f64 {
        let life = self.busy + self.idle;
        if life.is_zero() {
            return 0.0;
        }
        self.busy.as_secs_f64() / life.as_secs_f64()
    }
}
