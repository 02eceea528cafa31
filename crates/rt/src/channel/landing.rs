//! Where a message lands when it is handed over: a place on the waiting receiver's frame.
//!
//! The token of a waiter in a receivers' queue says how it takes a message:
//!
//! ```text
//!   0                     not at all: a future, or one who only asks what is ready; it is woken
//!   address of a Place    a receive
//!   address of a Landing  a select, marked by the lowest bit
//! ```
//!
//! A place belongs to whoever claimed its waiter, until that one wakes it; then to the waiter.
//! A waiter that was woken and finds its place empty was only told to look again.

use std::cell::Cell;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr;

use ropewalk_kernel::wait::Claimed;

/// The token of a waiter that is only told.
pub(super) const NOTICE: usize = 0;
/// Marks the token of a select.
const SELECT: usize = 1;

/// A place for one message on the frame of a receive, or of a send that waits with it.
#[repr(align(8))]
pub(super) struct Place<T>(Cell<Option<T>>);

impl<T> Place<T> {
    pub(super) fn new(message: Option<T>) -> Place<T> {
        Place(Cell::new(message))
    }

    pub(super) fn token(&self) -> usize {
        ptr::from_ref(self) as usize
    }

    pub(super) fn take(&self) -> Option<T> {
        self.0.take()
    }

    pub(super) fn set(&self, message: T) {
        self.0.set(Some(message));
    }

    /// # Safety
    ///
    /// `token` is a place's, for messages of type `T`, and its waiter is claimed by the caller
    /// and not yet woken.
    pub(super) unsafe fn at<'p>(token: usize) -> &'p Place<T> {
        // SAFETY: by the contract above; the waiter's frame stays until it is woken.
        unsafe { &*(token as *const Place<T>) }
    }
}

/// What a claimer leaves on the frame of a select, whichever of its arms was claimed.
#[repr(align(8))]
#[derive(Default)]
pub(super) struct Landing {
    /// For an arm that receives: the message.
    parcel: Cell<Option<Parcel>>,
    /// For an arm that sends by rendezvous: the `Handoff` of the receiver who claimed it.
    handoff: Cell<Option<ptr::NonNull<()>>>,
}

impl Landing {
    pub(super) fn token(&self) -> usize {
        ptr::from_ref(self) as usize | SELECT
    }

    pub(super) fn take_parcel(&self) -> Option<Parcel> {
        self.parcel.take()
    }

    pub(super) fn take_handoff(&self) -> Option<ptr::NonNull<()>> {
        self.handoff.take()
    }

    pub(super) fn pair(&self, handoff: ptr::NonNull<()>) {
        self.handoff.set(Some(handoff));
    }

    /// The landing behind `token`, if it is a select's.
    ///
    /// # Safety
    ///
    /// Its waiter is claimed by the caller and not yet woken.
    pub(super) unsafe fn at<'l>(token: usize) -> Option<&'l Landing> {
        // SAFETY: by the contract above; the waiter's frame stays until it is woken.
        (token & SELECT != 0).then(|| unsafe { &*((token & !SELECT) as *const Landing) })
    }
}

/// Hands `message` to a claimed receiver and wakes it, or gives both back if that one is only
/// told.
///
/// # Safety
///
/// The waiter was claimed in the receivers' queue of a channel of `T`.
pub(super) unsafe fn deliver<T>(claimed: Claimed, message: T) -> Result<(), (Claimed, T)> {
    let token = claimed.token();
    if token == NOTICE {
        return Err((claimed, message));
    }
    // SAFETY: claimed by us and woken below.
    match unsafe { Landing::at(token) } {
        Some(landing) => landing.parcel.set(Some(Parcel::new(message))),
        // SAFETY: as above, and a channel's receives wait with places for its messages.
        None => unsafe { Place::at(token) }.set(message),
    }
    claimed.wake();
    Ok(())
}

const PARCEL_WORDS: usize = 4;

type Memory = MaybeUninit<[usize; PARCEL_WORDS]>;

/// A message whose type is known to those who put it in and take it out; in a box if it is
/// large.
pub(super) struct Parcel {
    memory: Memory,
    discard: unsafe fn(&Memory),
}

const fn fits<T>() -> bool {
    size_of::<T>() <= size_of::<Memory>() && align_of::<T>() <= align_of::<Memory>()
}

impl Parcel {
    pub(super) fn new<T>(message: T) -> Parcel {
        let mut memory = Memory::uninit();
        let place = memory.as_mut_ptr();
        // SAFETY: it fits, or a box does.
        unsafe {
            if const { fits::<T>() } {
                place.cast::<T>().write(message);
            } else {
                place.cast::<Box<T>>().write(Box::new(message));
            }
        }
        Parcel {
            memory,
            discard: discard::<T>,
        }
    }

    /// # Safety
    ///
    /// The message is a `T`.
    pub(super) unsafe fn open<T>(self) -> T {
        let parcel = ManuallyDrop::new(self);
        // SAFETY: by the contract above; the parcel is not used again.
        unsafe { take(&parcel.memory) }
    }
}

/// # Safety
///
/// As [`take`].
unsafe fn discard<T>(memory: &Memory) {
    // SAFETY: by the contract above.
    drop(unsafe { take::<T>(memory) });
}

/// # Safety
///
/// The memory holds a `T` put there by `Parcel::new`, and is not read again.
unsafe fn take<T>(memory: &Memory) -> T {
    // SAFETY: by the contract above.
    unsafe {
        if const { fits::<T>() } {
            memory.as_ptr().cast::<T>().read()
        } else {
            *memory.as_ptr().cast::<Box<T>>().read()
        }
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        // SAFETY: unopened, so the message is still in.
        unsafe { (self.discard)(&self.memory) };
    }
}
