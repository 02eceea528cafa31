//! Why a call to a manager gave nothing.

use std::fmt;
use std::io;

use serde::{Deserialize, Serialize};

use super::Address;

/// What calls to a manager return.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call to a manager gave nothing.
///
/// It serialises, so that a task can return it. Of an [`io::Error`] that is not the system's only
/// the text arrives.
#[derive(Serialize, Deserialize)]
#[non_exhaustive]
pub enum Error {
    /// The other side has another key. Nothing was done.
    WrongKey,
    /// This process was not told the key of that manager.
    NoKey(Address),
    /// There is no connection to be had.
    Unreachable {
        /// Where the manager should be.
        address: Address,
        /// What the system said.
        #[serde(with = "portable_io_error")]
        error: io::Error,
    },
    /// The connection failed while it was being made.
    Io(#[serde(with = "portable_io_error")] io::Error),
    /// The manager was shut down.
    ShutDown,
    /// The connection ended; whether the call was done is not known. What this process held
    /// there is released.
    Lost(String),
    /// The object was another manager's, which was at the same address earlier.
    OtherManager,
    /// The caller was cancelled while it waited. Nothing was done, or it was undone.
    Cancelled,
    /// The caller's own value can't be encoded.
    Encode(String),
    /// What the manager holds is of another type than was asked for.
    WrongType(String),
    /// The server could not be started.
    Start(#[serde(with = "portable_io_error")] io::Error),
    /// The manager refused.
    Refused(Refusal),
}

/// Why a manager refused a call, which changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no such object, or no longer.
    NoSuchObject,
    /// The object is of another kind.
    WrongKind {
        /// What it would have to be.
        wanted: String,
        /// What it is.
        is: String,
    },
    /// There is no value at that key.
    NoSuchKey,
    /// There is no value at that index.
    OutOfRange {
        /// The index.
        index: u64,
        /// How many there are.
        len: u64,
    },
    /// The values don't allow that operation: the sum of a number and a text, say.
    Unsuitable(String),
    /// The result of a sum has no room in 64 bits.
    Overflow,
    /// The caller doesn't hold it.
    NotHeld,
    /// More permits would be free than there were at first.
    TooManyReleases,
    /// More was reported done than was put.
    TooManyDone,
    /// Somebody who waited at the barrier gave up or died.
    Broken,
    /// The queue is closed.
    Closed,
    /// The queue has no room; in a batch, which doesn't wait for it.
    Full,
    /// The queue has no item; in a batch, likewise.
    Empty,
    /// What a batch expected was not so.
    Unexpected,
    /// An operation of a batch failed; none of it was done.
    InBatch {
        /// Which one, counted from 0.
        index: u64,
        /// Why.
        refusal: Box<Refusal>,
    },
    /// The server knows no type of that name.
    NoSuchType(String),
    /// The object has no method of that name.
    NoSuchMethod(String),
    /// The method panicked, with this message.
    Panicked(String),
    /// The method or the constructor returned an error.
    Failed(String),
    /// The message was not understood.
    BadRequest(String),
    /// A message would be longer than the server or the client allows, in bytes.
    TooLarge {
        /// How long it is.
        len: u64,
        /// How long it may be.
        max: u64,
    },
    /// The client has more calls waiting than it may.
    TooManyCalls,
}

/// The system's number of an error, if it has one, and its text.
mod portable_io_error {
    use std::io;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(error: &io::Error, to: S) -> Result<S::Ok, S::Error> {
        (error.raw_os_error(), error.to_string()).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<io::Error, D::Error> {
        let (number, text) = <(Option<i32>, String)>::deserialize(from)?;
        Ok(number.map_or_else(|| io::Error::other(text), io::Error::from_raw_os_error))
    }
}

impl Error {
    /// Says whether the keys differ.
    pub fn is_wrong_key(&self) -> bool {
        matches!(self, Error::WrongKey)
    }

    /// Says whether the caller was cancelled.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Error::Cancelled)
    }

    /// Says whether the manager is gone, by a shut-down or otherwise.
    pub fn is_gone(&self) -> bool {
        matches!(
            self,
            Error::ShutDown | Error::Lost(_) | Error::Unreachable { .. } | Error::OtherManager
        )
    }

    /// Why the manager refused, if it did.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Error::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::WrongKey => f.write_str("the manager's key is another one"),
            Error::NoKey(address) => write!(
                f,
                "this process has no key for the manager at {address}: give it to \
                 Manager::connect or manager::set_key"
            ),
            Error::Unreachable { address, error } => {
                write!(f, "the manager at {address} can't be reached: {error}")
            }
            Error::Io(error) => write!(f, "the connection to the manager failed: {error}"),
            Error::ShutDown => f.write_str("the manager was shut down"),
            Error::Lost(why) => write!(f, "the connection to the manager was lost: {why}"),
            Error::OtherManager => {
                f.write_str("the object's manager is gone; another one is at its address")
            }
            Error::Cancelled => f.write_str("cancelled while waiting for the manager"),
            Error::Encode(why) => write!(f, "the value can't be encoded: {why}"),
            Error::WrongType(why) => write!(f, "the manager's value is of another type: {why}"),
            Error::Start(error) => write!(f, "the manager can't be started: {error}"),
            Error::Refused(refusal) => refusal.fmt(f),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NoSuchObject => f.write_str("the manager has no such object"),
            Refusal::WrongKind { wanted, is } => write!(f, "the object is a {is}, not a {wanted}"),
            Refusal::NoSuchKey => f.write_str("there is no value at that key"),
            Refusal::OutOfRange { index, len } => {
                write!(f, "index {index} is beyond the {len} values")
            }
            Refusal::Unsuitable(why) => f.write_str(why),
            Refusal::Overflow => f.write_str("the sum has no room in 64 bits"),
            Refusal::NotHeld => f.write_str("the caller does not hold it"),
            Refusal::TooManyReleases => f.write_str("released more often than acquired"),
            Refusal::TooManyDone => f.write_str("more was reported done than was put"),
            Refusal::Broken => f.write_str("the barrier is broken"),
            Refusal::Closed => f.write_str("the queue is closed"),
            Refusal::Full => f.write_str("the queue is full"),
            Refusal::Empty => f.write_str("the queue is empty"),
            Refusal::Unexpected => f.write_str("what the batch expected is not so"),
            Refusal::InBatch { index, refusal } => {
                write!(f, "operation {index} of the batch: {refusal}")
            }
            Refusal::NoSuchType(name) => write!(
                f,
                "the manager knows no type \"{name}\": see manager::served! and Builder::register"
            ),
            Refusal::NoSuchMethod(name) => write!(f, "the object has no method \"{name}\""),
            Refusal::Panicked(message) => write!(f, "the method panicked: {message}"),
            Refusal::Failed(message) => f.write_str(message),
            Refusal::BadRequest(why) => write!(f, "the manager did not understand: {why}"),
            Refusal::TooLarge { len, max } => {
                write!(f, "the message has {len} bytes; {max} are allowed")
            }
            Refusal::TooManyCalls => f.write_str("too many calls of this process are waiting"),
        }
    }
}

/// As a sentence too: this is what `unwrap` prints, and a `main` that returns it.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "manager::Error({self})")
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io(error) | Error::Start(error) | Error::Unreachable { error, .. } => {
                Some(error)
            }
            _ => None,
        }
    }
}

impl std::error::Error for Refusal {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::Io(error)
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        Error::Refused(refusal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A task that used a manager could not return what the manager's calls gave it.
    #[test]
    fn errors_go_to_other_processes() {
        let address = Address::Tcp("host:1".into());
        let system = || io::Error::from_raw_os_error(libc::ECONNREFUSED);
        for error in [
            Error::WrongKey,
            Error::NoKey(address.clone()),
            Error::Unreachable {
                address,
                error: system(),
            },
            Error::Io(io::Error::other("torn")),
            Error::Start(system()),
            Error::Lost("gone".into()),
            Error::Refused(Refusal::NoSuchKey),
        ] {
            let bytes = postcard::to_stdvec(&error).unwrap();
            let there: Error = postcard::from_bytes(&bytes).unwrap();
            assert_eq!(there.to_string(), error.to_string());
            if let (Error::Start(here), Error::Start(there)) = (&error, &there) {
                assert_eq!(there.kind(), here.kind());
            }
        }
    }
}
