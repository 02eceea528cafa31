//! `coroutine_local!`: who has a value of whose own, when it is made, and how it ends.

mod asynchronous;
mod ends;
#[path = "../it/stage.rs"]
#[allow(dead_code)]
mod stage;

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use ropewalk_rt::{Task, coroutine, coroutine_local, spawn, thread};

use stage::{in_coroutines, on_each};

coroutine_local! {
    static COUNT: Cell<u32> = const { Cell::new(40) };
    static LIST: RefCell<Vec<u32>> = RefCell::new(vec![1]);
    static SHARED: Rc<Cell<u64>> = Rc::new(Cell::new(Task::current().id()))
}

/// The value starts anew in each task, whoever spawned it, and stays across waits.
#[test]
fn each_task_has_its_own() {
    on_each(|| {
        let visit = |n: u32| {
            assert_eq!(COUNT.replace(n), 40);
            for _ in 0..3 {
                coroutine::yield_now();
                assert_eq!(COUNT.get(), n);
                LIST.with_borrow_mut(|list| list.push(n));
            }
            LIST.take()
        };
        COUNT.set(7);
        let coroutines: Vec<_> = (0..20).map(|n| spawn(move || visit(n))).collect();
        let threads: Vec<_> = (20..23).map(|n| thread::spawn(move || visit(n))).collect();
        let plain: Vec<_> = (23..26)
            .map(|n| std::thread::spawn(move || visit(n)))
            .collect();
        let mut n = 0;
        let mut check = |list: Vec<u32>| {
            assert_eq!(list, [1, n, n, n]);
            n += 1;
        };
        for handle in coroutines.into_iter().chain(threads) {
            check(handle.join().unwrap());
        }
        for handle in plain {
            check(handle.join().unwrap());
        }
        assert_eq!(COUNT.get(), 7);
        COUNT.set(40);
    });
}

/// A record is used by one task after another; their values aren't.
#[test]
fn the_next_task_starts_anew() {
    in_coroutines(|| {
        for n in 0..2000 {
            let before = spawn(move || COUNT.replace(n)).join().unwrap();
            assert_eq!(before, 40);
        }
    });
}

/// What isn't `Send` may be there, and be held, across waits: a coroutine keeps to its thread.
#[test]
fn a_value_need_not_be_send() {
    on_each(|| {
        let ids: Vec<_> = (0..10)
            .map(|_| {
                spawn(|| {
                    let mine = SHARED.with(Rc::clone);
                    coroutine::yield_now();
                    assert!(SHARED.with(|shared| Rc::ptr_eq(shared, &mine)));
                    assert_eq!(mine.get(), Task::current().id());
                    mine.get()
                })
            })
            .collect();
        let distinct: HashSet<_> = ids.into_iter().map(|id| id.join().unwrap()).collect();
        assert_eq!(distinct.len(), 10);
    });
}

/// It is made by the first use, which may wait, and not by `set`.
#[test]
fn a_value_is_made_when_it_is_first_used() {
    static MADE: AtomicU32 = AtomicU32::new(0);
    coroutine_local! {
        static LAZY: Cell<u32> = {
            coroutine::yield_now();
            Cell::new(MADE.fetch_add(1, Ordering::SeqCst))
        };
        static LAZY_LIST: RefCell<Vec<u32>> = unreachable!("it is set first");
    }
    in_coroutines(|| {
        MADE.store(0, Ordering::SeqCst);
        spawn(|| ()).join().unwrap();
        assert_eq!(MADE.load(Ordering::SeqCst), 0);
        let set = || {
            LAZY.set(9);
            LAZY_LIST.set(vec![3]);
            LAZY_LIST.with_borrow(|list| assert_eq!(*list, [3]));
            assert_eq!(LAZY_LIST.replace(vec![]), [3]);
            LAZY.get()
        };
        assert_eq!(spawn(set).join().unwrap(), 9);
        assert_eq!(MADE.load(Ordering::SeqCst), 0);
        let twice = spawn(|| (LAZY.get(), LAZY.get())).join().unwrap();
        assert_eq!(twice, (0, 0));
        assert_eq!(MADE.load(Ordering::SeqCst), 1);
    });
}

/// A value that can't be made is asked for again by the next use.
#[test]
fn making_a_value_may_panic() {
    coroutine_local! {
        static FRAIL: u32 = {
            assert!(COUNT.get() != 40, "not yet");
            COUNT.get()
        };
    }
    in_coroutines(|| {
        let message = spawn(|| FRAIL.with(|n| *n)).join().unwrap_err();
        assert_eq!(message.panic_message(), Some("not yet"));
        let again = spawn(|| {
            assert!(std::panic::catch_unwind(|| FRAIL.with(|n| *n)).is_err());
            COUNT.set(3);
            FRAIL.with(|n| *n)
        });
        assert_eq!(again.join().unwrap(), 3);
    });
}

/// The value under construction may ask for itself, if that ends: the outermost one stays.
#[test]
fn making_a_value_may_use_it() {
    coroutine_local! {
        static DEPTH: Cell<u32> = Cell::new(0);
        static NESTED: u32 = {
            DEPTH.set(DEPTH.get() + 1);
            match DEPTH.get() {
                4 => 1,
                _ => NESTED.with(|inner| inner * 10),
            }
        };
    }
    in_coroutines(|| {
        let seen = spawn(|| (NESTED.with(|n| *n), NESTED.with(|n| *n), DEPTH.get()));
        assert_eq!(seen.join().unwrap(), (1000, 1000, 4));
    });
}

/// T11: a `thread_local!` is the worker's: it stays put across waits, because a coroutine that
/// has started never changes its thread, and what others of the worker write is seen.
#[test]
fn a_thread_local_stays_put_across_waits() {
    thread_local! {
        static MINE: Cell<u64> = const { Cell::new(0) };
    }
    in_coroutines(|| {
        let jobs: Vec<_> = (1..=50)
            .map(|n: u64| {
                spawn(move || {
                    let place = MINE.with(|mine| std::ptr::from_ref(mine).addr());
                    let thread = std::thread::current().id();
                    for _ in 0..20 {
                        // No wait between the two: nobody else writes meanwhile.
                        MINE.set(n);
                        assert_eq!(MINE.get(), n);
                        coroutine::yield_now();
                        assert_eq!(MINE.with(|mine| std::ptr::from_ref(mine).addr()), place);
                        assert_eq!(std::thread::current().id(), thread);
                    }
                    (place, thread)
                })
            })
            .collect();
        let places: HashSet<_> = jobs.into_iter().map(|job| job.join().unwrap()).collect();
        let threads: HashSet<_> = places.iter().map(|(_, thread)| thread).collect();
        assert_eq!(places.len(), threads.len(), "one place for each worker");
    });
}
