//! The two directions of a connection, owned apart.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::ops::Deref;
use std::sync::Arc;

/// A connection that can be split; there is nothing to implement.
pub trait SplitStream: sealed::Stream {}

impl<S: sealed::Stream> SplitStream for S {}

pub(super) mod sealed {
    use super::{IoSlice, IoSliceMut, Shutdown, io};

    /// What the halves need of a stream, by reference.
    pub trait Stream: Sized {
        fn read(&self, buf: &mut [u8]) -> io::Result<usize>;
        fn read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize>;
        fn write(&self, buf: &[u8]) -> io::Result<usize>;
        fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize>;
        fn shut_down(&self, how: Shutdown) -> io::Result<()>;
    }
}

/// The direction that is read; from `into_split`.
///
/// It derefs to the stream: its addresses and options are at hand.
pub struct ReadHalf<S> {
    stream: Arc<S>,
}

/// The direction that is written; from `into_split`.
///
/// Dropping it shuts writing down: the peer reads to the end of what was written. It derefs to
/// the stream.
pub struct WriteHalf<S: SplitStream> {
    stream: Arc<S>,
    shuts_down: bool,
}

impl<S: SplitStream> ReadHalf<S> {
    pub(super) fn pair(stream: S) -> (ReadHalf<S>, WriteHalf<S>) {
        let stream = Arc::new(stream);
        let read = ReadHalf {
            stream: Arc::clone(&stream),
        };
        let write = WriteHalf {
            stream,
            shuts_down: true,
        };
        (read, write)
    }

    /// Makes the stream whole again.
    ///
    /// # Errors
    ///
    /// Both halves, if they are of different streams.
    pub fn reunite(self, write: WriteHalf<S>) -> Result<S, ReuniteError<S>> {
        if !Arc::ptr_eq(&self.stream, &write.stream) {
            return Err(ReuniteError(self, write));
        }
        drop(self);
        Ok(Arc::into_inner(write.forget()).expect("the halves were the stream's two owners"))
    }
}

impl<S: SplitStream> WriteHalf<S> {
    /// Makes the stream whole again; as [`ReadHalf::reunite`].
    ///
    /// # Errors
    ///
    /// Both halves, if they are of different streams.
    pub fn reunite(self, read: ReadHalf<S>) -> Result<S, ReuniteError<S>> {
        read.reunite(self)
    }

    /// Gives the stream without shutting writing down.
    fn forget(mut self) -> Arc<S> {
        self.shuts_down = false;
        Arc::clone(&self.stream)
    }
}

impl<S: SplitStream> Drop for WriteHalf<S> {
    fn drop(&mut self) {
        if self.shuts_down {
            // It fails if the connection is gone: then there is nothing to end.
            let _ = self.stream.shut_down(Shutdown::Write);
        }
    }
}

impl<S: SplitStream> Read for ReadHalf<S> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buf)
    }

    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.stream.read_vectored(bufs)
    }
}

impl<S: SplitStream> Write for WriteHalf<S> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.stream.write(buf)
    }

    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.stream.write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<S> Deref for ReadHalf<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.stream
    }
}

impl<S: SplitStream> Deref for WriteHalf<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.stream
    }
}

impl<S: fmt::Debug> fmt::Debug for ReadHalf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReadHalf").field(&self.stream).finish()
    }
}

impl<S: SplitStream + fmt::Debug> fmt::Debug for WriteHalf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("WriteHalf").field(&self.stream).finish()
    }
}

/// The halves are of different streams; from `reunite`.
#[derive(Debug)]
pub struct ReuniteError<S: SplitStream>(
    /// The half that reads.
    pub ReadHalf<S>,
    /// The half that writes.
    pub WriteHalf<S>,
);

impl<S: SplitStream> fmt::Display for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the halves are of different streams")
    }
}

impl<S: SplitStream + fmt::Debug> std::error::Error for ReuniteError<S> {}

/// Splitting, for a stream with a field `inner: Endpoint`.
macro_rules! split_methods {
    ($stream:ty) => {
        impl $stream {
            /// Splits the stream into halves that two can own. Those who only borrow need no
            /// halves: `&` of a stream reads and writes.
            pub fn into_split(self) -> (ReadHalf<$stream>, WriteHalf<$stream>) {
                ReadHalf::pair(self)
            }
        }

        impl crate::net::halves::sealed::Stream for $stream {
            fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
                self.inner.read(buf)
            }

            fn read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
                self.inner.read_vectored(bufs)
            }

            fn write(&self, buf: &[u8]) -> io::Result<usize> {
                self.inner.write(buf)
            }

            fn write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
                self.inner.write_vectored(bufs)
            }

            fn shut_down(&self, how: Shutdown) -> io::Result<()> {
                self.shutdown(how)
            }
        }
    };
}
pub(super) use split_methods;
