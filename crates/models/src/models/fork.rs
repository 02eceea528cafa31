//! Fork and join: a half that is taken back or stolen, and a joiner that is cancelled.

use std::panic::Location;
use std::ptr::NonNull;
use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::thread;

use super::{DEADLOCK, RACE, fails, holds};
use crate::cancel::cancel_coroutine;
use crate::job::{begin, join_here};
use crate::shim::jobs::{Record, Worker, task};
use crate::worker::as_coroutine;

/// What both halves' results and the joiner use.
struct Value(UnsafeCell<()>);

// SAFETY: loom checks it.
unsafe impl Send for Value {}

/// What else happens to a joiner.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Besides {
    Nothing,
    /// It is cancelled.
    Cancelled,
    /// It is cancelled, and a stolen half ends only when it is told.
    CancelledAndTold,
}

/// One joins, another steals the second half if it still finds it.
fn one_joins(besides: Besides) {
    let worker = Arc::new(Worker::new());
    let waits = Arc::new(crate::record::Record::new());
    let joiner = Arc::new(Record::new(Some(Arc::clone(&waits))));
    let thief = Arc::new(Record::new(None));
    let stealing = {
        let (worker, thief) = (Arc::clone(&worker), Arc::clone(&thief));
        thread::spawn(move || {
            if let Some(job) = worker.steal() {
                // SAFETY: just taken out.
                unsafe { begin(&thief, job) };
            }
            // SAFETY: the runner's reference; the records last.
            unsafe { task::release(NonNull::from(&*thief)) };
        })
    };
    let cancelling = (besides != Besides::Nothing).then(|| {
        let waits = Arc::clone(&waits);
        thread::spawn(move || cancel_coroutine(&waits))
    });
    let mut frame = Value(UnsafeCell::new(()));
    let here = thread::current().id();
    let (first, second) = as_coroutine(&waits, || {
        let frame = &mut frame;
        let thief = Arc::clone(&thief);
        join_here(
            &worker,
            &joiner,
            Location::caller(),
            || Value(UnsafeCell::new(())),
            move || {
                if besides == Besides::CancelledAndTold && thread::current().id() != here {
                    thief.wait_until_told();
                }
                frame.0.with_mut(|_| ());
                Value(UnsafeCell::new(()))
            },
        )
    });
    for value in [first, second, frame] {
        value.0.with_mut(|_| ());
    }
    stealing.join().unwrap();
    if let Some(cancelling) = cancelling {
        cancelling.join().unwrap();
    }
}

#[test]
fn a_half_runs_once_and_its_value_arrives() {
    holds(3, || one_joins(Besides::Nothing));
}

#[test]
fn a_cancelled_joiner_tells_its_stolen_half() {
    holds(2, || one_joins(Besides::Cancelled));
    holds(2, || one_joins(Besides::CancelledAndTold));
}

/// The joiner sleeps on.
#[test]
fn it_fails_if_the_end_of_a_half_wakes_nobody() {
    fails("the end of a stolen half wakes nobody", DEADLOCK, 3, || {
        one_joins(Besides::Nothing)
    });
}

/// The joiner comes after the end, and waits for another.
#[test]
fn it_fails_if_a_joiner_does_not_look() {
    let fault = "a joiner does not look whether its half is done";
    fails(fault, DEADLOCK, 3, || one_joins(Besides::Nothing));
}

/// Then the runner may still be using the frame that the joiner leaves.
#[test]
fn it_fails_if_a_joiner_looks_without_the_lock() {
    let fault = "a joiner looks without the lock";
    fails(fault, RACE, 3, || one_joins(Besides::Nothing));
}

/// Stolen after its joiner was cancelled, it never learns of it.
#[test]
fn it_fails_if_a_half_that_has_not_begun_is_not_told() {
    let fault = "a cancelled joiner leaves no word for a half that has not begun";
    fails(fault, DEADLOCK, 2, || one_joins(Besides::CancelledAndTold));
}

/// It ends while it is being told.
#[test]
fn it_fails_if_a_half_is_told_without_a_reference() {
    let fault = "a half is told of a cancellation without a reference to its record";
    fails(fault, "", 2, || one_joins(Besides::Cancelled));
}
