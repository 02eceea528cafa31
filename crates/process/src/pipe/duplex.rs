//! The ends of pipes that go both ways: a sender and a receiver over one socket.

use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::de::{DeserializeOwned, Error as _};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ends::end;
use super::socket::Socket;
use super::{Iter, PipeError, Receiver, SendError, Sender, TryIter};
use crate::pass;

/// An end of a pipe that goes both ways: sends `S` and receives `R`; from
/// [`duplex`](super::duplex).
///
/// As for [`Sender`] and [`Receiver`], clones and copies in other processes are the same end.
pub struct Pipe<S, R> {
    sender: Sender<S>,
    receiver: Receiver<R>,
}

impl<S, R> Pipe<S, R> {
    pub(super) fn new(socket: Socket) -> Pipe<S, R> {
        Pipe::over(Arc::new(socket))
    }

    fn over(socket: Arc<Socket>) -> Pipe<S, R> {
        Pipe {
            sender: Sender::over(Arc::clone(&socket)),
            receiver: Receiver::over(socket),
        }
    }

    /// Takes the end apart, for those who only send or only receive. The side is closed once
    /// both parts are dropped.
    pub fn split(self) -> (Sender<S>, Receiver<R>) {
        (self.sender, self.receiver)
    }

    /// The sending part.
    pub fn sender(&self) -> &Sender<S> {
        &self.sender
    }

    /// The receiving part.
    pub fn receiver(&self) -> &Receiver<R> {
        &self.receiver
    }

    /// As [`Receiver::poll`].
    ///
    /// # Errors
    ///
    /// As [`Receiver::poll`].
    pub fn poll(&self) -> Result<bool, PipeError> {
        self.receiver.poll()
    }

    /// As [`Receiver::poll_timeout`].
    ///
    /// # Errors
    ///
    /// As [`Receiver::poll_timeout`].
    pub fn poll_timeout(&self, timeout: Duration) -> Result<bool, PipeError> {
        self.receiver.poll_timeout(timeout)
    }
}

impl<S: Serialize, R> Pipe<S, R> {
    /// Sends a message, as [`Sender::send`].
    ///
    /// # Errors
    ///
    /// As [`Sender::send`].
    pub fn send(&self, message: S) -> Result<(), SendError<S>> {
        self.sender.send(message)
    }

    /// Sends a message if there is room now, as [`Sender::try_send`].
    ///
    /// # Errors
    ///
    /// As [`Sender::try_send`].
    pub fn try_send(&self, message: S) -> Result<(), SendError<S>> {
        self.sender.try_send(message)
    }

    /// As [`Sender::send_timeout`].
    ///
    /// # Errors
    ///
    /// As [`Sender::send_timeout`].
    pub fn send_timeout(&self, message: S, timeout: Duration) -> Result<(), SendError<S>> {
        self.sender.send_timeout(message, timeout)
    }

    /// As [`Sender::send_deadline`].
    ///
    /// # Errors
    ///
    /// As [`Sender::send_timeout`].
    pub fn send_deadline(&self, message: S, deadline: Instant) -> Result<(), SendError<S>> {
        self.sender.send_deadline(message, deadline)
    }

    /// Sends a message that is kept, as [`Sender::send_ref`].
    ///
    /// # Errors
    ///
    /// As [`Sender::send_ref`].
    pub fn send_ref(&self, message: &S) -> Result<(), PipeError> {
        self.sender.send_ref(message)
    }
}

impl<S, R: DeserializeOwned> Pipe<S, R> {
    /// Receives a message, as [`Receiver::recv`].
    ///
    /// # Errors
    ///
    /// As [`Receiver::recv`].
    pub fn recv(&self) -> Result<R, PipeError> {
        self.receiver.recv()
    }

    /// Receives a message if one is there now, as [`Receiver::try_recv`].
    ///
    /// # Errors
    ///
    /// As [`Receiver::try_recv`].
    pub fn try_recv(&self) -> Result<R, PipeError> {
        self.receiver.try_recv()
    }

    /// As [`Receiver::recv_timeout`].
    ///
    /// # Errors
    ///
    /// As [`Receiver::recv_timeout`].
    pub fn recv_timeout(&self, timeout: Duration) -> Result<R, PipeError> {
        self.receiver.recv_timeout(timeout)
    }

    /// As [`Receiver::recv_deadline`].
    ///
    /// # Errors
    ///
    /// As [`Receiver::recv_timeout`].
    pub fn recv_deadline(&self, deadline: Instant) -> Result<R, PipeError> {
        self.receiver.recv_deadline(deadline)
    }

    /// Receives until the other side is closed and nothing is left.
    pub fn iter(&self) -> Iter<'_, R> {
        self.receiver.iter()
    }

    /// Receives what is there, without waiting.
    pub fn try_iter(&self) -> TryIter<'_, R> {
        self.receiver.try_iter()
    }
}

end!(Pipe<S, R>, sender.socket);
