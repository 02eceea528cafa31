//! What a protocol writes to: a buffer that a coroutine sends from.
//!
//! # Flow control
//!
//! `over` follows the number of bytes that wait: set above `high`, cleared at `low` or below.
//! `told` is what the protocol was told last. Whoever holds the protocol's lock brings the two
//! together before letting it go, and looks once more after that; whoever has changed `over`
//! tries the lock, and leaves it to the holder if it is taken. With a `SeqCst` fence between
//! each one's write and look, one of the two sees the other's (see `run.rs`).

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ropewalk_kernel::cancel::{Cancelled, Token};

use crate::sync::{Condvar, Mutex};

/// Bytes that may wait to be sent before a protocol is told to pause.
const HIGH: usize = 64 * 1024;

/// The writing side of a connection, for its [`Protocol`](super::Protocol) and others; clone it
/// as needed.
#[derive(Clone)]
pub struct Transport {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) out: Mutex<Out>,
    /// Told of all that changes in `out`.
    pub(super) changed: Condvar,
    pub(super) over: AtomicBool,
    pub(super) told: AtomicBool,
    /// What the reader stands under; below that of both.
    pub(super) reading: Token,
    /// What reader and writer stand under.
    pub(super) both: Token,
}

/// What waits to be sent.
pub(super) struct Out {
    /// What the writer has not taken.
    pub(super) buf: Vec<u8>,
    /// What it has taken and not sent.
    pub(super) taken: usize,
    high: usize,
    low: usize,
    /// No more is to be written.
    pub(super) ended: bool,
    /// The connection is to be closed when all is sent.
    pub(super) closing: bool,
    pub(super) aborted: bool,
    /// The writer has ended.
    pub(super) over: bool,
    pub(super) reading_paused: bool,
}

impl Out {
    fn waiting(&self) -> usize {
        self.buf.len() + self.taken
    }
}

impl Shared {
    pub(super) fn new() -> Shared {
        let both = Token::new();
        Shared {
            out: Mutex::new(Out {
                buf: Vec::new(),
                taken: 0,
                high: HIGH,
                low: HIGH / 4,
                ended: false,
                closing: false,
                aborted: false,
                over: false,
                reading_paused: false,
            }),
            changed: Condvar::new(),
            over: AtomicBool::new(false),
            told: AtomicBool::new(false),
            reading: both.child(),
            both,
        }
    }

    /// Brings `over` up to date; with `out` locked.
    pub(super) fn note_level(&self, out: &Out) {
        let waiting = out.waiting();
        if waiting > out.high {
            self.over.store(true, Ordering::Relaxed);
        } else if waiting <= out.low {
            self.over.store(false, Ordering::Relaxed);
        }
    }
}

impl Transport {
    /// Writes: what can't be sent at once waits in a buffer. Never waits itself.
    ///
    /// Says whether it was taken: not after an [`end`](Self::end) or a [`close`](Self::close),
    /// nor when the connection is lost.
    pub fn write(&self, data: &[u8]) -> bool {
        let mut out = self.shared.out.lock();
        if out.ended || out.closing || out.over {
            return false;
        }
        out.buf.extend_from_slice(data);
        self.shared.note_level(&out);
        drop(out);
        self.shared.changed.notify_all();
        true
    }

    /// Waits until there is room: until no more than the low limit waits to be sent, or the
    /// connection is lost. As `drain` of asyncio's streams.
    ///
    /// # Errors
    ///
    /// `BrokenPipe` if the connection is lost; `TimedOut` or [`Cancelled`] if the caller
    /// is cancelled.
    pub fn drain(&self) -> io::Result<()> {
        let mut out = self.shared.out.lock();
        while out.waiting() > out.low {
            if out.over {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.shared
                .changed
                .wait_cancellable(&mut out)
                .map_err(Cancelled::into_io)?;
        }
        Ok(())
    }

    /// Ends writing: when all is sent the peer sees the end. Reading goes on.
    pub fn end(&self) {
        self.shared.out.lock().ended = true;
        self.shared.changed.notify_all();
    }

    /// Closes the connection when all is sent; no more data comes.
    pub fn close(&self) {
        self.shared.out.lock().closing = true;
        self.shared.changed.notify_all();
        self.shared.reading.cancel();
    }

    /// Closes the connection at once; what waits is thrown away.
    pub fn abort(&self) {
        let mut out = self.shared.out.lock();
        out.aborted = true;
        out.closing = true;
        out.buf.clear();
        drop(out);
        self.shared.changed.notify_all();
        self.shared.both.cancel();
    }

    /// Takes no data until [`resume_reading`](Self::resume_reading): the peer is slowed down when
    /// the system's buffers are full. A read that waits already may still bring some.
    pub fn pause_reading(&self) {
        self.shared.out.lock().reading_paused = true;
    }

    /// Goes on reading.
    pub fn resume_reading(&self) {
        self.shared.out.lock().reading_paused = false;
        self.shared.changed.notify_all();
    }

    /// Sets how much may wait before the protocol is told to pause, and how much of it may be
    /// left when it is told to resume; without it 64 KiB and 16 KiB.
    ///
    /// # Panics
    ///
    /// If `low` is greater than `high`.
    pub fn set_limits(&self, high: usize, low: usize) {
        assert!(low <= high, "the low limit is above the high one");
        let mut out = self.shared.out.lock();
        (out.high, out.low) = (high, low);
        self.shared.note_level(&out);
        drop(out);
        self.shared.changed.notify_all();
    }

    /// How many bytes wait to be sent.
    pub fn buffered(&self) -> usize {
        self.shared.out.lock().waiting()
    }

    /// Says whether it is closed, or will be when all is sent.
    pub fn is_closing(&self) -> bool {
        let out = self.shared.out.lock();
        out.closing || out.over
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("buffered", &self.buffered())
            .field("closing", &self.is_closing())
            .finish()
    }
}
