//! What all proxies are: a reference to an object, counted at the server for each process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use std::{fmt, mem};

use ropewalk_rt::sync::OnceLock;
use ropewalk_rt::{cancel, coroutine};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use super::super::wire::{Answer, Call, DataOp, Kind, Packed, WaitOp};
use super::super::{Address, Error, Result};
use super::{Link, link_to};

/// A reference to an object; clones are the same reference.
#[derive(Clone)]
pub(in super::super) struct Handle(Arc<Reference>);

struct Reference {
    id: Id,
    /// None until a reference that came from another process is used.
    link: OnceLock<Arc<Link>>,
    is_pinned: AtomicBool,
}

/// What travels between processes. No key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Id {
    address: Address,
    manager: u64,
    object: u64,
    kind: Kind,
}

impl Handle {
    /// The reference that the server counted when it made or found the object.
    pub(in super::super) fn made(link: &Arc<Link>, object: u64, kind: Kind) -> Handle {
        let id = Id {
            address: link.address.clone(),
            manager: link.manager,
            object,
            kind,
        };
        let connected = OnceLock::new();
        let _ = connected.set(Arc::clone(link));
        Handle(Arc::new(Reference {
            id,
            link: connected,
            is_pinned: AtomicBool::new(false),
        }))
    }

    pub(in super::super) fn kind(&self) -> Kind {
        self.0.id.kind
    }

    pub(in super::super) fn object(&self) -> u64 {
        self.0.id.object
    }

    pub(in super::super) fn manager(&self) -> u64 {
        self.0.id.manager
    }

    /// The link; connects, and has the server count the reference, at the first use.
    pub(in super::super) fn link(&self) -> Result<&Arc<Link>> {
        self.0.link.get_or_try_init(|| {
            let link = link_to(&self.0.id.address, None)?;
            if link.manager != self.0.id.manager {
                return Err(Error::OtherManager);
            }
            // It comes before all that is said of the object afterwards.
            link.tell(&Call::Attach(self.object()))?;
            Ok(link)
        })
    }

    pub(in super::super) fn call(&self, call: &Call<Packed>) -> Result<Answer<Packed>> {
        let answer = self.link()?.call(call, None)?;
        Ok(answer.expect("only a deadline ends a call without an answer"))
    }

    pub(in super::super) fn data(&self, op: DataOp<Packed>) -> Result<Answer<Packed>> {
        let object = self.object();
        self.call(&Call::Data { object, op })
    }

    /// Does what may wait, without a deadline.
    pub(in super::super) fn wait(&self, op: WaitOp<Packed>) -> Result<Answer<Packed>> {
        self.call(&self.waiting(op))
    }

    /// Does what may wait; `None` if the deadline came first.
    pub(in super::super) fn wait_until(
        &self,
        op: WaitOp<Packed>,
        deadline: Instant,
    ) -> Result<Option<Answer<Packed>>> {
        self.link()?.call(&self.waiting(op), Some(deadline))
    }

    fn waiting(&self, op: WaitOp<Packed>) -> Call<Packed> {
        Call::Wait {
            object: self.object(),
            task: coroutine::current().id(),
            op,
        }
    }
}

impl Drop for Reference {
    fn drop(&mut self) {
        if let Some(link) = self.link.get() {
            // If the connection is gone, so is the reference.
            let _ = link.tell(&Call::Detach(self.id.object));
        }
    }
}

impl PartialEq for Handle {
    fn eq(&self, other: &Handle) -> bool {
        self.0.id == other.0.id
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} at {}",
            self.kind().name(),
            self.object(),
            self.0.id.address
        )
    }
}

impl Serialize for Handle {
    fn serialize<S: Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        // The object stays while this process does: until the receiver uses it, nobody else
        // may refer to it.
        let link = self.link().map_err(ser::Error::custom)?;
        if !self.0.is_pinned.swap(true, Ordering::Relaxed) {
            let pinned = link.tell(&Call::Pin(self.object()));
            pinned.map_err(ser::Error::custom)?;
        }
        self.0.id.serialize(to)
    }
}

impl Handle {
    /// As `Deserialize`, of one of these kinds.
    pub(in super::super) fn arrive<'de, D: Deserializer<'de>>(
        from: D,
        kinds: &[Kind],
    ) -> std::result::Result<Handle, D::Error> {
        let id = Id::deserialize(from)?;
        if !kinds.contains(&id.kind) {
            return Err(de::Error::custom(format!(
                "a reference to a {}, not to a {}",
                id.kind.name(),
                kinds[0].name()
            )));
        }
        Ok(Handle(Arc::new(Reference {
            id,
            link: OnceLock::new(),
            is_pinned: AtomicBool::new(false),
        })))
    }
}

/// What a guard holds: a lock, or permits. Dropping it gives them back.
pub(in super::super) struct Lease {
    handle: Handle,
    number: u64,
}

impl Lease {
    /// The lease that an acquisition was answered with; `None` if it was not to wait.
    pub(in super::super) fn of(handle: &Handle, answer: Answer<Packed>) -> Result<Option<Lease>> {
        match answer {
            Answer::Lease(number) => Ok(Some(Lease {
                handle: handle.clone(),
                number,
            })),
            Answer::Yes(false) => Ok(None),
            other => Err(other.unexpected()),
        }
    }

    pub(in super::super) fn number(&self) -> u64 {
        self.number
    }

    /// Gives it back, and waits until the server says so.
    pub(in super::super) fn release(self) -> Result<()> {
        let (handle, lease) = self.into_parts();
        cancel::shield(|| handle.wait(WaitOp::Release { lease })?.done())
    }

    /// Takes it apart: nothing is given back.
    pub(in super::super) fn into_parts(mut self) -> (Handle, u64) {
        (self.handle.clone(), mem::replace(&mut self.number, NONE))
    }
}

/// The number of a lease that was taken out of its guard.
const NONE: u64 = u64::MAX;

impl Drop for Lease {
    fn drop(&mut self) {
        if self.number == NONE {
            return;
        }
        let call = self.handle.waiting(WaitOp::Release { lease: self.number });
        if let Some(link) = self.handle.0.link.get() {
            // If the connection is gone, so is the lease.
            let _ = link.tell(&call);
        }
    }
}
