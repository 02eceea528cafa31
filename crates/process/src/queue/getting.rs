//! The consumers' side of a queue.

use std::time::{Duration, Instant};

use ropewalk_kernel::wait;
use serde::de::DeserializeOwned;

use super::{BODY, CLOSED, Ends, GetError, ITEMS, PREFIX, Queue, ROOM, SKIP, room_for};
use crate::shared::sleeping::{Limit, Slices, Stop};

/// Whether there was a message.
enum Tried {
    Got(Vec<u8>),
    Empty,
    Closed,
    Damaged,
}

impl<T: DeserializeOwned> Queue<T> {
    /// Gets the oldest item, waiting for one.
    ///
    /// # Errors
    ///
    /// If the queue is closed and empty, or the caller is cancelled while it waits.
    ///
    /// # Panics
    ///
    /// If it must wait inside [`no_wait`](ropewalk_rt::coroutine::no_wait).
    pub fn get(&self) -> Result<T, GetError> {
        self.get_within(Limit::CANCELLABLE)
    }

    /// Gets the oldest item if there is one.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn try_get(&self) -> Result<T, GetError> {
        match self.try_take() {
            Tried::Got(message) => decode(&message),
            Tried::Empty => Err(GetError::Empty),
            Tried::Closed => Err(GetError::Closed),
            Tried::Damaged => Err(GetError::Damaged),
        }
    }

    /// Gets the oldest item, waiting for one for `timeout` at most.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), and if there is none in time.
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    pub fn get_timeout(&self, timeout: Duration) -> Result<T, GetError> {
        self.get_within(Limit::within(timeout))
    }

    /// Gets the oldest item, waiting for one until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`get_timeout`](Self::get_timeout).
    ///
    /// # Panics
    ///
    /// As [`get`](Self::get).
    pub fn get_deadline(&self, deadline: Instant) -> Result<T, GetError> {
        self.get_within(Limit::until(deadline))
    }

    /// Gets items, waiting for each, until the queue is closed and empty (or the first error).
    pub fn iter(&self) -> impl Iterator<Item = T> {
        std::iter::from_fn(|| self.get().ok())
    }

    fn get_within(&self, limit: Limit) -> Result<T, GetError> {
        wait::spend();
        let mut slices = Slices::new();
        let mut stopped = None;
        loop {
            let seen = ITEMS.seen(&self.mapping);
            match (self.try_take(), stopped) {
                (Tried::Got(message), _) => return decode(&message),
                (Tried::Closed, _) => return Err(GetError::Closed),
                (Tried::Damaged, _) => return Err(GetError::Damaged),
                (Tried::Empty, Some(Stop::Timeout)) => return Err(GetError::Empty),
                (Tried::Empty, Some(Stop::Cancelled)) => return Err(GetError::Cancelled),
                (Tried::Empty, None) => {}
            }
            stopped = ITEMS.sleep(&self.mapping, seen, limit, &mut slices).err();
        }
    }

    fn try_take(&self) -> Tried {
        if self.is_empty() && !self.is_closed() {
            return Tried::Empty;
        }
        let region = &self.mapping.region;
        let ring = self.ring;
        let mut section = self.mapping.enter_now();
        let mut ends = Ends::read(&section);
        if ends.len == 0 {
            return match section.get(CLOSED) {
                0 => Tried::Empty,
                _ => Tried::Closed,
            };
        }
        if !ends.are_possible(ring) {
            return Tried::Damaged;
        }
        let mut freed = 0;
        let mut len = section.get(BODY + ends.head);
        if len == SKIP {
            freed = ring - ends.head;
            ends.head = 0;
            len = section.get(BODY);
        }
        let len = len as usize;
        let needed = room_for(len);
        freed += needed;
        if ends.head + needed > ring || freed > ends.used {
            return Tried::Damaged;
        }
        let mut message = Vec::new();
        region.append_to(BODY + ends.head + PREFIX, len, &mut message);
        ends.len -= 1;
        ends.used -= freed;
        ends.head = (ends.head + needed) % ring;
        if ends.len == 0 {
            (ends.used, ends.head, ends.tail) = (0, 0, 0);
        }
        let more = ends.len != 0;
        ends.commit(&mut section);
        drop(section);
        ROOM.ring_one(&self.mapping);
        if more {
            ITEMS.ring_next(&self.mapping);
        }
        Tried::Got(message)
    }
}

fn decode<T: DeserializeOwned>(message: &[u8]) -> Result<T, GetError> {
    postcard::from_bytes(message).map_err(|error| GetError::Decode(Box::new(error)))
}
