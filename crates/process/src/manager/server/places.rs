//! Semaphores, events and barriers as the server keeps them.

use std::collections::{HashMap, VecDeque};

use super::super::Refusal;
use super::super::wire::{Answer, Held};
use super::object::{Effects, Waiter};

/// A semaphore: who comes first is served first, also if a later one would need less.
pub(super) struct Semaphore {
    pub(super) permits: u64,
    /// How many there may be in all, if it is bounded.
    bound: Option<u64>,
    /// What each lease holds, and whose it is.
    held: HashMap<u64, (u64, u64)>,
    line: VecDeque<(Waiter, u64)>,
}

impl Semaphore {
    pub(super) fn new(permits: u64, bounded: bool) -> Semaphore {
        Semaphore {
            permits,
            bound: bounded.then_some(permits),
            held: HashMap::new(),
            line: VecDeque::new(),
        }
    }

    pub(super) fn acquire(
        &mut self,
        waiter: Waiter,
        count: u64,
        wait: bool,
        effects: &mut Effects,
    ) -> Result<Option<Answer<Held>>, Refusal> {
        if self.bound.is_some_and(|bound| count > bound) {
            return Err(Refusal::BadRequest(format!("{count} permits of fewer")));
        }
        if self.line.is_empty() && self.permits >= count {
            let lease = self.grant(&waiter, count, effects);
            return Ok(Some(Answer::Lease(lease)));
        }
        if !wait {
            return Ok(Some(Answer::Yes(false)));
        }
        self.line.push_back((waiter, count));
        Ok(None)
    }

    fn grant(&mut self, waiter: &Waiter, count: u64, effects: &mut Effects) -> u64 {
        self.permits -= count;
        let lease = effects.lease(waiter.client);
        self.held.insert(lease, (count, waiter.client));
        lease
    }

    fn settle(&mut self, effects: &mut Effects) {
        while let Some(&(waiter, count)) = self.line.front()
            && self.permits >= count
        {
            self.line.pop_front();
            let lease = self.grant(&waiter, count, effects);
            effects.answer(waiter, Answer::Lease(lease));
        }
    }

    /// Ends a lease; its permits come back unless they are to be gone.
    pub(super) fn release(
        &mut self,
        lease: u64,
        client: u64,
        come_back: bool,
        effects: &mut Effects,
    ) -> Result<(), Refusal> {
        match self.held.get(&lease) {
            Some(&(count, owner)) if owner == client => {
                self.held.remove(&lease);
                effects.end(lease, client);
                if come_back {
                    self.permits += count;
                    self.settle(effects);
                }
                Ok(())
            }
            _ => Err(Refusal::NotHeld),
        }
    }

    pub(super) fn add(&mut self, count: u64, effects: &mut Effects) -> Result<(), Refusal> {
        let held: u64 = self.held.values().map(|(count, _)| count).sum();
        let all = self
            .permits
            .checked_add(count)
            .and_then(|sum| sum.checked_add(held));
        match all.ok_or(Refusal::Overflow)? {
            all if self.bound.is_some_and(|bound| all > bound) => Err(Refusal::TooManyReleases),
            _ => {
                self.permits += count;
                self.settle(effects);
                Ok(())
            }
        }
    }

    pub(super) fn expire(&mut self, lease: u64, effects: &mut Effects) {
        if let Some((count, client)) = self.held.remove(&lease) {
            effects.end(lease, client);
            self.permits += count;
            self.settle(effects);
        }
    }

    pub(super) fn withdraw(&mut self, waiter: &Waiter, effects: &mut Effects) -> bool {
        let before = self.line.len();
        self.line.retain(|(other, _)| other != waiter);
        // It may have stood in the way of others who need less.
        self.settle(effects);
        self.line.len() < before
    }

    pub(super) fn waiters(&self) -> impl Iterator<Item = Waiter> {
        self.line.iter().map(|(waiter, _)| *waiter)
    }
}

#[derive(Default)]
pub(super) struct Event {
    pub(super) is_set: bool,
    line: Vec<Waiter>,
}

impl Event {
    pub(super) fn set(&mut self, effects: &mut Effects) {
        self.is_set = true;
        for waiter in self.line.drain(..) {
            effects.answer(waiter, Answer::Done);
        }
    }

    pub(super) fn wait(&mut self, waiter: Waiter) -> Option<Answer<Held>> {
        if self.is_set {
            return Some(Answer::Done);
        }
        self.line.push(waiter);
        None
    }

    pub(super) fn withdraw(&mut self, waiter: &Waiter) -> bool {
        let before = self.line.len();
        self.line.retain(|other| other != waiter);
        self.line.len() < before
    }

    pub(super) fn waiters(&self) -> impl Iterator<Item = Waiter> {
        self.line.iter().copied()
    }
}

/// A barrier. One who leaves before the others came, dead or alive, breaks it: they would wait
/// for a place that nobody takes.
pub(super) struct Barrier {
    parties: u64,
    is_broken: bool,
    line: Vec<Waiter>,
}

impl Barrier {
    pub(super) fn new(parties: u64) -> Barrier {
        Barrier {
            parties,
            is_broken: false,
            line: Vec::new(),
        }
    }

    pub(super) fn arrive(&mut self, waiter: Waiter, effects: &mut Effects) -> Result<(), Refusal> {
        if self.is_broken {
            return Err(Refusal::Broken);
        }
        self.line.push(waiter);
        if self.line.len() as u64 == self.parties {
            for (index, waiter) in self.line.drain(..).enumerate() {
                effects.answer(waiter, Answer::Count(index as u64));
            }
        }
        Ok(())
    }

    /// Sends those who wait away; it stays broken until a reset.
    pub(super) fn abort(&mut self, effects: &mut Effects) {
        self.is_broken = true;
        for waiter in self.line.drain(..) {
            effects.answer(waiter, Answer::Refused(Refusal::Broken));
        }
    }

    pub(super) fn reset(&mut self, effects: &mut Effects) {
        self.abort(effects);
        self.is_broken = false;
    }

    pub(super) fn state(&self) -> Answer<Held> {
        Answer::BarrierState {
            parties: self.parties,
            waiting: self.line.len() as u64,
            broken: self.is_broken,
        }
    }

    pub(super) fn withdraw(&mut self, waiter: &Waiter, effects: &mut Effects) -> bool {
        let Some(at) = self.line.iter().position(|other| other == waiter) else {
            return false;
        };
        self.line.remove(at);
        self.abort(effects);
        true
    }

    pub(super) fn waiters(&self) -> impl Iterator<Item = Waiter> {
        self.line.iter().copied()
    }
}
