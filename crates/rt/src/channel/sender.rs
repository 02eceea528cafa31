//! The sending side.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ropewalk_kernel::clock;

use super::buffered::{Buffer, Buffered};
use super::error::{SendError, SendTimeoutError, TrySendError};
use super::future::SendFuture;
use super::list::List;
use super::rendezvous::Rendezvous;
use super::ring::Ring;
use super::{Counted, acquire, release};

/// The sending side; clone it for more senders.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::channel::{TrySendError, bounded};
///
/// let (sender, receiver) = bounded(1);
/// sender.send(1)?;
/// assert_eq!(sender.try_send(2), Err(TrySendError::Full(2)));
/// drop(receiver);
/// assert_eq!(sender.send(3).unwrap_err().into_inner(), 3);
/// # Ok::<(), ropewalk_rt::channel::SendError<i32>>(())
/// ```
pub struct Sender<T>(pub(super) Sending<T>);

pub(super) enum Sending<T> {
    Ring(Arc<Counted<Buffered<Ring<T>>>>),
    List(Arc<Counted<Buffered<List<T>>>>),
    Rendezvous(Arc<Counted<Rendezvous<T>>>),
}

impl<T> UnwindSafe for Sender<T> {}
impl<T> RefUnwindSafe for Sender<T> {}

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

    pub(super) fn address(&self) -> usize {
        match &self.0 {
            Sending::Ring(channel) => channel.address(),
            Sending::List(channel) => channel.address(),
            Sending::Rendezvous(channel) => channel.address(),
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

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Sender { .. }")
    }
}
