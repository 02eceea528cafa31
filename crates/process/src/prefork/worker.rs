//! One of the processes behind a port, as it sees itself.
//!
//! Its first process gives it the listening socket, and a pipe on which it says that it listens.
//! It is told to end by SIGTERM. A terminal sends SIGINT and SIGHUP to the whole group: they are
//! for the first process, and ignored here.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use ropewalk_kernel::runtime::OwnThread;
use ropewalk_rt::Runtime;
use ropewalk_rt::cancel::Token;
use ropewalk_rt::executor::tasks::TaskEntry;
use ropewalk_rt::net::TcpListener;
use ropewalk_rt::signal::{SIGHUP, SIGINT, SIGTERM, Signals};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::pass;
use crate::start::{Kind, Setup};

/// The kind of children that the processes are.
pub(super) const KIND: &str = "prefork";

/// The exit codes of a process whose function panicked, as of a `main` that did, and of one that
/// could not begin.
const EXIT_PANIC: i32 = 101;
const EXIT_NOT_BEGUN: i32 = 70;

/// What a process behind a port serves by: given to the function that [`Master::run`] has it run.
///
/// [`Master::run`]: super::Master::run
pub struct Worker {
    listener: OwnedFd,
    /// Where it says that it listens.
    ready: OwnedFd,
    told: AtomicBool,
    index: usize,
    generation: u64,
    grace: Duration,
    /// Cancelled when the process is to end.
    stop: Token,
}

/// Cancelled when this process is to end, if it is one behind a port.
static STOP: OnceLock<Token> = OnceLock::new();

impl Worker {
    pub(super) fn new(
        listener: &TcpListener,
        ready: OwnedFd,
        (index, generation): (usize, u64),
        grace: Duration,
    ) -> io::Result<Worker> {
        Ok(Worker {
            listener: listener.as_fd().try_clone_to_owned()?,
            ready,
            told: AtomicBool::new(false),
            index,
            generation,
            grace,
            stop: Token::root(),
        })
    }

    /// The port's socket, to accept from. Its first call says that this process listens: what has
    /// to be ready before is to be done before.
    ///
    /// # Errors
    ///
    /// The system's, if it is out of descriptors.
    pub fn listen(&self) -> io::Result<TcpListener> {
        let listener = TcpListener::from(self.listener.try_clone()?);
        if !self.told.swap(true, Ordering::AcqRel) {
            // Nobody there to hear it means that this process ends anyway.
            let _ = rustix::io::write(&self.ready, b"r");
        }
        Ok(listener)
    }

    /// The place of this process among the others, from 0. Whoever replaces it has the same.
    pub fn index(&self) -> usize {
        self.index
    }

    /// How many reloads came before this process.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// How long this process may take to end after it was told to.
    pub fn grace(&self) -> Duration {
        self.grace
    }

    /// Says whether this process was told to end.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Waits until this process is told to end, or the caller is cancelled.
    pub fn wait_stop(&self) {
        self.stop.wait();
    }

    /// Runs `f`, whose waits fail as those of one who is cancelled once this process is told to
    /// end: an `accept` gives an error then, and a loop over it ends.
    ///
    /// What `f` spawns stands under the same order; what is to go on until it is done is spawned
    /// with [`shield`](ropewalk_rt::cancel::shield).
    pub fn until_stop<T>(&self, f: impl FnOnce() -> T) -> T {
        self.stop.run(f)
    }

    /// What is cancelled when this process is told to end.
    pub fn stop_token(&self) -> &Token {
        &self.stop
    }
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("index", &self.index)
            .field("generation", &self.generation)
            .field("stopping", &self.is_stopping())
            .finish_non_exhaustive()
    }
}

/// A worker on its way: the two descriptors by their numbers in the message.
#[derive(Serialize, Deserialize)]
struct Wire {
    listener: u32,
    ready: u32,
    index: u64,
    generation: u64,
    grace: Duration,
}

/// Only the first process can do that: the descriptors go along when a process is started.
impl Serialize for Worker {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::Error;
        let attach = |fd| pass::attach(fd).map_err(S::Error::custom);
        let wire = Wire {
            listener: attach(self.listener.as_fd())?,
            ready: attach(self.ready.as_fd())?,
            index: self.index as u64,
            generation: self.generation,
            grace: self.grace,
        };
        wire.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Worker {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Worker, D::Error> {
        use serde::de::Error;
        let wire = Wire::deserialize(deserializer)?;
        let detach = |number| pass::detach(number).map_err(D::Error::custom);
        Ok(Worker {
            listener: detach(wire.listener)?,
            ready: detach(wire.ready)?,
            told: AtomicBool::new(false),
            index: wire.index as usize,
            generation: wire.generation,
            grace: wire.grace,
            stop: STOP.get_or_init(Token::root).clone(),
        })
    }
}

/// What a process is started with, besides descriptors.
#[derive(Serialize, Deserialize)]
pub(super) struct Order {
    /// The function's number.
    pub(super) task: u32,
    /// The tuple with the worker, encoded.
    pub(super) args: Vec<u8>,
    pub(super) threads: u64,
    pub(super) grace: Duration,
}

inventory::submit! {
    Kind { name: KIND, run: serve }
}

/// What such a process does: gives the exit code.
fn serve(setup: Setup) -> i32 {
    match begin(setup) {
        Ok(code) => code,
        Err(why) => {
            eprintln!("ropewalk: a process behind a port can't begin: {why}");
            EXIT_NOT_BEGUN
        }
    }
}

fn begin(setup: Setup) -> Result<i32, String> {
    let order: Order = pass::decode(&setup.bytes, Vec::new()).map_err(|error| error.to_string())?;
    let entry = TaskEntry::by_index(order.task).ok_or("it has no such task")?;
    let stop = STOP.get_or_init(Token::root).clone();
    let signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(|error| error.to_string())?;
    thread::Builder::new()
        .name("ropewalk-stop".to_owned())
        .spawn(move || {
            let _counted = OwnThread::new();
            while let Ok(signal) = signals.recv() {
                if signal == SIGTERM {
                    stop.cancel();
                }
            }
        })
        .map_err(|error| error.to_string())?;
    let runtime = Runtime::builder().workers(order.threads as usize).build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let call = || pass::with_incoming(setup.fds, || entry.run(&order.args, &mut Vec::new()));
    match catch_unwind(AssertUnwindSafe(|| runtime.run(call))) {
        // What it left behind may end by itself; the first process sees to it that this does.
        Ok(Ok(())) => Ok(match runtime.shutdown(order.grace) {
            Ok(()) => 0,
            Err(left) => {
                eprintln!("ropewalk: a process behind a port ends with some at work: {left}");
                0
            }
        }),
        Ok(Err(error)) => Err(error.to_string()),
        // The panic hook has told of it.
        Err(_) => Ok(EXIT_PANIC),
    }
}
