//! The thread that takes results from all workers, settles their promises, and hands out what is
//! queued into the room they leave.
//!
//! # Sleeping
//!
//! It looks for results for a while, as long as that has helped lately, and then sleeps on the
//! pool's bell, which all workers ring. While many tiny tasks are under way it naps instead:
//! workers then ring only if they run dry or have done a good part of what they were given, and
//! the alarm makes sure that no result waits for longer than [`NAP`]. So the ringing is a system
//! call for dozens of tasks.
//!
//! Others of this process set `attention` and ring: it is looked at after the bell's word says
//! asleep, so it is not missed.

use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::{Duration, Instant};

use ropewalk_kernel::blocking;
use ropewalk_rt::JoinError;
use ropewalk_rt::executor::tasks::Panic;

use super::Inner;
use super::job::Job;
use super::lane::{Kill, Phase};
use super::state::{After, State};
use super::wire::outcome;
use crate::ring::bell::{Bell, Spin};
use crate::ring::payload::Arrived;
use crate::ring::reader::{Nonsense, Reader, Taken};

/// How long a result may lie there while tiny tasks are under way.
const NAP: Duration = Duration::from_micros(250);
/// Tasks are tiny up to this.
const TINY_NS: u64 = 20_000;
/// How many results are taken before they are settled.
const BATCH: usize = 64;

pub(super) struct Collector {
    inner: Arc<Inner>,
    readers: Vec<Known>,
    buffer: Vec<u8>,
    taken: Vec<Taken>,
    jobs: Vec<Option<Box<Job>>>,
}

struct Known {
    generation: u64,
    reader: Reader,
    /// What it writes makes no sense: it is not read any more.
    broken: bool,
}

impl Collector {
    pub(super) fn new(inner: Arc<Inner>) -> Collector {
        Collector {
            inner,
            readers: Vec::new(),
            buffer: Vec::new(),
            taken: Vec::new(),
            jobs: Vec::new(),
        }
    }

    /// Runs until no worker is left and none will come.
    pub(super) fn run(mut self) {
        let inner = Arc::clone(&self.inner);
        let bell = Bell::new(&inner.bell, 0);
        let mut spin = Spin::new(inner.settings.spin_ns);
        loop {
            let some = self.collect_all();
            let attention = inner.attention.swap(false, Ordering::SeqCst);
            if some && !attention {
                continue;
            }
            if attention {
                self.meet_and_bury();
            }
            let Some((alarm, nap)) = self.look_after() else {
                break;
            };
            let has_work = || {
                inner.attention.load(Ordering::SeqCst)
                    || self
                        .readers
                        .iter()
                        .any(|known| !known.broken && known.reader.has_some())
            };
            if spin.until(has_work) {
                continue;
            }
            bell.sleep(nap, alarm, has_work);
        }
        inner.ended.set();
    }

    /// Takes what there is from every worker, once; says whether there was any.
    fn collect_all(&mut self) -> bool {
        let mut some = false;
        for at in 0..self.readers.len() {
            some |= self.collect(at);
        }
        some
    }

    /// Takes up to a batch of results from one worker and settles them; says whether there was
    /// any.
    fn collect(&mut self, at: usize) -> bool {
        let known = &mut self.readers[at];
        if known.broken || !known.reader.has_some() {
            return false;
        }
        self.buffer.clear();
        let mut nonsense = None;
        while self.taken.len() < BATCH {
            match known.reader.take(&mut self.buffer) {
                Ok(Some(taken)) => self.taken.push(taken),
                Ok(None) => break,
                Err(Nonsense(what)) => {
                    known.broken = true;
                    nonsense = Some(what);
                    break;
                }
            }
        }
        let generation = known.generation;
        let next = known.reader.next();
        let times: Vec<(u64, u64)> = self
            .taken
            .iter()
            .map(|taken| (taken.position, taken.spent_ns))
            .collect();
        let settings = &self.inner.settings;
        let mut after = After::default();
        {
            let mut state = self.inner.state();
            state.collected(generation, &times, next, &mut self.jobs, settings);
            if state.has_lost_one(generation, next) {
                self.readers[at].broken = true;
                nonsense = Some("a task that nobody took back");
            }
            if let Some(what) = nonsense {
                kill_for_nonsense(&mut state, generation, what);
            }
            state.go_on(settings, &mut after);
        }
        self.inner.finish(after);
        for (taken, job) in self.taken.drain(..).zip(self.jobs.drain(..)) {
            if let Some(job) = job {
                self.inner.settle(job, taken, &self.buffer);
            }
        }
        if self.buffer.capacity() > 1 << 20 {
            self.buffer = Vec::new();
        }
        true
    }

    /// Learns of workers that have come, and takes the last results of those that have died.
    fn meet_and_bury(&mut self) {
        let dead: Vec<u64> = {
            let mut state = self.inner.state();
            for (generation, reader) in state.new_readers.drain(..) {
                self.readers.push(Known {
                    generation,
                    reader,
                    broken: false,
                });
            }
            let dying = state.dying.iter();
            dying.map(|dying| dying.lane.generation).collect()
        };
        for generation in dead {
            let at = self
                .readers
                .iter()
                .position(|known| known.generation == generation);
            let mut running = None;
            if let Some(at) = at {
                while self.collect(at) {}
                let known = self.readers.swap_remove(at);
                running = if known.broken {
                    Some(known.reader.next())
                } else {
                    known.reader.was_running()
                };
            }
            let mut after = After::default();
            {
                let mut state = self.inner.state();
                state.buried(generation, running, &mut after);
                state.go_on(&self.inner.settings, &mut after);
            }
            self.inner.finish(after);
        }
    }

    /// Looks after tasks that take long. Says when to look again, and whether a nap is enough
    /// until then. `None` at the end.
    fn look_after(&mut self) -> Option<(Option<Instant>, bool)> {
        let mut after = After::default();
        let (alarm, nap, kept) = {
            let mut state = self.inner.state();
            let mut alarm = state.look_after(&self.inner.settings, &mut after);
            let outstanding = state.outstanding();
            let tiny = state.mean_ns != 0 && state.mean_ns < TINY_NS;
            let nap = tiny && outstanding > 2 * state.lanes.len();
            if nap {
                let at = Instant::now() + NAP;
                alarm = Some(alarm.map_or(at, |alarm| alarm.min(at)));
            }
            let settling = self.inner.settling.load(Ordering::SeqCst) > 0;
            (
                alarm,
                nap,
                state.kept && state.dying.is_empty() && !settling,
            )
        };
        self.inner.finish(after);
        (!kept).then_some((alarm, nap))
    }
}

fn kill_for_nonsense(state: &mut State, generation: u64, what: &'static str) {
    for lane in state.lanes.iter_mut().flatten() {
        if lane.generation == generation {
            if let Some(first) = lane.in_flight.front() {
                lane.phase = Phase::Killed {
                    job: first.job.id,
                    why: Kill::Nonsense(what),
                };
            }
            lane.kill();
        }
    }
}

fn settle_here(job: &mut Job, taken: &Taken, buffer: &[u8]) {
    if let Arrived::Lost(error) = &taken.payload {
        let error = format!("the result has come, but could not be received: {error}");
        return job.error(JoinError::Failed(error.into()));
    }
    let bytes = taken.payload.bytes(buffer);
    match taken.code {
        outcome::VALUE => job.value(bytes),
        outcome::PANIC => match postcard::from_bytes::<Panic>(bytes) {
            Ok(panic) => job.error(JoinError::from(panic)),
            Err(error) => {
                let error = format!("the task panicked, and its panic can't be read: {error}");
                job.error(JoinError::Failed(error.into()));
            }
        },
        outcome::FAILED => {
            let why = String::from_utf8_lossy(bytes).into_owned();
            job.error(JoinError::Failed(why.into()));
        }
        other => {
            let error = format!("the worker says that the task came out as {other}");
            job.error(JoinError::Failed(error.into()));
        }
    }
}

impl Inner {
    /// Settles a job with what its worker wrote. Large results are decoded elsewhere.
    fn settle(self: &Arc<Self>, mut job: Box<Job>, taken: Taken, buffer: &[u8]) {
        let Arrived::Opened(_) = taken.payload else {
            settle_here(&mut job, &taken, buffer);
            return;
        };
        self.settling.fetch_add(1, Ordering::SeqCst);
        let inner = Arc::clone(self);
        blocking::detach(move || {
            settle_here(&mut job, &taken, &[]);
            drop(taken);
            // The collector may be waiting for the last one.
            inner.settling.fetch_sub(1, Ordering::SeqCst);
            inner.attend();
        });
    }

    /// Has the collector look at everything.
    pub(super) fn attend(&self) {
        self.attention.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        Bell::new(&self.bell, 0).ring_always();
    }

    /// Does what was left for after the lock.
    pub(super) fn finish(&self, after: After) {
        if after.freed > 0 {
            self.room.add_permits(after.freed);
        }
        for (mut job, error) in after.ends {
            job.error(error);
        }
        if after.keeper {
            self.wake_keeper();
        }
        if after.collector {
            self.attend();
        }
    }
}
