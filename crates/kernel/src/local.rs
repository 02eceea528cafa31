//! The table of a task's own values, behind `coroutine_local!`.
//!
//! Each coroutine, async task and plain thread has one, made when it is first used. A
//! coroutine's is dropped on the coroutine's own stack after its closure has ended, so that a
//! value's `Drop` may wait; a thread's with the thread's local storage.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use crate::record::{LOCALS, Record};
use crate::worker::Worker;

/// A task's own values, by key: the address of a static.
#[derive(Default)]
pub struct Locals {
    values: RefCell<HashMap<usize, Rc<dyn Any>>>,
    /// Whether they are being dropped: then nothing new is made.
    ending: Cell<bool>,
}

impl Locals {
    /// The value under `key`, if it was made.
    ///
    /// # Safety
    ///
    /// An async task moves between threads, and its values with it. What is given here must not
    /// be cloned, dropped or looked into where that would be a fault for the value's type, and
    /// must be gone before the task's poll returns.
    pub unsafe fn get(&self, key: usize) -> Option<Rc<dyn Any>> {
        self.values.borrow().get(&key).cloned()
    }

    /// Puts a value under `key`. Gives it back if the task is ending.
    ///
    /// # Errors
    ///
    /// The value, if the task's values are being dropped.
    ///
    /// # Safety
    ///
    /// As [`get`](Self::get); and dropping the value on another thread, as the end of an async
    /// task may, is no fault.
    pub unsafe fn put(&self, key: usize, value: Rc<dyn Any>) -> Result<(), Rc<dyn Any>> {
        if self.ending.get() {
            return Err(value);
        }
        let old = self.values.borrow_mut().insert(key, value);
        drop(old);
        Ok(())
    }

    /// Says whether the values are being dropped.
    pub fn is_ending(&self) -> bool {
        self.ending.get()
    }

    /// Drops all. Of several drops that panic, the first one's payload is given.
    fn clear(&self) -> Result<(), Box<dyn Any + Send>> {
        self.ending.set(true);
        let mut result = Ok(());
        loop {
            // One at a time, and outside the borrow: a drop may look at the others.
            let mut values = self.values.borrow_mut();
            let Some(key) = values.keys().next().copied() else {
                return result;
            };
            let value = values.remove(&key);
            drop(values);
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
                match result {
                    Ok(()) => result = Err(payload),
                    // The message has been printed; the payload's drop might panic again.
                    Err(_) => std::mem::forget(payload),
                }
            }
        }
    }
}

impl Drop for Locals {
    fn drop(&mut self) {
        if let Err(payload) = self.clear() {
            resume_unwind(payload);
        }
    }
}

thread_local! {
    static OF_THREAD: Locals = Locals::default();
}

/// Runs `f` with the calling task's values; `None` on a thread whose local storage is gone.
pub fn with<R>(f: impl FnOnce(&Locals) -> R) -> Option<R> {
    let Some(record) = Worker::current().and_then(Worker::current_record) else {
        return OF_THREAD.try_with(f).ok();
    };
    let slot = record.extra().locals.get();
    // SAFETY: the running task's own, on its thread; the borrow ends here.
    let there = unsafe { (*slot).is_some() };
    if !there {
        // SAFETY: as above; nothing was there.
        unsafe { *slot = Some(Box::default()) };
        record.set_flag(LOCALS);
    }
    // SAFETY: there, boxed, and taken away at the task's end only, on this stack.
    let locals: *const Locals = unsafe { (*slot).as_deref().expect("just made") };
    // SAFETY: as above.
    Some(f(unsafe { &*locals }))
}

/// Drops what a task has, at its end, on its own stack. What a drop asks for while this goes
/// on is not made any more; what a callback or the outcome's drop asks for later is made, and
/// dropped by another call of this.
///
/// # Panics
///
/// With the first panic of a value's drop, after all have been dropped.
#[cold]
pub(crate) fn end(record: &Record) {
    let Some(extra) = record.known_extra() else {
        return;
    };
    let slot = extra.locals.get();
    // SAFETY: the ending task's own.
    let Some(locals) = (unsafe { (*slot).as_deref() }) else {
        return;
    };
    let locals: *const Locals = locals;
    // SAFETY: boxed; taken away below.
    let result = unsafe { (*locals).clear() };
    // SAFETY: as above, and nobody looks at it any more.
    drop(unsafe { (*slot).take() });
    record.clear_flag(LOCALS);
    if let Err(payload) = result {
        resume_unwind(payload);
    }
}
