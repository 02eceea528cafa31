//! Scopes whose children may fail.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ropewalk_rt::cancel::{self, Token};
use ropewalk_rt::{channel, coroutine, try_scope};

use crate::promises::text;
use crate::stage::{on_each, until_waiting};

const HOUR: Duration = Duration::from_secs(3600);

/// Sleeps until it is cancelled; then fails with `error`.
fn fails_when_cancelled(error: &str) -> Result<(), String> {
    match cancel::sleep(HOUR) {
        Ok(()) => Ok(()),
        Err(_) => Err(error.to_owned()),
    }
}

#[test]
fn without_failures_it_is_a_scope() {
    on_each(|| {
        let mut lengths = [0; 3];
        let total = try_scope(|s| {
            let handles: Vec<_> = ["one", "three", "fifteen"]
                .iter()
                .zip(&mut lengths)
                .map(|(word, length)| {
                    s.spawn(move || {
                        coroutine::yield_now();
                        *length = word.len();
                        Ok::<usize, String>(word.len())
                    })
                })
                .collect();
            let mut total = 0;
            for handle in handles {
                assert!(handle.id() > 0 && handle.task().id() == handle.id());
                total += handle.join()?;
            }
            Ok(total)
        });
        assert_eq!(total, Ok(15));
        assert_eq!(lengths, [3, 5, 7]);
        assert_eq!(try_scope(|_| Ok::<_, ()>(3)), Ok(3));
    });
}

// One that fails ends the others' waits; theirs are not the first errors.
#[test]
fn the_first_error_cancels_the_rest() {
    on_each(|| {
        let ended = AtomicUsize::new(0);
        let result: Result<(), String> = try_scope(|s| {
            let mut waiting = Vec::new();
            for _ in 0..5 {
                waiting.push(s.spawn(|| {
                    let result = fails_when_cancelled("cancelled");
                    ended.fetch_add(1, Ordering::SeqCst);
                    result
                }));
            }
            for handle in &waiting {
                until_waiting(handle.id(), "sleeping");
            }
            s.spawn(|| Err::<(), _>("the first".to_owned()));
            Ok(())
        });
        assert_eq!(result.unwrap_err(), "the first");
        assert_eq!(ended.into_inner(), 5);
    });
}

// The closure is cancelled too: it would wait for a message that never comes.
#[test]
fn the_closure_is_cancelled_too() {
    on_each(|| {
        let (_send, receive) = channel::bounded::<()>(0);
        let result = try_scope(|s| {
            s.spawn(|| Err::<(), _>("of the child".to_owned()));
            receive.recv().map_err(|_| "of the closure".to_owned())
        });
        assert_eq!(result.unwrap_err(), "of the child");
    });
}

#[test]
fn the_closures_error_cancels_the_children() {
    on_each(|| {
        let result: Result<(), String> = try_scope(|s| {
            let child = s.spawn(|| fails_when_cancelled("of the child"));
            until_waiting(child.id(), "sleeping");
            Err("of the closure".to_owned())
        });
        assert_eq!(result.unwrap_err(), "of the closure");
    });
}

// Who joins a child has its error; if it goes no further, the scope has not failed.
#[test]
fn an_error_that_was_dealt_with() {
    on_each(|| {
        let result: Result<String, String> = try_scope(|s| {
            let child = s.spawn(|| Err::<(), _>("of the child".to_owned()));
            let error = child.join().unwrap_err();
            assert!(
                cancel::check().is_err(),
                "the rest is cancelled all the same"
            );
            Ok(error)
        });
        assert_eq!(result.unwrap(), "of the child");

        // One that was not joined comes before one that was, if it was first.
        let result: Result<(), String> = try_scope(|s| {
            let second = s.spawn(|| fails_when_cancelled("second"));
            until_waiting(second.id(), "sleeping");
            s.spawn(|| Err::<(), _>("first".to_owned()));
            second.join()
        });
        assert_eq!(result.unwrap_err(), "first");
    });
}

// One that is spawned after the failure runs, finds itself cancelled, and has a result.
#[test]
fn a_child_that_comes_late() {
    on_each(|| {
        let result: Result<(), String> = try_scope(|s| {
            s.cancel();
            let late = s.spawn(|| {
                let cancelled = cancel::check().is_err();
                Ok::<_, String>(cancelled && fails_when_cancelled("").is_err())
            });
            assert!(late.join()?, "it was cancelled from the start");
            Ok(())
        });
        assert_eq!(result, Ok(()));
    });
}

#[test]
fn a_panic_cancels_the_rest_and_goes_on() {
    on_each(|| {
        let ended = AtomicUsize::new(0);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            try_scope(|s| {
                let waits = s.spawn(|| {
                    let result = fails_when_cancelled("cancelled");
                    ended.fetch_add(1, Ordering::SeqCst);
                    result
                });
                until_waiting(waits.id(), "sleeping");
                s.spawn::<_, ()>(|| panic!("of a child"));
                Ok(())
            })
        }));
        assert_eq!(text(&*caught.unwrap_err()), "of a child");
        assert_eq!(ended.load(Ordering::SeqCst), 1);

        // Joined, it is the joiner's, and the closure's if that doesn't catch it.
        let caught = catch_unwind(AssertUnwindSafe(|| {
            try_scope(|s| {
                s.spawn(|| -> Result<(), ()> { panic!("of a child") })
                    .join()
            })
        }));
        assert_eq!(text(&*caught.unwrap_err()), "of a child");
        let result: Result<(), ()> = try_scope(|s| {
            let child = s.spawn(|| -> Result<(), ()> { panic!("of a child") });
            let caught = catch_unwind(AssertUnwindSafe(|| child.join()));
            assert_eq!(text(&*caught.unwrap_err()), "of a child");
            Ok(())
        });
        assert_eq!(result, Ok(()));

        // The closure's own comes first.
        let caught = catch_unwind(AssertUnwindSafe(|| {
            try_scope(|s| -> Result<(), String> {
                let child = s.spawn(|| fails_when_cancelled("cancelled"));
                until_waiting(child.id(), "sleeping");
                panic!("of the closure")
            })
        }));
        assert_eq!(text(&*caught.unwrap_err()), "of the closure");
    });
}

// A cancellation from outside reaches the children; one inside goes no further than the scope.
#[test]
fn between_tokens() {
    on_each(|| {
        let token = Token::new();
        let result: Result<(), String> = token.run(|| {
            try_scope(|s| {
                let child = s.spawn(|| fails_when_cancelled("from outside"));
                until_waiting(child.id(), "sleeping");
                token.cancel();
                child.join()
            })
        });
        assert_eq!(result.unwrap_err(), "from outside");

        let outer = Token::new();
        outer.run(|| {
            let result: Result<(), ()> = try_scope(|s| {
                s.spawn(|| Err::<(), _>(()));
                Ok(())
            });
            assert_eq!(result, Err(()));
            assert!(cancel::check().is_ok());
        });

        let elapsed = cancel::timeout(Duration::from_millis(1), || {
            try_scope(|s| s.spawn(|| fails_when_cancelled("too late")).join())
        });
        assert_eq!(elapsed.unwrap_err().into_inner().unwrap_err(), "too late");
    });
}

#[test]
fn children_spawn_siblings_and_scopes_nest() {
    on_each(|| {
        let count = AtomicUsize::new(0);
        let result: Result<usize, String> = try_scope(|s| {
            for _ in 0..5 {
                s.spawn(|| {
                    s.spawn(|| {
                        count.fetch_add(100, Ordering::SeqCst);
                        Ok(())
                    });
                    try_scope(|inner| {
                        for _ in 0..5 {
                            inner.spawn(|| Ok(count.fetch_add(1, Ordering::SeqCst)));
                        }
                        Ok(())
                    })
                });
            }
            Ok(1)
        });
        assert_eq!(result, Ok(1));
        assert_eq!(count.into_inner(), 525);
    });
}

// A failure deep inside goes up level by level.
#[test]
fn a_failure_goes_up() {
    fn dig(depth: usize) -> Result<(), String> {
        try_scope(|s| {
            if depth == 0 {
                return Err("the bottom".to_owned());
            }
            s.spawn(|| fails_when_cancelled("cancelled"));
            s.spawn(move || dig(depth - 1)).join()
        })
    }
    on_each(|| assert_eq!(dig(5).unwrap_err(), "the bottom"));
}

#[test]
fn refused_where_nothing_may_wait() {
    on_each(|| {
        let caught = catch_unwind(|| {
            coroutine::no_wait(|| {
                try_scope(|_| -> Result<(), ()> { unreachable!("it never runs") })
            })
        });
        assert!(text(&*caught.unwrap_err()).contains("no_wait"));
    });
}
