//! Generators, and soundness rule 5: closing a suspended one resumes it, never unwinds it,
//! and one that suspends again is left parked, its stack in the kernel's hands.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ropewalk_rt::cancel::{self, Token};
use ropewalk_rt::generator::{Closed, Generator, State, scope};
use ropewalk_rt::sync::Event;
use ropewalk_rt::{Runtime, coroutine, coroutine_local};

fn on_each(test: impl Fn() + Sync) {
    for workers in [1, 2] {
        let runtime = Runtime::builder()
            .workers(workers)
            .build()
            .expect("a runtime");
        runtime.run(&test);
        runtime
            .shutdown(Duration::from_secs(30))
            .expect("nobody is left");
    }
}

#[test]
fn values_go_both_ways() {
    on_each(|| {
        let mut generator = Generator::new(|generator, first: i32| {
            let second = generator.suspend(first * 2).expect("resumed");
            let third = generator.suspend(second * 2).expect("resumed");
            format!("{first} {second} {third}")
        });
        assert_eq!(generator.resume(1), State::Yielded(2));
        assert_eq!(generator.resume(5), State::Yielded(10));
        assert_eq!(generator.resume(9), State::Complete("1 5 9".to_owned()));
        assert!(generator.is_done());
    });
}

#[test]
fn it_iterates_and_may_wait_inside() {
    on_each(|| {
        let generator = Generator::new(|generator, ()| {
            for n in 0..5 {
                coroutine::yield_now();
                coroutine::sleep(Duration::from_micros(100));
                if generator.suspend(n).is_err() {
                    return;
                }
            }
        });
        assert_eq!(generator.collect::<Vec<i32>>(), [0, 1, 2, 3, 4]);
    });
}

/// The rule: clean-up runs because `suspend` returns, in order, with the frame whole.
///
/// Broken on purpose: leave out the `Drop` of `Generator`: the body stays parked, and the
/// runtime reports it.
#[test]
fn closing_a_suspended_one_runs_its_clean_up() {
    on_each(|| {
        let log = Rc::new(RefCell::new(Vec::new()));
        let inside = Rc::clone(&log);
        let mut generator = Generator::new(move |generator, ()| {
            let closed = generator.suspend(1);
            inside.borrow_mut().push(format!(
                "{closed:?}, panicking: {}",
                std::thread::panicking()
            ));
        });
        assert_eq!(generator.resume(()), State::Yielded(1));
        drop(generator);
        assert_eq!(*log.borrow(), ["Err(Closed), panicking: false"]);
        assert_eq!(Rc::strong_count(&log), 1, "the body's frame is gone");
    });
}

#[test]
fn one_that_never_started_drops_its_closure() {
    on_each(|| {
        let counted = Rc::new(());
        let inside = Rc::clone(&counted);
        drop(Generator::<(), (), ()>::new(move |_, ()| drop(inside)));
        assert_eq!(Rc::strong_count(&counted), 1);
    });
}

/// One that suspends again after it was closed is not unwound, and its stack is not used
/// for anything else: the runtime's end reports it.
#[test]
fn one_that_will_not_close_is_left_parked() {
    static RESUMED: AtomicU32 = AtomicU32::new(0);
    let runtime = Runtime::builder().workers(1).build().expect("a runtime");
    runtime.run(|| {
        let mut stubborn = Generator::<(), u32, ()>::new(|generator, ()| {
            loop {
                let closed = generator.suspend(7);
                RESUMED.fetch_add(1, Ordering::SeqCst);
                assert_eq!(closed, Err(Closed));
            }
        });
        assert_eq!(stubborn.resume(()), State::Yielded(7));
        drop(stubborn);
    });
    assert_eq!(RESUMED.load(Ordering::SeqCst), 1);
    let left = runtime.shutdown(Duration::ZERO).expect_err("it is left");
    assert_eq!(left.left.len(), 1);
    assert!(left.to_string().contains("generator"), "{left}");
}

#[test]
fn misuse_is_a_clear_panic() {
    let outside = std::panic::catch_unwind(|| Generator::<(), (), ()>::new(|_, ()| ()));
    let message = *outside
        .expect_err("no coroutine")
        .downcast::<&str>()
        .expect("a text");
    assert!(message.contains("generator::scope"), "{message}");
    on_each(|| {
        let after_end = coroutine::spawn(|| {
            let mut generator = Generator::<(), (), ()>::new(|_, ()| ());
            generator.resume(());
            generator.resume(());
        });
        let error = after_end.join().expect_err("resumed after its end");
        assert_eq!(
            error.panic_message(),
            Some("a generator was resumed after its end")
        );
    });
}

#[test]
fn the_bodys_panic_is_the_callers() {
    on_each(|| {
        let caller = coroutine::spawn(|| {
            Generator::<(), (), ()>::new(|_, ()| panic!("inside")).resume(());
        });
        assert_eq!(
            caller.join().expect_err("a panic").panic_message(),
            Some("inside")
        );
    });
}

#[test]
fn a_plain_thread_has_the_scoped_form() {
    let values: Vec<u32> = scope(
        |generator, ()| {
            (0..10).try_for_each(|n| generator.suspend(n)).ok();
        },
        |generator| generator.take(3).collect(),
    );
    assert_eq!(values, [0, 1, 2]);
}

#[test]
fn closing_gives_what_the_body_returns() {
    on_each(|| {
        let open = || {
            Generator::new(|generator, ()| {
                let mut turns = 0;
                while generator.suspend(turns).is_ok() {
                    turns += 1;
                }
                coroutine::yield_now();
                turns
            })
        };
        assert_eq!(open().close(), None, "it never started");
        let mut generator = open();
        for turn in 0..3 {
            assert_eq!(generator.resume(()), State::Yielded(turn));
        }
        assert_eq!(generator.close(), Some(2));
        let mut ended = Generator::<(), (), u32>::new(|_, ()| 1);
        assert_eq!(ended.resume(()), State::Complete(1));
        assert_eq!(ended.close(), None, "it was given before");
        let panics = coroutine::spawn(|| {
            let mut generator = Generator::<(), (), ()>::new(|generator, ()| {
                assert_eq!(generator.suspend(()), Ok(()), "in the clean-up");
            });
            generator.resume(());
            generator.close();
        });
        let error = panics.join().expect_err("a panic");
        assert!(error.panic_message().expect("a text").contains("clean-up"));
    });
}

/// A panic in a clean-up of a drop is printed and ends there: the drop may be one of many.
#[test]
fn a_panic_while_it_is_dropped_stays_inside() {
    on_each(|| {
        let mut generator = Generator::<(), (), ()>::new(|generator, ()| {
            let _ = generator.suspend(());
            panic!("in the clean-up");
        });
        generator.resume(());
        drop(generator);
    });
}

/// Dropping one while unwinding closes it all the same.
#[test]
fn a_caller_that_panics_closes_its_generator() {
    on_each(|| {
        let closed = std::sync::Arc::new(AtomicU32::new(0));
        let inside = std::sync::Arc::clone(&closed);
        let caller = coroutine::spawn(move || {
            let mut generator = Generator::new(move |generator, ()| {
                assert_eq!(generator.suspend(()), Err(Closed));
                inside.fetch_add(1, Ordering::SeqCst);
            });
            generator.resume(());
            panic!("the caller");
        });
        assert_eq!(
            caller.join().expect_err("a panic").panic_message(),
            Some("the caller")
        );
        assert_eq!(closed.load(Ordering::SeqCst), 1);
    });
}

/// Who is cancelled already can start one and gets its values; waits inside end at once.
///
/// Broken on purpose: spawn the body under the token without the shield: as a coroutine that is
/// cancelled before it starts it never runs, and the resume waits for ever.
#[test]
fn a_cancelled_caller_may_start_one() {
    on_each(|| {
        let token = Token::root();
        token.cancel();
        let seen: Vec<bool> = token.run(|| {
            let generator = Generator::new(|generator, ()| {
                for _ in 0..3 {
                    let cancelled = Event::new().wait().is_err() && cancel::check().is_err();
                    if generator.suspend(cancelled).is_err() {
                        return;
                    }
                }
            });
            generator.collect()
        });
        assert_eq!(seen, [true; 3]);
    });
}

/// A deadline around the first resume ends the body's waits, not the turns.
#[test]
fn a_deadline_ends_the_waits_of_the_body() {
    on_each(|| {
        let late = cancel::timeout(Duration::from_millis(1), || {
            let mut generator = Generator::new(|generator, ()| {
                let ended = Event::new().wait().is_err_and(|error| error.is_timeout());
                generator.suspend(ended).expect("resumed");
                "done"
            });
            assert_eq!(generator.resume(()), State::Yielded(true));
            generator.resume(())
        });
        let state = late.expect_err("it was late").into_inner();
        assert_eq!(state, State::Complete("done"));
    });
}

/// One generator drives another, and a body's locals are its own.
#[test]
fn generators_nest() {
    coroutine_local!(static DEPTH: std::cell::Cell<u32> = std::cell::Cell::new(0));
    fn leaves(depth: u32) -> Generator<(), u32, ()> {
        Generator::new(move |generator, ()| {
            assert_eq!(DEPTH.replace(depth), 0);
            if depth == 0 {
                generator.suspend(1).ok();
                return;
            }
            for below in [leaves(depth - 1), leaves(depth - 1)] {
                for leaf in below {
                    if generator.suspend(leaf * 2).is_err() {
                        return;
                    }
                    assert_eq!(DEPTH.get(), depth);
                }
            }
        })
    }
    on_each(|| {
        assert_eq!(leaves(5).collect::<Vec<_>>(), vec![32; 32]);
        let mut some = leaves(5);
        assert_eq!(some.by_ref().take(7).count(), 7);
        drop(some);
    });
}

/// Inside `no_wait` a resume is refused, and the turns are as they were.
#[test]
fn a_refused_resume_changes_nothing() {
    on_each(|| {
        let mut generator = Generator::new(|generator, first: u32| {
            let second = generator.suspend(first).expect("resumed");
            first + second
        });
        for turn in 1..=2 {
            let refused = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                coroutine::no_wait(|| generator.resume(100))
            }));
            assert!(refused.is_err());
            match generator.resume(turn) {
                State::Yielded(value) => assert_eq!((turn, value), (1, 1)),
                State::Complete(sum) => assert_eq!((turn, sum), (2, 3)),
            }
        }
    });
}
