//! What the readiness driver stands on: epoll, `poll` or `select`, as one type.
//!
//! A selector reports *edges*: after a report nothing more is said of a direction until
//! the driver has found it not ready and asks again. epoll does so by itself, for both
//! directions from the moment of [`add`](Selector::add), and [`arm`](Selector::arm) does
//! nothing there; the other two must be told who waits, see `level.rs`.

use std::cell::RefCell;
use std::io;

use super::epoll::Epoll;
use super::level::{Level, Scratch};
use super::{DriverKind, Interest, Signal};

/// What a descriptor is ready for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Readied {
    pub(super) readable: bool,
    pub(super) writable: bool,
    pub(super) read_closed: bool,
    pub(super) write_closed: bool,
}

/// The key of the worker's signal; no registration has it.
pub(super) const SIGNAL: u64 = 0;

/// One selector. Waiting is its worker's; the rest may be done from any thread.
pub(super) enum Selector {
    Epoll(Epoll),
    Level(Level),
}

/// Where one thread's events are put.
pub(super) struct Events {
    epoll: RefCell<Vec<libc::epoll_event>>,
    level: RefCell<Scratch>,
}

impl Events {
    /// Room for the events of a selector from [`Selector::beside`].
    pub(super) fn beside() -> Events {
        Events {
            epoll: RefCell::new(Epoll::room()),
            level: RefCell::default(),
        }
    }
}

impl Selector {
    /// A selector that `signal` wakes, and room for its events.
    pub(super) fn new(kind: DriverKind, signal: &Signal) -> io::Result<(Selector, Events)> {
        let mut events = Events {
            epoll: RefCell::default(),
            level: RefCell::default(),
        };
        let selector = match kind {
            DriverKind::Poll | DriverKind::Select => {
                Selector::Level(Level::new(kind, signal.raw())?)
            }
            DriverKind::Epoll | DriverKind::IoUring => {
                let epoll = Epoll::new()?;
                epoll.add(signal.raw(), SIGNAL)?;
                *events.epoll.get_mut() = Epoll::room();
                Selector::Epoll(epoll)
            }
        };
        Ok((selector, events))
    }

    /// One that nothing wakes, and that is itself waited for: readable when it has events.
    pub(super) fn beside() -> io::Result<Selector> {
        Epoll::new().map(Selector::Epoll)
    }

    /// The descriptor of one from [`beside`](Self::beside).
    pub(super) fn raw(&self) -> i32 {
        match self {
            Selector::Epoll(epoll) => epoll.raw(),
            Selector::Level(_) => unreachable!("none of these lies beside a ring"),
        }
    }

    /// Takes `fd` in under `key`.
    pub(super) fn add(&self, fd: i32, key: u64) -> io::Result<()> {
        match self {
            Selector::Epoll(epoll) => epoll.add(fd, key),
            Selector::Level(level) => level.add(fd, key),
        }
    }

    /// Whether a descriptor that was just added is reported as ready only once somebody
    /// waits: then its readiness is to be tried.
    pub(super) fn reports_who_waits(&self) -> bool {
        matches!(self, Selector::Level(_))
    }

    /// Asks for the next report of a direction of `fd`; says whether the worker that waits
    /// must be woken to hear of it.
    #[inline]
    pub(super) fn arm(&self, fd: i32, interest: Interest) -> bool {
        match self {
            Selector::Epoll(_) => false,
            Selector::Level(level) => level.arm(fd, interest),
        }
    }

    /// Reports `fd` no more. Events fetched before may still name it. Once this returns, no
    /// call of the kernel's holds the descriptor; if one does, `wake` is to end it.
    pub(super) fn remove(&self, fd: i32, wake: impl FnOnce()) {
        match self {
            Selector::Epoll(epoll) => epoll.remove(fd),
            Selector::Level(level) => level.remove(fd, wake),
        }
    }

    /// Waits for `timeout_ns` at most and gives each event to `receive`; says whether there
    /// may be more right now.
    #[inline]
    pub(super) fn wait(
        &self,
        events: &Events,
        timeout_ns: Option<u64>,
        receive: impl FnMut(u64, Readied),
    ) -> io::Result<bool> {
        match self {
            Selector::Epoll(epoll) => {
                epoll.wait(&mut events.epoll.borrow_mut(), timeout_ns, receive)
            }
            Selector::Level(level) => level
                .wait(&mut events.level.borrow_mut(), timeout_ns, receive)
                .map(|()| false),
        }
    }
}
