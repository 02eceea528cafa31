//! Child processes, shaped like `std::process`: only the caller waits, be it a coroutine or a
//! thread.
//!
//! [`Command`] starts a process by means of std's, on the blocking pool if a coroutine asks.
//! A [`Child`]'s piped streams are read and written like sockets, with time-outs, by value and
//! by reference; waiting for its end is by a pidfd, so no thread and no SIGCHLD handler is
//! needed. Every wait is a cancellation point.
//!
//! A child nobody waits for any more is reaped in the background: no zombie is left.
//!
//! # Examples
//!
//! ```
//! use ropewalk_rt::process::Command;
//!
//! let output = Command::new("tr").args(["a-z", "A-Z"]).output_with_input(b"louder")?;
//! assert_eq!(output.stdout, b"LOUDER");
//! # Ok::<(), std::io::Error>(())
//! ```

mod child;
mod command;
mod exchange;
mod reaper;
mod running;

pub use child::{Child, ChildHandle, ChildStderr, ChildStdin, ChildStdout};
pub use command::{Command, TimeoutExpired};

pub use std::process::{ExitCode, ExitStatus, Output, Stdio, abort, exit, id};
