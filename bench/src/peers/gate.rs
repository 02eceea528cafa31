//! The start and the finish of `switch`: the clock starts when the last task has arrived and
//! stops when the last has finished.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A start that all wait for and a finish that the last one takes the time of.
pub(super) struct Gate {
    expected: AtomicUsize,
    running: AtomicUsize,
    start: OnceLock<Instant>,
    finish: OnceLock<Instant>,
}

impl Gate {
    /// A gate for `tasks` tasks.
    pub(super) fn new(tasks: usize) -> Gate {
        Gate {
            expected: AtomicUsize::new(tasks),
            running: AtomicUsize::new(tasks),
            start: OnceLock::new(),
            finish: OnceLock::new(),
        }
    }

    /// Notes that one more has arrived.
    pub(super) fn arrive(&self) {
        if self.expected.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.start.get_or_init(Instant::now);
        }
    }

    /// What a yield counts for: nothing until all have arrived, then one, so that one loop
    /// serves for the wait and for the work.
    pub(super) fn toll(&self) -> u64 {
        u64::from(self.expected.load(Ordering::Relaxed) == 0)
    }

    /// A task's whole part, for tasks that are plain calls: arrives, yields `yields` times once
    /// all have, and finishes.
    #[inline(always)]
    pub(super) fn pass(&self, yields: u64, yield_once: impl Fn()) {
        self.arrive();
        let mut left = yields;
        while left > 0 {
            yield_once();
            left -= self.toll();
        }
        self.finish();
    }

    /// Notes that one has finished.
    pub(super) fn finish(&self) {
        if self.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.finish.get_or_init(Instant::now);
        }
    }

    /// The time between start and finish.
    ///
    /// # Panics
    /// If not all have finished.
    pub(super) fn elapsed(&self) -> Duration {
        let start = self.start.get().expect("all have arrived");
        self.finish
            .get()
            .expect("all have finished")
            .duration_since(*start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_with_the_last_and_times_to_the_last() {
        let gate = Gate::new(2);
        gate.arrive();
        assert_eq!(gate.toll(), 0);
        gate.arrive();
        assert_eq!(gate.toll(), 1);
        gate.finish();
        assert!(gate.finish.get().is_none());
        gate.finish();
        assert!(gate.elapsed() < Duration::from_secs(3600));
    }
}
