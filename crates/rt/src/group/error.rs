//! Why a group has no room, or is not done.

use std::fmt;

use crate::cancel::WaitError;
use crate::task::Task;

/// There was no room in the [`Group`](crate::Group) for another; holds the closure.
pub struct SpawnError<F> {
    pub(super) f: F,
    pub(super) why: Option<WaitError>,
}

impl<F> SpawnError<F> {
    /// The closure, which did not run.
    pub fn into_inner(self) -> F {
        self.f
    }

    /// Says whether it was waited for until the time was over.
    pub fn is_timeout(&self) -> bool {
        self.why == Some(WaitError::Timeout)
    }

    /// Says whether the caller was cancelled while it waited.
    pub fn is_cancelled(&self) -> bool {
        self.why == Some(WaitError::Cancelled)
    }
}

impl<F> fmt::Display for SpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no room in the group")?;
        match self.why {
            Some(why) => write!(f, ": {why}"),
            None => Ok(()),
        }
    }
}

impl<F> fmt::Debug for SpawnError<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpawnError")
            .field("why", &self.why)
            .finish_non_exhaustive()
    }
}

impl<F> std::error::Error for SpawnError<F> {}

/// Some of a [`Group`](crate::Group) have not ended.
#[derive(Debug)]
pub struct NotDone {
    pub(super) tasks: Vec<Task>,
    pub(super) why: WaitError,
}

impl NotDone {
    /// Those that have not ended, oldest first.
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// Why they were not waited for any longer.
    pub fn reason(&self) -> WaitError {
        self.why
    }
}

impl fmt::Display for NotDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} of the group have not ended",
            self.why,
            self.tasks.len()
        )
    }
}

impl std::error::Error for NotDone {}
