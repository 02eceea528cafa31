//! The raw lock as `lock_api` sees it.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use lock_api::GuardSend;
use ropewalk_kernel::wait::{Limit, note_given_up};

use super::super::{until, within};
use super::raw::{Kind, READER, RawRwLock, UPGRADABLE, UPGRADING, WAITERS, WRITER, readers};

/// Says whether somebody waits for the next reader to go.
fn is_awaited(state: usize) -> bool {
    let last = state & WAITERS != 0 && readers(state) == 1;
    let last_but_upgrader = state & UPGRADING != 0 && readers(state) == 2;
    last || last_but_upgrader
}

// SAFETY: WRITER is only set when there are no readers, readers only added while WRITER is
// down; each by one compare-exchange, or by `serve` for one waiter; and only their holders
// take them away.
unsafe impl lock_api::RawRwLock for RawRwLock {
    const INIT: RawRwLock = RawRwLock::new();

    type GuardMarker = GuardSend;

    #[inline]
    fn lock_shared(&self) {
        self.lock(Kind::Read);
    }

    #[inline]
    fn try_lock_shared(&self) -> bool {
        self.try_lock(Kind::Read)
    }

    #[inline]
    unsafe fn unlock_shared(&self) {
        note_given_up(self.address());
        let mut state = self.state.load(Ordering::Relaxed);
        while state & (WAITERS | UPGRADING) == 0 || !is_awaited(state) {
            match self.state.compare_exchange_weak(
                state,
                state - READER,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(seen) => state = seen,
            }
        }
        self.unlock_shared_slow();
    }

    #[inline]
    fn lock_exclusive(&self) {
        if self
            .state
            .compare_exchange_weak(0, WRITER, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
        {
            self.owner.acquired();
        } else {
            self.lock(Kind::Write);
        }
    }

    #[inline]
    fn try_lock_exclusive(&self) -> bool {
        self.try_lock(Kind::Write)
    }

    #[inline]
    unsafe fn unlock_exclusive(&self) {
        note_given_up(self.address());
        self.owner.released();
        self.change(WRITER, 0);
    }

    #[inline]
    fn is_locked(&self) -> bool {
        let state = self.state.load(Ordering::Relaxed);
        state & WRITER != 0 || readers(state) != 0
    }

    #[inline]
    fn is_locked_exclusive(&self) -> bool {
        self.state.load(Ordering::Relaxed) & WRITER != 0
    }
}

// SAFETY: the timed forms take the lock the same way.
unsafe impl lock_api::RawRwLockTimed for RawRwLock {
    type Duration = Duration;
    type Instant = Instant;

    fn try_lock_shared_for(&self, timeout: Duration) -> bool {
        self.lock_within(Kind::Read, || within(timeout))
    }

    fn try_lock_shared_until(&self, deadline: Instant) -> bool {
        self.lock_within(Kind::Read, || until(deadline))
    }

    fn try_lock_exclusive_for(&self, timeout: Duration) -> bool {
        self.lock_within(Kind::Write, || within(timeout))
    }

    fn try_lock_exclusive_until(&self, deadline: Instant) -> bool {
        self.lock_within(Kind::Write, || until(deadline))
    }
}

// SAFETY: a reader more, where no writer is.
unsafe impl lock_api::RawRwLockRecursive for RawRwLock {
    #[inline]
    fn lock_shared_recursive(&self) {
        self.lock(Kind::ReadAgain);
    }

    #[inline]
    fn try_lock_shared_recursive(&self) -> bool {
        self.try_lock(Kind::ReadAgain)
    }
}

// SAFETY: as above.
unsafe impl lock_api::RawRwLockRecursiveTimed for RawRwLock {
    fn try_lock_shared_recursive_for(&self, timeout: Duration) -> bool {
        self.lock_within(Kind::ReadAgain, || within(timeout))
    }

    fn try_lock_shared_recursive_until(&self, deadline: Instant) -> bool {
        self.lock_within(Kind::ReadAgain, || until(deadline))
    }
}

// SAFETY: the writer becomes a reader in one step.
unsafe impl lock_api::RawRwLockDowngrade for RawRwLock {
    #[inline]
    unsafe fn downgrade(&self) {
        self.owner.released();
        self.change(WRITER, READER);
    }
}

// SAFETY: UPGRADABLE has one holder, who is also counted as a reader; it becomes the writer in
// one step, when it is the only reader.
unsafe impl lock_api::RawRwLockUpgrade for RawRwLock {
    #[inline]
    fn lock_upgradable(&self) {
        self.lock(Kind::Upgradable);
    }

    #[inline]
    fn try_lock_upgradable(&self) -> bool {
        self.try_lock(Kind::Upgradable)
    }

    #[inline]
    unsafe fn unlock_upgradable(&self) {
        note_given_up(self.address());
        self.change(READER | UPGRADABLE, 0);
    }

    #[inline]
    unsafe fn upgrade(&self) {
        // SAFETY: as the caller promises.
        if !unsafe { self.try_upgrade() } {
            self.upgrade_slow(Limit::NONE);
        }
    }

    #[inline]
    unsafe fn try_upgrade(&self) -> bool {
        self.upgrade_or(|state| state)
    }
}

// SAFETY: as above, and taking time-outs into account the same way.
unsafe impl lock_api::RawRwLockUpgradeTimed for RawRwLock {
    fn try_lock_upgradable_for(&self, timeout: Duration) -> bool {
        self.lock_within(Kind::Upgradable, || within(timeout))
    }

    fn try_lock_upgradable_until(&self, deadline: Instant) -> bool {
        self.lock_within(Kind::Upgradable, || until(deadline))
    }

    unsafe fn try_upgrade_for(&self, timeout: Duration) -> bool {
        self.upgrade_or(|state| state) || self.upgrade_slow(within(timeout))
    }

    unsafe fn try_upgrade_until(&self, deadline: Instant) -> bool {
        self.upgrade_or(|state| state) || self.upgrade_slow(until(deadline))
    }
}

// SAFETY: one step each.
unsafe impl lock_api::RawRwLockUpgradeDowngrade for RawRwLock {
    #[inline]
    unsafe fn downgrade_upgradable(&self) {
        self.change(READER | UPGRADABLE, READER);
    }

    #[inline]
    unsafe fn downgrade_to_upgradable(&self) {
        self.owner.released();
        self.change(WRITER, READER | UPGRADABLE);
    }
}
