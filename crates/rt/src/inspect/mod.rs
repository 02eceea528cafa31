//! Seeing inside a running program: every task with its stack, and what it waits for.
//!
//! [`dump`] looks at all coroutines, async tasks and threads of the process that this crate
//! started, and groups them by equal stacks. It is text by `Display`, and JSON by
//! [`Dump::to_json`]. It works from threads and from coroutines, while everything goes on: each
//! task is seen at a moment of its own. A worker that computes can't say what is parked on it:
//! the dump waits half a second for such, then says so, and has what is known without it.
//!
//! [`on_sigquit`] makes `kill -QUIT` write a dump to standard error.
//!
//! [`metrics`] reads what the workers count: JSON, and the text form of Prometheus.
//!
//! | state | meaning |
//! |---|---|
//! | fresh | spawned, has not begun, has no stack |
//! | queued | could run, waits for its turn |
//! | running | runs; its stack is only looked at if its worker does not answer |
//! | parked | a coroutine or async task that waits |
//! | blocked | a thread that waits |
//!
//! Stacks are those of parked coroutines; and of one that keeps its worker from answering, if its
//! runtime is watched ([`RuntimeBuilder::watch`](crate::RuntimeBuilder::watch)). An async task between two polls has none, and what a
//! thread has can only be seen by itself. Who holds a lock that is waited for is known where
//! locks are tracked: in debug builds, or as [`deadlock`](crate::deadlock) says.
//!
//! A dump holds up each worker for two milliseconds at a time, and costs a microsecond or two for
//! each parked coroutine.

mod dump;
mod json;
mod metrics;
mod serve;
mod sigquit;
mod text;

use std::time::Duration;

use ropewalk_kernel::inspect::{self as kernel, Plan, Subject};

pub use dump::{Dump, Frame, Group, Kind, RuntimeInfo, SilentWorker, State, TaskInfo};
pub use metrics::{Counters, Latency, Metrics, WorkerMetrics, metrics};
pub use serve::{Server, serve};
pub use sigquit::on_sigquit;

/// Looks at every task of the process, in all runtimes.
///
/// In a coroutine only the coroutine waits; inside [`no_wait`](crate::coroutine::no_wait) the
/// thread does.
///
/// # Examples
///
/// ```
/// # let runtime = ropewalk_rt::Runtime::builder().workers(1).build()?;
/// # runtime.run(|| {
/// let gate = std::sync::Arc::new(ropewalk_rt::sync::Semaphore::new(0));
/// let waiter = {
///     let gate = gate.clone();
///     ropewalk_rt::spawn(move || drop(gate.acquire()))
/// };
/// # while !ropewalk_rt::inspect::dump().to_string().contains("waiting for a permit") {
/// #     ropewalk_rt::coroutine::yield_now();
/// # }
/// let dump = ropewalk_rt::inspect::dump();
/// assert!(dump.to_string().contains("waiting for a permit"));
/// # gate.add_permits(1);
/// # waiter.join().unwrap();
/// # });
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn dump() -> Dump {
    dump_with(&DumpOptions::default())
}

/// As [`dump`], with settings.
pub fn dump_with(options: &DumpOptions) -> Dump {
    take(Subject::EVERYTHING, options.plan)
}

pub(crate) fn dump_of(runtime: &ropewalk_kernel::runtime::Runtime) -> Dump {
    take(Subject::of(runtime), Plan::default())
}

fn take(subject: Subject, plan: Plan) -> Dump {
    let here = subject.clone();
    kernel::on_thread(move || Dump::new(kernel::survey(&subject, plan), true)).unwrap_or_else(
        || {
            // On this stack, which may be a small one: without a look at those of others.
            let plan = Plan {
                ask_workers: false,
                ..plan
            };
            Dump::new(kernel::survey(&here, plan), false)
        },
    )
}

/// What a dump is to look at.
#[derive(Clone, Debug, Default)]
pub struct DumpOptions {
    plan: Plan,
}

impl DumpOptions {
    /// The defaults: half a second of patience, stacks not measured.
    pub fn new() -> DumpOptions {
        DumpOptions::default()
    }

    /// Sets how long to wait for workers when none of them answers.
    pub fn patience(mut self, patience: Duration) -> DumpOptions {
        self.plan.patience = patience;
        self
    }

    /// Has the dump say how much of each parked coroutine's stack has ever been used, in whole
    /// pages. Costs a system call for each.
    ///
    /// "Ever" is since the stack last gave its memory back: what an earlier coroutine on the
    /// same stack used counts too.
    pub fn measure_stacks(mut self, measure: bool) -> DumpOptions {
        self.plan.measure_stacks = measure;
        self
    }
}
