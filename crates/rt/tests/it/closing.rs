//! Whatever a runtime's tasks wait for among themselves: closing the runtime ends it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ropewalk_rt::channel::{bounded, broadcast, select, unbounded, watch};
use ropewalk_rt::future::{block_on_cancellable, sleep_async};
use ropewalk_rt::generator::Generator;
use ropewalk_rt::queue::Queue;
use ropewalk_rt::sync::{Barrier, Condvar, Event, Mutex, RateLimiter, Semaphore};
use ropewalk_rt::{Runtime, cancel, coroutine, promise};

use crate::stage::{PATIENCE, drivers, runtime, until, worker_counts};

const HOUR: Duration = Duration::from_secs(3600);

type Waiter = Box<dyn FnOnce() + Send>;

/// What waits until the runtime closes; the other ends are kept by `kept`.
fn waiters(kept: &mut Vec<Box<dyn Send>>) -> Vec<Waiter> {
    let (to_nobody, from_nobody) = bounded::<u8>(1);
    let (full, unread) = bounded::<u8>(1);
    full.send(1).unwrap();
    let (meeting, absent) = bounded::<u8>(0);
    let (unselected, selected) = unbounded::<u8>();
    let (changing, mut changed) = watch::channel(1);
    changed.borrow_and_update();
    let (casting, mut cast) = broadcast::channel::<u8>(4);
    let (promising, promised) = promise::<u8>();
    let event = Arc::new(Event::new());
    let never = || Arc::clone(&event);
    let events: [Arc<Event>; 7] = std::array::from_fn(|_| never());
    let [plain, scoped, joined, generated, futured, tasked, selecting] = events;
    kept.push(Box::new((
        to_nobody, unread, absent, unselected, changing, casting,
    )));
    kept.push(Box::new((promising, event)));
    vec![
        Box::new(move || assert!(plain.wait().is_err())),
        Box::new(move || assert!(from_nobody.recv().is_err())),
        Box::new(move || assert!(full.send(2).is_err())),
        Box::new(move || assert!(meeting.send(2).is_err())),
        Box::new(move || {
            let (_kept, nothing) = bounded::<u8>(1);
            select! {
                recv(selected) -> message => assert!(message.is_err()),
                recv(nothing) -> message => assert!(message.is_err()),
            }
            drop(selecting);
        }),
        Box::new(move || assert!(changed.changed().is_err())),
        Box::new(move || assert!(cast.recv().is_err())),
        Box::new(move || assert!(promised.join().is_err())),
        Box::new(|| assert!(Queue::<u8>::unbounded().get().is_err())),
        Box::new(|| assert!(Semaphore::new(0).acquire().is_err())),
        Box::new(|| assert!(Barrier::new(2).wait_cancellable().is_err())),
        Box::new(|| {
            let (lock, changed) = (Mutex::new(()), Condvar::new());
            let mut guard = lock.lock();
            assert!(changed.wait_cancellable(&mut guard).is_err());
        }),
        Box::new(|| {
            let limiter = RateLimiter::new(1, HOUR);
            limiter.acquire().unwrap();
            assert!(limiter.acquire().is_err());
        }),
        Box::new(|| assert!(cancel::sleep(HOUR).is_err())),
        Box::new(move || {
            coroutine::scope(|s| {
                s.spawn(|| assert!(scoped.wait().is_err()));
            });
        }),
        Box::new(move || {
            let child = coroutine::spawn(move || assert!(joined.wait().is_err()));
            drop(child.join());
        }),
        Box::new(move || {
            let mut body = Generator::<(), (), ()>::new(move |_, ()| {
                assert!(generated.wait().is_err());
            });
            body.resume(());
        }),
        Box::new(move || assert!(block_on_cancellable(futured.wait_async()).is_err())),
        Box::new(move || {
            let task = ropewalk_rt::spawn_async(async move {
                tasked.wait_async().await;
            });
            drop(task.join());
        }),
        Box::new(|| {
            let task = ropewalk_rt::spawn_async(sleep_async(HOUR));
            drop(task.join());
        }),
    ]
}

fn close(runtime: Runtime) {
    if let Err(left) = runtime.close(PATIENCE) {
        panic!("left behind: {left}");
    }
}

#[test]
fn every_wait_ends_when_the_runtime_closes() {
    for driver in drivers() {
        for workers in worker_counts() {
            let mut kept = Vec::new();
            let runtime = runtime(driver, workers);
            let begun = Arc::new(AtomicUsize::new(0));
            let handles: Vec<_> = waiters(&mut kept)
                .into_iter()
                .map(|waiter| {
                    let begun = Arc::clone(&begun);
                    runtime.spawn(move || {
                        begun.fetch_add(1, Ordering::SeqCst);
                        waiter();
                    })
                })
                .collect();
            until(|| begun.load(Ordering::SeqCst) == handles.len());
            close(runtime);
            for (n, handle) in handles.into_iter().enumerate() {
                assert!(handle.join().is_ok(), "number {n}");
            }
        }
    }
}
