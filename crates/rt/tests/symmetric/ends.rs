//! How members end: results and panics go up, and what is left suspended is closed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use ropewalk_rt::cancel::{self, Token};
use ropewalk_rt::symmetric::{Closed, Group};
use ropewalk_rt::sync::Event;
use ropewalk_rt::{Runtime, coroutine, spawn};

use crate::stage::in_coroutines;

/// Each of the suspended cleans up, one after the other, because its `switch` returns.
///
/// Broken on purpose: leave out the `Drop` of `Group`: the members stay parked, and the runtime
/// reports them.
#[test]
fn what_is_left_suspended_is_closed() {
    in_coroutines(|| {
        let log = Rc::new(RefCell::new(Vec::new()));
        let mut group = Group::new("main");
        for name in ["c", "a", "b"] {
            let log = Rc::clone(&log);
            group.add(name, move |me, ()| {
                let closed = me.switch("main", ());
                assert!(!std::thread::panicking());
                coroutine::yield_now();
                log.borrow_mut().push((name, closed));
                closed
            });
        }
        let kept = Rc::clone(&log);
        group.add("never", move |_, ()| {
            drop(kept);
            unreachable!("nobody switches to it")
        });
        for name in ["b", "c", "a"] {
            group.switch(name, ()).unwrap();
        }
        assert_eq!(Rc::strong_count(&log), 5);
        drop(group);
        let closed = ["c", "a", "b"].map(|name| (name, Err(Closed)));
        assert_eq!(*log.borrow(), closed, "in the order of adding");
        assert_eq!(
            Rc::strong_count(&log),
            1,
            "all frames and closures are gone"
        );
    });
}

/// A result goes to who added the member, and further up if that one has ended.
#[test]
fn results_go_up() {
    in_coroutines(|| {
        let mut group = Group::new("main");
        group.add("parent", |me, n: u32| {
            me.add("first", |_, n| Ok(n + 1));
            me.add("second", |me, n| Ok(me.switch("parent", n * 10)? + 2));
            let n = me.switch("first", n)?;
            me.switch("second", n)
        });
        assert_eq!(group.switch("parent", 4), Ok(50), "the parent's result");
        assert_eq!(group.is_done("parent"), Some(true));
        assert_eq!(group.is_done("second"), Some(false));
        assert_eq!(group.switch("second", 7), Ok(9), "its parent has ended");
    });
}

/// Who returns `Closed` without being closed passes that on, and the rest goes on.
#[test]
fn who_gives_up_is_heard_above() {
    in_coroutines(|| {
        let mut group = Group::new("main");
        group.add("gives up", |_, _: u32| Err(Closed));
        group.add("goes on", |_, n| Ok(n));
        assert_eq!(group.switch("gives up", 1), Err(Closed));
        assert_eq!(group.is_done("gives up"), Some(true));
        assert_eq!(group.switch("goes on", 2), Ok(2));
    });
}

/// A panic too goes to who added the member; who catches it goes on.
#[test]
fn panics_go_up() {
    in_coroutines(|| {
        let task = spawn(|| {
            let mut group = Group::new("main");
            group.add("catches", |me, n: u32| {
                me.add("panics", |_, n| panic!("with {n}"));
                let switch = std::panic::AssertUnwindSafe(|| me.switch("panics", n));
                let payload = std::panic::catch_unwind(switch).unwrap_err();
                assert_eq!(*payload.downcast::<String>().unwrap(), "with 3");
                me.add("panics", |_, n| panic!("again with {n}"));
                me.switch("panics", n + 1)
            });
            group.add("waits", |me, n| me.switch("catches", n));
            group.switch("waits", 3)
        });
        let error = task.join().unwrap_err();
        assert_eq!(error.panic_message(), Some("again with 4"));
    });
}

/// Closing goes on past a member that panics while it cleans up; the owner hears nothing, as
/// the owner may be unwinding itself.
#[test]
fn clean_ups_that_panic_stay_inside() {
    static CLOSED: AtomicU32 = AtomicU32::new(0);
    struct Counts;
    impl Drop for Counts {
        fn drop(&mut self) {
            CLOSED.fetch_add(1, Ordering::SeqCst);
        }
    }
    in_coroutines(|| {
        CLOSED.store(0, Ordering::SeqCst);
        let task = spawn(|| {
            let mut group = Group::new("main");
            for n in 0..10 {
                group.add(n.to_string(), move |me, ()| {
                    let _counts = Counts;
                    let closed = me.switch("main", ());
                    assert!(n % 3 != 0, "a clean-up");
                    closed
                });
                group.switch(&n.to_string(), ()).unwrap();
            }
            panic!("the owner");
        });
        let error = task.join().unwrap_err();
        assert_eq!(error.panic_message(), Some("the owner"));
        assert_eq!(CLOSED.load(Ordering::SeqCst), 10);
    });
}

/// One that switches again after it was closed is not unwound, and its stack is not used for
/// anything else: the others are closed, and the runtime's end reports it.
#[test]
fn one_that_will_not_close_is_left_parked() {
    for stubborn in ["0", "1", "2"] {
        let runtime = Runtime::builder().workers(1).build().expect("a runtime");
        let (closed, again) = runtime.run(move || {
            let (closed, again) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
            let mut group = Group::new("main");
            for name in ["0", "1", "2"] {
                let (closed, again) = (Arc::clone(&closed), Arc::clone(&again));
                group.add(name, move |me, ()| {
                    assert_eq!(me.switch("main", ()), Err(Closed));
                    closed.fetch_add(1, Ordering::SeqCst);
                    if name == stubborn {
                        let _ = me.switch("main", ());
                        again.fetch_add(1, Ordering::SeqCst);
                    }
                    Err(Closed)
                });
                group.switch(name, ()).unwrap();
            }
            drop(group);
            (closed.load(Ordering::SeqCst), again.load(Ordering::SeqCst))
        });
        assert_eq!((closed, again), (3, 0));
        let left = runtime.shutdown(Duration::ZERO).expect_err("it is left");
        assert_eq!(left.left.len(), 1);
        assert_eq!(left.left[0].name.as_deref(), Some(stubborn), "{left}");
    }
}

/// A clean-up may wait, use the group's names and values, and add what will never run.
#[test]
fn a_clean_up_may_wait() {
    in_coroutines(|| {
        let log = Rc::new(Cell::new(0));
        let mut group = Group::new("main");
        let count = Rc::clone(&log);
        group.add("cleans", move |me, ()| {
            let closed = me.switch("main", ());
            let unused = Rc::clone(&count);
            me.add("late", move |_, ()| {
                unused.set(100);
                Ok(())
            });
            spawn(coroutine::yield_now).join().unwrap();
            count.set(count.get() + 1);
            closed
        });
        group.switch("cleans", ()).unwrap();
        drop(group);
        assert_eq!((log.get(), Rc::strong_count(&log)), (1, 1));
    });
}

/// Cancelled callers get their turns all the same; other waits inside end by it.
#[test]
fn turns_are_not_cancelled() {
    in_coroutines(|| {
        let token = Token::root();
        let seen = token.run(|| {
            let mut group = Group::new("main");
            for name in ["before", "after"] {
                group.add(name, |me, n: u32| {
                    let n = me.switch("main", n + 1)?;
                    assert!(Event::new().wait().is_err());
                    assert!(cancel::check().is_err());
                    me.switch("main", n * 2)
                });
            }
            assert_eq!(group.switch("before", 1), Ok(2));
            token.cancel();
            assert_eq!(group.switch("after", 5), Ok(6));
            (group.switch("before", 10), group.switch("after", 20))
        });
        assert_eq!(seen, (Ok(20), Ok(40)));
    });
}
