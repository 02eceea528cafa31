//! Code that works with any pool of this process: swapping the pool is a matter of one word.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ropewalk_rt::executor::{
    CoroutinePool, Pool, PoolJoinError, Refusal, SpawnClosure, ThreadPool,
};
use ropewalk_rt::sync::Event;
use ropewalk_rt::{JoinError, coroutine};

use crate::stage::{on_each, until};
use crate::{Crowd, MOMENT};

/// One pool of each kind, with room for two at once.
fn with_each(body: impl Fn(&dyn Fn() -> Any) + Sync) {
    on_each(|| {
        body(&|| Any::Coroutines(CoroutinePool::new(2)));
        body(&|| Any::Threads(ThreadPool::new(2).unwrap()));
    });
}

enum Any {
    Coroutines(CoroutinePool),
    Threads(ThreadPool),
}

/// Calls a generic function with the pool that it is.
macro_rules! with {
    ($any:expr, $function:expr) => {
        match $any {
            Any::Coroutines(pool) => $function(pool),
            Any::Threads(pool) => $function(pool),
        }
    };
}

fn square(n: u64) -> u64 {
    n * n
}

fn takes_work_of_all_kinds(pool: impl Pool + SpawnClosure) {
    assert_eq!(pool.submit(square, (7,)).unwrap().join().unwrap(), 49);
    let word = String::from("captured");
    assert_eq!(pool.spawn(move || word.len()).unwrap().join().unwrap(), 8);
    let squares: Vec<u64> = pool.map(square, 0..1000).map(Result::unwrap).collect();
    assert_eq!(squares, (0..1000).map(square).collect::<Vec<_>>());
    let mut powers: Vec<_> = pool
        .starmap_unordered(u64::pow, [(2, 3), (3, 2)])
        .map(|(number, power)| (number, power.unwrap()))
        .collect();
    powers.sort_unstable();
    assert_eq!(powers, [(0, 8), (1, 9)]);
    let offset = Arc::new(5);
    let sums = pool.spawn_map(0..100_u64, move |n| n + *offset);
    assert_eq!(sums.map(Result::unwrap).sum::<u64>(), 4950 + 500);
    assert_eq!(pool.insights().len(), 2);
    assert!(pool.insights().iter().all(|worker| !worker.name.is_empty()));
    let tasks: u64 = pool.insights().iter().map(|worker| worker.tasks).sum();
    assert!(tasks > 5, "{tasks} tasks");
    pool.shutdown(true, false).unwrap();
    assert!(pool.is_closed());
}

#[test]
fn all_take_work_of_all_kinds() {
    with_each(|new| with!(new(), takes_work_of_all_kinds));
}

fn ends_as_it_is_told(pool: impl Pool + SpawnClosure) {
    assert_eq!(pool.join(), Err(PoolJoinError::StillOpen));
    let go = Arc::new(Event::new());
    let wait = |_| {
        let go = Arc::clone(&go);
        pool.spawn(move || go.wait().is_ok()).unwrap()
    };
    let handles: Vec<_> = (0..2).map(wait).collect();
    pool.close();
    let refused = pool.submit(square, (1,)).unwrap_err();
    assert!(matches!(refused.reason, Refusal::Closed));
    assert!(pool.map(square, 0..3).all(|result| result.is_err()));
    let late = pool.join_timeout(MOMENT).unwrap_err();
    assert!(matches!(late, PoolJoinError::TimedOut { .. }), "{late}");
    go.set();
    pool.join().unwrap();
    assert!(handles.into_iter().all(|handle| handle.join().unwrap()));
}

#[test]
fn all_end_as_they_are_told() {
    with_each(|new| with!(new(), ends_as_it_is_told));
}

fn is_terminated(pool: impl Pool + SpawnClosure) {
    let began = Arc::new(AtomicUsize::new(0));
    let wait = |_| {
        let began = Arc::clone(&began);
        let work = move || {
            began.fetch_add(1, Ordering::SeqCst);
            Event::new().wait().is_err()
        };
        pool.spawn(work).unwrap()
    };
    let handles: Vec<_> = (0..2).map(wait).collect();
    until(|| began.load(Ordering::SeqCst) == 2);
    pool.terminate();
    pool.join().unwrap();
    assert!(handles.into_iter().all(|handle| handle.join().unwrap()));
}

#[test]
fn all_can_be_terminated() {
    with_each(|new| with!(new(), is_terminated));
}

// Chunks too: the panic of one harms no other, and the order stays.
fn keeps_errors_apart(pool: impl Pool) {
    for chunk in [1, 3, 50] {
        let results = pool.map(|n: u32| 12 / n, 0..5).chunk(chunk);
        let values: Vec<_> = results
            .map(|result: Result<u32, JoinError>| result.ok())
            .collect();
        assert_eq!(values, [None, Some(12), Some(6), Some(4), Some(3)]);
    }
}

#[test]
fn all_keep_errors_apart() {
    with_each(|new| with!(new(), keeps_errors_apart));
}

// Items that wait: on coroutines of the pool, so the buffer is filled and no more.
fn holds_back(pool: impl Pool + SpawnClosure) {
    let crowd = Crowd::default();
    let inside = crowd.clone();
    let work = move |n: usize| {
        let _inside = inside.enter();
        coroutine::yield_now();
        n
    };
    let mut map = pool.spawn_map(0.., work).chunk(1).buffer(5);
    for given in 0..50 {
        assert_eq!(map.next().unwrap().unwrap(), given);
        let ahead = crowd.all() - given - 1;
        assert!(ahead <= 5, "{ahead} ahead");
    }
    drop(map);
    pool.shutdown(true, false).unwrap();
}

#[test]
fn all_are_held_back_by_who_takes_the_results() {
    with_each(|new| with!(new(), holds_back));
}
