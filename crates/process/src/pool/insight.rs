//! What a pool tells about itself.

use std::time::Duration;

use super::ProcessPool;
use crate::ring::header;

/// What is known of one worker; from [`ProcessPool::insight`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WorkerInsight {
    /// Its name, which `ps` shows.
    pub name: String,
    /// Its process.
    pub pid: u32,
    /// Tasks it has run. A chunk counts as one.
    pub tasks: u64,
    /// How long it has run them in all.
    pub busy: Duration,
    /// How long it had none to run.
    pub idle: Duration,
    /// How long it took from its start until it was ready.
    pub start_up: Duration,
    /// Tasks it has now: the one it runs, and those it was given ahead.
    pub in_flight: usize,
    /// Its resident memory after a task, in bytes, if it is limited: else it isn't looked at.
    pub resident: Option<u64>,
}

/// What is known of a pool of processes at one moment; from [`ProcessPool::insight`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PoolInsight {
    /// The workers that are ready.
    pub workers: Vec<WorkerInsight>,
    /// Tasks that wait in this process.
    pub queued: usize,
    /// Tasks whose outcome is known, results and errors alike.
    pub settled: u64,
    /// Workers that have ended: replaced, recycled or stopped.
    pub ended_workers: u64,
}

impl ProcessPool {
    /// Looks at the pool and each of its workers.
    pub fn insight(&self) -> PoolInsight {
        let state = self.inner.state();
        let memory = self.inner.settings.memory_max.is_some();
        let workers = state.lanes.iter().flatten().map(|lane| {
            let shared = lane.shared();
            let busy = Duration::from_nanos(shared.status(header::BUSY_NS));
            let resident = shared.status(header::RESIDENT);
            WorkerInsight {
                name: lane.name.clone(),
                pid: lane.pid,
                tasks: shared.status(header::DONE),
                busy,
                idle: lane.ready_at.elapsed().saturating_sub(busy),
                start_up: lane.start_up,
                in_flight: lane.in_flight.len(),
                resident: (memory && resident != 0).then_some(resident),
            }
        });
        PoolInsight {
            workers: workers.collect(),
            queued: state.queue.len(),
            settled: state.settled,
            ended_workers: state.replaced,
        }
    }

    /// The process ids of the workers that are ready.
    pub fn pids(&self) -> Vec<u32> {
        let state = self.inner.state();
        state.lanes.iter().flatten().map(|lane| lane.pid).collect()
    }
}
