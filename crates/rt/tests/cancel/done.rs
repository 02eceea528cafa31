//! Callbacks at a task's end, and joining oneself.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use ropewalk_rt::{JoinHandle, channel, coroutine, spawn_async, thread};

use crate::stage::{on_each, until};

#[test]
fn a_callback_is_called_once_before_joiners_see_the_end() {
    on_each(|| {
        let (go, gate) = channel::unbounded::<()>();
        let handle = coroutine::spawn(move || {
            let _ = gate.recv();
            7
        });
        let seen = Arc::new(Mutex::new(Vec::new()));
        for which in 0..3 {
            let seen = Arc::clone(&seen);
            handle.on_done(move |outcome| {
                seen.lock()
                    .unwrap()
                    .push((which, *outcome.as_ref().unwrap()));
            });
        }
        assert!(seen.lock().unwrap().is_empty());
        drop(go);
        until(|| handle.is_finished());
        assert_eq!(*seen.lock().unwrap(), [(0, 7), (1, 7), (2, 7)]);
        let late = Arc::clone(&seen);
        handle.on_done(move |outcome| {
            late.lock().unwrap().push((3, *outcome.as_ref().unwrap()));
        });
        assert_eq!(
            seen.lock().unwrap().len(),
            4,
            "at once, when it is done already"
        );
        assert_eq!(handle.join().unwrap(), 7, "the value is still there");
    });
}

#[test]
fn every_way_to_end_calls_back() {
    on_each(|| {
        let ends = Arc::new(Mutex::new(Vec::new()));
        let note = |handle: &JoinHandle<()>| {
            let ends = Arc::clone(&ends);
            handle.on_done(move |outcome| {
                ends.lock().unwrap().push(format!("{outcome:?}"));
            });
        };
        let (go, gate) = channel::unbounded::<()>();
        let theirs = gate.clone();
        let ok = coroutine::spawn(move || {
            let _ = theirs.recv();
        });
        let theirs = gate.clone();
        let panics = coroutine::spawn(move || {
            let _ = theirs.recv();
            std::panic::resume_unwind(Box::new("gone"));
        });
        let theirs = gate.clone();
        let thread = thread::spawn(move || {
            let _ = theirs.recv();
        });
        let task = spawn_async(std::future::pending::<()>());
        [&ok, &panics, &thread, &task].into_iter().for_each(note);
        drop((go, gate));
        task.cancel();
        // Nobody joins: they are called all the same.
        drop((ok, panics, thread, task));
        until(|| ends.lock().unwrap().len() == 4);
        let mut ends = ends.lock().unwrap().clone();
        ends.sort();
        assert_eq!(
            ends,
            [
                "Err(JoinError::Cancelled)",
                "Err(JoinError::Panicked(\"gone\"))",
                "Ok(())",
                "Ok(())"
            ]
        );
    });
}

#[test]
fn a_callbacks_panic_and_wait_are_contained() {
    on_each(|| {
        let calls = Arc::new(AtomicUsize::new(0));
        let (go, gate) = channel::unbounded::<()>();
        let handle = coroutine::spawn(move || {
            let _ = gate.recv();
        });
        handle.on_done(|_| std::panic::resume_unwind(Box::new("of no consequence")));
        let refused = Arc::clone(&calls);
        handle.on_done(move |_| {
            let refusal = catch_unwind(AssertUnwindSafe(coroutine::yield_now)).unwrap_err();
            let text = refusal.downcast_ref::<String>().unwrap();
            assert!(text.contains("on_done"), "{text}");
            refused.fetch_add(1, Ordering::SeqCst);
        });
        let spawned = Arc::clone(&calls);
        handle.on_done(move |_| {
            coroutine::spawn(move || spawned.fetch_add(1, Ordering::SeqCst));
        });
        drop(go);
        handle.join().unwrap();
        until(|| calls.load(Ordering::SeqCst) == 2);
    });
}

#[test]
fn callbacks_race_with_the_end() {
    on_each(|| {
        let rounds = if cfg!(debug_assertions) {
            2_000
        } else {
            20_000
        };
        let calls = Arc::new(AtomicUsize::new(0));
        for round in 0..rounds {
            let handle = coroutine::spawn(move || round);
            if round % 2 == 0 {
                coroutine::yield_now();
            }
            let count = Arc::clone(&calls);
            handle.on_done(move |outcome| {
                assert_eq!(*outcome.as_ref().unwrap(), round);
                count.fetch_add(1, Ordering::SeqCst);
            });
            if round % 3 == 0 {
                assert_eq!(handle.join().unwrap(), round);
            }
        }
        until(|| calls.load(Ordering::SeqCst) == rounds);
    });
}

/// Outcomes need not be `Sync`: two callbacks at once would race on this one's cell.
#[test]
fn callbacks_after_the_end_are_called_one_at_a_time() {
    use std::cell::Cell;
    on_each(|| {
        let rounds = if cfg!(debug_assertions) {
            2_000
        } else {
            50_000
        };
        let handle = coroutine::spawn(|| Cell::new(0_usize));
        until(|| handle.is_finished());
        std::thread::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for _ in 0..rounds {
                        handle.on_done(|count| {
                            let count = count.as_ref().unwrap();
                            count.set(count.get() + 1);
                        });
                    }
                });
            }
        });
        assert_eq!(handle.join().unwrap().get(), 4 * rounds);
    });
}

#[test]
fn a_task_that_joins_itself_is_told() {
    on_each(|| {
        for spawn in [true, false] {
            let (give, take) = channel::bounded::<JoinHandle<()>>(1);
            let body = move || take.recv().unwrap().join().unwrap();
            let handle = if spawn {
                coroutine::spawn(body)
            } else {
                thread::spawn(body)
            };
            let task = handle.task();
            let (told, heard) = channel::unbounded();
            handle.on_done(move |outcome| {
                let message = outcome
                    .as_ref()
                    .unwrap_err()
                    .panic_message()
                    .map(String::from);
                let _ = told.try_send(message);
            });
            give.send(handle).unwrap();
            let message = heard.recv().unwrap().unwrap();
            assert!(message.contains("can't join itself"), "{message}");
            until(|| !task.is_alive());
        }
    });
}
