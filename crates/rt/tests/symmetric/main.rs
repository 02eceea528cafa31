//! Symmetric coroutines: the turns, the ends, and soundness rule 5 for them: closing resumes a
//! suspended member, never unwinds it.

mod ends;
#[path = "../it/stage.rs"]
#[allow(dead_code)]
mod stage;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use ropewalk_rt::symmetric::{self, Closed, Group, TrySwitchError};
use ropewalk_rt::{Task, coroutine, coroutine_local, spawn};

use stage::in_coroutines;

/// What members say, in order.
type Log<T> = Rc<RefCell<Vec<T>>>;

/// 12-34-56-78: who isn't switched away from goes through to its end.
#[test]
fn one_after_the_other() {
    in_coroutines(|| {
        let said: Log<u32> = Rc::default();
        let mut group = Group::new("main");
        for (name, numbers) in [("a", [12, 34]), ("b", [56, 78])] {
            let said = Rc::clone(&said);
            group.add(name, move |_, ()| {
                said.borrow_mut().extend(numbers);
                Ok(())
            });
        }
        group.switch("a", ()).unwrap();
        group.switch("b", ()).unwrap();
        assert_eq!(*said.borrow(), [12, 34, 56, 78]);
    });
}

/// 12-56-34-78: directly from one to the other and back.
#[test]
fn crosswise() {
    in_coroutines(|| {
        let said: Log<u32> = Rc::default();
        let mut group = Group::new("main");
        let log = Rc::clone(&said);
        group.add("a", move |me, ()| {
            log.borrow_mut().push(12);
            me.switch("b", ())?;
            log.borrow_mut().push(34);
            me.switch("b", ())
        });
        let log = Rc::clone(&said);
        group.add("b", move |me, ()| {
            log.borrow_mut().push(56);
            me.switch("a", ())?;
            log.borrow_mut().push(78);
            Ok(())
        });
        group.switch("a", ()).unwrap();
        assert_eq!(*said.borrow(), [12, 56, 34, 78]);
        assert_eq!(
            format!("{group:?}"),
            r#"{"main": Running, "a": Suspended, "b": Done}"#
        );
    });
}

/// Values go along with each hand-over, and names tell who is who.
#[test]
fn values_go_round() {
    in_coroutines(|| {
        let mut ring = Group::new("0");
        for n in 1..=9 {
            ring.add(n.to_string(), move |me, mut value: Vec<u32>| {
                assert_eq!((me.name(), me.parent()), (&*n.to_string(), Some("0")));
                loop {
                    value.push(n);
                    value = me.switch(&((n + 1) % 10).to_string(), value)?;
                }
            });
        }
        let mut value = vec![];
        for _ in 0..3 {
            value.push(0);
            value = ring.switch("1", value).unwrap();
        }
        let expected: Vec<u32> = (0..30).map(|n| n % 10).collect();
        assert_eq!(value, expected);
    });
}

/// Each member is a coroutine of its own: with its locals, and a name in the dumps; and it may
/// wait.
#[test]
fn a_member_is_a_coroutine() {
    coroutine_local!(static MINE: Cell<u64> = Cell::new(Task::current().id()));
    in_coroutines(|| {
        let mut group = Group::new("main");
        for name in ["a", "b"] {
            group.add(name, |me, ()| {
                let task = Task::current();
                assert_eq!(task.name().as_deref(), Some(me.name()));
                for _ in 0..3 {
                    coroutine::sleep(Duration::from_micros(50));
                    spawn(|| ()).join().unwrap();
                    me.switch("main", ())?;
                    assert_eq!(MINE.get(), task.id());
                }
                Ok(())
            });
        }
        let me = Task::current().id();
        for _ in 0..3 {
            group.switch("a", ()).unwrap();
            group.switch("b", ()).unwrap();
            assert_eq!(MINE.get(), me);
        }
    });
}

/// Members add members, and a name can be given again after its end.
#[test]
fn members_add_members() {
    in_coroutines(|| {
        let mut group = Group::new("main");
        group.add("counts", |me, n: u32| {
            if n == 0 {
                return Ok(100);
            }
            let child = format!("below {n}");
            me.add(child.clone(), move |below, n| {
                assert_eq!(below.parent(), Some("counts"));
                Ok(n * 2)
            });
            // The child's result comes to who added it.
            let doubled = me.switch(&child, n)?;
            assert_eq!(me.is_done(&child), Some(true));
            me.switch("main", doubled)
        });
        assert_eq!(group.is_done("counts"), Some(false));
        assert_eq!(group.is_done("nobody"), None);
        assert_eq!(group.switch("counts", 21), Ok(42));
        assert_eq!(group.switch("counts", 7), Ok(7));
        assert_eq!(group.is_done("counts"), Some(true));
        group.add("counts", |_, n| Ok(n + 1));
        assert_eq!(group.switch("counts", 1), Ok(2));
    });
}

/// Two groups don't know of each other, and a member may own one.
#[test]
fn groups_nest() {
    in_coroutines(|| {
        let mut outer = Group::new("main");
        outer.add("member", |me, n: u32| {
            let mut inner = Group::new("member");
            inner.add("main", |me, text: String| {
                me.switch("member", text + "!")?;
                Ok(String::new())
            });
            let text = inner.switch("main", n.to_string()).unwrap();
            let n = me.switch("main", text.len() as u32)?;
            drop(inner);
            Ok(n)
        });
        assert_eq!(outer.switch("member", 1234), Ok(5));
        assert_eq!(outer.switch("member", 6), Ok(6));
    });
}

/// Where nothing can be handed over, the value comes back and the turns are as they were.
#[test]
fn misuse_gives_the_value_back() {
    in_coroutines(|| {
        let mut group = Group::new("main");
        group.add("ends", |_, n: u32| Ok(n));
        group.add("tries", |me, n| {
            assert_eq!(me.try_switch("tries", 1), Err(TrySwitchError::Itself(1)));
            assert_eq!(me.try_switch("ends", 2), Err(TrySwitchError::Ended(2)));
            assert_eq!(me.try_switch("nobody", 3), Err(TrySwitchError::Unknown(3)));
            me.switch("main", n)
        });
        assert_eq!(group.switch("ends", 5), Ok(5));
        assert_eq!(group.try_switch("main", 4), Err(TrySwitchError::Itself(4)));
        assert_eq!(group.try_switch("tries", 6), Ok(6));
        let error = group.try_switch("ends", 7).unwrap_err();
        assert_eq!(error.to_string(), "it has ended");
        assert_eq!(error.into_inner(), Some(7));
    });
}

/// The forms without an error panic, and say who and why.
#[test]
fn misuse_is_a_clear_panic() {
    let outside = std::panic::catch_unwind(|| drop(Group::<()>::new("main")));
    let message = *outside.unwrap_err().downcast::<&str>().unwrap();
    assert!(message.contains("symmetric::scope"), "{message}");

    let message_of = |misuse: fn(&mut Group<()>)| {
        let task = spawn(move || {
            let mut group = Group::new("main");
            group.add("ends", |_, ()| Ok(()));
            misuse(&mut group);
        });
        let error = task.join().unwrap_err();
        error.panic_message().expect("a text").to_owned()
    };
    in_coroutines(|| {
        assert_eq!(
            message_of(|group| group.switch("main", ()).unwrap()),
            r#""main" can't switch to "main": it would switch to itself"#
        );
        assert_eq!(
            message_of(|group| group.switch("nobody", ()).unwrap()),
            r#""main" can't switch to "nobody": nobody in the group has that name"#
        );
        assert_eq!(
            message_of(|group| {
                group.switch("ends", ()).unwrap();
                group.switch("ends", ()).unwrap();
            }),
            r#""main" can't switch to "ends": it has ended"#
        );
        assert_eq!(
            message_of(|group| group.add("ends", |_, ()| Ok(()))),
            r#"the group has a member named "ends" already"#
        );
        let waits = message_of(|group| {
            let _ = coroutine::no_wait(|| group.switch("ends", ()));
        });
        assert!(waits.contains("a wait inside"), "{waits}");
    });
}

/// A plain thread has the scoped form.
#[test]
fn a_plain_thread_has_the_scoped_form() {
    let mut outside = 0;
    let sum = symmetric::scope("main", |group| {
        group.add("sums", |me, first: u32| {
            let mut sum = first;
            loop {
                sum += me.switch("main", sum)?;
            }
        });
        for n in 0..10 {
            outside = group.switch("sums", n)?;
        }
        Ok::<u32, Closed>(outside)
    });
    assert_eq!((sum, outside), (Ok(45), 45));
}

/// Many members, many turns.
#[test]
fn a_long_ring() {
    const MEMBERS: usize = 200;
    in_coroutines(|| {
        let mut ring = Group::new("0");
        for n in 1..MEMBERS {
            let next = ((n + 1) % MEMBERS).to_string();
            ring.add(n.to_string(), move |me, mut hops: usize| {
                loop {
                    hops = me.switch(&next, hops + 1)?;
                }
            });
        }
        let mut hops = 0;
        for _ in 0..20 {
            hops = ring.switch("1", hops + 1).unwrap();
        }
        assert_eq!(hops, 20 * MEMBERS);
    });
}
