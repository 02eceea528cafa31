//! What is to be sent to one client.
//!
//! Anybody puts frames in, and never waits; the client's own writer sends them. Where more
//! than [`FULL`] bytes wait, the client's own calls are left unread until it has taken some.

use std::mem;

use ropewalk_rt::sync::{Condvar, Mutex};

/// Bytes from which on a client is not listened to.
const FULL: usize = 1 << 20;

#[derive(Default)]
pub(super) struct Outbox {
    state: Mutex<Content>,
    changed: Condvar,
}

#[derive(Default)]
struct Content {
    bytes: Vec<u8>,
    is_closed: bool,
}

impl Outbox {
    /// Puts a frame in; once it is closed, throws it away.
    pub(super) fn push(&self, frame: Vec<u8>) {
        let mut state = self.state.lock();
        if !state.is_closed {
            match state.bytes.is_empty() {
                true => state.bytes = frame,
                false => state.bytes.extend_from_slice(&frame),
            }
            self.changed.notify_all();
        }
    }

    /// Waits for something to send; `None` once it is closed and empty.
    pub(super) fn take(&self) -> Option<Vec<u8>> {
        let mut state = self.state.lock();
        while state.bytes.is_empty() {
            if state.is_closed {
                return None;
            }
            self.changed.wait(&mut state);
        }
        let bytes = mem::take(&mut state.bytes);
        self.changed.notify_all();
        Some(bytes)
    }

    /// Waits while it is full; says whether it is open.
    pub(super) fn await_room(&self) -> bool {
        let mut state = self.state.lock();
        while state.bytes.len() > FULL && !state.is_closed {
            self.changed.wait(&mut state);
        }
        !state.is_closed
    }

    /// Takes nothing more; what is in is still sent.
    pub(super) fn close(&self) {
        self.state.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// Closes it, and throws away what is in.
    pub(super) fn discard(&self) {
        let mut state = self.state.lock();
        state.is_closed = true;
        state.bytes = Vec::new();
        self.changed.notify_all();
    }
}
