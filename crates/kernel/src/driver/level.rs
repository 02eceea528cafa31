//! The level-triggered selectors, `poll` and `select`, made to report edges.
//!
//! Both are given all they shall watch with every call, and say of a descriptor that it is
//! ready for as long as it is. So a direction is watched only while it is *armed*: a
//! coroutine that starts to wait arms it, and a report disarms it.
//!
//! ```text
//!                 add                      arm                   reported
//!   (not there) ───────▶ [ not armed ] ──────────▶ [ armed ] ──────────▶ [ not armed ]
//!        ▲                    │                        │
//!        └────────────────────┴────────remove──────────┘
//! ```
//!
//! The list is under a lock; the worker copies what is armed out of it, notes in the list
//! that it is in the kernel (`call`), gives up the lock, and makes its call on the copy.
//!
//! - `add` may come from any thread: no call needs to hear of what isn't armed.
//! - `arm` may come from any thread, as coroutines of other workers wait here too. If the
//!   worker is blocked in a call, the copy lacks the direction: the caller must wake the
//!   worker through its signal, whose descriptor is the first of every copy. The flag and the
//!   copy change under one lock, so either the copy has the direction or `arm` finds
//!   `Blocked`; and the signal is a counter, so it ends the call even if sent before
//!   the worker is in the kernel. A call that doesn't block needs no waking: no worker blocks
//!   without a new copy.
//! - `remove` may come from any thread, before the descriptor is closed. A call in progress
//!   holds a reference to the open file, so that closing would not take effect (a port stays
//!   bound, a peer sees no end) until it returns. So who removes a direction that such a call
//!   may watch wakes the worker and waits until it is out. The worker takes nothing but
//!   the list's lock on its way out, so this wait is short and can't be part of a cycle.
//!
//! # No wake-up is lost
//!
//! Claim: whenever a coroutine is in a direction's queue, the direction is armed, or a report
//! is on its way that will find the coroutine in the queue. The driver arms under the
//! queue's lock, with which the coroutine then enters the queue (`readiness.rs`; `poller.rs`
//! does the same under the lock of its wakers). Only a
//! report disarms. One that disarms before the `arm` leaves the direction armed after it. One
//! that disarms after the `arm` sets the registration's bits and then looks at the queue, which
//! is locked by, or has, the coroutine: it is woken. One that was disarmed by the first
//! coroutine's report, looks, finds nothing and comes back arms again.
//!
//! A report may be stale: of a wait that was given up, or (number taken again by another
//! file while the call went on) of the wrong file. The first only sets a bit that is true.
//! The second is told apart by the key: a registration's address, which isn't free before
//! its worker is out of the call.
//!
//! What an edge-triggered selector does not have: an error that stays on a descriptor, without
//! a call on it failing by it, makes each look of a coroutine that waits there end at once.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::selector::{Readied, SIGNAL};
use super::{DriverKind, Interest, clear_signal, select};
use crate::sys;

const READ: u8 = 1;
const WRITE: u8 = 2;

/// One level-triggered selector.
pub(super) struct Level {
    select: bool,
    signal: i32,
    list: Mutex<List>,
    /// The worker has come out of a call that somebody wanted to end.
    out: Condvar,
}

#[derive(Default)]
struct List {
    entries: Vec<Entry>,
    /// By descriptor: one more than the place in `entries`; 0 for those that aren't there.
    places: Vec<u32>,
    /// How many directions are armed.
    armed: usize,
    call: Call,
    /// Counts calls, to tell the next from the one that was to end.
    calls: u64,
    /// How many wait for the end of a call.
    leaving: usize,
}

struct Entry {
    fd: i32,
    armed: u8,
    key: u64,
}

/// Whether the worker is in the kernel with a copy of the list.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Call {
    #[default]
    None,
    Looking,
    Blocked,
}

/// The worker's copy of the list, and what came of it.
#[derive(Default)]
pub(super) struct Scratch {
    watched: Vec<libc::pollfd>,
    /// The key of each.
    keys: Vec<u64>,
    readied: Vec<(u64, Readied)>,
}

impl List {
    fn entry(&mut self, fd: i32) -> Option<&mut Entry> {
        let place = *self.places.get(usize::try_from(fd).ok()?)?;
        self.entries.get_mut((place as usize).checked_sub(1)?)
    }
}

impl Level {
    pub(super) fn new(kind: DriverKind, signal: i32) -> io::Result<Level> {
        let level = Level {
            select: kind == DriverKind::Select,
            signal,
            list: Mutex::default(),
            out: Condvar::new(),
        };
        level.check(signal)?;
        Ok(level)
    }

    fn check(&self, fd: i32) -> io::Result<()> {
        if self.select {
            select::check(fd)
        } else {
            Ok(())
        }
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, fd: i32, key: u64) -> io::Result<()> {
        self.check(fd)?;
        let mut list = self.list();
        if list.entry(fd).is_some() {
            // As epoll has it: two sources own one descriptor.
            return Err(io::Error::from_raw_os_error(libc::EEXIST));
        }
        let index = fd as usize;
        if list.places.len() <= index {
            list.places.resize(index + 1, 0);
        }
        list.entries.push(Entry { fd, armed: 0, key });
        list.places[index] = list.entries.len() as u32;
        Ok(())
    }

    pub(super) fn arm(&self, fd: i32, interest: Interest) -> bool {
        let bit = match interest {
            Interest::Read => READ,
            Interest::Write => WRITE,
        };
        let mut list = self.list();
        let Some(entry) = list.entry(fd) else {
            return false;
        };
        if entry.armed & bit != 0 {
            // In the copy, or whoever armed it wakes the worker.
            return false;
        }
        entry.armed |= bit;
        list.armed += 1;
        list.call == Call::Blocked
    }

    pub(super) fn remove(&self, fd: i32, wake: impl FnOnce()) {
        let mut list = self.list();
        let Some(armed) = list.entry(fd).map(|entry| entry.armed) else {
            return;
        };
        let place = std::mem::take(&mut list.places[fd as usize]);
        list.entries.swap_remove(place as usize - 1);
        if let Some(moved) = list.entries.get(place as usize - 1).map(|entry| entry.fd) {
            list.places[moved as usize] = place;
        }
        list.armed -= armed.count_ones() as usize;
        if armed == 0 || list.call == Call::None {
            return;
        }
        if list.call == Call::Blocked {
            wake();
        }
        let call = list.calls;
        list.leaving += 1;
        while list.call != Call::None && list.calls == call {
            list = self.out.wait(list).unwrap_or_else(PoisonError::into_inner);
        }
        list.leaving -= 1;
    }

    /// Waits for `timeout_ns` at most and gives each event to `receive`.
    pub(super) fn wait(
        &self,
        scratch: &mut Scratch,
        timeout_ns: Option<u64>,
        mut receive: impl FnMut(u64, Readied),
    ) -> io::Result<()> {
        if !self.copy(scratch, timeout_ns) {
            return Ok(());
        }
        let result = if self.select {
            select::select(&mut scratch.watched, timeout_ns)
        } else {
            (sys::table().poll)(&mut scratch.watched, timeout_ns).map(drop)
        };
        self.take_back(scratch, result.is_ok());
        if result.is_ok() && scratch.watched[0].revents != 0 {
            // What it was sent for is looked at after this.
            clear_signal(self.signal);
        }
        for (key, ready) in scratch.readied.drain(..) {
            receive(key, ready);
        }
        result
    }

    /// Copies what is armed, and notes the call; says whether one is to be made.
    fn copy(&self, scratch: &mut Scratch, timeout_ns: Option<u64>) -> bool {
        let blocks = timeout_ns != Some(0);
        let entry = |fd, events| libc::pollfd {
            fd,
            events,
            revents: 0,
        };
        scratch.watched.clear();
        scratch.keys.clear();
        scratch.watched.push(entry(self.signal, libc::POLLIN));
        scratch.keys.push(SIGNAL);
        let mut list = self.list();
        if !blocks && list.armed == 0 {
            return false;
        }
        for armed in list.entries.iter().filter(|entry| entry.armed != 0) {
            let mut events = 0;
            if armed.armed & READ != 0 {
                events |= libc::POLLIN | libc::POLLRDHUP;
            }
            if armed.armed & WRITE != 0 {
                events |= libc::POLLOUT;
            }
            scratch.watched.push(entry(armed.fd, events));
            scratch.keys.push(armed.key);
        }
        list.calls += 1;
        list.call = if blocks { Call::Blocked } else { Call::Looking };
        true
    }

    /// Notes the end of the call, and disarms what is reported.
    fn take_back(&self, scratch: &mut Scratch, successful: bool) {
        let mut list = self.list();
        list.call = Call::None;
        if list.leaving != 0 {
            self.out.notify_all();
        }
        if !successful {
            return;
        }
        let watched = scratch.watched.iter().zip(&scratch.keys).skip(1);
        for (watched, &key) in watched.filter(|(watched, _)| watched.revents != 0) {
            let Some(entry) = list.entry(watched.fd).filter(|entry| entry.key == key) else {
                continue;
            };
            let ready = readied(watched.revents);
            let mut reported = 0;
            if ready.readable || ready.read_closed {
                reported |= READ;
            }
            if ready.writable || ready.write_closed {
                reported |= WRITE;
            }
            let disarmed = entry.armed & reported;
            entry.armed &= !reported;
            list.armed -= disarmed.count_ones() as usize;
            scratch.readied.push((key, ready));
        }
    }
}

fn readied(events: i16) -> Readied {
    let has = |mask: i16| events & mask != 0;
    // A descriptor that isn't open: the call that is tried then says so.
    let failed = has(libc::POLLERR | libc::POLLNVAL);
    let hung_up = has(libc::POLLHUP);
    Readied {
        readable: has(libc::POLLIN | libc::POLLPRI) || failed,
        writable: has(libc::POLLOUT) || failed,
        read_closed: hung_up || has(libc::POLLRDHUP),
        write_closed: hung_up,
    }
}
