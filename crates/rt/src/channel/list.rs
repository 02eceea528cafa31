//! The unbounded buffer: crossbeam-queue's `SegQueue`, a list of blocks, and a flag that closes
//! it.
//!
//! A sender looks at the flag before it pushes and again after; whoever closes sets it first and
//! empties the list next. All `SeqCst`: so a message pushed while the last receiver goes is
//! dropped by one of the two.

use std::sync::atomic::{AtomicBool, Ordering, compiler_fence, fence};

use crossbeam_queue::SegQueue;
use ropewalk_kernel::wait::in_coroutine;

use super::buffered::{Buffer, Hold, Popped, Refusal};

pub(super) struct List<T> {
    messages: SegQueue<T>,
    closed: AtomicBool,
}

impl<T> List<T> {
    pub(super) fn new() -> List<T> {
        List {
            messages: SegQueue::new(),
            closed: AtomicBool::new(false),
        }
    }
}

impl<T> Buffer for List<T> {
    type Message = T;
    const BOUNDED: bool = false;

    #[inline]
    fn push(&self, message: T) -> Result<(), (Refusal, T)> {
        if self.is_closed() {
            return Err((Refusal::Closed, message));
        }
        self.messages.push(message);
        // Between the push and the looks at the flag and at the waiters. On x86 the push's own
        // compare-and-swap is a full barrier.
        if cfg!(target_arch = "x86_64") {
            compiler_fence(Ordering::SeqCst);
        } else {
            fence(Ordering::SeqCst);
        }
        if self.is_closed() {
            while self.messages.pop().is_some() {}
        }
        Ok(())
    }

    #[inline]
    fn pop(&self) -> Popped<T> {
        // Empty, as it is before each wait: two loads tell, where `SegQueue::pop` needs a fence. Not
        // on a thread: it is likely to run beside those who send, and each look at the tail takes
        // that from their processor's cache, which made the whole half as fast.
        if in_coroutine() && self.is_idle() {
            return Popped::Empty;
        }
        if let Some(message) = self.messages.pop() {
            return Popped::Message(message);
        }
        if !self.is_closed() {
            return Popped::Empty;
        }
        // What was pushed before it was closed.
        match self.messages.pop() {
            Some(message) => Popped::Message(message),
            None => Popped::Closed,
        }
    }

    fn is_idle(&self) -> bool {
        self.messages.is_empty() && !self.is_closed()
    }

    fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    fn is_blocked(&self) -> bool {
        false
    }

    fn len(&self) -> usize {
        self.messages.len()
    }

    fn capacity(&self) -> Option<usize> {
        None
    }

    fn close(&self) -> bool {
        !self.closed.swap(true, Ordering::SeqCst)
    }

    #[inline]
    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    fn hold(&self) -> Result<Hold, Refusal> {
        if self.is_closed() {
            return Err(Refusal::Closed);
        }
        Ok(Hold(0))
    }

    fn commit(&self, _: Hold, message: T) -> Result<(), T> {
        self.push(message).map_err(|(_, message)| message)
    }

    fn cancel(&self, _: Hold) {}
}
