//! Queues of task records, linked through the records themselves: nothing is allocated.

use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::record::Record;

/// First in, first out, for one thread.
pub(crate) struct RunQueue {
    head: Cell<*const Record>,
    tail: Cell<*const Record>,
    len: Cell<usize>,
}

impl RunQueue {
    pub(crate) const fn new() -> RunQueue {
        RunQueue {
            head: Cell::new(ptr::null()),
            tail: Cell::new(ptr::null()),
            len: Cell::new(0),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len.get()
    }

    /// Puts a record at the end. It is in no other queue.
    #[inline]
    pub(crate) fn push(&self, record: NonNull<Record>) {
        // SAFETY: the queue's reference keeps it, and its link is the queue's.
        unsafe { record.as_ref() }.next.set(ptr::null());
        // SAFETY: a queued record is alive.
        match unsafe { self.tail.get().as_ref() } {
            Some(tail) => tail.next.set(record.as_ptr()),
            None => self.head.set(record.as_ptr()),
        }
        self.tail.set(record.as_ptr());
        self.len.set(self.len.get() + 1);
    }

    #[inline]
    pub(crate) fn pop(&self) -> Option<NonNull<Record>> {
        let head = NonNull::new(self.head.get().cast_mut())?;
        // SAFETY: a queued record is alive.
        let next = unsafe { head.as_ref() }.next.get();
        self.head.set(next);
        if next.is_null() {
            self.tail.set(ptr::null());
        }
        self.len.set(self.len.get() - 1);
        Some(head)
    }
}

/// Many producers, one consumer: records that other threads made runnable.
///
/// A Treiber stack that is always taken whole, so there is no ABA, and reversed, so that
/// what came first runs first.
pub(crate) struct Inbox {
    head: AtomicPtr<Record>,
}

impl Inbox {
    pub(crate) const fn new() -> Inbox {
        Inbox {
            head: AtomicPtr::new(ptr::null_mut()),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        // SeqCst: the last look before a worker sleeps, against `push` and then a look at
        // whether it sleeps.
        self.head.load(Ordering::SeqCst).is_null()
    }

    /// Puts a record in. It is in no other queue.
    pub(crate) fn push(&self, record: NonNull<Record>) {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            // SAFETY: ours until the exchange succeeds.
            unsafe { record.as_ref() }.next.set(head);
            match self.head.compare_exchange_weak(
                head,
                record.as_ptr(),
                Ordering::SeqCst,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(seen) => head = seen,
            }
        }
    }

    /// Takes all there is and gives each to `receive`, oldest first.
    pub(crate) fn drain(&self, mut receive: impl FnMut(NonNull<Record>)) {
        if self.head.load(Ordering::Relaxed).is_null() {
            return;
        }
        let mut newest = self
            .head
            .swap(ptr::null_mut(), Ordering::Acquire)
            .cast_const();
        let mut oldest: *const Record = ptr::null();
        // SAFETY: queued records are alive, and the list is ours since the swap.
        while let Some(record) = unsafe { newest.as_ref() } {
            let next = record.next.replace(oldest);
            oldest = newest;
            newest = next;
        }
        while let Some(record) = NonNull::new(oldest.cast_mut()) {
            // SAFETY: as above.
            oldest = unsafe { record.as_ref() }.next.get();
            receive(record);
        }
    }
}
