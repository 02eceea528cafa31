//! The channel that holds nothing: each send meets its receive.
//!
//! Whoever comes second finds the other waiting and acts for both. The lock of the receivers'
//! queue is the channel's lock; lock order: receivers, then senders.
//!
//! # Who waits how
//!
//! ```text
//!   in the receivers' queue                  a sender that finds it
//!     a receive, with a Place                fills the place, wakes it
//!     a select's arm, with its Landing       fills the landing, wakes it
//!     a future, or one who asks what is      wakes it and goes on to the next one; if nobody
//!       ready (told only)                    takes the message, the sender waits
//!   in the senders' queue                    a receiver that finds it
//!     a send, with its message in a Place    takes the message, wakes it
//!     a select's arm, with its Landing       pairs: leaves the address of a Handoff, wakes it,
//!                                            waits there for the message
//!     one who asks what is ready             wakes it and goes on
//!   among the offers
//!     a future, with its message             takes the message, wakes it
//! ```
//!
//! A future is never handed anything, for perhaps nobody polls it again: one that receives
//! takes for itself when it is polled, and one that sends leaves its message with the channel,
//! in a node that it owns, from which any receiver may take it at once, and takes it out again
//! if it is dropped first.
//!
//! A select that sends has no message before it is chosen. It is chosen in one of three ways:
//! it finds a receiver waiting, which it claims and wakes only with the message; a receiver finds
//! it (a handoff); or it finds a future waiting to receive, and then its operation is completed
//! by a send that waits. If the operation is given up, the counterpart is woken without a
//! message and starts again.
//!
//! Those who are told look after the one who tells them has joined its queue: they are woken
//! behind that, or look under the lock once more.

use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomPinned;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{self, NonNull};
use std::task::Waker;

use ropewalk_kernel::wait::{
    Claimed, Joined, Limit, Outcome, Place as Queued, QueueGuard, Reason, WaitQueue,
    check_may_wait, spend,
};

use super::buffered::has_passed;
use super::error::{RecvTimeoutError, SendTimeoutError, TryRecvError, TrySendError};
use super::landing::{Landing, NOTICE, Place, deliver};

pub(super) struct Rendezvous<T> {
    receivers: WaitQueue,
    senders: WaitQueue,
    /// Guarded by the lock of `receivers`.
    inner: UnsafeCell<Inner<T>>,
}

struct Inner<T> {
    /// Whether one side is gone.
    closed: bool,
    /// The first and the last of the offers, linked.
    first: *const Offer<T>,
    last: *const Offer<T>,
    /// Whether the last message came from an offer: the two kinds of senders take turns.
    from_offer: bool,
}

// SAFETY: messages move between threads, under the lock or from frame to frame; nothing is
// shared.
unsafe impl<T: Send> Send for Rendezvous<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Rendezvous<T> {}

/// The channel's lock, held.
pub(super) struct Locked<'c, T> {
    channel: &'c Rendezvous<T>,
    guard: QueueGuard<'c>,
}

/// Those who are only told, claimed and to be woken: on the frame of who tells them.
#[derive(Default)]
pub(super) struct Told {
    /// Rarely there is anybody.
    waiters: Option<[Option<Claimed>; TOLD_MAX]>,
    len: usize,
}

/// How many are claimed under the lock before some are woken in between.
const TOLD_MAX: usize = 8;

impl Told {
    /// Adds one; says whether there is no room for more.
    #[cold]
    fn push(&mut self, claimed: Claimed) -> bool {
        self.waiters.get_or_insert_default()[self.len] = Some(claimed);
        self.len += 1;
        self.len == TOLD_MAX
    }

    #[inline]
    pub(super) fn wake(&mut self) {
        if let Some(waiters) = self.waiters.take() {
            self.len = 0;
            waiters.into_iter().flatten().for_each(Claimed::wake);
        }
    }
}

/// Who may give a message.
enum Sending<'c, T> {
    Waiter(Claimed),
    /// Its future leaves the message and the waker to us until we let go of the lock.
    Offer(&'c Offer<T>),
}

/// Why nothing was exchanged, and the lock if one may wait for a counterpart.
pub(super) enum Alone<'c, T> {
    Closed,
    Waiting(Locked<'c, T>),
}

/// A counterpart for the message that a select is about to send.
pub(super) enum Counterpart {
    /// A claimed receiver.
    Claimed(Claimed),
    /// A receiver that waits in its [`Handoff`].
    Handoff(NonNull<()>),
    /// A future: send and wait.
    Future,
    /// Nobody, ever.
    Closed,
}

impl<'c, T> Locked<'c, T> {
    #[expect(clippy::mut_from_ref, reason = "callers use one such borrow at a time")]
    fn inner(&self) -> &mut Inner<T> {
        // SAFETY: the lock is held; callers use one such borrow at a time.
        unsafe { &mut *self.channel.inner.get() }
    }

    /// Lets go of the channel's lock and gives the queue's for a receiver to join it.
    pub(super) fn into_guard(self) -> QueueGuard<'c> {
        self.guard
    }

    /// Takes out who is to send next; the two kinds take turns.
    fn next_sender(&self) -> Option<Sending<'c, T>> {
        let senders = &self.channel.senders;
        let claim = || match senders.is_empty() {
            true => None,
            false => senders.lock().claim_next(),
        };
        let from_offer = std::mem::take(&mut self.inner().from_offer);
        if from_offer && let Some(claimed) = claim() {
            return Some(Sending::Waiter(claimed));
        }
        if let Some(offer) = self.take_offer() {
            self.inner().from_offer = true;
            return Some(Sending::Offer(offer));
        }
        if from_offer {
            return None;
        }
        claim().map(Sending::Waiter)
    }

    /// Takes the first offer out.
    fn take_offer(&self) -> Option<&'c Offer<T>> {
        let first = self.inner().first;
        // SAFETY: linked offers are alive, and ours under the lock.
        let offer = unsafe { first.as_ref()? };
        // SAFETY: it is linked here.
        unsafe { self.unlink(offer) };
        Some(offer)
    }

    /// # Safety
    ///
    /// The offer is not linked, and stays where it is until it is unlinked.
    unsafe fn link(&self, offer: &Offer<T>) {
        let inner = self.inner();
        offer.linked.set(true);
        offer.next.set(ptr::null());
        offer.previous.set(inner.last);
        // SAFETY: linked offers are alive, and ours under the lock.
        match unsafe { inner.last.as_ref() } {
            Some(last) => last.next.set(offer),
            None => inner.first = offer,
        }
        inner.last = offer;
    }

    /// # Safety
    ///
    /// The offer is linked in this channel.
    unsafe fn unlink(&self, offer: &Offer<T>) {
        let inner = self.inner();
        offer.linked.set(false);
        let (previous, next) = (offer.previous.get(), offer.next.get());
        // SAFETY: the neighbours are linked too.
        unsafe {
            match previous.as_ref() {
                Some(previous) => previous.next.set(next),
                None => inner.first = next,
            }
            match next.as_ref() {
                Some(next) => next.previous.set(previous),
                None => inner.last = previous,
            }
        }
    }
}

impl<T> Rendezvous<T> {
    pub(super) fn new() -> Rendezvous<T> {
        Rendezvous {
            receivers: WaitQueue::new(),
            senders: WaitQueue::new(),
            inner: UnsafeCell::new(Inner {
                closed: false,
                first: ptr::null(),
                last: ptr::null(),
                from_offer: false,
            }),
        }
    }

    #[inline]
    fn lock(&self) -> Locked<'_, T> {
        Locked {
            channel: self,
            guard: self.receivers.lock(),
        }
    }

    fn object(&self) -> usize {
        ptr::from_ref(self) as usize
    }

    pub(super) fn receivers(&self) -> &WaitQueue {
        &self.receivers
    }

    /// One side is gone.
    pub(super) fn disconnect(&self) {
        self.lock().inner().closed = true;
        self.receivers.wake_all();
        self.senders.wake_all();
        loop {
            let locked = self.lock();
            let Some(offer) = locked.take_offer() else {
                return;
            };
            let waker = offer.waker.take();
            drop(locked);
            wake(waker);
        }
    }

    // Sending.

    /// Gives a message to a waiting receiver, or back with the lock.
    #[inline]
    fn meet_receiver(&self, message: T, told: &mut Told) -> Result<(), (T, Alone<'_, T>)> {
        let mut locked = self.lock();
        loop {
            if locked.inner().closed {
                drop(locked);
                told.wake();
                return Err((message, Alone::Closed));
            }
            let Some(claimed) = locked.guard.claim_next() else {
                return Err((message, Alone::Waiting(locked)));
            };
            if claimed.token() != NOTICE {
                drop(locked);
                told.wake();
                // SAFETY: claimed in our receivers' queue.
                let delivered = unsafe { deliver(claimed, message) };
                debug_assert!(delivered.is_ok(), "it takes messages");
                return Ok(());
            }
            if told.push(claimed) {
                drop(locked);
                told.wake();
                locked = self.lock();
            }
        }
    }

    #[inline]
    pub(super) fn try_send(&self, message: T) -> Result<(), TrySendError<T>> {
        let mut told = Told::default();
        match self.meet_receiver(message, &mut told) {
            Ok(()) => Ok(()),
            Err((message, Alone::Closed)) => Err(TrySendError::Disconnected(message)),
            Err((message, Alone::Waiting(locked))) => {
                drop(locked);
                told.wake();
                Err(TrySendError::Full(message))
            }
        }
    }

    pub(super) fn send(
        &self,
        mut message: T,
        deadline: Option<u64>,
    ) -> Result<(), SendTimeoutError<T>> {
        loop {
            let mut told = Told::default();
            let (back, locked) = match self.meet_receiver(message, &mut told) {
                Ok(()) => {
                    spend();
                    return Ok(());
                }
                Err((message, Alone::Closed)) => {
                    return Err(SendTimeoutError::Disconnected(message));
                }
                Err((message, Alone::Waiting(locked))) => (message, locked),
            };
            if has_passed(deadline) {
                drop(locked);
                told.wake();
                spend();
                return Err(SendTimeoutError::Timeout(back));
            }
            let place = Place::new(Some(back));
            let limit = Limit::cancellable(deadline);
            let outcome = self.senders.lock().wait_after(
                place.token(),
                Reason::Send,
                self.object(),
                limit,
                || {
                    drop(locked);
                    told.wake();
                },
            );
            message = match (place.take(), outcome) {
                (None, _) => return Ok(()),
                (Some(message), Outcome::Woken) => message,
                (Some(message), Outcome::Expired) => {
                    return Err(SendTimeoutError::Timeout(message));
                }
                (Some(message), Outcome::Cancelled) => {
                    return Err(SendTimeoutError::Disconnected(message));
                }
            };
        }
    }

    // Receiving.

    /// Takes a message from a waiting sender, or gives the lock. With `may_pair` it may wait for
    /// the message of a select that it has claimed.
    #[inline]
    pub(super) fn meet_sender(&self, told: &mut Told, may_pair: bool) -> Result<T, Alone<'_, T>> {
        let mut locked = self.lock();
        loop {
            let claimed = match locked.next_sender() {
                Some(Sending::Waiter(claimed)) => claimed,
                Some(Sending::Offer(offer)) => {
                    let (message, waker) = (offer.message.take(), offer.waker.take());
                    drop(locked);
                    told.wake();
                    wake(waker);
                    return Ok(message.expect("an offer has a message"));
                }
                None if locked.inner().closed => {
                    drop(locked);
                    told.wake();
                    return Err(Alone::Closed);
                }
                None => return Err(Alone::Waiting(locked)),
            };
            let token = claimed.token();
            let is_notice = token == NOTICE;
            // SAFETY: claimed by us and woken below.
            let select = unsafe { Landing::at(token) };
            if let Some(landing) = select
                && may_pair
            {
                drop(locked);
                told.wake();
                if let Some(message) = self.pair(claimed, landing) {
                    return Ok(message);
                }
                locked = self.lock();
            } else if select.is_none() && !is_notice {
                // SAFETY: a send of this channel, woken by us.
                let message = unsafe { Place::<T>::at(token) }.take();
                drop(locked);
                told.wake();
                claimed.wake();
                return Ok(message.expect("a waiting send has a message"));
            } else if told.push(claimed) {
                drop(locked);
                told.wake();
                locked = self.lock();
            }
        }
    }

    /// Lets a claimed select go on with its operation, and waits for its message.
    fn pair(&self, claimed: Claimed, landing: &Landing) -> Option<T> {
        struct Release(Option<Claimed>);
        impl Drop for Release {
            fn drop(&mut self) {
                if let Some(claimed) = self.0.take() {
                    claimed.wake();
                }
            }
        }
        let mut claimed = Release(Some(claimed));
        // This may panic: then the select just looks again.
        check_may_wait();
        let handoff = Handoff::new();
        landing.pair(NonNull::from(&handoff).cast());
        claimed.0.take().expect("not yet woken").wake();
        handoff.wait(self.object())
    }

    #[inline]
    pub(super) fn try_recv(&self) -> Result<T, TryRecvError> {
        let mut told = Told::default();
        match self.meet_sender(&mut told, true) {
            Ok(message) => Ok(message),
            Err(Alone::Closed) => Err(TryRecvError::Disconnected),
            Err(Alone::Waiting(locked)) => {
                drop(locked);
                told.wake();
                Err(TryRecvError::Empty)
            }
        }
    }

    pub(super) fn recv(&self, deadline: Option<u64>) -> Result<T, RecvTimeoutError> {
        loop {
            let mut told = Told::default();
            let locked = match self.meet_sender(&mut told, true) {
                Ok(message) => {
                    spend();
                    return Ok(message);
                }
                Err(Alone::Closed) => return Err(RecvTimeoutError::Disconnected),
                Err(Alone::Waiting(locked)) => locked,
            };
            if has_passed(deadline) {
                drop(locked);
                told.wake();
                spend();
                return Err(RecvTimeoutError::Timeout);
            }
            let place = Place::new(None);
            let limit = Limit::cancellable(deadline);
            let outcome = locked.into_guard().wait_after(
                place.token(),
                Reason::Receive,
                self.object(),
                limit,
                || told.wake(),
            );
            match (place.take(), outcome) {
                (Some(message), _) => return Ok(message),
                (None, Outcome::Woken) => {}
                (None, Outcome::Expired) => return Err(RecvTimeoutError::Timeout),
                (None, Outcome::Cancelled) => return Err(RecvTimeoutError::Disconnected),
            }
        }
    }

    // For selects.

    /// Finds a counterpart for a select that is to send.
    pub(super) fn claim_receiver(&self) -> Option<Counterpart> {
        let mut told = Told::default();
        let mut locked = self.lock();
        let found = loop {
            if locked.inner().closed {
                break Some(Counterpart::Closed);
            }
            let Some(claimed) = locked.guard.claim_next() else {
                break None;
            };
            if claimed.token() != NOTICE {
                break Some(Counterpart::Claimed(claimed));
            }
            let future = !claimed.takes_hand_over();
            let full = told.push(claimed);
            if future {
                break Some(Counterpart::Future);
            }
            if full {
                drop(locked);
                told.wake();
                locked = self.lock();
            }
        };
        drop(locked);
        told.wake();
        found
    }

    /// Completes the send of a select.
    pub(super) fn complete(&self, counterpart: Counterpart, message: T) -> Result<(), T> {
        match counterpart {
            Counterpart::Claimed(claimed) => {
                // SAFETY: claimed in our receivers' queue; only those who take are kept.
                unsafe { deliver(claimed, message) }.map_err(|(_, message)| message)
            }
            Counterpart::Handoff(handoff) => {
                // SAFETY: left by a receiver of this channel, which waits for this call.
                unsafe { Handoff::complete(handoff.cast(), Some(message)) };
                Ok(())
            }
            Counterpart::Future => self
                .send(message, None)
                .map_err(SendTimeoutError::into_inner),
            Counterpart::Closed => Err(message),
        }
    }

    /// Gives the send of a select up: its counterpart starts again.
    pub(super) fn abandon(&self, counterpart: Counterpart) {
        match counterpart {
            Counterpart::Claimed(claimed) => claimed.wake(),
            Counterpart::Handoff(handoff) => {
                // SAFETY: as in `complete`.
                unsafe { Handoff::<T>::complete(handoff.cast(), None) };
            }
            Counterpart::Future | Counterpart::Closed => {}
        }
    }

    pub(super) fn join_receivers<'q>(
        &'q self,
        place: Queued<'_, 'q>,
        landing: Option<&Landing>,
    ) -> Option<Joined> {
        let locked = self.lock();
        if locked.has_sender(place.id()) {
            return None;
        }
        let token = landing.map_or(NOTICE, Landing::token);
        Some(place.join(locked.into_guard(), token))
    }

    pub(super) fn join_senders<'q>(
        &'q self,
        place: Queued<'_, 'q>,
        landing: Option<&Landing>,
    ) -> Option<Joined> {
        let locked = self.lock();
        if locked.has_receiver(place.id()) {
            return None;
        }
        let token = landing.map_or(NOTICE, Landing::token);
        let joined = place.join(self.senders.lock(), token);
        drop(locked);
        Some(joined)
    }

    pub(super) fn has_sender(&self) -> bool {
        self.lock().has_sender(0)
    }

    pub(super) fn has_receiver(&self) -> bool {
        self.lock().has_receiver(0)
    }

    // For futures.

    /// Gives the message of a future to a receiver, or leaves it with the channel. Gives it back
    /// if there never will be a receiver.
    ///
    /// # Safety
    ///
    /// The offer stays where it is until it is [`withdrawn`](Self::withdraw).
    pub(super) unsafe fn offer(&self, offer: &Offer<T>, message: T, waker: Waker) -> Offered<T> {
        let mut told = Told::default();
        match self.meet_receiver(message, &mut told) {
            Ok(()) => Offered::Taken,
            Err((message, Alone::Closed)) => Offered::Closed(message),
            Err((message, Alone::Waiting(locked))) => {
                offer.message.set(Some(message));
                let old = offer.waker.replace(Some(waker));
                // SAFETY: by the contract above.
                unsafe { locked.link(offer) };
                drop(locked);
                told.wake();
                drop(old);
                Offered::Standing
            }
        }
    }

    /// Looks after an offer that was standing.
    pub(super) fn look_after(&self, offer: &Offer<T>, waker: Waker) -> Offered<T> {
        let locked = self.lock();
        if offer.linked.get() {
            let old = offer.waker.replace(Some(waker));
            drop(locked);
            drop(old);
            return Offered::Standing;
        }
        let message = offer.message.take();
        drop(locked);
        match message {
            Some(message) => Offered::Closed(message),
            None => Offered::Taken,
        }
    }

    /// Takes an offer back; its message and waker are the caller's to drop.
    pub(super) fn withdraw(&self, offer: &Offer<T>) {
        let locked = self.lock();
        if offer.linked.get() {
            // SAFETY: linked in this channel.
            unsafe { locked.unlink(offer) };
        }
        drop(locked);
    }
}

impl<T> Locked<'_, T> {
    /// Says whether a receiver has a counterpart, other than the wait `except`.
    fn has_sender(&self, except: usize) -> bool {
        let inner = self.inner();
        inner.closed
            || !inner.first.is_null()
            || (!self.channel.senders.is_empty()
                && self.channel.senders.lock().anyone_waiting(except))
    }

    /// Says whether a sender has a counterpart, other than the wait `except`.
    fn has_receiver(&self, except: usize) -> bool {
        self.inner().closed || self.guard.anyone_waiting(except)
    }
}

/// The message of a future that waits to send; all is guarded by the channel's lock while it is
/// linked, and the future's else.
pub(super) struct Offer<T> {
    next: Cell<*const Offer<T>>,
    previous: Cell<*const Offer<T>>,
    linked: Cell<bool>,
    message: Cell<Option<T>>,
    waker: Cell<Option<Waker>>,
    _pinned: PhantomPinned,
}

/// How an offer stands.
pub(super) enum Offered<T> {
    /// A receiver has the message.
    Taken,
    /// The channel has it.
    Standing,
    /// The receivers are gone.
    Closed(T),
}

// SAFETY: touched by its owner, and under the channel's lock; holds nothing but the message and
// a waker.
unsafe impl<T: Send> Send for Offer<T> {}

impl<T> Offer<T> {
    pub(super) fn new() -> Offer<T> {
        Offer {
            next: Cell::new(ptr::null()),
            previous: Cell::new(ptr::null()),
            linked: Cell::new(false),
            message: Cell::new(None),
            waker: Cell::new(None),
            _pinned: PhantomPinned,
        }
    }
}

/// Wakes a future. Its waker is foreign code, and who calls this has a message in hand.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker
        && let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake()))
    {
        // Its drop may panic too.
        std::mem::forget(payload);
    }
}

/// Where a receiver waits for the message of a select that it has claimed. On its frame, which it
/// leaves after it has seen `done` under the lock; the select's last touch is letting go of that
/// lock, or waking the receiver it has claimed under it.
struct Handoff<T> {
    queue: WaitQueue,
    done: Cell<bool>,
    message: Cell<Option<T>>,
}

impl<T> Handoff<T> {
    fn new() -> Handoff<T> {
        Handoff {
            queue: WaitQueue::new(),
            done: Cell::new(false),
            message: Cell::new(None),
        }
    }

    /// Waits until the select has sent its message, or has given up.
    fn wait(&self, object: usize) -> Option<T> {
        loop {
            let guard = self.queue.lock();
            if self.done.get() {
                drop(guard);
                return self.message.take();
            }
            // Without a limit: the select is at it, and knows this place.
            guard.wait(NOTICE, Reason::Receive, object, Limit::NONE);
        }
    }

    /// # Safety
    ///
    /// The receiver waits, and nobody has called this for it.
    unsafe fn complete(this: NonNull<Handoff<T>>, message: Option<T>) {
        // SAFETY: alive until `done` is seen under the lock; see the type.
        let handoff = unsafe { this.as_ref() };
        let mut guard = handoff.queue.lock();
        handoff.message.set(message);
        handoff.done.set(true);
        let claimed = guard.claim_next();
        drop(guard);
        if let Some(claimed) = claimed {
            claimed.wake();
        }
    }
}
