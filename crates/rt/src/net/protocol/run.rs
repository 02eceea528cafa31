//! Running a protocol on a stream: one coroutine reads and calls it, another sends.
//!
//! The reader ends at the peer's end, at an error, or when its token is cancelled (`close`,
//! `abort`); then it waits for the writer, and the protocol is told that the connection is lost.
//! The writer ends when all is sent after `end` or `close`, or at an error, which ends the reader
//! too.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use ropewalk_kernel::cancel::{Cancelled, Token, shield};

use super::transport::Shared;
use super::{Protocol, Transport};
use crate::io::{HalfClose, is_cancelled};
use crate::net::TcpStream;
use crate::net::server::TcpHandler;
use crate::sync::{Mutex, MutexGuard};
use crate::{JoinError, JoinHandle, coroutine};

/// Bytes read at once.
const CHUNK: usize = 16 * 1024;

/// Runs `protocol` on a stream, and gives it back when the connection is over.
///
/// Cancelling the caller ends the connection: the protocol is told of the error.
///
/// # Panics
///
/// With the protocol's panic, after the stream is closed; and on a plain thread, if the global
/// runtime must be started and can't be.
pub fn run<S, P>(stream: S, protocol: P) -> P
where
    S: HalfClose + Send + Sync,
    P: Protocol,
    for<'a> &'a S: Read + Write,
{
    run_on(stream, protocol, Arc::new(Shared::new()))
}

/// Runs `protocol` on a stream in a coroutine of its own; gives what to write to it by, and the
/// handle of the coroutine, which returns the protocol.
///
/// # Panics
///
/// If the global runtime must be started and can't be.
#[track_caller]
pub fn spawn<S, P>(stream: S, protocol: P) -> (Transport, JoinHandle<P>)
where
    S: HalfClose + Send + Sync + 'static,
    P: Protocol + 'static,
    for<'a> &'a S: Read + Write,
{
    let shared = Arc::new(Shared::new());
    let transport = Transport {
        shared: Arc::clone(&shared),
    };
    let running = coroutine::spawn(move || run_on(stream, protocol, shared));
    (transport, running)
}

/// A handler for a [`TcpServer`](crate::net::server::TcpServer) that runs a new protocol on each
/// connection.
pub fn serve<F, P>(factory: F) -> impl TcpHandler
where
    F: Fn() -> P + Send + Sync + 'static,
    P: Protocol,
{
    move |stream: TcpStream, _peer: SocketAddr| {
        run(stream, factory());
    }
}

/// A protocol on its stream.
struct Connection<'a, S, P> {
    stream: &'a S,
    protocol: Mutex<P>,
    transport: Transport,
}

/// Ends the writer if the reader unwinds.
struct EndBoth<'a>(&'a Token);

impl Drop for EndBoth<'_> {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

fn run_on<S, P>(stream: S, protocol: P, shared: Arc<Shared>) -> P
where
    S: HalfClose + Send + Sync,
    P: Protocol,
    for<'a> &'a S: Read + Write,
{
    let connection = Connection {
        stream: &stream,
        protocol: Mutex::new(protocol),
        transport: Transport { shared },
    };
    let shared = &connection.transport.shared;
    let error = coroutine::scope(|scope| {
        let end_both = EndBoth(&shared.both);
        // Taken before the writer is there: nothing comes before `connected`.
        let protocol = connection.protocol.lock();
        let writer = shared.both.run(|| scope.spawn(|| connection.write()));
        connection.call_locked(protocol, |protocol, transport| {
            protocol.connected(transport)
        });
        let read = connection.read();
        if read.is_err() {
            // Nobody will read what is still to be sent, unless it was us who closed.
            connection.give_up_unless_closing();
        }
        // It was cancelled with us, if we were.
        let written = match shield(|| writer.join()) {
            Ok(written) => written,
            Err(JoinError::Panicked(payload)) => resume_unwind(payload.into_inner()),
            Err(_) => Ok(()),
        };
        std::mem::forget(end_both);
        connection.error(read, written)
    });
    // The writer may never have begun.
    shared.out.lock().over = true;
    shared.changed.notify_all();
    let mut protocol = connection.protocol.into_inner();
    // Closed before it is told so.
    drop(stream);
    protocol.lost(error.as_ref());
    protocol
}

impl<S, P> Connection<'_, S, P>
where
    S: HalfClose,
    P: Protocol,
    for<'a> &'a S: Read + Write,
{
    fn shared(&self) -> &Shared {
        &self.transport.shared
    }

    /// Calls the protocol, and tells it of what has changed meanwhile.
    fn call<R>(&self, f: impl FnOnce(&mut P, &Transport) -> R) -> R {
        self.call_locked(self.protocol.lock(), f)
    }

    fn call_locked<R>(
        &self,
        mut protocol: MutexGuard<'_, P>,
        f: impl FnOnce(&mut P, &Transport) -> R,
    ) -> R {
        let result = f(&mut protocol, &self.transport);
        self.tell(protocol);
        self.settle();
        result
    }

    /// Tells the protocol whether to pause; see `transport.rs`.
    fn tell(&self, mut protocol: MutexGuard<'_, P>) {
        let shared = self.shared();
        loop {
            let over = shared.over.load(Ordering::Relaxed);
            if over == shared.told.swap(over, Ordering::Relaxed) {
                return;
            }
            if over {
                protocol.pause();
            } else {
                protocol.resume();
            }
        }
    }

    /// Tells the protocol, unless somebody else is about to.
    fn settle(&self) {
        let shared = self.shared();
        loop {
            fence(Ordering::SeqCst);
            if shared.over.load(Ordering::Relaxed) == shared.told.load(Ordering::Relaxed) {
                return;
            }
            let Some(protocol) = self.protocol.try_lock() else {
                return;
            };
            self.tell(protocol);
        }
    }

    fn read(&self) -> io::Result<()> {
        let mut buf = vec![0; CHUNK];
        let mut reader = self.stream;
        loop {
            // A close ends the wait, and not what the protocol does in its callbacks.
            let read = self.shared().reading.run(|| {
                self.await_reading()?;
                reader.read(&mut buf)
            });
            match read {
                Ok(0) => break,
                Ok(read) => self.call(|protocol, transport| protocol.data(transport, &buf[..read])),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        if !self.call(|protocol, transport| protocol.eof(transport)) {
            self.shared().out.lock().closing = true;
            self.shared().changed.notify_all();
        }
        Ok(())
    }

    /// Waits as long as the protocol wants no data.
    fn await_reading(&self) -> io::Result<()> {
        let mut out = self.shared().out.lock();
        while out.reading_paused {
            self.shared()
                .changed
                .wait_cancellable(&mut out)
                .map_err(Cancelled::into_io)?;
        }
        Ok(())
    }

    fn write(&self) -> io::Result<()> {
        let result = self.send_all();
        let mut out = self.shared().out.lock();
        out.over = true;
        if result.is_err() || out.closing {
            self.shared().reading.cancel();
        }
        drop(out);
        self.shared().changed.notify_all();
        result
    }

    fn send_all(&self) -> io::Result<()> {
        let shared = self.shared();
        let mut writer = self.stream;
        let mut taken = Vec::new();
        loop {
            {
                let mut out = shared.out.lock();
                while out.buf.is_empty() && !out.ended && !out.closing {
                    shared
                        .changed
                        .wait_cancellable(&mut out)
                        .map_err(Cancelled::into_io)?;
                }
                if out.buf.is_empty() {
                    break;
                }
                std::mem::swap(&mut out.buf, &mut taken);
                out.taken = taken.len();
            }
            self.settle();
            let mut sent = 0;
            while sent < taken.len() {
                match writer.write(&taken[sent..]) {
                    Ok(0) => return Err(ErrorKind::WriteZero.into()),
                    Ok(written) => sent += written,
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error),
                }
                let mut out = shared.out.lock();
                out.taken = taken.len() - sent;
                shared.note_level(&out);
                drop(out);
                shared.changed.notify_all();
                self.settle();
            }
            taken.clear();
        }
        writer.flush()?;
        match self.stream.half_close(Shutdown::Write) {
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(()),
            result => result,
        }
    }

    /// After a failed read: ends the writer, unless a close lets it send what is left.
    fn give_up_unless_closing(&self) {
        if !self.shared().out.lock().closing {
            self.shared().both.cancel();
        }
    }

    /// What the protocol is told at the end.
    fn error(&self, read: io::Result<()>, written: io::Result<()>) -> Option<io::Error> {
        let out = self.shared().out.lock();
        if out.aborted {
            return None;
        }
        let closing = out.closing;
        drop(out);
        match (read, written) {
            // The reader's was its cancellation, because of the writer's, or of a close.
            (Err(read), Err(written)) if is_cancelled(&read) => Some(written),
            (Err(read), Ok(())) if closing && is_cancelled(&read) => None,
            (Err(error), _) | (_, Err(error)) => Some(error),
            (Ok(()), Ok(())) => None,
        }
    }
}
