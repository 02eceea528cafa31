//! Joins' surroundings: a deque with one place, and records that can be told of a cancellation.

use std::sync::Arc;

use loom::cell::Cell;
use loom::sync::{Condvar, Mutex};

use super::atomic::{AtomicU32, Ordering};
use crate::job::JobRef;

pub(crate) const CANCELLED: u8 = 16;
pub(crate) const REF: u32 = 1 << 8;

pub(crate) struct Record {
    pub(crate) life: AtomicU32,
    freed: Cell<bool>,
    told: Mutex<bool>,
    tell: Condvar,
    /// What a joiner waits as.
    joiner: Option<Arc<super::record::Record>>,
}

// SAFETY: loom checks who uses what.
unsafe impl Send for Record {}
// SAFETY: as above.
unsafe impl Sync for Record {}

impl Record {
    pub(crate) fn new(joiner: Option<Arc<super::record::Record>>) -> Record {
        Record {
            life: AtomicU32::new(REF),
            freed: Cell::new(false),
            told: Mutex::new(false),
            tell: Condvar::new(),
            joiner,
        }
    }

    pub(crate) fn id(&self) -> u64 {
        0
    }

    pub(crate) fn has(&self, _: u8) -> bool {
        self.joiner
            .as_ref()
            .is_some_and(|joiner| joiner.cancelled.load(Ordering::SeqCst))
    }

    pub(crate) fn set_flag(&self, _: u8) {
        assert!(!self.freed.get(), "cancelled after its end");
        *self.told.lock().expect("no model goes on after a panic") = true;
        self.tell.notify_all();
    }

    /// Waits until it is cancelled.
    pub(crate) fn wait_until_told(&self) {
        let mut told = self.told.lock().expect("no model goes on after a panic");
        while !*told {
            told = self
                .tell
                .wait(told)
                .expect("no model goes on after a panic");
        }
    }
}

/// The worker of one joiner, and its deque.
pub(crate) struct Worker(Mutex<Option<JobRef>>);

impl Worker {
    pub(crate) fn new() -> Worker {
        Worker(Mutex::new(None))
    }

    pub(crate) fn push_job(&self, job: JobRef) {
        *self.0.lock().expect("no model goes on after a panic") = Some(job);
    }

    pub(crate) fn take_back(&self, _: JobRef) -> bool {
        self.steal().is_some()
    }

    pub(crate) fn steal(&self) -> Option<JobRef> {
        self.0
            .lock()
            .expect("no model goes on after a panic")
            .take()
    }
}

pub(crate) mod cancel {
    use std::ptr::{self, NonNull};

    use super::{CANCELLED, Record};

    /// No task here stands under a token.
    pub(crate) struct Node;

    pub(crate) fn address_of(_: &Record) -> *const Node {
        ptr::null()
    }

    pub(crate) fn cancel_task(record: NonNull<Record>, _: u64) {
        // SAFETY: the caller's reference.
        unsafe { record.as_ref() }.set_flag(CANCELLED);
    }
}

pub(crate) mod task {
    use std::ptr::NonNull;

    use super::{Ordering, REF, Record};

    /// # Safety
    ///
    /// The caller has a reference, and does not use it again.
    pub(crate) unsafe fn release(record: NonNull<Record>) {
        // SAFETY: the caller's reference.
        let record = unsafe { record.as_ref() };
        let before = record.life.fetch_sub(REF, Ordering::AcqRel);
        assert!(before >= REF, "released once too often");
        if before == REF {
            assert!(!record.freed.replace(true), "freed twice");
        }
    }
}
