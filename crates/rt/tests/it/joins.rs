//! Fork and join, and what stands on it: halves that are taken back, stolen, cancelled, that
//! wait and that panic.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use ropewalk_rt::executor::{join, slice};
use ropewalk_rt::sync::{Barrier, Mutex};
use ropewalk_rt::{Runtime, Task, cancel, channel, coroutine};

use crate::stage::{drivers, in_coroutines, on_each, with_workers};

fn fib(n: u32) -> u64 {
    if n < 2 {
        return n.into();
    }
    let (a, b) = join(|| fib(n - 1), || fib(n - 2));
    a + b
}

fn message(payload: &(dyn std::any::Any + Send)) -> &str {
    payload
        .downcast_ref::<&str>()
        .expect("a panic with a literal")
}

#[test]
fn both_halves_give_their_values() {
    on_each(|| {
        let text = String::from("borrowed");
        let mut numbers = vec![1, 2, 3];
        let (length, ()) = join(|| text.len(), || numbers.push(4));
        assert_eq!((length, numbers.len()), (8, 4));
        assert_eq!(fib(18), 2584);
    });
}

// A first half that waits lets the second begin, on one worker too; so it may wait for it.
#[test]
fn a_first_half_may_wait_for_the_second() {
    on_each(|| {
        let (sender, receiver) = channel::bounded::<u32>(0);
        let (got, sent) = join(|| receiver.recv(), || sender.send(7));
        assert_eq!((got, sent.is_ok()), (Ok(7), true));
        let both = Barrier::new(2);
        join(|| both.wait(), || both.wait());
    });
}

// Halves that wait at every level, so that jobs of one coroutine lie beneath those of others.
#[test]
fn halves_that_wait_anywhere() {
    fn tree(depth: u32, ended: &AtomicUsize) -> usize {
        if depth == 0 {
            coroutine::yield_now();
            ended.fetch_add(1, Ordering::Relaxed);
            return 1;
        }
        let (a, b) = join(
            || {
                if depth % 3 == 1 {
                    coroutine::sleep(Duration::from_micros(50));
                }
                tree(depth - 1, ended)
            },
            || {
                coroutine::yield_now();
                tree(depth - 1, ended)
            },
        );
        a + b
    }
    on_each(|| {
        let ended = AtomicUsize::new(0);
        coroutine::scope(|s| {
            for _ in 0..8 {
                s.spawn(|| assert_eq!(tree(6, &ended), 64));
            }
        });
        assert_eq!(ended.into_inner(), 8 * 64);
    });
}

// More joins than a worker looks through for its own, all of whose first halves wait at once:
// those at the bottom are waited for.
#[test]
fn many_joins_that_wait_at_once() {
    in_coroutines(|| {
        const MANY: usize = 500;
        let (sender, receiver) = channel::unbounded::<()>();
        let ended = AtomicUsize::new(0);
        let begun = AtomicUsize::new(0);
        coroutine::scope(|s| {
            for _ in 0..MANY {
                s.spawn(|| {
                    join(
                        || {
                            begun.fetch_add(1, Ordering::Relaxed);
                            receiver.recv()
                        },
                        || ended.fetch_add(1, Ordering::Relaxed),
                    )
                });
            }
            while begun.load(Ordering::Relaxed) < MANY {
                coroutine::yield_now();
            }
            for _ in 0..MANY {
                sender.send(()).unwrap();
            }
        });
        assert_eq!(ended.into_inner(), MANY);
    });
}

// As above, with a worker that never has nothing to run: the second halves have their turn.
#[test]
fn a_busy_worker_starts_second_halves() {
    in_coroutines(|| {
        let done = AtomicBool::new(false);
        let got = coroutine::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    while !done.load(Ordering::Relaxed) {
                        coroutine::yield_now();
                    }
                });
            }
            let (sender, receiver) = channel::bounded::<u32>(1);
            let (got, _) = join(|| receiver.recv(), || sender.send(1));
            done.store(true, Ordering::Relaxed);
            got
        });
        assert_eq!(got, Ok(1));
    });
}

// As above, with a worker that always finds something to start.
#[test]
fn a_second_half_has_its_turn_among_what_starts() {
    fn again(done: Arc<AtomicBool>) {
        if !done.load(Ordering::Relaxed) {
            drop(coroutine::spawn(move || again(done)));
        }
    }
    in_coroutines(|| {
        let done = Arc::new(AtomicBool::new(false));
        for _ in 0..4 {
            let done = Arc::clone(&done);
            drop(coroutine::spawn(|| again(done)));
        }
        let (sender, receiver) = channel::bounded::<u32>(1);
        let (got, _) = join(|| receiver.recv(), || sender.send(1));
        done.store(true, Ordering::Relaxed);
        assert_eq!(got, Ok(1));
    });
}

// Inside a future that is polled on a worker, and on a thread that blocks on it.
#[test]
fn joins_inside_futures() {
    on_each(|| {
        let both = || {
            let (sender, receiver) = channel::bounded::<u32>(0);
            join(|| receiver.recv(), || sender.send(2)).0
        };
        let handle = ropewalk_rt::spawn_async(async move { both() });
        assert_eq!(handle.join().unwrap(), Ok(2));
        assert_eq!(ropewalk_rt::block_on(async move { both() }), Ok(2));
    });
}

#[test]
fn a_panic_of_the_first_half_drops_the_second() {
    struct Told<'a>(&'a AtomicUsize);
    impl Drop for Told<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    on_each(|| {
        let dropped = AtomicUsize::new(0);
        let ran = AtomicUsize::new(0);
        for _ in 0..50 {
            let told = Told(&dropped);
            let result = catch_unwind(AssertUnwindSafe(|| {
                join(
                    || std::panic::resume_unwind(Box::new("first")),
                    || {
                        let _told = &told;
                        ran.fetch_add(1, Ordering::Relaxed);
                    },
                )
            }));
            drop(told);
            assert_eq!(message(&*result.unwrap_err()), "first");
        }
        assert_eq!(dropped.into_inner(), 50);
        // Here nobody is quicker than a panic, or somebody is.
        assert!(ran.into_inner() <= 50);
    });
}

// A panic waits for a second half that has begun: it borrows.
#[test]
fn a_panic_of_the_first_half_waits_for_the_second() {
    on_each(|| {
        let mut text = String::new();
        let (begun, beginning) = channel::bounded::<()>(1);
        let result = catch_unwind(AssertUnwindSafe(|| {
            join(
                || {
                    beginning.recv().unwrap();
                    std::panic::resume_unwind(Box::new("first"))
                },
                || {
                    begun.send(()).unwrap();
                    for _ in 0..20 {
                        coroutine::yield_now();
                        text.push('x');
                    }
                },
            )
        }));
        assert_eq!(message(&*result.unwrap_err()), "first");
        assert_eq!(text.len(), 20);
    });
}

#[test]
fn a_panic_of_the_second_half_comes_after_the_first() {
    on_each(|| {
        for waits in [false, true] {
            let mut ended = false;
            let result = catch_unwind(AssertUnwindSafe(|| {
                join(
                    || {
                        if waits {
                            coroutine::sleep(Duration::from_millis(1));
                        }
                        ended = true;
                    },
                    || std::panic::resume_unwind(Box::new("second")),
                )
            }));
            assert_eq!(message(&*result.unwrap_err()), "second");
            assert!(ended);
        }
    });
}

#[test]
fn of_two_panics_the_first_halfs_goes_on() {
    on_each(|| {
        let (begun, beginning) = channel::bounded::<()>(1);
        let result = catch_unwind(AssertUnwindSafe(|| {
            join(
                || {
                    beginning.recv().unwrap();
                    std::panic::resume_unwind(Box::new("first"))
                },
                || {
                    begun.send(()).unwrap();
                    std::panic::resume_unwind(Box::new("second"))
                },
            )
        }));
        assert_eq!(message(&*result.unwrap_err()), "first");
    });
}

// Pieces that are computed are shared out: with two workers a thief gets some.
#[test]
fn another_worker_helps() {
    with_workers(2, || {
        let here = Task::current().id();
        let mut elsewhere = false;
        while !elsewhere {
            let stolen = AtomicBool::new(false);
            join(
                || {
                    let begun = std::time::Instant::now();
                    while !stolen.load(Ordering::Relaxed)
                        && begun.elapsed() < Duration::from_millis(100)
                    {
                        std::hint::spin_loop();
                    }
                },
                || {
                    elsewhere = Task::current().id() != here;
                    stolen.store(true, Ordering::Relaxed);
                },
            );
        }
    });
}

// A push wakes a worker that sleeps, or is about to: else the first half, which keeps its worker,
// would wait for ever for the second.
#[test]
fn another_worker_is_woken_every_time() {
    for driver in drivers() {
        let builder = Runtime::builder().driver(driver).workers(2);
        let runtime = builder.watch(None).build().unwrap();
        runtime.run(|| {
            for round in 0..2000u32 {
                let elsewhere = AtomicBool::new(false);
                join(
                    || {
                        while !elsewhere.load(Ordering::Acquire) {
                            std::thread::yield_now();
                        }
                    },
                    || elsewhere.store(true, Ordering::Release),
                );
                // So that the other is in the midst of falling asleep, or sleeps.
                for _ in 0..round % 512 {
                    std::hint::spin_loop();
                }
            }
        });
    }
}

// A stolen half runs in a task of its own, whose parent is the joiner, under its token.
#[test]
fn a_stolen_half_stands_under_the_callers_token() {
    on_each(|| {
        let token = cancel::Token::new();
        let ended = token.run(|| {
            let (begun, beginning) = channel::bounded::<()>(1);
            join(
                || {
                    cancel::shield(|| beginning.recv()).unwrap();
                    token.cancel();
                },
                || {
                    begun.send(()).unwrap();
                    let (_sender, never) = channel::bounded::<()>(1);
                    never.recv().is_err() && cancel::check().is_err()
                },
            )
            .1
        });
        assert!(ended);
    });
}

// Whoever is cancelled while it waits for its second half has that cancelled, and waits on.
#[test]
fn a_cancelled_joiner_cancels_its_stolen_half() {
    in_coroutines(|| {
        let (begun, beginning) = channel::bounded::<()>(1);
        let joiner = coroutine::spawn(move || {
            let (went, going) = channel::bounded::<()>(1);
            join(
                || going.recv().is_ok(),
                || {
                    went.send(()).unwrap();
                    begun.send(()).unwrap();
                    let (_sender, never) = channel::bounded::<()>(1);
                    never.recv().is_err() && cancel::check().is_err()
                },
            )
        });
        beginning.recv().unwrap();
        joiner.cancel();
        assert_eq!(joiner.join().unwrap(), (true, true));
    });
}

// Cancelled before it joins: both halves run all the same.
#[test]
fn a_cancelled_caller_runs_both_halves() {
    on_each(|| {
        let token = cancel::Token::new();
        token.cancel();
        let (a, b) = token.run(|| join(|| cancel::check().is_err(), || cancel::check().is_err()));
        assert!(a && b);
    });
}

// A runtime that is closed cancels what waits inside halves; nobody is left behind.
#[test]
fn closing_ends_halves_that_wait() {
    for driver in drivers() {
        for workers in [1, 2] {
            let runtime = Runtime::builder()
                .driver(driver)
                .workers(workers)
                .build()
                .unwrap();
            let (begun, beginning) = channel::unbounded::<()>();
            for _ in 0..10 {
                let begun = begun.clone();
                drop(runtime.spawn(move || {
                    let wait = || {
                        let (_sender, never) = channel::bounded::<()>(1);
                        begun.send(()).unwrap();
                        assert!(never.recv().is_err());
                    };
                    join(wait, || join(wait, wait))
                }));
            }
            for _ in 0..10 {
                beginning.recv().unwrap();
            }
            runtime.close(Duration::from_secs(120)).unwrap();
        }
    }
}

// A half of a join has a place, though nobody waits for one.
#[test]
fn a_limit_on_coroutines_is_no_obstacle() {
    for workers in [1, 2] {
        let runtime = Runtime::builder()
            .workers(workers)
            .max_coroutines(1)
            .build()
            .unwrap();
        for _ in 0..3 {
            let got = runtime.run(|| {
                let (sender, receiver) = channel::bounded::<u32>(0);
                join(|| receiver.recv(), || sender.send(7)).0
            });
            assert_eq!(got, Ok(7));
        }
        runtime.shutdown(Duration::from_secs(120)).unwrap();
    }
}

// Where nothing may wait the halves run one after the other.
#[test]
fn inside_no_wait_one_after_the_other() {
    on_each(|| {
        let list = Mutex::new(Vec::new());
        coroutine::no_wait(|| {
            join(
                || list.try_lock().unwrap().push(1),
                || list.try_lock().unwrap().push(2),
            )
        });
        assert_eq!(*list.lock(), [1, 2]);
    });
}

// Joins inside a drop while unwinding, and inside a scope.
#[test]
fn joins_in_odd_places() {
    struct Joins<'a>(&'a AtomicUsize);
    impl Drop for Joins<'_> {
        fn drop(&mut self) {
            join(
                || {
                    coroutine::yield_now();
                    self.0.fetch_add(1, Ordering::Relaxed)
                },
                || self.0.fetch_add(1, Ordering::Relaxed),
            );
        }
    }
    on_each(|| {
        let count = AtomicUsize::new(0);
        let result = catch_unwind(AssertUnwindSafe(|| {
            let _joins = Joins(&count);
            panic!("on purpose");
        }));
        assert!(result.is_err());
        coroutine::scope(|s| {
            let child = s.spawn(|| join(|| 1, || count.load(Ordering::Relaxed)));
            assert_eq!(child.join().unwrap(), (1, 2));
        });
    });
}

#[test]
fn slices_are_worked_on_in_pieces() {
    on_each(|| {
        for len in [0, 1, 2, 3, 1000] {
            let mut numbers: Vec<usize> = (0..len).collect();
            slice::for_each_mut(&mut numbers, |n| *n += 1);
            let strings = slice::map(&numbers, |n| {
                if n % 100 == 0 {
                    coroutine::yield_now();
                }
                n.to_string()
            });
            let expected: Vec<String> = (1..=len).map(|n| n.to_string()).collect();
            assert_eq!(strings, expected);
            let sum = AtomicUsize::new(0);
            slice::for_each(&numbers, |n| {
                sum.fetch_add(*n, Ordering::Relaxed);
            });
            assert_eq!(sum.into_inner(), len * (len + 1) / 2);
        }
    });
}

#[test]
fn a_panic_inside_a_slice_passes_through() {
    on_each(|| {
        let numbers: Vec<usize> = (0..1000).collect();
        let result = catch_unwind(AssertUnwindSafe(|| {
            slice::map(&numbers, |&n| {
                if n == 777 {
                    std::panic::resume_unwind(Box::new("777"));
                }
                vec![n]
            })
        }));
        assert_eq!(message(&*result.unwrap_err()), "777");
    });
}

// What the halves of one node do, by chance: wait, hand over, panic, be cancelled. Each half writes
// to its joiner's frame, and the joiner looks whether both have.
fn chance(depth: u32, seed: u64, ends: &AtomicUsize) {
    let next = |way: u64| {
        let mixed = (seed ^ way).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        mixed ^ mixed >> 29
    };
    if depth == 0 {
        match seed % 8 {
            0 => coroutine::yield_now(),
            1 => coroutine::sleep(Duration::from_micros(seed >> 8 & 63)),
            _ => (),
        }
        ends.fetch_add(1, Ordering::Relaxed);
        return;
    }
    let mut frame = [0u64; 2];
    let [left, right] = &mut frame;
    let (sender, receiver) = channel::bounded::<u64>(1);
    let token = cancel::Token::new();
    let kind = seed >> 16 & 15;
    let result = catch_unwind(AssertUnwindSafe(|| {
        join(
            || {
                match kind {
                    0 => coroutine::yield_now(),
                    1 => coroutine::sleep(Duration::from_micros(30)),
                    2 => *left = receiver.recv().expect("the other half sends"),
                    _ => (),
                }
                chance(depth - 1, next(1), ends);
                *left += 1;
                if kind == 3 || kind == 5 {
                    std::panic::resume_unwind(Box::new("first"));
                }
            },
            || {
                match kind {
                    2 => sender.send(seed).expect("the other half receives"),
                    6 => coroutine::yield_now(),
                    7 => coroutine::sleep(Duration::from_micros(30)),
                    8 => token.run(|| {
                        token.cancel();
                        coroutine::sleep(Duration::from_secs(1000));
                    }),
                    _ => (),
                }
                chance(depth - 1, next(2), ends);
                *right = 1;
                if kind == 4 || kind == 5 {
                    std::panic::resume_unwind(Box::new("second"));
                }
            },
        );
    }));
    let expected = if kind == 2 { seed + 1 } else { 1 };
    assert_eq!(frame[0], expected);
    match (kind, result) {
        (3, Err(payload)) => {
            // The second one ran to its end, or not at all: then its leaves are missing.
            assert_eq!(message(&*payload), "first");
            if frame[1] == 0 {
                ends.fetch_add(1 << (depth - 1), Ordering::Relaxed);
            }
        }
        (5, Err(payload)) => {
            assert_eq!(message(&*payload), "first");
            if frame[1] == 0 {
                ends.fetch_add(1 << (depth - 1), Ordering::Relaxed);
            }
        }
        (4, Err(payload)) => {
            assert_eq!((message(&*payload), frame[1]), ("second", 1));
        }
        (_, result) => assert!(result.is_ok() && frame[1] == 1, "kind {kind}"),
    }
}

#[test]
fn anything_at_any_depth() {
    on_each(|| {
        for seed in 0..20 {
            let ends = AtomicUsize::new(0);
            coroutine::scope(|s| {
                for child in 0..4 {
                    let ends = &ends;
                    s.spawn(move || chance(6, seed * 7919 + child * 65_537, ends));
                }
                chance(6, seed << 20, &ends);
            });
            assert_eq!(ends.into_inner(), 5 * 64);
        }
    });
}

// As above, in coroutines that are cancelled at any moment.
#[test]
fn anything_while_it_is_cancelled() {
    in_coroutines(|| {
        for seed in 0..50u64 {
            let children: Vec<_> = (0..4)
                .map(|child| {
                    coroutine::spawn(move || {
                        let ends = AtomicUsize::new(0);
                        cancelled_tree(5, seed * 31 + child, &ends);
                        ends.into_inner()
                    })
                })
                .collect();
            for _ in 0..seed % 7 {
                coroutine::yield_now();
            }
            for child in &children {
                child.cancel();
            }
            for child in children {
                // One that never began says so.
                if let Ok(ends) = child.join() {
                    assert_eq!(ends, 32);
                }
            }
        }
    });
}

fn cancelled_tree(depth: u32, seed: u64, ends: &AtomicUsize) {
    if depth == 0 {
        if seed.is_multiple_of(3) {
            coroutine::sleep(Duration::from_secs(1000));
        } else if seed % 3 == 1 {
            coroutine::yield_now();
        }
        ends.fetch_add(1, Ordering::Relaxed);
        return;
    }
    join(
        || cancelled_tree(depth - 1, seed * 5 + 1, ends),
        || cancelled_tree(depth - 1, seed * 3 + 2, ends),
    );
}

// A hundred joins deep, which is far more than halving ever needs, fits on a coroutine's stack.
#[test]
fn a_hundred_joins_deep() {
    fn peel(numbers: &[u64]) -> u64 {
        match numbers {
            [] => 0,
            [first, rest @ ..] => {
                let (first, rest) = join(|| *first, || peel(rest));
                first + rest
            }
        }
    }
    on_each(|| assert_eq!(peel(&[1; 100]), 100));
}
