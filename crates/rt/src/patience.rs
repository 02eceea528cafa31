//! How long plain threads look again before they block, and lose before they are served first.
//!
//! A thread takes microseconds to wake up: a hundred times what it costs to lock. Whoever looks
//! again for a moment often needs not sleep at all. And while a thread wakes up to a lock that
//! was handed to it nobody has the lock: the next one to come waits as well, is handed it in turn,
//! and all go at the pace of the operating system's switches. 64 threads at one mutex took 100
//! times as long as now when each that had lost once was handed the lock.

use std::{hint, thread};

use ropewalk_kernel::clock;
use ropewalk_kernel::wait::in_coroutine;

/// How long a plain thread loses to others before the lock is handed to it, in nanoseconds.
const STARVED_NS: u64 = 500_000;

/// How long a plain thread looks again before it blocks: what it waits for is often a moment
/// away, and blocking costs microseconds. A few spins, then the processor to others a few times:
/// on a busy machine the one that is waited for needs it. A coroutine doesn't wait like that;
/// its worker has others to run.
pub(crate) struct Patience(u32);

impl Patience {
    const SPINS: u32 = 3;
    const YIELDS: u32 = 4;

    #[inline]
    pub(crate) fn new() -> Patience {
        Patience(0)
    }

    /// Gives a moment away, or says that it is time to wait.
    #[inline]
    pub(crate) fn spin(&mut self) -> bool {
        if in_coroutine() || self.0 == Self::SPINS + Self::YIELDS {
            return false;
        }
        if self.0 < Self::SPINS {
            (0..1 << self.0).for_each(|_| hint::spin_loop());
        } else {
            thread::yield_now();
        }
        self.0 += 1;
        true
    }
}

/// Takes a lock by `try_take` if that can be done in a moment, for as long as nobody waits for it.
pub(crate) fn look_again(anybody_waits: impl Fn() -> bool, try_take: impl Fn() -> bool) -> bool {
    let mut patience = Patience::new();
    while !anybody_waits() {
        if try_take() {
            return true;
        }
        if !patience.spin() {
            return false;
        }
    }
    false
}

/// Since when a waiter has been losing the lock to others.
#[derive(Default)]
pub(crate) struct Losing {
    since_ns: Option<u64>,
    starved: bool,
}

impl Losing {
    /// Notes that it was woken for the lock, and another has it.
    pub(crate) fn lost(&mut self) {
        if in_coroutine() {
            self.starved = true;
        } else {
            self.thread_lost(clock::now_ns());
        }
    }

    fn thread_lost(&mut self, now_ns: u64) {
        let since = *self.since_ns.get_or_insert(now_ns);
        self.starved = now_ns.saturating_sub(since) >= STARVED_NS;
    }

    pub(crate) fn is_starved(&self) -> bool {
        self.starved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A coroutine is resumed soon: who has lost once is first the next time. A thread isn't, and
    // were all who lose handed the lock, everybody would go at the pace at which threads wake up.
    #[test]
    fn a_coroutine_loses_once_and_a_thread_for_a_while() {
        let runtime = crate::Runtime::builder().workers(1).build().unwrap();
        runtime.run(|| {
            let mut losing = Losing::default();
            assert!(!losing.is_starved());
            losing.lost();
            assert!(losing.is_starved());
        });
        let mut losing = Losing::default();
        for (now_ns, starved) in [
            (7, false),
            (8, false),
            (6 + STARVED_NS, false),
            (7 + STARVED_NS, true),
        ] {
            losing.thread_lost(now_ns);
            assert_eq!(losing.is_starved(), starved, "at {now_ns} ns");
        }
    }

    // A thread gives away a bounded number of moments, a coroutine none.
    #[test]
    fn only_threads_look_again() {
        let mut patience = Patience::new();
        let moments = std::iter::from_fn(|| patience.spin().then_some(())).count();
        assert_eq!(moments as u32, Patience::SPINS + Patience::YIELDS);
        let runtime = crate::Runtime::builder().workers(1).build().unwrap();
        runtime.run(|| assert!(!Patience::new().spin()));
    }
}
