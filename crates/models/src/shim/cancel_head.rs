//! Cancellation made small: a flag with each task, and below it the real slot of a thread.

use std::ptr::NonNull;

use crate::shim::atomic::{AtomicBool, Ordering};
use crate::shim::record::Record;
use crate::shim::sync::{Arc, Mutex, PoisonError};
use crate::wait::Wait;

thread_local! {
    static SLOT: std::cell::RefCell<Option<Arc<Slot>>> = std::cell::RefCell::new(None);
}

/// The error of a wait that was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

impl Cancelled {
    pub(crate) fn current() -> Cancelled {
        Cancelled
    }
}

pub(crate) fn is_cancelled(record: &Record) -> bool {
    record.cancelled.load(Ordering::SeqCst)
}

pub(crate) fn standing_of(record: &Record) -> Standing {
    if is_cancelled(record) {
        Standing::Cancelled { timed_out: false }
    } else {
        Standing::Free
    }
}

pub(crate) fn standing_of_thread() -> (Standing, Option<Arc<Slot>>) {
    let slot = SLOT.with(|slot| slot.borrow().clone());
    match &slot {
        Some(slot) if slot.cancelled.load(Ordering::SeqCst) => {
            (Standing::Cancelled { timed_out: false }, None)
        }
        _ => (Standing::Free, slot),
    }
}

pub(crate) fn check() -> Result<(), ()> {
    match standing_of_thread().0 {
        Standing::Cancelled { .. } => Err(()),
        _ => Ok(()),
    }
}

pub(crate) fn note_delivery(_: Option<&Record>) {}

/// Cancels a coroutine, as `cancel_task` does.
pub(crate) fn cancel_coroutine(record: &Record) {
    record.cancelled.store(true, Ordering::SeqCst);
    record.home.tell_cancelled();
}

/// Cancels a thread, as `cancel_task` does.
pub(crate) fn cancel_thread(slot: &Slot) {
    slot.cancelled.store(true, Ordering::SeqCst);
    slot.notify();
}

pub(crate) fn new_slot() -> Arc<Slot> {
    Arc::new(Slot::new())
}

/// Makes the calling thread one that is cancelled through `slot`.
pub(crate) fn enter_thread(slot: Arc<Slot>) {
    SLOT.with(|own| *own.borrow_mut() = Some(slot));
}

pub(crate) struct Signal;

impl Signal {
    fn send(&self) {}
}

#[derive(Clone, Copy)]
