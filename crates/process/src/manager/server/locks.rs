//! Locks and conditions as the server keeps them.
//!
//! A lock is free, or held under a lease; those who wait stand in line. A condition has a lock
//! and a second line: who waits for a notification has given the lock up, a notification moves
//! it to the lock's line, and it is answered when the lock is its own again. One who was
//! notified and leaves before that passes the notification on: it wasn't used.

use std::collections::VecDeque;

use super::super::Refusal;
use super::super::wire::{Answer, Held};
use super::object::{Effects, Waiter};

#[derive(Clone, Copy)]
struct Holder {
    client: u64,
    task: u64,
    lease: u64,
    /// How often its task has acquired a re-entrant lock.
    depth: u64,
}

pub(super) struct Lock {
    is_reentrant: bool,
    holder: Option<Holder>,
    /// Who waits, and whether by way of a notification.
    line: VecDeque<(Waiter, bool)>,
}

impl Lock {
    pub(super) fn new(is_reentrant: bool) -> Lock {
        Lock {
            is_reentrant,
            holder: None,
            line: VecDeque::new(),
        }
    }

    /// Answers with a lease, at once or later (`None`).
    pub(super) fn acquire(
        &mut self,
        waiter: Waiter,
        wait: bool,
        effects: &mut Effects,
    ) -> Option<Answer<Held>> {
        match &mut self.holder {
            None => Some(Answer::Lease(self.grant(&waiter, effects))),
            Some(holder)
                if self.is_reentrant
                    && (holder.client, holder.task) == (waiter.client, waiter.task) =>
            {
                holder.depth += 1;
                Some(Answer::Lease(holder.lease))
            }
            Some(_) if wait => {
                self.line.push_back((waiter, false));
                None
            }
            Some(_) => Some(Answer::Yes(false)),
        }
    }

    fn grant(&mut self, waiter: &Waiter, effects: &mut Effects) -> u64 {
        let lease = effects.lease(waiter.client);
        self.holder = Some(Holder {
            client: waiter.client,
            task: waiter.task,
            lease,
            depth: 1,
        });
        lease
    }

    pub(super) fn is_held(&self) -> bool {
        self.holder.is_some()
    }

    fn check(&mut self, lease: u64, client: u64) -> Result<&mut Holder, Refusal> {
        match &mut self.holder {
            Some(holder) if (holder.lease, holder.client) == (lease, client) => Ok(holder),
            _ => Err(Refusal::NotHeld),
        }
    }

    pub(super) fn release(
        &mut self,
        lease: u64,
        client: u64,
        effects: &mut Effects,
    ) -> Result<(), Refusal> {
        let holder = self.check(lease, client)?;
        holder.depth -= 1;
        if holder.depth == 0 {
            self.free(effects);
        }
        Ok(())
    }

    /// Frees it, and gives it to who is first in line.
    fn free(&mut self, effects: &mut Effects) {
        if let Some(holder) = self.holder.take() {
            effects.end(holder.lease, holder.client);
        }
        if let Some((waiter, _)) = self.line.pop_front() {
            let lease = self.grant(&waiter, effects);
            effects.answer(waiter, Answer::Lease(lease));
        }
    }

    pub(super) fn expire(&mut self, lease: u64, effects: &mut Effects) {
        if self.holder.is_some_and(|holder| holder.lease == lease) {
            self.free(effects);
        }
    }

    /// Takes a waiter out; says whether it had been notified, if it was there.
    pub(super) fn withdraw(&mut self, waiter: &Waiter) -> Option<bool> {
        let at = self.line.iter().position(|(other, _)| other == waiter)?;
        self.line.remove(at).map(|(_, notified)| notified)
    }

    pub(super) fn waiters(&self) -> impl Iterator<Item = Waiter> {
        self.line.iter().map(|(waiter, _)| *waiter)
    }
}

pub(super) struct Condition {
    pub(super) lock: Lock,
    waiting: VecDeque<Waiter>,
}

impl Condition {
    pub(super) fn new() -> Condition {
        Condition {
            lock: Lock::new(false),
            waiting: VecDeque::new(),
        }
    }

    pub(super) fn wait(
        &mut self,
        lease: u64,
        waiter: Waiter,
        effects: &mut Effects,
    ) -> Result<(), Refusal> {
        self.lock.check(lease, waiter.client)?;
        self.waiting.push_back(waiter);
        self.lock.free(effects);
        Ok(())
    }

    /// Wakes up to `count`; gives how many.
    pub(super) fn notify(&mut self, lease: u64, client: u64, count: u64) -> Result<u64, Refusal> {
        self.lock.check(lease, client)?;
        let count = (self.waiting.len() as u64).min(count);
        for _ in 0..count {
            self.notify_first();
        }
        Ok(count)
    }

    fn notify_first(&mut self) {
        if let Some(waiter) = self.waiting.pop_front() {
            self.lock.line.push_back((waiter, true));
        }
    }

    pub(super) fn withdraw(&mut self, waiter: &Waiter) -> bool {
        if let Some(at) = self.waiting.iter().position(|other| other == waiter) {
            self.waiting.remove(at);
            return true;
        }
        match self.lock.withdraw(waiter) {
            Some(notified) => {
                if notified {
                    self.notify_first();
                }
                true
            }
            None => false,
        }
    }

    pub(super) fn expire(&mut self, lease: u64, effects: &mut Effects) {
        self.lock.expire(lease, effects);
    }

    pub(super) fn waiters(&self) -> impl Iterator<Item = Waiter> {
        self.lock.waiters().chain(self.waiting.iter().copied())
    }
}
