//! The queue is bounded: who waits for a place, who is refused, and with what.

use std::sync::Arc;
use std::time::Duration;

use ropewalk_rt::executor::{Refusal, ThreadPool};
use ropewalk_rt::sync::Event;
use ropewalk_rt::{Runtime, spawn};

use crate::{Gate, occupy, wait_until, with_drivers};

#[test]
fn a_full_queue_gives_the_closure_back() {
    with_drivers(|builder| {
        let pool = builder.max_threads(1).queue(2).build().unwrap();
        assert_eq!(pool.queue_capacity(), 2);
        let gate = occupy(&pool);
        let first = pool.try_spawn(|| 1).unwrap();
        let second = pool.try_spawn(|| 2).unwrap();
        assert_eq!(pool.queued(), 2);
        let refused = pool.try_spawn(|| 3).unwrap_err();
        assert!(matches!(refused.reason, Refusal::Full));
        assert!(refused.is_full());
        let late = pool
            .spawn_timeout(|| 4, Duration::from_millis(5))
            .unwrap_err();
        assert!(matches!(late.reason, Refusal::TimedOut));
        gate.open();
        assert_eq!((first.join().unwrap(), second.join().unwrap()), (1, 2));
        assert_eq!(pool.spawn(refused.into_work()).unwrap().join().unwrap(), 3);
    });
}

#[test]
fn spawn_waits_for_a_place() {
    with_drivers(|builder| {
        let pool = Arc::new(builder.max_threads(1).queue(1).build().unwrap());
        let gate = occupy(&pool);
        pool.spawn(|| ()).unwrap();
        let other = Arc::clone(&pool);
        let waiting = std::thread::spawn(move || other.spawn(|| 7).unwrap().join().unwrap());
        // It takes the place of the first once that has started.
        gate.open();
        assert_eq!(waiting.join().unwrap(), 7);
    });
}

/// A spawner in a coroutine waits as one, and can be cancelled meanwhile.
#[test]
fn a_cancelled_spawner_keeps_its_closure() {
    with_drivers(|builder| {
        let pool = Arc::new(builder.max_threads(1).queue(1).build().unwrap());
        let gate = occupy(&pool);
        pool.spawn(|| ()).unwrap();
        for workers in [1, 2] {
            let runtime = Runtime::builder().workers(workers).build().unwrap();
            let pool = Arc::clone(&pool);
            let reason = runtime.run(move || {
                let begun = Arc::new(Event::new());
                let told = Arc::clone(&begun);
                let spawner = spawn(move || {
                    told.set();
                    pool.spawn(|| ()).map(drop).unwrap_err().reason
                });
                begun.wait().unwrap();
                spawner.cancel();
                spawner.join().unwrap()
            });
            assert!(matches!(reason, Refusal::Cancelled), "{reason:?}");
        }
        gate.open();
    });
}

/// Closing, or terminating, lets those go who wait for a place.
#[test]
fn who_waits_for_a_place_hears_of_the_end() {
    with_drivers(|builder| {
        let pool = Arc::new(builder.max_threads(1).queue(1).build().unwrap());
        let gate = occupy(&pool);
        let dropped = pool.spawn(|| ()).unwrap();
        let other = Arc::clone(&pool);
        let waiting = std::thread::spawn(move || other.spawn(|| ()).map(drop).unwrap_err());
        pool.terminate();
        assert!(waiting.join().unwrap().is_closed());
        assert!(dropped.join().unwrap_err().is_cancelled());
        gate.open();
    });
}

/// A place is given back when the closure is dropped, run or not.
#[test]
fn places_are_never_lost() {
    with_drivers(|builder| {
        let pool = builder.max_threads(2).queue(4).build().unwrap();
        for round in 0..100 {
            let handle = pool.spawn(move || assert!(round % 3 != 0)).unwrap();
            if round % 5 == 0 {
                handle.cancel();
            }
        }
        wait_until("all have gone", || {
            pool.queued() == 0 && pool.running() == 0
        });
        let gate = Gate::default();
        for _ in 0..2 {
            let gate = gate.clone();
            pool.spawn(move || gate.pass()).unwrap();
        }
        gate.await_waiting(2);
        let handles: Vec<_> = (0..4).map(|_| pool.try_spawn(|| ()).unwrap()).collect();
        assert!(pool.try_spawn(|| ()).is_err());
        gate.open();
        handles.into_iter().for_each(|one| one.join().unwrap());
    });
}

/// In a callback, which must not wait, a full queue is an error and no panic.
#[test]
fn a_callback_is_refused_at_a_full_queue() {
    let pool = Arc::new(
        ThreadPool::builder()
            .max_threads(1)
            .queue(1)
            .build()
            .unwrap(),
    );
    let gate = occupy(&pool);
    let inside = Arc::clone(&pool);
    let (sender, answer) = std::sync::mpsc::channel();
    let done = spawn(|| ());
    pool.spawn(|| ()).unwrap();
    done.on_done(move |_| {
        let refused = inside.spawn(|| ()).map(drop).unwrap_err();
        sender.send(refused.is_full()).unwrap();
    });
    assert!(answer.recv().unwrap());
    gate.open();
}

#[test]
fn no_more_tasks_are_in_progress_than_there_is_room_for() {
    with_drivers(|builder| {
        let pool = Arc::new(builder.max_threads(2).concurrency(3).build().unwrap());
        let event = Arc::new(Event::new());
        let handles: Vec<_> = (0..10)
            .map(|_| {
                let event = Arc::clone(&event);
                pool.spawn(move || event.wait().unwrap()).unwrap()
            })
            .collect();
        wait_until("three are in progress", || pool.running() == 3);
        assert_eq!(pool.queued(), 7);
        event.set();
        handles.into_iter().for_each(|one| one.join().unwrap());
        assert_eq!(pool.completed(), 10);
    });
}
