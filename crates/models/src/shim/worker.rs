//! A worker with one coroutine, made small: its loop runs while the coroutine is parked, on the
//! same thread.
//!
//! As the real one, it makes the coroutine runnable when its inbox says so, fires the alarm
//! when its time has come, and looks at the wait when a letter tells of a cancellation. It
//! checks what "one claim, one unpark" promises: never two unparks, never one too many.

use std::cell::Cell;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use loom::sync::{Condvar, Mutex};

use super::clock;
use super::record::Record;
use crate::wait::{Reason, Wait};

/// What others see of a worker.
pub(crate) struct Home {
    inbox: Mutex<Inbox>,
    roused: Condvar,
}

#[derive(Default)]
struct Inbox {
    /// How often the coroutine was made runnable and not yet resumed.
    unparks: u32,
    /// Letters that it was cancelled.
    letters: u32,
}

impl Home {
    pub(crate) fn new() -> Home {
        Home {
            inbox: Mutex::default(),
            roused: Condvar::new(),
        }
    }

    fn tell(&self, say: impl FnOnce(&mut Inbox)) {
        say(&mut self.inbox.lock().expect("no model goes on after a panic"));
        self.roused.notify_all();
    }

    /// Tells the worker that its coroutine was cancelled.
    pub(crate) fn tell_cancelled(&self) {
        self.tell(|inbox| inbox.letters += 1);
    }
}

pub(crate) struct Worker {
    record: *const Record,
    /// The alarm that is armed, and when it goes off.
    alarm: Cell<Option<(NonNull<Wait>, u64)>>,
}

loom::thread_local! {
    static CURRENT: Cell<*const Worker> = Cell::new(ptr::null());
}

/// Runs `f` as the coroutine of `record`, the calling thread as its worker.
pub(crate) fn as_coroutine<R>(record: &Record, f: impl FnOnce() -> R) -> R {
    let worker = Worker {
        record,
        alarm: Cell::new(None),
    };
    CURRENT.with(|current| current.set(&worker));
    let result = f();
    CURRENT.with(|current| current.set(ptr::null()));
    let inbox = record
        .home
        .inbox
        .lock()
        .expect("no model goes on after a panic");
    assert_eq!(inbox.unparks, 0, "made runnable once too often");
    result
}

impl Worker {
    pub(crate) fn current() -> Option<&'static Worker> {
        let current = CURRENT.try_with(Cell::get).ok()?;
        // SAFETY: on the frame of `as_coroutine`, which unsets it; callers use it on this thread,
        // inside that frame.
        unsafe { current.as_ref() }
    }

    pub(crate) fn current_record(&self) -> Option<&'static Record> {
        // SAFETY: as in `current`.
        unsafe { self.record.as_ref() }
    }

    /// Says whether the caller is the worker of `record`'s coroutine.
    pub(crate) fn is_home_of(record: NonNull<Record>) -> bool {
        Worker::current().is_some_and(|worker| ptr::eq(worker.record, record.as_ptr()))
    }

    pub(crate) fn yield_now(&self, _: &Record) {
        loom::thread::yield_now();
    }

    pub(crate) fn spend(&self, _: &Record) {}

    /// # Safety
    ///
    /// The caller has claimed its wait, and does this once.
    pub(crate) unsafe fn unpark(record: NonNull<Record>, _next: bool) {
        // SAFETY: parked or about to be, so alive.
        let home = Arc::clone(unsafe { &record.as_ref().home });
        home.tell(|inbox| inbox.unparks += 1);
    }

    pub(crate) fn park(&self, record: &Record, _: Reason, _: usize) {
        assert!(
            ptr::eq(self.record, record),
            "a coroutine parks on its worker"
        );
        let home = &record.home;
        let mut inbox = home.inbox.lock().expect("no model goes on after a panic");
        loop {
            assert!(inbox.unparks <= 1, "made runnable twice");
            if inbox.unparks == 1 {
                inbox.unparks = 0;
                return;
            }
            if inbox.letters > 0 {
                inbox.letters -= 1;
                drop(inbox);
                if crate::cancel::is_cancelled(record) {
                    // SAFETY: its coroutine is parked in what it names.
                    let to_resume = unsafe { record.wait.get().cancel() };
                    if to_resume.is_some() {
                        return;
                    }
                }
                inbox = home.inbox.lock().expect("no model goes on after a panic");
                continue;
            }
            let Some((wait, deadline)) = self.alarm.get() else {
                inbox = home
                    .roused
                    .wait(inbox)
                    .expect("no model goes on after a panic");
                continue;
            };
            drop(inbox);
            if deadline <= clock::now_ns() {
                self.alarm.set(None);
                // SAFETY: armed, so it is on the frame of the parked coroutine.
                if unsafe { wait.as_ref() }.expire().is_some() {
                    return;
                }
            } else {
                loom::thread::yield_now();
            }
            inbox = home.inbox.lock().expect("no model goes on after a panic");
        }
    }

    /// # Safety
    ///
    /// The alarm's wait stays until [`disarm`](Self::disarm).
    pub(crate) unsafe fn arm(&self, alarm: &Alarm, deadline: u64) {
        self.alarm.set(Some((alarm.0, deadline)));
    }

    /// # Safety
    ///
    /// It was armed by this worker.
    pub(crate) unsafe fn disarm(&self, _: &Alarm) {
        self.alarm.set(None);
    }
}

pub(crate) struct Alarm(NonNull<Wait>);

impl Alarm {
    pub(crate) fn for_wait(wait: &Wait) -> Alarm {
        Alarm(NonNull::from(wait))
    }
}
