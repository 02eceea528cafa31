//! From a file into a connection, without a copy through the program.
//!
//! What it brings, measured over loopback on 2 cores shared with other work: for each GiB of a file
//! in memory, seconds of the sender's processor and seconds by the clock, least and most of six
//! runs (of two for the bare calls):
//!
//! | way | processor | clock |
//! |---|---|---|
//! | bare calls on a thread: read and send, 256 KiB | 0.28–0.30 | 0.7–0.9 |
//! | bare calls on a thread: sendfile, 1 MiB | 0.10–0.13 | 1.0–1.1 |
//! | coroutine: `copy`, epoll | 0.30–0.54 | 0.8–2.1 |
//! | coroutine: `sendfile`, epoll | 0.29–0.59 | 0.7–1.5 |
//! | coroutine: `copy`, io_uring | 0.35–0.43 | 0.9–2.2 |
//! | coroutine: `sendfile`, io_uring | 0.23–0.47 | 0.8–1.6 |
//!
//! So in coroutines the way to the blocking pool and back takes about what the copy would, and
//! what is left is a worker that is free for others meanwhile; on threads it is half the
//! processor.

use std::io;
use std::os::fd::AsFd;

use crate::net::TcpStream;

/// Sends `len` bytes of `file`, from `offset` on, or as many as it has; gives how many. The file's
/// position is neither used nor moved.
///
/// Takes any file: [`fs::File`](crate::fs::File) or [`std::fs::File`]. In a coroutine a thread of
/// the blocking pool makes the calls, each of as much as the connection has room for. A
/// cancellation point while there is no room; the stream's write time-out counts for each call.
///
/// # Errors
///
/// The system's, with an unknown part of it sent: `InvalidInput` for what can't be sent so,
/// such as a pipe; `TimedOut`; and what a write gives.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::{io, net::{TcpListener, TcpStream}};
/// use std::io::Read;
///
/// let path = std::env::temp_dir().join(format!("ropewalk-sendfile-{}", std::process::id()));
/// std::fs::write(&path, "all of it, and more")?;
/// let file = std::fs::File::open(&path)?;
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let stream = TcpStream::connect(listener.local_addr()?)?;
/// let mut peer = listener.accept()?.0;
///
/// assert_eq!(io::sendfile(&file, &stream, 4, 5)?, 5);
/// assert_eq!(io::sendfile(&file, &stream, 9, u64::MAX)?, 10);
/// drop(stream);
/// let mut text = String::new();
/// peer.read_to_string(&mut text)?;
/// assert_eq!(text, "of it, and more");
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn sendfile<F>(file: &F, stream: &TcpStream, offset: u64, len: u64) -> io::Result<u64>
where
    F: AsFd + ?Sized,
{
    let mut sent = 0;
    while sent < len {
        let left = usize::try_from(len - sent).unwrap_or(usize::MAX);
        match stream.send_file(file.as_fd(), offset + sent, left)? {
            0 => break,
            some => sent += some as u64,
        }
    }
    Ok(sent)
}
