//! Messages for everybody: each receiver gets a clone of every message that is sent while it is
//! there; one that is too slow is told how many it missed.
//!
//! # States
//!
//! Messages are numbered. The newest `capacity` of them stand in a ring, each with the count of
//! the receivers that have not seen it; a receiver keeps the number of its next one. Receivers
//! see them in order, so the counts never fall from an older message to a newer one, and those
//! that all have seen are at the front: they are dropped at once, by the last that sees them.
//! If the ring is full, the oldest makes room, and those who had not seen it are **lagged**: they
//! find that their next number is no longer there.
//!
//! # Locks
//!
//! The ring and the counts are under one lock, of the operating system, held for moments
//! and never while waiting; messages are cloned and dropped outside it, which is why they
//! stand in it as `Arc`s. A receiver joins the wait queue while it holds the lock; a sender adds
//! its message under the lock and wakes after it. All are woken each time: a wake that one
//! doesn't look at is nobody else's. Lock order: the ring's, then the wait queue's.

mod error;
mod receiver;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ropewalk_kernel::wait::{WaitQueue, spend};

pub use error::{RecvError, RecvTimeoutError, TryRecvError};
pub use receiver::RecvFuture;

use super::SendError;

/// Makes a channel on which each receiver gets every message; mirrors tokio's `broadcast`.
///
/// It holds up to `capacity` messages, for which memory is taken as they come. Sending never
/// waits. Messages must be `Sync`, as several receivers may clone one at a time.
///
/// # Panics
///
/// If `capacity` is 0.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::{channel::broadcast, coroutine};
///
/// let (sender, mut first) = broadcast::channel(16);
/// let mut second = sender.subscribe();
/// sender.send("to all").unwrap();
/// let got = coroutine::spawn(move || first.recv());
/// assert_eq!(got.join().unwrap(), Ok("to all"));
/// assert_eq!(second.recv(), Ok("to all"));
/// ```
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a broadcast channel of capacity 0");
    let shared = Arc::new(Shared {
        capacity,
        ring: Mutex::new(Ring {
            slots: VecDeque::new(),
            first: 0,
            senders: 1,
            receivers: 1,
        }),
        waiting: WaitQueue::new(),
    });
    let sender = Sender {
        shared: Arc::clone(&shared),
    };
    (sender, Receiver { shared, next: 0 })
}

struct Shared<T> {
    capacity: usize,
    ring: Mutex<Ring<T>>,
    waiting: WaitQueue,
}

struct Ring<T> {
    slots: VecDeque<Slot<T>>,
    /// The number of the message in the first slot, or of the next if there is none.
    first: u64,
    senders: usize,
    receivers: usize,
}

struct Slot<T> {
    message: Arc<T>,
    /// How many receivers have not seen it.
    unseen: usize,
}

/// The sending side; clone it for more senders.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// A receiving side; [`resubscribe`](Receiver::resubscribe) gives more.
///
/// Waiting for a message is a cancellation point: a cancelled wait fails as if the senders
/// were gone.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// The number of the message it sees next.
    next: u64,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Ring<T>> {
        // No foreign code runs under it, so nothing can have been left half done.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn subscribe(shared: &Arc<Shared<T>>) -> Receiver<T> {
        let mut ring = shared.lock();
        // The count can't overflow: an `Arc` is made for each, whose own count aborts before.
        ring.receivers += 1;
        let next = ring.end();
        drop(ring);
        Receiver {
            shared: Arc::clone(shared),
            next,
        }
    }
}

impl<T> Ring<T> {
    /// The number of the next message.
    fn end(&self) -> u64 {
        self.first + self.slots.len() as u64
    }

    /// Takes the message with this number, and counts one more receiver that has seen it.
    fn take(&mut self, next: &mut u64) -> Result<Arc<T>, TryRecvError> {
        let Some(index) = next.checked_sub(self.first) else {
            let missed = self.first - *next;
            *next = self.first;
            return Err(TryRecvError::Lagged(missed));
        };
        let Some(slot) = self.slots.get_mut(index as usize) else {
            return Err(if self.senders == 0 {
                TryRecvError::Closed
            } else {
                TryRecvError::Empty
            });
        };
        *next += 1;
        slot.unseen -= 1;
        if slot.unseen > 0 {
            return Ok(Arc::clone(&slot.message));
        }
        // All have seen it, and so all before it, which are gone.
        debug_assert_eq!(index, 0);
        self.first += 1;
        let slot = self.slots.pop_front().expect("the first slot");
        Ok(slot.message)
    }

    /// Says whether a receiver would have to wait.
    fn is_quiet(&self, next: u64) -> bool {
        next == self.end() && self.senders > 0
    }
}

impl<T> Sender<T> {
    /// Sends a message to all receivers; gives their number. If the channel is full, the
    /// oldest message makes room.
    ///
    /// # Errors
    ///
    /// Gives the message back if there are no receivers.
    pub fn send(&self, message: T) -> Result<usize, SendError<T>> {
        let message = Arc::new(message);
        let mut ring = self.shared.lock();
        let receivers = ring.receivers;
        if receivers == 0 {
            drop(ring);
            let message = Arc::into_inner(message).expect("nobody else has seen it");
            return Err(SendError(message));
        }
        let oldest = if ring.slots.len() == self.shared.capacity {
            ring.first += 1;
            ring.slots.pop_front()
        } else {
            None
        };
        ring.slots.push_back(Slot {
            message,
            unseen: receivers,
        });
        drop(ring);
        self.shared.waiting.wake_all();
        drop(oldest);
        spend();
        Ok(receivers)
    }

    /// Makes a receiver of the messages that are sent from now on.
    pub fn subscribe(&self) -> Receiver<T> {
        Shared::subscribe(&self.shared)
    }

    /// Counts the messages that some receiver has not seen.
    pub fn len(&self) -> usize {
        self.shared.lock().slots.len()
    }

    /// Says whether all receivers have seen all messages.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives the most messages the channel holds.
    pub fn capacity(&self) -> usize {
        self.shared.capacity
    }

    /// Counts the receivers.
    pub fn receiver_count(&self) -> usize {
        self.shared.lock().receivers
    }

    /// Says whether both send to the same channel.
    pub fn same_channel(&self, other: &Sender<T>) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.shared.lock().senders += 1;
        Sender {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut ring = self.shared.lock();
        ring.senders -= 1;
        let last = ring.senders == 0;
        drop(ring);
        if last {
            self.shared.waiting.wake_all();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender { .. }")
    }
}
