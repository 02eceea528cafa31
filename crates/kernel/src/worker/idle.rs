//! What a worker does when it has nothing to run: look around, steal, sleep, stop.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use crossbeam_deque::Steal;

use super::{Counts, Fresh, Worker};
use crate::fork;
use crate::stall;
use crate::watcher;

/// A bit for each worker that sleeps.
pub(crate) struct Sleepers(Box<[AtomicU64]>);

impl Sleepers {
    pub(crate) fn new(workers: usize) -> Sleepers {
        Sleepers(
            (0..workers.div_ceil(64))
                .map(|_| AtomicU64::new(0))
                .collect(),
        )
    }

    fn set(&self, index: usize) {
        self.0[index / 64].fetch_or(1 << (index % 64), Ordering::SeqCst);
    }

    fn clear(&self, index: usize) {
        self.0[index / 64].fetch_and(!(1 << (index % 64)), Ordering::SeqCst);
    }

    /// Says whether somebody sleeps; a hint.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.0.iter().any(|word| word.load(Ordering::Relaxed) != 0)
    }

    /// Takes one sleeper's bit away and gives its index.
    pub(crate) fn take_one(&self) -> Option<usize> {
        for (place, word) in self.0.iter().enumerate() {
            let mut seen = word.load(Ordering::SeqCst);
            while seen != 0 {
                let bit = seen.trailing_zeros();
                let without = seen & !(1 << bit);
                match word.compare_exchange(seen, without, Ordering::SeqCst, Ordering::SeqCst) {
                    Ok(_) => return Some(place * 64 + bit as usize),
                    Err(now) => seen = now,
                }
            }
        }
        None
    }
}

impl Worker {
    /// Looks for work elsewhere, then sleeps until there is some; false when the runtime
    /// stops and nothing holds this worker.
    pub(super) fn idle(&self) -> bool {
        fork::end_worker();
        if self.shared.is_stopping() {
            return false;
        }
        self.receive();
        self.fire_timers();
        if self.has_work() || self.find_fresh() {
            return true;
        }
        self.trim_hosts();
        self.shared.note_idle();
        if self.shared.is_stopping() {
            return false;
        }
        let me = self.me();
        self.note_queued();
        me.roused_ns.store(0, Ordering::Relaxed);
        me.asleep.store(true, Ordering::SeqCst);
        self.shared.sleepers.set(self.index);
        // The last look, after saying that we sleep.
        let nothing = me.inbox.is_empty()
            && !me.has_letters.load(Ordering::SeqCst)
            && !self.shared.is_stopping()
            && !self.find_fresh();
        if nothing {
            match (self.until_timer(), self.shared.outer_threads()) {
                (None, Some(outer)) => self.sleep_watching(outer),
                (timer, _) => self.driver.poll(self, timer),
            }
        }
        self.shared.sleepers.clear(self.index);
        me.asleep.store(false, Ordering::SeqCst);
        watcher::note_awake();
        self.receive();
        self.fire_timers();
        let roused = me.roused_ns.load(Ordering::Relaxed);
        if nothing && roused != 0 {
            me.counts
                .latency
                .note(self.now.get().saturating_sub(roused));
        }
        true
    }

    /// Sleeps in a runtime that is closed to outsiders, and looks whether it is dead.
    fn sleep_watching(&self, outer_threads: usize) {
        let me = self.me();
        me.sleeps_for_ever.store(true, Ordering::SeqCst);
        let pulse = stall::pulse(&self.shared);
        self.driver.poll(self, Some(stall::PAUSE_NS));
        // One of them looks: the last to have a reason to.
        let dead = self.index == 0
            && me.asleep.load(Ordering::SeqCst)
            && !self.has_work()
            && stall::all_asleep(&self.shared)
            && stall::pulse(&self.shared) == pulse;
        if dead {
            stall::report_if_dead(self, outer_threads);
        }
        me.sleeps_for_ever.store(false, Ordering::SeqCst);
    }

    fn has_work(&self) -> bool {
        !self.next.get().is_null()
            || !self.run.is_empty()
            || !self.fresh.is_empty()
            || self.fresh_local.len() != 0
            || !self.jobs.is_empty()
    }

    /// Gets unstarted tasks from where others put them or have them, or else a job.
    fn find_fresh(&self) -> bool {
        self.take_placed() || self.steal() || self.steal_job()
    }

    /// Moves what was placed here, or injected from outside, to our own queue.
    pub(super) fn take_placed(&self) -> bool {
        let pinned = self.take_pinned();
        let taken = take(|| self.me().placed.steal_batch(&self.fresh))
            || take(|| self.shared.injector.steal_batch(&self.fresh));
        if taken {
            self.share();
        }
        taken || pinned
    }

    /// Moves what is to run here, and nowhere else, to where none can steal it.
    fn take_pinned(&self) -> bool {
        let pinned = &self.me().pinned;
        let mut taken = false;
        // Without the fence that a look for stealing has.
        while !pinned.is_empty() {
            match pinned.steal() {
                Steal::Success(Fresh(task)) => {
                    self.fresh_local.push(task);
                    taken = true;
                }
                Steal::Empty => break,
                Steal::Retry => {}
            }
        }
        taken
    }

    fn steal(&self) -> bool {
        let workers = &self.shared.workers;
        if workers.len() == 1 {
            return false;
        }
        let start = self.shared.choices.below(workers.len());
        for offset in 0..workers.len() {
            let victim = (start + offset) % workers.len();
            if victim == self.index {
                continue;
            }
            let victim = &workers[victim];
            if take(|| victim.stealer.steal_batch(&self.fresh))
                || take(|| victim.placed.steal_batch(&self.fresh))
            {
                Counts::add(&self.me().counts.stolen);
                self.share();
                return true;
            }
        }
        false
    }

    /// Wakes another worker if a batch brought more than the one that is run now.
    fn share(&self) {
        if self.fresh.len() > 1 {
            fence(Ordering::SeqCst);
            self.shared.rouse_one();
        }
    }

    /// Gives every unstarted task that this worker can get at to `receive`: at the end.
    pub(crate) fn take_all(&self, receive: &mut dyn FnMut(Fresh)) {
        loop {
            while let Some(task) = self.pop_fresh() {
                receive(Fresh(task));
            }
            if !self.take_placed() {
                return;
            }
        }
    }
}

fn take(mut attempt: impl FnMut() -> Steal<()>) -> bool {
    loop {
        match attempt() {
            Steal::Success(()) => return true,
            Steal::Empty => return false,
            Steal::Retry => {}
        }
    }
}
