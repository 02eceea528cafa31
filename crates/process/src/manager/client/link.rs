//! A connection to a manager, used by all threads and coroutines of the process at once.
//!
//! Each call has a number and a channel for its answer. Whoever calls puts its frame into the
//! outgoing bytes; the first one to come sends them, and those that others put in meanwhile. A
//! reader, a daemon of the global runtime, hands the answers out. It knows the stream and the
//! calls, not the link: so the link, and with it the connection, ends with its last user.
//!
//! # Giving up
//!
//! A call whose time is over, or whose caller is cancelled, asks the server to cancel it, and
//! waits for the one answer each call has: either that it was cancelled, or what it was given
//! at the last moment, which is then the call's result. So nothing is granted that nobody
//! knows of. A server that doesn't answer that within [`GRACE`] is taken for dead: the
//! connection is closed, and with it ends all that the server granted to it.

use std::collections::HashMap;
use std::io::{self, Write};
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ropewalk_rt::RuntimeHandle;
use ropewalk_rt::cancel;
use ropewalk_rt::channel::{self, Receiver, RecvTimeoutError, Sender};
use ropewalk_rt::coroutine::Builder;
use ropewalk_rt::sync::Mutex;

use super::super::address::Stream;
use super::super::handshake::HANDSHAKE;
use super::super::key::Key;
use super::super::wire::{self, Answer, Call, FRAME_MAX, Frames, Packed};
use super::super::{Address, Error, Refusal, Result, handshake};

/// How long a server may take to answer that a call was cancelled, and how long a write may
/// stand still.
const GRACE: Duration = Duration::from_secs(15);

/// A connection to a manager.
pub(in super::super) struct Link {
    pub(super) address: Address,
    pub(super) key: Key,
    pub(super) manager: u64,
    stream: Arc<Stream>,
    calls: Arc<Calls>,
    last: AtomicU64,
    out: Mutex<Outgoing>,
}

#[derive(Default)]
struct Outgoing {
    bytes: Vec<u8>,
    /// Somebody sends, and goes on while there is something.
    is_sending: bool,
}

#[derive(Default)]
struct Calls {
    open: Mutex<Open>,
    is_lost: AtomicBool,
}

#[derive(Default)]
struct Open {
    answers: HashMap<u64, Sender<Answer<Packed>>>,
    loss: Option<Loss>,
}

#[derive(Clone)]
enum Loss {
    ShutDown,
    Lost(String),
}

impl Loss {
    fn error(&self) -> Error {
        match self {
            Loss::ShutDown => Error::ShutDown,
            Loss::Lost(why) => Error::Lost(why.clone()),
        }
    }
}

impl Link {
    /// Connects, and proves to each other that both know the key.
    pub(super) fn open(address: &Address, key: &Key) -> Result<Arc<Link>> {
        key.check()?;
        let connected = cancel::timeout(HANDSHAKE, || address.connect());
        let stream = match connected {
            Ok(result) => result,
            Err(elapsed) => elapsed.into_inner(),
        };
        let stream = stream.map_err(|error| match cancel::check() {
            Err(_) => Error::Cancelled,
            Ok(()) => Error::Unreachable {
                address: address.clone(),
                error,
            },
        })?;
        let manager = handshake::connect(&stream, key, HANDSHAKE).map_err(|error| match error {
            Error::Io(_) if cancel::check().is_err() => Error::Cancelled,
            other => other,
        })?;
        stream.set_write_timeout(GRACE)?;
        let stream = Arc::new(stream);
        let calls = Arc::new(Calls::default());
        start_reader(Arc::clone(&stream), Arc::clone(&calls))?;
        Ok(Arc::new(Link {
            address: address.clone(),
            key: key.clone(),
            manager,
            stream,
            calls,
            last: AtomicU64::new(0),
            out: Mutex::new(Outgoing::default()),
        }))
    }

    pub(in super::super) fn address(&self) -> &Address {
        &self.address
    }

    pub(in super::super) fn key(&self) -> &Key {
        &self.key
    }

    pub(super) fn is_lost(&self) -> bool {
        self.calls.is_lost.load(Ordering::Acquire)
    }

    /// Calls, and waits for the answer: `None` if the time was over first.
    pub(in super::super) fn call(
        &self,
        call: &Call<Packed>,
        deadline: Option<Instant>,
    ) -> Result<Option<Answer<Packed>>> {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let frame = wire::frame(number, call, FRAME_MAX)?;
        let answer = self.calls.open(number)?;
        if let Err(error) = self.send(frame) {
            self.calls.forget(number);
            return Err(error);
        }
        let received = match deadline {
            None => answer.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(deadline) => answer.recv_deadline(deadline),
        };
        let received = match received {
            Ok(answer) => Some(answer),
            Err(error) => self.give_up(number, &answer, error.is_timeout())?,
        };
        match received {
            Some(Answer::Refused(refusal)) => Err(Error::Refused(refusal)),
            other => Ok(other),
        }
    }

    /// Waits for what becomes of a call whose caller waits no longer.
    fn give_up(
        &self,
        number: u64,
        answer: &Receiver<Answer<Packed>>,
        is_timeout: bool,
    ) -> Result<Option<Answer<Packed>>> {
        if self.calls.is_open(number) {
            // It fails if the connection is gone; then the wait below ends too.
            let _ = self.tell(&Call::Cancel(number));
        }
        match cancel::shield(|| answer.recv_timeout(GRACE)) {
            Ok(Answer::Cancelled) if is_timeout => Ok(None),
            Ok(Answer::Cancelled) => Err(Error::Cancelled),
            Ok(answer) => Ok(Some(answer)),
            Err(RecvTimeoutError::Timeout) => {
                let why = "it did not answer a cancellation".to_owned();
                self.calls.lose(Loss::Lost(why));
                self.stream.shut_down();
                Err(self.calls.error())
            }
            Err(RecvTimeoutError::Disconnected) => Err(self.calls.error()),
        }
    }

    /// Calls without an answer. Not a cancellation point.
    pub(in super::super) fn tell(&self, call: &Call<Packed>) -> Result<()> {
        self.send(wire::frame(0, call, FRAME_MAX)?)
    }

    /// Sends a frame, or leaves it to who is sending. Not a cancellation point: half a frame
    /// would be the connection's end.
    fn send(&self, frame: Vec<u8>) -> Result<()> {
        let mut out = self.out.lock();
        if self.is_lost() {
            return Err(self.calls.error());
        }
        match out.bytes.is_empty() {
            true => out.bytes = frame,
            false => out.bytes.extend_from_slice(&frame),
        }
        if mem::replace(&mut out.is_sending, true) {
            return Ok(());
        }
        while !out.bytes.is_empty() {
            let bytes = mem::take(&mut out.bytes);
            drop(out);
            let sent = cancel::shield(|| (&mut &*self.stream).write_all(&bytes));
            out = self.out.lock();
            if let Err(error) = sent {
                // The reader sees the end, and may know better why.
                self.stream.shut_down();
                out.bytes = Vec::new();
                out.is_sending = false;
                drop(out);
                self.calls.lose(Loss::Lost(error.to_string()));
                return Err(self.calls.error());
            }
        }
        out.is_sending = false;
        Ok(())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.stream.shut_down();
    }
}

impl Calls {
    fn open(&self, number: u64) -> Result<Receiver<Answer<Packed>>> {
        let (sender, receiver) = channel::bounded(1);
        let mut open = self.open.lock();
        if let Some(loss) = &open.loss {
            return Err(loss.error());
        }
        open.answers.insert(number, sender);
        Ok(receiver)
    }

    fn is_open(&self, number: u64) -> bool {
        self.open.lock().answers.contains_key(&number)
    }

    fn forget(&self, number: u64) {
        self.open.lock().answers.remove(&number);
    }

    fn answer(&self, number: u64, answer: Answer<Packed>) {
        let sender = self.open.lock().answers.remove(&number);
        if let Some(sender) = sender {
            // There is room for one, and only one comes.
            let _ = sender.try_send(answer);
        }
    }

    /// Ends all calls: their channels are closed.
    fn lose(&self, loss: Loss) {
        let mut open = self.open.lock();
        open.loss.get_or_insert(loss);
        self.is_lost.store(true, Ordering::Release);
        let answers = mem::take(&mut open.answers);
        drop(open);
        drop(answers);
    }

    fn error(&self) -> Error {
        let open = self.open.lock();
        match &open.loss {
            Some(loss) => loss.error(),
            None => Error::Lost("the connection is closed".into()),
        }
    }
}

/// Starts the reader, as a daemon of the global runtime: it outlives the caller's own.
fn start_reader(stream: Arc<Stream>, calls: Arc<Calls>) -> Result<()> {
    let runtime = RuntimeHandle::global().map_err(Error::Start)?;
    // Below no token: it is nobody's part.
    let started = cancel::shield(|| {
        let start = runtime.spawn(move || {
            let builder = Builder::new().name("manager reader").daemon(true);
            builder.try_spawn(move || read(&stream, &calls)).map(drop)
        });
        start.join()
    });
    match started {
        Ok(Ok(())) => Ok(()),
        Ok(Err(refused)) => Err(Error::Start(refused.into())),
        Err(error) => Err(Error::Start(io::Error::other(error.to_string()))),
    }
}

fn read(stream: &Stream, calls: &Calls) {
    let mut frames = Frames::new(stream, FRAME_MAX);
    let loss = loop {
        match frames.next() {
            Ok(Some((number, body))) => match (number, wire::body(body)) {
                (0, Ok(Answer::ShutDown)) => break Loss::ShutDown,
                (0, Ok(Answer::Refused(Refusal::BadRequest(why)))) => break Loss::Lost(why),
                (_, Ok(answer)) => calls.answer(number, answer),
                (_, Err(why)) => break Loss::Lost(why),
            },
            Ok(None) => break Loss::Lost("the manager closed it".into()),
            Err(error) => break Loss::Lost(error.to_string()),
        }
    };
    calls.lose(loss);
    stream.shut_down();
}
