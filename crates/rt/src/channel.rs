//! A channel for threads and coroutines: bounded, unbounded, or a rendezvous.
//!
//! The API follows crossbeam-channel's. Both ends can be cloned; a message is received
//! once; when one side is gone the other is told.
//!
//! # How it works
//!
//! The lock of the receivers' queue is the channel's lock, and guards the messages. A
//! sender that finds a receiver waiting hands the message over to its frame, past the
//! buffer; a receiver that frees a place takes the message of the first waiting sender
//! into it. With capacity 0 only the direct ways remain. Lock order: receivers' queue,
//! then senders' queue.

use std::cell::{Cell, UnsafeCell};
use std::collections::VecDeque;
use std::fmt;
use std::iter::FusedIterator;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ropewalk_kernel::clock;
use ropewalk_kernel::wait::{Claimed, Limit, Outcome, QueueGuard, Reason, WaitQueue, spend};

/// Makes a channel that holds up to `capacity` messages; with 0, each send waits for the
/// receive that takes its message.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::{channel, coroutine};
///
/// let (sender, receiver) = channel::bounded(2);
/// coroutine::spawn(move || (0..5).for_each(|n| sender.send(n).unwrap()));
/// assert_eq!(receiver.iter().sum::<i32>(), 10);
/// ```
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    // Room for all at once, unless that would be much: then it grows.
    const AHEAD_MAX: usize = 1024;
    make(
        Some(capacity),
        VecDeque::with_capacity(capacity.min(AHEAD_MAX)),
    )
}

/// Makes a channel without a limit: sending never waits.
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    make(None, VecDeque::new())
}

fn make<T>(capacity: Option<usize>, messages: VecDeque<T>) -> (Sender<T>, Receiver<T>) {
    let channel = Arc::new(Channel {
        receivers: WaitQueue::new(),
        senders: WaitQueue::new(),
        inner: UnsafeCell::new(Inner {
            messages,
            sending: true,
            receiving: true,
        }),
        capacity,
        sender_count: AtomicUsize::new(1),
        receiver_count: AtomicUsize::new(1),
    });
    (
        Sender {
            channel: Arc::clone(&channel),
        },
        Receiver { channel },
    )
}

struct Channel<T> {
    receivers: WaitQueue,
    senders: WaitQueue,
    /// Guarded by the lock of `receivers`.
    inner: UnsafeCell<Inner<T>>,
    capacity: Option<usize>,
    sender_count: AtomicUsize,
    receiver_count: AtomicUsize,
}

struct Inner<T> {
    messages: VecDeque<T>,
    /// Whether there are senders.
    sending: bool,
    /// Whether there are receivers.
    receiving: bool,
}

// SAFETY: messages move between threads, under the lock or from frame to frame; nothing
// is shared.
unsafe impl<T: Send> Send for Channel<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Channel<T> {}

/// A place for one message on a waiter's frame; its address is the waiter's token.
struct Place<T>(Cell<Option<T>>);

impl<T> Place<T> {
    fn token(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    /// The place of a claimed waiter.
    ///
    /// # Safety
    ///
    /// The waiter stands in a queue of a channel of `T`, and has not been woken.
    unsafe fn of(claimed: &Claimed) -> &Place<T> {
        // SAFETY: by the contract above; the frame stays until the waiter is woken.
        unsafe { &*(claimed.token() as *const Place<T>) }
    }
}

/// The channel's lock, held.
struct Locked<'c, T> {
    channel: &'c Channel<T>,
    guard: QueueGuard<'c>,
}

impl<'c, T> Locked<'c, T> {
    fn inner(&self) -> &'c mut Inner<T> {
        // SAFETY: the lock is held; callers use one such borrow at a time.
        unsafe { &mut *self.channel.inner.get() }
    }

    /// Takes the first waiting receiver.
    fn claim_receiver(&mut self) -> Option<Claimed> {
        self.guard.claim_next()
    }

    /// Takes the first waiting sender and its message.
    fn claim_sender(&mut self) -> Option<(Claimed, T)> {
        if self.channel.senders.is_empty() {
            return None;
        }
        let claimed = self.channel.senders.lock().claim_next()?;
        // SAFETY: a sender of this channel, woken by our caller only.
        let message = unsafe { Place::<T>::of(&claimed) }.0.take();
        Some((claimed, message.expect("a waiting sender has a message")))
    }
}

impl<T> Channel<T> {
    fn lock(&self) -> Locked<'_, T> {
        Locked {
            channel: self,
            guard: self.receivers.lock(),
        }
    }

    fn object(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    /// Sends without waiting, or gives message and lock back.
    fn try_send(&self, message: T) -> Result<(), (TrySendError<T>, Locked<'_, T>)> {
        let mut locked = self.lock();
        let inner = locked.inner();
        if !inner.receiving {
            return Err((TrySendError::Disconnected(message), locked));
        }
        if let Some(claimed) = locked.claim_receiver() {
            drop(locked);
            // SAFETY: a receiver of this channel, woken below.
            unsafe { Place::of(&claimed) }.0.set(Some(message));
            claimed.wake();
            return Ok(());
        }
        if self
            .capacity
            .is_some_and(|capacity| inner.messages.len() >= capacity)
        {
            return Err((TrySendError::Full(message), locked));
        }
        inner.messages.push_back(message);
        Ok(())
    }

    fn send(&self, message: T, deadline: Option<u64>) -> Result<(), SendTimeoutError<T>> {
        let (message, locked) = match self.try_send(message) {
            Ok(()) => {
                spend();
                return Ok(());
            }
            Err((TrySendError::Disconnected(message), _)) => {
                return Err(SendTimeoutError::Disconnected(message));
            }
            Err((TrySendError::Full(message), locked)) => (message, locked),
        };
        let place = Place(Cell::new(Some(message)));
        let senders = self.senders.lock();
        let outcome = senders.wait_after(
            place.token(),
            Reason::Send,
            self.object(),
            Limit::cancellable(deadline),
            || {
                drop(locked);
            },
        );
        match (place.0.take(), outcome) {
            (None, _) => Ok(()),
            (Some(message), Outcome::Expired) => Err(SendTimeoutError::Timeout(message)),
            (Some(message), _) => Err(SendTimeoutError::Disconnected(message)),
        }
    }

    /// Receives without waiting, or gives the lock back.
    fn try_recv(&self) -> Result<T, (TryRecvError, Locked<'_, T>)> {
        let mut locked = self.lock();
        let inner = locked.inner();
        let Some(message) = inner.messages.pop_front() else {
            // A rendezvous, or nothing.
            return match locked.claim_sender() {
                Some((claimed, message)) => {
                    drop(locked);
                    claimed.wake();
                    Ok(message)
                }
                None if inner.sending => Err((TryRecvError::Empty, locked)),
                None => Err((TryRecvError::Disconnected, locked)),
            };
        };
        if let Some((claimed, next)) = locked.claim_sender() {
            inner.messages.push_back(next);
            drop(locked);
            claimed.wake();
        }
        Ok(message)
    }

    fn recv(&self, deadline: Option<u64>) -> Result<T, RecvTimeoutError> {
        let locked = match self.try_recv() {
            Ok(message) => {
                spend();
                return Ok(message);
            }
            Err((TryRecvError::Disconnected, _)) => return Err(RecvTimeoutError::Disconnected),
            Err((TryRecvError::Empty, locked)) => locked,
        };
        let place = Place(Cell::new(None));
        let outcome = locked.guard.wait(
            place.token(),
            Reason::Receive,
            self.object(),
            Limit::cancellable(deadline),
        );
        match (place.0.take(), outcome) {
            (Some(message), _) => Ok(message),
            (None, Outcome::Expired) => Err(RecvTimeoutError::Timeout),
            (None, _) => Err(RecvTimeoutError::Disconnected),
        }
    }

    fn len(&self) -> usize {
        self.lock().inner().messages.len()
    }

    fn disconnect_senders(&self) {
        self.lock().inner().sending = false;
        self.receivers.wake_all();
    }

    fn disconnect_receivers(&self) {
        let discarded = {
            let locked = self.lock();
            let inner = locked.inner();
            inner.receiving = false;
            std::mem::take(&mut inner.messages)
        };
        self.senders.wake_all();
        drop(discarded);
    }
}

/// The sending side; clone it for more senders.
pub struct Sender<T> {
    channel: Arc<Channel<T>>,
}

/// The receiving side; clone it for more receivers. Each message goes to one of them.
pub struct Receiver<T> {
    channel: Arc<Channel<T>>,
}

impl<T> Sender<T> {
    /// Sends a message, waiting for room.
    ///
    /// # Errors
    ///
    /// Gives the message back if all receivers are gone.
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        self.channel
            .send(message, None)
            .map_err(|error| SendError(error.into_inner()))
    }

    /// Sends a message if there is room for it, or a receiver waits for it.
    ///
    /// # Errors
    ///
    /// Gives the message back.
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        self.channel.try_send(message).map_err(|(error, _)| error)
    }

    /// Sends a message, waiting for room for `timeout` at most.
    ///
    /// # Errors
    ///
    /// Gives the message back.
    pub fn send_timeout(&self, message: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        self.channel
            .send(message, Some(clock::deadline_after(timeout)))
    }

    /// Sends a message, waiting for room until `deadline` at most.
    ///
    /// # Errors
    ///
    /// Gives the message back.
    pub fn send_deadline(&self, message: T, deadline: Instant) -> Result<(), SendTimeoutError<T>> {
        self.channel
            .send(message, Some(clock::instant_to_ns(deadline)))
    }

    /// How many messages are in the channel.
    pub fn len(&self) -> usize {
        self.channel.len()
    }

    /// Says whether no message is in the channel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Says whether the channel is full; one of capacity 0 always is.
    pub fn is_full(&self) -> bool {
        self.channel
            .capacity
            .is_some_and(|capacity| self.len() >= capacity)
    }

    /// The most messages the channel holds; `None` without a limit.
    pub fn capacity(&self) -> Option<usize> {
        self.channel.capacity
    }
}

impl<T> Receiver<T> {
    /// Receives a message, waiting for one.
    ///
    /// # Errors
    ///
    /// If there is none and all senders are gone.
    pub fn recv(&self) -> Result<T, RecvError> {
        self.channel.recv(None).map_err(|_| RecvError)
    }

    /// Receives a message if one is there.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.channel.try_recv().map_err(|(error, _)| error)
    }

    /// Receives a message, waiting for `timeout` at most. A receive that times out has
    /// received nothing.
    ///
    /// # Errors
    ///
    /// If none came, or all senders are gone.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.channel.recv(Some(clock::deadline_after(timeout)))
    }

    /// Receives a message, waiting until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`recv_timeout`](Self::recv_timeout).
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.channel.recv(Some(clock::instant_to_ns(deadline)))
    }

    /// Receives until all senders are gone.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    /// Receives what is there now.
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }

    /// How many messages are in the channel.
    pub fn len(&self) -> usize {
        self.channel.len()
    }

    /// Says whether no message is in the channel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Says whether the channel is full; one of capacity 0 always is.
    pub fn is_full(&self) -> bool {
        self.channel
            .capacity
            .is_some_and(|capacity| self.len() >= capacity)
    }

    /// The most messages the channel holds; `None` without a limit.
    pub fn capacity(&self) -> Option<usize> {
        self.channel.capacity
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.channel.sender_count.fetch_add(1, Ordering::Relaxed);
        Sender {
            channel: Arc::clone(&self.channel),
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        if self.channel.sender_count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.channel.disconnect_senders();
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.channel.receiver_count.fetch_add(1, Ordering::Relaxed);
        Receiver {
            channel: Arc::clone(&self.channel),
        }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        if self.channel.receiver_count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.channel.disconnect_receivers();
        }
    }
}

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

/// Receives until all senders are gone; from [`Receiver::iter`].
#[derive(Debug)]
pub struct Iter<'r, T> {
    receiver: &'r Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> FusedIterator for Iter<'_, T> {}

/// Receives what is there; from [`Receiver::try_iter`].
#[derive(Debug)]
pub struct TryIter<'r, T> {
    receiver: &'r Receiver<T>,
}

impl<T> Iterator for TryIter<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.try_recv().ok()
    }
}

/// Receives until all senders are gone, and owns the receiver.
#[derive(Debug)]
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.receiver.recv().ok()
    }
}

impl<T> FusedIterator for IntoIter<T> {}

impl<T> IntoIterator for Receiver<T> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter { receiver: self }
    }
}

impl<'r, T> IntoIterator for &'r Receiver<T> {
    type Item = T;
    type IntoIter = Iter<'r, T>;

    fn into_iter(self) -> Iter<'r, T> {
        self.iter()
    }
}

/// The receivers are gone; holds the message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

/// Why [`Sender::try_send`] did not send; holds the message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// There was no room.
    Full(T),
    /// The receivers are gone.
    Disconnected(T),
}

/// Why a timed send did not send; holds the message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SendTimeoutError<T> {
    /// There was no room in time.
    Timeout(T),
    /// The receivers are gone.
    Disconnected(T),
}

/// The channel is empty and the senders are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecvError;

/// Why [`Receiver::try_recv`] received nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// No message is there.
    Empty,
    /// No message is there, and the senders are gone.
    Disconnected,
}

/// Why a timed receive received nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvTimeoutError {
    /// No message came in time.
    Timeout,
    /// No message is there, and the senders are gone.
    Disconnected,
}

impl<T> SendError<T> {
    /// The message.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> TrySendError<T> {
    /// The message.
    pub fn into_inner(self) -> T {
        match self {
            TrySendError::Full(message) | TrySendError::Disconnected(message) => message,
        }
    }

    /// Says whether there was no room.
    pub fn is_full(&self) -> bool {
        matches!(self, TrySendError::Full(_))
    }

    /// Says whether the receivers are gone.
    pub fn is_disconnected(&self) -> bool {
        matches!(self, TrySendError::Disconnected(_))
    }
}

impl<T> SendTimeoutError<T> {
    /// The message.
    pub fn into_inner(self) -> T {
        match self {
            SendTimeoutError::Timeout(message) | SendTimeoutError::Disconnected(message) => message,
        }
    }

    /// Says whether there was no room in time.
    pub fn is_timeout(&self) -> bool {
        matches!(self, SendTimeoutError::Timeout(_))
    }

    /// Says whether the receivers are gone.
    pub fn is_disconnected(&self) -> bool {
        matches!(self, SendTimeoutError::Disconnected(_))
    }
}

/// Says the same in `Debug` (whatever `T` is) and `Display`.
macro_rules! says {
    ($($error:ident $(<$t:ident>)? { $($pattern:pat => $debug:literal, $text:literal;)+ })+) => {$(
        impl$(<$t>)? fmt::Debug for $error$(<$t>)? {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $($pattern => $debug,)+ })
            }
        }
        impl$(<$t>)? fmt::Display for $error$(<$t>)? {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $($pattern => $text,)+ })
            }
        }
        impl$(<$t>)? std::error::Error for $error$(<$t>)? {}
    )+};
}

says! {
    SendError<T> {
        SendError(_) => "SendError(..)", "sending on a disconnected channel";
    }
    TrySendError<T> {
        TrySendError::Full(_) => "Full(..)", "sending on a full channel";
        TrySendError::Disconnected(_) => "Disconnected(..)", "sending on a disconnected channel";
    }
    SendTimeoutError<T> {
        SendTimeoutError::Timeout(_) => "Timeout(..)", "timed out waiting for room in a channel";
        SendTimeoutError::Disconnected(_) =>
            "Disconnected(..)", "sending on a disconnected channel";
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("receiving on an empty and disconnected channel")
    }
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryRecvError::Empty => "receiving on an empty channel",
            TryRecvError::Disconnected => "receiving on an empty and disconnected channel",
        })
    }
}

impl fmt::Display for RecvTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RecvTimeoutError::Timeout => "timed out waiting for a message",
            RecvTimeoutError::Disconnected => "receiving on an empty and disconnected channel",
        })
    }
}

impl std::error::Error for RecvError {}
impl std::error::Error for TryRecvError {}
impl std::error::Error for RecvTimeoutError {}
