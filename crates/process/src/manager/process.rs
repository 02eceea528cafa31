//! A manager in a process of its own: this program again, which serves until it is told to end,
//! or until this process ends.

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use ropewalk_rt::cancel;
use ropewalk_rt::process::Child;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::address::Listener;
use super::builder::Bound;
use super::server::Plan;
use super::{Address, Error, Key, Result, Server};
use crate::launch::Launch;
use crate::start;

const KIND: &str = "manager";
/// How long its process may take to end when it is told to.
const PATIENCE: Duration = Duration::from_secs(10);

inventory::submit! {
    start::Kind { name: KIND, run }
}

/// What a server doesn't put up with.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Limits {
    pub(super) message_max: usize,
    pub(super) handshake: Duration,
    pub(super) strangers_max: usize,
}

/// What its process is told; the listener comes along as a descriptor.
#[derive(Serialize, Deserialize)]
struct Orders {
    address: Address,
    key: Vec<u8>,
    limits: Limits,
}

/// A manager's process, and the directory of its socket.
pub(super) struct Process {
    child: Child,
    _dir: Option<TempDir>,
}

impl Process {
    /// Starts it. Clients may connect at once: it has the listener when it begins.
    pub(super) fn start(bound: Bound, limits: Limits) -> Result<Process> {
        let orders = Orders {
            address: bound.address,
            key: bound.key.as_bytes().to_vec(),
            limits,
        };
        let mut launch = Launch::new(KIND, "ropewalk-manager");
        launch.setup =
            postcard::to_stdvec(&orders).map_err(|error| Error::Encode(error.to_string()))?;
        launch.fds = vec![bound.listener];
        let child = launch.start().map_err(|error| Error::Start(error.into()))?;
        Ok(Process {
            child,
            _dir: bound.dir,
        })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end, which it was told of; kills it if that takes too long.
    pub(super) fn wait(mut self) -> Result<()> {
        cancel::shield(|| {
            if self.child.wait_timeout(PATIENCE).is_err() {
                self.child.kill()?;
                self.child.wait()?;
            }
            Ok::<(), io::Error>(())
        })?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Unless it was waited for: then it is known to have ended, and these do nothing.
        let _ = self.child.kill();
        let _ = cancel::shield(|| self.child.wait());
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Process").field(&self.id()).finish()
    }
}

/// What its process does.
fn run(setup: start::Setup) -> i32 {
    match serve(setup) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("ropewalk: the manager can't serve: {error}");
            1
        }
    }
}

fn serve(setup: start::Setup) -> Result<()> {
    let orders: Orders = postcard::from_bytes(&setup.bytes)
        .map_err(|error| Error::Start(io::Error::other(error.to_string())))?;
    let listener = setup.fds.into_iter().next();
    let listener = listener.ok_or_else(|| Error::Start(io::Error::other("no listener came")))?;
    let listener = match orders.address {
        Address::Tcp(_) => Listener::Tcp(TcpListener::from(listener).into()),
        _ => Listener::Unix(UnixListener::from(listener).into()),
    };
    ignore_interrupts();
    let server = Server::start(Plan {
        listener,
        address: orders.address,
        key: Key::from(orders.key),
        types: Vec::new(),
        message_max: orders.limits.message_max,
        handshake: orders.limits.handshake,
        strangers_max: orders.limits.strangers_max,
        dir: None,
    })?;
    server.serve_forever()
}

/// Leaves Ctrl-C to the parent, whose end is this one's too: it may want the objects until then.
fn ignore_interrupts() {
    // SAFETY: no handler is installed; the disposition is the process's own, and this is the
    // only one who sets it.
    unsafe {
        libc::signal(libc::SIGINT, libc::SIG_IGN);
    }
}
