//! The worker's side: it takes tasks in their order, and writes each one's result where the task
//! was.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;

use super::arena::{self, Arena};
use super::bell::Bell;
use super::parcel::{self, Allowed, Parcel};
use super::payload::{Arrived, Payload};
use super::reader::open;
use super::slot::{DONE, Head, Place, READY, RUNNING, Seen, Slot};
use super::{INLINE, Layout, header, now_ns};
use crate::memory::Region;

/// Runs the tasks of one mapping.
pub(crate) struct Runner {
    region: Region,
    layout: Layout,
    socket: OwnedFd,
    /// The parent's bell, in a mapping of its own that all workers of the pool have.
    parent: Region,
    next: u64,
    arena: Arena,
    /// Results that the parent has perhaps not heard of, as it naps.
    untold: u32,
    /// The end of the task before, as long as nothing was waited for since.
    now_ns: Option<u64>,
    /// When the task that runs was begun.
    begun_ns: u64,
}

/// A task that was taken.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) code: u32,
    pub(crate) payload: Arrived,
}

/// What there is for the worker.
#[derive(Debug)]
pub(crate) enum Next {
    /// A task, which is now running.
    Task(Task),
    /// Nothing yet.
    Nothing,
    /// Nothing, and there will be nothing more.
    Stop,
}

impl Runner {
    pub(crate) fn new(
        region: Region,
        layout: Layout,
        socket: OwnedFd,
        parent: Region,
    ) -> io::Result<Runner> {
        layout.check(&region)?;
        Ok(Runner {
            arena: Arena::new(layout.arena),
            region,
            layout,
            socket,
            parent,
            next: 0,
            untold: 0,
            now_ns: None,
            begun_ns: 0,
        })
    }

    pub(crate) fn layout(&self) -> &Layout {
        &self.layout
    }

    fn slot(&self) -> Slot<'_> {
        Slot::new(&self.region, &self.layout, self.next)
    }

    /// Says whether [`take`](Self::take) would give something else than nothing.
    pub(crate) fn has_some(&self) -> bool {
        match self.slot().look() {
            Seen::This(state) => state != 0 && state != DONE || self.is_stopped(),
            Seen::Later => true,
            Seen::Earlier => self.is_stopped(),
        }
    }

    fn is_stopped(&self) -> bool {
        self.region.word(header::STOP).load(Ordering::Acquire) != 0
    }

    /// Takes the next task that was not revoked. Its payload is copied into `buffer`.
    ///
    /// # Errors
    ///
    /// If the parent's memory makes no sense, or its end of the socket is closed: the worker can
    /// only end.
    pub(crate) fn take(&mut self, buffer: &mut Vec<u8>) -> io::Result<Next> {
        let mut now = self.now_ns.take();
        loop {
            match self.slot().look() {
                Seen::This(READY) => {
                    // Before the state says that it runs: who sees that, sees since when.
                    self.begun_ns = *now.get_or_insert_with(now_ns);
                    let begun = self.region.long(header::BEGUN_NS);
                    begun.store(self.begun_ns, Ordering::Relaxed);
                    if self.slot().take_ready(RUNNING) {
                        break;
                    }
                    // Revoked in this moment.
                    self.next += 1;
                }
                Seen::This(0) | Seen::Earlier if self.is_stopped() => return Ok(Next::Stop),
                Seen::This(0) | Seen::Earlier => return Ok(Next::Nothing),
                // Revoked.
                Seen::This(_) | Seen::Later => self.next += 1,
            }
        }
        let nonsense = |why| io::Error::new(io::ErrorKind::InvalidData, why);
        let slot = self.slot();
        let head = slot
            .read_head()
            .ok_or_else(|| nonsense("the place of a task"))?;
        buffer.clear();
        let start = match head.place {
            Place::Inline if head.len <= INLINE as u64 => slot.inline(),
            Place::Arena(offset) if arena::inside(self.layout.arena, offset, head.len) => {
                self.layout.arena_out() + offset as usize
            }
            Place::Parcel => {
                let parcel = parcel::receive_for(self.socket.as_fd(), self.next)?;
                return Ok(Next::Task(Task {
                    code: head.code,
                    payload: Arrived::Opened(open(parcel, head.len)?),
                }));
            }
            _ => return Err(nonsense("the length of a task")),
        };
        let len = head.len as usize;
        self.region.append_to(start, len, buffer);
        Ok(Next::Task(Task {
            code: head.code,
            payload: Arrived::Copied(0..len),
        }))
    }

    /// Publishes the result of the task that was taken last.
    ///
    /// # Errors
    ///
    /// If the socket is closed: the parent is gone.
    pub(crate) fn finish(&mut self, code: u32, payload: &Payload) -> io::Result<()> {
        let position = self.next;
        let slot = self.slot();
        let in_arena = |runner: &mut Runner, bytes: &[u8]| {
            if bytes.len() > runner.layout.arena_max() {
                return None;
            }
            let collected = runner.region.word(header::COLLECTED);
            let behind = (position as u32).wrapping_sub(collected.load(Ordering::Acquire));
            runner
                .arena
                .release_before(position.saturating_sub(behind.into()));
            let offset = runner.arena.take(position, bytes.len())?;
            let start = runner.layout.arena_back() + offset as usize;
            runner.region.copy_in(start, bytes);
            Some(Place::Arena(offset))
        };
        let place = match payload {
            Payload::Bytes(bytes) if bytes.len() <= INLINE => {
                self.region.copy_in(slot.inline(), bytes);
                Place::Inline
            }
            Payload::Bytes(bytes) => match in_arena(self, bytes) {
                Some(place) => place,
                None => {
                    // Too large, or the parent has not yet taken what is there.
                    self.send(&Parcel::of(bytes, Allowed::always())?)?
                }
            },
            Payload::Parcel(parcel) => self.send(parcel)?,
        };
        let now = now_ns();
        let spent_ns = now.saturating_sub(self.begun_ns);
        self.now_ns = Some(now);
        let slot = self.slot();
        slot.write_head(Head {
            code,
            place,
            len: payload.len(),
            spent_ns,
        });
        self.count(header::DONE, 1);
        self.count(header::BUSY_NS, spent_ns);
        slot.publish(DONE);
        self.next += 1;
        self.tell(spent_ns);
        Ok(())
    }

    fn send(&self, parcel: &Parcel) -> io::Result<Place> {
        // The parent may have to take others before there is room.
        self.bell_of_parent().ring(true);
        parcel::send_all(self.socket.as_fd(), self.next, parcel)?;
        Ok(Place::Parcel)
    }

    /// Adds to a number that only this side writes.
    fn count(&self, offset: usize, by: u64) {
        let long = self.region.long(offset);
        let sum = long.load(Ordering::Relaxed).wrapping_add(by);
        long.store(sum, Ordering::Relaxed);
    }

    /// Tells the parent how much memory is resident; wakes it if that is more than `max`, as it may
    /// have taken the last result by now.
    pub(crate) fn set_resident(&self, bytes: u64, max: u64) {
        let long = self.region.long(header::RESIDENT);
        long.store(bytes, Ordering::Relaxed);
        if bytes > max {
            self.bell_of_parent().ring(true);
        }
    }

    /// Rings for a result, unless the parent naps and there will soon be a better reason.
    fn tell(&mut self, spent_ns: u64) {
        /// A task as long as this is worth waking the parent for.
        const LONG_NS: u64 = 50_000;
        self.untold += 1;
        let enough = self.untold >= self.layout.slots / 4;
        let dry = !matches!(self.slot().look(), Seen::This(READY) | Seen::Later);
        let urgent = enough || dry || spent_ns >= LONG_NS;
        if self.bell_of_parent().ring(urgent) || urgent {
            self.untold = 0;
        }
    }

    fn bell_of_parent(&self) -> Bell<'_> {
        Bell::new(&self.parent, 0)
    }

    /// Sleeps until there is something to take; blocks the thread. May come back early.
    pub(crate) fn sleep(&self) {
        let bell = Bell::new(&self.region, header::WORKER_BELL);
        bell.sleep(false, None, || self.has_some());
    }
}
