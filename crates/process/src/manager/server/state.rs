//! What a server knows: its objects, its clients, and what these hold and wait for.
//!
//! All of it is one state machine under one lock: each call is answered at once or leaves a
//! waiter in an object's line, no coroutine waits inside. So a batch is atomic, and so is the
//! end of a client, which takes its waiters out of all lines, then ends its leases, then drops
//! what it alone needed. A waiter is in exactly one line and in its client's `waits`, until it
//! is answered, once; a cancellation that comes later finds nothing and does nothing.
//!
//! Answers to others than the caller are collected, encoded and sent after the lock.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use ropewalk_rt::cancel::Token;

use super::super::Refusal;
use super::super::served::Instance;
use super::super::wire::{Answer, Call, DataOp, Held, Kind, Spec, WaitOp};
use super::data::{self, Log, Undo};
use super::object::{Body, Effects, Object, Waiter};
use super::outbox::Outbox;

/// How many calls of one client may wait at a time.
const CALLS_MAX: usize = 100_000;

#[derive(Default)]
pub(super) struct State {
    objects: HashMap<u64, Object>,
    names: HashMap<String, u64>,
    clients: HashMap<u64, Client>,
    last_client: u64,
    last_object: u64,
    next_lease: u64,
    is_closed: bool,
}

struct Client {
    outbox: Arc<Outbox>,
    /// The objects it has proxies of or has pinned.
    objects: HashSet<u64>,
    /// Where its leases are.
    leases: HashMap<u64, u64>,
    /// Where its calls wait.
    waits: HashMap<u64, u64>,
    /// The methods that run for it.
    methods: HashMap<u64, Token>,
}

impl Client {
    /// Says whether a request can't have this number: 0 has no answer.
    fn is_used(&self, request: u64) -> bool {
        request == 0 || self.waits.contains_key(&request) || self.methods.contains_key(&request)
    }
}

/// An answer for another client than the caller.
pub(super) struct Told {
    pub(super) outbox: Arc<Outbox>,
    pub(super) request: u64,
    pub(super) answer: Answer<Held>,
}

type Outcome = Result<Option<Answer<Held>>, Refusal>;

impl State {
    /// Takes a client in; `None` once the server is shut down.
    pub(super) fn enter(&mut self, outbox: Arc<Outbox>) -> Option<u64> {
        if self.is_closed {
            return None;
        }
        self.last_client += 1;
        let client = Client {
            outbox,
            objects: HashSet::new(),
            leases: HashMap::new(),
            waits: HashMap::new(),
            methods: HashMap::new(),
        };
        self.clients.insert(self.last_client, client);
        Some(self.last_client)
    }

    /// Does a call; no answer if it waits.
    pub(super) fn call(
        &mut self,
        client: u64,
        request: u64,
        call: Call<Held>,
        told: &mut Vec<Told>,
    ) -> Option<Answer<Held>> {
        match self.dispatch(client, request, call, told) {
            Ok(answer) => answer,
            Err(refusal) => Some(Answer::Refused(refusal)),
        }
    }

    fn dispatch(
        &mut self,
        client: u64,
        request: u64,
        call: Call<Held>,
        told: &mut Vec<Told>,
    ) -> Outcome {
        if !self.clients.contains_key(&client) {
            return Ok(None);
        }
        Ok(Some(match call {
            Call::Make { name, spec } => {
                let kind = spec.kind();
                match self.find(name.as_deref(), kind)? {
                    Some(object) => self.refer(client, object),
                    None => {
                        let body = Body::new(spec)?;
                        self.add(client, name, kind, body)
                    }
                }
            }
            Call::Find { name } => {
                let object = *self.names.get(&name).ok_or(Refusal::NoSuchObject)?;
                self.refer(client, object)
            }
            Call::Unname { name } => match self.names.remove(&name) {
                Some(object) => {
                    if let Some(object) = self.objects.get_mut(&object) {
                        object.name = None;
                    }
                    self.drop_unneeded(object, told);
                    Answer::Yes(true)
                }
                None => Answer::Yes(false),
            },
            Call::Names => {
                let kind = |object: &u64| self.objects.get(object).map(|object| object.kind);
                let names = self.names.iter();
                let mut names: Vec<_> = names
                    .filter_map(|(name, object)| Some((name.clone(), kind(object)?)))
                    .collect();
                names.sort_by(|(one, _), (two, _)| one.cmp(two));
                Answer::Names(names)
            }
            Call::Attach(object) => self.refer(client, object),
            Call::Detach(object) => {
                self.detach(client, object, told);
                Answer::Done
            }
            Call::Pin(id) => {
                let object = self.objects.get_mut(&id).ok_or(Refusal::NoSuchObject)?;
                object.pins.insert(client);
                self.of(client).objects.insert(id);
                Answer::Done
            }
            Call::Cancel(request) => {
                self.cancel(client, request, told);
                return Ok(None);
            }
            Call::Data { object, op } => return self.data(object, op, told).map(Some),
            Call::Batch(ops) => self.batch(ops, told)?,
            Call::Wait { object, task, op } => {
                let waiter = Waiter {
                    client,
                    request,
                    task,
                };
                return self.wait(waiter, object, op, told);
            }
            Call::Stats => self.stats(),
            // These need more than the state.
            Call::Method { .. } | Call::ShutDown => unreachable!("done by the connection"),
        }))
    }

    fn of(&mut self, client: u64) -> &mut Client {
        self.clients.get_mut(&client).expect("checked by dispatch")
    }

    /// The object of that name, if it has one; it must be of that kind.
    pub(super) fn find(&self, name: Option<&str>, kind: Kind) -> Result<Option<u64>, Refusal> {
        let Some(id) = name.and_then(|name| self.names.get(name)) else {
            return Ok(None);
        };
        match self.objects.get(id) {
            Some(object) if object.kind == kind => Ok(Some(*id)),
            Some(object) => Err(Refusal::WrongKind {
                wanted: kind.name().into(),
                is: object.kind.name().into(),
            }),
            None => Ok(None),
        }
    }

    fn add(&mut self, client: u64, name: Option<String>, kind: Kind, body: Body) -> Answer<Held> {
        self.last_object += 1;
        let id = self.last_object;
        if let Some(name) = &name {
            self.names.insert(name.clone(), id);
        }
        let object = Object {
            kind,
            body,
            name,
            proxies: HashMap::new(),
            pins: Default::default(),
        };
        self.objects.insert(id, object);
        self.refer(client, id)
    }

    /// Adds an object of a user's type, unless there is one of that name by now.
    pub(super) fn add_instance(
        &mut self,
        client: u64,
        name: Option<String>,
        instance: Arc<dyn Instance>,
    ) -> Answer<Held> {
        match self.find(name.as_deref(), Kind::Served) {
            Ok(Some(object)) => self.refer(client, object),
            Ok(None) => self.add(client, name, Kind::Served, Body::Served(instance)),
            Err(refusal) => Answer::Refused(refusal),
        }
    }

    /// Counts one proxy more.
    pub(super) fn refer(&mut self, client: u64, id: u64) -> Answer<Held> {
        let Some(object) = self.objects.get_mut(&id) else {
            return Answer::Refused(Refusal::NoSuchObject);
        };
        *object.proxies.entry(client).or_insert(0) += 1;
        let kind = object.kind;
        self.of(client).objects.insert(id);
        Answer::Object { object: id, kind }
    }

    fn detach(&mut self, client: u64, id: u64, told: &mut Vec<Told>) {
        if let Some(object) = self.objects.get_mut(&id)
            && let Some(count) = object.proxies.get_mut(&client)
        {
            *count -= 1;
            if *count == 0 {
                object.proxies.remove(&client);
                self.drop_unneeded(id, told);
            }
        }
    }

    fn drop_unneeded(&mut self, id: u64, told: &mut Vec<Told>) {
        if self
            .objects
            .get(&id)
            .is_some_and(|object| !object.is_needed())
        {
            let object = self.objects.remove(&id).expect("just seen");
            let mut effects = Effects::new(self.next_lease);
            for waiter in object.body.waiters() {
                effects.answer(waiter, Answer::Refused(Refusal::NoSuchObject));
            }
            self.carry_out(id, effects, told);
        }
    }

    fn data(
        &mut self,
        id: u64,
        op: DataOp<Held>,
        told: &mut Vec<Told>,
    ) -> Result<Answer<Held>, Refusal> {
        let object = self.objects.get_mut(&id).ok_or(Refusal::NoSuchObject)?;
        let answer = data::apply(object.kind, &mut object.body, op, &mut Log(None))?;
        self.settle(id, told);
        Ok(answer)
    }

    /// Serves those who wait for what was changed: only queues have such.
    fn settle(&mut self, id: u64, told: &mut Vec<Told>) {
        if let Some(Object {
            body: Body::Queue(queue),
            ..
        }) = self.objects.get_mut(&id)
        {
            let mut effects = Effects::new(self.next_lease);
            queue.settle(&mut effects);
            self.carry_out(id, effects, told);
        }
    }

    fn batch(
        &mut self,
        ops: Vec<(u64, DataOp<Held>)>,
        told: &mut Vec<Told>,
    ) -> Result<Answer<Held>, Refusal> {
        let mut done: Vec<(u64, Vec<Undo>)> = Vec::new();
        let mut answers = Vec::new();
        for (index, (id, op)) in ops.into_iter().enumerate() {
            let mut log = Log(Some(Vec::new()));
            let (is_put, is_take) = (
                matches!(op, DataOp::TryPut(_)),
                matches!(op, DataOp::TryGet),
            );
            let outcome = match self.objects.get_mut(&id) {
                Some(object) => data::apply(object.kind, &mut object.body, op, &mut log),
                None => Err(Refusal::NoSuchObject),
            };
            let outcome = match outcome {
                Ok(Answer::Yes(false)) if is_put => Err(Refusal::Full),
                Ok(Answer::Value(None)) if is_take => Err(Refusal::Empty),
                outcome => outcome,
            };
            match outcome {
                Ok(answer) => {
                    answers.push(answer);
                    done.push((id, log.0.unwrap_or_default()));
                }
                Err(refusal) => {
                    self.undo(done);
                    return Err(Refusal::InBatch {
                        index: index as u64,
                        refusal: Box::new(refusal),
                    });
                }
            }
        }
        for (id, _) in done {
            self.settle(id, told);
        }
        Ok(Answer::Batch(answers))
    }

    fn undo(&mut self, done: Vec<(u64, Vec<Undo>)>) {
        for (id, undos) in done.into_iter().rev() {
            let object = self
                .objects
                .get_mut(&id)
                .expect("it was changed under this lock");
            for undo in undos.into_iter().rev() {
                undo.run(&mut object.body);
            }
        }
    }

    fn wait(&mut self, waiter: Waiter, id: u64, op: WaitOp<Held>, told: &mut Vec<Told>) -> Outcome {
        let client = self.of(waiter.client);
        if client.waits.len() >= CALLS_MAX {
            return Err(Refusal::TooManyCalls);
        }
        // A waiter that can't be found again would hold what it gets for ever.
        let may_wait = !matches!(op, WaitOp::Release { .. } | WaitOp::Forget { .. });
        if may_wait && client.is_used(waiter.request) {
            return Err(Refusal::BadRequest("a number used twice".into()));
        }
        let object = self.objects.get_mut(&id).ok_or(Refusal::NoSuchObject)?;
        let mut effects = Effects::new(self.next_lease);
        let outcome = waiting(object, waiter, op, &mut effects);
        if matches!(outcome, Ok(None)) {
            self.of(waiter.client).waits.insert(waiter.request, id);
        }
        self.carry_out(id, effects, told);
        outcome
    }

    /// Books what an operation did to others, and to the caller's leases.
    fn carry_out(&mut self, id: u64, effects: Effects, told: &mut Vec<Told>) {
        self.next_lease = effects.next_lease;
        for (lease, client) in effects.begun {
            if let Some(client) = self.clients.get_mut(&client) {
                client.leases.insert(lease, id);
            }
        }
        for (lease, client) in effects.ended {
            if let Some(client) = self.clients.get_mut(&client) {
                client.leases.remove(&lease);
            }
        }
        for (waiter, answer) in effects.answers {
            if let Some(client) = self.clients.get_mut(&waiter.client) {
                client.waits.remove(&waiter.request);
                told.push(Told {
                    outbox: Arc::clone(&client.outbox),
                    request: waiter.request,
                    answer,
                });
            }
        }
    }

    fn cancel(&mut self, client: u64, request: u64, told: &mut Vec<Told>) {
        let is_ended = self.withdraw(client, request, told) || {
            let method = self.of(client).methods.remove(&request);
            method.map(|token| token.cancel()).is_some()
        };
        if is_ended {
            told.push(Told {
                outbox: Arc::clone(&self.of(client).outbox),
                request,
                answer: Answer::Cancelled,
            });
        }
    }

    /// Takes a waiting call out of its line; says whether it waited.
    fn withdraw(&mut self, client: u64, request: u64, told: &mut Vec<Told>) -> bool {
        let Some(id) = self.of(client).waits.remove(&request) else {
            return false;
        };
        let waiter = Waiter {
            client,
            request,
            task: 0,
        };
        let Some(object) = self.objects.get_mut(&id) else {
            return false;
        };
        let mut effects = Effects::new(self.next_lease);
        let was_there = object.body.withdraw(&waiter, &mut effects);
        self.carry_out(id, effects, told);
        was_there
    }

    /// An object of a user's type.
    pub(super) fn instance(&self, id: u64) -> Result<Arc<dyn Instance>, Refusal> {
        match self.objects.get(&id) {
            Some(Object {
                body: Body::Served(instance),
                ..
            }) => Ok(Arc::clone(instance)),
            Some(object) => Err(Refusal::WrongKind {
                wanted: Kind::Served.name().into(),
                is: object.kind.name().into(),
            }),
            None => Err(Refusal::NoSuchObject),
        }
    }

    /// Notes a user's code that runs for a client, under a token.
    pub(super) fn begin_method(
        &mut self,
        client: u64,
        request: u64,
        token: Token,
    ) -> Result<(), Refusal> {
        let client = self.clients.get_mut(&client).ok_or(Refusal::NoSuchObject)?;
        if client.methods.len() >= CALLS_MAX {
            return Err(Refusal::TooManyCalls);
        }
        if client.is_used(request) {
            return Err(Refusal::BadRequest("a number used twice".into()));
        }
        client.methods.insert(request, token);
        Ok(())
    }

    /// Says whether somebody still waits for its result.
    pub(super) fn end_method(&mut self, client: u64, request: u64) -> bool {
        let client = self.clients.get_mut(&client);
        client.is_some_and(|client| client.methods.remove(&request).is_some())
    }

    /// Ends a client: what it waits for, what it holds, what it alone needs.
    pub(super) fn leave(&mut self, id: u64, told: &mut Vec<Told>) {
        let Some(client) = self.clients.get_mut(&id) else {
            return;
        };
        let waits: Vec<u64> = client.waits.keys().copied().collect();
        for request in waits {
            self.withdraw(id, request, told);
        }
        let client = self.clients.remove(&id).expect("just seen");
        client
            .methods
            .into_values()
            .for_each(|token| token.cancel());
        for (lease, object) in client.leases {
            if let Some(there) = self.objects.get_mut(&object) {
                let mut effects = Effects::new(self.next_lease);
                there.body.expire(lease, &mut effects);
                self.carry_out(object, effects, told);
            }
        }
        for object in client.objects {
            if let Some(there) = self.objects.get_mut(&object) {
                there.proxies.remove(&id);
                there.pins.remove(&id);
                self.drop_unneeded(object, told);
            }
        }
    }

    /// Refuses new clients; gives those that are there.
    pub(super) fn close(&mut self) -> Vec<Arc<Outbox>> {
        self.is_closed = true;
        let clients = self.clients.values();
        clients.map(|client| Arc::clone(&client.outbox)).collect()
    }

    fn stats(&self) -> Answer<Held> {
        let sum = |count: fn(&Client) -> usize| {
            let counts = self.clients.values().map(count);
            counts.sum::<usize>() as u64
        };
        Answer::Stats {
            clients: self.clients.len() as u64,
            objects: self.objects.len() as u64,
            waiting: sum(|client| client.waits.len() + client.methods.len()),
            leases: sum(|client| client.leases.len()),
        }
    }
}

/// Does what may wait; no answer if it does.
fn waiting(
    object: &mut Object,
    waiter: Waiter,
    op: WaitOp<Held>,
    effects: &mut Effects,
) -> Outcome {
    let kind = object.kind;
    let client = waiter.client;
    Ok(Some(match (op, &mut object.body) {
        (WaitOp::Acquire { wait }, Body::Lock(lock)) => {
            return Ok(lock.acquire(waiter, wait, effects));
        }
        (WaitOp::Acquire { wait }, Body::Condition(condition)) => {
            return Ok(condition.lock.acquire(waiter, wait, effects));
        }
        (WaitOp::Release { lease }, Body::Lock(lock)) => {
            lock.release(lease, client, effects)?;
            Answer::Done
        }
        (WaitOp::Release { lease }, Body::Condition(condition)) => {
            condition.lock.release(lease, client, effects)?;
            Answer::Done
        }
        (WaitOp::IsLocked, Body::Lock(lock)) => Answer::Yes(lock.is_held()),
        (WaitOp::IsLocked, Body::Condition(condition)) => Answer::Yes(condition.lock.is_held()),
        (WaitOp::Wait { lease }, Body::Condition(condition)) => {
            condition.wait(lease, waiter, effects)?;
            return Ok(None);
        }
        (WaitOp::Notify { lease, count }, Body::Condition(condition)) => {
            Answer::Count(condition.notify(lease, client, count)?)
        }
        (WaitOp::Permits { count, wait }, Body::Semaphore(semaphore)) => {
            return semaphore.acquire(waiter, count, wait, effects);
        }
        (WaitOp::Release { lease }, Body::Semaphore(semaphore)) => {
            semaphore.release(lease, client, true, effects)?;
            Answer::Done
        }
        (WaitOp::Forget { lease }, Body::Semaphore(semaphore)) => {
            semaphore.release(lease, client, false, effects)?;
            Answer::Done
        }
        (WaitOp::AddPermits { count }, Body::Semaphore(semaphore)) => {
            semaphore.add(count, effects)?;
            Answer::Done
        }
        (WaitOp::Available, Body::Semaphore(semaphore)) => Answer::Count(semaphore.permits),
        (WaitOp::Set, Body::Event(event)) => {
            event.set(effects);
            Answer::Done
        }
        (WaitOp::Unset, Body::Event(event)) => {
            event.is_set = false;
            Answer::Done
        }
        (WaitOp::IsSet, Body::Event(event)) => Answer::Yes(event.is_set),
        (WaitOp::WaitSet, Body::Event(event)) => return Ok(event.wait(waiter)),
        (WaitOp::Arrive, Body::Barrier(barrier)) => {
            barrier.arrive(waiter, effects)?;
            return Ok(None);
        }
        (WaitOp::Abort, Body::Barrier(barrier)) => {
            barrier.abort(effects);
            Answer::Done
        }
        (WaitOp::Reset, Body::Barrier(barrier)) => {
            barrier.reset(effects);
            Answer::Done
        }
        (WaitOp::BarrierState, Body::Barrier(barrier)) => barrier.state(),
        (WaitOp::Put { .. }, Body::Queue(queue)) if queue.is_closed => {
            return Err(Refusal::Closed);
        }
        (WaitOp::Put { value: Held(value) }, Body::Queue(queue)) => {
            if queue.has_room() {
                queue.put(value);
                queue.settle(effects);
                Answer::Done
            } else {
                queue.putters.push_back((waiter, value));
                return Ok(None);
            }
        }
        (WaitOp::Take, Body::Queue(queue)) => match queue.items.pop_front() {
            Some(value) => {
                queue.settle(effects);
                Answer::Value(Some(Held(value)))
            }
            None if queue.is_closed => return Err(Refusal::Closed),
            None => {
                queue.takers.push_back(waiter);
                return Ok(None);
            }
        },
        (WaitOp::JoinQueue, Body::Queue(queue)) => {
            if queue.unfinished > 0 {
                queue.joiners.push_back(waiter);
                return Ok(None);
            }
            Answer::Done
        }
        (op, _) => {
            return Err(Refusal::WrongKind {
                wanted: wanted(&op).into(),
                is: kind.name().into(),
            });
        }
    }))
}

/// What an operation is for.
fn wanted(op: &WaitOp<Held>) -> &'static str {
    match op {
        WaitOp::Acquire { .. } | WaitOp::IsLocked => "lock",
        WaitOp::Release { .. } => "lock or semaphore",
        WaitOp::Permits { .. }
        | WaitOp::Forget { .. }
        | WaitOp::AddPermits { .. }
        | WaitOp::Available => "semaphore",
        WaitOp::Wait { .. } | WaitOp::Notify { .. } => "condition",
        WaitOp::Set | WaitOp::Unset | WaitOp::IsSet | WaitOp::WaitSet => "event",
        WaitOp::Arrive | WaitOp::Abort | WaitOp::Reset | WaitOp::BarrierState => "barrier",
        WaitOp::Put { .. } | WaitOp::Take | WaitOp::JoinQueue => "queue",
    }
}

/// Says whether a call makes an object of a user's type.
pub(super) fn makes_instance(call: &Call<Held>) -> bool {
    matches!(
        call,
        Call::Make {
            spec: Spec::Served { .. },
            ..
        }
    )
}
