//! The closure that `try_spawn` gives back.

use std::fmt;
use std::io;

use ropewalk_kernel::runtime::Refused;

/// Why a closure was not spawned; holds the closure.
pub struct TrySpawnError<F> {
    refused: Refused<F>,
}

impl<F> TrySpawnError<F> {
    pub(crate) fn new(refused: Refused<F>) -> TrySpawnError<F> {
        TrySpawnError { refused }
    }

    /// The closure, which did not run.
    pub fn into_inner(self) -> F {
        self.refused.closure
    }

    /// Says whether the runtime had all the coroutines it may have.
    pub fn is_full(&self) -> bool {
        self.refused.error.is_none()
    }
}

impl<F> fmt::Display for TrySpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.refused.error {
            None => f.write_str("the runtime has as many coroutines as it may have"),
            Some(error) => error.fmt(f),
        }
    }
}

impl<F> fmt::Debug for TrySpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrySpawnError")
            .field("error", &self.refused.error)
            .finish_non_exhaustive()
    }
}

impl<F> std::error::Error for TrySpawnError<F> {}

/// The kind of the reason; `WouldBlock` for want of a place.
impl<F> From<TrySpawnError<F>> for io::Error {
    fn from(error: TrySpawnError<F>) -> io::Error {
        let text = error.to_string();
        let full = || io::Error::new(io::ErrorKind::WouldBlock, text);
        error.refused.error.unwrap_or_else(full)
    }
}
