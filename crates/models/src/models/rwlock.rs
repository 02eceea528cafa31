//! The read-write lock.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use loom::cell::UnsafeCell;
use loom::thread;

use super::{DEADLOCK, RACE, Who, fails, holds};
use crate::rt::sync::rwlock::raw::{Kind, READER, RawRwLock, UPGRADABLE, WRITER};
use crate::shim::atomic::Ordering;
use crate::shim::clock::{self, SOON};
use crate::wait::{Limit, block_on};

struct Guarded {
    lock: RawRwLock,
    value: UnsafeCell<usize>,
}

// SAFETY: used under the lock, which loom checks.
unsafe impl Send for Guarded {}
// SAFETY: as above.
unsafe impl Sync for Guarded {}

/// What one does with the lock.
#[derive(Clone, Copy)]
enum How {
    Read(Who),
    Write(Who),
    /// With a deadline that passes.
    ReadTimed,
    WriteTimed,
    ReadAsync,
    WriteAsync,
    /// Polls once, and gives up if that doesn't lock.
    WriteAsyncGivenUp,
    /// Reads, and then writes without letting go.
    Upgrade,
    UpgradeTimed,
}

const READ: How = How::Read(Who::Thread);
const WRITE: How = How::Write(Who::Thread);

impl Guarded {
    fn read(&self) {
        self.value.with(|_| ());
        // SAFETY: locked by the caller.
        unsafe { self.lock.unlock_shared() };
    }

    fn write(&self) -> usize {
        // SAFETY: loom checks that this is the only use.
        self.value.with_mut(|value| unsafe { *value += 1 });
        self.lock.change(WRITER, 0);
        1
    }

    fn poll(&self, kind: Kind) {
        let mut waiting = None;
        block_on(std::future::poll_fn(|context| {
            self.lock.poll_take(kind, &mut waiting, context)
        }));
    }

    /// Gives how often it wrote.
    fn go(&self, how: How) -> usize {
        let soon = || Limit::until(Some(SOON));
        match how {
            How::Read(who) => who.run(|| {
                self.lock.lock(Kind::Read);
                self.read();
                0
            }),
            How::Write(who) => who.run(|| {
                self.lock.lock(Kind::Write);
                self.write()
            }),
            How::ReadTimed => {
                if self.lock.lock_within(Kind::Read, soon) {
                    self.read();
                }
                0
            }
            How::WriteTimed => match self.lock.lock_within(Kind::Write, soon) {
                true => self.write(),
                false => 0,
            },
            How::ReadAsync => {
                self.poll(Kind::Read);
                self.read();
                0
            }
            How::WriteAsync => {
                self.poll(Kind::Write);
                self.write()
            }
            How::WriteAsyncGivenUp => {
                let mut waiting = None;
                let mut context = Context::from_waker(Waker::noop());
                let mut poll =
                    pin!(|| self.lock.poll_take(Kind::Write, &mut waiting, &mut context));
                if poll().is_ready() {
                    return self.write();
                }
                thread::yield_now();
                self.lock.give_up(Kind::Write, &mut waiting);
                0
            }
            How::Upgrade | How::UpgradeTimed => {
                self.lock.lock(Kind::Upgradable);
                self.value.with(|_| ());
                let limit = match how {
                    How::Upgrade => Limit::NONE,
                    _ => soon(),
                };
                if self.lock.upgrade_or(|state| state) || self.lock.upgrade_slow(limit) {
                    return self.write();
                }
                self.value.with(|_| ());
                self.lock.change(READER | UPGRADABLE, 0);
                0
            }
        }
    }
}

/// Three do these things, the first of them on the main thread.
fn three_go(first: How, others: [How; 2]) {
    clock::begin();
    let guarded = Arc::new(Guarded {
        lock: RawRwLock::new(),
        value: UnsafeCell::new(0),
    });
    let others = others.map(|how| {
        let guarded = Arc::clone(&guarded);
        thread::spawn(move || guarded.go(how))
    });
    clock::pass();
    let mut writes = guarded.go(first);
    for other in others {
        writes += other.join().unwrap();
    }
    guarded.value.with(|value| {
        // SAFETY: the others are over.
        assert_eq!(unsafe { *value }, writes);
    });
    let state = guarded.lock.state.load(Ordering::Relaxed);
    assert!(
        state < READER && state & (WRITER | UPGRADABLE) == 0,
        "it is left locked"
    );
}

/// Two do these things while the main thread reads.
fn one_stays(others: [How; 2]) {
    clock::begin();
    let guarded = Arc::new(Guarded {
        lock: RawRwLock::new(),
        value: UnsafeCell::new(0),
    });
    guarded.lock.lock(Kind::Read);
    let others = others.map(|how| {
        let guarded = Arc::clone(&guarded);
        thread::spawn(move || guarded.go(how))
    });
    clock::pass();
    for other in others {
        assert_eq!(other.join().unwrap(), 0, "written beside a reader");
    }
    guarded.read();
}

#[test]
fn a_writer_is_alone() {
    holds(2, || three_go(WRITE, [READ, READ]));
    holds(2, || three_go(READ, [WRITE, WRITE]));
    holds(2, || three_go(READ, [How::Write(Who::Coroutine), READ]));
}

#[test]
fn who_gives_up_lets_others_through() {
    holds(2, || three_go(READ, [How::WriteTimed, READ]));
    holds(1, || three_go(WRITE, [How::ReadTimed, READ]));
    holds(2, || one_stays([How::WriteTimed, READ]));
    holds(2, || one_stays([How::WriteAsyncGivenUp, READ]));
    holds(2, || one_stays([How::WriteTimed, How::ReadAsync]));
    holds(2, || one_stays([How::UpgradeTimed, READ]));
}

#[test]
fn futures_lock() {
    holds(1, || three_go(WRITE, [How::ReadAsync, How::WriteAsync]));
    holds(1, || three_go(READ, [How::ReadAsync, WRITE]));
    holds(1, || three_go(READ, [How::WriteAsyncGivenUp, READ]));
    holds(1, || {
        three_go(READ, [How::WriteAsyncGivenUp, How::ReadAsync])
    });
}

#[test]
fn a_reader_becomes_a_writer() {
    holds(2, || three_go(READ, [How::Upgrade, READ]));
    holds(1, || three_go(WRITE, [How::Upgrade, How::Upgrade]));
    holds(1, || three_go(READ, [How::UpgradeTimed, WRITE]));
    holds(1, || three_go(READ, [How::UpgradeTimed, How::ReadAsync]));
}

/// What was read under the lock isn't ordered before what the next writer does.
#[test]
fn it_fails_if_unlocking_is_no_release() {
    let fault = "unlocking for reading is no release";
    fails(fault, RACE, 2, || three_go(READ, [WRITE, WRITE]));
}

/// The last reader goes the quick way though a writer waits.
#[test]
fn it_fails_if_the_last_reader_does_not_look() {
    let fault = "the last reader does not look for waiters";
    fails(fault, DEADLOCK, 2, || three_go(READ, [WRITE, WRITE]));
}

/// The last other reader goes the quick way though one waits to upgrade.
#[test]
fn it_fails_if_nobody_looks_for_the_upgrader() {
    let fault = "the last other reader does not look for the upgrader";
    fails(fault, DEADLOCK, 2, || three_go(READ, [How::Upgrade, READ]));
}

/// Those who are told that they have the lock haven't.
#[test]
fn it_fails_if_a_hand_over_takes_nothing() {
    let fault = "a starved writer is handed the lock and readers may come in";
    fails(fault, "", 2, || three_go(WRITE, [READ, READ]));
}

/// A reader stands behind a writer that gives up, and nobody tells it, for the other reader stays.
#[test]
fn it_fails_if_who_gives_up_serves_nobody() {
    let fault = "a writer that gives up serves nobody";
    fails(fault, DEADLOCK, 2, || one_stays([How::WriteTimed, READ]));
}

/// A writer goes, and a future that wants to read isn't woken.
#[test]
fn it_fails_if_futures_are_not_looked_for() {
    let fault = "futures that want to read are not looked for";
    fails(fault, DEADLOCK, 2, || {
        three_go(READ, [How::ReadAsync, WRITE])
    });
}

/// An upgrade that ended at its deadline keeps readers out.
#[test]
fn it_fails_if_a_failed_upgrade_leaves_its_mark() {
    let fault = "an upgrade that fails leaves its mark";
    fails(fault, DEADLOCK, 2, || {
        three_go(READ, [How::UpgradeTimed, READ])
    });
}
