//! One worker as the pool sees it, under the pool's lock.
//!
//! # States
//!
//! ```text
//!   (starting: the keeper's alone) ──hello──▶ Ready ──too large──▶ Retiring ──empty──▶ Stopping
//!                                               ├──has done as many tasks as it may──────▶
//!                                               └──time-out, cancel──▶ Killed
//!   any ──death──▶ (dying: until the collector has taken the last results)
//! ```

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use ropewalk_rt::process::ChildHandle;

use super::builder::Settings;
use super::job::Job;
use crate::ring::header;
use crate::ring::sender::{Sender, Shared};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Takes tasks.
    Ready,
    /// Takes no more, and is told to end once it has done what it has.
    Retiring,
    /// Was told to end.
    Stopping { since: Instant },
    /// Was sent SIGKILL because of the task it ran.
    Killed { job: u64, why: Kill },
}

/// Why a worker was killed in the middle of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kill {
    TimedOut,
    Cancelled,
    /// Its memory made no sense any more.
    Nonsense(&'static str),
}

/// A task that was given to the worker.
pub(super) struct Flight {
    pub(super) position: u64,
    pub(super) job: Box<Job>,
}

pub(super) struct Lane {
    pub(super) index: usize,
    /// Never used again, unlike the index.
    pub(super) generation: u64,
    pub(super) name: String,
    pub(super) phase: Phase,
    pub(super) sender: Sender,
    /// In the order of their positions. The first one is being run, or the next to be.
    pub(super) in_flight: VecDeque<Flight>,
    pub(super) child: Option<ChildHandle>,
    pub(super) pid: u32,
    pub(super) ready_at: Instant,
    pub(super) start_up: std::time::Duration,
    /// Tasks given to it and not taken back.
    pub(super) given: u64,
    /// It had no room for a payload, and has not finished anything since.
    pub(super) blocked: bool,
    /// What it has has taken so long that nothing is put behind it.
    pub(super) stalled: bool,
    /// The first position in flight, and since when it is known to be the first.
    pub(super) first_seen: Option<(u64, Instant)>,
    pub(super) to_ring: bool,
}

impl Lane {
    pub(super) fn shared(&self) -> &Arc<Shared> {
        self.sender.shared()
    }

    /// Whether it may be given a task when up to `window` may be in flight.
    pub(super) fn takes(&self, window: usize, tasks_max: Option<u64>) -> bool {
        self.phase == Phase::Ready
            && self.in_flight.len() < window
            && !self.blocked
            && (!self.stalled || self.in_flight.is_empty())
            && tasks_max.is_none_or(|max| self.given < max)
            && self.sender.room() > 0
    }

    /// Has it do no more than what it runs if it has more memory than it may; says whether that is
    /// new.
    pub(super) fn retire_if_too_large(&mut self, settings: &Settings) -> bool {
        let resident = || self.shared().status(header::RESIDENT);
        let too_large = settings.memory_max.is_some_and(|max| resident() > max);
        let retires = self.phase == Phase::Ready && too_large;
        if retires {
            self.phase = Phase::Retiring;
        }
        retires
    }

    /// Whether it has done all that it may do.
    pub(super) fn is_spent(&self, settings: &Settings) -> bool {
        let enough = settings.tasks_max.is_some_and(|max| self.given >= max);
        self.phase == Phase::Ready && enough && self.in_flight.is_empty()
    }

    /// Takes back the tasks behind the first one, newest first, down to `keep` in flight, as far
    /// as they have not begun; adds them to `back`.
    pub(super) fn take_back(&mut self, keep: usize, back: &mut Vec<Box<Job>>) {
        while self.in_flight.len() > keep {
            let newest = self.in_flight.back().expect("there are more than `keep`");
            if !self.sender.revoke(newest.position) {
                // It has begun, and so have all before it.
                return;
            }
            let flight = self.in_flight.pop_back().expect("it was there");
            self.given -= 1;
            back.push(flight.job);
        }
    }

    /// Kills the worker for the sake of the task that is in flight at place `at`, unless that is
    /// not what it runs. What was to come after goes to `back`: so the signal can hit this one
    /// task at most.
    pub(super) fn kill_running(&mut self, at: usize, why: Kill, back: &mut Vec<Box<Job>>) {
        if matches!(self.phase, Phase::Killed { .. }) {
            return;
        }
        let Flight { position, job } = &self.in_flight[at];
        let (position, job) = (*position, job.id);
        self.take_back(at + 1, back);
        // Tasks are run in order: if it runs, those before are done. And if one behind it has
        // begun, it is done itself.
        if self.in_flight.len() == at + 1 && self.shared().is_running(position) {
            self.phase = Phase::Killed { job, why };
            self.kill();
        }
    }

    /// Gives nothing more to a worker that has nothing, and ends it.
    pub(super) fn give_up(&mut self) {
        self.phase = Phase::Stopping {
            since: Instant::now(),
        };
        self.kill();
    }

    /// Sends SIGKILL.
    pub(super) fn kill(&self) {
        if let Some(child) = &self.child {
            // It can fail only for a process that has ended.
            let _ = child.kill();
        }
    }

    /// Has the worker end.
    pub(super) fn stop(&mut self) {
        self.phase = Phase::Stopping {
            since: Instant::now(),
        };
        self.sender.stop();
    }
}
