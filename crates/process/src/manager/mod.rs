//! A manager holds objects that several processes use together, as Python's
//! `multiprocessing.Manager` does.
//!
//! [`Manager::start`] starts one in a process of its own, [`Builder::serve`] in this one;
//! [`Manager::connect`] uses one from any other process, also on another machine. What it
//! gives are proxies: cheap to clone, used from threads and coroutines at once, and sent to
//! other processes like any value that serialises, be it as a task's argument, through a pipe,
//! or in another of the manager's objects.
//!
//! | Python | here |
//! |---|---|
//! | `Manager()`, `SyncManager` | [`Manager::start`] |
//! | `BaseManager(address, authkey)`, `get_server().serve_forever()` | [`Manager::builder`], [`Server::serve_forever`] |
//! | `connect()` | [`Manager::connect`] |
//! | `dict`, `list`, `Namespace`, `Queue`, `Value`, `Array` | [`DictProxy`], [`ListProxy`], [`NamespaceProxy`], [`QueueProxy`], [`ValueProxy`], [`ArrayProxy`] |
//! | `Lock`, `RLock`, `Semaphore`, `BoundedSemaphore` | [`LockProxy`], [`RLockProxy`], [`SemaphoreProxy`] |
//! | `Condition`, `Event`, `Barrier` | [`ConditionProxy`], [`EventProxy`], [`BarrierProxy`] |
//! | `register(name, type)` | [`Served`], [`served!`](crate::served) |
//!
//! # Values
//!
//! Whatever serialises goes in, and comes out as any type that it can be read as; what mixes
//! types can be read as [`Value`]s. Values travel as MessagePack, which needs no agreement:
//! processes of different builds may use one manager. Each is a copy: changing what was got
//! changes nothing at the manager. To change something there in one step, see [`Update`],
//! `compare_exchange` and [`Batch`].
//!
//! A large `Vec<u8>` is encoded byte by byte, as serde sees it; as [`Value::Bytes`] it is copied
//! at once.
//!
//! # How long things live
//!
//! An object lives while a process has a proxy of it, or has sent one elsewhere and is still
//! connected, or while it has a name ([`Manager::named`]). Locks, permits and places at
//! barriers are leased to the process that holds them: when its connection ends, because it
//! dropped the last proxy, died or was killed, its waits end, its locks and permits go to the
//! next who wait, and barriers at which it waited are broken.
//!
//! # Errors of all calls
//!
//! [`Error::Lost`] and [`Error::ShutDown`] if the manager is gone (proxies made before stay
//! unusable); [`Error::Encode`] if a value can't be serialised; [`Error::Cancelled`] if the
//! caller is cancelled, for all calls are cancellation points. A proxy from another process
//! connects at its first use, which gives the errors of [`Manager::connect`] too.
//!
//! # Who may use it
//!
//! Who knows the [`Key`]; nobody else is listened to, and nothing that they send is decoded.
//! Proxies don't have the key in them. Those of a manager on its own Unix socket (the default)
//! find it in the socket's directory, which only the same user may enter; for other addresses
//! the receiving process is told it, by [`Manager::connect`] or [`set_key`].
//!
//! Neither side proves more than that it knows the key when the connection begins, and nothing
//! is encrypted: across networks where somebody may listen or meddle, use a tunnel.

mod address;
mod builder;
mod client;
mod error;
mod handshake;
mod key;
mod make;
mod process;
mod proxy;
mod served;
mod server;
mod update;
mod value;
mod wire;

pub use address::Address;
pub use builder::Builder;
pub use error::{Error, Refusal, Result};
pub use key::{Key, set_key};
pub use make::Named;
pub use proxy::{
    ArrayProxy, BarrierProxy, Batch, ConditionGuard, ConditionProxy, DictProxy, EventProxy,
    ListProxy, LockGuard, LockProxy, NamespaceProxy, ObjectProxy, Permit, QueueProxy, RLockGuard,
    RLockProxy, SemaphoreProxy, ValueProxy,
};
pub use served::{Methods, Served};
pub use server::Server;
pub use update::Update;
pub use value::Value;

#[doc(hidden)]
pub mod __private {
    pub use super::served::ServedType;
    pub use inventory;
}

use std::fmt;
use std::sync::Arc;

use client::{Link, link_to};
use process::Process;
use wire::{Answer, Call};

/// A connection to a manager, by which its objects are made and found.
///
/// # Examples
///
/// ```
/// use ropewalk_process::manager::{Manager, Update};
///
/// let server = Manager::builder().bind("127.0.0.1:0").key("knots and hitches").serve()?;
///
/// // Here or in another process:
/// let manager = Manager::connect(server.address(), "knots and hitches")?;
/// let words = manager.named("words").dict()?;
/// words.update_or::<u64>("rope", 0, Update::add(1))?;
/// assert_eq!(words.items::<String, u64>()?, [("rope".to_owned(), 1)]);
/// # Ok::<(), ropewalk_process::manager::Error>(())
/// ```
pub struct Manager {
    link: Arc<Link>,
    /// The server's process, if it was started with this.
    process: Option<Process>,
}

/// What a manager's server has to do; from [`Manager::stats`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Processes that are connected.
    pub clients: usize,
    /// Objects it holds.
    pub objects: usize,
    /// Calls that wait.
    pub waiting: usize,
    /// Locks and groups of permits that are held.
    pub leases: usize,
}

impl Manager {
    /// Starts a manager in a process of its own, on a Unix socket in a directory of its own,
    /// with a random key. It ends with this process, or when the `Manager` is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Start`] if the process can't be started, most of all if the start-up hook is
    /// missing: see [`init`](crate::init).
    pub fn start() -> Result<Manager> {
        Manager::builder().start()
    }

    /// Says how a manager is to be, before it is started in a process of its own or served in
    /// this one.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Uses a manager that is there already.
    ///
    /// Connections are shared: a process has one to each manager. The key is kept for the
    /// proxies that come to this process from elsewhere.
    ///
    /// # Errors
    ///
    /// [`Error::Unreachable`] if nobody is there; [`Error::WrongKey`] if either side has
    /// another key than the other; [`Error::Io`] if what is there doesn't speak the protocol,
    /// or not in time (10 s); [`Error::Cancelled`].
    pub fn connect(address: impl Into<Address>, key: impl Into<Key>) -> Result<Manager> {
        let link = link_to(&address.into(), Some(&key.into()))?;
        Ok(Manager {
            link,
            process: None,
        })
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        self.link.address()
    }

    /// Its key: what another process needs to connect, beside the address.
    pub fn key(&self) -> &Key {
        self.link.key()
    }

    /// The server's process, if it was started by this.
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Begins operations that are done in one step.
    pub fn batch(&self) -> Batch {
        Batch::new()
    }

    /// The names there are, with the kinds of their objects.
    ///
    /// # Errors
    ///
    /// As [all calls](self#errors-of-all-calls).
    pub fn names(&self) -> Result<Vec<(String, &'static str)>> {
        match self.call(&Call::Names)? {
            Answer::Names(names) => {
                let names = names.into_iter();
                Ok(names.map(|(name, kind)| (name, kind.name())).collect())
            }
            other => Err(other.unexpected()),
        }
    }

    /// Takes a name away; the object lives while somebody has a proxy of it. Says whether there
    /// was one of that name.
    ///
    /// # Errors
    ///
    /// As [all calls](self#errors-of-all-calls).
    pub fn unname(&self, name: &str) -> Result<bool> {
        let name = name.to_owned();
        self.call(&Call::Unname { name })?.yes()
    }

    /// What the server has to do at the moment.
    ///
    /// # Errors
    ///
    /// As [all calls](self#errors-of-all-calls).
    pub fn stats(&self) -> Result<Stats> {
        match self.call(&Call::Stats)? {
            Answer::Stats {
                clients,
                objects,
                waiting,
                leases,
            } => Ok(Stats {
                clients: clients as usize,
                objects: objects as usize,
                waiting: waiting as usize,
                leases: leases as usize,
            }),
            other => Err(other.unexpected()),
        }
    }

    /// Ends the manager, for all its clients. Waits for its process, if this started one.
    ///
    /// # Errors
    ///
    /// As [all calls](self#errors-of-all-calls), unless it is gone already.
    pub fn shutdown(mut self) -> Result<()> {
        match self.call(&Call::ShutDown) {
            Ok(_) | Err(Error::ShutDown | Error::Lost(_)) => {}
            Err(error) => return Err(error),
        }
        match self.process.take() {
            Some(process) => process.wait(),
            None => Ok(()),
        }
    }

    fn call(&self, call: &Call<wire::Packed>) -> Result<Answer<wire::Packed>> {
        let answer = self.link.call(call, None)?;
        Ok(answer.expect("only a deadline ends a call without an answer"))
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            // Its answer is the connection's end.
            let _ = self.link.tell(&Call::ShutDown);
            let _ = process.wait();
        }
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Manager");
        debug.field("address", self.address());
        debug.field("process", &self.process_id()).finish()
    }
}
