//! How a file is to be opened.

use std::io;
use std::path::Path;

use ropewalk_kernel::driver::file as kernel;

use super::{File, c_path};

/// How a file is to be opened; mirrors [`std::fs::OpenOptions`].
///
/// # Examples
///
/// ```
/// use ropewalk_rt::fs::OpenOptions;
///
/// let error = OpenOptions::new().read(true).open("/nowhere/at/all").unwrap_err();
/// assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions {
    read: bool,
    write: bool,
    append: bool,
    truncate: bool,
    create: bool,
    create_new: bool,
    custom_flags: i32,
    mode: u32,
}

impl OpenOptions {
    /// Options that open nothing yet: at least one of `read`, `write` and `append` is needed.
    #[expect(clippy::new_without_default, reason = "as in std")]
    pub fn new() -> OpenOptions {
        OpenOptions {
            read: false,
            write: false,
            append: false,
            truncate: false,
            create: false,
            create_new: false,
            custom_flags: 0,
            mode: 0o666,
        }
    }

    /// Opens for reading.
    pub fn read(&mut self, read: bool) -> &mut OpenOptions {
        self.read = read;
        self
    }

    /// Opens for writing; what is there stays unless it is written over.
    pub fn write(&mut self, write: bool) -> &mut OpenOptions {
        self.write = write;
        self
    }

    /// Opens for writing, always at the end.
    pub fn append(&mut self, append: bool) -> &mut OpenOptions {
        self.append = append;
        self
    }

    /// Throws away what is there; needs `write`.
    pub fn truncate(&mut self, truncate: bool) -> &mut OpenOptions {
        self.truncate = truncate;
        self
    }

    /// Creates the file if it isn't there; needs `write` or `append`.
    pub fn create(&mut self, create: bool) -> &mut OpenOptions {
        self.create = create;
        self
    }

    /// Creates the file, which must not be there, not even as a symbolic link.
    pub fn create_new(&mut self, create_new: bool) -> &mut OpenOptions {
        self.create_new = create_new;
        self
    }

    /// The permissions of a file that is created, less the process's mask; 0o666 if not set.
    pub fn mode(&mut self, mode: u32) -> &mut OpenOptions {
        self.mode = mode;
        self
    }

    /// Flags for `open(2)` besides those that the other options stand for.
    pub fn custom_flags(&mut self, flags: i32) -> &mut OpenOptions {
        self.custom_flags = flags;
        self
    }

    /// Opens the file.
    ///
    /// A FIFO opened for reading or for writing alone waits for its other end.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for options that don't go together; else the system's.
    pub fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let flags = self.flags()?;
        let path = c_path(path.as_ref())?;
        Ok(File::new(kernel::open(&path, flags, self.mode)?))
    }

    fn flags(&self) -> io::Result<i32> {
        let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
        let access = match (self.read, self.write, self.append) {
            (true, false, false) => libc::O_RDONLY,
            (false, true, false) => libc::O_WRONLY,
            (true, true, false) => libc::O_RDWR,
            (false, _, true) => libc::O_WRONLY | libc::O_APPEND,
            (true, _, true) => libc::O_RDWR | libc::O_APPEND,
            (false, false, false) => return Err(invalid()),
        };
        let creates = self.create || self.create_new;
        if creates && !self.write && !self.append {
            return Err(invalid());
        }
        if self.truncate && !self.create_new && (self.append || !self.write) {
            return Err(invalid());
        }
        if self.truncate && !self.write && !self.append {
            return Err(invalid());
        }
        let creation = if self.create_new {
            libc::O_CREAT | libc::O_EXCL
        } else {
            let create = if self.create { libc::O_CREAT } else { 0 };
            create | if self.truncate { libc::O_TRUNC } else { 0 }
        };
        Ok(access | creation | (self.custom_flags & !libc::O_ACCMODE))
    }
}
