//! `block_on`: futures by hand, woken from all sides.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use ropewalk_rt::{block_on, channel, coroutine, spawn, thread};

use crate::stage::{in_coroutines, on_each, until_waiting};

/// A value that is set once, for one who waits.
#[derive(Clone, Default)]
struct Promise(Arc<Mutex<(Option<u32>, Option<Waker>)>>);

impl Promise {
    fn keep(&self, value: u32) {
        let waker = {
            let mut inside = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            inside.0 = Some(value);
            inside.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Future for Promise {
    type Output = u32;
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<u32> {
        let mut inside = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match inside.0 {
            Some(value) => Poll::Ready(value),
            None => {
                inside.1 = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

// A future that is ready is polled once and gives its value.
#[test]
fn a_ready_future() {
    on_each(|| {
        assert_eq!(block_on(async { 1 + 1 }), 2);
        let mut polls = 0;
        block_on(poll_fn(|_| {
            polls += 1;
            Poll::Ready(())
        }));
        assert_eq!(polls, 1);
    });
}

// Woken by a thread, or by another coroutine, over and over: no wake is lost.
#[test]
fn woken_from_elsewhere() {
    on_each(|| {
        for round in 0..500 {
            let promise = Promise::default();
            let keep = {
                let promise = promise.clone();
                move || promise.keep(round)
            };
            let keeper = if round % 10 == 0 {
                thread::spawn(keep)
            } else {
                spawn(keep)
            };
            assert_eq!(block_on(promise), round);
            keeper.join().unwrap();
        }
    });
}

// The waiter is a coroutine that surely waits when the wake comes.
#[test]
fn woken_while_parked() {
    in_coroutines(|| {
        let promise = Promise::default();
        let waiter = spawn({
            let promise = promise.clone();
            move || block_on(promise)
        });
        until_waiting(waiter.id(), "awaiting a future");
        promise.keep(4);
        assert_eq!(waiter.join().unwrap(), 4);
    });
}

// The wake comes before the poll returns `Pending`: it is polled again at once, as often as
// that happens.
#[test]
fn woken_before_pending_returns() {
    on_each(|| {
        let mut polls = 0;
        let value = block_on(poll_fn(|context| {
            polls += 1;
            if polls == 100 {
                return Poll::Ready("at last");
            }
            context.waker().wake_by_ref();
            Poll::Pending
        }));
        assert_eq!((value, polls), ("at last", 100));
    });
}

// Several wakes for one poll are one; wakes after the end are nobody's.
#[test]
fn woken_twice_and_too_late() {
    on_each(|| {
        let mut polls = 0;
        let mut kept = None;
        block_on(poll_fn(|context| {
            polls += 1;
            let waker = context.waker().clone();
            waker.wake_by_ref();
            context.waker().wake_by_ref();
            kept = Some(waker);
            if polls == 3 {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }));
        assert_eq!(polls, 3);
        let waker: Waker = kept.expect("kept by the last poll");
        waker.wake_by_ref();
        spawn(move || waker.wake()).join().unwrap();
        // What comes next is not confused by them.
        assert_eq!(block_on(async { 9 }), 9);
    });
}

// Two threads wake the same future at once, again and again; each round ends.
#[test]
fn woken_by_two_at_once() {
    on_each(|| {
        for _ in 0..200 {
            let (first, second) = (Promise::default(), Promise::default());
            let keepers =
                [first.clone(), second.clone()].map(|promise| spawn(move || promise.keep(1)));
            let both = async {
                let (mut first, mut second) = (pin!(first), pin!(second));
                let (mut one, mut two) = (None, None);
                poll_fn(|context| {
                    if one.is_none()
                        && let Poll::Ready(value) = first.as_mut().poll(context)
                    {
                        one = Some(value);
                    }
                    if two.is_none()
                        && let Poll::Ready(value) = second.as_mut().poll(context)
                    {
                        two = Some(value);
                    }
                    match (one, two) {
                        (Some(one), Some(two)) => Poll::Ready(one + two),
                        _ => Poll::Pending,
                    }
                })
                .await
            };
            assert_eq!(block_on(both), 2);
            keepers
                .into_iter()
                .for_each(|keeper| keeper.join().unwrap());
        }
    });
}

// Code inside a poll may itself wait, block on other futures, and panic.
#[test]
fn polls_may_do_anything() {
    on_each(|| {
        let (sender, receiver) = channel::bounded(0);
        let other = spawn(move || sender.send(5).unwrap());
        let value = block_on(async {
            coroutine::yield_now();
            let received = receiver.recv().unwrap();
            received + block_on(async { 1 })
        });
        assert_eq!(value, 6);
        other.join().unwrap();
        let caught = catch_unwind(AssertUnwindSafe(|| block_on(async { panic!("in a poll") })));
        assert_eq!(
            caught.unwrap_err().downcast_ref::<&str>(),
            Some(&"in a poll")
        );
        assert_eq!(block_on(async { 1 }), 1);
    });
}

// A waiting future keeps nobody else of its worker from running.
#[test]
fn others_run_meanwhile() {
    crate::stage::with_workers(1, || {
        let promise = Promise::default();
        let ran = Arc::new(AtomicBool::new(false));
        let other = spawn({
            let (promise, ran) = (promise.clone(), Arc::clone(&ran));
            move || {
                ran.store(true, Ordering::Relaxed);
                promise.keep(1);
            }
        });
        block_on(promise);
        assert!(ran.load(Ordering::Relaxed));
        other.join().unwrap();
    });
}

// A thousand coroutines each wait for a promise of the one before.
#[test]
fn a_chain_of_promises() {
    on_each(|| {
        let ended = Arc::new(AtomicUsize::new(0));
        let first = Promise::default();
        let mut last = first.clone();
        for _ in 0..1_000 {
            let (from, to) = (last, Promise::default());
            last = to.clone();
            let ended = Arc::clone(&ended);
            spawn(move || {
                to.keep(block_on(from) + 1);
                ended.fetch_add(1, Ordering::Relaxed);
            });
        }
        first.keep(0);
        assert_eq!(block_on(last), 1_000);
        crate::stage::until(|| ended.load(Ordering::Relaxed) == 1_000);
    });
}

// A handle that was polled by one `block_on` may be awaited by another, elsewhere.
#[test]
fn a_handle_changes_hands_between_polls() {
    on_each(|| {
        let (go, gone) = channel::bounded::<()>(0);
        let mut handle = spawn(move || {
            gone.recv().unwrap();
            3
        });
        block_on(poll_fn(|context| {
            assert!(Pin::new(&mut handle).poll(context).is_pending());
            assert!(Pin::new(&mut handle).poll(context).is_pending());
            Poll::Ready(())
        }));
        let waiter = spawn(move || block_on(handle).unwrap());
        go.send(()).unwrap();
        assert_eq!(waiter.join().unwrap(), 3);
    });
}
