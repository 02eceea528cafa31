//! Descriptors that travel with a value: ends of pipes, queues, shared memory.
//!
//! While a value is encoded here, a handle inside it may [`attach`] its descriptor and put the
//! number it gets into the bytes; while it is decoded, the handle [`detach`]es it again. Who
//! sends the bytes sends the descriptors along. Anywhere else both are errors: a handle in a
//! message that has no way to carry descriptors must not arrive as a number that means nothing.
//!
//! The list belongs to the coroutine that encodes, because a value's `Serialize` might wait.

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::os::fd::{BorrowedFd, OwnedFd};

use ropewalk_rt::coroutine_local;
use ropewalk_rt::executor::tasks::{self, CallError, Output};
use serde::Serialize;
use serde::de::DeserializeOwned;

coroutine_local! {
    /// What was attached by now, while a value is encoded.
    static OUTGOING: RefCell<Option<Vec<OwnedFd>>> = const { RefCell::new(None) };
    /// What has not been detached yet, while a value is decoded.
    static INCOMING: RefCell<Option<Vec<Option<OwnedFd>>>> = const { RefCell::new(None) };
}

/// Why a handle could not travel.
#[derive(Debug)]
pub(crate) enum PassError {
    /// The message has no way to carry descriptors.
    NotHere,
    /// The number is of no descriptor that came with the message.
    Missing,
    /// The system would not duplicate the descriptor.
    Io(std::io::Error),
}

impl fmt::Display for PassError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PassError::NotHere => f.write_str(
                "a handle of pipes, queues, shared memory or locks can only be given to a process \
                 at its start, in a pool's initialiser, or through a pipe",
            ),
            PassError::Missing => f.write_str("a handle came without its descriptor"),
            PassError::Io(error) => write!(f, "a handle's descriptor can't be duplicated: {error}"),
        }
    }
}

impl Error for PassError {}

/// Encodes a value into `output`, and gives the descriptors that belong to it.
pub(crate) fn encode<T>(value: &T, output: &mut dyn Output) -> Result<Vec<OwnedFd>, CallError>
where
    T: Serialize + ?Sized,
{
    let (encoded, fds) = with_outgoing(|| tasks::encode(value, output));
    encoded.map(|()| fds)
}

/// Calls `f`, in which values are encoded that may attach descriptors; gives these.
pub(crate) fn with_outgoing<R>(f: impl FnOnce() -> R) -> (R, Vec<OwnedFd>) {
    let _outer = Restore::outgoing(Some(Vec::new()));
    let result = f();
    let fds = OUTGOING.with_borrow_mut(Option::take);
    (result, fds.unwrap_or_default())
}

/// Decodes a value with the descriptors that came along. Those that it doesn't ask for are closed.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8], fds: Vec<OwnedFd>) -> Result<T, CallError> {
    with_incoming(fds, || tasks::decode(bytes))
}

/// Calls `f`, in which values are decoded that may take these descriptors.
pub(crate) fn with_incoming<R>(fds: Vec<OwnedFd>, f: impl FnOnce() -> R) -> R {
    let _outer = Restore::incoming(Some(fds.into_iter().map(Some).collect()));
    f()
}

/// Adds a duplicate of a descriptor to the message that is encoded; gives its number there.
pub(crate) fn attach(fd: BorrowedFd<'_>) -> Result<u32, PassError> {
    OUTGOING.with_borrow_mut(|outgoing| {
        let list = outgoing.as_mut().ok_or(PassError::NotHere)?;
        list.push(fd.try_clone_to_owned().map_err(PassError::Io)?);
        Ok(list.len() as u32 - 1)
    })
}

/// Takes a descriptor of the message that is decoded.
pub(crate) fn detach(number: u32) -> Result<OwnedFd, PassError> {
    INCOMING.with_borrow_mut(|incoming| {
        let list = incoming.as_mut().ok_or(PassError::NotHere)?;
        let place = list.get_mut(number as usize).ok_or(PassError::Missing)?;
        place.take().ok_or(PassError::Missing)
    })
}

/// Puts back what was there before, however the encoding ends.
enum Restore {
    Outgoing(Option<Vec<OwnedFd>>),
    Incoming(Option<Vec<Option<OwnedFd>>>),
}

impl Restore {
    fn outgoing(list: Option<Vec<OwnedFd>>) -> Restore {
        Restore::Outgoing(OUTGOING.replace(list))
    }

    fn incoming(list: Option<Vec<Option<OwnedFd>>>) -> Restore {
        Restore::Incoming(INCOMING.replace(list))
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        match self {
            Restore::Outgoing(list) => drop(OUTGOING.replace(list.take())),
            Restore::Incoming(list) => drop(INCOMING.replace(list.take())),
        }
    }
}
