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
//!   where crossbeam-channel's spin; so others' messages behind it wait too, and `try_recv` says
//!   meanwhile that there is none.
//! - If a [`SelectedOperation`] is dropped while the thread panics, it doesn't panic again; if it
//!   is dropped at all, its counterpart starts again, and its place in a bounded channel counts
//!   as taken until receivers have gone past it.
//! - Forgetting a selected send ([`std::mem::forget`]) leaves a place in a bounded channel
//!   taken for good, as there; but the receivers can be dropped, where crossbeam-channel hangs
//!   (its test `forget_select_bounded` asserts that it does).
//! - Two tasks that wait with [`Select::ready`] for each other on a channel of capacity 0
//!   may each find the other and try in vain, over and over; there they block for ever.
//! - Messages of [`after`], [`at`] and [`tick`] are instants on the clock that the
//!   runtime uses. A receiver waiting for a [`tick`] does not claim it in advance, so with
//!   several receivers it is not known which one gets the next.
//! - `select!` takes `join(handle) -> result` arms.

mod arms;
pub mod broadcast;
mod buffered;
mod error;
mod future;
mod iter;
mod landing;
mod list;
mod receiver;
mod rendezvous;
mod ring;
mod select;
mod select_list;
mod select_macro;
mod sender;
mod timed;
pub mod watch;

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ropewalk_kernel::clock;

use buffered::Buffered;
use list::List;
use receiver::Receiving;
use rendezvous::Rendezvous;
use ring::Ring;
use sender::Sending;
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
pub use receiver::Receiver;
pub use select::SelectedOperation;
pub use select_list::Select;
#[doc(hidden)]
pub use select_macro::support as __select;
pub use sender::Sender;

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
