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

/// So many coroutines' stacks are in the first-level cache anyway.
const FEW: u32 = 16;

/// Started coroutines in the order in which they run: a ring, so that those which come next
/// are known without touching the ones before them, and can be fetched into the cache ahead.
///
/// With a hundred coroutines and more that take turns this halves what a yield costs.
pub(crate) struct ReadyQueue {
    /// A power of two of places; never smaller than what is queued.
    places: Cell<*mut Place>,
    mask: Cell<u32>,
    /// Both run on and on; the difference is the length.
    head: Cell<u32>,
    tail: Cell<u32>,
}

type Place = Cell<*const Record>;

impl ReadyQueue {
    const PLACES_MIN: u32 = 256;

    pub(crate) fn new() -> ReadyQueue {
        ReadyQueue {
            places: Cell::new(places(Self::PLACES_MIN)),
            mask: Cell::new(Self::PLACES_MIN - 1),
            head: Cell::new(0),
            tail: Cell::new(0),
        }
    }

    #[inline]
    fn place(&self, index: u32) -> &Place {
        // SAFETY: there are `mask + 1` places.
        unsafe { &*self.places.get().add((index & self.mask.get()) as usize) }
    }

    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.tail.get().wrapping_sub(self.head.get())
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.head.get() == self.tail.get()
    }

    /// Who is at the end.
    pub(crate) fn last(&self) -> Option<NonNull<Record>> {
        if self.is_empty() {
            return None;
        }
        NonNull::new(self.place(self.tail.get().wrapping_sub(1)).get().cast_mut())
    }

    /// Puts a record at the end. It is in no other queue.
    #[inline]
    pub(crate) fn push(&self, record: NonNull<Record>) {
        if self.len() > self.mask.get() {
            self.resize((self.mask.get() + 1) * 2);
        }
        let tail = self.tail.get();
        self.place(tail).set(record.as_ptr());
        self.tail.set(tail.wrapping_add(1));
    }

    /// Takes the first, and fetches what the next ones will need.
    #[inline]
    pub(crate) fn pop(&self) -> Option<NonNull<Record>> {
        let len = self.len();
        if len == 0 {
            return None;
        }
        let head = self.head.get();
        let first = self.place(head).get();
        self.head.set(head.wrapping_add(1));
        if len > FEW {
            // The next one's record was fetched by the pop before this one; its host and the
            // frames below that are needed first. Of the one after it, the record.
            // SAFETY: a queued record is alive.
            let host = unsafe { &*self.place(head.wrapping_add(1)).get() }.host();
            for line in [0, -64, -128, -192, -256, -320] {
                prefetch(host.cast(), line);
            }
            prefetch(self.place(head.wrapping_add(2)).get().cast(), 0);
        } else if len == 1 && self.mask.get() >= 64 * Self::PLACES_MIN {
            // A crowd has gone: give its room back.
            self.resize(Self::PLACES_MIN);
        }
        NonNull::new(first.cast_mut())
    }

    #[cold]
    fn resize(&self, count: u32) {
        let fresh = places(count);
        let len = self.len();
        for index in 0..len {
            let record = self.place(self.head.get().wrapping_add(index)).get();
            // SAFETY: there are `count` places, more than are queued.
            unsafe { (*fresh.add(index as usize)).set(record) };
        }
        free(self.places.replace(fresh), self.mask.replace(count - 1) + 1);
        self.head.set(0);
        self.tail.set(len);
    }
}

fn places(count: u32) -> *mut Place {
    let places: Box<[Place]> = (0..count).map(|_| Cell::new(ptr::null())).collect();
    Box::into_raw(places).cast()
}

fn free(places: *mut Place, count: u32) {
    let places = ptr::slice_from_raw_parts_mut(places, count as usize);
    // SAFETY: made by `places` with this count, and not used any more.
    drop(unsafe { Box::from_raw(places) });
}

impl Drop for ReadyQueue {
    fn drop(&mut self) {
        free(self.places.get(), self.mask.get() + 1);
    }
}

/// Asks for the cache line at `base + offset`; any address will do.
#[inline]
fn prefetch(base: *const u8, offset: isize) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch has no effect but on the cache.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(base.wrapping_offset(offset).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (base, offset);
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
