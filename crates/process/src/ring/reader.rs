//! The parent's side that takes results: used by the pool's collector alone, without a lock.

use std::io;
use std::sync::Arc;

use super::INLINE;
use super::arena;
use super::parcel;
use super::payload::Arrived;
use super::sender::Shared;
use super::slot::{DONE, Head, Place, READY, REVOKED, RUNNING, Seen};

/// Takes results from one worker.
pub(crate) struct Reader {
    shared: Arc<Shared>,
    /// The next position to be collected.
    next: u64,
}

/// A result.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) position: u64,
    pub(crate) code: u32,
    pub(crate) spent_ns: u64,
    pub(crate) payload: Arrived,
}

/// What a worker wrote makes no sense: its memory is broken, and it is to be killed.
#[derive(Debug)]
pub(crate) struct Nonsense(pub(crate) &'static str);

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>) -> Reader {
        Reader { shared, next: 0 }
    }

    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// All positions before it were taken or had been revoked.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Says whether there is something to take, or to go past.
    pub(crate) fn has_some(&self) -> bool {
        self.next < self.shared.head()
            && !matches!(
                self.shared.slot(self.next).look(),
                Seen::This(READY | RUNNING)
            )
    }

    /// Goes past revoked positions and takes the next result, if it is there. Its bytes are added
    /// to `buffer`.
    pub(crate) fn take(&mut self, buffer: &mut Vec<u8>) -> Result<Option<Taken>, Nonsense> {
        loop {
            if self.next == self.shared.head() {
                return Ok(None);
            }
            match self.shared.slot(self.next).look() {
                Seen::This(READY | RUNNING) => return Ok(None),
                Seen::This(REVOKED) => self.next += 1,
                Seen::This(DONE) => {
                    let taken = self.copy(self.next, buffer)?;
                    self.next += 1;
                    return Ok(Some(taken));
                }
                _ => return Err(Nonsense("the state of a task")),
            }
        }
    }

    fn copy(&self, position: u64, buffer: &mut Vec<u8>) -> Result<Taken, Nonsense> {
        let slot = self.shared.slot(position);
        let head = slot.read_head().ok_or(Nonsense("the place of a result"))?;
        let payload = self.payload(position, head, slot.inline(), buffer)?;
        Ok(Taken {
            position,
            code: head.code,
            spent_ns: head.spent_ns,
            payload,
        })
    }

    fn payload(
        &self,
        position: u64,
        head: Head,
        inline: usize,
        buffer: &mut Vec<u8>,
    ) -> Result<Arrived, Nonsense> {
        let layout = &self.shared.layout;
        let start = match head.place {
            Place::Inline if head.len <= INLINE as u64 => inline,
            Place::Arena(offset) if arena::inside(layout.arena, offset, head.len) => {
                layout.arena_back() + offset as usize
            }
            Place::Parcel => {
                let parcel = parcel::receive_for(self.shared.socket(), position);
                let opened = parcel.and_then(|parcel| open(parcel, head.len));
                return match opened {
                    Ok(opened) => Ok(Arrived::Opened(opened)),
                    Err(error) if is_nonsense(&error) => {
                        Err(Nonsense("a result that was to come by the socket"))
                    }
                    Err(error) => Ok(Arrived::Lost(error)),
                };
            }
            _ => return Err(Nonsense("the length of a result")),
        };
        // Inside the slot or the arena, as was checked on the copy of the length.
        let from = buffer.len();
        self.shared
            .region
            .append_to(start, head.len as usize, buffer);
        Ok(Arrived::Copied(from..buffer.len()))
    }

    /// The position of the task that the worker was running, once it is dead and all its results
    /// are taken.
    pub(crate) fn was_running(&self) -> Option<u64> {
        (self.next < self.shared.head() && self.shared.is_running(self.next)).then_some(self.next)
    }
}

/// Whether it is the other side's fault that there is no parcel, and not that this process is out
/// of descriptors or memory.
fn is_nonsense(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, UnexpectedEof, WouldBlock};
    matches!(error.kind(), InvalidData | UnexpectedEof | WouldBlock)
}

pub(super) fn open(parcel: parcel::Parcel, len: u64) -> io::Result<parcel::Opened> {
    if parcel.len() != len {
        return Err(io::ErrorKind::InvalidData.into());
    }
    parcel.open()
}
