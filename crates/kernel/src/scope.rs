//! The kernel's part of a scope: the count of children that still borrow from it.
//!
//! Soundness rule 3: a child's captures, its result and its panic payload are gone before
//! the count falls, and after that only this state, which each child's record keeps
//! alive by a reference of its own, is touched. Waiting for the count is not cancellable.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::wait::{Limit, Reason, WaitQueue};

/// The children of one scope, shared by the scope and their records.
#[derive(Default)]
pub struct ScopeState {
    left: AtomicUsize,
    panicked: AtomicBool,
    done: WaitQueue,
}

impl ScopeState {
    /// A scope without children.
    pub fn new() -> ScopeState {
        ScopeState::default()
    }

    pub(crate) fn enter(&self) {
        // As std's scope: a count that wraps would end the scope under its children.
        if self.left.fetch_add(1, Ordering::Relaxed) > usize::MAX / 2 {
            std::process::abort();
        }
    }

    pub(crate) fn note_panic(&self) {
        self.panicked.store(true, Ordering::Relaxed);
    }

    /// Counts a child out.
    pub(crate) fn leave(&self) {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.done.wake_all();
        }
    }

    /// Waits until no child is left.
    pub fn wait(&self) {
        while self.left.load(Ordering::Acquire) != 0 {
            let guard = self.done.lock();
            if self.left.load(Ordering::SeqCst) == 0 {
                break;
            }
            guard.wait(
                0,
                Reason::Scope,
                std::ptr::from_ref(self) as usize,
                Limit::NONE,
            );
        }
    }

    /// Says whether a child panicked and nobody took the panic through its handle.
    pub fn panicked(&self) -> bool {
        self.panicked.load(Ordering::Relaxed)
    }
}
