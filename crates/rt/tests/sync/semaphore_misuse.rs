//! `Semaphore` used wrongly: an error or a panic that says what is wrong, and nothing lost.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ropewalk_rt::sync::{BoundedSemaphore, Semaphore};
use ropewalk_rt::{coroutine, spawn};

use crate::stage::{on_each, until_waiting};
use crate::who::Polled;

fn panic_message(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).expect_err("a panic");
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => payload.downcast_ref::<&str>().unwrap().to_string(),
    }
}

#[test]
fn a_bounded_one_refuses_what_it_did_not_give() {
    on_each(|| {
        let gate = Arc::new(BoundedSemaphore::new(2));
        let error = gate.release().unwrap_err();
        assert_eq!(error.bound(), 2);
        assert_eq!(
            error.to_string(),
            "a semaphore of 2 released too many times"
        );
        gate.acquire().unwrap().forget();
        assert!(gate.release_many(2).is_err());
        assert_eq!(gate.available_permits(), 1, "all or nothing");
        gate.release().unwrap();
        assert!(gate.release_many(usize::MAX).is_err());
        assert!(gate.release_many(0).is_ok());
        // Also while somebody waits.
        let held = gate.acquire_many(1).unwrap();
        let big = {
            let gate = Arc::clone(&gate);
            spawn(move || gate.acquire_many(2).unwrap().forget())
        };
        until_waiting(big.id(), "waiting for a permit");
        assert!(gate.release_many(2).is_err());
        assert!(!big.is_finished());
        drop(held);
        big.join().unwrap();
        assert_eq!(gate.available_permits(), 0);
    });
}

// Released by hand and by the guard: the guard's drop tells.
#[test]
fn released_twice() {
    let gate = BoundedSemaphore::new(1);
    let permit = gate.acquire().unwrap();
    gate.release().unwrap();
    let message = panic_message(|| drop(permit));
    assert!(message.contains("released by hand"), "{message}");
    assert_eq!(gate.available_permits(), 1);
}

// A wait for more than there can be would never end.
#[test]
fn more_than_there_can_be() {
    let gate = BoundedSemaphore::new(2);
    for message in [
        panic_message(|| drop(gate.acquire_many(3))),
        panic_message(|| drop(gate.acquire_many_async(3))),
        panic_message(|| drop(BoundedSemaphore::new(0).acquire())),
    ] {
        assert!(
            message.contains("permits wanted of a semaphore that has"),
            "{message}"
        );
    }
    assert!(gate.try_acquire_many(3).is_none());
}

#[test]
fn too_many_permits() {
    let permits = Semaphore::new(Semaphore::MAX_PERMITS);
    assert!(panic_message(|| permits.release()).contains("MAX_PERMITS"));
    assert!(panic_message(|| permits.add_permits(usize::MAX)).contains("MAX_PERMITS"));
    assert_eq!(permits.available_permits(), Semaphore::MAX_PERMITS);
    let all = permits.try_acquire_many(Semaphore::MAX_PERMITS).unwrap();
    assert!(permits.try_acquire_many(usize::MAX).is_none());
    drop(all);
    assert!(panic_message(|| _ = Semaphore::new(usize::MAX)).contains("MAX_PERMITS"));
    assert!(panic_message(|| _ = BoundedSemaphore::new(usize::MAX)).contains("MAX_PERMITS"));
}

#[test]
fn permits_of_two_semaphores() {
    let (one, other) = (Semaphore::new(1), Semaphore::new(1));
    let mut permit = one.try_acquire().unwrap();
    let message = panic_message(|| permit.merge(other.try_acquire().unwrap()));
    assert!(message.contains("two semaphores"), "{message}");
    drop(permit);
    assert_eq!((one.available_permits(), other.available_permits()), (1, 1));
}

// A wait that is refused takes nothing and stands in nobody's way.
#[test]
fn waiting_is_refused_inside_no_wait() {
    on_each(|| {
        let permits = Arc::new(Semaphore::new(0));
        let refused = {
            let permits = Arc::clone(&permits);
            spawn(move || coroutine::no_wait(|| permits.acquire().unwrap().forget()))
        };
        assert!(refused.join().unwrap_err().is_panic());
        permits.release();
        coroutine::no_wait(|| permits.acquire().unwrap().forget());
        let mut future = Polled::waiting(permits.acquire_async());
        permits.release();
        assert!(future.poll().is_some());
    });
}
