//! Tasks that no worker has yet, in the order of their numbers.
//!
//! New ones come at the end, taken-back ones near the front, and any may be cancelled: those leave
//! a gap, which is dropped when its turn comes.

use std::collections::VecDeque;

use super::job::Job;

#[derive(Default)]
pub(super) struct Queue {
    /// Sorted by number.
    entries: VecDeque<(u64, Option<Box<Job>>)>,
    /// How many are no gaps.
    len: usize,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Puts a job where its number belongs.
    pub(super) fn insert(&mut self, job: Box<Job>) {
        let id = job.id;
        self.len += 1;
        match self.entries.back() {
            Some(&(last, _)) if last > id => {
                let at = self.entries.partition_point(|&(other, _)| other < id);
                self.entries.insert(at, (id, Some(job)));
            }
            _ => self.entries.push_back((id, Some(job))),
        }
    }

    /// The next one.
    pub(super) fn first(&mut self) -> Option<&mut Job> {
        while let Some((_, None)) = self.entries.front() {
            self.entries.pop_front();
        }
        self.entries
            .front_mut()
            .and_then(|(_, job)| job.as_deref_mut())
    }

    pub(super) fn pop(&mut self) -> Option<Box<Job>> {
        self.first()?;
        self.len -= 1;
        self.entries.pop_front().and_then(|(_, job)| job)
    }

    /// Takes out the job with a number, if it is here.
    pub(super) fn remove(&mut self, id: u64) -> Option<Box<Job>> {
        let at = self.entries.binary_search_by_key(&id, |&(id, _)| id).ok()?;
        let job = self.entries[at].1.take()?;
        self.len -= 1;
        Some(job)
    }

    /// Takes all out.
    pub(super) fn take_all(&mut self) -> Vec<Box<Job>> {
        self.len = 0;
        let entries = std::mem::take(&mut self.entries);
        entries.into_iter().filter_map(|(_, job)| job).collect()
    }
}

#[cfg(test)]
mod tests {
    use ropewalk_rt::executor::tasks;

    use super::*;
    use crate::pool::wire::Code;
    use crate::ring::payload::Payload;

    fn job(id: u64) -> Box<Job> {
        let (promise, _) = ropewalk_rt::promise::<u8>();
        let nothing = Payload::Bytes(Vec::new());
        let mut job = Job::new(Code(0), nothing, None, promise, tasks::decode);
        job.id = id;
        job
    }

    #[test]
    fn jobs_come_in_the_order_of_their_numbers_whenever_they_are_put_back() {
        let mut queue = Queue::default();
        for id in 0..10 {
            queue.insert(job(id));
        }
        let mut first: Vec<_> = (0..6).map(|_| queue.pop().unwrap()).collect();
        assert!(queue.remove(7).is_some());
        assert!(queue.remove(7).is_none());
        assert!(queue.remove(2).is_none());
        while let Some(job) = first.pop() {
            queue.insert(job);
        }
        assert!(queue.remove(0).is_some());
        assert_eq!(queue.len(), 8);
        let mut ids = Vec::new();
        while let Some(job) = queue.pop() {
            ids.push(job.id);
        }
        assert_eq!(ids, [1, 2, 3, 4, 5, 6, 8, 9]);
        assert_eq!(queue.len(), 0);
    }
}
