//! What a pool's handle, its threads and its tasks share.

use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crossbeam_utils::CachePadded;
use ropewalk_kernel::runtime::current_worker;

use super::threads::PoolBroken;
use crate::cancel::shield;
use crate::executor::Refusal;
use crate::sync::Semaphore;

/// What a pool's handle, its threads and its tasks share. It does not hold the runtime, which
/// holds it.
pub(super) struct Common {
    /// Places in the queue, and how many there are.
    pub(super) places: Semaphore,
    pub(super) queue: usize,
    /// Room for tasks in progress, if that is limited.
    pub(super) room: Option<Semaphore>,
    pub(super) closed: AtomicBool,
    pub(super) broken: OnceLock<PoolBroken>,
    /// What its threads are called before their numbers, and the names of those that got others.
    pub(super) thread_name: String,
    pub(super) names: Box<[OnceLock<String>]>,
    /// By worker.
    pub(super) counts: Box<[CachePadded<Counts>]>,
}

/// Counters with one writer: the coroutines of one worker, which never run at the same time.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) begun: AtomicU64,
    pub(super) ended: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Release);
}

impl Common {
    /// What a worker's thread is called.
    pub(super) fn name(&self, worker: usize) -> String {
        match self.names.get(worker).and_then(OnceLock::get) {
            Some(name) => name.clone(),
            None => format!("{}-{worker}", self.thread_name),
        }
    }

    /// Why the pool takes nothing, if so.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        if let Some(broken) = self.broken.get() {
            return Some(Refusal::Broken(Box::new(broken.clone())));
        }
        self.closed
            .load(Ordering::SeqCst)
            .then_some(Refusal::Closed)
    }
}

/// A place in the queue, which goes with the closure that took it. `None` once it is given back.
pub(super) struct Ticket(Option<Arc<Common>>);

impl Ticket {
    /// The caller has taken a place, which is the ticket's.
    pub(super) fn new(common: &Arc<Common>) -> Ticket {
        Ticket(Some(Arc::clone(common)))
    }

    /// Begins the task: gives the place back, once there is room.
    pub(super) fn begin(mut self) -> Begun {
        if let Some(Some(room)) = self.0.as_ref().map(|common| &common.room) {
            // Nobody runs a task without room, also one that is cancelled while it waits. The
            // shield leaves no error.
            if let Ok(permit) = shield(|| room.acquire()) {
                permit.forget();
            }
        }
        let common = self.0.take();
        if let Some(common) = &common {
            common.places.release();
            if let Some(worker) = current_worker() {
                count(&common.counts[worker].begun);
            }
        }
        Begun(common)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(common) = &self.0 {
            common.places.release();
        }
    }
}

/// A task in progress.
pub(super) struct Begun(Option<Arc<Common>>);

impl Drop for Begun {
    fn drop(&mut self) {
        let Some(common) = &self.0 else { return };
        if let Some(worker) = current_worker() {
            count(&common.counts[worker].ended);
        }
        if let Some(room) = &common.room {
            room.release();
        }
    }
}

const _: () = assert!(
    mem::size_of::<Ticket>() == 8,
    "it lies in each task's record"
);
