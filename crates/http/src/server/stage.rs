//! What a server that ends and its connections know of each other.
//!
//! Each side writes its own flag, then reads the other's (`SeqCst`): of a connection that begins
//! to wait and a server that begins to end at the same time, at least one sees the other.

use std::sync::atomic::{AtomicU8, Ordering};

/// How far a server's end has come.
#[derive(Debug, Default)]
pub(super) struct Stage(AtomicU8);

const STOPPING: u8 = 1;
/// Connections that have had no request yet aren't waited for either.
const NO_FIRST_REQUEST: u8 = 2;

impl Stage {
    pub(super) fn stop(&self) {
        self.0.fetch_max(STOPPING, Ordering::SeqCst);
    }

    pub(super) fn end_first_requests(&self) {
        self.0.fetch_max(NO_FIRST_REQUEST, Ordering::SeqCst);
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.0.load(Ordering::SeqCst) >= STOPPING
    }
}

/// Whether a connection waits for a request, and for which.
#[derive(Debug, Default)]
pub(super) struct Waiting(AtomicU8);

const FIRST: u8 = 1;
const ANOTHER: u8 = 2;

impl Waiting {
    /// The connection begins to wait.
    pub(super) fn begin(&self, first: bool) {
        self.0
            .store(if first { FIRST } else { ANOTHER }, Ordering::SeqCst);
    }

    /// It has something to do, or is at its end.
    pub(super) fn end(&self) {
        self.0.store(0, Ordering::SeqCst);
    }

    /// Whether it waits for what the server does not wait for any more.
    pub(super) fn is_over(&self, stage: &Stage) -> bool {
        let stage = stage.0.load(Ordering::SeqCst);
        match self.0.load(Ordering::SeqCst) {
            FIRST => stage >= NO_FIRST_REQUEST,
            ANOTHER => stage >= STOPPING,
            _ => false,
        }
    }
}
