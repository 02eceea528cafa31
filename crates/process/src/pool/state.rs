//! What the pool knows, under its lock: the queue, the workers, and who is given what.
//!
//! # Who does what
//!
//! A submitter puts its task into the queue and hands out what it can, itself. The collector
//! takes results, and hands out again into the room they leave. The keeper starts workers and
//! brings their deaths. All of it happens under one lock, which nobody holds while calling
//! foreign code: what is to be settled is gathered, and settled after the lock is given up.
//!
//! # How many tasks a worker is given ahead
//!
//! Ahead of what it runs a worker gets as many tasks as it is likely to do in [`WINDOW_NS`]: of
//! tiny ones as many as there are slots, so that neither side ever sleeps; of long ones just
//! one, so that it needn't wait for the next. Tiny tasks go to a worker that is awake, until it has
//! a few dozen microseconds' worth: waking another costs more than they do.
//!
//! What was given too early is taken back: when a worker has nothing and another one a
//! backlog (half of that), when a task turns out to be long (all behind it), and when a worker
//! doesn't begin (everything).

use std::sync::Arc;
use std::time::{Duration, Instant};

use ropewalk_rt::JoinError;

use super::builder::Settings;
use super::job::Job;
use super::lane::{Flight, Kill, Lane, Phase};
use super::queue::Queue;
use crate::ring::reader::Reader;
use crate::ring::sender::NoRoom;
use crate::ring::{header, now_ns};

/// How much work a worker is given ahead.
const WINDOW_NS: u64 = 500_000;
/// Up to this much work another worker is not woken.
const GATHER_NS: u64 = 20_000;
/// A backlog that is worth sharing.
const SHARE_NS: u64 = 50_000;
/// A task that has run for so long is long: nothing waits behind it.
const STALL: Duration = Duration::from_millis(10);
/// A worker that has not begun for so long with what it was given doesn't get the processor, or
/// was stopped: others may have it.
const ASLEEP: Duration = Duration::from_millis(100);
/// How long a worker may take to end when it was told to.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// How far the pool is.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    Open,
    /// Takes no more; does what it has.
    Closed,
    /// Does nothing more.
    Terminated,
    /// Its workers can't be started.
    Broken(Arc<str>),
}

/// A worker that has died, with results perhaps not taken.
pub(super) struct Dying {
    pub(super) lane: Lane,
    pub(super) status: std::process::ExitStatus,
}

pub(super) struct State {
    pub(super) stage: Stage,
    pub(super) queue: Queue,
    /// One place for each worker; empty while it starts.
    pub(super) lanes: Vec<Option<Lane>>,
    pub(super) dying: Vec<Dying>,
    /// Generation and results of workers that the collector doesn't know yet.
    pub(super) new_readers: Vec<(u64, Reader)>,
    /// The keeper has ended: no worker is left.
    pub(super) kept: bool,
    pub(super) next_id: u64,
    pub(super) generation: u64,
    /// How long tasks take, as an exponential mean; 0 if that is not known.
    pub(super) mean_ns: u64,
    /// The collector has set an alarm to see whether what runs is long after all.
    pub(super) watched: bool,
    /// Tasks whose outcome is known.
    pub(super) settled: u64,
    /// Workers that died or were replaced.
    pub(super) replaced: u64,
}

/// What has to be done once the lock is given up.
#[derive(Default)]
pub(super) struct After {
    pub(super) ends: Vec<(Box<Job>, JoinError)>,
    /// Places in the queue that are free again.
    pub(super) freed: usize,
    /// Whether the keeper has something to look at.
    pub(super) keeper: bool,
    /// Whether the collector has.
    pub(super) collector: bool,
}

impl After {
    pub(super) fn end(&mut self, mut job: Box<Job>, error: JoinError) {
        self.free(&mut job);
        self.ends.push((job, error));
    }

    fn free(&mut self, job: &mut Job) {
        if std::mem::take(&mut job.has_place) {
            self.freed += 1;
        }
    }
}

impl State {
    pub(super) fn new(workers: usize) -> State {
        State {
            stage: Stage::Open,
            queue: Queue::default(),
            lanes: (0..workers).map(|_| None).collect(),
            dying: Vec::new(),
            new_readers: Vec::new(),
            kept: false,
            next_id: 0,
            generation: 0,
            mean_ns: 0,
            watched: false,
            settled: 0,
            replaced: 0,
        }
    }

    /// Tasks whose outcome isn't known: queued, and given to workers.
    pub(super) fn outstanding(&self) -> usize {
        let alive = self.lanes.iter().flatten();
        let in_flight: usize = alive.map(|lane| lane.in_flight.len()).sum();
        let dying: usize = self
            .dying
            .iter()
            .map(|dying| dying.lane.in_flight.len())
            .sum();
        self.queue.len() + in_flight + dying
    }

    fn window(&self, slots: u32) -> usize {
        match self.mean_ns {
            0 => 2,
            mean => (WINDOW_NS / mean).clamp(2, slots.into()) as usize,
        }
    }

    /// Gives what is queued to workers that have room, and rings for them.
    pub(super) fn dispatch(&mut self, settings: &Settings, after: &mut After) {
        let window = self.window(settings.slots);
        // Who is not watched may have a long task now: nothing is gathered behind it.
        let gather = if self.watched { GATHER_NS } else { 0 };
        let gather = gather.checked_div(self.mean_ns).unwrap_or(0) as usize;
        while let Some(job) = self.queue.first() {
            let Some(index) = pick(&self.lanes, gather, window, settings) else {
                break;
            };
            let lane = self.lanes[index].as_mut().expect("it was picked");
            match lane.sender.publish(job.code.0, &mut job.payload) {
                Ok(position) => {
                    let mut job = self.queue.pop().expect("it was the first");
                    after.free(&mut job);
                    lane.in_flight.push_back(Flight { position, job });
                    lane.given += 1;
                    lane.to_ring = true;
                }
                // Descriptors may be had again when something is finished.
                Err(_) if !lane.in_flight.is_empty() => lane.blocked = true,
                // It is dying, or can't be talked to any more: another one takes its place.
                Err(NoRoom::Gone) => lane.give_up(),
                Err(error) => {
                    let why = match error {
                        NoRoom::Full | NoRoom::Gone => {
                            "there is no room for its arguments".to_owned()
                        }
                        NoRoom::Failed(error) => error.to_string(),
                    };
                    let job = self.queue.pop().expect("it was the first");
                    let error = format!("the task can't be given to a worker: {why}");
                    after.end(job, JoinError::Failed(error.into()));
                }
            }
        }
        for lane in self.lanes.iter_mut().flatten() {
            if std::mem::take(&mut lane.to_ring) {
                lane.shared().bell().ring(true);
            }
        }
    }

    /// The worker with this generation, alive or dying.
    fn lane_mut(&mut self, generation: u64) -> Option<&mut Lane> {
        let alive = self.lanes.iter_mut().flatten();
        let dying = self.dying.iter_mut().map(|dying| &mut dying.lane);
        alive
            .chain(dying)
            .find(|lane| lane.generation == generation)
    }

    /// Results have come from a worker: these positions and times. Adds each one's job to
    /// `jobs`, or `None` if it was given up. `next` is the position that the reader has come to.
    pub(super) fn collected(
        &mut self,
        generation: u64,
        taken: &[(u64, u64)],
        next: u64,
        jobs: &mut Vec<Option<Box<Job>>>,
        settings: &Settings,
    ) {
        let mut mean = self.mean_ns;
        let Some(lane) = self.lane_mut(generation) else {
            jobs.extend(taken.iter().map(|_| None));
            return;
        };
        let mut known = 0;
        for &(position, spent_ns) in taken {
            let first = lane.in_flight.front();
            let is_first = first.is_some_and(|flight| flight.position == position);
            let flight = is_first.then(|| lane.in_flight.pop_front()).flatten();
            known += u64::from(flight.is_some());
            jobs.push(flight.map(|flight| flight.job));
            mean = match mean {
                0 => spent_ns.max(1),
                mean => (mean - mean / 16 + spent_ns / 16).max(1),
            };
        }
        lane.sender.collected(next);
        lane.blocked = false;
        // Going past what was taken back is no sign of life.
        lane.stalled &= taken.is_empty();
        lane.retire_if_too_large(settings);
        self.mean_ns = mean;
        self.settled += known;
    }

    /// Says whether the reader, which has come to `next`, went past a task without a result: the
    /// worker's memory says that it was taken back, and it was not.
    pub(super) fn has_lost_one(&mut self, generation: u64, next: u64) -> bool {
        let lane = self.lane_mut(generation);
        let first = lane.and_then(|lane| lane.in_flight.front());
        first.is_some_and(|flight| flight.position < next)
    }

    /// What is to be done after results or deaths: retire workers, share a backlog, hand out
    /// what is queued, and see whether the pool has ended.
    pub(super) fn go_on(&mut self, settings: &Settings, after: &mut After) {
        self.retire(settings);
        self.dispatch(settings, after);
        if self.queue.len() == 0 {
            self.share(settings, after);
        }
        self.end_if_done(after);
    }

    fn retire(&mut self, settings: &Settings) {
        let mut back = Vec::new();
        for lane in self.lanes.iter_mut().flatten() {
            if lane.phase == Phase::Retiring {
                lane.take_back(1, &mut back);
            }
            let retired = lane.phase == Phase::Retiring && lane.in_flight.is_empty();
            if retired || lane.is_spent(settings) {
                lane.stop();
            }
        }
        self.put_back(back);
    }

    pub(super) fn put_back(&mut self, jobs: Vec<Box<Job>>) {
        for job in jobs {
            self.queue.insert(job);
        }
    }

    /// Gives an idle worker half of what the one with the longest backlog has.
    fn share(&mut self, settings: &Settings, after: &mut After) {
        let window = self.window(settings.slots);
        let idle =
            |lane: &Lane| lane.in_flight.is_empty() && lane.takes(window, settings.tasks_max);
        if !self.lanes.iter().flatten().any(idle) {
            return;
        }
        let alive = self.lanes.iter_mut().flatten();
        let Some(longest) = alive.max_by_key(|lane| lane.in_flight.len()) else {
            return;
        };
        let waiting = longest.in_flight.len().saturating_sub(1);
        // The mean is made of what workers say: it may be anything.
        if waiting == 0 || self.mean_ns.saturating_mul(waiting as u64) < SHARE_NS {
            return;
        }
        let mut back = Vec::new();
        let keep = longest.in_flight.len() - waiting.div_ceil(2);
        longest.take_back(keep, &mut back);
        if !back.is_empty() {
            self.put_back(back);
            self.dispatch(settings, after);
        }
    }

    /// Looks after tasks that take long; says when to look again.
    pub(super) fn look_after(&mut self, settings: &Settings, after: &mut After) -> Option<Instant> {
        let now = Instant::now();
        let mut alarm: Option<Instant> = None;
        let mut set = |at: Instant| alarm = Some(alarm.map_or(at, |alarm| alarm.min(at)));
        let mut back = Vec::new();
        let several = self.lanes.len() > 1;
        let mut watched = false;
        let mut retiring = false;
        for lane in self.lanes.iter_mut().flatten() {
            // It may have told of its memory after its last result was taken.
            retiring |= lane.retire_if_too_large(settings);
            if let Phase::Stopping { since } = lane.phase {
                match now.checked_duration_since(since + STOP_GRACE) {
                    Some(_) => lane.kill(),
                    None => set(since + STOP_GRACE),
                }
                continue;
            }
            let Some(first) = lane.in_flight.front() else {
                lane.first_seen = None;
                continue;
            };
            let position = first.position;
            if let Some(timeout) = first.job.timeout {
                let left = time_left(lane, position, timeout);
                if left.is_zero() {
                    lane.kill_running(0, Kill::TimedOut, &mut back);
                } else if let Some(at) = now.checked_add(left) {
                    set(at);
                }
            }
            let since = match lane.first_seen {
                Some((seen, since)) if seen == position => since,
                _ => now,
            };
            lane.first_seen = Some((position, since));
            if !several || lane.phase != Phase::Ready {
                continue;
            }
            let (keep, patience) = match lane.shared().is_running(position) {
                true => (1, STALL),
                false => (0, ASLEEP),
            };
            if now < since + patience {
                set(since + patience);
                watched = true;
            } else {
                lane.take_back(keep, &mut back);
                lane.stalled = true;
            }
        }
        self.watched = watched;
        if retiring {
            self.retire(settings);
        }
        if !back.is_empty() {
            self.put_back(back);
            self.dispatch(settings, after);
        }
        alarm
    }

    /// A worker is dead, and its last results are taken. `running` is the position of the task
    /// that it took with it.
    pub(super) fn buried(&mut self, generation: u64, running: Option<u64>, after: &mut After) {
        let Some(at) = self
            .dying
            .iter()
            .position(|dying| dying.lane.generation == generation)
        else {
            return;
        };
        let Dying { lane, status } = self.dying.swap_remove(at);
        let mut back = Vec::new();
        for flight in lane.in_flight {
            if Some(flight.position) != running {
                back.push(flight.job);
                continue;
            }
            let error = match lane.phase {
                Phase::Killed { job, why } if job == flight.job.id => match why {
                    Kill::TimedOut => JoinError::TimedOut,
                    Kill::Cancelled => JoinError::Cancelled,
                    Kill::Nonsense(what) => JoinError::Failed(
                        format!("the worker's memory was broken ({what}), and it was killed")
                            .into(),
                    ),
                },
                _ => JoinError::WorkerDied {
                    pid: lane.pid,
                    status,
                },
            };
            self.settled += 1;
            after.end(flight.job, error);
        }
        self.put_back(back);
        after.keeper = true;
    }

    /// The handle of a job was cancelled: takes it out of the queue, or back, or kills the worker
    /// that runs it.
    pub(super) fn cancelled(&mut self, id: u64, settings: &Settings, after: &mut After) {
        if let Some(job) = self.queue.remove(id) {
            self.settled += 1;
            after.end(job, JoinError::Cancelled);
            self.end_if_done(after);
            return;
        }
        // It goes past what is taken back, so that there is room again.
        after.collector = true;
        let mut back = Vec::new();
        for lane in self.lanes.iter_mut().flatten() {
            let found = lane
                .in_flight
                .binary_search_by_key(&id, |flight| flight.job.id);
            // Taken-back jobs come in again behind newer ones, so the numbers need not be sorted.
            let found = found
                .ok()
                .or_else(|| lane.in_flight.iter().position(|flight| flight.job.id == id));
            let Some(at) = found else {
                continue;
            };
            let position = lane.in_flight[at].position;
            if lane.sender.revoke(position) {
                let flight = lane.in_flight.remove(at).expect("it was found");
                lane.given -= 1;
                self.settled += 1;
                after.end(flight.job, JoinError::Cancelled);
            } else {
                lane.kill_running(at, Kill::Cancelled, &mut back);
            }
            break;
        }
        self.put_back(back);
        self.go_on(settings, after);
    }

    /// Gives up what has not begun.
    pub(super) fn cancel_pending(&mut self, after: &mut After) {
        let mut jobs = self.queue.take_all();
        for lane in self.lanes.iter_mut().flatten() {
            lane.take_back(0, &mut jobs);
        }
        for job in jobs {
            self.settled += 1;
            after.end(job, JoinError::Cancelled);
        }
    }

    /// Gives up everything, and kills the workers.
    pub(super) fn give_up(
        &mut self,
        stage: Stage,
        after: &mut After,
        error: impl Fn() -> JoinError,
    ) {
        self.stage = stage;
        let mut jobs = self.queue.take_all();
        let alive = self.lanes.iter_mut().flatten();
        for lane in alive.chain(self.dying.iter_mut().map(|dying| &mut dying.lane)) {
            jobs.extend(lane.in_flight.drain(..).map(|flight| flight.job));
            lane.kill();
        }
        for job in jobs {
            self.settled += 1;
            after.end(job, error());
        }
        after.keeper = true;
    }

    /// Has the workers end if the pool is closed and there is nothing left to do.
    pub(super) fn end_if_done(&mut self, after: &mut After) {
        if matches!(self.stage, Stage::Open) || self.outstanding() > 0 {
            return;
        }
        for lane in self.lanes.iter_mut().flatten() {
            if matches!(lane.phase, Phase::Ready | Phase::Retiring) {
                lane.stop();
                // It sees to it that they do.
                after.collector = true;
            }
        }
        after.keeper = true;
    }
}

/// Which worker is to have the next task: one that has some, up to `gather`, or who has least.
fn pick(
    lanes: &[Option<Lane>],
    gather: usize,
    window: usize,
    settings: &Settings,
) -> Option<usize> {
    let mut best: Option<&Lane> = None;
    for lane in lanes.iter().flatten() {
        if !lane.takes(window, settings.tasks_max) {
            continue;
        }
        let ahead = lane.in_flight.len();
        if ahead > 0 && ahead < gather {
            return Some(lane.index);
        }
        // One that doesn't begin with what it is given gets something only if nobody else does.
        let rank = |lane: &Lane| (lane.stalled, lane.in_flight.len());
        if best.is_none_or(|best| rank(lane) < rank(best)) {
            best = Some(lane);
        }
    }
    best.map(|lane| lane.index)
}

/// How much longer the task at `position` may run, which is the first one in flight.
fn time_left(lane: &Lane, position: u64, timeout: Duration) -> Duration {
    if !lane.shared().is_running(position) {
        // It begins now at the earliest.
        return timeout.max(Duration::from_nanos(1));
    }
    let begun = lane.shared().status(header::BEGUN_NS);
    timeout.saturating_sub(Duration::from_nanos(now_ns().saturating_sub(begun)))
}
