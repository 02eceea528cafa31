//! The places of a group: who has one, who waits for one, who waits for all to be free.
//!
//! # States
//!
//! `running` is the number of places taken. A place is taken before its coroutine is spawned,
//! with a `SeqCst` read-modify-write, and lies in its closure; when that is gone, having run
//! or not, the place is given back in the same way, and then one who waits for room is woken,
//! and with the last place all who wait for the end. Those look at `running` (`SeqCst`) with
//! their queue locked, then join it: see "Orderings" in the kernel's `wait`. A place that
//! is free may be taken by others than whom it woke, who then waits on.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use ropewalk_kernel::cancel;
use ropewalk_kernel::wait::{AsyncWait, Limit, Outcome, Reason, WaitQueue, may_wait};

use crate::cancel::WaitError;
use crate::coroutine;
use crate::task::Task;

/// What a group and its places share.
pub(super) struct Shared {
    pub(super) limit: usize,
    running: AtomicUsize,
    members: Mutex<Members>,
    /// Who waits for room.
    room: WaitQueue,
    /// Who waits for the end of all.
    idle: WaitQueue,
}

#[derive(Default)]
struct Members {
    last: u64,
    /// By number, oldest first; a task is not known until it was spawned.
    tasks: BTreeMap<u64, Option<Task>>,
    /// Those that have given their places back, and whose ends were not yet published when last
    /// looked.
    leaving: Vec<Task>,
}

/// The right of one coroutine to run in the group.
pub(crate) struct Place {
    shared: Arc<Shared>,
    number: u64,
}

impl Shared {
    pub(super) fn new(limit: usize) -> Shared {
        Shared {
            limit,
            running: AtomicUsize::new(0),
            members: Mutex::default(),
            room: WaitQueue::new(),
            idle: WaitQueue::new(),
        }
    }

    /// How many places are taken.
    pub(super) fn running(&self) -> usize {
        self.running.load(Ordering::Acquire)
    }

    /// Those who have them, oldest first.
    pub(super) fn tasks(&self) -> Vec<Task> {
        self.members().tasks.values().flatten().cloned().collect()
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn try_enter(self: &Arc<Self>) -> Option<Place> {
        self.running
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |running| {
                (running < self.limit).then_some(running + 1)
            })
            .ok()?;
        let mut members = self.members();
        members.last += 1;
        let number = members.last;
        members.tasks.insert(number, None);
        drop(members);
        Some(Place {
            shared: Arc::clone(self),
            number,
        })
    }

    pub(super) fn enter(self: &Arc<Self>, limit: Limit) -> Result<Place, WaitError> {
        loop {
            if let Some(place) = self.try_enter() {
                return Ok(place);
            }
            let guard = self.room.lock();
            if self.running.load(Ordering::SeqCst) < self.limit {
                continue;
            }
            let object = Arc::as_ptr(self) as usize;
            let outcome = guard.wait(0, Reason::Semaphore, object, limit);
            if let Some(why) = WaitError::of(outcome) {
                // Perhaps there is room since the same moment.
                return self.try_enter().ok_or(why);
            }
        }
    }

    pub(super) fn wait_idle(&self, limit: Limit) -> Outcome {
        let outcome = loop {
            if self.running.load(Ordering::SeqCst) == 0 {
                break Outcome::Woken;
            }
            self.check_not_member();
            let guard = self.idle.lock();
            if self.running.load(Ordering::SeqCst) == 0 {
                break Outcome::Woken;
            }
            let object = std::ptr::from_ref(self) as usize;
            let outcome = guard.wait(0, Reason::Join, object, limit);
            if outcome != Outcome::Woken {
                break match self.running.load(Ordering::SeqCst) {
                    0 => Outcome::Woken,
                    _ => outcome,
                };
            }
        };
        if outcome == Outcome::Woken {
            self.see_them_end();
        }
        outcome
    }

    /// Waits until those who have given their places back are seen to have ended: their callbacks
    /// are called before that.
    fn see_them_end(&self) {
        let me = cancel::current_id();
        let leaving = std::mem::take(&mut self.members().leaving);
        for task in leaving {
            // In a callback of the task itself, or another, nobody may wait.
            while may_wait() && task.id() != me && task.is_alive() {
                coroutine::yield_now();
            }
        }
    }

    /// Says whether the caller has a place.
    pub(super) fn is_member(&self) -> bool {
        let me = cancel::current_id();
        let members = self.members();
        members.tasks.values().flatten().any(|task| task.id() == me)
    }

    fn check_not_member(&self) {
        assert!(
            !self.is_member(),
            "a group can't be joined by one of its own: it would wait for itself"
        );
    }

    /// Notes which task has the place `number`, if it still has it.
    pub(super) fn know(&self, number: u64, task: impl FnOnce() -> Task) {
        if let Some(place) = self.members().tasks.get_mut(&number)
            && place.is_none()
        {
            *place = Some(task());
        }
    }
}

impl Place {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Notes that the caller is who has it, before it does anything: if it joins the group, it
    /// is to be told.
    pub(super) fn begin(&self) {
        self.shared.know(self.number, Task::current);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut members = self.shared.members();
        if let Some(Some(task)) = members.tasks.remove(&self.number) {
            // Few at any time: the others' ends are published by now.
            members.leaving.retain(Task::is_alive);
            members.leaving.push(task);
        }
        drop(members);
        let left = self.shared.running.fetch_sub(1, Ordering::SeqCst) - 1;
        self.shared.room.wake_one();
        if left == 0 {
            self.shared.idle.wake_all();
        }
    }
}

/// Waits for the end of all of a [`Group`](crate::Group); from [`Group::join_async`](crate::Group::join_async).
#[must_use = "futures do nothing unless polled"]
pub struct GroupJoin<'a> {
    pub(super) shared: &'a Shared,
    pub(super) waiter: AsyncWait,
}

impl Future for GroupJoin<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let shared = this.shared;
        if shared.running.load(Ordering::SeqCst) != 0 {
            shared.check_not_member();
            this.waiter.prepare(context);
            let guard = shared.idle.lock();
            if shared.running.load(Ordering::SeqCst) != 0 {
                // SAFETY: it leaves this queue when it is ready, below, or dropped, and the
                // group is borrowed for longer.
                unsafe { this.waiter.join(guard) };
                return Poll::Pending;
            }
        }
        this.waiter.leave(&shared.idle);
        Poll::Ready(())
    }
}

impl Drop for GroupJoin<'_> {
    fn drop(&mut self) {
        // A wake that nobody looked at is no loss: everybody was woken.
        self.waiter.leave(&self.shared.idle);
    }
}

impl fmt::Debug for GroupJoin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupJoin").finish_non_exhaustive()
    }
}
