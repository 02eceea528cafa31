//! The ends of pipes that go one way, and what all ends have.

use std::fmt;
use std::marker::PhantomData;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ropewalk_kernel::clock;
use serde::de::{DeserializeOwned, Error as _};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::packet::{FDS_MAX, Packet};
use super::sealed::Payload;
use super::socket::{Patience, SendFailure, Socket};
use super::{Iter, PipeError, SendError, TryIter};
use crate::pass;

/// The sending end of a pipe; from [`one_way`](super::one_way) and [`Pipe::split`](super::Pipe::split).
///
/// Clones send into the same pipe, and so do copies in other processes: an end can be an
/// argument or a result of a [`Process`](crate::Process)'s task, and a part of a message. The
/// other side sees the end once all of them are dropped.
pub struct Sender<T> {
    pub(super) socket: Arc<Socket>,
    types: PhantomData<fn(T)>,
}

/// The receiving end of a pipe; from [`one_way`](super::one_way) and [`Pipe::split`](super::Pipe::split).
///
/// Clones receive from the same pipe, and so do copies in other processes: each message comes
/// to one of them.
pub struct Receiver<T> {
    socket: Arc<Socket>,
    types: PhantomData<fn() -> T>,
}

impl<T> Sender<T> {
    pub(super) fn new(socket: Socket) -> Sender<T> {
        Sender::over(Arc::new(socket))
    }

    pub(super) fn over(socket: Arc<Socket>) -> Sender<T> {
        Sender {
            socket,
            types: PhantomData,
        }
    }
}

impl<T: Serialize> Sender<T> {
    /// Sends a message; waits while there is no room. What it holds that can be sent itself,
    /// such as an end of a pipe, is the receiver's own then.
    ///
    /// # Errors
    ///
    /// The message with [`PipeError::Closed`] if nobody can receive it, [`PipeError::Encode`] if
    /// it can't be serialised, [`PipeError::Cancelled`] or [`PipeError::TimedOut`] if the caller
    /// was cancelled while it waited, and the system's: nothing was sent.
    ///
    /// # Cancellation
    ///
    /// A cancellation point where it must wait: the message was not sent, not even in part.
    pub fn send(&self, message: T) -> Result<(), SendError<T>> {
        self.give(message, Patience::Until(None))
    }

    /// As [`send`](Self::send), if there is room now.
    ///
    /// # Errors
    ///
    /// [`PipeError::WouldBlock`] if not; else as [`send`](Self::send).
    pub fn try_send(&self, message: T) -> Result<(), SendError<T>> {
        self.give(message, Patience::No)
    }

    /// As [`send`](Self::send), for `timeout` at most.
    ///
    /// # Errors
    ///
    /// [`PipeError::TimedOut`]; else as [`send`](Self::send).
    pub fn send_timeout(&self, message: T, timeout: Duration) -> Result<(), SendError<T>> {
        let deadline = clock::deadline_after(timeout);
        self.give(message, Patience::Until(Some(deadline)))
    }

    /// As [`send`](Self::send), until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`send_timeout`](Self::send_timeout).
    pub fn send_deadline(&self, message: T, deadline: Instant) -> Result<(), SendError<T>> {
        let deadline = clock::instant_to_ns(deadline);
        self.give(message, Patience::Until(Some(deadline)))
    }

    /// As [`send`](Self::send), for a message that is kept: the receiver gets a copy.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send), without the message.
    pub fn send_ref(&self, message: &T) -> Result<(), PipeError> {
        self.send_encoded(message, Patience::Until(None))
    }

    fn give(&self, message: T, patience: Patience) -> Result<(), SendError<T>> {
        match self.send_encoded(&message, patience) {
            Ok(()) => Ok(()),
            Err(reason) => Err(SendError { message, reason }),
        }
    }

    fn send_encoded(&self, message: &T, patience: Patience) -> Result<(), PipeError> {
        let mut payload = Payload::new();
        let fds = pass::encode(message, &mut payload).map_err(|error| {
            let system = payload.take_error().map(PipeError::System);
            system.unwrap_or_else(|| PipeError::Encode(error.to_string()))
        })?;
        let packet = Packet::new(payload, fds).map_err(SendFailure::from);
        let sent = packet.and_then(|mut packet| self.socket.send(&mut packet, patience));
        sent.map_err(|failure| match failure {
            SendFailure::Unfit(count) => PipeError::Encode(format!(
                "it has {count} descriptors, and at most {FDS_MAX} go with a message"
            )),
            SendFailure::Io(error) => PipeError::of_io(error),
        })
    }
}

impl<T> Receiver<T> {
    pub(super) fn new(socket: Socket) -> Receiver<T> {
        Receiver::over(Arc::new(socket))
    }

    pub(super) fn over(socket: Arc<Socket>) -> Receiver<T> {
        Receiver {
            socket,
            types: PhantomData,
        }
    }

    /// Says whether a receive would not wait: a message is there, or the end. Somebody else
    /// who receives from the same pipe may be quicker.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn poll(&self) -> Result<bool, PipeError> {
        self.poll_with(Patience::No)
    }

    /// As [`poll`](Self::poll), and waits for it, for `timeout` at most.
    ///
    /// # Errors
    ///
    /// [`PipeError::Cancelled`] if the caller was cancelled; the system's.
    pub fn poll_timeout(&self, timeout: Duration) -> Result<bool, PipeError> {
        self.poll_with(Patience::Until(Some(clock::deadline_after(timeout))))
    }

    /// As [`poll_timeout`](Self::poll_timeout), until `deadline`.
    ///
    /// # Errors
    ///
    /// As [`poll_timeout`](Self::poll_timeout).
    pub fn poll_deadline(&self, deadline: Instant) -> Result<bool, PipeError> {
        self.poll_with(Patience::Until(Some(clock::instant_to_ns(deadline))))
    }

    fn poll_with(&self, patience: Patience) -> Result<bool, PipeError> {
        match self.socket.poll(patience).map_err(PipeError::of_io) {
            Ok(()) => Ok(true),
            Err(PipeError::WouldBlock | PipeError::TimedOut) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl<T: DeserializeOwned> Receiver<T> {
    /// Receives a message; waits while there is none.
    ///
    /// # Errors
    ///
    /// [`PipeError::Closed`] if the other side is closed and nothing is left,
    /// [`PipeError::Decode`] for a message that can't be read, which is gone then,
    /// [`PipeError::Cancelled`] or [`PipeError::TimedOut`] if the caller was cancelled while it
    /// waited, and the system's.
    ///
    /// # Cancellation
    ///
    /// A cancellation point where it must wait: no message was taken.
    pub fn recv(&self) -> Result<T, PipeError> {
        self.take(Patience::Until(None))
    }

    /// As [`recv`](Self::recv), if a message is there now.
    ///
    /// # Errors
    ///
    /// [`PipeError::WouldBlock`] if not; else as [`recv`](Self::recv).
    pub fn try_recv(&self) -> Result<T, PipeError> {
        self.take(Patience::No)
    }

    /// As [`recv`](Self::recv), for `timeout` at most.
    ///
    /// # Errors
    ///
    /// [`PipeError::TimedOut`]; else as [`recv`](Self::recv).
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, PipeError> {
        self.take(Patience::Until(Some(clock::deadline_after(timeout))))
    }

    /// As [`recv`](Self::recv), until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`recv_timeout`](Self::recv_timeout).
    pub fn recv_deadline(&self, deadline: Instant) -> Result<T, PipeError> {
        self.take(Patience::Until(Some(clock::instant_to_ns(deadline))))
    }

    /// Receives until the other side is closed and nothing is left.
    pub fn iter(&self) -> Iter<'_, T> {
        Iter::new(self)
    }

    /// Receives what is there, without waiting.
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter::new(self)
    }

    fn take(&self, patience: Patience) -> Result<T, PipeError> {
        let arrived = self.socket.recv(patience).map_err(PipeError::of_io)?;
        let opened = arrived.ok_or(PipeError::Closed)?.open();
        let mut opened = opened.map_err(PipeError::Decode)?;
        let fds = std::mem::take(&mut opened.fds);
        pass::decode(opened.payload(), fds).map_err(|error| PipeError::Decode(error.to_string()))
    }
}

/// What all ends have: clones, a descriptor, and the way to another process.
macro_rules! end {
    ($end:ident<$($type:ident),+>, $($field:ident).+) => {
        impl<$($type),+> Clone for $end<$($type),+> {
            fn clone(&self) -> Self {
                $end::over(Arc::clone(&self.$($field).+))
            }
        }

        impl<$($type),+> AsFd for $end<$($type),+> {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.$($field).+.as_fd()
            }
        }

        impl<$($type),+> Serialize for $end<$($type),+> {
            fn serialize<Z: Serializer>(&self, serializer: Z) -> Result<Z::Ok, Z::Error> {
                let number = pass::attach(self.as_fd()).map_err(Z::Error::custom)?;
                number.serialize(serializer)
            }
        }

        impl<'de, $($type),+> Deserialize<'de> for $end<$($type),+> {
            fn deserialize<Z: Deserializer<'de>>(deserializer: Z) -> Result<Self, Z::Error> {
                let fd = pass::detach(u32::deserialize(deserializer)?);
                let fd: OwnedFd = fd.map_err(Z::Error::custom)?;
                Ok($end::new(Socket::checked(fd).map_err(Z::Error::custom)?))
            }
        }

        impl<$($type),+> fmt::Debug for $end<$($type),+> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($end))
                    .field(&self.as_fd().as_raw_fd())
                    .finish()
            }
        }
    };
}

end!(Sender<T>, socket);
end!(Receiver<T>, socket);
pub(super) use end;
