//! How a runtime ends: who is waited for, who is cancelled, who is left.

use std::ptr::NonNull;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::Duration;

use super::{DRAINING, RUNNING, Runtime, STOPPING, Shared, begun_everywhere};
use crate::inspect::counters;
use crate::record::{Record, Snapshot};
use crate::wait::{self, Limit, Outcome, Reason};
use crate::worker::Worker;
use crate::{blocking, cancel, clock, fork, future, record, task, watcher};

/// Coroutines that had not ended when their runtime was stopped. They stay parked for ever.
#[derive(Clone, Debug)]
pub struct StillRunning {
    /// Who is left.
    pub left: Vec<Snapshot>,
}

impl std::fmt::Display for StillRunning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} coroutines had not ended at the deadline",
            self.left.len()
        )?;
        for left in self.left.iter().take(20) {
            write!(f, "\n  {left}")?;
        }
        if self.left.len() > 20 {
            write!(f, "\n  and {} more", self.left.len() - 20)?;
        }
        Ok(())
    }
}

impl std::error::Error for StillRunning {}

impl Runtime {
    /// Waits until nothing runs any more, `patience` at most, then stops the workers.
    ///
    /// Closures that never started are dropped; their handles say so.
    ///
    /// # Errors
    ///
    /// Who had not ended. They stay parked for ever, on their workers' threads, which
    /// don't exit.
    ///
    /// # Panics
    ///
    /// In a coroutine of this runtime, which could never end by itself.
    pub fn shutdown(&self, patience: Duration) -> Result<(), StillRunning> {
        self.stop(clock::deadline_after(patience), false)
    }

    /// As [`shutdown`](Self::shutdown), and cancels all tasks first, also those that are spawned
    /// meanwhile.
    ///
    /// # Errors
    ///
    /// As [`shutdown`](Self::shutdown).
    ///
    /// # Panics
    ///
    /// As [`shutdown`](Self::shutdown).
    pub fn close(&self, grace: Duration) -> Result<(), StillRunning> {
        self.stop(clock::deadline_after(grace), true)
    }

    /// Waits until no task is left, as `limit` allows. More may come meanwhile, and after.
    pub fn wait_quiet(&self, limit: Limit) -> Outcome {
        let shared = &self.shared;
        // From now on workers that idle tell of it.
        let _ =
            shared
                .state
                .compare_exchange(RUNNING, DRAINING, Ordering::SeqCst, Ordering::SeqCst);
        loop {
            while shared.live() != 0 && !shared.is_stopping() {
                let guard = shared.quiet.lock();
                if shared.live() == 0 {
                    break;
                }
                let outcome = guard.wait(0, Reason::Quiet, Arc::as_ptr(shared) as usize, limit);
                if outcome != Outcome::Woken {
                    return outcome;
                }
            }
            // A worker counts a task's end a few steps before it publishes it. Who waits for all
            // is to see them ended.
            if shared.is_stopping() || record::of_runtime(Arc::as_ptr(shared)).is_empty() {
                return Outcome::Woken;
            }
            thread::yield_now();
        }
    }

    fn is_inside(&self) -> bool {
        Worker::current()
            .is_some_and(|worker| Arc::as_ptr(&worker.shared) == Arc::as_ptr(&self.shared))
    }

    fn stop(&self, deadline: u64, cancelling: bool) -> Result<(), StillRunning> {
        // How often those that were spawned since are looked for.
        const AGAIN_NS: u64 = 20_000_000;
        assert!(
            !self.is_inside(),
            "a runtime can't be shut down from one of its own coroutines"
        );
        let shared = &self.shared;
        if shared.state.load(Ordering::SeqCst) == STOPPING || fork::is_child() {
            // A child has none of the threads that would have to end.
            return Ok(());
        }
        shared.state.store(DRAINING, Ordering::SeqCst);
        let mut cancel_again = cancelling;
        while shared.live() != 0 && (cancel_again || clock::now_ns() < deadline) {
            let mut until = deadline;
            if cancelling {
                shared.cancel_all();
                cancel_again = false;
                until = deadline.min(clock::now_ns() + AGAIN_NS);
            }
            let guard = shared.quiet.lock();
            if shared.live() == 0 {
                break;
            }
            guard.wait(
                0,
                Reason::Quiet,
                Arc::as_ptr(shared) as usize,
                Limit::until(Some(until)),
            );
        }
        shared.state.store(STOPPING, Ordering::SeqCst);
        shared.open_places();
        for worker in &shared.workers {
            worker.nudge();
        }
        if wait::may_wait() && !thread::panicking() {
            // A coroutine of another runtime doesn't keep that one's worker meanwhile.
            blocking::unblock(|| self.await_workers(deadline));
        } else {
            self.await_workers(deadline);
        }
        watcher::forget(shared, false);
        shared.cancel_queued();
        let left = self.living();
        // They never end: a program must not wait for that.
        left.iter().for_each(|task| record::give_up(task.id));
        if left.is_empty() {
            Ok(())
        } else {
            Err(StillRunning { left })
        }
    }

    /// Waits for the workers to leave their loops. One that computes on may never do.
    fn await_workers(&self, deadline: u64) {
        const GRACE_NS: u64 = 1_000_000_000;
        let shared = &self.shared;
        let (threads, gone) = shared.crew.take_handles();
        let mut stopped = shared
            .stopped
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let until = deadline.max(clock::now_ns()).saturating_add(GRACE_NS);
        while *stopped < threads.len() {
            if shared.live() == 0 {
                stopped = shared
                    .stopped_changed
                    .wait(stopped)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let Some(left) = until.checked_sub(clock::now_ns()).filter(|left| *left != 0) else {
                break;
            };
            let left = Duration::from_nanos(left.min(GRACE_NS));
            stopped = shared
                .stopped_changed
                .wait_timeout(stopped, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        drop(stopped);
        for thread in gone {
            let _ = thread.join();
        }
        for (index, thread) in threads {
            // Those with coroutines left never exit.
            if shared.workers[index].live_started() == 0 && shared.live() == 0 {
                let _ = thread.join();
            }
        }
    }
}

/// Cancels the tasks that are at home with this worker. In the worker's loop: none of them runs,
/// and none can end meanwhile, so that what is marked is no later user of the record.
pub(crate) fn cancel_all_of(worker: &Worker, mut runnable: impl FnMut(NonNull<Record>)) {
    worker.cancelling.set(true);
    for (task, id) in record::of_runtime(Arc::as_ptr(&worker.shared)) {
        // SAFETY: type-stable.
        let record = unsafe { task.as_ref() };
        // A sleeping async task is polled once more, by whichever worker, which marks it as it
        // starts it. One that waits inside a poll is parked here like a coroutine; its phase is
        // read before its home, which is written before.
        future::wake(record);
        let asleep = future::is_between_polls(record);
        let here = std::ptr::eq(record.home.load(Ordering::SeqCst), worker.me());
        if asleep || !here || record.has(record::THREAD) {
            continue;
        }
        record.set_flag(record::CANCELLED);
        if let Some(task) = cancel::receive_letter(worker, task, id) {
            runnable(task);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if fork::is_child() {
            return;
        }
        counters::retire(self);
        for worker in &self.workers {
            while worker.visitors.load(Ordering::Acquire) != 0 {
                thread::yield_now();
            }
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if self.is_inside() {
            // The last owner is one of its own coroutines: it can't wait for itself.
            self.shared.state.store(STOPPING, Ordering::SeqCst);
            for worker in &self.shared.workers {
                worker.nudge();
            }
            watcher::forget(&self.shared, true);
            return;
        }
        let _ = self.stop(clock::now_ns(), false);
    }
}

/// Waits until every task that isn't a daemon has ended, but for the caller.
///
/// Tasks that are spawned meanwhile count too.
pub fn wait_for_others() {
    if fork::is_child() {
        return;
    }
    let me = task::Task::current().id();
    loop {
        let before = begun_everywhere();
        let living = record::living(std::ptr::null());
        match living.iter().find(|task| !task.daemon && task.id != me) {
            Some(other) => record::wait_end(other.id),
            // Nobody was there. If nobody came while we looked, none slipped by.
            None if begun_everywhere() == before => return,
            None => {}
        }
    }
}
