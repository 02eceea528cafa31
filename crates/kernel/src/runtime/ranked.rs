//! Unstarted closures that don't wait their turn, and the refusal of those handed in.
//!
//! Most closures have the priority 0 and go through the injector and the deques, first come,
//! first served. The few others lie here, in two heaps: urgent ones (above 0), which a worker takes
//! before any other when it starts something, and slow ones (below 0), which it takes when it
//! finds nothing else, before it sleeps. Started coroutines are not ranked: they take turns with
//! what is started, as ever.
//!
//! `ahead` is what a worker looks at before each start, in one load: whether there is an urgent
//! closure, and whether closures that were handed in (the record's HANDED_IN; by submission to a
//! pool, say, other than what such tasks spawn themselves) are refused. Bits change under the lock
//! of the heaps (URGENT) or once for ever (REFUSING).
//!
//! A pusher pushes under the lock, puts a fence behind it and rouses somebody; a worker that is
//! about to sleep looks at `count` (both `SeqCst`): as with the other queues.
//!
//! Refusing sets REFUSING first and then takes what is in the queues; what slips past that, as it
//! is on its way from one queue to another, is found by the worker that would start it, and what
//! comes later by whoever brings it.

use std::cmp::{Ordering as Order, Reverse};
use std::collections::BinaryHeap;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering, fence};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use crossbeam_deque::Steal;

use super::Shared;
use crate::outcome::JoinError;
use crate::record::{HANDED_IN, Record};
use crate::worker::Fresh;

const URGENT: u8 = 1;
const REFUSING: u8 = 2;

/// What those are told whose closures are refused.
pub type Refusal = Box<dyn Fn() -> JoinError + Send + Sync>;

#[derive(Default)]
pub(crate) struct Ranked {
    ahead: AtomicU8,
    count: AtomicUsize,
    heaps: Mutex<Heaps>,
    refusal: OnceLock<Refusal>,
}

#[derive(Default)]
struct Heaps {
    urgent: BinaryHeap<Entry>,
    slow: BinaryHeap<Entry>,
    /// Tells those of one priority apart, by age.
    pushed: u64,
}

struct Entry {
    rank: (i32, Reverse<u64>),
    task: Fresh,
}

impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> Order {
        self.rank.cmp(&other.rank)
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<Order> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Entry {}

impl Ranked {
    fn heaps(&self) -> MutexGuard<'_, Heaps> {
        self.heaps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is an urgent closure, or some are refused.
    #[inline]
    pub(crate) fn is_ahead(&self) -> bool {
        self.ahead.load(Ordering::Relaxed) != 0
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    fn push(&self, priority: i32, task: Fresh) {
        let mut heaps = self.heaps();
        heaps.pushed += 1;
        let rank = (priority, Reverse(heaps.pushed));
        if priority > 0 {
            heaps.urgent.push(Entry { rank, task });
            self.ahead.fetch_or(URGENT, Ordering::SeqCst);
        } else {
            heaps.slow.push(Entry { rank, task });
        }
        self.count.fetch_add(1, Ordering::SeqCst);
    }

    /// Takes the most urgent one, if one is urgent.
    pub(crate) fn take_urgent(&self) -> Option<Fresh> {
        if self.ahead.load(Ordering::SeqCst) & URGENT == 0 {
            return None;
        }
        let mut heaps = self.heaps();
        let taken = heaps.urgent.pop();
        if heaps.urgent.is_empty() {
            self.ahead.fetch_and(!URGENT, Ordering::SeqCst);
        }
        self.take_out(taken)
    }

    /// Takes the most urgent of all.
    pub(crate) fn take(&self) -> Option<Fresh> {
        if self.is_empty() {
            return None;
        }
        self.take_urgent().or_else(|| {
            let taken = self.heaps().slow.pop();
            self.take_out(taken)
        })
    }

    fn take_out(&self, taken: Option<Entry>) -> Option<Fresh> {
        let Entry { task, .. } = taken?;
        self.count.fetch_sub(1, Ordering::SeqCst);
        Some(task)
    }

    fn refusing(&self) -> Option<&Refusal> {
        if self.ahead.load(Ordering::SeqCst) & REFUSING == 0 {
            return None;
        }
        self.refusal.get()
    }
}

impl Shared {
    /// Queues an unstarted closure by priority, from anywhere; it is counted already.
    pub(crate) fn push_ranked(&self, task: NonNull<Record>, priority: i32) {
        self.ranked.push(priority, Fresh(task));
        fence(Ordering::SeqCst);
        self.look_after_push();
    }

    /// Has what was just pushed run, or dropped.
    #[inline]
    pub(super) fn look_after_push(&self) {
        if self.is_stopping() {
            self.cancel_queued();
        } else if self.ranked.is_ahead() && self.ranked.refusing().is_some() {
            self.refuse_queued();
        } else {
            self.rouse_one();
        }
    }

    /// Says whether the worker may start this one; ends it if not.
    #[cold]
    pub(crate) fn may_start(&self, task: NonNull<Record>) -> bool {
        // SAFETY: a queued record is alive.
        match self.refusal_of(unsafe { task.as_ref() }) {
            None => true,
            Some(error) => {
                self.end(Fresh(task), error);
                false
            }
        }
    }

    /// What is said of a task if it is refused.
    pub(super) fn refusal_of(&self, record: &Record) -> Option<JoinError> {
        let refusal = self.ranked.refusing().filter(|_| record.has(HANDED_IN))?;
        Some(refusal())
    }

    /// Refuses the closures that were handed in and have not started, and those to come.
    pub(crate) fn refuse_handed_in(&self, refusal: Refusal) {
        let _ = self.ranked.refusal.set(refusal);
        self.ranked.ahead.fetch_or(REFUSING, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        self.refuse_queued();
    }

    fn refuse_queued(&self) {
        let mut others = Vec::new();
        let mut sort = |task: Fresh| {
            // SAFETY: taken from a queue, so alive and ours.
            match self.refusal_of(unsafe { task.0.as_ref() }) {
                Some(error) => self.end(task, error),
                None => others.push(task),
            }
        };
        while let Some(task) = self.ranked.take() {
            sort(task);
        }
        let queues = self.workers.iter().flat_map(|worker| [&worker.placed]);
        for queue in queues.chain([&self.injector]) {
            drain(|| queue.steal(), &mut sort);
        }
        for worker in &self.workers {
            drain(|| worker.stealer.steal(), &mut sort);
        }
        for other in others {
            self.injector.push(other);
            fence(Ordering::SeqCst);
            self.rouse_one();
        }
        self.note_idle();
    }
}

fn drain(steal: impl Fn() -> Steal<Fresh>, receive: &mut impl FnMut(Fresh)) {
    loop {
        match steal() {
            Steal::Success(task) => receive(task),
            Steal::Empty => return,
            Steal::Retry => {}
        }
    }
}
