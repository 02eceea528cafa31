//! What a worker does when it has nothing to run: look around, steal, sleep, stop.

use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering, fence};

use std::thread;

use crossbeam_deque::Steal;

use super::{Counts, Deques, Fresh, Worker, WorkerShared};
use crate::clock;
use crate::fork;
use crate::record::Record;
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

    pub(crate) fn set(&self, index: usize) {
        self.0[index / 64].fetch_or(1 << (index % 64), Ordering::SeqCst);
    }

    pub(crate) fn clear(&self, index: usize) {
        self.0[index / 64].fetch_and(!(1 << (index % 64)), Ordering::SeqCst);
    }

    pub(crate) fn has(&self, index: usize) -> bool {
        self.0[index / 64].load(Ordering::SeqCst) & (1 << (index % 64)) != 0
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

/// What a worker whose thread may go knows of its idling.
#[derive(Default)]
pub(super) struct Idling {
    /// [`Counts::stamp`] when it began to idle, and when that was; 0 before.
    stamp: Cell<u64>,
    since_ns: Cell<u64>,
    /// The same when it last lingered.
    lingered: Cell<u64>,
    retired: Cell<bool>,
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
        if self.shared.crew.is_lazy() && self.linger() {
            return true;
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
                _ if self.shared.crew.is_lazy() => self.sleep_dispensable(),
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
        !self.retire()
    }

    /// Looks for work a little longer, after it has had some: what is given from outside, one
    /// after the other, would else put it to sleep and wake it each time. Says whether there is
    /// some.
    fn linger(&self) -> bool {
        const LOOKS: u32 = 16;
        let stamp = self.me().counts.stamp();
        if self.idling.lingered.replace(stamp) == stamp {
            return false;
        }
        (0..LOOKS).any(|_| {
            thread::yield_now();
            self.sees_work()
        })
    }

    /// Sleeps, but no longer than until its thread may go.
    fn sleep_dispensable(&self) {
        const AGAIN_NS: u64 = 10_000_000;
        let asleep_ns = clock::now_ns();
        let mut limit = self.until_timer();
        let mut sooner = |ns: u64| limit = Some(limit.map_or(ns, |limit| limit.min(ns)));
        if let Some(left) = self.patience_left() {
            sooner(left);
        }
        if self.shared.call_the_missing() {
            sooner(AGAIN_NS);
        }
        self.driver.poll(self, limit);
        let slept = clock::now_ns().saturating_sub(asleep_ns);
        self.me().seat.note_slept(slept);
    }

    /// How long its thread stays if it finds nothing to do; `None` if it can't go, or needn't.
    fn patience_left(&self) -> Option<u64> {
        let keep_alive = self.shared.keep_alive_ns()?;
        if self.me().live_started() != 0 || self.until_timer().is_some() {
            return None;
        }
        let now = clock::now_ns();
        let stamp = self.me().counts.stamp();
        let idling = &self.idling;
        if idling.stamp.replace(stamp) != stamp || idling.since_ns.get() == 0 {
            idling.since_ns.set(now);
        }
        let ends = idling.since_ns.get().saturating_add(keep_alive);
        Some(ends.saturating_sub(now))
    }

    /// Gives up its seat, if it has idled for long enough and nothing holds it; see
    /// `runtime/threads.rs`.
    fn retire(&self) -> bool {
        if !self.shared.crew.is_lazy() || self.has_work() || self.patience_left() != Some(0) {
            return false;
        }
        let retired = self.shared.begin_leaving(self, || self.sees_work());
        self.idling.retired.set(retired);
        // If not, its patience begins anew.
        self.idling.since_ns.set(0);
        retired
    }

    /// Says whether it has given up its seat.
    pub(crate) fn has_retired(&self) -> bool {
        self.idling.retired.get()
    }

    /// What it leaves to the next thread. Of a worker that has left.
    pub(crate) fn into_deques(self) -> Deques {
        (self.fresh, self.jobs)
    }

    /// Says whether anything lies where this worker would find it.
    fn sees_work(&self) -> bool {
        let others = self.shared.workers.iter();
        let elsewhere = |worker: &WorkerShared| {
            !worker.stealer.is_empty() || !worker.placed.is_empty() || !worker.jobs.is_empty()
        };
        self.me().has_mail()
            || !self.shared.injector.is_empty()
            || !self.shared.ranked.is_empty()
            || others.into_iter().any(elsewhere)
    }

    /// The task to start if there are urgent ones, or some that are refused.
    #[cold]
    pub(super) fn start_ahead(&self) -> Option<NonNull<Record>> {
        loop {
            let urgent = self.shared.ranked.take_urgent().map(|Fresh(task)| task);
            let task = urgent.or_else(|| self.pop_fresh())?;
            if self.shared.may_start(task) {
                return Some(task);
            }
        }
    }

    /// Sleeps in a runtime that is closed to outsiders, and looks whether it is dead.
    fn sleep_watching(&self, outer_threads: usize) {
        let me = self.me();
        me.sleeps_for_ever.store(true, Ordering::SeqCst);
        let pulse = stall::pulse(&self.shared);
        self.driver.poll(self, Some(stall::PAUSE_NS));
        // One of them looks: the last to have a reason to.
        let still = || {
            self.index == 0
                && me.asleep.load(Ordering::SeqCst)
                && !self.has_work()
                && stall::all_asleep(&self.shared)
                && stall::pulse(&self.shared) == pulse
        };
        if still() {
            stall::report_if_dead(self, outer_threads, still);
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
        self.take_placed() || self.steal() || self.steal_job() || self.take_ranked()
    }

    /// Moves the most urgent of those that have a priority to our own queue.
    fn take_ranked(&self) -> bool {
        let Some(task) = self.shared.ranked.take() else {
            return false;
        };
        self.fresh.push(task);
        if !self.shared.ranked.is_empty() {
            fence(Ordering::SeqCst);
            self.shared.rouse_one();
        }
        true
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

    /// The other workers, beginning anywhere.
    pub(super) fn victims(&self) -> impl Iterator<Item = &WorkerShared> {
        let workers = &self.shared.workers;
        let start = match workers.len() {
            1 => 0,
            several => self.shared.choices.below(several),
        };
        let (before, from) = workers.split_at(start);
        let all = from.iter().chain(before);
        let me = self.me();
        all.filter(move |victim| !std::ptr::eq(*victim, me))
    }

    fn steal(&self) -> bool {
        for victim in self.victims() {
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
