//! A queue between processes.
//!
//! # Transport
//!
//! A ring of bytes in shared memory, whose ends move in sections (see `shared::section`): a
//! message is in the queue when the section that moved the tail has committed, and out of it
//! when the one that moved the head has; both are single steps whoever is killed when. The
//! bytes of a message are written before, into the free part of the ring, where they mean
//! nothing as long as the tail has not moved.
//!
//! A socket pair was the other candidate, as the kernel keeps its messages whole. It holds what
//! its buffer allows, some 200 small messages unless an administrator permits more, whatever
//! `maxsize` says; it can't be asked how many there are; and each message costs two system calls.
//!
//! # States
//!
//! `head` and `tail` are offsets into the ring, `used` the bytes between them, `len` the
//! messages. A message is its length in 4 bytes and its bytes, padded to 4. It does not wrap: if
//! it doesn't fit before the end of the ring, a mark stands there in the place of a length,
//! the rest counts as used, and the message is at the start. When the queue becomes empty both
//! ends return to the start, so a queue that is mostly empty touches few pages.
//!
//! # Who is killed, and where
//!
//! - A producer before its commit: its message was never there. After: it is there; sleeping
//!   consumers that weren't woken find it after their slice.
//! - A consumer before its commit: the message is still there, for another. After: the message is
//!   lost with it. Nothing else is.
//! - Holding the section's lock: the next one notices, repairs and goes on.

#[cfg(test)]
mod crashes;
mod error;
mod getting;
mod putting;

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde::de::{DeserializeOwned, Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};

use crate::shared::handle;
use crate::shared::mapping::{BODY, Kind, Mapping, shape_of};
use crate::shared::section::{OWN, Section};
use crate::shared::sleeping::Bell;

pub use error::{GetError, PutError};

static KIND: Kind = Kind {
    number: 12,
    name: "queue",
    bury: |_, _| {},
};

const MAXSIZE: usize = OWN;
const RING: usize = OWN + 4;
const LEN: usize = OWN + 8;
const USED: usize = OWN + 12;
const HEAD: usize = OWN + 16;
const TAIL: usize = OWN + 20;
const CLOSED: usize = OWN + 24;
const ITEMS: Bell = Bell {
    count: OWN + 28,
    asleep: OWN + 32,
};
const ROOM: Bell = Bell {
    count: OWN + 36,
    asleep: OWN + 40,
};

/// In the place of a length: the rest of the ring is unused.
const SKIP: u32 = u32::MAX;
/// The ring of [`Queue::new`], in bytes.
const RING_DEFAULT: usize = 64 << 20;
/// The bytes before each message.
const PREFIX: usize = 4;

/// A queue that several processes put into and get from; Python's `multiprocessing.Queue`.
///
/// It is bounded, by the number of items and by the bytes they take. Any number of producers and
/// consumers in any number of processes may use it; a process that is killed, at whatever
/// moment, takes at most its own item along and leaves nobody waiting. Items are encoded with
/// serde when they are put, and decoded when they are got.
///
/// Give a clone to another process as an argument; the clones are all the same queue. Waiting is
/// a cancellation point.
///
/// A handle of a lock, a pipe or a queue can't be put: only arguments and pipes carry those.
///
/// # Examples
///
/// ```
/// use ropewalk_process::Queue;
///
/// let queue = Queue::<String>::new(10).unwrap();
/// queue.put("one".to_string()).unwrap();
/// queue.put("two".to_string()).unwrap();
/// queue.close();
/// assert_eq!(queue.get().unwrap(), "one");
/// assert_eq!(queue.iter().collect::<Vec<_>>(), ["two"]);
/// ```
///
/// The queue of one process, [`ropewalk_rt::queue::Queue`], can't be given to another: that
/// does not compile.
///
/// ```compile_fail
/// fn can_be_given<T: serde::Serialize>(_: &T) {}
/// can_be_given(&ropewalk_rt::queue::Queue::<u32>::with_maxsize(1));
/// ```
///
/// ```
/// fn can_be_given<T: serde::Serialize>(_: &T) {}
/// can_be_given(&ropewalk_process::Queue::<u32>::new(1).unwrap());
/// # drop(ropewalk_rt::queue::Queue::<u32>::with_maxsize(1));
/// ```
pub struct Queue<T> {
    mapping: Arc<Mapping>,
    /// The bytes of the ring, checked to be there.
    ring: usize,
    items: PhantomData<fn(T) -> T>,
}

impl<T> Queue<T> {
    /// Makes a queue for at most `maxsize` items (0 for any number) that take at most 64 MiB
    /// together. Memory is only used for what is in it.
    ///
    /// # Errors
    ///
    /// If the system gives no memory or descriptor for it.
    pub fn new(maxsize: usize) -> io::Result<Queue<T>> {
        Queue::with_capacity(maxsize, RING_DEFAULT)
    }

    /// Makes a queue for at most `maxsize` items (0 for any number) that take at most `bytes`
    /// bytes together, encoded and with 4 to 7 bytes more for each.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), and if `bytes` is more than 2 GiB.
    pub fn with_capacity(maxsize: usize, bytes: usize) -> io::Result<Queue<T>> {
        let too_large = || io::Error::new(io::ErrorKind::InvalidInput, "too large a queue");
        let ring = bytes.max(64).next_multiple_of(4);
        if ring > 1 << 31 {
            return Err(too_large());
        }
        let maxsize = match u32::try_from(maxsize).map_err(|_| too_large())? {
            0 => u32::MAX,
            maxsize => maxsize,
        };
        let mapping = Mapping::create(&KIND, shape_of::<T>(), ring, |region| {
            region.word(MAXSIZE).store(maxsize, Ordering::Relaxed);
            region.word(RING).store(ring as u32, Ordering::Relaxed);
        })?;
        Queue::of(mapping)
    }

    /// The queue that is mapped here.
    fn of(mapping: Arc<Mapping>) -> io::Result<Queue<T>> {
        let ring = mapping.region.word(RING).load(Ordering::Relaxed) as usize;
        if ring > mapping.region.len() - BODY || ring < 64 || !ring.is_multiple_of(4) {
            let why = "not a shared queue: its ring is not that of its memory";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(Queue {
            mapping,
            ring,
            items: PhantomData,
        })
    }

    /// How many items are in it at this moment.
    pub fn len(&self) -> usize {
        self.word(LEN) as usize
    }

    /// Says whether nothing is in it at this moment.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Says whether there are as many items in it as may be, at this moment.
    pub fn is_full(&self) -> bool {
        self.word(LEN) >= self.word(MAXSIZE)
    }

    /// How many items may be in it; 0 for any number.
    pub fn maxsize(&self) -> usize {
        match self.word(MAXSIZE) {
            u32::MAX => 0,
            maxsize => maxsize as usize,
        }
    }

    /// Closes it, for all processes: nothing can be put any more, and what is in it can still be
    /// got. Who waits for room, or for an item where none is left, is told.
    pub fn close(&self) {
        let mut section = self.mapping.enter_now();
        section.commit(&[(CLOSED, 1)]);
        drop(section);
        ITEMS.ring_all(&self.mapping);
        ROOM.ring_all(&self.mapping);
    }

    /// Says whether it is closed.
    pub fn is_closed(&self) -> bool {
        self.word(CLOSED) != 0
    }

    fn word(&self, offset: usize) -> u32 {
        self.mapping.region.word(offset).load(Ordering::Acquire)
    }
}

/// The bytes that a message of this length takes in the ring.
fn room_for(len: usize) -> usize {
    PREFIX + len.next_multiple_of(4)
}

/// The ends of the ring, read in a section.
struct Ends {
    len: u32,
    used: usize,
    head: usize,
    tail: usize,
}

impl Ends {
    fn read(section: &Section<'_>) -> Ends {
        Ends {
            len: section.get(LEN),
            used: section.get(USED) as usize,
            head: section.get(HEAD) as usize,
            tail: section.get(TAIL) as usize,
        }
    }

    /// What other processes can write is checked before it is believed.
    fn are_possible(&self, ring: usize) -> bool {
        let inside = |end: usize| end < ring && end.is_multiple_of(4);
        inside(self.head) && inside(self.tail) && self.used <= ring
    }

    fn commit(self, section: &mut Section<'_>) {
        section.commit(&[
            (LEN, self.len),
            (USED, self.used as u32),
            (HEAD, self.head as u32),
            (TAIL, self.tail as u32),
        ]);
    }
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Queue<T> {
        Queue {
            mapping: Arc::clone(&self.mapping),
            ring: self.ring,
            items: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("len", &self.len())
            .field("maxsize", &self.maxsize())
            .field("is_closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// Works only where descriptors travel along: in the arguments of a process, in a pool's
/// initialiser, through a pipe.
impl<T: Serialize + DeserializeOwned> Serialize for Queue<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        handle::send(&self.mapping, serializer)
    }
}

impl<'de, T: Serialize + DeserializeOwned> Deserialize<'de> for Queue<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Queue<T>, D::Error> {
        Queue::of(handle::receive(&KIND, shape_of::<T>(), deserializer)?).map_err(D::Error::custom)
    }
}
