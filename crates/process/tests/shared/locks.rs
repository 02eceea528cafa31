//! What locks do between the tasks of one process, and of several.

use std::sync::atomic::{AtomicU32, Ordering};

use ropewalk_process::shared::{
    Barrier, BoundedSemaphore, Event, Lock, RLock, RawValue, Semaphore, Value,
};
use ropewalk_rt::coroutine;

use crate::stage::on_each;
use crate::start;

#[test]
fn one_at_a_time_within_a_process() {
    on_each(|| {
        let (lock, again) = (Lock::new().unwrap(), RLock::new().unwrap());
        let (inside, rounds) = (AtomicU32::new(0), AtomicU32::new(0));
        ropewalk_rt::scope(|s| {
            for _ in 0..6 {
                s.spawn(|| {
                    for _ in 0..20 {
                        let _outer = again.lock().unwrap();
                        let _inner = again.lock().unwrap();
                        let _guard = lock.lock().unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        coroutine::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        rounds.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(rounds.into_inner(), 120);
        assert!(!lock.is_locked() && !again.is_locked());
    });
}

/// Adds by reading and writing apart, which only goes well under a lock.
#[ropewalk_macros::task(crate = ropewalk_rt)]
fn add_under_lock(lock: Lock, again: RLock, count: RawValue<u64>, times: u64) {
    ropewalk_rt::scope(|s| {
        for _ in 0..2 {
            s.spawn(|| {
                for _ in 0..times {
                    let _guard = lock.lock().unwrap();
                    let _outer = again.lock().unwrap();
                    let _inner = again.try_lock().unwrap();
                    let now = count.get();
                    std::hint::black_box(());
                    count.set(now + 1);
                }
            });
        }
    });
}

#[test]
fn one_at_a_time_between_processes() {
    let (lock, again) = (Lock::new().unwrap(), RLock::new().unwrap());
    let count = RawValue::new(0_u64).unwrap();
    let all: Vec<_> = (0..3)
        .map(|_| {
            let args = (lock.clone(), again.clone(), count.clone(), 500);
            start(add_under_lock, args)
        })
        .collect();
    for process in all {
        process.join().unwrap();
    }
    assert_eq!(count.get(), 3 * 2 * 500);
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn add_updates(count: Value<u64>, large: Value<[u64; 9]>, times: u64) {
    for _ in 0..times {
        count.update(|count| *count += 1);
        large.update(|large| large.iter_mut().for_each(|part| *part += 1));
        let seen = large.get();
        assert!(seen.iter().all(|part| *part == seen[0]), "torn: {seen:?}");
    }
}

#[test]
fn updates_of_several_processes_are_all_counted() {
    let count = Value::new(0_u64).unwrap();
    let large = Value::new([0_u64; 9]).unwrap();
    let all: Vec<_> = (0..3)
        .map(|_| start(add_updates, (count.clone(), large.clone(), 2_000)))
        .collect();
    for process in all {
        process.join().unwrap();
    }
    assert_eq!(count.get(), 6_000);
    assert_eq!(large.get(), [6_000; 9]);
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn at_most_two(semaphore: Semaphore, inside: Value<u32>, most: Value<u32>) {
    for _ in 0..100 {
        let _permit = semaphore.acquire().unwrap();
        let now = inside.update(|inside| {
            *inside += 1;
            *inside
        });
        most.update(|most| *most = (*most).max(now));
        inside.update(|inside| *inside -= 1);
    }
}

#[test]
fn a_semaphore_lets_so_many_in() {
    let semaphore = Semaphore::new(2).unwrap();
    let (inside, most) = (Value::new(0).unwrap(), Value::new(0).unwrap());
    let all: Vec<_> = (0..4)
        .map(|_| {
            let args = (semaphore.clone(), inside.clone(), most.clone());
            start(at_most_two, args)
        })
        .collect();
    for process in all {
        process.join().unwrap();
    }
    assert_eq!(inside.get(), 0);
    assert!((1..=2).contains(&most.get()), "{}", most.get());
    assert_eq!(semaphore.available_permits(), 2);
}

#[test]
fn permits_go_round_many_coroutines() {
    on_each(|| {
        let semaphore = Semaphore::new(3).unwrap();
        let inside = AtomicU32::new(0);
        ropewalk_rt::scope(|s| {
            for _ in 0..20 {
                s.spawn(|| {
                    for _ in 0..10 {
                        let _permit = semaphore.acquire().unwrap();
                        assert!(inside.fetch_add(1, Ordering::SeqCst) < 3);
                        coroutine::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(semaphore.available_permits(), 3);
    });
}

#[test]
fn a_bounded_semaphore_counts_what_is_held() {
    let semaphore = BoundedSemaphore::new(2).unwrap();
    let held = semaphore.acquire().unwrap();
    assert_eq!(semaphore.release().unwrap_err().bound(), 2);
    semaphore.try_acquire().unwrap().forget();
    semaphore.release().unwrap();
    drop(held);
    assert_eq!((semaphore.available_permits(), semaphore.bound()), (2, 2));
    assert!(Semaphore::new(usize::MAX).is_err());
}

/// A semaphore as a signal: one process gives, the other takes.
#[ropewalk_macros::task(crate = ropewalk_rt)]
fn echo(ping: Semaphore, pong: Semaphore, times: u32) {
    for _ in 0..times {
        ping.acquire().unwrap().forget();
        pong.release();
    }
}

#[test]
fn permits_given_by_another_process_are_signals() {
    on_each(|| {
        let (ping, pong) = (Semaphore::new(0).unwrap(), Semaphore::new(0).unwrap());
        let process = start(echo, (ping.clone(), pong.clone(), 50));
        for _ in 0..50 {
            ping.release();
            pong.acquire().unwrap().forget();
        }
        process.join().unwrap();
        assert_eq!(pong.available_permits(), 0);
    });
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn wait_and_count(ready: Event, go: Event, count: Value<u32>, tasks: u32) {
    ropewalk_rt::scope(|s| {
        for _ in 0..tasks {
            s.spawn(|| {
                count.update(|count| *count += 1);
                go.wait().unwrap();
                count.update(|count| *count -= 1);
            });
        }
        // Who has counted is perhaps only about to wait, and would miss what is taken back at once.
        while waiting() < tasks as usize {
            coroutine::yield_now();
        }
        ready.set();
    });
}

/// How many coroutines of this process wait for something shared.
fn waiting() -> usize {
    let all = coroutine::list();
    let waits = all.iter().map(|task| task.waits_for());
    waits
        .filter(|what| *what == "waiting for the blocking pool")
        .count()
}

#[test]
fn an_event_lets_all_processes_go() {
    on_each(|| {
        let (ready, go) = (Event::new().unwrap(), Event::new().unwrap());
        let count = Value::new(0_u32).unwrap();
        let args = (ready.clone(), go.clone(), count.clone(), 30);
        let process = start(wait_and_count, args);
        ready.wait().unwrap();
        assert_eq!(count.get(), 30);
        go.set();
        go.clear();
        process.join().unwrap();
        assert_eq!(count.get(), 0);
        assert!(!go.is_set());
    });
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn rounds(barrier: Barrier, stage: Value<u32>, tasks: u32) -> u32 {
    ropewalk_rt::scope(|s| {
        let all: Vec<_> = (0..tasks)
            .map(|_| {
                s.spawn(|| {
                    let mut led = 0;
                    for round in 0..20 {
                        assert_eq!(stage.get(), round);
                        // All have looked before the leader of this goes on.
                        if barrier.wait().unwrap().is_leader() {
                            stage.set(round + 1);
                            led += 1;
                        }
                        barrier.wait().unwrap();
                    }
                    led
                })
            })
            .collect();
        all.into_iter().map(|one| one.join().unwrap()).sum()
    })
}

#[test]
fn a_barrier_keeps_processes_in_step() {
    let barrier = Barrier::new(5).unwrap();
    let stage = Value::new(0).unwrap();
    let one = start(rounds, (barrier.clone(), stage.clone(), 2));
    let other = start(rounds, (barrier.clone(), stage.clone(), 2));
    let here = rounds(barrier.clone(), stage.clone(), 1);
    let led = one.join().unwrap() + other.join().unwrap() + here;
    assert_eq!((led, stage.get()), (20, 20));
    assert!(!barrier.is_broken());
    assert_eq!(barrier.waiting(), 0);
}
