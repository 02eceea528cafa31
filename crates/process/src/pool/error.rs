//! Why a pool of processes could not go on.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// The pool's workers can't be started: several in a row ended before they were ready.
#[derive(Clone, Debug)]
pub struct PoolBroken {
    pub(super) why: Arc<str>,
}

impl PoolBroken {
    /// What became of the last one.
    pub fn why(&self) -> &str {
        &self.why
    }
}

impl fmt::Display for PoolBroken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the pool's workers don't start: {}", self.why)
    }
}

impl Error for PoolBroken {}
