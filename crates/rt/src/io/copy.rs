//! Moving bytes from stream to stream.
//!
//! # Rejected: `splice`
//!
//! From connection to connection through a pipe, without a copy through the program. Measured
//! over loopback on 2 shared cores, for each GiB, seconds of the copying thread's processor and
//! seconds by the clock:
//!
//! | way | processor | clock |
//! |---|---|---|
//! | read and write, 64 KiB | 0.37–0.57 | 1.0–1.3 |
//! | splice, pipe of 64 KiB | 0.54 | 1.4–1.6 |
//! | splice, pipe of 256 KiB | 0.41 | 1.6–1.7 |
//! | splice, pipe of 1 MiB | 0.28–0.31 | 1.6–1.7 |
//!
//! It is slower by the clock, saves little, and would hold a pipe of 1 MiB, two descriptors and,
//! as `splice` waits on a socket without `O_NONBLOCK`, a thread for each direction.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;

use ropewalk_kernel::cancel::{Cancelled, Token, shield};

use crate::coroutine;
use crate::net::TcpStream;
use crate::net::unix::UnixStream;

/// Bytes moved at once.
const CHUNK: usize = 64 * 1024;

/// A two-way stream of which either direction can be ended by itself.
pub trait HalfClose {
    /// Ends reading, writing or both; as [`TcpStream::shutdown`].
    ///
    /// # Errors
    ///
    /// The system's.
    fn half_close(&self, how: Shutdown) -> io::Result<()>;
}

impl HalfClose for TcpStream {
    fn half_close(&self, how: Shutdown) -> io::Result<()> {
        self.shutdown(how)
    }
}

impl HalfClose for UnixStream {
    fn half_close(&self, how: Shutdown) -> io::Result<()> {
        self.shutdown(how)
    }
}

impl<T: HalfClose + ?Sized> HalfClose for &T {
    fn half_close(&self, how: Shutdown) -> io::Result<()> {
        (**self).half_close(how)
    }
}

impl<T: HalfClose + ?Sized> HalfClose for std::sync::Arc<T> {
    fn half_close(&self, how: Shutdown) -> io::Result<()> {
        (**self).half_close(how)
    }
}

/// Copies all of `reader` into `writer`, and gives the number of bytes; mirrors
/// [`std::io::copy`], with a larger buffer, on the heap rather than on a coroutine's stack.
///
/// # Errors
///
/// The reader's or the writer's; interrupted calls are repeated. What was read may not have
/// been written then.
pub fn copy<R, W>(reader: &mut R, writer: &mut W) -> io::Result<u64>
where
    R: Read + ?Sized,
    W: Write + ?Sized,
{
    let mut buf = vec![0; CHUNK];
    let mut copied = 0;
    loop {
        match reader.read(&mut buf) {
            Ok(0) => return Ok(copied),
            Ok(read) => {
                writer.write_all(&buf[..read])?;
                copied += read as u64;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Copies from `a` to `b` and from `b` to `a` at once, until both have ended; gives the bytes
/// of either direction. The end of one is passed on as a half-close, and the other goes on.
///
/// One direction runs in the caller, the other in a coroutine.
///
/// # Errors
///
/// The first failure of either direction, which ends the other: `TimedOut` or
/// [`Cancelled`] if the caller was cancelled. Both streams are still open then.
///
/// # Panics
///
/// On a plain thread, if the global runtime must be started and can't be.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::{io, net::{Shutdown, TcpListener, TcpStream}};
/// use std::io::{Read, Write};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let connect = || -> std::io::Result<_> {
///     let near = TcpStream::connect(listener.local_addr()?)?;
///     Ok((near, listener.accept()?.0))
/// };
/// let (mut client, a) = connect()?;
/// let (b, mut server) = connect()?;
/// let proxy = ropewalk_rt::spawn(move || io::copy_bidirectional(&a, &b));
///
/// client.write_all(b"question")?;
/// client.shutdown(Shutdown::Write)?;
/// let mut text = String::new();
/// server.read_to_string(&mut text)?;
/// assert_eq!(text, "question");
/// server.write_all(b"answer!")?;
/// drop(server);
/// assert_eq!(proxy.join().unwrap()?, (8, 7));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn copy_bidirectional<A, B>(a: &A, b: &B) -> io::Result<(u64, u64)>
where
    A: HalfClose + Sync + ?Sized,
    B: HalfClose + Sync + ?Sized,
    for<'x> &'x A: Read + Write,
    for<'x> &'x B: Read + Write,
{
    // Under a token of their own: a direction that fails ends the other.
    let both = Token::new();
    let ends_other = |result: io::Result<u64>| {
        if result.is_err() {
            both.cancel();
        }
        result
    };
    let (there, back) = coroutine::scope(|scope| {
        let back = both.run(|| scope.spawn(|| ends_other(one_way(b, a))));
        let there = both.run(|| ends_other(one_way(a, b)));
        // It was cancelled with us, if we were: its end is near, and is waited for.
        // It can't panic: without a value it was cancelled before it began, with us or by us.
        let back = shield(|| back.join());
        let back = back.unwrap_or_else(|_| Err(Cancelled::current().into_io()));
        (there, back)
    });
    match (there, back) {
        (Ok(there), Ok(back)) => Ok((there, back)),
        // The other's was caused by it.
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
        (Err(there), Err(back)) if is_cancelled(&there) => Err(back),
        (Err(there), Err(_)) => Err(there),
    }
}

/// Says whether an operation failed because its caller was cancelled, other than by a deadline.
pub(crate) fn is_cancelled(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Cancelled>())
}

fn one_way<F, T>(from: &F, to: &T) -> io::Result<u64>
where
    F: ?Sized,
    T: HalfClose + ?Sized,
    for<'x> &'x F: Read,
    for<'x> &'x T: Write,
{
    let (mut reader, mut writer) = (from, to);
    let copied = copy(&mut reader, &mut writer)?;
    writer.flush()?;
    match to.half_close(Shutdown::Write) {
        // Its peer has gone already: the other direction sees that.
        Err(error) if error.kind() == ErrorKind::NotConnected => {}
        result => result?,
    }
    Ok(copied)
}
