//! The receiving side.

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ropewalk_kernel::clock;

use super::buffered::{Buffer, Buffered};
use super::error::{RecvError, RecvTimeoutError, TryRecvError};
use super::future::RecvFuture;
use super::iter::{Iter, TryIter};
use super::list::List;
use super::rendezvous::Rendezvous;
use super::ring::Ring;
use super::timed::{Timed, recv_never};
use super::{Counted, acquire, release};

/// The receiving side; clone it for more receivers. Each message goes to one of them.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::{block_on, channel};
///
/// let (sender, receiver) = channel::unbounded();
/// (1..=4).for_each(|n| sender.send(n).unwrap());
/// drop(sender);
/// assert_eq!(receiver.recv(), Ok(1));
/// assert_eq!(block_on(receiver.recv_async()), Ok(2));
/// assert_eq!(receiver.iter().collect::<Vec<_>>(), [3, 4]);
/// assert!(receiver.recv().is_err());
/// ```
pub struct Receiver<T>(pub(super) Receiving<T>);

pub(super) enum Receiving<T> {
    Ring(Arc<Counted<Buffered<Ring<T>>>>),
    List(Arc<Counted<Buffered<List<T>>>>),
    Rendezvous(Arc<Counted<Rendezvous<T>>>),
    /// With what makes a `T` of the instant: the same instant, as only `Receiver<Instant>`s
    /// are made with it.
    Timed(Arc<Timed>, fn(Instant) -> T),
    Never,
}

impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

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
            Receiving::Never => Err(recv_never(deadline)),
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

    pub(super) fn address(&self) -> usize {
        match &self.0 {
            Receiving::Ring(channel) => channel.address(),
            Receiving::List(channel) => channel.address(),
            Receiving::Rendezvous(channel) => channel.address(),
            Receiving::Timed(channel, _) => Arc::as_ptr(channel) as usize,
            Receiving::Never => 0,
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

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Receiver { .. }")
    }
}
