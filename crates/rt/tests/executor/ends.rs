//! How a pool of coroutines ends.

use std::sync::Arc;

use ropewalk_rt::executor::{CoroutinePool, PoolJoinError, Refusal, RunTask};
use ropewalk_rt::sync::Event;
use ropewalk_rt::{JoinHandle, coroutine, spawn, thread};

use crate::stage::{on_each, until};
use crate::{Crowd, MOMENT};

/// A pool of one with a task that runs, until the event is set or it is cancelled, and three that are queued.
fn busy() -> (Arc<CoroutinePool>, Arc<Event>, Vec<JoinHandle<bool>>) {
    let pool = Arc::new(CoroutinePool::new(1));
    let go = Arc::new(Event::new());
    let work = |_| {
        let go = Arc::clone(&go);
        pool.spawn(move || go.wait().is_ok()).unwrap()
    };
    let handles: Vec<_> = (0..4).map(work).collect();
    until(|| {
        let runs = coroutine::list()
            .iter()
            .any(|task| task.id() == handles[0].id() && task.waits_for() == "waiting for an event");
        runs && pool.queued() == 3
    });
    (pool, go, handles)
}

fn ends(handles: Vec<JoinHandle<bool>>) -> Vec<Option<bool>> {
    let end = |handle: JoinHandle<bool>| match handle.join() {
        Ok(value) => Some(value),
        Err(error) => {
            assert!(error.is_cancelled(), "{error}");
            None
        }
    };
    handles.into_iter().map(end).collect()
}

#[test]
fn closing_drains() {
    on_each(|| {
        let (pool, go, handles) = busy();
        assert_eq!(pool.join(), Err(PoolJoinError::StillOpen));
        pool.close();
        pool.close();
        let refused = pool.spawn(|| ()).unwrap_err();
        assert!(refused.is_closed(), "{refused}");
        let refused = pool.submit(|n: u8| n, (1,)).unwrap_err();
        assert!(matches!(refused.reason, Refusal::Closed));
        let late = PoolJoinError::TimedOut {
            pending: 3,
            running: 1,
        };
        assert_eq!(pool.join_timeout(MOMENT), Err(late));
        go.set();
        pool.join().unwrap();
        pool.join().unwrap();
        assert_eq!(ends(handles), [Some(true); 4]);
    });
}

#[test]
fn shutdown_waits_and_may_drop_what_is_queued() {
    on_each(|| {
        let (pool, go, handles) = busy();
        pool.shutdown(false, true).unwrap();
        go.set();
        pool.shutdown(true, false).unwrap();
        assert_eq!(ends(handles), [Some(true), None, None, None]);
    });
}

#[test]
fn terminating_cancels_all() {
    on_each(|| {
        let (pool, _go, handles) = busy();
        pool.terminate();
        pool.terminate();
        assert!(pool.spawn(|| ()).unwrap_err().is_closed());
        pool.join().unwrap();
        assert_eq!(ends(handles), [Some(false), None, None, None]);
    });
}

// What its work has spawned is cancelled with it.
#[test]
fn terminating_reaches_what_was_spawned() {
    on_each(|| {
        let pool = CoroutinePool::new(1);
        let outer = pool
            .spawn(|| spawn(|| Event::new().wait().is_err()))
            .unwrap();
        let inner = outer.join().unwrap();
        pool.terminate();
        // Cancelled while it waited, or before its first turn.
        assert!(inner.join().is_ok_and(|told| told) || pool.is_closed());
    });
}

#[test]
fn dropping_waits() {
    on_each(|| {
        let crowd = Crowd::default();
        {
            let pool = CoroutinePool::new(2);
            for _ in 0..50 {
                let crowd = crowd.clone();
                drop(pool.spawn(move || {
                    coroutine::yield_now();
                    drop(crowd.enter());
                }));
            }
        }
        assert_eq!(crowd.all(), 50);
    });
}

// The last reference to the pool is its own task's: it can't wait for itself.
#[test]
fn its_own_task_may_drop_it() {
    on_each(|| {
        let pool = Arc::new(CoroutinePool::new(1));
        let (inside, go) = (Arc::clone(&pool), Arc::new(Event::new()));
        let handle = {
            let go = Arc::clone(&go);
            pool.spawn(move || {
                go.wait().unwrap();
                let ended = inside.join();
                inside.close();
                (ended, inside.join())
            })
        };
        let handle = handle.unwrap();
        drop(pool);
        go.set();
        let expected = (Err(PoolJoinError::StillOpen), Err(PoolJoinError::Inside));
        assert_eq!(handle.join().unwrap(), expected);
    });
}

#[test]
fn who_waits_for_the_end_can_be_cancelled() {
    on_each(|| {
        let (pool, go, handles) = busy();
        pool.close();
        let waiter = {
            let pool = Arc::clone(&pool);
            thread::spawn(move || pool.join())
        };
        waiter.cancel();
        let end = waiter.join();
        go.set();
        assert_eq!(ends(handles), [Some(true); 4]);
        // It may have been cancelled before it began.
        match end {
            Ok(joined) => assert_eq!(joined, Err(PoolJoinError::Cancelled)),
            Err(error) => assert!(error.is_cancelled(), "{error}"),
        }
    });
}
