//! Channels for threads, coroutines and `async` tasks: bounded, unbounded, rendezvous, and
//! channels that time fills.
//!
//! The API is crossbeam-channel's. Both ends can be cloned; a message is received once; when one
//! side is gone the other is told. [`select!`](crate::select) and [`Select`] wait for the first
//! of several operations. Everything that waits has a timed form and, as `recv_async` and
//! `send_async`, a future that is cancel-safe: dropped, it has received nothing and lost
//! nothing.
//!
//! # Cancellation
//!
//! Waiting to send or to receive is a cancellation point. A cancelled receive fails as if the
//! senders were gone, so that loops over a channel end; a cancelled send gives its message back
//! as if the receivers were gone; a cancelled select gives one of its operations, which fails.
//!
//! # How it works
//!
//! [`bounded`] is a lock-free ring and [`unbounded`] a lock-free list, with a queue of waiters on
//! each side; a capacity of 0 is a rendezvous from frame to frame under a lock. A message for a
//! receiver that waits already goes straight to its frame. A plain thread spins for a moment
//! before it blocks, a coroutine never does. See the heads of the files in this folder.
//!
//! # What differs from crossbeam-channel
//!
//! - A wait can be cancelled; see above.
//! - A message is sent to a future by rendezvous only when the future is polled. So
//!   `try_send` finds a channel of capacity 0 full while only futures wait to receive, and
//!   a selected send whose counterpart is a future completes by waiting for it to be polled.
//! - On a channel of capacity 0, `try_recv` and a receive in a select may wait until a selected
//!   send has evaluated its message; crossbeam-channel spins there.
//! - While a selected send on a bounded channel evaluates its message, receivers wait for it
//!   where crossbeam-channel's spin; so others' messages behind it wait too.
//! - If a [`SelectedOperation`] is dropped while the thread panics, it doesn't panic again; if it
//!   is dropped at all, its counterpart starts again, and its place in a bounded channel counts
//!   as taken until receivers have gone past it.
//! - Two tasks that wait with [`Select::ready`] for each other on a channel of capacity 0
//!   may each find the other and try in vain, over and over; there they block for ever.
//! - Messages of [`after`], [`at`] and [`tick`] are instants on the clock that the
//!   runtime uses. A receiver waiting for a [`tick`] does not claim it in advance, so with
//!   several receivers it is not known which one gets the next.
//! - `select!` takes `join(handle) -> result` arms.

mod arms;
mod buffered;
mod error;
mod future;
mod iter;
mod landing;
mod list;
mod rendezvous;
mod ring;
mod select;
mod select_macro;
mod timed;

use std::fmt;
use std::ops::Deref;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ropewalk_kernel::clock;

use buffered::{Buffer, Buffered};
use list::List;
use rendezvous::Rendezvous;
use ring::Ring;
use timed::Timed;

#[doc(hidden)]
pub use crate::crossbeam_channel_internal;
pub use crate::{select, select_biased};
pub use error::{
    ReadyTimeoutError, RecvError, RecvTimeoutError, SelectTimeoutError, SendError,
    SendTimeoutError, TryReadyError, TryRecvError, TrySelectError, TrySendError,
};
pub use future::{RecvFuture, SendFuture};
pub use iter::{IntoIter, Iter, TryIter};
#[doc(hidden)]
pub use select::macros as __select;
pub use select::{Select, SelectedOperation};

/// Makes a channel that holds up to `capacity` messages; with 0, each send waits for the
/// receive that takes its message.
///
/// # Panics
///
/// If so many messages are more than memory could hold.
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
    if capacity == 0 {
        let channel = Counted::new(Rendezvous::new());
        return (
            Sender(Sending::Rendezvous(Arc::clone(&channel))),
            Receiver(Receiving::Rendezvous(channel)),
        );
    }
    let channel = Counted::new(Buffered::new(Ring::new(capacity)));
    (
        Sender(Sending::Ring(Arc::clone(&channel))),
        Receiver(Receiving::Ring(channel)),
    )
}

/// Makes a channel without a limit: sending never waits.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::channel;
///
/// let (sender, receiver) = channel::unbounded();
/// sender.send("one").unwrap();
/// drop(sender);
/// assert_eq!(receiver.recv(), Ok("one"));
/// assert!(receiver.recv().is_err());
/// ```
pub fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    let channel = Counted::new(Buffered::new(List::new()));
    (
        Sender(Sending::List(Arc::clone(&channel))),
        Receiver(Receiving::List(channel)),
    )
}

/// Makes a channel that delivers one message, the instant, once `duration` has passed.
/// It costs neither a thread nor a coroutine.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::channel::{after, select, unbounded};
/// use std::time::Duration;
///
/// let (_sender, receiver) = unbounded::<()>();
/// let late = after(Duration::from_millis(5));
/// select! {
///     recv(receiver) -> _ => unreachable!("nobody sends"),
///     recv(late) -> instant => assert!(instant.is_ok()),
/// }
/// ```
pub fn after(duration: Duration) -> Receiver<Instant> {
    match clock::now().checked_add(duration) {
        Some(when) => at(when),
        None => never(),
    }
}

/// Makes a channel that delivers one message, `when` itself, from then on.
pub fn at(when: Instant) -> Receiver<Instant> {
    Receiver(Receiving::Timed(Arc::new(Timed::at(when)), |instant| {
        instant
    }))
}

/// Makes a channel that delivers an instant each `duration`: the time it was due. A receiver
/// that is late finds one message, and the next is due `duration` after it was received.
pub fn tick(duration: Duration) -> Receiver<Instant> {
    if clock::now().checked_add(duration).is_none() {
        return never();
    }
    Receiver(Receiving::Timed(
        Arc::new(Timed::every(duration)),
        |instant| instant,
    ))
}

/// Makes a channel that never delivers a message: to leave an arm out of a select.
pub const fn never<T>() -> Receiver<T> {
    Receiver(Receiving::Never)
}

/// A channel, and how many hold its ends.
struct Counted<C> {
    senders: AtomicUsize,
    receivers: AtomicUsize,
    channel: C,
}

impl<C> Counted<C> {
    fn new(channel: C) -> Arc<Counted<C>> {
        Arc::new(Counted {
            senders: AtomicUsize::new(1),
            receivers: AtomicUsize::new(1),
            channel,
        })
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }
}

impl<C> Deref for Counted<C> {
    type Target = C;

    #[inline]
    fn deref(&self) -> &C {
        &self.channel
    }
}

/// Counts one more end. The count can't overflow: an `Arc` is made for each, and its own count
/// aborts the process before.
fn acquire(count: &AtomicUsize) {
    count.fetch_add(1, Ordering::Relaxed);
}

/// Counts one end less; says whether it was the last.
fn release(count: &AtomicUsize) -> bool {
    count.fetch_sub(1, Ordering::AcqRel) == 1
}

/// The sending side; clone it for more senders.
pub struct Sender<T>(Sending<T>);

enum Sending<T> {
    Ring(Arc<Counted<Buffered<Ring<T>>>>),
    List(Arc<Counted<Buffered<List<T>>>>),
    Rendezvous(Arc<Counted<Rendezvous<T>>>),
}

/// The receiving side; clone it for more receivers. Each message goes to one of them.
pub struct Receiver<T>(Receiving<T>);

enum Receiving<T> {
    Ring(Arc<Counted<Buffered<Ring<T>>>>),
    List(Arc<Counted<Buffered<List<T>>>>),
    Rendezvous(Arc<Counted<Rendezvous<T>>>),
    /// With what makes a `T` of the instant: the same instant, as only `Receiver<Instant>`s
    /// are made with it.
    Timed(Arc<Timed>, fn(Instant) -> T),
    Never,
}

impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}
impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> Sender<T> {
    /// Sends a message, waiting for room.
    ///
    /// # Errors
    ///
    /// Gives the message back if all receivers are gone, or the wait was cancelled.
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        self.send_until(message, None)
            .map_err(|error| SendError(error.into_inner()))
    }

    /// Sends a message if there is room for it, or a receiver waits for it.
    ///
    /// # Errors
    ///
    /// Gives the message back.
    #[inline]
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        match &self.0 {
            Sending::Ring(channel) => channel.try_send(message),
            Sending::List(channel) => channel.try_send(message),
            Sending::Rendezvous(channel) => channel.try_send(message),
        }
    }

    /// Sends a message, waiting for room for `timeout` at most.
    ///
    /// # Errors
    ///
    /// Gives the message back.
    pub fn send_timeout(&self, message: T, timeout: Duration) -> Result<(), SendTimeoutError<T>> {
        self.send_until(message, Some(clock::deadline_after(timeout)))
    }

    /// Sends a message, waiting for room until `deadline` at most.
    ///
    /// # Errors
    ///
    /// Gives the message back.
    pub fn send_deadline(&self, message: T, deadline: Instant) -> Result<(), SendTimeoutError<T>> {
        self.send_until(message, Some(clock::instant_to_ns(deadline)))
    }

    #[inline]
    fn send_until(&self, message: T, deadline: Option<u64>) -> Result<(), SendTimeoutError<T>> {
        match &self.0 {
            Sending::Ring(channel) => channel.send(message, deadline),
            Sending::List(channel) => channel.send(message, deadline),
            Sending::Rendezvous(channel) => channel.send(message, deadline),
        }
    }

    /// Sends a message when it is awaited. Dropped before it is ready, it takes the message
    /// with it, unsent.
    ///
    /// # Errors
    ///
    /// Gives the message back if all receivers are gone.
    pub fn send_async(&self, message: T) -> SendFuture<'_, T> {
        SendFuture::new(self, message)
    }

    /// Says whether no message is in the channel; in one of capacity 0 there never is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Says whether the channel is full; one of capacity 0 always is.
    pub fn is_full(&self) -> bool {
        self.capacity()
            .is_some_and(|capacity| self.len() >= capacity)
    }

    /// Counts the messages in the channel.
    pub fn len(&self) -> usize {
        match &self.0 {
            Sending::Ring(channel) => channel.buffer().len(),
            Sending::List(channel) => channel.buffer().len(),
            Sending::Rendezvous(_) => 0,
        }
    }

    /// Gives the most messages the channel holds; `None` without a limit.
    pub fn capacity(&self) -> Option<usize> {
        match &self.0 {
            Sending::Ring(channel) => channel.buffer().capacity(),
            Sending::List(channel) => channel.buffer().capacity(),
            Sending::Rendezvous(_) => Some(0),
        }
    }

    /// Says whether both send to the same channel.
    pub fn same_channel(&self, other: &Sender<T>) -> bool {
        self.address() == other.address()
    }

    fn address(&self) -> usize {
        match &self.0 {
            Sending::Ring(channel) => channel.address(),
            Sending::List(channel) => channel.address(),
            Sending::Rendezvous(channel) => channel.address(),
        }
    }
}

impl<T> Receiver<T> {
    /// Receives a message, waiting for one.
    ///
    /// # Errors
    ///
    /// If there is none and all senders are gone, or the wait was cancelled.
    pub fn recv(&self) -> Result<T, RecvError> {
        self.recv_until(None).map_err(|_| RecvError)
    }

    /// Receives a message if one is there.
    ///
    /// # Errors
    ///
    /// If there is none.
    #[inline]
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        match &self.0 {
            Receiving::Ring(channel) => channel.try_recv(),
            Receiving::List(channel) => channel.try_recv(),
            Receiving::Rendezvous(channel) => channel.try_recv(),
            Receiving::Timed(channel, make) => channel.try_recv().map(make),
            Receiving::Never => Err(TryRecvError::Empty),
        }
    }

    /// Receives a message, waiting for `timeout` at most. A receive that times out has
    /// received nothing.
    ///
    /// # Errors
    ///
    /// If none came, or all senders are gone, or the wait was cancelled.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        self.recv_until(Some(clock::deadline_after(timeout)))
    }

    /// Receives a message, waiting until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`recv_timeout`](Self::recv_timeout).
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, RecvTimeoutError> {
        self.recv_until(Some(clock::instant_to_ns(deadline)))
    }

    #[inline]
    fn recv_until(&self, deadline: Option<u64>) -> Result<T, RecvTimeoutError> {
        match &self.0 {
            Receiving::Ring(channel) => channel.recv(deadline),
            Receiving::List(channel) => channel.recv(deadline),
            Receiving::Rendezvous(channel) => channel.recv(deadline),
            Receiving::Timed(channel, make) => channel.recv(deadline).map(make),
            Receiving::Never => Err(timed::recv_never(deadline)),
        }
    }

    /// Receives a message when it is awaited. Dropped before it is ready, it has received
    /// nothing, and lost nothing.
    ///
    /// # Errors
    ///
    /// If there is no message and all senders are gone.
    pub fn recv_async(&self) -> RecvFuture<'_, T> {
        RecvFuture::new(self)
    }

    /// Receives until the channel is empty and all senders are gone, or a wait is cancelled.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    /// Receives what is there now.
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { receiver: self }
    }

    /// Says whether no message is in the channel; in one of capacity 0 there never is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Says whether the channel is full; one of capacity 0 always is.
    pub fn is_full(&self) -> bool {
        self.capacity()
            .is_some_and(|capacity| self.len() >= capacity)
    }

    /// Counts the messages in the channel.
    pub fn len(&self) -> usize {
        match &self.0 {
            Receiving::Ring(channel) => channel.buffer().len(),
            Receiving::List(channel) => channel.buffer().len(),
            Receiving::Timed(channel, _) => usize::from(channel.is_ready()),
            Receiving::Rendezvous(_) | Receiving::Never => 0,
        }
    }

    /// Gives the most messages the channel holds; `None` without a limit.
    pub fn capacity(&self) -> Option<usize> {
        match &self.0 {
            Receiving::Ring(channel) => channel.buffer().capacity(),
            Receiving::List(channel) => channel.buffer().capacity(),
            Receiving::Timed(..) => Some(1),
            Receiving::Rendezvous(_) | Receiving::Never => Some(0),
        }
    }

    /// Says whether both receive from the same channel.
    pub fn same_channel(&self, other: &Receiver<T>) -> bool {
        self.address() == other.address()
    }

    fn address(&self) -> usize {
        match &self.0 {
            Receiving::Ring(channel) => channel.address(),
            Receiving::List(channel) => channel.address(),
            Receiving::Rendezvous(channel) => channel.address(),
            Receiving::Timed(channel, _) => Arc::as_ptr(channel) as usize,
            Receiving::Never => 0,
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Sender(match &self.0 {
            Sending::Ring(channel) => {
                acquire(&channel.senders);
                Sending::Ring(Arc::clone(channel))
            }
            Sending::List(channel) => {
                acquire(&channel.senders);
                Sending::List(Arc::clone(channel))
            }
            Sending::Rendezvous(channel) => {
                acquire(&channel.senders);
                Sending::Rendezvous(Arc::clone(channel))
            }
        })
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        match &self.0 {
            Sending::Ring(channel) if release(&channel.senders) => channel.disconnect_senders(),
            Sending::List(channel) if release(&channel.senders) => channel.disconnect_senders(),
            Sending::Rendezvous(channel) if release(&channel.senders) => channel.disconnect(),
            _ => {}
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        Receiver(match &self.0 {
            Receiving::Ring(channel) => {
                acquire(&channel.receivers);
                Receiving::Ring(Arc::clone(channel))
            }
            Receiving::List(channel) => {
                acquire(&channel.receivers);
                Receiving::List(Arc::clone(channel))
            }
            Receiving::Rendezvous(channel) => {
                acquire(&channel.receivers);
                Receiving::Rendezvous(Arc::clone(channel))
            }
            Receiving::Timed(channel, make) => Receiving::Timed(Arc::clone(channel), *make),
            Receiving::Never => Receiving::Never,
        })
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        match &self.0 {
            Receiving::Ring(channel) if release(&channel.receivers) => {
                channel.disconnect_receivers();
            }
            Receiving::List(channel) if release(&channel.receivers) => {
                channel.disconnect_receivers();
            }
            Receiving::Rendezvous(channel) if release(&channel.receivers) => channel.disconnect(),
            _ => {}
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Sender { .. }")
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Receiver { .. }")
    }
}
