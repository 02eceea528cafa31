//! Spans and events of tasks, for a subscriber of the crate `tracing`.
//!
//! Each coroutine and async task has a span of its own, without a parent: target `ropewalk`, name
//! `task`, level DEBUG, with the fields `id`, `task.name`, `kind`, `spawner` (the id of who spawned it)
//! and `spawned_at`. It is entered while the task runs: what the task's own code tells lies in it. At
//! level TRACE there are the events `spawn`, `resume`, `park` (with `reason` and `object`),
//! `pending` (an async task waits for its waker) and `end`.
//!
//! # Where the subscriber is called
//!
//! It is foreign code, and may use much stack and take locks. All but `spawn` is told in the worker's
//! loop, on the thread's own stack, where no coroutine runs: so a host does not take over a
//! fresh task without leaving its stack when this feature is on. `spawn` is told where the
//! spawning is done; in a coroutine with less than [`ROOM_BYTES`] of stack left it is told
//! when the task is first resumed. In the subscriber a wait of Ropewalk's panics (`no_wait`). A panic
//! of the subscriber is contained.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use tracing::{Level, Span};

use crate::future::{Phase, phase_of};
use crate::record::Record;
use crate::wait::{Reason, no_wait_in};
use crate::worker::Worker;

/// What a coroutine must have left of its stack for a subscriber to be called on it.
const ROOM_BYTES: usize = 64 << 10;

/// Calls foreign code.
fn tell<T>(f: impl FnOnce() -> T) -> Option<T> {
    let told = catch_unwind(AssertUnwindSafe(|| no_wait_in("a tracing subscriber", f)));
    // The hook has told of a panic; the drop of what it threw may panic too.
    told.map_err(std::mem::forget).ok()
}

fn has_room() -> bool {
    let Some(record) = Worker::current().and_then(Worker::current_record) else {
        return true;
    };
    // SAFETY: a running coroutine has a host.
    let (limit, top) = unsafe { &*record.host() }.bounds();
    let marker = 0u8;
    let here = std::hint::black_box(&raw const marker) as usize;
    !(limit..top).contains(&here) || here - limit >= ROOM_BYTES
}

/// Tells of a task that was spawned just now, and is in no queue yet.
pub(crate) fn spawned(record: &Record) {
    if tracing::enabled!(target: "ropewalk", Level::DEBUG) && has_room() {
        open(record);
    }
}

/// Gives the task its span.
#[cold]
fn open(record: &Record) -> Option<Span> {
    let span = tell(|| {
        let name = record.name();
        let kind = match phase_of(record) {
            Phase::NotAsync => "coroutine",
            _ => "async task",
        };
        let spawner = record.parent.load(Ordering::Relaxed);
        let site = record.site().map(tracing::field::display);
        let span = tracing::span!(
            target: "ropewalk",
            parent: None,
            Level::DEBUG,
            "task",
            id = record.id(),
            task.name = name.as_deref(),
            kind,
            spawner,
            spawned_at = site,
        );
        tracing::event!(target: "ropewalk", parent: &span, Level::TRACE, "spawn");
        span
    });
    let span = span.filter(|span| !span.is_disabled())?;
    let mut slot = record
        .extra()
        .span
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    *slot = Some(span.clone());
    Some(span)
}

/// Takes the span from a task that ends.
pub(crate) fn take(record: &Record) -> Option<Span> {
    let slot = &record.known_extra()?.span;
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Closes the span of a task that ended without having run.
pub(crate) fn forget(record: &Record) {
    if let Some(span) = take(record) {
        tell(|| drop(span));
    }
}

/// One turn of a task on its worker: from resume to park or end.
pub(crate) struct Turn(Option<Span>);

impl Turn {
    /// Tells that the task is about to run.
    pub(crate) fn begin(record: &Record) -> Turn {
        if !tracing::enabled!(target: "ropewalk", Level::DEBUG) {
            return Turn(None);
        }
        let known = record.known_extra().and_then(|extra| {
            let slot = extra.span.lock().unwrap_or_else(PoisonError::into_inner);
            tell(|| slot.clone()).flatten()
        });
        let Some(span) = known.or_else(|| open(record)) else {
            return Turn(None);
        };
        tell(|| {
            span.with_subscriber(|(id, subscriber)| subscriber.enter(id));
            tracing::event!(target: "ropewalk", parent: &span, Level::TRACE, "resume");
        });
        Turn(Some(span))
    }

    /// Tells what came of it: `parked` is the task if it still has its stack, `ended` the span of
    /// one that has ended.
    pub(crate) fn end(self, parked: Option<&Record>, ended: Option<Span>) {
        let Turn(Some(span)) = self else {
            if let Some(ended) = ended {
                tell(|| drop(ended));
            }
            return;
        };
        tell(|| {
            match (parked, &ended) {
                (Some(record), _) => {
                    let reason = record.reason.load(Ordering::Relaxed);
                    let reason = Reason::from_u8(reason).as_str();
                    let object = record.object.load(Ordering::Relaxed);
                    tracing::event!(target: "ropewalk", parent: &span, Level::TRACE, reason, object, "park");
                }
                (None, Some(_)) => {
                    tracing::event!(target: "ropewalk", parent: &span, Level::TRACE, "end");
                }
                (None, None) => {
                    tracing::event!(target: "ropewalk", parent: &span, Level::TRACE, "pending");
                }
            }
            span.with_subscriber(|(id, subscriber)| subscriber.exit(id));
            drop(ended);
            drop(span);
        });
    }
}
