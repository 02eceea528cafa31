//! Groups: bounded, joined and cancelled as one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ropewalk_rt::cancel::{self, Token, WaitError};
use ropewalk_rt::results::join_all;
use ropewalk_rt::sync::Event;
use ropewalk_rt::{Group, JoinError, channel, coroutine, spawn_async, thread};

use crate::promises::text;
use crate::stage::{on_each, until, until_waiting};

const HOUR: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_millis(1);

/// Counts how many are inside at once.
#[derive(Default)]
struct Crowd {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Crowd {
    fn visit(&self) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        coroutine::yield_now();
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn all_are_joined() {
    on_each(|| {
        let group = Group::new();
        assert!(group.is_empty() && group.limit().is_none());
        group.join().unwrap();
        let count = Arc::new(AtomicUsize::new(0));
        for _ in 0..100 {
            let count = Arc::clone(&count);
            // Values nobody takes, and panics nobody looks at.
            drop(group.spawn(move || {
                coroutine::yield_now();
                assert!(count.fetch_add(1, Ordering::SeqCst) != 50, "the 51st");
            }));
        }
        group.join().unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 100);
        assert_eq!(group.len(), 0);
        // It goes on being of use.
        assert_eq!(group.spawn(|| 5).join().unwrap(), 5);
        spawn_async(async move { group.join_async().await })
            .join()
            .unwrap();
    });
}

// Of a thousand, spawned from several tasks of all kinds, never more than three run.
#[test]
fn no_more_than_the_limit_run() {
    on_each(|| {
        let group = Arc::new(Group::with_limit(3));
        assert_eq!(group.limit(), Some(3));
        let crowd = Arc::new(Crowd::default());
        let ran = Arc::new(AtomicUsize::new(0));
        let spawn = {
            let (group, crowd, ran) = (Arc::clone(&group), Arc::clone(&crowd), Arc::clone(&ran));
            move || {
                for _ in 0..250 {
                    let (crowd, ran) = (Arc::clone(&crowd), Arc::clone(&ran));
                    drop(group.spawn(move || {
                        crowd.visit();
                        ran.fetch_add(1, Ordering::SeqCst);
                    }));
                }
            }
        };
        let spawners = [
            coroutine::spawn(spawn.clone()),
            coroutine::spawn(spawn.clone()),
            thread::spawn(spawn.clone()),
            spawn_async(async move { spawn() }),
        ];
        assert!(join_all(spawners).iter().all(Result::is_ok));
        group.join().unwrap();
        assert_eq!(ran.load(Ordering::SeqCst), 1000);
        assert!((1..=3).contains(&crowd.most.load(Ordering::SeqCst)));
    });
}

#[test]
fn without_room_the_closure_comes_back() {
    on_each(|| {
        let group = Group::with_limit(1);
        let event = Arc::new(Event::new());
        let inside = Arc::clone(&event);
        let first = group.spawn(move || inside.wait().unwrap());
        let error = group.try_spawn(|| 2).err().unwrap();
        assert!(!error.is_timeout() && !error.is_cancelled());
        assert_eq!(error.to_string(), "no room in the group");
        assert_eq!((error.into_inner())(), 2);
        let error = group.spawn_timeout(MOMENT, || 3).err().unwrap();
        assert!(error.is_timeout());
        let soon = Instant::now() + MOMENT;
        let error = group.spawn_deadline(soon, || 4).err().unwrap();
        assert!(error.is_timeout());
        let token = Token::new();
        token.cancel();
        let error = token.run(|| group.spawn_timeout(HOUR, || 5)).err().unwrap();
        assert!(error.is_cancelled());
        event.set();
        first.join().unwrap();
        assert_eq!(group.spawn_timeout(HOUR, || 6).unwrap().join().unwrap(), 6);
    });
}

#[test]
fn a_spawner_that_is_cancelled_while_it_waits() {
    on_each(|| {
        let group = Arc::new(Group::with_limit(1));
        let event = Arc::new(Event::new());
        let inside = Arc::clone(&event);
        let first = group.spawn(move || inside.wait().unwrap());
        let own = Arc::clone(&group);
        let spawner = coroutine::spawn(move || own.spawn(|| unreachable!("it never runs")).join());
        until_waiting(spawner.id(), "waiting for a permit");
        spawner.cancel();
        let refused: Result<(), JoinError> = spawner.join().unwrap();
        let refused = refused.unwrap_err();
        assert!(refused.is_cancelled() || refused.is_wait_cancelled());
        event.set();
        first.join().unwrap();
        group.join().unwrap();
    });
}

#[test]
fn a_join_tells_who_is_left() {
    on_each(|| {
        let group = Group::new();
        let event = Arc::new(Event::new());
        let handles: Vec<_> = (0..3)
            .map(|n| {
                let event = Arc::clone(&event);
                group.spawn(move || {
                    if n != 1 {
                        event.wait().unwrap()
                    }
                })
            })
            .collect();
        let ids: Vec<u64> = handles.iter().map(|handle| handle.id()).collect();
        until(|| group.len() == 2);
        let left = group.join_timeout(MOMENT).unwrap_err();
        assert_eq!(left.reason(), WaitError::Timeout);
        let left: Vec<u64> = left.tasks().iter().map(|task| task.id()).collect();
        assert_eq!(left, [ids[0], ids[2]]);
        assert!(group.join_deadline(Instant::now() + MOMENT).is_err());
        let token = Token::new();
        token.cancel();
        token.run(|| {
            assert!(group.join().is_err());
            let left = group.join_timeout(HOUR).unwrap_err();
            assert_eq!(left.reason(), WaitError::Cancelled);
            assert_eq!(left.tasks().len(), 2);
        });
        event.set();
        group.join_timeout(HOUR).unwrap();
        assert!(group.tasks().is_empty());
    });
}

#[test]
fn cancelled_as_one() {
    on_each(|| {
        let group = Group::new();
        let handles: Vec<_> = (0..10)
            .map(|_| group.spawn(|| cancel::sleep(HOUR).is_err()))
            .collect();
        for handle in &handles {
            until_waiting(handle.id(), "sleeping");
        }
        group.cancel();
        group.join().unwrap();
        for handle in handles {
            assert!(handle.join().unwrap(), "its sleep was ended");
        }
        // Those that come later never start, and leave no place taken.
        assert!(group.is_cancelled());
        let late = group.spawn(|| unreachable!("it never runs"));
        let late: Result<(), JoinError> = late.join();
        assert!(late.unwrap_err().is_cancelled());
        group.join().unwrap();
    });
}

// The group stands below whoever made it, not below who spawns into it.
#[test]
fn under_whose_token() {
    on_each(|| {
        let maker = Token::new();
        let spawner = Token::new();
        let group = maker.run(Group::new);
        let handle = spawner.run(|| group.spawn(|| cancel::sleep(HOUR).is_err()));
        until_waiting(handle.id(), "sleeping");
        spawner.cancel();
        let handle = handle.join_timeout(MOMENT).expect_err("it sleeps on");
        maker.cancel();
        assert!(handle.join().unwrap());
    });
}

#[test]
fn async_tasks_in_a_group() {
    on_each(|| {
        let group = Arc::new(Group::with_limit(2));
        let event = Arc::new(Event::new());
        let handles: Vec<_> = (0..2)
            .map(|n| {
                let event = Arc::clone(&event);
                group.spawn_async(async move {
                    event.wait_async().await;
                    n
                })
            })
            .collect();
        assert_eq!(group.tasks().len(), 2);
        assert!(group.try_spawn(|| ()).is_err());
        let own = Arc::clone(&group);
        let third = spawn_async(async move { own.spawn_async(async { 2 }).await });
        until_waiting(third.id(), "waiting for a permit");
        event.set();
        assert_eq!(third.join().unwrap().unwrap(), 2);
        let values: Vec<i32> = join_all(handles).into_iter().map(Result::unwrap).collect();
        assert_eq!(values, [0, 1]);

        // Cancelled, the future is dropped, and its place is free.
        let endless = group.spawn_async(std::future::pending::<()>());
        group.cancel();
        assert!(endless.join().unwrap_err().is_cancelled());
        group.join().unwrap();
        let late = group.spawn_async(async {});
        assert!(late.join().unwrap_err().is_cancelled());
    });
}

#[test]
fn dropping_lets_them_go_on() {
    on_each(|| {
        let (go, gone) = channel::bounded(0);
        let group = Group::new();
        let handle = group.spawn(move || gone.recv().unwrap());
        drop(group);
        go.send(8).unwrap();
        assert_eq!(handle.join().unwrap(), 8);
    });
}

#[test]
fn misuse() {
    on_each(|| {
        let group = Arc::new(Group::new());
        let own = Arc::clone(&group);
        let said = group.spawn(move || {
            let waits = catch_unwind(AssertUnwindSafe(|| own.join()));
            text(&*waits.unwrap_err()).to_owned()
        });
        assert!(said.join().unwrap().contains("one of its own"));
        let none = catch_unwind(|| Group::with_limit(0));
        assert!(text(&*none.unwrap_err()).contains("limit of 0"));

        let full = Group::with_limit(1);
        let event = Arc::new(Event::new());
        let inside = Arc::clone(&event);
        let first = full.spawn(move || inside.wait().unwrap());
        let refused = catch_unwind(AssertUnwindSafe(|| {
            coroutine::no_wait(|| full.spawn(|| ()))
        }));
        assert!(refused.is_err(), "it would have to wait");
        event.set();
        first.join().unwrap();
        full.spawn(|| ()).join().unwrap();
        full.join().unwrap();
    });
}

#[test]
fn a_map_is_lazy_bounded_and_in_order() {
    on_each(|| {
        let group = Group::with_limit(3);
        let crowd = Arc::new(Crowd::default());
        let taken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&taken);
        // Without an end: it is taken only as far as the results are.
        let items = (0_u64..).inspect(move |_| {
            count.fetch_add(1, Ordering::SeqCst);
        });
        let visited = Arc::clone(&crowd);
        let mut squares = group.map(items, move |n| {
            visited.visit();
            coroutine::sleep(Duration::from_micros(n % 3 * 100));
            n * n
        });
        assert_eq!(taken.load(Ordering::SeqCst), 0);
        for n in 0..50 {
            assert_eq!(squares.next().unwrap().unwrap(), n * n);
            assert!(taken.load(Ordering::SeqCst) <= n as usize + 3);
        }
        drop(squares);
        group.join().unwrap();
        assert!((1..=3).contains(&crowd.most.load(Ordering::SeqCst)));

        // Without a limit, with panics.
        let group = Group::new();
        let results: Vec<_> = group
            .map(0..20, |n| {
                if n == 7 {
                    panic!("seven");
                }
                n
            })
            .collect();
        for (n, result) in results.into_iter().enumerate() {
            match result {
                Ok(value) => assert_eq!(value, n),
                Err(error) => assert_eq!((n, error.panic_message()), (7, Some("seven"))),
            }
        }
    });
}

#[test]
fn an_unordered_map_gives_each_once() {
    on_each(|| {
        let group = Group::with_limit(4);
        let mut seen = vec![0; 200];
        for (number, result) in group.map_unordered(0..200_usize, |n| {
            coroutine::sleep(Duration::from_micros(n as u64 * 7 % 5 * 50));
            n
        }) {
            assert_eq!(result.unwrap(), number);
            seen[number] += 1;
        }
        assert!(seen.into_iter().all(|times| times == 1));

        // The order is the one in which they end.
        let group = Group::with_limit(2);
        let (go, gone) = channel::bounded::<()>(0);
        let mut results = group.map_unordered([true, false], move |waits| {
            if waits {
                gone.recv().unwrap();
            }
            waits
        });
        let (number, result) = results.next().unwrap();
        assert_eq!((number, result.unwrap()), (1, false));
        go.send(()).unwrap();
        let (number, result) = results.next().unwrap();
        assert_eq!((number, result.unwrap()), (0, true));
        assert!(results.next().is_none());
    });
}

#[test]
fn a_map_whose_taker_is_cancelled() {
    on_each(|| {
        let group = Arc::new(Group::with_limit(2));
        let event = Arc::new(Event::new());
        let inside = Arc::clone(&event);
        let own = Arc::clone(&group);
        let taker = coroutine::spawn(move || {
            let ordered = {
                let inside = Arc::clone(&inside);
                own.map(0.., move |_: u32| inside.wait().unwrap()).count()
            };
            // Cancelled already, it ends at once.
            let unordered = own.map_unordered(0.., move |_: u32| inside.wait().unwrap());
            (ordered, unordered.count())
        });
        until_waiting(taker.id(), "joining");
        taker.cancel();
        assert_eq!(taker.join().unwrap(), (0, 0));
        event.set();
        group.join().unwrap();
    });
}
