//! Async tasks on the workers: waking, blocking inside a poll, cancelling, panics, time.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use ropewalk_rt::cancel::{Token, TokenExt};
use ropewalk_rt::future::{sleep_async, timeout_async, yield_async};
use ropewalk_rt::{block_on, channel, coroutine, spawn_async};

use crate::stage::{in_coroutines, on_each, until};

const FAR: Duration = Duration::from_secs(3600);

/// Counts its drop.
struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn they_give_values_to_joiners_and_to_each_other() {
    on_each(|| {
        let inner = spawn_async(async { 20 });
        let outer = spawn_async(async move { inner.await.unwrap() + 1 });
        let last = coroutine::spawn(move || block_on(outer).unwrap() * 2);
        assert_eq!(last.join().unwrap(), 42);
        let large = spawn_async(async { [7_u8; 4096] });
        assert_eq!(large.join().unwrap(), [7; 4096]);
    });
}

#[test]
fn many_of_them_yield_to_each_other() {
    on_each(|| {
        let count = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..200)
            .map(|_| {
                let count = Arc::clone(&count);
                spawn_async(async move {
                    for _ in 0..50 {
                        count.fetch_add(1, Ordering::SeqCst);
                        yield_async().await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.join().unwrap();
        }
        assert_eq!(count.load(Ordering::SeqCst), 200 * 50);
    });
}

#[test]
fn wakers_may_be_used_from_anywhere_and_too_often() {
    on_each(|| {
        type Slot = Arc<Mutex<Option<Waker>>>;
        let slot: Slot = Slot::default();
        let polls = Arc::new(AtomicUsize::new(0));
        let (theirs, counted) = (Arc::clone(&slot), Arc::clone(&polls));
        let task = spawn_async(poll_fn(move |context| {
            *theirs.lock().unwrap() = Some(context.waker().clone());
            if counted.fetch_add(1, Ordering::SeqCst) == 3 {
                return Poll::Ready("done");
            }
            Poll::Pending
        }));
        for turn in 1..=3 {
            until(|| polls.load(Ordering::SeqCst) == turn);
            let waker = slot.lock().unwrap().clone().unwrap();
            std::thread::spawn(move || {
                let copies: Vec<_> = (0..10).map(|_| waker.clone()).collect();
                waker.wake();
                drop(copies);
            })
            .join()
            .unwrap();
        }
        assert_eq!(task.join().unwrap(), "done");
        let stale = slot.lock().unwrap().take().unwrap();
        stale.wake_by_ref();
        stale.wake();
        assert_eq!(polls.load(Ordering::SeqCst), 4);
    });
}

#[test]
fn a_poll_that_blocks_keeps_nobody_else_waiting() {
    crate::stage::with_workers(1, || {
        let (sender, receiver) = channel::unbounded();
        let blocking = spawn_async(async move { receiver.recv().unwrap() });
        let others: Vec<_> = (0..10).map(|n| spawn_async(async move { n })).collect();
        let sum: u32 = others.into_iter().map(|task| task.join().unwrap()).sum();
        sender.send(sum).unwrap();
        assert_eq!(blocking.join().unwrap(), 45);
    });
}

/// They never returned `Pending`, and so kept their worker for ever.
#[test]
fn a_loop_over_futures_that_are_always_ready_gives_way() {
    use ropewalk_rt::queue::Queue;
    use ropewalk_rt::sync::{Mutex, MutexExt, Semaphore};
    use std::sync::atomic::AtomicBool;
    crate::stage::with_workers(1, || {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let (sender, receiver) = channel::bounded(4);
        let queue = Queue::unbounded();
        let (lock, semaphore) = (Mutex::new(0), Semaphore::new(1));
        let tasks = [
            spawn_async(async move {
                while !seen.load(Ordering::SeqCst) {
                    sender.send_async(1).await.unwrap();
                    receiver.recv_async().await.unwrap();
                }
            }),
            {
                let seen = Arc::clone(&stop);
                spawn_async(async move {
                    while !seen.load(Ordering::SeqCst) {
                        queue.put_async(1).await.unwrap();
                        queue.get_async().await.unwrap();
                        *lock.lock_async().await += 1;
                        drop(semaphore.acquire_async().await);
                    }
                })
            },
        ];
        coroutine::yield_now();
        stop.store(true, Ordering::SeqCst);
        for task in tasks {
            task.join().unwrap();
        }
    });
}

#[test]
fn cancelling_drops_the_future() {
    on_each(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let held = Dropped(Arc::clone(&drops));
        let polled = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&polled);
        let task = spawn_async(async move {
            let _held = held;
            seen.store(1, Ordering::SeqCst);
            std::future::pending::<()>().await;
        });
        until(|| polled.load(Ordering::SeqCst) == 1);
        assert!(!task.is_finished());
        task.cancel();
        assert!(task.join().unwrap_err().is_cancelled());
        assert_eq!(drops.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_token_reaches_them() {
    on_each(|| {
        let drops = Arc::new(AtomicUsize::new(0));
        let never = || {
            let held = Dropped(Arc::clone(&drops));
            spawn_async(async move {
                let _held = held;
                std::future::pending::<()>().await;
            })
        };
        let token = Token::new();
        let tasks: Vec<_> = token.run(|| (0..10).map(|_| never()).collect());
        token.cancel();
        for task in tasks {
            assert!(task.join().unwrap_err().is_cancelled());
        }
        assert_eq!(drops.load(Ordering::SeqCst), 10);
        // A deadline, too.
        let task = Token::with_timeout(Duration::from_millis(4)).run(never);
        assert!(task.join().unwrap_err().is_cancelled());
        assert_eq!(drops.load(Ordering::SeqCst), 11);
    });
}

#[test]
fn a_panic_is_the_handles() {
    on_each(|| {
        let task = spawn_async(async {
            yield_async().await;
            std::panic::resume_unwind(Box::new("of this task"));
        });
        let error: ropewalk_rt::JoinError = task.join().map(|(): ()| ()).unwrap_err();
        assert_eq!(error.panic_message(), Some("of this task"));

        struct PanicsOnDrop;
        impl Future for PanicsOnDrop {
            type Output = u8;
            fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<u8> {
                Poll::Ready(1)
            }
        }
        impl Drop for PanicsOnDrop {
            fn drop(&mut self) {
                std::panic::resume_unwind(Box::new("while dropped"));
            }
        }
        let error = spawn_async(PanicsOnDrop).join().unwrap_err();
        assert_eq!(error.panic_message(), Some("while dropped"));
    });
}

#[test]
fn time_passes_for_futures() {
    on_each(|| {
        let begun = Instant::now();
        block_on(sleep_async(Duration::from_millis(3)));
        assert!(begun.elapsed() >= Duration::from_millis(3));
        let task = spawn_async(async {
            let begun = Instant::now();
            sleep_async(Duration::from_millis(3)).await;
            begun.elapsed()
        });
        assert!(task.join().unwrap() >= Duration::from_millis(3));
        let late = block_on(timeout_async(Duration::from_millis(2), sleep_async(FAR)));
        assert!(late.is_err());
        let early = block_on(timeout_async(FAR, async { 5 }));
        assert_eq!(early.unwrap(), 5);
    });
}

#[test]
fn dropped_timers_are_taken_out() {
    on_each(|| {
        for round in 0..2_000 {
            let mut sleep = Box::pin(sleep_async(FAR));
            let mut context = Context::from_waker(Waker::noop());
            assert!(sleep.as_mut().poll(&mut context).is_pending());
            if round % 2 == 0 {
                // From another thread than the one that armed it.
                std::thread::scope(|s| {
                    if round % 100 == 0 {
                        s.spawn(move || drop(sleep));
                    }
                });
            }
        }
    });
}

// Regression: a deadline that passed while the task was polled was nobody's to tell, and the task waited
// for ever.
#[test]
fn a_deadline_that_passes_during_a_poll_ends_the_task() {
    on_each(|| {
        let token = Token::with_timeout(Duration::from_millis(5));
        let task = token.run(|| {
            spawn_async(async {
                std::thread::sleep(Duration::from_millis(10));
                std::future::pending::<()>().await;
            })
        });
        assert!(task.join().unwrap_err().is_cancelled());
    });
}

#[test]
fn a_thousand_futures_sleep_at_once() {
    in_coroutines(|| {
        let tasks: Vec<_> = (0..1000)
            .map(|n| {
                spawn_async(async move {
                    sleep_async(Duration::from_micros(n % 7 * 300)).await;
                    n
                })
            })
            .collect();
        let sum: u64 = tasks.into_iter().map(|task| task.join().unwrap()).sum();
        assert_eq!(sum, 499_500);
    });
}

#[test]
fn a_runtime_that_stops_reports_those_that_wait_and_drops_those_woken_later() {
    let runtime = crate::stage::any_runtime(1);
    let slot: Arc<Mutex<Option<Waker>>> = Arc::default();
    let drops = Arc::new(AtomicUsize::new(0));
    let (theirs, held) = (Arc::clone(&slot), Dropped(Arc::clone(&drops)));
    let task = runtime.run(move || {
        spawn_async(async move {
            let _held = held;
            poll_fn(|context| {
                *theirs.lock().unwrap() = Some(context.waker().clone());
                Poll::<()>::Pending
            })
            .await;
        })
    });
    until(|| slot.lock().unwrap().is_some());
    let left = runtime.shutdown(Duration::ZERO).unwrap_err();
    assert_eq!(left.left.len(), 1);
    slot.lock().unwrap().take().unwrap().wake();
    assert!(task.join().unwrap_err().is_shutdown());
    assert_eq!(drops.load(Ordering::SeqCst), 1);
}
