//! The producers' side of a queue.

use std::time::{Duration, Instant};

use ropewalk_kernel::wait;
use serde::Serialize;

use super::{BODY, CLOSED, Ends, ITEMS, MAXSIZE, PREFIX, PutError, Queue, ROOM, SKIP, room_for};
use crate::shared::section::store;
use crate::shared::sleeping::{Limit, Slices, Stop};
use crate::shared::steps::{copy_in, step};

/// Whether a message found room.
enum Tried {
    Put,
    Full,
    Closed,
    Damaged,
}

impl<T: Serialize> Queue<T> {
    /// Puts an item, waiting for room.
    ///
    /// # Errors
    ///
    /// If the queue is closed, the caller is cancelled while it waits, or the item can't be
    /// encoded or is too large.
    ///
    /// # Panics
    ///
    /// If it must wait inside [`no_wait`](ropewalk_rt::coroutine::no_wait).
    pub fn put(&self, item: T) -> Result<(), PutError<T>> {
        self.put_within(item, Limit::CANCELLABLE)
    }

    /// Puts an item if there is room.
    ///
    /// # Errors
    ///
    /// If there is none, the queue is closed, or the item can't be encoded or is too large.
    pub fn try_put(&self, item: T) -> Result<(), PutError<T>> {
        let (item, message) = self.encode(item)?;
        match self.try_append(&message) {
            Tried::Put => Ok(()),
            Tried::Full => Err(PutError::Full(item)),
            Tried::Closed => Err(PutError::Closed(item)),
            Tried::Damaged => Err(PutError::Damaged(item)),
        }
    }

    /// Puts an item, waiting for room for `timeout` at most.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put), and if there is no room in time.
    ///
    /// # Panics
    ///
    /// As [`put`](Self::put).
    pub fn put_timeout(&self, item: T, timeout: Duration) -> Result<(), PutError<T>> {
        self.put_within(item, Limit::within(timeout))
    }

    /// Puts an item, waiting for room until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`put_timeout`](Self::put_timeout).
    ///
    /// # Panics
    ///
    /// As [`put`](Self::put).
    pub fn put_deadline(&self, item: T, deadline: Instant) -> Result<(), PutError<T>> {
        self.put_within(item, Limit::until(deadline))
    }

    fn put_within(&self, item: T, limit: Limit) -> Result<(), PutError<T>> {
        let (item, message) = self.encode(item)?;
        wait::spend();
        let mut slices = Slices::new();
        let mut stopped = None;
        loop {
            let seen = ROOM.seen(&self.mapping);
            match (self.try_append(&message), stopped) {
                (Tried::Put, _) => return Ok(()),
                (Tried::Closed, _) => return Err(PutError::Closed(item)),
                (Tried::Damaged, _) => return Err(PutError::Damaged(item)),
                (Tried::Full, Some(Stop::Timeout)) => return Err(PutError::Full(item)),
                (Tried::Full, Some(Stop::Cancelled)) => return Err(PutError::Cancelled(item)),
                (Tried::Full, None) => {}
            }
            stopped = ROOM.sleep(&self.mapping, seen, limit, &mut slices).err();
        }
    }

    fn encode(&self, item: T) -> Result<(T, Vec<u8>), PutError<T>> {
        let message = match postcard::to_stdvec(&item) {
            Ok(message) => message,
            Err(error) => {
                let error = Box::new(error);
                return Err(PutError::Encode { item, error });
            }
        };
        let (bytes, capacity) = (room_for(message.len()), self.ring);
        if bytes > capacity {
            return Err(PutError::TooLarge {
                item,
                bytes,
                capacity,
            });
        }
        Ok((item, message))
    }

    fn try_append(&self, message: &[u8]) -> Tried {
        let region = &self.mapping.region;
        let ring = self.ring;
        let needed = room_for(message.len());
        let mut section = self.mapping.enter_now();
        if section.get(CLOSED) != 0 {
            return Tried::Closed;
        }
        let mut ends = Ends::read(&section);
        if !ends.are_possible(ring) {
            return Tried::Damaged;
        }
        if ends.len >= section.get(MAXSIZE) {
            return Tried::Full;
        }
        let rest = ring - ends.tail;
        // Too little before the end: leave it out and go on at the start.
        let skipped = if rest < needed { rest } else { 0 };
        if ends.used + skipped + needed > ring {
            return Tried::Full;
        }
        if skipped != 0 {
            store(region, BODY + ends.tail, &SKIP.to_ne_bytes());
            ends.tail = 0;
        }
        let at = BODY + ends.tail;
        store(region, at, &(message.len() as u32).to_ne_bytes());
        step();
        copy_in(region, at + PREFIX, message);
        let left_room = ends.len + 1 < section.get(MAXSIZE);
        ends.len += 1;
        ends.used += skipped + needed;
        ends.tail = (ends.tail + needed) % ring;
        ends.commit(&mut section);
        drop(section);
        ITEMS.ring_one(&self.mapping);
        if left_room {
            ROOM.ring_next(&self.mapping);
        }
        Tried::Put
    }
}
