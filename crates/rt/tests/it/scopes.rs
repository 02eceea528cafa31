//! Scopes: children that borrow.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ropewalk_rt::sync::Mutex;
use ropewalk_rt::{channel, coroutine};

use crate::stage::on_each;

fn message(payload: &(dyn std::any::Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .expect("a panic with text")
}

// Children borrow shared and exclusive parts of their parent's frame, and may still write to
// them after the scope's closure has returned.
#[test]
fn children_borrow() {
    on_each(|| {
        let words = ["one".to_owned(), "two".to_owned(), "three".to_owned()];
        let mut lengths = vec![0; words.len()];
        let total = AtomicUsize::new(0);
        let returned = coroutine::scope(|s| {
            for (word, length) in words.iter().zip(&mut lengths) {
                let total = &total;
                s.spawn(move || {
                    coroutine::yield_now();
                    *length = word.len();
                    total.fetch_add(word.len(), Ordering::Relaxed);
                });
            }
            "the closure's value"
        });
        assert_eq!(returned, "the closure's value");
        assert_eq!(lengths, [3, 3, 5]);
        assert_eq!(total.into_inner(), 11);
    });
}

// A child's value may borrow too.
#[test]
fn a_child_gives_what_borrows() {
    on_each(|| {
        let text = String::from("a needle in hay");
        let found = coroutine::scope(|s| {
            let found = s.spawn(|| text.split(' ').find(|word| word.len() > 3));
            assert!(found.id() > 0);
            found.join().unwrap()
        });
        assert_eq!(found, Some("needle"));
    });
}

// A scope in a child of a scope, and a child spawned by a child through the outer scope.
#[test]
fn scopes_nest() {
    on_each(|| {
        let count = AtomicUsize::new(0);
        coroutine::scope(|outer| {
            for _ in 0..5 {
                outer.spawn(|| {
                    coroutine::scope(|inner| {
                        for _ in 0..5 {
                            inner.spawn(|| count.fetch_add(1, Ordering::Relaxed));
                        }
                        inner.spawn(|| {
                            outer.spawn(|| count.fetch_add(100, Ordering::Relaxed));
                        });
                    });
                    assert!(count.load(Ordering::Relaxed) >= 5);
                });
            }
        });
        assert_eq!(count.into_inner(), 5 * 5 + 5 * 100);
    });
}

// A panic in the closure waits for the children before it goes on: what they borrow is there
// until then.
#[test]
fn a_panic_in_the_closure_waits_for_the_children() {
    on_each(|| {
        let ended = AtomicUsize::new(0);
        let (go, gone) = channel::bounded::<()>(10);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            coroutine::scope(|s| {
                for _ in 0..10 {
                    s.spawn(|| {
                        gone.recv().unwrap();
                        coroutine::yield_now();
                        ended.fetch_add(1, Ordering::SeqCst);
                    });
                }
                for _ in 0..10 {
                    go.send(()).unwrap();
                }
                panic!("of the closure");
            })
        }));
        assert_eq!(message(&*caught.unwrap_err()), "of the closure");
        assert_eq!(ended.into_inner(), 10);
    });
}

// A child's panic that nobody joined makes the scope panic, after all its children have ended;
// one that was joined is the joiner's, and the scope goes on.
#[test]
fn a_panic_in_a_child() {
    on_each(|| {
        let ended = AtomicUsize::new(0);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            coroutine::scope(|s| {
                s.spawn(|| panic!("of a child"));
                s.spawn(|| {
                    coroutine::sleep(Duration::from_millis(1));
                    ended.fetch_add(1, Ordering::SeqCst);
                });
            })
        }));
        assert_eq!(
            message(&*caught.unwrap_err()),
            "a scoped coroutine panicked"
        );
        assert_eq!(ended.load(Ordering::SeqCst), 1);

        let value = coroutine::scope(|s| {
            let error = s.spawn(|| panic!("of a child")).join().unwrap_err();
            assert_eq!(error.panic_message(), Some("of a child"));
            8
        });
        assert_eq!(value, 8);

        // The closure's panic comes before a child's.
        let caught = catch_unwind(AssertUnwindSafe(|| {
            coroutine::scope(|s| {
                s.spawn(|| panic!("of a child"));
                panic!("of the closure");
            })
        }));
        assert_eq!(message(&*caught.unwrap_err()), "of the closure");
    });
}

// Handles of a scope know what other handles know.
#[test]
fn scoped_handles() {
    on_each(|| {
        let (go, gone) = channel::bounded::<()>(0);
        coroutine::scope(|s| {
            let builder = coroutine::Builder::new().name("scoped");
            let handle = builder.spawn_scoped(s, || gone.recv().unwrap()).unwrap();
            assert_eq!(handle.task().name().as_deref(), Some("scoped"));
            assert!(!handle.is_finished() && handle.task().is_alive());
            let Err(handle) = handle.join_timeout(Duration::from_millis(1)) else {
                panic!("it waits for the word to go");
            };
            go.send(()).unwrap();
            handle.join().unwrap();
        });
    });
}

// A scope without children ends at once.
#[test]
fn an_empty_scope() {
    on_each(|| assert_eq!(coroutine::scope(|_| 3), 3));
}

// Thousands of children that end before, while and after the scope's closure does.
#[test]
fn many_children() {
    on_each(|| {
        let sum = Mutex::new(0u64);
        for round in 0..20u64 {
            coroutine::scope(|s| {
                for n in 0..500 {
                    let sum = &sum;
                    s.spawn(move || {
                        if (n + round) % 7 == 0 {
                            coroutine::yield_now();
                        }
                        *sum.lock() += n;
                    });
                }
            });
        }
        assert_eq!(sum.into_inner(), 20 * 499 * 500 / 2);
    });
}
