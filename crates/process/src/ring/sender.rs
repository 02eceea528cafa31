//! The parent's side that gives tasks: it knows where everything is, and is used by one thread at
//! a time, under the pool's lock.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::arena::Arena;
use super::bell::Bell;
use super::parcel::{self, Allowed, Parcel};
use super::payload::Payload;
use super::slot::{Head, Place, READY, REVOKED, RUNNING, Seen, Slot};
use super::{INLINE, Layout, header};
use crate::memory::Region;

/// What the parent has of a worker's mapping, shared by its two sides.
pub(crate) struct Shared {
    pub(crate) region: Region,
    pub(crate) layout: Layout,
    /// The parent's end of the worker's socket.
    pub(crate) socket: OwnedFd,
    /// The position after the last one that was published.
    head: AtomicU64,
}

impl Shared {
    /// Makes a mapping for a worker.
    pub(crate) fn new(layout: Layout, socket: OwnedFd) -> io::Result<Arc<Shared>> {
        let region = Region::new(layout.bytes())?;
        Ok(Arc::new(Shared {
            region,
            layout,
            socket,
            head: AtomicU64::new(0),
        }))
    }

    pub(crate) fn head(&self) -> u64 {
        self.head.load(Ordering::Acquire)
    }

    pub(crate) fn slot(&self, position: u64) -> Slot<'_> {
        Slot::new(&self.region, &self.layout, position)
    }

    /// The bell that wakes the worker.
    pub(crate) fn bell(&self) -> Bell<'_> {
        Bell::new(&self.region, header::WORKER_BELL)
    }

    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        use std::os::fd::AsFd;
        self.socket.as_fd()
    }

    /// Whether the task at a position is being run.
    pub(crate) fn is_running(&self, position: u64) -> bool {
        self.slot(position).look() == Seen::This(RUNNING)
    }

    /// What the worker wrote about itself.
    pub(crate) fn status(&self, offset: usize) -> u64 {
        self.region.long(offset).load(Ordering::Relaxed)
    }
}

/// Gives tasks to one worker.
pub(crate) struct Sender {
    shared: Arc<Shared>,
    head: u64,
    /// Every position before it was collected.
    collected: u64,
    arena: Arena,
}

/// Why a task was not given to the worker.
#[derive(Debug)]
pub(crate) enum NoRoom {
    /// There is no room now.
    Full,
    /// The worker has closed its socket: it has died.
    Gone,
    /// It can't be given at all.
    Failed(io::Error),
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}

impl Sender {
    pub(crate) fn new(shared: Arc<Shared>) -> Sender {
        Sender {
            arena: Arena::new(shared.layout.arena),
            shared,
            head: 0,
            collected: 0,
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// How many slots are free.
    pub(crate) fn room(&self) -> usize {
        self.shared.layout.slots as usize - (self.head - self.collected) as usize
    }

    /// Publishes a task; its position. The worker is to be rung for afterwards.
    ///
    /// A payload that is too large for the arena, and not in a parcel, is put into one here.
    pub(crate) fn publish(&mut self, code: u32, payload: &mut Payload) -> Result<u64, NoRoom> {
        if self.room() == 0 {
            return Err(NoRoom::Full);
        }
        if let Payload::Bytes(bytes) = payload
            && bytes.len() > self.shared.layout.arena_max()
        {
            let parcel = Parcel::of(bytes, Allowed::always()).map_err(NoRoom::Failed)?;
            *payload = Payload::Parcel(parcel);
        }
        let position = self.head;
        let slot = self.shared.slot(position);
        let place = match payload {
            Payload::Bytes(bytes) if bytes.len() <= INLINE => {
                self.shared.region.copy_in(slot.inline(), bytes);
                Place::Inline
            }
            Payload::Bytes(bytes) => {
                let Some(offset) = self.arena.take(position, bytes.len()) else {
                    return Err(NoRoom::Full);
                };
                let start = self.shared.layout.arena_out() + offset as usize;
                self.shared.region.copy_in(start, bytes);
                Place::Arena(offset)
            }
            Payload::Parcel(parcel) => match parcel::send(self.shared.socket(), position, parcel) {
                Ok(()) => Place::Parcel,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(NoRoom::Full);
                }
                Err(error) if is_gone(&error) => return Err(NoRoom::Gone),
                Err(error) => return Err(NoRoom::Failed(error)),
            },
        };
        slot.write_head(Head {
            code,
            place,
            len: payload.len(),
            spent_ns: 0,
        });
        slot.publish(READY);
        self.head += 1;
        self.shared.head.store(self.head, Ordering::Release);
        Ok(position)
    }

    /// Takes a task back; says whether it was not begun.
    pub(crate) fn revoke(&mut self, position: u64) -> bool {
        self.shared.slot(position).take_ready(REVOKED)
    }

    /// The reader has gone past all positions before `position`.
    pub(crate) fn collected(&mut self, position: u64) {
        debug_assert!(position >= self.collected && position <= self.head);
        self.collected = position;
        self.arena.release_before(position);
        self.shared
            .region
            .word(header::COLLECTED)
            .store(position as u32, Ordering::Release);
    }

    /// Has the worker end once it has nothing to run.
    pub(crate) fn stop(&mut self) {
        self.shared
            .region
            .word(header::STOP)
            .store(1, Ordering::Release);
        self.shared.bell().ring_always();
    }
}
