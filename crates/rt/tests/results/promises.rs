//! Promises, one thing at a time.

use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::{Duration, Instant};

use ropewalk_rt::cancel::Token;
use ropewalk_rt::promise::promise as pair;
use ropewalk_rt::sync::Mutex;
use ropewalk_rt::{JoinError, block_on, coroutine, spawn_async, thread};

use crate::stage::{on_each, until_waiting};

pub(crate) fn text(payload: &(dyn std::any::Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .expect("a panic with text")
}

/// Runs `test` with each kind of task as the one that sets: a coroutine, a thread, a future.
fn with_each_setter(test: impl Fn(&dyn Fn(Box<dyn FnOnce() + Send>))) {
    test(&|set| drop(coroutine::spawn(set)));
    test(&|set| drop(thread::spawn(set)));
    test(&|set| drop(spawn_async(async move { set() })));
}

// All nine pairings: who waits is a coroutine or a thread (the stage), or a future.
#[test]
fn a_value_comes_from_anywhere_to_anywhere() {
    on_each(|| {
        with_each_setter(|start| {
            let (promise, handle) = pair();
            start(Box::new(move || {
                coroutine::yield_now();
                promise.set(String::from("here")).expect("it is waited for");
            }));
            assert_eq!(handle.join().unwrap(), "here");

            let (promise, handle) = pair::<String>();
            start(Box::new(move || {
                coroutine::yield_now();
                promise
                    .set(String::from("there"))
                    .expect("it is waited for");
            }));
            let awaited = spawn_async(async move { handle.await.unwrap() });
            assert_eq!(awaited.join().unwrap(), "there");
        });
    });
}

// The setter runs when the reader is seen to wait, not before.
#[test]
fn a_reader_that_waits_is_woken() {
    on_each(|| {
        let (promise, handle) = pair();
        let reader = coroutine::spawn(move || handle.join());
        until_waiting(reader.id(), "waiting for a promise");
        promise.set(7).unwrap();
        assert_eq!(reader.join().unwrap().unwrap(), 7);
    });
}

#[test]
fn failing_and_dropping_are_told_apart() {
    on_each(|| {
        let (promise, handle) = pair::<()>();
        promise.fail("no such row").unwrap();
        let error = handle.join().unwrap_err();
        assert!(matches!(&error, JoinError::Failed(inner) if inner.to_string() == "no such row"));
        assert_eq!(error.to_string(), "the promise failed: no such row");

        let (promise, handle) = pair::<()>();
        let reader = coroutine::spawn(move || handle.join());
        until_waiting(reader.id(), "waiting for a promise");
        drop(promise);
        assert!(matches!(reader.join().unwrap(), Err(JoinError::Dropped)));

        // One that is dropped by a panic.
        let (promise, handle) = pair::<()>();
        let setter = coroutine::spawn(move || {
            let _promise = promise;
            panic!("before it was set");
        });
        assert!(matches!(handle.join(), Err(JoinError::Dropped)));
        assert!(setter.join().unwrap_err().is_panic());
    });
}

#[test]
fn what_nobody_can_read_comes_back() {
    let (promise, handle) = pair();
    drop(handle);
    assert!(promise.is_cancelled());
    assert_eq!(promise.set(5), Err(5));

    let (promise, handle) = pair::<i32>();
    handle.cancel();
    assert!(handle.is_finished());
    assert!(promise.is_cancelled());
    let back = promise.fail("lost").unwrap_err();
    assert_eq!(back.to_string(), "lost");
    assert!(matches!(handle.join(), Err(JoinError::Cancelled)));

    let (promise, handle) = pair::<i32>();
    assert!(!promise.is_cancelled());
    drop(handle);
    let back = promise.settle(Err(JoinError::Shutdown)).unwrap_err();
    assert!(back.unwrap_err().is_shutdown());
}

#[test]
fn cancelling_one_that_is_set_does_nothing() {
    let (promise, handle) = pair();
    promise.set(1).unwrap();
    handle.cancel();
    assert_eq!(handle.join().unwrap(), 1);
}

#[test]
fn time_limits_give_the_handle_back() {
    on_each(|| {
        let (promise, handle) = pair();
        let handle = handle.try_join().expect_err("not set yet");
        let handle = handle
            .join_timeout(Duration::ZERO)
            .expect_err("not set yet");
        let handle = handle
            .join_timeout(Duration::from_millis(1))
            .expect_err("not set yet");
        let soon = Instant::now() + Duration::from_millis(1);
        let handle = handle.join_deadline(soon).expect_err("not set yet");
        promise.set("late").unwrap();
        assert_eq!(
            handle.join_timeout(Duration::ZERO).unwrap().unwrap(),
            "late"
        );
    });
}

// The wait is cancelled, not the promise; the timed form gives the handle back.
#[test]
fn a_cancelled_wait() {
    on_each(|| {
        let (promise, handle) = pair::<u8>();
        let reader = coroutine::spawn(move || handle.join());
        until_waiting(reader.id(), "waiting for a promise");
        reader.cancel();
        assert!(reader.join().unwrap().unwrap_err().is_wait_cancelled());
        assert_eq!(promise.set(3), Err(3), "its only reader is gone");

        let (promise, handle) = pair::<u8>();
        let token = Token::new();
        token.cancel();
        let handle = token.run(|| {
            let hour = Duration::from_secs(3600);
            handle.join_timeout(hour).expect_err("cancelled")
        });
        promise.set(4).unwrap();
        // What is there is given even so.
        assert_eq!(token.run(|| handle.join()).unwrap(), 4);
    });
}

#[test]
fn callbacks_come_before_joiners_in_order_and_once() {
    on_each(|| {
        let (promise, handle) = pair();
        let log = Arc::new(Mutex::new(Vec::new()));
        for n in 0..3 {
            let log = Arc::clone(&log);
            handle.on_done(move |outcome| log.lock().push((n, *outcome.as_ref().unwrap())));
        }
        coroutine::spawn(move || promise.set(9).unwrap());
        let handle = match handle.join_timeout(Duration::from_secs(3600)) {
            Ok(outcome) => {
                assert_eq!(outcome.unwrap(), 9);
                None
            }
            Err(handle) => Some(handle),
        };
        assert!(handle.is_none(), "it was set");
        assert_eq!(*log.lock(), [(0, 9), (1, 9), (2, 9)]);

        // Already set: at once.
        let (promise, handle) = pair::<u8>();
        promise.set(1).unwrap();
        let calls = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&calls);
        handle.on_done(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
        });
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        assert_eq!(handle.join().unwrap(), 1);
        assert_eq!(calls.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn callbacks_hear_of_errors_and_outlive_the_handle() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let look = |seen: &Arc<Mutex<Vec<String>>>| {
        let seen = Arc::clone(seen);
        move |outcome: &Result<u8, JoinError>| seen.lock().push(format!("{outcome:?}"))
    };
    let (promise_a, handle) = pair::<u8>();
    handle.on_done(look(&seen));
    drop(promise_a);
    let (promise_b, handle_b) = pair::<u8>();
    handle_b.on_done(look(&seen));
    handle_b.cancel();
    assert_eq!(promise_b.set(1), Err(1));
    // The handle goes, the callback reads the value.
    let (promise_c, handle_c) = pair::<u8>();
    handle_c.on_done(look(&seen));
    drop(handle_c);
    assert!(!promise_c.is_cancelled(), "a callback is left");
    assert_eq!(promise_c.set(2), Ok(()));
    assert_eq!(
        *seen.lock(),
        [
            "Err(JoinError::Dropped)",
            "Err(JoinError::Cancelled)",
            "Ok(2)"
        ]
    );
}

#[test]
fn a_callback_may_neither_wait_nor_spread_its_panic() {
    on_each(|| {
        let (promise, handle) = pair();
        let (never, waits) = pair::<()>();
        let after = Arc::new(AtomicUsize::new(0));
        handle.on_done(|_| panic!("of a callback"));
        handle.on_done(move |_| {
            let caught = catch_unwind(AssertUnwindSafe(|| waits.join()));
            panic!("{}", text(&*caught.expect_err("it may not wait")));
        });
        let count = Arc::clone(&after);
        handle.on_done(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
        });
        promise.set(1).unwrap();
        assert_eq!(handle.join().unwrap(), 1);
        assert_eq!(after.load(Ordering::SeqCst), 1);
        drop(never);
    });
}

// A callback given by a callback, and two threads that give callbacks to one that is set: these
// are called one at a time, as the value need not be `Sync`.
#[test]
fn callbacks_are_called_one_at_a_time() {
    const EACH: usize = 500;
    let (promise, handle) = pair::<Cell<usize>>();
    promise.set(Cell::new(0)).unwrap();
    let handle = Arc::new(handle);
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                for _ in 0..EACH {
                    let inner = Arc::clone(&handle);
                    handle.on_done(move |outcome| {
                        let count = outcome.as_ref().unwrap();
                        let before = count.get();
                        std::thread::yield_now();
                        count.set(before + 1);
                        inner.on_done(|outcome| {
                            let count = outcome.as_ref().unwrap();
                            count.set(count.get() + 1);
                        });
                    });
                }
            });
        }
    });
    let handle = Arc::into_inner(handle).expect("all callbacks were called and dropped");
    assert_eq!(handle.join().unwrap().get(), 4 * EACH * 2);
}

struct Counted(AtomicUsize);

impl Wake for Counted {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_future_keeps_the_newest_waker_and_may_become_a_join() {
    let old = Arc::new(Counted(AtomicUsize::new(0)));
    let new = Arc::new(Counted(AtomicUsize::new(0)));
    let (promise, mut handle) = pair();
    for waker in [&old, &new] {
        let waker = Waker::from(Arc::clone(waker));
        let mut context = Context::from_waker(&waker);
        assert!(Pin::new(&mut handle).poll(&mut context).is_pending());
    }
    promise.set(1).unwrap();
    assert_eq!(old.0.load(Ordering::SeqCst), 0);
    assert_eq!(new.0.load(Ordering::SeqCst), 1);
    assert_eq!(handle.join().unwrap(), 1);
    assert_eq!(Arc::strong_count(&old) + Arc::strong_count(&new), 2);

    // Dropped between two polls: nothing is left behind.
    let (promise, mut handle) = pair::<()>();
    let waker = Waker::from(Arc::clone(&new));
    let mut context = Context::from_waker(&waker);
    assert!(Pin::new(&mut handle).poll(&mut context).is_pending());
    drop(handle);
    drop(waker);
    assert_eq!(Arc::strong_count(&new), 1);
    assert!(promise.is_cancelled());
}

#[test]
fn polled_again_after_it_was_ready() {
    let (promise, mut handle) = pair();
    promise.set(1).unwrap();
    assert_eq!(block_on(&mut handle).unwrap(), 1);
    let again = catch_unwind(AssertUnwindSafe(|| block_on(&mut handle)));
    assert!(text(&*again.unwrap_err()).contains("polled after it was ready"));
    let again = catch_unwind(AssertUnwindSafe(|| handle.on_done(|_| ())));
    assert!(text(&*again.unwrap_err()).contains("was taken"));
}

/// Counts how many values are alive.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Alive {
        count.fetch_add(1, Ordering::SeqCst);
        Alive(Arc::clone(count))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn values_are_dropped_once_whichever_side_goes_first() {
    let count = Arc::new(AtomicUsize::new(0));
    let alive = || count.load(Ordering::SeqCst);

    let (promise, handle) = pair();
    assert!(promise.set(Alive::new(&count)).is_ok());
    assert_eq!(alive(), 1);
    drop(handle);
    assert_eq!(alive(), 0);

    let (promise, handle) = pair::<Alive>();
    drop(handle);
    let back = promise.set(Alive::new(&count));
    assert_eq!(alive(), 1);
    drop(back);
    assert_eq!(alive(), 0);

    let (promise, handle) = pair::<Alive>();
    handle.on_done(|outcome| assert!(outcome.is_ok()));
    drop(handle);
    assert!(promise.set(Alive::new(&count)).is_ok());
    assert_eq!(alive(), 0, "after the callbacks nobody can read it");
}

// What a promise holds may borrow, and need not be `Sync`; a handle can be shared all the same.
#[test]
fn sides_are_send_and_sync() {
    fn check<T: Send + Sync>() {}
    check::<ropewalk_rt::Promise<Cell<u8>>>();
    check::<ropewalk_rt::PromiseHandle<Cell<u8>>>();
    let text = String::from("borrowed");
    let (promise, handle) = pair();
    promise.set(text.as_str()).unwrap();
    handle.on_done(|outcome| assert_eq!(*outcome.as_ref().unwrap(), "borrowed"));
    assert_eq!(handle.join().unwrap(), "borrowed");
}
