//! Macros that write out what all sockets with a field `inner: Endpoint` have.

/// Its time-outs, and the traits by which it is a descriptor.
macro_rules! endpoint_traits {
    ($socket:ty, $std:ty) => {
        impl $socket {
            /// Limits how long each read waits; `None`: for ever. Costs no system call.
            ///
            /// # Errors
            ///
            /// `InvalidInput` for 0.
            pub fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                self.inner.timeouts.set_read(timeout)
            }

            /// Limits how long each write waits, likewise.
            ///
            /// # Errors
            ///
            /// `InvalidInput` for 0.
            pub fn set_write_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
                self.inner.timeouts.set_write(timeout)
            }

            /// How long each read waits at most.
            ///
            /// # Errors
            ///
            /// None; as in std.
            pub fn read_timeout(&self) -> io::Result<Option<Duration>> {
                Ok(self.inner.timeouts.read())
            }

            /// How long each write waits at most.
            ///
            /// # Errors
            ///
            /// None; as in std.
            pub fn write_timeout(&self) -> io::Result<Option<Duration>> {
                Ok(self.inner.timeouts.write())
            }

            /// Makes a second owner of the same socket. Not needed to read and write at once.
            ///
            /// The time-outs are copied.
            ///
            /// # Errors
            ///
            /// The system's, if it is out of descriptors.
            pub fn try_clone(&self) -> io::Result<$socket> {
                let mut clone = <$socket>::from(self.inner.duplicate()?);
                clone.inner.timeouts = self.inner.timeouts.clone();
                Ok(clone)
            }

            /// Takes the error pending on the socket (`SO_ERROR`).
            ///
            /// # Errors
            ///
            /// The system's, for the asking itself.
            pub fn take_error(&self) -> io::Result<Option<io::Error>> {
                self.inner.socket().take_error()
            }
        }

        impl AsFd for $socket {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.inner.as_fd()
            }
        }

        impl AsRawFd for $socket {
            fn as_raw_fd(&self) -> RawFd {
                self.inner.as_fd().as_raw_fd()
            }
        }

        impl IntoRawFd for $socket {
            fn into_raw_fd(self) -> RawFd {
                self.inner.into_fd().into_raw_fd()
            }
        }

        impl From<$std> for $socket {
            /// Takes the socket over; whether it is non-blocking stays as it is, and makes
            /// no difference here. The time-outs set with std are not carried over.
            fn from(socket: $std) -> $socket {
                <$socket>::from(OwnedFd::from(socket))
            }
        }

        impl From<$socket> for $std {
            /// Gives the socket to std, in blocking mode unless somebody set it otherwise.
            fn from(socket: $socket) -> $std {
                socket.inner.into_fd().into()
            }
        }

        impl From<$socket> for OwnedFd {
            fn from(socket: $socket) -> OwnedFd {
                socket.inner.into_fd()
            }
        }
    };
}
pub(super) use endpoint_traits;

/// Reading and writing, by the owner and by those who share it.
macro_rules! stream_traits {
    ($stream:ty) => {
        stream_traits!(@ $stream);
        stream_traits!(@ &$stream);

        impl From<OwnedFd> for $stream {
            fn from(fd: OwnedFd) -> $stream {
                Self {
                    inner: Endpoint::of_stream(fd),
                }
            }
        }
    };
    (@ $stream:ty) => {
        impl Read for $stream {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                self.inner.read(buf)
            }

            fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.inner.read_vectored(bufs)
            }
        }

        impl Write for $stream {
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.inner.write(buf)
            }

            fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                self.inner.write_vectored(bufs)
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
    };
}
pub(super) use stream_traits;
