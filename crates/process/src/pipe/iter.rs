//! Iterating over what a pipe receives.

use std::fmt;
use std::iter::FusedIterator;

use serde::de::DeserializeOwned;

use super::{PipeError, Receiver};

/// Receives until the other side is closed and nothing is left; from [`Receiver::iter`] and
/// [`Pipe::iter`](super::Pipe::iter).
///
/// A message that can't be read is an item of its own, and the next follows. Any other error
/// is the last item.
pub struct Iter<'a, T> {
    receiver: &'a Receiver<T>,
    ended: bool,
}

impl<'a, T> Iter<'a, T> {
    pub(super) fn new(receiver: &'a Receiver<T>) -> Iter<'a, T> {
        Iter {
            receiver,
            ended: false,
        }
    }
}

/// Receives what is there; from [`Receiver::try_iter`].
pub struct TryIter<'a, T> {
    inner: Iter<'a, T>,
}

impl<'a, T> TryIter<'a, T> {
    pub(super) fn new(receiver: &'a Receiver<T>) -> TryIter<'a, T> {
        TryIter {
            inner: Iter::new(receiver),
        }
    }
}

/// As [`Iter`], and owns the receiver.
pub struct IntoIter<T> {
    receiver: Receiver<T>,
    ended: bool,
}

/// The item for a result; `None` at the end, which is kept in mind.
fn item<T>(result: Result<T, PipeError>, ended: &mut bool) -> Option<Result<T, PipeError>> {
    match result {
        Err(PipeError::Closed) => {
            *ended = true;
            None
        }
        Err(error) => {
            *ended = !error.is_of_message();
            Some(Err(error))
        }
        Ok(message) => Some(Ok(message)),
    }
}

impl<T: DeserializeOwned> Iterator for Iter<'_, T> {
    type Item = Result<T, PipeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        item(self.receiver.recv(), &mut self.ended)
    }
}

impl<T: DeserializeOwned> Iterator for TryIter<'_, T> {
    type Item = Result<T, PipeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.inner.ended {
            return None;
        }
        match self.inner.receiver.try_recv() {
            Err(PipeError::WouldBlock) => None,
            result => item(result, &mut self.inner.ended),
        }
    }
}

impl<T: DeserializeOwned> Iterator for IntoIter<T> {
    type Item = Result<T, PipeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        item(self.receiver.recv(), &mut self.ended)
    }
}

impl<T: DeserializeOwned> FusedIterator for Iter<'_, T> {}
impl<T: DeserializeOwned> FusedIterator for IntoIter<T> {}

impl<T: DeserializeOwned> IntoIterator for Receiver<T> {
    type Item = Result<T, PipeError>;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter {
            receiver: self,
            ended: false,
        }
    }
}

impl<'a, T: DeserializeOwned> IntoIterator for &'a Receiver<T> {
    type Item = Result<T, PipeError>;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> fmt::Debug for Iter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("Iter { .. }")
    }
}

impl<T> fmt::Debug for TryIter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("TryIter { .. }")
    }
}

impl<T> fmt::Debug for IntoIter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("IntoIter { .. }")
    }
}
