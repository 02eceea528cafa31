//! What a server is ended by, and what it tells of itself.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::handlers::Handlers;
use crate::task::Task;

/// Shuts a server down, and says how it does; clone it as needed.
#[derive(Clone)]
pub struct ServerHandle {
    pub(super) handlers: Arc<Handlers>,
}

impl ServerHandle {
    /// Stops accepting and returns at once; the handlers go on. A server that does not serve
    /// yet never will.
    pub fn stop(&self) {
        self.handlers.stop();
    }

    /// Stops accepting, lets the handlers end for `patience` at most, and then cancels those
    /// that are left by their token, which ends their waits by errors; they have the server's
    /// [grace](super::TcpServer::grace) to end.
    ///
    /// A handler that calls it doesn't wait for itself. The wait is not cancellable.
    ///
    /// # Errors
    ///
    /// If any had to be cancelled: how many, and who had not ended even then. Those run
    /// on.
    pub fn shutdown(&self, patience: Duration) -> Result<(), Unfinished> {
        self.handlers.shutdown(patience)
    }

    /// What there is, and has been.
    pub fn stats(&self) -> Stats {
        self.handlers.stats()
    }

    /// Those that are being served, oldest first.
    pub fn peers(&self) -> Vec<SocketAddr> {
        self.handlers.peers()
    }
}

impl fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerHandle")
            .field("stopping", &self.handlers.is_stopping())
            .field("stats", &self.stats())
            .finish()
    }
}

/// What a server has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Handlers that run.
    pub open: usize,
    /// Connections or datagrams that were given to a handler.
    pub accepted: u64,
    /// Those that were closed or dropped unserved.
    pub refused: u64,
    /// Handlers that panicked.
    pub panicked: u64,
    /// Handlers that returned an error.
    pub failed: u64,
    /// How often accepting failed for want of descriptors or memory, and paused.
    pub pauses: u64,
}

/// A handler that had not ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Left {
    /// Whom it serves.
    pub peer: SocketAddr,
    /// Its task; `None` if it hasn't started.
    pub task: Option<Task>,
}

/// Handlers that had to be cancelled at the end of a shutdown's patience.
#[derive(Clone, Debug)]
pub struct Unfinished {
    pub(super) cancelled: usize,
    pub(super) left: Vec<Left>,
}

impl Unfinished {
    /// How many were cancelled.
    pub fn cancelled(&self) -> usize {
        self.cancelled
    }

    /// Those that had not ended even then.
    pub fn left(&self) -> &[Left] {
        &self.left
    }
}

impl fmt::Display for Unfinished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} handlers had to be cancelled", self.cancelled)?;
        for (n, left) in self.left.iter().enumerate() {
            let before = if n == 0 { "; still running for" } else { "," };
            write!(f, "{before} {}", left.peer)?;
            if let Some(task) = &left.task {
                write!(f, " (task {})", task.id())?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Unfinished {}
