//! Waiting for the first of several operations.
//!
//! All arms are tried in random order; if none can be done, the caller stands in the queues of
//! all of them at once (`ropewalk_kernel::wait::wait_any`), with a look at each under its lock. It
//! is claimed through one of them, by somebody who hands it a message, pairs it with a receiver,
//! or only tells it: then it tries that arm first, and then all of them again. Nothing is lost,
//! because a select takes from one channel only, when it returns with that operation.
//!
//! An operation that was selected is completed by its caller. What it has in hand until then is
//! its [`Token`].

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicU64, Ordering};

use ropewalk_kernel::wait::{Joined, Limit, Place as Queued, Reason, Selected, spend, wait_any};

use super::buffered::{Hold, has_passed};
use super::error::{RecvError, SendError};
use super::landing::{Landing, Parcel};
use super::rendezvous::Counterpart;
use super::timed::recv_never;
use super::{Receiver, Sender};
use crate::join::JoinHandle;
use crate::patience::Patience;

/// What can stand in a select.
pub(super) trait Arm {
    /// Does the operation as far as it goes without the user's message, if that is possible now.
    fn try_select(&self) -> Option<Token>;
    /// As `try_select`, for a caller that was claimed through this arm.
    fn accept(&self, landing: &Landing) -> Option<Token>;
    /// Joins the queue, unless there is something to try: with a landing to take what is handed
    /// over, without one only to be told.
    fn join<'q>(&'q self, place: Queued<'_, 'q>, landing: Option<&Landing>) -> Option<Joined>;
    /// When to try again even if nobody has claimed the caller.
    fn deadline(&self) -> Option<u64> {
        None
    }
    fn is_ready(&self) -> bool;
    /// Tells the next waiter: from one that was claimed and may not take.
    fn pass_on(&self);
    /// Gives up an operation. Unless `at_home`, the thread may be one on which messages must not
    /// be dropped.
    fn abandon(&self, token: Token, at_home: bool);
    /// The object's address.
    fn address(&self) -> usize;
}

/// What a selected operation has in hand.
pub(super) enum Token {
    /// It fails: the other side is gone, or the wait was cancelled.
    Closed,
    /// A received message.
    Parcel(Parcel),
    /// A place in a buffer.
    Hold(Hold),
    /// Who takes the message of a rendezvous.
    Counterpart(Counterpart),
    /// Nothing: a task has ended.
    Ended,
}

/// One operation of a select.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    arm: &'a (dyn Arm + 'a),
    pub(super) index: usize,
    /// The thread on which it was made, where messages may be dropped.
    home: u64,
}

// SAFETY: a sender or receiver whose messages aren't `Send` must not be used from elsewhere. What
// an entry calls on another thread moves messages, in and out of memory, but neither drops one
// nor gives one away: an operation that is given up leaks its message unless it is at home
// (`abandon`), and completing one needs a reference to the sender or receiver, which whose
// messages aren't `Send` has at home alone.
unsafe impl Send for Entry<'_> {}
// SAFETY: as above.
unsafe impl Sync for Entry<'_> {}

#[derive(Clone, Copy)]
pub(super) enum Wait {
    Now,
    Until(Option<u64>),
}

thread_local! {
    /// The state of what shuffles.
    static STATE: Cell<u32> = const { Cell::new(0) };
}

/// A number that no other thread has, ever: a thread may lie where one lay that has ended, whose
/// operations live.
fn here() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    thread_local!(static NUMBER: Cell<u64> = const { Cell::new(0) });
    match NUMBER.get() {
        0 => {
            let number = LAST.fetch_add(1, Ordering::Relaxed) + 1;
            NUMBER.set(number);
            number
        }
        number => number,
    }
}

/// Puts `entries` in random order: xorshift32 (Marsaglia 2003), one state per thread.
fn shuffle(entries: &mut [Entry<'_>]) {
    if entries.len() < 2 {
        return;
    }
    let mut state = STATE.get();
    if state == 0 {
        // Multiplied by what spreads small numbers (Knuth 6.4).
        state = (here() as u32).wrapping_mul(0x9E37_79B9) | 1;
    }
    for last in 1..entries.len() {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        entries.swap(
            last,
            ((u64::from(state) * (last as u64 + 1)) >> 32) as usize,
        );
    }
    STATE.set(state);
}

fn try_all<'a>(entries: &[Entry<'a>]) -> Option<SelectedOperation<'a>> {
    entries.iter().find_map(Entry::try_select)
}

impl<'a> Entry<'a> {
    pub(super) fn new(arm: &'a (dyn Arm + 'a), index: usize) -> Entry<'a> {
        Entry {
            arm,
            index,
            home: here(),
        }
    }

    fn try_select(&self) -> Option<SelectedOperation<'a>> {
        self.arm.try_select().map(|token| self.selected(token))
    }

    fn selected(&self, token: Token) -> SelectedOperation<'a> {
        SelectedOperation {
            token: ManuallyDrop::new(token),
            entry: *self,
            marker: PhantomData,
        }
    }
}

/// Stands in the queues of all entries.
fn wait_in_all(
    entries: &[Entry<'_>],
    wait_until: Option<u64>,
    landing: Option<&Landing>,
) -> Selected {
    let arms = entries.iter().filter_map(|entry| entry.arm.deadline());
    let limit = Limit::cancellable(wait_until.into_iter().chain(arms).min());
    let object = entries[0].arm.address();
    wait_any(
        entries.len(),
        Reason::Select,
        object,
        limit,
        &mut |index, place| entries[index].arm.join(place, landing),
    )
}

/// Waits without anything to wait for.
fn wait_for_nothing(wait: Wait) {
    if let Wait::Until(deadline) = wait {
        recv_never(deadline);
    }
}

pub(super) fn run_select<'a>(
    entries: &mut [Entry<'a>],
    wait: Wait,
    biased: bool,
) -> Option<SelectedOperation<'a>> {
    if entries.is_empty() {
        wait_for_nothing(wait);
        return None;
    }
    if !biased {
        shuffle(entries);
    }
    let mut patience = Patience::new();
    loop {
        if let Some(selected) = try_all(entries) {
            spend();
            return Some(selected);
        }
        let Wait::Until(deadline) = wait else {
            spend();
            return None;
        };
        if patience.spin() {
            continue;
        }
        if has_passed(deadline) {
            spend();
            return None;
        }
        let landing = Landing::default();
        match wait_in_all(entries, deadline, Some(&landing)) {
            Selected::Woken(index) => {
                let entry = entries[index];
                if let Some(token) = entry.arm.accept(&landing) {
                    return Some(entry.selected(token));
                }
            }
            Selected::Cancelled => return Some(entries[0].selected(Token::Closed)),
            Selected::Ready(_) | Selected::Expired => {}
        }
    }
}

pub(super) fn run_ready(entries: &mut [Entry<'_>], wait: Wait, biased: bool) -> Option<usize> {
    if entries.is_empty() {
        wait_for_nothing(wait);
        return None;
    }
    if !biased {
        shuffle(entries);
    }
    let mut patience = Patience::new();
    loop {
        if let Some(entry) = entries.iter().find(|entry| entry.arm.is_ready()) {
            spend();
            return Some(entry.index);
        }
        let Wait::Until(deadline) = wait else {
            spend();
            return None;
        };
        if patience.spin() {
            continue;
        }
        if has_passed(deadline) {
            spend();
            return None;
        }
        match wait_in_all(entries, deadline, None) {
            Selected::Woken(index) => {
                entries[index].arm.pass_on();
                return Some(entries[index].index);
            }
            Selected::Cancelled => return Some(entries[0].index),
            Selected::Ready(index) => return Some(entries[index].index),
            Selected::Expired => {}
        }
    }
}

/// An operation that was selected and must be completed, with [`send`](Self::send),
/// [`recv`](Self::recv) or [`join`](Self::join).
///
/// # Panics
///
/// Dropping it without completing it panics, unless the thread panics already. The other side
/// starts again; a message that it had received is dropped, or leaked if the operation was added
/// to its [`Select`](super::Select) on another thread.
#[must_use = "a selected operation must be completed"]
pub struct SelectedOperation<'a> {
    token: ManuallyDrop<Token>,
    entry: Entry<'a>,
    /// It belongs to the waiter that selected it.
    marker: PhantomData<*const ()>,
}

impl SelectedOperation<'_> {
    /// Gives the operation's index.
    pub fn index(&self) -> usize {
        self.entry.index
    }

    pub(super) fn into_token(self) -> Token {
        let mut operation = ManuallyDrop::new(self);
        // SAFETY: neither the operation nor its token is used or dropped again.
        unsafe { ManuallyDrop::take(&mut operation.token) }
    }

    /// Completes a send. If the counterpart is a future (which takes the message only when it is
    /// polled, or not at all), this waits; in all other cases it doesn't.
    ///
    /// # Errors
    ///
    /// Gives the message back if the receivers are gone, or the wait was cancelled.
    ///
    /// # Panics
    ///
    /// If it is not a send by this sender.
    pub fn send<T>(self, sender: &Sender<T>, message: T) -> Result<(), SendError<T>> {
        assert!(
            self.entry.arm.address() == sender.address() && !self.is_receive(),
            "passed a sender that wasn't selected",
        );
        sender
            .complete(self.into_token(), message)
            .map_err(SendError)
    }

    /// Completes a receive; it doesn't wait.
    ///
    /// # Errors
    ///
    /// If the channel is empty and the senders are gone, or the wait was cancelled.
    ///
    /// # Panics
    ///
    /// If it is not a receive from this receiver.
    pub fn recv<T>(self, receiver: &Receiver<T>) -> Result<T, RecvError> {
        assert!(
            self.entry.arm.address() == receiver.address()
                && matches!(*self.token, Token::Parcel(_) | Token::Closed),
            "passed a receiver that wasn't selected",
        );
        match self.into_token() {
            // SAFETY: the address says which channel it came from, and all messages of a
            // channel are of one type.
            Token::Parcel(parcel) => Ok(unsafe { parcel.open() }),
            _ => Err(RecvError),
        }
    }

    /// Completes the wait for a task's end: unless the wait was cancelled, the handle can be
    /// joined without waiting.
    ///
    /// # Panics
    ///
    /// If it is not this handle's.
    pub fn join<T>(self, handle: &JoinHandle<T>) {
        assert!(
            self.entry.arm.address() == Arm::address(handle)
                && matches!(*self.token, Token::Ended | Token::Closed),
            "passed a handle that wasn't selected",
        );
        drop(self.into_token());
    }

    fn is_receive(&self) -> bool {
        matches!(*self.token, Token::Parcel(_) | Token::Ended)
    }
}

impl Drop for SelectedOperation<'_> {
    fn drop(&mut self) {
        // SAFETY: dropped once, and not used again.
        let token = unsafe { ManuallyDrop::take(&mut self.token) };
        let at_home = self.entry.home == here();
        self.entry.arm.abandon(token, at_home);
        if !std::thread::panicking() {
            panic!("dropped `SelectedOperation` without completing the operation");
        }
    }
}

impl fmt::Debug for SelectedOperation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("SelectedOperation { .. }")
    }
}
