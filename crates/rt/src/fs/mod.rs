//! Files and directories, shaped like `std::fs`: only the caller waits, be it a coroutine or a
//! thread.
//!
//! # How it is done
//!
//! What the kernel has in memory (a name it has resolved before, a page it has read) is taken
//! at once, on the worker. For the rest the coroutine waits: on io_uring for the kernel, which
//! opens, reads, writes, flushes, renames and removes on its own; with the other drivers, and
//! for what io_uring can't do (listing a directory, metadata by name, copying), for a thread of
//! the blocking pool, one job a call. On a plain thread each function is the plain call.
//!
//! In a tmpfs, small reads and writes are done on the worker too: they only copy memory.
//! Dropping a file that was written to waits until it is closed, which on some file systems takes
//! a disk or a network; the worker does other things meanwhile.
//!
//! # Cancellation
//!
//! Each call is a cancellation point, but the kernel doesn't let go of an operation on a disk
//! that it has begun, and a call returns only after its operation: then it returns that
//! operation's result, late. A FIFO, a terminal or a socket opened as a `File` is different:
//! waiting for data there ends at once. Opening a FIFO waits for the other end, in the pool, and
//! doesn't end by cancellation.
//!
//! # Types of std
//!
//! [`Metadata`], [`FileType`], [`Permissions`] and [`FileTimes`] are std's own.
//!
//! # Examples
//!
//! ```
//! use ropewalk_rt::fs;
//!
//! let dir = std::env::temp_dir().join(format!("ropewalk-fs-{}", std::process::id()));
//! fs::create_dir_all(&dir)?;
//! fs::write(dir.join("greeting"), "hello")?;
//! assert_eq!(fs::read_to_string(dir.join("greeting"))?, "hello");
//! for entry in fs::read_dir(&dir)? {
//!     assert_eq!(entry?.file_name(), "greeting");
//! }
//! fs::remove_dir_all(&dir)?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod dir;
mod file;
mod options;

pub use dir::{DirEntry, ReadDir, read_dir};
pub use file::File;
pub use options::OpenOptions;

pub use std::fs::{FileTimes, FileType, Metadata, Permissions, TryLockError};

use std::ffi::CString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ropewalk_kernel::driver::file as kernel;

/// The path as system calls take it.
fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "a path with a zero byte inside",
        )
    })
}

/// Reads the whole file.
///
/// # Errors
///
/// As [`File::open`] and reading.
pub fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads the whole file, which must be UTF-8.
///
/// # Errors
///
/// As [`read`]; `InvalidData` if it is not UTF-8.
pub fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(text)
}

/// Writes the file, which is created if it isn't there and replaced if it is.
///
/// # Errors
///
/// The system's. The file may be there in part then.
pub fn write(path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> io::Result<()> {
    let (path, contents) = (path.as_ref(), contents.as_ref());
    // Open, write and close each change the file system: one way to the pool is shorter than
    // three to the kernel.
    kernel::pooled(|| std::fs::write(path, contents))
}

/// The metadata of what `path` leads to.
///
/// # Errors
///
/// The system's.
pub fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    let path = path.as_ref();
    kernel::pooled(|| std::fs::metadata(path))
}

/// As [`metadata`], of a symbolic link itself if `path` is one.
///
/// # Errors
///
/// The system's.
pub fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    let path = path.as_ref();
    kernel::pooled(|| std::fs::symlink_metadata(path))
}

/// Says whether there is something where `path` leads to.
///
/// # Errors
///
/// The system's, where it doesn't tell: for want of permission, say.
pub fn exists(path: impl AsRef<Path>) -> io::Result<bool> {
    let path = path.as_ref();
    kernel::pooled(|| std::fs::exists(path))
}

/// Makes a directory.
///
/// # Errors
///
/// The system's: `AlreadyExists`; `NotFound` if what it is to be in isn't there.
pub fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    kernel::make_directory(&c_path(path.as_ref())?, 0o777)
}

/// Makes a directory, and those it is to be in as far as they are missing.
///
/// # Errors
///
/// The system's. What was made until then stays.
pub fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref();
    kernel::pooled(|| std::fs::create_dir_all(path))
}

/// Gives a file or directory another name on the same file system, in the place of what has
/// that name.
///
/// # Errors
///
/// The system's.
pub fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    kernel::rename(&c_path(from.as_ref())?, &c_path(to.as_ref())?)
}

/// Removes a file's name, and the file with the last of its names.
///
/// # Errors
///
/// The system's.
pub fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    kernel::unlink(&c_path(path.as_ref())?, false)
}

/// Removes an empty directory.
///
/// # Errors
///
/// The system's.
pub fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    kernel::unlink(&c_path(path.as_ref())?, true)
}

/// Removes a directory and all that is in it, without following symbolic links.
///
/// # Errors
///
/// The system's. What was removed until then stays so.
pub fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    let path = path.as_ref();
    kernel::pooled(|| std::fs::remove_dir_all(path))
}

/// Copies a file's contents and permissions, over those of `to` if it is there; gives the
/// number of bytes. The kernel copies, where the file system lets it.
///
/// # Errors
///
/// The system's. `to` may be there in part then.
pub fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    let (from, to) = (from.as_ref(), to.as_ref());
    kernel::pooled(|| std::fs::copy(from, to))
}

/// Makes `link` one more name of the file `original`.
///
/// # Errors
///
/// The system's.
pub fn hard_link(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    kernel::link(&c_path(original.as_ref())?, &c_path(link.as_ref())?)
}

/// Makes `link` a symbolic link to `original`; mirrors [`std::os::unix::fs::symlink`].
///
/// # Errors
///
/// The system's.
pub fn symlink(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    kernel::symlink(&c_path(original.as_ref())?, &c_path(link.as_ref())?)
}

/// Where a symbolic link leads to.
///
/// # Errors
///
/// The system's: `InvalidInput` if it is none.
pub fn read_link(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let path = path.as_ref();
    kernel::pooled(|| std::fs::read_link(path))
}

/// The absolute path without symbolic links, `.` and `..`.
///
/// # Errors
///
/// The system's: `NotFound` if it leads to nothing.
pub fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    let path = path.as_ref();
    kernel::pooled(|| std::fs::canonicalize(path))
}

/// Sets a file's permissions.
///
/// # Errors
///
/// The system's.
pub fn set_permissions(path: impl AsRef<Path>, permissions: Permissions) -> io::Result<()> {
    let path = path.as_ref();
    kernel::pooled(|| std::fs::set_permissions(path, permissions))
}
