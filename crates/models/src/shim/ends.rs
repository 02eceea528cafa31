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
    pub(crate) behaviour: std::cell::Cell<Option<&'static Behaviour>>,
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

pub(crate) struct Behaviour {
    pub(crate) drop_outcome: unsafe fn(&Record) -> bool,
}

static BEHAVIOUR: Behaviour = Behaviour {
    drop_outcome: |record| {
        // SAFETY: the outcome is the caller's.
        drop(unsafe { (*record.payload.get()).take() }.expect("an outcome that is there"));
        false
    },
};

/// No task here belongs to one.
pub(crate) struct Scope;

impl Scope {
    pub(crate) fn leave(&self) {}

    pub(crate) fn note_panic(&self) {}
}

impl Record {
    pub(crate) fn new(life: u32) -> Record {
        Record {
            life: AtomicU32::new(life),
            done: WaitQueue::new(),
            scope: Cell::new(ptr::null()),
            behaviour: std::cell::Cell::new(Some(&BEHAVIOUR)),
            freed: Cell::new(false),
            payload: UnsafeCell::new(None),
            extra: Extra {
                callbacks: Mutex::default(),
            },
        }
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

pub(crate) mod identity {
    /// No task here joins itself.
    pub(crate) fn is(_: &super::Record) -> bool {
        false
    }
}
