//! `Process`: one task in a process of its own, which is this executable started again.
//!
//! `builder` starts it, `handle` is what the starter holds, `child` is what runs on the other
//! side, `children` knows all that this process has started, `current` what this process is
//! itself. `report` is what goes from one to the other.
//!
//! # A life
//!
//! ```text
//!   here                                         there
//!   task looked up, arguments serialised
//!   socket pair, arguments sent into it
//!   this executable started  ─────────────────▶  arguments received and read
//!                                                task called, as a coroutine
//!                        ◀── result or panic ──  sent, without waiting for anybody
//!                                                tasks and processes it has left: waited for
//!   end seen by pidfd    ◀─────────────────────  exit
//!   report taken out of the socket
//! ```
//!
//! The report lies in the socket until somebody joins; one that is large lies in a file in memory.
//! So the child never waits for its parent, and the parent needs no thread for a child. What
//! counts is how the process ended: a report is only believed of one that ended by itself.

mod builder;
mod child;
mod children;
mod current;
mod handle;
mod report;
mod run;
mod stream;

pub use builder::ProcessBuilder;
pub use children::active_children;
pub use current::{is_daemon, name, pid, ppid};
pub use handle::{Process, ProcessHandle};
pub use run::RunProcess;
pub use stream::Stream;
