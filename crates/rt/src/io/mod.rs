//! Pipes, the standard streams, and what stands on `Read` and `Write`: copying, and framing of
//! messages.
//!
//! [`pipe`] is shaped like `std::io`'s: only the caller waits, be it a coroutine or a thread.
//! [`frame`] cuts a stream of bytes into messages, `copy` moves bytes from one stream to another,
//! in one direction or both, `sendfile` from a file into a connection. Everything else of `std::io` is here under its own name.
//!
//! `O_NONBLOCK` is never set on a descriptor, since it would be seen by whoever shares it.

mod copy;
pub(crate) mod end;
pub mod frame;
mod pipe;
mod sendfile;
mod stdin;
mod stdout;

pub use std::io::*;

pub(crate) use copy::is_cancelled;
pub use copy::{HalfClose, copy, copy_bidirectional};
pub use pipe::{PipeReader, PipeWriter, pipe};
pub use sendfile::sendfile;
pub use stdin::{Stdin, StdinLock, stdin};
pub use stdout::{Stderr, StderrLock, Stdout, StdoutLock, stderr, stdout};
