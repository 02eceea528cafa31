//! The moments at which a process may be killed, for tests to try each of them.
//!
//! What changes shared memory calls [`step`] between its stores. A test counts them and has its
//! victim "killed" at one: it unwinds, nothing that is dropped on the way touches the memory,
//! and the victim's byte is unlocked, as the kernel would do it. Outside of this crate's own
//! tests it is nothing.

use crate::memory::Region;

#[cfg(not(test))]
mod nothing {
    #[inline(always)]
    pub(crate) fn step() {}

    /// Says whether this thread's process counts as killed.
    #[inline(always)]
    pub(crate) fn is_killed() -> bool {
        false
    }
}

#[cfg(not(test))]
pub(crate) use nothing::{is_killed, step};

/// Copies into a region, in halves that one may be killed between.
pub(crate) fn copy_in(region: &Region, offset: usize, bytes: &[u8]) {
    let half = if cfg!(test) { bytes.len() / 2 } else { 0 };
    region.copy_in(offset, &bytes[..half]);
    step();
    region.copy_in(offset + half, &bytes[half..]);
    step();
}

#[cfg(test)]
pub(crate) use counted::{is_killed, killed_at, step};

#[cfg(test)]
mod counted {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

    thread_local! {
        static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
        static KILLED: Cell<bool> = const { Cell::new(false) };
    }

    struct Killed;

    pub(crate) fn step() {
        match LEFT.get() {
            Some(0) => {
                LEFT.set(None);
                KILLED.set(true);
                resume_unwind(Box::new(Killed));
            }
            Some(left) => LEFT.set(Some(left - 1)),
            None => {}
        }
    }

    pub(crate) fn is_killed() -> bool {
        KILLED.get()
    }

    /// Has `victim` operated on and "kills" it after so many steps; drops it in that state.
    /// Says whether it got that far, or was done before.
    pub(crate) fn killed_at<V>(steps: u32, victim: V, operate: impl FnOnce(&V)) -> bool {
        LEFT.set(Some(steps));
        let ended = catch_unwind(AssertUnwindSafe(|| operate(&victim)));
        LEFT.set(None);
        let killed = ended.is_err();
        if let Err(payload) = ended
            && !payload.is::<Killed>()
        {
            resume_unwind(payload);
        }
        // It did not leave in an orderly way in either case.
        KILLED.set(true);
        drop(victim);
        KILLED.set(false);
        killed
    }
}
