//! Several processes behind one listening port.
//!
//! A server of one process ends when it does, and has the heap of one. [`Prefork`] starts the same
//! function in `n` processes, which accept from one listening socket; each has its own runtime, and
//! serves with as many coroutines as it likes. Who dies is replaced, with growing pauses if that
//! happens again and again. A reload starts new processes first, and then lets the old ones end.
//!
//! | event | what the first process does |
//! |---|---|
//! | one dies | starts another in its place, after a pause that doubles from 50 ms to 10 s |
//! | many die | reports a [`Storm`](Event::Storm), and goes on |
//! | SIGHUP, [`Handle::reload`] | starts new ones; tells each old one to end once its successor listens |
//! | SIGTERM, SIGINT, [`Handle::shutdown`] | closes the port, tells all to end |
//! | the same again | kills them |
//! | one that was told to end is there after the [grace](Prefork::grace) | kills it |
//! | it dies itself | all others end: no process stays behind |
//!
//! # One socket
//!
//! All accept from the *same* socket, rather than each from one of its own on the same port
//! (`SO_REUSEPORT`). There, the system deals connections out as they arrive, and what waits in the
//! queue of a process that dies, or ends for a reload, is lost. Here they wait in one queue, for
//! whoever accepts next, and only what a dead process had accepted dies with it. Therefore a
//! process must not shut the socket down (`shutdown(2)`), which would end it for all: closing it is
//! enough.
//!
//! # New versions
//!
//! A new process is the same executable, even if another file has its name by now. A reload makes
//! it read its configuration again; a new version of the program needs a new start.

mod event;
mod master;
mod roster;
mod worker;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use ropewalk_rt::net::{TcpListener, ToSocketAddrs};

pub use event::Event;
pub use master::{Handle, Master, ProcessInfo};
pub use worker::Worker;

/// How long a process that was told to end may take, unless [`Prefork::grace`] says otherwise.
const GRACE: Duration = Duration::from_secs(30);
/// How long a new process may take until it listens, unless [`Prefork::ready_within`] says so.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Several processes that are to serve one port; see the [module](self).
///
/// # Examples
///
/// ```no_run
/// use ropewalk_process::prefork::{Prefork, Worker};
/// use std::io::Write;
///
/// fn serve(worker: Worker) {
///     let listener = worker.listen().unwrap();
///     while let Ok((mut stream, _)) = worker.until_stop(|| listener.accept()) {
///         ropewalk_rt::spawn(move || writeln!(stream, "hello from {}", std::process::id()));
///     }
/// }
///
/// ropewalk_rt::register! { "serve" => serve }
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     ropewalk_process::init();
///     Prefork::new(4).bind("127.0.0.1:8080")?.run(serve)?;
///     Ok(())
/// }
/// ```
///
/// An HTTP server takes the listener with `http::Server::from(worker.listen()?)`, and a coroutine
/// that ends it: `worker.wait_stop(); handle.shutdown(worker.grace())`.
#[derive(Clone)]
pub struct Prefork {
    plan: Plan,
}

/// What the master goes by.
#[derive(Clone)]
struct Plan {
    processes: usize,
    name: String,
    threads: usize,
    grace: Duration,
    ready_within: Duration,
    signals: bool,
    observer: Arc<dyn Fn(&Event) + Send + Sync>,
}

impl Prefork {
    /// So many processes.
    ///
    /// # Panics
    ///
    /// If there are to be none.
    pub fn new(processes: usize) -> Prefork {
        assert!(processes > 0, "a port without processes serves nobody");
        Prefork {
            plan: Plan {
                processes,
                name: "prefork".to_owned(),
                threads: 1,
                grace: GRACE,
                ready_within: READY_WITHIN,
                signals: true,
                observer: Arc::new(event::tell),
            },
        }
    }

    /// What `ps` shows for the processes, before their number; cut to 15 bytes by the system.
    pub fn name(mut self, name: impl Into<String>) -> Prefork {
        self.plan.name = name.into();
        self
    }

    /// The number of workers of the runtime of each process: one, unless this is called.
    pub fn threads(mut self, threads: usize) -> Prefork {
        self.plan.threads = threads;
        self
    }

    /// How long a process may take to end after it was told to; then it is killed. 30 s, unless
    /// this is called.
    pub fn grace(mut self, grace: Duration) -> Prefork {
        self.plan.grace = grace;
        self
    }

    /// How long a new process may take until it [listens](Worker::listen); then it is killed, and
    /// counts as one that died. 60 s, unless this is called.
    pub fn ready_within(mut self, limit: Duration) -> Prefork {
        self.plan.ready_within = limit;
        self
    }

    /// Whether SIGHUP, SIGTERM and SIGINT are listened for; so unless this is called. Without,
    /// only the [`Handle`] ends and reloads.
    pub fn signals(mut self, listen: bool) -> Prefork {
        self.plan.signals = listen;
        self
    }

    /// Calls `observer` with what happens, in place of writing what goes wrong to standard error.
    ///
    /// Called by who [runs](Master::run), which waits meanwhile.
    pub fn on_event(mut self, observer: impl Fn(&Event) + Send + Sync + 'static) -> Prefork {
        self.plan.observer = Arc::new(observer);
        self
    }

    /// Binds to an address and listens; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// As [`TcpListener::bind`].
    pub fn bind<A: ToSocketAddrs>(self, addr: A) -> io::Result<Master> {
        Ok(self.listener(TcpListener::bind(addr)?))
    }

    /// Takes a socket that listens already.
    pub fn listener(self, listener: TcpListener) -> Master {
        Master::new(self.plan, listener)
    }
}

impl fmt::Debug for Prefork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prefork")
            .field("processes", &self.plan.processes)
            .field("name", &self.plan.name)
            .finish_non_exhaustive()
    }
}
