//! Two one-way streams as one: a child's pipes, for instance.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;

use crate::io::HalfClose;
use crate::sync::Mutex;

/// A stream to read from and one to write to, joined into one that goes both ways.
///
/// Ending a direction drops its stream, once a call on it that waits has returned.
pub struct Joined<R, W> {
    reader: Mutex<Option<Arc<Mutex<R>>>>,
    writer: Mutex<Option<Arc<Mutex<W>>>>,
}

impl<R, W> Joined<R, W> {
    /// Joins the two.
    pub fn new(reader: R, writer: W) -> Joined<R, W> {
        Joined {
            reader: Mutex::new(Some(Arc::new(Mutex::new(reader)))),
            writer: Mutex::new(Some(Arc::new(Mutex::new(writer)))),
        }
    }
}

fn open<T>(slot: &Mutex<Option<Arc<Mutex<T>>>>) -> Option<Arc<Mutex<T>>> {
    slot.lock().clone()
}

impl<R: Read, W> Read for &Joined<R, W> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match open(&self.reader) {
            Some(reader) => reader.lock().read(buf),
            None => Ok(0),
        }
    }
}

impl<R, W: Write> Write for &Joined<R, W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match open(&self.writer) {
            Some(writer) => writer.lock().write(buf),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match open(&self.writer) {
            Some(writer) => writer.lock().flush(),
            None => Ok(()),
        }
    }
}

impl<R, W> HalfClose for Joined<R, W> {
    fn half_close(&self, how: Shutdown) -> io::Result<()> {
        let ends_reading = matches!(how, Shutdown::Read | Shutdown::Both);
        let reader = ends_reading.then(|| self.reader.lock().take());
        let ends_writing = matches!(how, Shutdown::Write | Shutdown::Both);
        let writer = ends_writing.then(|| self.writer.lock().take());
        drop((reader, writer));
        Ok(())
    }
}

impl<R, W> fmt::Debug for Joined<R, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joined")
            .field("reading", &self.reader.lock().is_some())
            .field("writing", &self.writer.lock().is_some())
            .finish()
    }
}
