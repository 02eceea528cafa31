//! One end of a byte stream that goes one way: what pipes and a child's streams share.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ropewalk_kernel::clock;
use ropewalk_kernel::driver::Source;

/// A descriptor to read from, or to write to, and how long each call waits at most.
pub(crate) struct End {
    source: Source,
    timeout_ns: AtomicU64,
}

impl End {
    /// Takes a descriptor that others may share.
    pub(crate) fn new(fd: OwnedFd) -> End {
        End {
            source: Source::new(fd),
            timeout_ns: AtomicU64::new(0),
        }
    }

    /// Takes a descriptor of our own making.
    pub(crate) fn sole(fd: OwnedFd) -> End {
        let end = End::new(fd);
        end.source.set_sole(true);
        end
    }

    pub(crate) fn try_clone(&self) -> io::Result<End> {
        self.source.set_sole(false);
        let clone = End::new(self.source.as_fd().try_clone_to_owned()?);
        let timeout = self.timeout_ns.load(Ordering::Relaxed);
        clone.timeout_ns.store(timeout, Ordering::Relaxed);
        Ok(clone)
    }

    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    pub(crate) fn into_fd(self) -> OwnedFd {
        self.source.into_fd()
    }

    pub(crate) fn set_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        let ns = match timeout {
            None => 0,
            Some(timeout) if timeout.is_zero() => {
                let error = "a time-out of 0";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
            }
            Some(timeout) => u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX),
        };
        self.timeout_ns.store(ns, Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn timeout(&self) -> Option<Duration> {
        let ns = self.timeout_ns.load(Ordering::Relaxed);
        (ns != 0).then(|| Duration::from_nanos(ns))
    }

    fn deadline(&self) -> Option<u64> {
        match self.timeout_ns.load(Ordering::Relaxed) {
            0 => None,
            ns => Some(clock::now_ns().saturating_add(ns)),
        }
    }

    pub(crate) fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.source.read(buf, self.deadline())
    }

    pub(crate) fn read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.source.read_vectored(bufs, self.deadline())
    }

    pub(crate) fn write(&self, buf: &[u8]) -> io::Result<usize> {
        self.source.write(buf, self.deadline())
    }

    pub(crate) fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.source.write_vectored(bufs, self.deadline())
    }
}

/// The traits of an end's descriptor, and `Read` or `Write` for a type and for references to
/// it; the type has its [`End`] in field 0.
macro_rules! end {
    (read $type:ident) => {
        impl $type {
            /// Limits how long each read waits; `None`: for ever. Costs no system call.
            ///
            /// # Errors
            ///
            /// `InvalidInput` for 0.
            pub fn set_read_timeout(
                &self,
                timeout: Option<std::time::Duration>,
            ) -> std::io::Result<()> {
                self.0.set_timeout(timeout)
            }

            /// How long each read waits at most.
            pub fn read_timeout(&self) -> Option<std::time::Duration> {
                self.0.timeout()
            }
        }

        $crate::io::end::end!(read for $type);
        $crate::io::end::end!(read for &$type);
        $crate::io::end::end!(descriptor $type);
    };
    (write $type:ident) => {
        impl $type {
            /// Limits how long each write waits; `None`: for ever. Costs no system call.
            ///
            /// # Errors
            ///
            /// `InvalidInput` for 0.
            pub fn set_write_timeout(
                &self,
                timeout: Option<std::time::Duration>,
            ) -> std::io::Result<()> {
                self.0.set_timeout(timeout)
            }

            /// How long each write waits at most.
            pub fn write_timeout(&self) -> Option<std::time::Duration> {
                self.0.timeout()
            }
        }

        $crate::io::end::end!(write for $type);
        $crate::io::end::end!(write for &$type);
        $crate::io::end::end!(descriptor $type);
    };
    (read for $type:ty) => {
        impl std::io::Read for $type {
            fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
                self.0.read(buf)
            }

            fn read_vectored(
                &mut self,
                bufs: &mut [std::io::IoSliceMut<'_>],
            ) -> std::io::Result<usize> {
                self.0.read_vectored(bufs)
            }
        }
    };
    (write for $type:ty) => {
        impl std::io::Write for $type {
            fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
                self.0.write(buf)
            }

            fn write_vectored(&mut self, bufs: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
                self.0.write_vectored(bufs)
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
    };
    (descriptor $type:ident) => {
        impl std::os::fd::AsFd for $type {
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                std::os::fd::AsFd::as_fd(self.0.source())
            }
        }

        impl std::os::fd::AsRawFd for $type {
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                std::os::fd::AsRawFd::as_raw_fd(&std::os::fd::AsFd::as_fd(self.0.source()))
            }
        }

        impl From<$type> for std::os::fd::OwnedFd {
            fn from(end: $type) -> std::os::fd::OwnedFd {
                end.0.into_fd()
            }
        }

        impl From<$type> for std::process::Stdio {
            fn from(end: $type) -> std::process::Stdio {
                end.0.into_fd().into()
            }
        }

        impl From<std::os::fd::OwnedFd> for $type {
            fn from(fd: std::os::fd::OwnedFd) -> $type {
                $type($crate::io::end::End::new(fd))
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_tuple(stringify!($type))
                    .field(&std::os::fd::AsRawFd::as_raw_fd(self))
                    .finish()
            }
        }
    };
}

pub(crate) use end;
