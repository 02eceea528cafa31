//! Processes that work together: pools whose workers may die, pipes and queues between
//! processes, shared memory and its locks, and managers that serve objects to others.
//!
//! Users add the crate `ropewalk` with its feature `process`, which shows this as
//! `ropewalk::process`, beside [`Command`](ropewalk_rt::process::Command).

mod launch;
pub mod manager;
pub mod memory;
mod pass;
pub mod pipe;
pub mod pool;
pub mod prefork;
mod process;
pub mod queue;
mod ring;
pub mod shared;
mod start;

pub use launch::StartError;
pub use pipe::Pipe;
pub use pool::ProcessPool;
pub use process::{
    Process, ProcessBuilder, ProcessHandle, RunProcess, Stream, active_children, is_daemon, name,
    pid, ppid,
};
pub use queue::Queue;
pub use start::init;

#[doc(hidden)]
pub mod __private {
    pub use crate::start::TestEntry;
    pub use inventory;
}
