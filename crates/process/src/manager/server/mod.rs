//! The server: who waits for connections, and how all of it ends.
//!
//! `connection` talks to one client, `outbox` holds what is to be sent to it, `state` is the
//! state machine behind, with the objects of `object`, `data`, `locks` and `places`.

mod connection;
mod data;
mod locks;
mod object;
mod outbox;
mod places;
mod state;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ropewalk_rt::cancel::{self, Token};
use ropewalk_rt::coroutine::Builder as Coroutine;
use ropewalk_rt::sync::{Event, Mutex, Semaphore, WaitGroup};
use tempfile::TempDir;

use super::address::{Listener, Stream};
use super::key::Key;
use super::served::ServedType;
use super::wire::Answer;
use super::{Address, Error, Manager, Result};
use state::State;

/// The stack of what decodes clients' values, which may be nested.
const STACK_BYTES: usize = 512 << 10;
/// The pause after `accept` failed: mostly there were no descriptors.
const PAUSE: Duration = Duration::from_millis(50);
/// How long clients have to take what is still to be sent to them at the end.
const GOODBYE: Duration = Duration::from_secs(2);

/// What the coroutines of a server share.
struct Shared {
    key: Key,
    /// The server's number, which tells it from another one at the same address.
    manager: u64,
    types: HashMap<&'static str, ServedType>,
    message_max: usize,
    handshake: Duration,
    state: Mutex<State>,
    /// All of it stands under this, and whoever accepts under one below.
    token: Token,
    accepting: Token,
    /// Set when somebody wants it to end.
    stop: Event,
    wrong_keys: AtomicU64,
    strangers: AtomicU64,
    last_refusal: Mutex<Option<String>>,
}

/// How a server is to be.
pub(super) struct Plan {
    pub(super) listener: Listener,
    pub(super) address: Address,
    pub(super) key: Key,
    pub(super) types: Vec<ServedType>,
    pub(super) message_max: usize,
    pub(super) handshake: Duration,
    /// How many may be connected without having proved that they know the key.
    pub(super) strangers_max: usize,
    /// The directory of its socket, if it is to go with it.
    pub(super) dir: Option<TempDir>,
}

/// A manager's server in this process; from [`Builder::serve`](super::Builder::serve).
///
/// It serves in the background. Dropping it ends it, as [`shutdown`](Self::shutdown) does.
pub struct Server {
    shared: Arc<Shared>,
    address: Address,
    /// The acceptor and the clients' coroutines; none once it has ended.
    clients: Mutex<Option<WaitGroup>>,
    _dir: Option<TempDir>,
}

impl Server {
    pub(super) fn start(plan: Plan) -> Result<Server> {
        let mut number = [0; 8];
        getrandom::fill(&mut number).map_err(io::Error::from)?;
        let known = inventory::iter::<ServedType>.into_iter().copied();
        let types = known.chain(plan.types).map(|served| (served.name, served));
        let token = Token::root();
        let shared = Arc::new(Shared {
            key: plan.key,
            manager: u64::from_le_bytes(number),
            types: types.collect(),
            message_max: plan.message_max,
            handshake: plan.handshake,
            state: Mutex::new(State::default()),
            accepting: token.child(),
            token,
            stop: Event::new(),
            wrong_keys: AtomicU64::new(0),
            strangers: AtomicU64::new(0),
            last_refusal: Mutex::new(None),
        });
        let clients = WaitGroup::new();
        let acceptor = {
            let (shared, clients) = (Arc::clone(&shared), clients.clone());
            let strangers = Arc::new(Semaphore::new(plan.strangers_max));
            let listener = plan.listener;
            move || accept(&shared, &listener, &strangers, &clients)
        };
        let spawned = shared.accepting.run(|| {
            let builder = Coroutine::new().name("manager").daemon(true);
            builder.try_spawn(acceptor)
        });
        spawned.map_err(|refused| Error::Start(refused.into()))?;
        Ok(Server {
            shared,
            address: plan.address,
            clients: Mutex::new(Some(clients)),
            _dir: plan.dir,
        })
    }

    /// Where it is: what [`Manager::connect`] needs.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Its key, likewise.
    pub fn key(&self) -> &Key {
        &self.shared.key
    }

    /// Connects to it, as a client in the same process.
    ///
    /// # Errors
    ///
    /// As [`Manager::connect`].
    pub fn manager(&self) -> Result<Manager> {
        Manager::connect(&self.address, &self.shared.key)
    }

    /// How many tried to connect with another key.
    pub fn wrong_keys(&self) -> u64 {
        self.shared.wrong_keys.load(Ordering::Relaxed)
    }

    /// How many connected that didn't speak the protocol, or not in time.
    pub fn strangers(&self) -> u64 {
        self.shared.strangers.load(Ordering::Relaxed)
    }

    /// Why the last one of those was not let in.
    pub fn last_refusal(&self) -> Option<String> {
        self.shared.last_refusal.lock().clone()
    }

    /// Waits until a client asks for the end ([`Manager::shutdown`]), then ends it.
    ///
    /// # Errors
    ///
    /// [`Error::Cancelled`] if the caller is cancelled; it is ended then too.
    pub fn serve_forever(self) -> Result<()> {
        let waited = self.shared.stop.wait();
        self.end();
        waited.map_err(|_| Error::Cancelled)
    }

    /// Ends it: all clients' calls fail with [`Error::ShutDown`], those that wait too.
    ///
    /// Gives clients two seconds to take what is still on its way to them. Not a cancellation
    /// point.
    pub fn shutdown(self) {
        self.end();
    }

    /// Ends it, once.
    fn end(&self) {
        let Some(clients) = self.clients.lock().take() else {
            return;
        };
        self.shared.accepting.cancel();
        let outboxes = self.shared.state.lock().close();
        for outbox in outboxes {
            self.shared.send(&outbox, 0, &Answer::ShutDown);
            outbox.close();
        }
        cancel::shield(|| {
            // Writers close the connections, which ends the readers; or time is up.
            if let Err(unfinished) = clients.wait_timeout(GOODBYE) {
                self.shared.token.cancel();
                let _ = unfinished.group.wait_timeout(GOODBYE);
            }
            self.shared.token.cancel();
        });
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Server");
        debug
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Accepts until the server's end.
fn accept(
    shared: &Arc<Shared>,
    listener: &Listener,
    strangers: &Arc<Semaphore>,
    clients: &WaitGroup,
) {
    // Who can't prove anything yet has one of few places; the others wait in the backlog.
    while let Ok(permit) = strangers.acquire_owned() {
        match listener.accept() {
            Ok(stream) => admit(shared, stream, permit, clients.clone()),
            Err(_) if shared.accepting.is_cancelled() => return,
            // It passes, or concerns a connection that is gone already.
            Err(_) => {
                if cancel::sleep(PAUSE).is_err() {
                    return;
                }
            }
        }
    }
}

fn admit(
    shared: &Arc<Shared>,
    stream: Stream,
    permit: ropewalk_rt::sync::OwnedSemaphorePermit,
    member: WaitGroup,
) {
    let shared = Arc::clone(shared);
    let token = shared.token.clone();
    token.run(|| {
        let builder = Coroutine::new().name("manager client").daemon(true);
        // Refused if there is no room for coroutines: then the connection is closed.
        let _ = builder.stack_size(STACK_BYTES).try_spawn(move || {
            connection::serve(&shared, stream, permit);
            drop(member);
        });
    });
}
