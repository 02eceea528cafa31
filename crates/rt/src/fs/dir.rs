//! The entries of a directory, fetched by the handful.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use ropewalk_kernel::driver::file as kernel;

use super::{FileType, Metadata};

/// How many entries one way to the pool brings.
const HANDFUL: usize = 128;

/// The entries of a directory, without `.` and `..`; mirrors [`std::fs::ReadDir`].
///
/// After an error that is a cancellation it has ended.
pub struct ReadDir {
    rest: Option<std::fs::ReadDir>,
    fetched: VecDeque<io::Result<DirEntry>>,
}

/// An entry of a directory; mirrors [`std::fs::DirEntry`].
pub struct DirEntry {
    entry: std::fs::DirEntry,
    file_type: io::Result<FileType>,
}

/// Lists a directory, in no particular order.
///
/// # Errors
///
/// The system's.
pub fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    let path = path.as_ref();
    kernel::pooled(|| {
        let mut rest = Some(std::fs::read_dir(path)?);
        let fetched = fetch(&mut rest);
        Ok(ReadDir { rest, fetched })
    })
}

/// Fetches entries; takes `rest` when there are no more.
fn fetch(rest: &mut Option<std::fs::ReadDir>) -> VecDeque<io::Result<DirEntry>> {
    let mut fetched = VecDeque::new();
    while let Some(entries) = rest
        && fetched.len() < HANDFUL
    {
        match entries.next() {
            Some(entry) => fetched.push_back(entry.map(|entry| DirEntry {
                file_type: entry.file_type(),
                entry,
            })),
            None => *rest = None,
        }
    }
    fetched
}

impl Iterator for ReadDir {
    type Item = io::Result<DirEntry>;

    fn next(&mut self) -> Option<io::Result<DirEntry>> {
        if self.fetched.is_empty() {
            let mut rest = self.rest.take();
            rest.as_ref()?;
            match kernel::pooled(|| Ok(fetch(&mut rest))) {
                Ok(fetched) => (self.rest, self.fetched) = (rest, fetched),
                Err(error) => return Some(Err(error)),
            }
        }
        self.fetched.pop_front()
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadDir").finish_non_exhaustive()
    }
}

impl DirEntry {
    /// The directory's path as given, and the entry's name.
    pub fn path(&self) -> PathBuf {
        self.entry.path()
    }

    /// The entry's name.
    pub fn file_name(&self) -> OsString {
        self.entry.file_name()
    }

    /// What kind of file it was when it was listed; a symbolic link is one.
    ///
    /// # Errors
    ///
    /// The system's, where the listing doesn't tell.
    pub fn file_type(&self) -> io::Result<FileType> {
        match &self.file_type {
            Ok(file_type) => Ok(*file_type),
            Err(_) => kernel::pooled(|| self.entry.file_type()),
        }
    }

    /// The entry's metadata as it is now, of a symbolic link itself.
    ///
    /// # Errors
    ///
    /// The system's: `NotFound` if it has gone meanwhile.
    pub fn metadata(&self) -> io::Result<Metadata> {
        kernel::pooled(|| self.entry.metadata())
    }

    /// The entry's inode number.
    pub fn ino(&self) -> u64 {
        std::os::unix::fs::DirEntryExt::ino(&self.entry)
    }
}

impl fmt::Debug for DirEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("DirEntry").field(&self.path()).finish()
    }
}
