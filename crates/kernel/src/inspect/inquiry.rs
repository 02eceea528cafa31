//! A worker's part of a survey: what is parked on it.

use std::collections::HashMap;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;

use super::counters;
use super::seen::{Kind, Seen, State};
use super::walk::{Frames, Walker};
use crate::clock;
use crate::future::{self, Phase};
use crate::host::Host;
use crate::record::{self, DONE, Record, THREAD};
use crate::wait::Reason;
use crate::worker::{Worker, WorkerShared};

/// How long a worker works for a survey before others have their turn.
const SLICE_NS: u64 = 2_000_000;

/// Reads a record, as anybody may.
pub(super) fn look(record: &Record) -> Option<Seen> {
    let phase = future::phase_of(record);
    let since_ns = record.since_ns.load(Ordering::Relaxed);
    let home = record.home.load(Ordering::Relaxed) as usize;
    let of = record.runtime.load(Ordering::Relaxed) as usize;
    let snapshot = record::snapshot(record, ptr::null())?;
    let kind = match phase {
        _ if snapshot.thread => Kind::Thread,
        Phase::NotAsync => Kind::Coroutine,
        _ => Kind::AsyncTask,
    };
    let waits = snapshot.reason != Reason::None;
    let state = match (kind, phase) {
        _ if !snapshot.started => State::Fresh,
        (Kind::Thread, _) if waits => State::Blocked,
        (Kind::AsyncTask, Phase::Idle) => State::Parked,
        (Kind::AsyncTask, Phase::Scheduled) => State::Queued,
        _ if snapshot.reason == Reason::Yielded => State::Queued,
        _ if waits => State::Parked,
        _ => State::Running,
    };
    Some(Seen {
        snapshot,
        kind,
        state,
        runtime: None,
        worker: None,
        since_ns,
        deadline_ns: None,
        owner: None,
        frames: None,
        stack_bytes: None,
        home,
        of,
    })
}

/// A letter to one worker: it is to contribute its parked coroutines.
pub(crate) struct Inquiry {
    /// Runtime and worker.
    of: (usize, usize),
    measure_stacks: bool,
    sender: Sender<Answer>,
    /// Whether nobody waits for the answer any more.
    is_over: Arc<AtomicBool>,
    /// Where to go on.
    at: usize,
    walker: Walker,
    /// By the address of the record: when the waits of this worker's coroutines end.
    deadlines: Option<HashMap<usize, u64>>,
}

/// What a worker contributes in one slice.
pub(super) struct Answer {
    pub(super) of: (usize, usize),
    pub(super) seen: Vec<Seen>,
    pub(super) is_last: bool,
}

impl Inquiry {
    pub(super) fn new(
        of: (usize, usize),
        measure_stacks: bool,
        sender: Sender<Answer>,
        is_over: Arc<AtomicBool>,
    ) -> Inquiry {
        Inquiry {
            of,
            measure_stacks,
            sender,
            is_over,
            at: 0,
            walker: Walker::new(),
            deadlines: None,
        }
    }

    /// Contributes what can be done in a slice; gives what is left. In the worker's loop.
    pub(crate) fn answer(mut self: Box<Self>, worker: &Worker) -> Option<Box<Inquiry>> {
        /// Records, between two looks at the clock.
        const LOOKS: usize = 64;
        if self.is_over.load(Ordering::Relaxed) {
            return None;
        }
        let ends = clock::real_ns() + SLICE_NS;
        let mut seen = Vec::new();
        let mut rest = None;
        let deadlines = self
            .deadlines
            .take()
            .unwrap_or_else(|| worker.wait_deadlines());
        record::for_each(self.at, |at, record| {
            if let Some(mut task) = self.contribute(worker, record) {
                task.deadline_ns = deadlines.get(&(ptr::from_ref(record) as usize)).copied();
                seen.push(task);
            }
            if (at + 1).is_multiple_of(LOOKS) && clock::real_ns() > ends {
                rest = Some(at + 1);
            }
            rest.is_none()
        });
        let _ = self.sender.send(Answer {
            of: self.of,
            seen,
            is_last: rest.is_none(),
        });
        self.at = rest?;
        self.deadlines = Some(deadlines);
        Some(self)
    }

    fn contribute(&mut self, worker: &Worker, record: &Record) -> Option<Seen> {
        let host = worker.host_of(record)?;
        let mut seen = look(record)?;
        if self.measure_stacks {
            let used = host.touched_bytes();
            counters::note_stack_used(used);
            seen.stack_bytes = Some(used);
        }
        // SAFETY: `host_of` found it parked here, and we are in the loop.
        unsafe { worker.walk(record, host, &mut self.walker) };
        seen.frames = self.walker.take();
        seen.home = ptr::from_ref::<WorkerShared>(worker.me()) as usize;
        Some(seen)
    }
}

/// The stack of a coroutine that is parked on this worker. In the worker's loop.
pub(crate) fn stack_on(worker: &Worker, record: NonNull<Record>, id: u64) -> Option<Frames> {
    // SAFETY: type-stable.
    let this = unsafe { record.as_ref() };
    if this.id() != id || this.life.load(Ordering::Acquire) & DONE != 0 || this.has(THREAD) {
        return None;
    }
    let host: &Host = worker.host_of(this)?;
    let mut walker = Walker::new();
    // SAFETY: as in `contribute`.
    unsafe { worker.walk(this, host, &mut walker) };
    walker.take()
}
