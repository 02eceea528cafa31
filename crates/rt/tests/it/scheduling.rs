//! Who runs when and where: fairness, stealing, staying put, sleeping.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ropewalk_rt::sync::{Condvar, Mutex};
use ropewalk_rt::{channel, coroutine, spawn};

use crate::stage::{in_coroutines, on_each, until, with_runtimes, with_workers};

// Two that do nothing but give way take turns: neither is ever far ahead of the other.
#[test]
fn yielders_alternate() {
    const TURNS: usize = 1_000;
    with_workers(1, || {
        let turns = Mutex::new(Vec::with_capacity(2 * TURNS));
        coroutine::scope(|s| {
            for who in [0i64, 1] {
                let turns = &turns;
                s.spawn(move || {
                    for _ in 0..TURNS {
                        turns.lock().push(who);
                        coroutine::yield_now();
                    }
                });
            }
        });
        let (mut lead, mut lead_max) = (0i64, 0);
        for who in turns.into_inner() {
            lead += 2 * who - 1;
            lead_max = lead_max.max(lead.abs());
        }
        assert_eq!(lead, 0);
        assert!(lead_max <= 2, "one was {lead_max} turns ahead");
    });
}

// A hundred yielders all get on: when the first is done, no other lags behind by much.
#[test]
fn a_crowd_of_yielders_keeps_step() {
    const TURNS: usize = 200;
    with_workers(1, || {
        let steps: Vec<_> = (0..100).map(|_| AtomicUsize::new(0)).collect();
        let behind = Mutex::new(None);
        coroutine::scope(|s| {
            for mine in &steps {
                let (steps, behind) = (&steps, &behind);
                s.spawn(move || {
                    for _ in 0..TURNS {
                        mine.fetch_add(1, Ordering::Relaxed);
                        coroutine::yield_now();
                    }
                    let last = steps.iter().map(|step| step.load(Ordering::Relaxed)).min();
                    behind.lock().get_or_insert(last.unwrap());
                });
            }
        });
        let behind = behind.into_inner().unwrap();
        assert!(behind >= TURNS / 2, "the last was at {behind} of {TURNS}");
    });
}

// A coroutine that sends and receives without ever having to wait gives way all the same: a
// third on its worker gets to run and tells it to stop.
#[test]
fn what_never_waits_gives_way() {
    with_workers(1, || {
        let stop = AtomicBool::new(false);
        coroutine::scope(|s| {
            s.spawn(|| {
                let (sender, receiver) = channel::bounded(1);
                while !stop.load(Ordering::Relaxed) {
                    sender.send(1).unwrap();
                    receiver.recv().unwrap();
                }
            });
            s.spawn(|| stop.store(true, Ordering::Relaxed));
        });
    });
}

// Two that hand each other messages for ever wake each other to run next, again and again; a
// third that is merely runnable still gets its turn.
#[test]
fn a_pair_in_lively_exchange_starves_nobody() {
    with_workers(1, || {
        let stop = AtomicBool::new(false);
        coroutine::scope(|s| {
            let (ping, pinged) = channel::bounded::<()>(0);
            let (pong, ponged) = channel::bounded::<()>(0);
            let stop = &stop;
            s.spawn(
                move || {
                    while ping.send(()).is_ok() && ponged.recv().is_ok() {}
                },
            );
            s.spawn(move || {
                while pinged.recv().is_ok() && !stop.load(Ordering::Relaxed) {
                    pong.send(()).unwrap();
                }
            });
            s.spawn(move || {
                for _ in 0..100 {
                    coroutine::yield_now();
                }
                stop.store(true, Ordering::Relaxed);
            });
        });
    });
}

// Yielders don't keep sleepers from waking up, nor new coroutines from starting.
#[test]
fn yielders_starve_neither_timers_nor_fresh_work() {
    with_workers(1, || {
        let stop = AtomicBool::new(false);
        coroutine::scope(|s| {
            for _ in 0..50 {
                s.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        coroutine::yield_now();
                    }
                });
            }
            for _ in 0..10 {
                coroutine::sleep(Duration::from_micros(100));
                s.spawn(|| ()).join().unwrap();
            }
            stop.store(true, Ordering::Relaxed);
        });
    });
}

// A crowd of short-lived coroutines that spawn their successors doesn't keep started ones from
// running.
#[test]
fn fresh_work_does_not_starve_what_has_started() {
    with_workers(1, || {
        static STOP: AtomicBool = AtomicBool::new(false);
        fn again() {
            if !STOP.load(Ordering::Relaxed) {
                spawn(again);
            }
        }
        STOP.store(false, Ordering::Relaxed);
        for _ in 0..100 {
            spawn(again);
        }
        for _ in 0..100 {
            coroutine::yield_now();
        }
        STOP.store(true, Ordering::Relaxed);
    });
}

// Two closures that block their threads until both run: each needs a worker of its own, so one
// must be stolen. Threads block here on purpose.
#[test]
fn blocked_closures_are_spread_over_workers() {
    for _ in 0..50 {
        with_workers(2, || {
            let both = Arc::new(Barrier::new(2));
            let handles: Vec<_> = (0..2)
                .map(|_| {
                    let both = Arc::clone(&both);
                    spawn(move || {
                        both.wait();
                        std::thread::current().id()
                    })
                })
                .collect();
            let threads: HashSet<_> = handles.into_iter().map(|h| h.join().unwrap()).collect();
            assert_eq!(threads.len(), 2);
        });
    }
}

// The same when they come from outside any worker.
#[test]
fn closures_from_a_thread_are_spread_over_workers() {
    for driver in crate::stage::drivers() {
        for _ in 0..50 {
            let runtime = crate::stage::runtime(driver, 2);
            let both = Arc::new(Barrier::new(2));
            let handles: Vec<_> = (0..2)
                .map(|_| {
                    let both = Arc::clone(&both);
                    runtime.spawn(move || {
                        both.wait();
                        std::thread::current().id()
                    })
                })
                .collect();
            let threads: HashSet<_> = handles.into_iter().map(|h| h.join().unwrap()).collect();
            assert_eq!(threads.len(), 2);
            crate::stage::close(runtime);
        }
    }
}

// A started coroutine never changes threads, however it waits and whatever the load: it sees
// the same thread and the same thread-local, and may keep an `Rc` across the waits.
#[test]
fn a_started_coroutine_stays_on_its_thread() {
    thread_local! {
        static MARK: Cell<u64> = const { Cell::new(0) };
    }
    static NEXT_MARK: AtomicU64 = AtomicU64::new(1);
    fn mark() -> u64 {
        if MARK.get() == 0 {
            MARK.set(NEXT_MARK.fetch_add(1, Ordering::Relaxed));
        }
        MARK.get()
    }

    with_workers(2, || {
        let (sender, receiver) = channel::bounded::<u32>(0);
        let threads = Mutex::new(HashSet::new());
        let lock = Mutex::new(());
        coroutine::scope(|s| {
            for who in 0..20u32 {
                let (sender, receiver) = (sender.clone(), receiver.clone());
                let (threads, lock) = (&threads, &lock);
                s.spawn(move || {
                    let thread = std::thread::current().id();
                    let (here, kept) = (mark(), Rc::new(RefCell::new(Vec::new())));
                    threads.lock().insert(thread);
                    for round in 0..100 {
                        match round % 5 {
                            0 if who % 2 == 0 => sender.send(round).unwrap(),
                            0 => drop(receiver.recv().unwrap()),
                            1 => coroutine::yield_now(),
                            2 => coroutine::sleep(Duration::from_micros(10)),
                            3 => spawn(|| ()).join().unwrap(),
                            _ => {
                                let guard = lock.lock();
                                coroutine::yield_now();
                                drop(guard);
                            }
                        }
                        kept.borrow_mut().push(round);
                        assert_eq!(std::thread::current().id(), thread);
                        assert_eq!(mark(), here);
                    }
                    assert_eq!(kept.borrow().len(), 100);
                });
            }
        });
        assert!(threads.into_inner().len() <= 2);
    });
}

// Those that sleep less wake up first, whatever the order in which they fell asleep.
#[test]
fn sleepers_wake_in_the_order_of_their_deadlines() {
    with_workers(1, || {
        let mut lead = Duration::from_millis(20);
        loop {
            let first = Instant::now() + lead;
            let woken = Mutex::new(Vec::new());
            let in_time = coroutine::scope(|s| {
                let sleepers: HashSet<_> = (0..100u32)
                    .map(|n| {
                        let (woken, place) = (&woken, n * 37 % 100);
                        let sleeper = s.spawn(move || {
                            coroutine::sleep_until(first + place * Duration::from_micros(500));
                            woken.lock().push(place);
                        });
                        sleeper.id()
                    })
                    .collect();
                let all_asleep = || {
                    let asleep = coroutine::list().into_iter().filter(|task| {
                        task.waits_for() == "sleeping" && sleepers.contains(&task.id())
                    });
                    asleep.count() == sleepers.len()
                };
                until(|| Instant::now() >= first || all_asleep());
                Instant::now() < first
            });
            // On a busy machine the first may wake before the last falls asleep.
            if in_time {
                let woken = woken.into_inner();
                assert!(woken.is_sorted(), "{woken:?}");
                break;
            }
            lead *= 2;
        }
    });
}

// No sleeper wakes early; ten thousand at once all do.
#[test]
fn ten_thousand_sleepers() {
    on_each(|| {
        let woken = AtomicUsize::new(0);
        coroutine::scope(|s| {
            for n in 0..10_000u64 {
                let woken = &woken;
                s.spawn(move || {
                    let until = Instant::now() + Duration::from_micros(n % 97 * 200);
                    coroutine::sleep_until(until);
                    assert!(Instant::now() >= until);
                    woken.fetch_add(1, Ordering::Relaxed);
                });
            }
        });
        assert_eq!(woken.into_inner(), 10_000);
    });
}

// A deadline in the past gives way to others once and comes back; so does a sleep of nothing.
#[test]
fn sleeping_until_the_past() {
    on_each(|| {
        let now = Instant::now();
        coroutine::sleep_until(now - Duration::from_millis(1));
        coroutine::sleep_until(now.checked_sub(Duration::from_secs(3600)).unwrap_or(now));
        coroutine::sleep(Duration::ZERO);
    });
    with_workers(1, || {
        let ran = Arc::new(AtomicBool::new(false));
        let other = spawn({
            let ran = Arc::clone(&ran);
            move || ran.store(true, Ordering::Relaxed)
        });
        let past = Instant::now() - Duration::from_nanos(1);
        until(|| {
            coroutine::sleep_until(past);
            ran.load(Ordering::Relaxed)
        });
        other.join().unwrap();
    });
}

// A sleep so long that its end can't be told is a sleep; others go on meanwhile.
#[test]
fn deadlines_beyond_all_time() {
    on_each(|| {
        let (sender, receiver) = channel::bounded::<u32>(0);
        let waiter = spawn(move || receiver.recv_timeout(Duration::MAX));
        coroutine::yield_now();
        sender.send(3).unwrap();
        assert_eq!(waiter.join().unwrap(), Ok(3));

        let handle = spawn(|| 4).join_timeout(Duration::MAX);
        assert_eq!(handle.unwrap().unwrap(), 4);
    });
}

// Threads wake coroutines and coroutines threads, through a condition, over and over.
#[test]
fn threads_and_coroutines_alternate_through_a_condvar() {
    const ROUNDS: u32 = 5_000;
    struct Table {
        turn: Mutex<u32>,
        changed: Condvar,
    }
    fn play(table: &Table, parity: u32) {
        let mut turn = table.turn.lock();
        while *turn < ROUNDS {
            if *turn % 2 == parity {
                *turn += 1;
                table.changed.notify_one();
            } else {
                table.changed.wait(&mut turn);
            }
        }
        table.changed.notify_one();
    }
    with_runtimes(|runtime| {
        let table = Arc::new(Table {
            turn: Mutex::new(0),
            changed: Condvar::new(),
        });
        let coroutine = runtime.spawn({
            let table = Arc::clone(&table);
            move || play(&table, 0)
        });
        play(&table, 1);
        coroutine.join().unwrap();
    });
}

// A hundred thousand messages from a thread to a coroutine, each answered.
#[test]
fn a_thread_and_a_coroutine_exchange_messages() {
    const ROUNDS: u64 = 100_000;
    let rounds = |runtime: &ropewalk_rt::Runtime, capacity, rounds: u64| {
        let (ask, asked) = channel::bounded::<u64>(capacity);
        let (answer, answered) = channel::bounded::<u64>(capacity);
        let server = runtime.spawn(move || {
            for question in asked {
                answer.send(question + 1).unwrap();
            }
        });
        let ahead = rounds.min(capacity as u64);
        (0..ahead).for_each(|n| ask.send(n).unwrap());
        for n in 0..rounds {
            assert_eq!(answered.recv().unwrap(), n + 1);
            if n + ahead < rounds {
                ask.send(n + ahead).unwrap();
            }
        }
        drop(ask);
        server.join().unwrap();
    };
    with_runtimes(|runtime| {
        // Hand to hand: two wakes a round. With room, most rounds need none.
        let thread = std::thread::scope(|s| {
            s.spawn(|| {
                let (ask, asked) = channel::bounded::<u64>(0);
                let (answer, answered) = channel::bounded::<u64>(0);
                let server =
                    runtime.spawn(move || asked.iter().for_each(|n| answer.send(n).unwrap()));
                for n in 0..2_000 {
                    ask.send(n).unwrap();
                    assert_eq!(answered.recv().unwrap(), n);
                }
                drop(ask);
                server.join().unwrap();
            })
            .join()
        });
        thread.unwrap();
        rounds(runtime, 64, ROUNDS);
    });
}

// Coroutines of two runtimes and a plain thread pass a ball around.
#[test]
fn a_ball_goes_round_between_runtimes() {
    with_runtimes(|one| {
        let other = crate::stage::any_runtime(1);
        let (to_one, at_one) = channel::bounded::<u32>(1);
        let (to_other, at_other) = channel::bounded::<u32>(1);
        let (to_thread, at_thread) = channel::bounded::<u32>(1);
        let first = one.spawn(move || at_one.iter().for_each(|n| to_other.send(n + 1).unwrap()));
        let second =
            other.spawn(move || at_other.iter().for_each(|n| to_thread.send(n + 1).unwrap()));
        for n in 0..2_000 {
            to_one.send(n).unwrap();
            assert_eq!(at_thread.recv().unwrap(), n + 2);
        }
        drop(to_one);
        first.join().unwrap();
        second.join().unwrap();
        crate::stage::close(other);
    });
}

// Yielding on a plain thread and sleeping there work as in std.
#[test]
fn a_plain_thread_may_yield_and_sleep() {
    in_coroutines(|| {
        let slept = ropewalk_rt::unblock(|| {
            let begun = Instant::now();
            coroutine::yield_now();
            coroutine::sleep(Duration::from_millis(2));
            begun.elapsed()
        });
        assert!(slept >= Duration::from_millis(2));
    });
}
