//! The end of a task's values.

use std::cell::{Cell, RefCell};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use ropewalk_rt::sync::Event;
use ropewalk_rt::{Task, coroutine, coroutine_local, spawn, thread};

use crate::stage::{in_coroutines, on_each, until};

/// A value is dropped before the join returns, by its own task, and its `Drop` may wait.
#[test]
fn a_drop_may_wait() {
    static DROPPED_BY: AtomicU64 = AtomicU64::new(0);
    struct Waits;
    impl Drop for Waits {
        fn drop(&mut self) {
            let me = Task::current().id();
            for _ in 0..3 {
                coroutine::sleep(Duration::from_micros(100));
                coroutine::yield_now();
            }
            spawn(coroutine::yield_now).join().unwrap();
            assert_eq!(me, Task::current().id());
            DROPPED_BY.store(me, Ordering::SeqCst);
        }
    }
    coroutine_local!(static WAITS: Waits = Waits);
    in_coroutines(|| {
        let id = spawn(|| WAITS.with(|_| Task::current().id()))
            .join()
            .unwrap();
        assert_eq!(DROPPED_BY.load(Ordering::SeqCst), id);
    });
}

/// Threads of ours and plain ones drop theirs as well.
#[test]
fn threads_drop_theirs() {
    static DROPPED: AtomicU32 = AtomicU32::new(0);
    struct Counts;
    impl Drop for Counts {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::SeqCst);
        }
    }
    coroutine_local!(static COUNTS: Counts = Counts);
    on_each(|| {
        DROPPED.store(0, Ordering::SeqCst);
        thread::spawn(|| COUNTS.with(|_| ())).join().unwrap();
        std::thread::spawn(|| COUNTS.with(|_| ())).join().unwrap();
        // A handle of ours may be joined before the thread's own storage is gone.
        until(|| DROPPED.load(Ordering::SeqCst) == 2);
    });
}

/// While they are dropped, those that are left can be used, and others are errors.
#[test]
fn after_its_drop_a_value_is_an_error() {
    static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());
    struct Looks(&'static str);
    impl Drop for Looks {
        fn drop(&mut self) {
            let show = |result: Result<(), _>| match result {
                Ok(()) => "there".to_owned(),
                Err(error) => format!("{error:?}"),
            };
            let mine = if self.0 == "a" { &A } else { &B };
            let seen = [mine.try_with(|_| ()), NEVER.try_with(|_| ())].map(show);
            let other = if self.0 == "a" { &B } else { &A };
            let other = show(other.try_with(|other| assert_ne!(other.0, self.0)));
            let line = format!("{} {} {other}", seen[0], seen[1]);
            SEEN.lock().unwrap().push(line);
        }
    }
    coroutine_local! {
        static A: Looks = Looks("a");
        static B: Looks = Looks("b");
        static NEVER: Cell<u32> = unreachable!("its task is ending");
    }
    in_coroutines(|| {
        SEEN.lock().unwrap().clear();
        spawn(|| A.with(|_| B.with(|_| ()))).join().unwrap();
        let seen = SEEN.lock().unwrap();
        assert_eq!(
            *seen,
            [
                "AccessError AccessError there",
                "AccessError AccessError AccessError"
            ]
        );
    });
}

/// The forms that give no error panic then, and the text says why.
#[test]
fn use_after_the_drop_panics_clearly() {
    static MESSAGES: Mutex<Vec<String>> = Mutex::new(Vec::new());
    struct Uses;
    impl Drop for Uses {
        fn drop(&mut self) {
            let uses: [fn(); 4] = [
                || CELL.set(1),
                || assert_eq!(CELL.get(), 0),
                || drop(LIST.take()),
                || USES.with(|_| ()),
            ];
            for use_it in uses {
                let payload = std::panic::catch_unwind(use_it).unwrap_err();
                let text = payload.downcast_ref::<String>().unwrap().clone();
                MESSAGES.lock().unwrap().push(text);
            }
        }
    }
    coroutine_local! {
        static USES: Uses = Uses;
        static CELL: Cell<u32> = Cell::new(0);
        static LIST: RefCell<Vec<u32>> = RefCell::default();
    }
    in_coroutines(|| {
        MESSAGES.lock().unwrap().clear();
        spawn(|| USES.with(|_| ())).join().unwrap();
        let messages = MESSAGES.lock().unwrap();
        assert_eq!(messages.len(), 4);
        assert!(
            messages.iter().all(|m| m.contains("is dropped already")),
            "{messages:?}"
        );
    });
}

/// Also a task that panicked, or was cancelled, drops its values.
#[test]
fn every_end_drops_the_values() {
    static DROPPED: AtomicU32 = AtomicU32::new(0);
    struct Counts;
    impl Drop for Counts {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::SeqCst);
        }
    }
    coroutine_local!(static COUNTS: Counts = Counts);
    in_coroutines(|| {
        DROPPED.store(0, Ordering::SeqCst);
        let panics = spawn(|| COUNTS.with(|_| panic!("in the middle")));
        assert!(panics.join().is_err());
        assert_eq!(DROPPED.load(Ordering::SeqCst), 1);
        let cancelled = spawn(|| {
            COUNTS.with(|_| ());
            Event::new().wait()
        });
        coroutine::yield_now();
        cancelled.cancel();
        let _ = cancelled.join();
        let most = DROPPED.load(Ordering::SeqCst);
        // It may have been cancelled before it ever ran.
        assert!((1..=2).contains(&most), "{most}");
        // Nothing was made, so nothing is dropped.
        spawn(|| ()).join().unwrap();
        assert_eq!(DROPPED.load(Ordering::SeqCst), most);
    });
}

/// A callback at a task's end has values too, which don't get into the next task.
#[test]
fn a_callbacks_values_stay_out_of_the_next_task() {
    coroutine_local!(static LEFT: Cell<u32> = Cell::new(0));
    in_coroutines(|| {
        for _ in 0..50 {
            let gate = std::sync::Arc::new(Event::new());
            let passed = std::sync::Arc::clone(&gate);
            let first = spawn(move || {
                LEFT.set(1);
                passed.wait().unwrap();
            });
            let called = std::sync::Arc::new(Event::new());
            let call = std::sync::Arc::clone(&called);
            first.on_done(move |_| {
                let _ = LEFT.try_with(|left| left.set(5));
                call.set();
            });
            gate.set();
            first.join().unwrap();
            called.wait().unwrap();
            for _ in 0..4 {
                assert_eq!(spawn(|| LEFT.get()).join().unwrap(), 0);
            }
        }
    });
}

/// What the drop of an outcome that nobody wants makes is dropped after it.
#[test]
fn an_outcomes_values_stay_out_of_the_next_task() {
    static DROPPED: AtomicU32 = AtomicU32::new(0);
    struct Counts(Cell<u32>);
    impl Drop for Counts {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::SeqCst);
        }
    }
    coroutine_local!(static COUNTS: Counts = Counts(Cell::new(0)));
    struct Outcome;
    impl Drop for Outcome {
        fn drop(&mut self) {
            COUNTS.with(|counts| counts.0.set(5));
        }
    }
    in_coroutines(|| {
        DROPPED.store(0, Ordering::SeqCst);
        for n in 1..50 {
            // Dropped first: else it is the dropper whose value the outcome's drop makes.
            let gate = std::sync::Arc::new(Event::new());
            let passed = std::sync::Arc::clone(&gate);
            drop(spawn(move || {
                passed.wait().unwrap();
                Outcome
            }));
            gate.set();
            until(|| DROPPED.load(Ordering::SeqCst) == 2 * n - 1);
            let next = spawn(|| COUNTS.with(|counts| counts.0.get()));
            assert_eq!(next.join().unwrap(), 0);
        }
    });
}

/// A drop that panics is the task's panic; the other values are dropped all the same, and the
/// next task has nothing of it.
#[test]
fn a_drop_may_panic() {
    static DROPPED: AtomicU32 = AtomicU32::new(0);
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            if DROPPED.fetch_add(1, Ordering::SeqCst) == 1 {
                panic!("in a value's drop");
            }
        }
    }
    coroutine_local! {
        static A: Panics = Panics;
        static B: Panics = Panics;
        static C: Panics = Panics;
        static PLAIN: Cell<u32> = Cell::new(0);
    }
    in_coroutines(|| {
        for _ in 0..20 {
            DROPPED.store(0, Ordering::SeqCst);
            let error = spawn(|| {
                PLAIN.set(1);
                A.with(|_| B.with(|_| C.with(|_| ())));
            });
            let error = error.join().unwrap_err();
            assert_eq!(error.panic_message(), Some("in a value's drop"));
            assert_eq!(DROPPED.load(Ordering::SeqCst), 3);
            assert_eq!(spawn(|| PLAIN.get()).join().unwrap(), 0);
        }
    });
}
