//! One client's connection: the handshake, then a reader and a writer.
//!
//! The reader does the calls, one after the other, under the state's lock; only users' methods
//! and constructors run in coroutines of their own. The client ends when the reader does:
//! at the connection's end, a message that isn't one, or the server's end.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ropewalk_rt::cancel::{self, Elapsed};
use ropewalk_rt::coroutine::{Builder, yield_now};
use ropewalk_rt::sync::OwnedSemaphorePermit;
use ropewalk_rt::unblock;

use super::super::address::Stream;
use super::super::handshake::{self, Stranger};
use super::super::value::Value;
use super::super::wire::{self, Answer, Call, Frames, Held, Spec};
use super::super::{Error, Refusal};
use super::outbox::Outbox;
use super::state::{Told, makes_instance};
use super::{STACK_BYTES, Shared};

/// How many calls are done before others of the same worker have a turn.
const TURN: u32 = 64;
/// Bytes from which on a call takes a while to decode.
const LARGE: usize = 512 << 10;

/// Serves a connection until it ends.
pub(super) fn serve(shared: &Arc<Shared>, stream: Stream, permit: OwnedSemaphorePermit) {
    let note = |stranger: &Stranger| {
        let count = match stranger {
            Stranger::WrongKey => &shared.wrong_keys,
            Stranger::Io(_) => &shared.strangers,
        };
        *shared.last_refusal.lock() = Some(stranger.to_string());
        count.fetch_add(1, Ordering::Relaxed);
    };
    let accepted = cancel::timeout(shared.handshake, || {
        let wrong = || note(&Stranger::WrongKey);
        handshake::accept(&stream, &shared.key, shared.manager, wrong)
    });
    // Over its time it may still have been let in; then there is no error.
    match accepted.unwrap_or_else(Elapsed::into_inner) {
        Ok(()) => {}
        Err(Stranger::WrongKey) => return,
        Err(stranger) => return note(&stranger),
    }
    drop(permit);
    let stream = Arc::new(stream);
    let outbox = Arc::new(Outbox::default());
    let entered = shared.state.lock().enter(Arc::clone(&outbox));
    let Some(id) = entered else {
        return;
    };
    let client = Client {
        shared,
        id,
        outbox: Arc::clone(&outbox),
    };
    let writer = {
        let stream = Arc::clone(&stream);
        let builder = Builder::new().name("manager writer").daemon(true);
        builder.try_spawn(move || write(&stream, &outbox))
    };
    if writer.is_ok() {
        client.read(&stream);
    }
}

/// Sends what is in the outbox, until it is closed.
fn write(stream: &Stream, outbox: &Outbox) {
    while let Some(bytes) = outbox.take() {
        if (&mut &*stream).write_all(&bytes).is_err() {
            outbox.discard();
            break;
        }
    }
    stream.shut_down();
}

/// Decodes a call; a large one where it doesn't keep a worker from the other clients.
fn decode(body: &[u8]) -> Result<Call<Held>, String> {
    match body.len() > LARGE {
        true => unblock(|| wire::body(body)),
        false => wire::body(body),
    }
}

/// A client that was let in; it leaves when this is dropped.
struct Client<'s> {
    shared: &'s Arc<Shared>,
    id: u64,
    outbox: Arc<Outbox>,
}

impl Client<'_> {
    fn read(&self, stream: &Stream) {
        let mut frames = Frames::new(stream, self.shared.message_max);
        let mut done = 0;
        while self.outbox.await_room() {
            match frames.next() {
                Ok(Some((request, body))) => self.receive(request, decode(body)),
                Ok(None) => return,
                Err(error) => {
                    let why = Refusal::BadRequest(error.to_string());
                    return self.shared.send(&self.outbox, 0, &Answer::Refused(why));
                }
            }
            done += 1;
            if done % TURN == 0 && frames.is_ready() {
                yield_now();
            }
        }
    }

    fn receive(&self, request: u64, call: Result<Call<Held>, String>) {
        let answer = match call {
            Err(why) => Some(Answer::Refused(Refusal::BadRequest(why))),
            Ok(Call::ShutDown) => {
                self.shared.stop.set();
                None
            }
            Ok(call) if makes_instance(&call) => self.make(request, call),
            Ok(Call::Method {
                object,
                method,
                args,
            }) => self.run(request, object, method, args.0),
            Ok(call) => {
                let mut told = Vec::new();
                let mut state = self.shared.state.lock();
                let answer = state.call(self.id, request, call, &mut told);
                drop(state);
                self.shared.tell(told);
                answer
            }
        };
        if let Some(answer) = answer
            && request != 0
        {
            self.shared.send(&self.outbox, request, &answer);
        }
    }

    /// Makes an object of a user's type.
    fn make(&self, request: u64, call: Call<Held>) -> Option<Answer<Held>> {
        let Call::Make {
            name,
            spec:
                Spec::Served {
                    name: type_name,
                    args,
                },
        } = call
        else {
            unreachable!("asked before");
        };
        let Some(served) = self.shared.types.get(type_name.as_str()).copied() else {
            return Some(Answer::Refused(Refusal::NoSuchType(type_name)));
        };
        let mut state = self.shared.state.lock();
        match state.find(name.as_deref(), wire::Kind::Served) {
            Ok(None) => {}
            Ok(Some(object)) => return Some(state.refer(self.id, object)),
            Err(refusal) => return Some(Answer::Refused(refusal)),
        }
        drop(state);
        self.spawn(request, move |shared, client| {
            let made = served.make(&args.0);
            let mut state = shared.state.lock();
            let is_awaited = state.end_method(client, request);
            is_awaited.then(|| match made {
                Ok(instance) => state.add_instance(client, name, instance),
                Err(refusal) => Answer::Refused(refusal),
            })
        })
    }

    /// Calls a method of a user's type.
    fn run(&self, request: u64, object: u64, method: String, args: Value) -> Option<Answer<Held>> {
        let instance = self.shared.state.lock().instance(object);
        let instance = match instance {
            Ok(instance) => instance,
            Err(refusal) => return Some(Answer::Refused(refusal)),
        };
        self.spawn(request, move |shared, client| {
            let answer = match instance.run(&method, &args) {
                Ok(value) => Answer::Value(Some(Held(value))),
                Err(refusal) => Answer::Refused(refusal),
            };
            let is_awaited = shared.state.lock().end_method(client, request);
            is_awaited.then_some(answer)
        })
    }

    /// Runs a user's code in a coroutine of its own, which gives the answer if somebody still
    /// waits for it; an answer at once if it can't be run.
    fn spawn<F>(&self, request: u64, f: F) -> Option<Answer<Held>>
    where
        F: FnOnce(&Shared, u64) -> Option<Answer<Held>> + Send + 'static,
    {
        let token = self.shared.token.child();
        let begun = {
            let mut state = self.shared.state.lock();
            state.begin_method(self.id, request, token.clone())
        };
        if let Err(refusal) = begun {
            return Some(Answer::Refused(refusal));
        }
        let (shared, outbox, id) = (Arc::clone(self.shared), Arc::clone(&self.outbox), self.id);
        let spawned = token.run(|| {
            let builder = Builder::new().name("manager method").daemon(true);
            builder.stack_size(STACK_BYTES).try_spawn(move || {
                if let Some(answer) = f(&shared, id) {
                    shared.send(&outbox, request, &answer);
                }
            })
        });
        if spawned.is_err() {
            self.shared.state.lock().end_method(self.id, request);
            return Some(Answer::Refused(Refusal::TooManyCalls));
        }
        None
    }
}

impl Drop for Client<'_> {
    fn drop(&mut self) {
        let mut told: Vec<Told> = Vec::new();
        self.shared.state.lock().leave(self.id, &mut told);
        self.shared.tell(told);
        self.outbox.close();
    }
}

impl Shared {
    /// Sends an answer.
    pub(super) fn send(&self, outbox: &Outbox, request: u64, answer: &Answer<Held>) {
        let frame = wire::frame(request, answer, self.message_max).or_else(|error| {
            let refusal = match error {
                Error::Refused(refusal) => refusal,
                other => Refusal::BadRequest(other.to_string()),
            };
            wire::frame(request, &Answer::<Held>::Refused(refusal), self.message_max)
        });
        match frame {
            Ok(frame) => outbox.push(frame),
            // A refusal always has room; without an answer the client would wait for ever.
            Err(_) => outbox.discard(),
        }
    }

    /// Sends the answers of those who waited.
    pub(super) fn tell(&self, told: Vec<Told>) {
        for Told {
            outbox,
            request,
            answer,
        } in told
        {
            self.send(&outbox, request, &answer);
        }
    }
}
