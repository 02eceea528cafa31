//! The values of async tasks: their own, wherever they are polled.

use std::cell::Cell;
use std::collections::HashSet;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::thread::ThreadId;

use ropewalk_rt::{coroutine, coroutine_local, join_all, spawn_async};

use crate::stage::{in_coroutines, with_workers};

/// Gives way once.
async fn pause() {
    let mut paused = false;
    poll_fn(|context| {
        if std::mem::replace(&mut paused, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Each async task has its own value, and finds it after every wait.
#[test]
fn an_async_task_has_its_own() {
    static DROPPED: AtomicU32 = AtomicU32::new(0);
    struct Mine(Cell<u32>);
    impl Drop for Mine {
        fn drop(&mut self) {
            coroutine::yield_now();
            DROPPED.fetch_add(1, Ordering::SeqCst);
        }
    }
    coroutine_local!(static MINE: Mine = Mine(Cell::new(0)));
    in_coroutines(|| {
        DROPPED.store(0, Ordering::SeqCst);
        let tasks: Vec<_> = (1..=40)
            .map(|n| {
                spawn_async(async move {
                    assert_eq!(MINE.with(|mine| mine.0.replace(n)), 0);
                    for _ in 0..20 {
                        pause().await;
                        // A wait that blocks: the task is a coroutine meanwhile.
                        coroutine::yield_now();
                        assert_eq!(MINE.with(|mine| mine.0.get()), n);
                    }
                })
            })
            .collect();
        for result in join_all(tasks) {
            result.unwrap();
        }
        assert_eq!(DROPPED.load(Ordering::SeqCst), 40);
    });
}

/// A value that isn't `Send` doesn't follow its task to another worker: there it is an error, and
/// it is dropped by its own thread or not at all.
///
/// Broken on purpose: take `Stays` out of the macro; a count that isn't atomic is then changed
/// by two threads.
#[test]
fn what_is_not_send_does_not_move() {
    static DROPPED_ON: Mutex<Vec<(ThreadId, ThreadId)>> = Mutex::new(Vec::new());
    struct Bound(ThreadId, #[allow(dead_code)] Rc<()>);
    impl Drop for Bound {
        fn drop(&mut self) {
            let here = std::thread::current().id();
            DROPPED_ON.lock().unwrap().push((self.0, here));
        }
    }
    coroutine_local!(static BOUND: Bound = Bound(std::thread::current().id(), Rc::new(())));
    with_workers(2, || {
        let tasks: Vec<_> = (0..50)
            .map(|_| {
                spawn_async(async {
                    let made_on = BOUND.with(|bound| bound.0);
                    let mut refused = HashSet::new();
                    for _ in 0..50 {
                        pause().await;
                        let here = std::thread::current().id();
                        match BOUND.try_with(|bound| bound.0) {
                            Ok(found) => assert_eq!((found, here), (made_on, made_on)),
                            Err(_) => {
                                assert_ne!(here, made_on);
                                refused.insert(here);
                            }
                        }
                    }
                    refused.len()
                })
            })
            .collect();
        for refused in join_all(tasks) {
            assert!(refused.unwrap() <= 1, "there are two workers");
        }
    });
    let dropped = DROPPED_ON.lock().unwrap();
    assert!(dropped.iter().all(|(made_on, here)| made_on == here));
}
