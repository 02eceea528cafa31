//! The objects that a server holds.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use super::super::Refusal;
use super::super::served::Instance;
use super::super::value::Value;
use super::super::wire::{Answer, Held, Kind, Spec};
use super::locks::{Condition, Lock};
use super::places::{Barrier, Event, Semaphore};

/// An object, and who needs it: it goes when nobody does and it has no name.
pub(super) struct Object {
    pub(super) kind: Kind,
    pub(super) body: Body,
    pub(super) name: Option<String>,
    /// The proxies of each client.
    pub(super) proxies: HashMap<u64, u64>,
    /// The clients who gave a proxy to another process.
    pub(super) pins: HashSet<u64>,
}

impl Object {
    pub(super) fn is_needed(&self) -> bool {
        self.name.is_some() || !self.proxies.is_empty() || !self.pins.is_empty()
    }
}

pub(super) enum Body {
    Map(BTreeMap<Value, Value>),
    List { values: Vec<Value>, is_fixed: bool },
    Cell(Value),
    Queue(Queue),
    Lock(Lock),
    Semaphore(Semaphore),
    Condition(Condition),
    Event(Event),
    Barrier(Barrier),
    Served(Arc<dyn Instance>),
}

/// A call that waits; client and request tell it from all others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiter {
    pub(super) client: u64,
    pub(super) request: u64,
    /// The client's task, for re-entrant locks.
    pub(super) task: u64,
}

impl PartialEq for Waiter {
    fn eq(&self, other: &Waiter) -> bool {
        (self.client, self.request) == (other.client, other.request)
    }
}

/// What an operation did beside answering its caller.
#[derive(Default)]
pub(super) struct Effects {
    /// Waiting calls that are answered now.
    pub(super) answers: Vec<(Waiter, Answer<Held>)>,
    /// Leases that begin: whose.
    pub(super) begun: Vec<(u64, u64)>,
    /// Leases that end.
    pub(super) ended: Vec<(u64, u64)>,
    pub(super) next_lease: u64,
}

impl Effects {
    pub(super) fn new(next_lease: u64) -> Effects {
        Effects {
            next_lease,
            ..Effects::default()
        }
    }

    pub(super) fn answer(&mut self, waiter: Waiter, answer: Answer<Held>) {
        self.answers.push((waiter, answer));
    }

    pub(super) fn lease(&mut self, client: u64) -> u64 {
        let lease = self.next_lease;
        self.next_lease += 1;
        self.begun.push((lease, client));
        lease
    }

    pub(super) fn end(&mut self, lease: u64, client: u64) {
        self.ended.push((lease, client));
    }
}

/// A queue. Nobody waits for what is there: if there are items there are no takers, and if
/// there is room there are no putters.
#[derive(Default)]
pub(super) struct Queue {
    pub(super) capacity: Option<u64>,
    pub(super) items: VecDeque<Value>,
    pub(super) unfinished: u64,
    pub(super) is_closed: bool,
    pub(super) putters: VecDeque<(Waiter, Value)>,
    pub(super) takers: VecDeque<Waiter>,
    pub(super) joiners: VecDeque<Waiter>,
}

impl Queue {
    pub(super) fn has_room(&self) -> bool {
        self.capacity
            .is_none_or(|capacity| (self.items.len() as u64) < capacity)
    }

    pub(super) fn put(&mut self, value: Value) {
        self.items.push_back(value);
        self.unfinished += 1;
    }

    /// Serves those who wait, as far as it goes.
    pub(super) fn settle(&mut self, effects: &mut Effects) {
        loop {
            if self.has_room()
                && let Some((waiter, value)) = self.putters.pop_front()
            {
                self.put(value);
                effects.answer(waiter, Answer::Done);
            } else if !self.items.is_empty()
                && let Some(waiter) = self.takers.pop_front()
            {
                let value = self.items.pop_front().map(Held);
                effects.answer(waiter, Answer::Value(value));
            } else {
                break;
            }
        }
        if self.is_closed {
            let left = self.putters.drain(..).map(|(waiter, _)| waiter);
            for waiter in left.chain(self.takers.drain(..)) {
                effects.answer(waiter, Answer::Refused(Refusal::Closed));
            }
        }
        if self.unfinished == 0 {
            for waiter in self.joiners.drain(..) {
                effects.answer(waiter, Answer::Done);
            }
        }
    }
}

impl Body {
    /// Makes an object as it was asked for; those of users' types are made elsewhere.
    pub(super) fn new(spec: Spec<Held>) -> Result<Body, Refusal> {
        let values = |list: Vec<Held>| list.into_iter().map(|held| held.0).collect();
        Ok(match spec {
            Spec::Dict | Spec::Namespace => Body::Map(BTreeMap::new()),
            Spec::List(list) => Body::List {
                values: values(list),
                is_fixed: false,
            },
            Spec::Array(list) => Body::List {
                values: values(list),
                is_fixed: true,
            },
            Spec::Cell(value) => Body::Cell(value.0),
            Spec::Queue { capacity: Some(0) } => {
                return Err(Refusal::BadRequest("a queue without room".into()));
            }
            Spec::Queue { capacity } => Body::Queue(Queue {
                capacity,
                ..Queue::default()
            }),
            Spec::Lock => Body::Lock(Lock::new(false)),
            Spec::RLock => Body::Lock(Lock::new(true)),
            Spec::Semaphore { permits, bounded } => {
                Body::Semaphore(Semaphore::new(permits, bounded))
            }
            Spec::Condition => Body::Condition(Condition::new()),
            Spec::Event => Body::Event(Event::default()),
            Spec::Barrier { parties: 0 } => {
                return Err(Refusal::BadRequest("a barrier for nobody".into()));
            }
            Spec::Barrier { parties } => Body::Barrier(Barrier::new(parties)),
            Spec::Served { name, .. } => return Err(Refusal::NoSuchType(name)),
        })
    }

    /// Takes a waiter out; says whether it was there. Its leaving may let others go on.
    pub(super) fn withdraw(&mut self, waiter: &Waiter, effects: &mut Effects) -> bool {
        match self {
            Body::Queue(queue) => {
                let before = queue.putters.len() + queue.takers.len() + queue.joiners.len();
                queue.putters.retain(|(other, _)| other != waiter);
                queue.takers.retain(|other| other != waiter);
                queue.joiners.retain(|other| other != waiter);
                before > queue.putters.len() + queue.takers.len() + queue.joiners.len()
            }
            Body::Lock(lock) => lock.withdraw(waiter).is_some(),
            Body::Semaphore(semaphore) => semaphore.withdraw(waiter, effects),
            Body::Condition(condition) => condition.withdraw(waiter),
            Body::Event(event) => event.withdraw(waiter),
            Body::Barrier(barrier) => barrier.withdraw(waiter, effects),
            Body::Map(_) | Body::List { .. } | Body::Cell(_) | Body::Served(_) => false,
        }
    }

    /// Ends a lease whose client is gone, whatever it stood for.
    pub(super) fn expire(&mut self, lease: u64, effects: &mut Effects) {
        match self {
            Body::Lock(lock) => lock.expire(lease, effects),
            Body::Condition(condition) => condition.expire(lease, effects),
            Body::Semaphore(semaphore) => semaphore.expire(lease, effects),
            _ => {}
        }
    }

    /// All who wait here: the object goes away.
    pub(super) fn waiters(&self) -> Vec<Waiter> {
        match self {
            Body::Queue(queue) => {
                let putters = queue.putters.iter().map(|(waiter, _)| waiter);
                let others = queue.takers.iter().chain(&queue.joiners);
                putters.chain(others).copied().collect()
            }
            Body::Lock(lock) => lock.waiters().collect(),
            Body::Semaphore(semaphore) => semaphore.waiters().collect(),
            Body::Condition(condition) => condition.waiters().collect(),
            Body::Event(event) => event.waiters().collect(),
            Body::Barrier(barrier) => barrier.waiters().collect(),
            Body::Map(_) | Body::List { .. } | Body::Cell(_) | Body::Served(_) => Vec::new(),
        }
    }
}

impl<V> Spec<V> {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Spec::Dict => Kind::Dict,
            Spec::Namespace => Kind::Namespace,
            Spec::List(_) => Kind::List,
            Spec::Array(_) => Kind::Array,
            Spec::Cell(_) => Kind::Cell,
            Spec::Queue { .. } => Kind::Queue,
            Spec::Lock => Kind::Lock,
            Spec::RLock => Kind::RLock,
            Spec::Semaphore { .. } => Kind::Semaphore,
            Spec::Condition => Kind::Condition,
            Spec::Event => Kind::Event,
            Spec::Barrier { .. } => Kind::Barrier,
            Spec::Served { .. } => Kind::Served,
        }
    }
}
