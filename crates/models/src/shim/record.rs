//! A task's record, as far as waiting looks at it.

use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use super::atomic::AtomicBool;
use super::worker::Home;
use crate::wait::Wait;

pub(crate) struct Record {
    pub(crate) home: Arc<Home>,
    /// Its worker's own.
    pub(crate) wait: Cell<Named>,
    pub(crate) cancelled: AtomicBool,
}

// SAFETY: `wait` is only touched by the thread that plays its worker.
unsafe impl Send for Record {}
// SAFETY: as above.
unsafe impl Sync for Record {}

impl Record {
    pub(crate) fn new() -> Record {
        Record {
            home: Arc::new(Home::new()),
            wait: Cell::new(Named::NONE),
            cancelled: AtomicBool::new(false),
        }
    }
}

/// The wait that a coroutine is parked in.
#[derive(Clone, Copy)]
pub(crate) struct Named(*const Wait);

impl Named {
    pub(crate) const NONE: Named = Named(ptr::null());

    pub(crate) fn queue(wait: &Wait) -> Named {
        Named(wait)
    }

    /// # Safety
    ///
    /// The coroutine that named it is parked in it, on the calling worker.
    pub(crate) unsafe fn cancel(self) -> Option<NonNull<Record>> {
        // SAFETY: by the contract above.
        unsafe { self.0.as_ref() }?.cancel()
    }
}
