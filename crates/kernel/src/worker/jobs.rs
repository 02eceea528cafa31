//! A worker's jobs: the second halves of the joins that its coroutines are in.
//!
//! A join pushes its second half, runs its first, and takes the second back from where it
//! pushed it: last in, first out. Thieves take the other end, where the largest pieces are.
//! What is in the deque is there once, and whoever gets it out owns the half: nothing else
//! says whose it is, and a job whose frame has gone is in no deque.
//!
//! The coroutines of a worker share its deque. While one waits inside its first half others
//! push on top of its job, so that the end of the deque need not be one's own: then it is
//! looked for below, up to [`DIG_MAX`] deep, and what lies above is put back. One that lies
//! deeper is left for this worker's loop, or a thief, and waited for as if it were stolen; so
//! there need not be a way to take it from the middle.
//!
//! # Who is told
//!
//! A worker goes to sleep only after a look, behind a fence, at every deque (`idle.rs`). A push
//! into an empty deque has a fence behind it too, then looks for sleepers. One onto other jobs
//! has none: whoever falls asleep at that moment has seen those others in its last look, unless
//! they were stolen meanwhile. Then a job may lie there while a worker sleeps; never for good,
//! as its own worker takes it back or starts it, and a thief that finds more than it took wakes
//! the next.

use std::ptr::NonNull;
use std::sync::atomic::{Ordering, fence};

use crossbeam_deque::Steal;

use super::{Counts, Worker};
use crate::job::{self, JobRef};
use crate::record::Record;

/// How many jobs of others a join looks beneath for its own.
const DIG_MAX: usize = 32;

/// Of so many turns of a worker's own jobs, one is the oldest's.
const OLDEST: u32 = 8;

impl Worker {
    /// Shows a job to all workers.
    #[inline]
    pub(crate) fn push_job(&self, job: JobRef) {
        let first = self.jobs.is_empty();
        self.jobs.push(job);
        if first || self.shared.may_rouse() {
            self.tell_of_job(first);
        }
    }

    #[cold]
    fn tell_of_job(&self, first: bool) {
        if self.alone {
            return;
        }
        if first {
            fence(Ordering::SeqCst);
        }
        if self.shared.may_rouse() {
            self.shared.rouse_one();
        }
    }

    /// Takes a job back that the caller pushed; says whether it was there.
    #[inline]
    pub(crate) fn take_back(&self, job: JobRef) -> bool {
        match self.jobs.pop() {
            Some(last) if last == job => true,
            None => false,
            Some(last) => self.dig(last, job),
        }
    }

    #[cold]
    #[inline(never)]
    fn dig(&self, last: JobRef, wanted: JobRef) -> bool {
        let mut above = [last; DIG_MAX];
        let mut count = 1;
        let mut found = false;
        while count < DIG_MAX {
            match self.jobs.pop() {
                None => break,
                Some(job) if job == wanted => {
                    found = true;
                    break;
                }
                Some(other) => {
                    above[count] = other;
                    count += 1;
                }
            }
        }
        for other in above[..count].iter().rev() {
            self.jobs.push(*other);
        }
        // Somebody may have looked for them meanwhile, and gone to sleep.
        self.tell_of_job(true);
        found
    }

    /// Makes a task of a job of this worker's own, to run now: nothing starts after the stop.
    #[inline]
    pub(super) fn start_job(&self) -> Option<NonNull<Record>> {
        if self.jobs.is_empty() || self.shared.is_stopping() {
            return None;
        }
        self.start_own_job()
    }

    #[cold]
    fn start_own_job(&self) -> Option<NonNull<Record>> {
        // Else those at the bottom might wait for ever.
        let job = if self.job_turn.get() % OLDEST == 1 {
            steal(&self.me().jobs)
        } else {
            self.jobs.pop()
        }?;
        let task = self.task_of(job);
        self.enrol(task);
        Some(task)
    }

    /// Gets a job from another worker.
    pub(super) fn steal_job(&self) -> bool {
        for victim in self.victims().map(|worker| &worker.jobs) {
            if let Some(job) = steal(victim) {
                Counts::add(&self.me().counts.stolen);
                self.spawn(self.task_of(job));
                if !victim.is_empty() {
                    self.shared.rouse_one();
                }
                return true;
            }
        }
        false
    }

    /// A coroutine of this worker that runs the job.
    fn task_of(&self, job: JobRef) -> NonNull<Record> {
        // Its joiner waits for it: it must not wait for a place in turn.
        if let Some(places) = &self.shared.places {
            places.take_over();
        }
        // SAFETY: taken from a deque, so ours to run.
        unsafe { job::task_of(self, job) }
    }
}

fn steal(from: &crossbeam_deque::Stealer<JobRef>) -> Option<JobRef> {
    if from.is_empty() {
        return None;
    }
    loop {
        match from.steal() {
            Steal::Success(job) => return Some(job),
            Steal::Empty => return None,
            Steal::Retry => {}
        }
    }
}
