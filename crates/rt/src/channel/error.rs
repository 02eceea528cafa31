//! Why a channel operation gave nothing: one small type for each operation.
//!
//! Names, texts and conversions are crossbeam-channel's. A send that fails gives its message
//! back.

use std::error::Error;
use std::fmt;

/// The receivers are gone, or the wait was cancelled; holds the message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SendError<T>(pub T);

/// Why [`try_send`](super::Sender::try_send) did not send; holds the message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum TrySendError<T> {
    /// There was no room.
    Full(T),
    /// The receivers are gone.
    Disconnected(T),
}

/// Why a timed send did not send; holds the message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SendTimeoutError<T> {
    /// There was no room in time.
    Timeout(T),
    /// The receivers are gone, or the wait was cancelled.
    Disconnected(T),
}

/// The channel is empty and the senders are gone, or the wait was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecvError;

/// Why [`try_recv`](super::Receiver::try_recv) received nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryRecvError {
    /// No message is there.
    Empty,
    /// No message is there, and the senders are gone.
    Disconnected,
}

/// Why a timed receive received nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecvTimeoutError {
    /// No message came in time.
    Timeout,
    /// No message is there, and the senders are gone; or the wait was cancelled.
    Disconnected,
}

/// No operation of a [`Select`](super::Select) could be done at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrySelectError;

/// No operation of a [`Select`](super::Select) could be done in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelectTimeoutError;

/// No operation of a [`Select`](super::Select) was ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TryReadyError;

/// No operation of a [`Select`](super::Select) became ready in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadyTimeoutError;

impl<T> SendError<T> {
    /// Takes the message back.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> TrySendError<T> {
    /// Takes the message back.
    pub fn into_inner(self) -> T {
        match self {
            TrySendError::Full(message) | TrySendError::Disconnected(message) => message,
        }
    }

    /// Says whether there was no room.
    pub fn is_full(&self) -> bool {
        matches!(self, TrySendError::Full(_))
    }

    /// Says whether the receivers are gone.
    pub fn is_disconnected(&self) -> bool {
        matches!(self, TrySendError::Disconnected(_))
    }
}

impl<T> SendTimeoutError<T> {
    /// Takes the message back.
    pub fn into_inner(self) -> T {
        match self {
            SendTimeoutError::Timeout(message) | SendTimeoutError::Disconnected(message) => message,
        }
    }

    /// Says whether there was no room in time.
    pub fn is_timeout(&self) -> bool {
        matches!(self, SendTimeoutError::Timeout(_))
    }

    /// Says whether the receivers are gone.
    pub fn is_disconnected(&self) -> bool {
        matches!(self, SendTimeoutError::Disconnected(_))
    }
}

impl TryRecvError {
    /// Says whether no message was there.
    pub fn is_empty(&self) -> bool {
        matches!(self, TryRecvError::Empty)
    }

    /// Says whether the senders are gone.
    pub fn is_disconnected(&self) -> bool {
        matches!(self, TryRecvError::Disconnected)
    }
}

impl RecvTimeoutError {
    /// Says whether no message came in time.
    pub fn is_timeout(&self) -> bool {
        matches!(self, RecvTimeoutError::Timeout)
    }

    /// Says whether the senders are gone.
    pub fn is_disconnected(&self) -> bool {
        matches!(self, RecvTimeoutError::Disconnected)
    }
}

impl<T> From<SendError<T>> for TrySendError<T> {
    fn from(error: SendError<T>) -> Self {
        TrySendError::Disconnected(error.0)
    }
}

impl<T> From<SendError<T>> for SendTimeoutError<T> {
    fn from(error: SendError<T>) -> Self {
        SendTimeoutError::Disconnected(error.0)
    }
}

impl From<RecvError> for TryRecvError {
    fn from(_: RecvError) -> Self {
        TryRecvError::Disconnected
    }
}

impl From<RecvError> for RecvTimeoutError {
    fn from(_: RecvError) -> Self {
        RecvTimeoutError::Disconnected
    }
}

/// Writes `Debug` for errors that hold a message, whatever its type.
macro_rules! debug_as {
    ($($error:ident { $($pattern:pat => $text:literal),+ $(,)? })+) => {$(
        impl<T> fmt::Debug for $error<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $($pattern => $text),+ })
            }
        }
    )+};
}

/// Writes `Display` and `Error`.
macro_rules! display_as {
    ($($error:ident $(<$t:ident>)? { $($pattern:pat => $text:literal),+ $(,)? })+) => {$(
        impl$(<$t>)? fmt::Display for $error$(<$t>)? {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $($pattern => $text),+ })
            }
        }
        impl$(<$t>)? Error for $error$(<$t>)? {}
    )+};
}

debug_as! {
    SendError { SendError(_) => "SendError(..)" }
    TrySendError {
        TrySendError::Full(_) => "Full(..)",
        TrySendError::Disconnected(_) => "Disconnected(..)",
    }
    SendTimeoutError { _ => "SendTimeoutError(..)" }
}

display_as! {
    SendError<T> { _ => "sending on a disconnected channel" }
    TrySendError<T> {
        TrySendError::Full(_) => "sending on a full channel",
        TrySendError::Disconnected(_) => "sending on a disconnected channel",
    }
    SendTimeoutError<T> {
        SendTimeoutError::Timeout(_) => "timed out waiting on send operation",
        SendTimeoutError::Disconnected(_) => "sending on a disconnected channel",
    }
    RecvError { _ => "receiving on an empty and disconnected channel" }
    TryRecvError {
        TryRecvError::Empty => "receiving on an empty channel",
        TryRecvError::Disconnected => "receiving on an empty and disconnected channel",
    }
    RecvTimeoutError {
        RecvTimeoutError::Timeout => "timed out waiting on receive operation",
        RecvTimeoutError::Disconnected => "channel is empty and disconnected",
    }
    TrySelectError { _ => "all operations in select would block" }
    SelectTimeoutError { _ => "timed out waiting on select" }
    TryReadyError { _ => "none of the operations were ready" }
    ReadyTimeoutError { _ => "timed out waiting for an operation to become ready" }
}
