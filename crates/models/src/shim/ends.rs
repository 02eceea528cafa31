//! A task's record, as far as its end looks at it.

use std::any::Any;
use std::ptr;

use loom::cell::Cell;

use super::atomic::AtomicU32;
use super::cell::UnsafeCell;
use super::sync::Mutex;
use crate::wait::WaitQueue;

pub(crate) struct Record {
    pub(crate) life: AtomicU32,
    pub(crate) done: WaitQueue,
    pub(crate) scope: Cell<*const Scope>,
    pub(crate) freed: Cell<bool>,
    payload: UnsafeCell<Option<Box<dyn Any>>>,
    extra: Extra,
}

// SAFETY: loom checks who uses what.
unsafe impl Send for Record {}
// SAFETY: as above.
unsafe impl Sync for Record {}

pub(crate) struct Extra {
    pub(crate) callbacks: Mutex<Callbacks>,
}

type Callback = Box<dyn FnOnce(&Record) + Send>;

#[derive(Default)]
pub(crate) struct Callbacks {
    pub(crate) list: Vec<Callback>,
    pub(crate) being_called: bool,
}

/// No task here belongs to one.
pub(crate) struct Scope;

impl Scope {
    pub(crate) fn leave(&self) {}
}

impl Record {
    pub(crate) fn new(life: u32) -> Record {
        Record {
            life: AtomicU32::new(life),
            done: WaitQueue::new(),
            scope: Cell::new(ptr::null()),
            freed: Cell::new(false),
            payload: UnsafeCell::new(None),
            extra: Extra {
                callbacks: Mutex::default(),
            },
        }
    }

    /// Has no coroutine-local values, nor anything else besides.
    pub(crate) fn has(&self, _: u8) -> bool {
        false
    }

    pub(crate) fn extra(&self) -> &Extra {
        &self.extra
    }

    /// # Safety
    ///
    /// The payload is the caller's.
    pub(crate) unsafe fn put(&self, outcome: impl Any) {
        // SAFETY: by the contract above.
        unsafe { *self.payload.get() = Some(Box::new(outcome)) };
    }
}

/// # Safety
///
/// The outcome is there, and the caller's.
pub(crate) unsafe fn discard_outcome(record: &Record) {
    // SAFETY: by the contract above.
    let outcome = unsafe { (*record.payload.get()).take() };
    drop(outcome.expect("an outcome that is there"));
}

/// # Safety
///
/// The outcome is there, and the caller's.
pub(crate) unsafe fn take<T: 'static>(record: &Record) -> T {
    // SAFETY: by the contract above.
    let outcome = unsafe { (*record.payload.get()).take() };
    *outcome
        .expect("an outcome that is there")
        .downcast()
        .expect("of this type")
}

/// # Safety
///
/// The outcome is there, and the caller's.
pub(crate) unsafe fn look<T: 'static>(record: &Record) -> *const T {
    // SAFETY: by the contract above.
    let outcome = unsafe { (*record.payload.get()).as_ref() };
    outcome
        .expect("an outcome that is there")
        .downcast_ref()
        .expect("of this type")
}

pub(crate) mod local {
    pub(crate) fn end(_: &super::Record) {}
}

pub(crate) mod identity {
    /// No task here joins itself.
    pub(crate) fn is(_: &super::Record) -> bool {
        false
    }
}
