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

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ropewalk_kernel::clock;
use ropewalk_kernel::wait::{AsyncWait, Limit, Outcome, Reason, WaitQueue, check_may_wait, spend};

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

/// Why [`recv`](Receiver::recv) received nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvError {
    /// The receiver was too slow, and missed so many messages. It goes on with the oldest that
    /// is there.
    Lagged(u64),
    /// All messages have been received and the senders are gone, or the wait was cancelled.
    Closed,
}

/// Why [`try_recv`](Receiver::try_recv) received nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// No message is there.
    Empty,
    /// The receiver was too slow, and missed so many messages. It goes on with the oldest that
    /// is there.
    Lagged(u64),
    /// All messages have been received and the senders are gone.
    Closed,
}

/// Why a timed receive received nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvTimeoutError {
    /// No message came in time.
    Timeout,
    /// The receiver was too slow, and missed so many messages. It goes on with the oldest that
    /// is there.
    Lagged(u64),
    /// All messages have been received and the senders are gone, or the wait was cancelled.
    Closed,
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

impl<T: Clone> Receiver<T> {
    /// Receives the next message, waiting for it. The last receiver of a message gets it without
    /// cloning.
    ///
    /// # Errors
    ///
    /// If messages were missed, or all have been received and the senders are gone, or the wait
    /// was cancelled.
    ///
    /// # Panics
    ///
    /// If it must wait inside [`no_wait`](crate::coroutine::no_wait). If cloning the message does:
    /// it counts as received then.
    pub fn recv(&mut self) -> Result<T, RecvError> {
        self.recv_within(|| None).map_err(|error| match error {
            RecvTimeoutError::Lagged(missed) => RecvError::Lagged(missed),
            RecvTimeoutError::Closed | RecvTimeoutError::Timeout => RecvError::Closed,
        })
    }

    /// Receives the next message if it is there.
    ///
    /// # Errors
    ///
    /// If it is not, or messages were missed.
    ///
    /// # Panics
    ///
    /// If cloning the message does.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        // Bound first: the lock is let go before the message is cloned.
        let taken = self.shared.lock().take(&mut self.next);
        let message = taken?;
        spend();
        Ok(Arc::unwrap_or_clone(message))
    }

    /// Receives the next message, waiting for `timeout` at most.
    ///
    /// # Errors
    ///
    /// If the time is over, else as [`recv`](Self::recv).
    ///
    /// # Panics
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.recv_within(|| Some(clock::deadline_after(timeout)))
    }

    /// Receives the next message, waiting until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`recv_timeout`](Self::recv_timeout).
    ///
    /// # Panics
    ///
    /// As [`recv`](Self::recv).
    pub fn recv_deadline(&mut self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.recv_within(|| Some(clock::instant_to_ns(deadline)))
    }

    /// Gives a future that receives the next message. Dropped before it is ready, it has
    /// received nothing.
    ///
    /// # Errors
    ///
    /// If messages were missed, or all have been received and the senders are gone.
    pub fn recv_async(&mut self) -> RecvFuture<'_, T> {
        RecvFuture {
            receiver: self,
            wait: AsyncWait::new(),
        }
    }

    fn recv_within(
        &mut self,
        deadline: impl FnOnce() -> Option<u64>,
    ) -> Result<T, RecvTimeoutError> {
        let mut received = self.try_recv();
        if matches!(received, Err(TryRecvError::Empty)) {
            self.wait(deadline())?;
            received = self.try_recv();
        }
        received.map_err(|error| match error {
            TryRecvError::Lagged(missed) => RecvTimeoutError::Lagged(missed),
            // Not empty: nobody else takes what the wait found.
            TryRecvError::Closed | TryRecvError::Empty => RecvTimeoutError::Closed,
        })
    }

    /// Waits until a receive need not wait.
    fn wait(&self, deadline: Option<u64>) -> Result<(), RecvTimeoutError> {
        check_may_wait();
        let shared = &*self.shared;
        let limit = Limit::cancellable(deadline);
        let mut outcome = Outcome::Woken;
        loop {
            let ring = shared.lock();
            if !ring.is_quiet(self.next) {
                return Ok(());
            }
            match outcome {
                Outcome::Woken => {}
                Outcome::Expired => return Err(RecvTimeoutError::Timeout),
                Outcome::Cancelled => return Err(RecvTimeoutError::Closed),
            }
            let guard = shared.waiting.lock();
            drop(ring);
            let object = std::ptr::from_ref(shared) as usize;
            outcome = guard.wait(0, Reason::Receive, object, limit);
        }
    }
}

impl<T> Receiver<T> {
    /// Makes a receiver of the messages that are sent from now on.
    pub fn resubscribe(&self) -> Receiver<T> {
        Shared::subscribe(&self.shared)
    }

    /// Counts the messages that can be received now.
    pub fn len(&self) -> usize {
        let ring = self.shared.lock();
        (ring.end() - self.next.max(ring.first)) as usize
    }

    /// Says whether no message can be received now.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Says whether the senders are gone; there may be messages left.
    pub fn is_closed(&self) -> bool {
        self.shared.lock().senders == 0
    }

    /// Says whether both receive from the same channel.
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut ring = self.shared.lock();
        ring.receivers -= 1;
        let from = self.next.saturating_sub(ring.first) as usize;
        let mut done = 0;
        for slot in ring.slots.range_mut(from..) {
            slot.unseen -= 1;
            done += usize::from(slot.unseen == 0);
        }
        // This one was the last to see them, and all before them are gone.
        debug_assert!(done == 0 || from == 0);
        ring.first += done as u64;
        let gone: Vec<_> = ring.slots.drain(..done).collect();
        drop(ring);
        drop(gone);
    }
}

/// Receives a message; from [`Receiver::recv_async`].
#[must_use = "a future does nothing until it is awaited"]
pub struct RecvFuture<'a, T> {
    receiver: &'a mut Receiver<T>,
    wait: AsyncWait,
}

impl<T: Clone> Future for RecvFuture<'_, T> {
    type Output = Result<T, RecvError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let Receiver { shared, next } = &mut *this.receiver;
        let mut ring = shared.lock();
        if ring.is_quiet(*next) {
            drop(ring);
            this.wait.prepare(context);
            ring = shared.lock();
            if ring.is_quiet(*next) {
                let guard = shared.waiting.lock();
                drop(ring);
                // SAFETY: it leaves this queue when it is ready, below, or dropped, and the
                // receiver holds what the queue is in.
                unsafe { this.wait.join(guard) };
                return Poll::Pending;
            }
        }
        let taken = ring.take(next);
        drop(ring);
        this.wait.leave(&shared.waiting);
        Poll::Ready(match taken {
            Ok(message) => Ok(Arc::unwrap_or_clone(message)),
            Err(TryRecvError::Lagged(missed)) => Err(RecvError::Lagged(missed)),
            Err(TryRecvError::Closed | TryRecvError::Empty) => Err(RecvError::Closed),
        })
    }
}

impl<T> Drop for RecvFuture<'_, T> {
    fn drop(&mut self) {
        self.wait.leave(&self.receiver.shared.waiting);
    }
}

fn say_lagged(f: &mut fmt::Formatter<'_>, missed: u64) -> fmt::Result {
    write!(f, "missed {missed} messages of a broadcast channel")
}

const CLOSED: &str = "receiving on an empty broadcast channel whose senders are gone";

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            RecvError::Lagged(missed) => say_lagged(f, missed),
            RecvError::Closed => f.write_str(CLOSED),
        }
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            TryRecvError::Empty => f.write_str("receiving on an empty broadcast channel"),
            TryRecvError::Lagged(missed) => say_lagged(f, missed),
            TryRecvError::Closed => f.write_str(CLOSED),
        }
    }
}

impl fmt::Display for RecvTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            RecvTimeoutError::Timeout => f.write_str("timed out receiving on a broadcast channel"),
            RecvTimeoutError::Lagged(missed) => say_lagged(f, missed),
            RecvTimeoutError::Closed => f.write_str(CLOSED),
        }
    }
}

impl Error for RecvError {}
impl Error for TryRecvError {}
impl Error for RecvTimeoutError {}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender { .. }")
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Receiver { .. }")
    }
}

impl<T> fmt::Debug for RecvFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecvFuture { .. }")
    }
}
