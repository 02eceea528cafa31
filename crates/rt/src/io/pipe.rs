//! A pipe: bytes one way, within a process or between two.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

use ropewalk_kernel::sys;

use super::end::{End, end};

/// Makes a pipe; mirrors [`std::io::pipe`].
///
/// The reader sees the end once every writer is dropped; a write without a reader left fails
/// with [`BrokenPipe`](io::ErrorKind::BrokenPipe). Neither end is inherited by child processes,
/// unless it is given to one with [`Stdio::from`](std::process::Stdio::from).
///
/// # Errors
///
/// The system's, if it is out of descriptors.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
/// use ropewalk_rt::{coroutine, io};
///
/// let (mut reader, mut writer) = io::pipe()?;
/// let sender = coroutine::spawn(move || writer.write_all(b"over the wire"));
/// let mut text = String::new();
/// reader.read_to_string(&mut text)?;
/// assert_eq!(text, "over the wire");
/// sender.join().unwrap()?;
/// # Ok::<(), io::Error>(())
/// ```
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let ends = (sys::table().pipe)()?;
    // SAFETY: fresh descriptors of our own.
    let [reader, writer] = ends.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    Ok((PipeReader(End::sole(reader)), PipeWriter(End::sole(writer))))
}

/// The end of a pipe to read from; mirrors [`std::io::PipeReader`].
///
/// `Read` is there for `PipeReader` and for `&PipeReader`. A read waits until there is
/// something, and is a cancellation point; ended by a time-out
/// ([`TimedOut`](io::ErrorKind::TimedOut)) or a cancellation it has read nothing.
pub struct PipeReader(End);

/// The end of a pipe to write to; mirrors [`std::io::PipeWriter`].
///
/// `Write` is there for `PipeWriter` and for `&PipeWriter`. A write waits while the pipe is
/// full, and is a cancellation point. Writes of up to 4096 bytes are never mixed with others'.
pub struct PipeWriter(End);

end!(read PipeReader);
end!(write PipeWriter);

impl PipeReader {
    /// Makes a second owner of the same end. Not needed to read from two coroutines.
    ///
    /// # Errors
    ///
    /// The system's, if it is out of descriptors.
    pub fn try_clone(&self) -> io::Result<PipeReader> {
        self.0.try_clone().map(PipeReader)
    }
}

impl PipeWriter {
    /// Makes a second owner of the same end: the reader sees the end when both are dropped.
    ///
    /// # Errors
    ///
    /// The system's, if it is out of descriptors.
    pub fn try_clone(&self) -> io::Result<PipeWriter> {
        self.0.try_clone().map(PipeWriter)
    }
}

impl From<std::io::PipeReader> for PipeReader {
    fn from(reader: std::io::PipeReader) -> PipeReader {
        OwnedFd::from(reader).into()
    }
}

impl From<std::io::PipeWriter> for PipeWriter {
    fn from(writer: std::io::PipeWriter) -> PipeWriter {
        OwnedFd::from(writer).into()
    }
}
