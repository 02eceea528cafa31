//! Bugs that were, each with its story.

use std::cell::Cell;
use std::error::Error;
use std::future::Future;
use std::panic::panic_any;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ropewalk_rt::sync::Mutex;
use ropewalk_rt::{JoinError, Runtime, coroutine, thread};

fn runtime(workers: usize) -> Runtime {
    Runtime::builder()
        .workers(workers)
        .build()
        .expect("a runtime")
}

/// A handle forgot its record when a poll was ready; asking it anything afterwards followed a
/// dangling pointer.
#[test]
fn a_join_handle_may_be_asked_after_it_was_ready() {
    let runtime = runtime(1);
    let mut handle = runtime.spawn(|| 7);
    let id = handle.id();
    let mut context = Context::from_waker(Waker::noop());
    let value = loop {
        if let Poll::Ready(value) = Pin::new(&mut handle).poll(&mut context) {
            break value;
        }
        std::thread::yield_now();
    };
    assert_eq!(value.expect("a value"), 7);
    assert!(handle.is_finished());
    assert_eq!(handle.id(), id);
    assert!(!handle.task().is_alive() || handle.task().id() == id);
    let again = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| handle.join()));
    assert!(again.is_err(), "its value was taken");
    runtime
        .shutdown(Duration::from_secs(120))
        .expect("nobody is left");
}

/// The panic of a wait inside `no_wait` was raised with the queue's lock held: a hook, or a
/// handler, that touched the same object spun for ever.
#[test]
fn a_refused_wait_holds_no_lock() {
    let runtime = runtime(1);
    runtime.run(|| {
        let mutex = Arc::new(Mutex::new(0));
        let held = mutex.lock();
        let theirs = Arc::clone(&mutex);
        let refused = coroutine::spawn(move || coroutine::no_wait(|| drop(theirs.lock())));
        assert!(refused.join().expect_err("refused").is_panic());
        drop(held);
        *mutex.lock() += 1;
        assert_eq!(*mutex.lock(), 1);
    });
    runtime
        .shutdown(Duration::from_secs(120))
        .expect("nobody is left");
}

/// With one worker, a chain of spawns kept work that came from outside from ever starting.
#[test]
fn outside_work_is_not_starved_by_a_chain_of_spawns() {
    fn hop(left: Arc<AtomicU32>) {
        if left.load(Ordering::SeqCst) != 0 {
            drop(coroutine::spawn(move || hop(left)));
        }
    }
    let runtime = runtime(1);
    let going = Arc::new(AtomicU32::new(1));
    let chain = Arc::clone(&going);
    drop(runtime.spawn(move || hop(chain)));
    let outside = Arc::clone(&going);
    runtime.run(move || outside.store(0, Ordering::SeqCst));
    runtime
        .shutdown(Duration::from_secs(120))
        .expect("the chain has ended");
}

/// std panics at a thread name with a NUL; the task's record then stayed among the living, and
/// the program's end waited for it.
#[test]
fn a_thread_name_with_a_nul_is_an_error() {
    let error = thread::Builder::new()
        .name("a\0b")
        .spawn(|| ())
        .expect_err("refused");
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(
        thread::list()
            .iter()
            .all(|info| info.name() != Some("a\0b"))
    );
}

/// Coroutines that only yielded ran on after their runtime had reported them as left.
#[test]
fn a_stopped_runtime_runs_nobody_on() {
    let turns = Arc::new(AtomicU32::new(0));
    let runtime = runtime(1);
    let counted = Arc::clone(&turns);
    drop(runtime.spawn(move || {
        loop {
            counted.fetch_add(1, Ordering::SeqCst);
            coroutine::yield_now();
        }
    }));
    while turns.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    runtime.shutdown(Duration::ZERO).expect_err("it is left");
    let after = turns.load(Ordering::SeqCst);
    (0..1000).for_each(|_| std::thread::yield_now());
    assert_eq!(turns.load(Ordering::SeqCst), after);
}

/// The last owner of a runtime may be one of its own coroutines: dropping it there panicked.
#[test]
fn a_runtime_may_be_dropped_by_its_own_coroutine() {
    let owner = Arc::new(runtime(1));
    let inside = Arc::clone(&owner);
    let (sender, receiver) = std::sync::mpsc::channel();
    let handle = owner.spawn(move || {
        receiver.recv().expect("told when it is the last");
        drop(inside);
        true
    });
    drop(owner);
    sender.send(()).expect("it waits");
    assert!(handle.join().expect("no panic"));
}

/// A payload need not be `Sync`, and so a join's error was not: `?` made no
/// `Box<dyn Error + Send + Sync>` of it, nor what error crates have of that kind.
#[test]
fn the_error_of_a_join_may_be_shared() {
    fn join(body: fn()) -> Result<(), Box<dyn Error + Send + Sync>> {
        let runtime = runtime(1);
        let joined = runtime.spawn(body).join();
        runtime.shutdown(Duration::from_secs(120))?;
        Ok(joined?)
    }
    let error = join(|| panic!("man overboard")).expect_err("it panicked");
    let error = error.downcast::<JoinError>().expect("a join's error");
    assert_eq!(error.panic_message(), Some("man overboard"));

    let error = join(|| panic_any(Cell::new(7))).expect_err("it panicked");
    let error = error.downcast::<JoinError>().expect("a join's error");
    assert_eq!(error.panic_message(), None);
    let payload = error.into_panic().downcast::<Cell<i32>>();
    assert_eq!(payload.expect("what was thrown").get(), 7);
}
