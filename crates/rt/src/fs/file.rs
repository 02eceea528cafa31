//! An open file.
//!
//! Reads and writes at the file's own position take turns, as the kernel makes plain calls do
//! and io_uring doesn't: `position` is the lock for that, shared by the clones of a file. Those
//! at an offset need no turns, and a stream (a FIFO, a terminal) takes none: there a reader may
//! wait for what a writer is about to bring.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use ropewalk_kernel::driver::file::Opened;

use super::{FileTimes, Metadata, OpenOptions, Permissions, TryLockError};
use crate::cancel::Cancelled;
use crate::sync::{Mutex, MutexExt};

/// The least that reading to the end asks for at a time.
const CHUNK: usize = 32;
/// As much as the length seen beforehand is trusted with.
const HINT_MAX: u64 = 1 << 30;

/// An open file; mirrors [`std::fs::File`].
///
/// `Read`, `Write` and `Seek` are there for `File` and for `&File`; the methods of
/// [`std::os::unix::fs::FileExt`] too, without importing it. Reads and writes by several
/// coroutines at the file's position take turns, as they do in std.
///
/// # Examples
///
/// ```
/// use std::io::{Read, Write};
/// use ropewalk_rt::fs::{self, File};
///
/// let path = std::env::temp_dir().join(format!("ropewalk-file-{}", std::process::id()));
/// File::create(&path)?.write_all(b"over hill, over dale")?;
///
/// let mut file = File::open(&path)?;
/// let mut word = [0; 4];
/// file.read_exact(&mut word)?;
/// assert_eq!(&word, b"over");
/// file.read_exact_at(&mut word, 5)?;
/// assert_eq!(&word, b"hill");
/// fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct File {
    opened: Opened,
    position: Arc<Mutex<()>>,
}

impl File {
    pub(super) fn new(opened: Opened) -> File {
        File {
            opened,
            position: Arc::new(Mutex::new(())),
        }
    }

    /// Opens a file for reading.
    ///
    /// # Errors
    ///
    /// As [`OpenOptions::open`].
    pub fn open(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().read(true).open(path)
    }

    /// Opens a file for writing; creates it if it isn't there, and empties it if it is.
    ///
    /// # Errors
    ///
    /// As [`OpenOptions::open`].
    pub fn create(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
    }

    /// Creates a file, which must not be there, for reading and writing.
    ///
    /// # Errors
    ///
    /// As [`OpenOptions::open`].
    pub fn create_new(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
    }

    /// How to open a file otherwise.
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Puts all that is known of the file on the disk.
    ///
    /// # Errors
    ///
    /// The system's. What failed to be written once may be told only once.
    pub fn sync_all(&self) -> io::Result<()> {
        self.opened.sync(false)
    }

    /// Puts the contents on the disk, and of the rest what is needed to find them.
    ///
    /// # Errors
    ///
    /// As [`sync_all`](Self::sync_all).
    pub fn sync_data(&self) -> io::Result<()> {
        self.opened.sync(true)
    }

    /// Cuts the file off, or lengthens it by zeroes.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the file is not open for writing; else the system's.
    pub fn set_len(&self, len: u64) -> io::Result<()> {
        self.opened.set_len(len)
    }

    /// The file's metadata.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.opened.metadata()
    }

    /// Makes a second owner of the same open file, which has the same position.
    ///
    /// # Errors
    ///
    /// The system's, if it is out of descriptors.
    pub fn try_clone(&self) -> io::Result<File> {
        Ok(File {
            opened: Opened::new(self.as_fd().try_clone_to_owned()?),
            position: Arc::clone(&self.position),
        })
    }

    /// Sets the file's permissions.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        self.opened.pooled(|file| file.set_permissions(permissions))
    }

    /// Sets the file's times.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_times(&self, times: FileTimes) -> io::Result<()> {
        self.opened.pooled(|file| file.set_times(times))
    }

    /// Sets when the file was modified.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_modified(&self, time: std::time::SystemTime) -> io::Result<()> {
        self.set_times(FileTimes::new().set_modified(time))
    }

    /// Takes the file's advisory lock for this owner alone; waits, in the pool, as long as
    /// another open file has it. That wait doesn't end by cancellation.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn lock(&self) -> io::Result<()> {
        self.opened.pooled(std::fs::File::lock)
    }

    /// Takes the file's advisory lock together with others who share it; else as
    /// [`lock`](Self::lock).
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn lock_shared(&self) -> io::Result<()> {
        self.opened.pooled(std::fs::File::lock_shared)
    }

    /// Takes the file's advisory lock for this owner alone, if that is possible at once.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if another open file has it; else the system's.
    pub fn try_lock(&self) -> Result<(), TryLockError> {
        tried(
            self.opened
                .pooled(|file| file.try_lock().map_err(io::Error::from)),
        )
    }

    /// Takes the file's advisory lock together with others who share it, if that is possible
    /// at once.
    ///
    /// # Errors
    ///
    /// As [`try_lock`](Self::try_lock).
    pub fn try_lock_shared(&self) -> Result<(), TryLockError> {
        tried(
            self.opened
                .pooled(|file| file.try_lock_shared().map_err(io::Error::from)),
        )
    }

    /// Gives the advisory lock up.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn unlock(&self) -> io::Result<()> {
        self.opened.pooled(std::fs::File::unlock)
    }

    /// Reads from `offset` on, without regard to the position. 0 means the end of the file.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.opened.read(buf, Some(offset))
    }

    /// Fills `buf` from `offset` on.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` if the file ends before; else the system's. Some of `buf` may be filled
    /// then.
    pub fn read_exact_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buf, offset)
    }

    /// Reads into several buffers, in order, from `offset` on.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn read_vectored_at(&self, bufs: &mut [IoSliceMut<'_>], offset: u64) -> io::Result<usize> {
        self.opened.read_vectored(bufs, Some(offset))
    }

    /// Writes at `offset`, without regard to the position; gives how much. A file open for
    /// appending is written to at its end none the less.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.opened.write(buf, Some(offset))
    }

    /// Writes all of `buf` at `offset`.
    ///
    /// # Errors
    ///
    /// The system's. Some may have been written then.
    pub fn write_all_at(&self, buf: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, buf, offset)
    }

    /// Writes several buffers, in order, at `offset`; gives how much.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn write_vectored_at(&self, bufs: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        self.opened.write_vectored(bufs, Some(offset))
    }

    /// Runs a transfer at the file's position in its turn.
    fn in_turn<T>(&self, transfer: impl FnOnce(&Opened) -> io::Result<T>) -> io::Result<T> {
        if !self.opened.is_placed() {
            return transfer(&self.opened);
        }
        let _turn = self
            .position
            .lock_cancellable()
            .map_err(Cancelled::into_io)?;
        transfer(&self.opened)
    }

    fn read_here(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.in_turn(|opened| opened.read(buf, None))
    }

    fn read_vectored_here(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.in_turn(|opened| opened.read_vectored(bufs, None))
    }

    fn write_here(&self, buf: &[u8]) -> io::Result<usize> {
        self.in_turn(|opened| opened.write(buf, None))
    }

    fn write_vectored_here(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.in_turn(|opened| opened.write_vectored(bufs, None))
    }

    fn seek_here(&self, to: SeekFrom) -> io::Result<u64> {
        let (whence, offset) = match to {
            SeekFrom::Start(offset) => (libc::SEEK_SET, offset.cast_signed()),
            SeekFrom::End(offset) => (libc::SEEK_END, offset),
            SeekFrom::Current(offset) => (libc::SEEK_CUR, offset),
        };
        self.in_turn(|opened| {
            // SAFETY: no pointers.
            let position = unsafe { libc::lseek64(opened.as_fd().as_raw_fd(), offset, whence) };
            u64::try_from(position).map_err(|_| io::Error::last_os_error())
        })
    }

    /// How much there is from the position on, as far as can be told beforehand.
    fn rest_hint(&self) -> usize {
        if !self.opened.is_placed() {
            return 0;
        }
        let position = self.seek_here(SeekFrom::Current(0)).unwrap_or(0);
        self.opened
            .len_hint()
            .saturating_sub(position)
            .min(HINT_MAX) as usize
    }

    fn read_to_end_here(&self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        let begin = bytes.len();
        // One more than there seems to be: room to see the end in.
        bytes.try_reserve(self.rest_hint().max(CHUNK) + 1)?;
        loop {
            if bytes.spare_capacity_mut().is_empty() {
                bytes.try_reserve(CHUNK.max(bytes.len()))?;
            }
            let spare: &mut [MaybeUninit<u8>] = bytes.spare_capacity_mut();
            let read = self.in_turn(|opened| opened.read_uninit(spare, None))?;
            if read == 0 {
                return Ok(bytes.len() - begin);
            }
            // SAFETY: so many were read into the spare room.
            unsafe { bytes.set_len(bytes.len() + read) };
        }
    }

    fn read_to_string_here(&self, text: &mut String) -> io::Result<usize> {
        let mut bytes = Vec::new();
        self.read_to_end_here(&mut bytes)?;
        let read = String::from_utf8(bytes).map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                "the file's contents are not UTF-8",
            )
        })?;
        if text.is_empty() {
            *text = read;
            return Ok(text.len());
        }
        text.push_str(&read);
        Ok(read.len())
    }
}

fn tried(result: io::Result<()>) -> Result<(), TryLockError> {
    result.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => TryLockError::WouldBlock,
        _ => TryLockError::Error(error),
    })
}

impl FileExt for File {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        File::read_at(self, buf, offset)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        File::write_at(self, buf, offset)
    }
}

impl Read for &File {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_here(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.read_vectored_here(bufs)
    }

    fn read_to_end(&mut self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        self.read_to_end_here(bytes)
    }

    fn read_to_string(&mut self, text: &mut String) -> io::Result<usize> {
        self.read_to_string_here(text)
    }
}

impl Read for File {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_here(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.read_vectored_here(bufs)
    }

    fn read_to_end(&mut self, bytes: &mut Vec<u8>) -> io::Result<usize> {
        self.read_to_end_here(bytes)
    }

    fn read_to_string(&mut self, text: &mut String) -> io::Result<usize> {
        self.read_to_string_here(text)
    }
}

impl Write for &File {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_here(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_vectored_here(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Write for File {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_here(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.write_vectored_here(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for &File {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.seek_here(to)
    }
}

impl Seek for File {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.seek_here(to)
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.opened.as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl IntoRawFd for File {
    fn into_raw_fd(self) -> RawFd {
        self.opened.into_fd().into_raw_fd()
    }
}

impl FromRawFd for File {
    unsafe fn from_raw_fd(fd: RawFd) -> File {
        // SAFETY: by the caller's contract, the same.
        unsafe { OwnedFd::from_raw_fd(fd) }.into()
    }
}

impl From<OwnedFd> for File {
    /// Takes the descriptor over. Whoever else moves its position must not do so meanwhile.
    fn from(fd: OwnedFd) -> File {
        File::new(Opened::new(fd))
    }
}

impl From<File> for OwnedFd {
    fn from(file: File) -> OwnedFd {
        file.opened.into_fd()
    }
}

impl From<std::fs::File> for File {
    /// As from an [`OwnedFd`].
    fn from(file: std::fs::File) -> File {
        OwnedFd::from(file).into()
    }
}

impl From<File> for std::fs::File {
    fn from(file: File) -> std::fs::File {
        OwnedFd::from(file).into()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("fd", &self.as_raw_fd())
            .finish_non_exhaustive()
    }
}
