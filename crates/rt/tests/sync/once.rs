//! `Once`, `OnceLock`, `LazyLock`: one run, whoever comes; a run that failed is tried again;
//! an initialiser that needs itself is told so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ropewalk_rt::cancel::{Token, WaitError};
use ropewalk_rt::sync::{Event, LazyLock, Once, OnceLock};
use ropewalk_rt::{block_on, coroutine, spawn, spawn_async};

use crate::stage::{on_each, until, until_waiting};
use crate::who::{Polled, Who, in_pairings};

const WAITS: &str = "waiting for an initialisation";

#[test]
fn one_runs_and_the_others_wait() {
    in_pairings(|other, first| {
        let once = Arc::new(OnceLock::new());
        let (begun, go) = (Arc::new(AtomicBool::new(false)), Arc::new(Event::new()));
        let initialiser = {
            let (once, begun, go) = (Arc::clone(&once), Arc::clone(&begun), Arc::clone(&go));
            let (once_too, begun_too, go_too) =
                (Arc::clone(&once), Arc::clone(&begun), Arc::clone(&go));
            first.wait(
                move || {
                    *once.get_or_init(|| {
                        begun.store(true, Ordering::SeqCst);
                        go.wait().unwrap();
                        1
                    })
                },
                async move {
                    let init = async || {
                        begun_too.store(true, Ordering::SeqCst);
                        go_too.wait_async().await;
                        1
                    };
                    *once_too.get_or_init_async(init).await
                },
            )
        };
        until(|| begun.load(Ordering::SeqCst));
        let others: Vec<_> = (0..4)
            .map(|n| {
                let (once, once_too) = (Arc::clone(&once), Arc::clone(&once));
                other.wait(
                    move || match n {
                        0 => *once.wait(),
                        1 => *once.wait_timeout(Duration::from_secs(3600)).unwrap(),
                        2 => {
                            assert_eq!(once.set(2), Err(2));
                            *once.get().unwrap()
                        }
                        _ => *once.get_or_init(|| 2),
                    },
                    async move {
                        match n {
                            0 | 1 => *once_too.wait_async().await,
                            _ => *once_too.get_or_init_async(async || 2).await,
                        }
                    },
                )
            })
            .collect();
        coroutine::yield_now();
        assert!(others.iter().all(|other| !other.is_finished()));
        assert_eq!(once.get(), None);
        go.set();
        assert_eq!(initialiser.join().unwrap(), 1);
        for other in others {
            assert_eq!(other.join().unwrap(), 1);
        }
    });
}

#[test]
fn a_stampede_runs_once() {
    on_each(|| {
        for _ in 0..20 {
            let (once, runs) = (Arc::new(Once::new()), Arc::new(AtomicUsize::new(0)));
            let handles: Vec<_> = Who::ALL
                .into_iter()
                .cycle()
                .take(12)
                .map(|who| {
                    let (once, runs) = (Arc::clone(&once), Arc::clone(&runs));
                    who.act(move || {
                        once.call_once(|| {
                            runs.fetch_add(1, Ordering::Relaxed);
                            coroutine::yield_now();
                            runs.fetch_add(10, Ordering::Relaxed);
                        });
                        assert!(once.is_completed());
                        assert_eq!(runs.load(Ordering::Relaxed), 11);
                    })
                })
                .collect();
            for handle in handles {
                handle.join().unwrap();
            }
        }
    });
}

// A closure that panics has not run: one of those who waited runs its own.
#[test]
fn after_a_panic_another_runs() {
    on_each(|| {
        let once = Arc::new(Once::new());
        let go = Arc::new(Event::new());
        let first = {
            let (once, go) = (Arc::clone(&once), Arc::clone(&go));
            spawn(move || {
                once.call_once(|| {
                    go.wait().unwrap();
                    panic!("the first initialiser");
                });
            })
        };
        until_waiting(first.id(), "waiting for an event");
        let runs = Arc::new(AtomicUsize::new(0));
        let others: Vec<_> = (0..3)
            .map(|_| {
                let (once, runs) = (Arc::clone(&once), Arc::clone(&runs));
                spawn(move || {
                    once.call_once(|| {
                        runs.fetch_add(1, Ordering::Relaxed);
                    })
                })
            })
            .collect();
        let waits = {
            let once = Arc::clone(&once);
            spawn(move || once.wait())
        };
        for other in others.iter().chain([&waits]) {
            until_waiting(other.id(), WAITS);
        }
        go.set();
        assert!(first.join().unwrap_err().is_panic());
        for other in others.into_iter().chain([waits]) {
            other.join().unwrap();
        }
        assert_eq!(runs.load(Ordering::Relaxed), 1);
    });
}

#[test]
fn a_failed_or_panicked_initialiser_leaves_the_place_empty() {
    on_each(|| {
        let place = Arc::new(OnceLock::new());
        assert_eq!(place.get_or_try_init(|| Err("no")), Err("no"));
        let panics = {
            let place = Arc::clone(&place);
            spawn(move || *place.get_or_init(|| panic!("an initialiser")))
        };
        assert!(panics.join().unwrap_err().is_panic());
        assert_eq!(place.get(), None);
        assert_eq!(place.get_or_try_init(|| Ok::<_, ()>(3)), Ok(&3));
        assert_eq!(place.get_or_try_init(|| Err(())), Ok(&3));
    });
}

// An async initialiser that is dropped half way leaves its turn to the next.
#[test]
fn an_initialiser_future_dropped_half_way() {
    let place = OnceLock::new();
    let first = Polled::waiting(place.get_or_init_async(std::future::pending::<u8>));
    let mut second = Polled::waiting(place.get_or_init_async(async || 2));
    let mut waits = Polled::waiting(place.wait_async());
    assert!(place.wait_timeout(Duration::ZERO).is_err());
    drop(first);
    assert_eq!(second.wakes(), 1);
    assert_eq!(waits.poll(), None, "not initialised");
    assert_eq!(second.poll(), Some(&2));
    assert_eq!(waits.poll(), Some(&2));
}

#[test]
fn an_initialiser_that_needs_itself_panics() {
    on_each(|| {
        let place: Arc<OnceLock<u8>> = Arc::new(OnceLock::new());
        for who in Who::ALL {
            let place = Arc::clone(&place);
            let recurses = who.act(move || *place.get_or_init(|| *place.get_or_init(|| 1) + 1));
            let message = recurses.join().unwrap_err().to_string();
            assert!(
                message.contains("came back to what it initialises"),
                "{message}"
            );
        }
        for ask in [Once::wait, |once: &Once| {
            let _ = once.wait_timeout(Duration::from_secs(3600));
        }] {
            let once = Arc::new(Once::new());
            let recurses = spawn(move || once.call_once(|| ask(&once)));
            assert!(recurses.join().unwrap_err().is_panic());
        }
        assert_eq!(place.set(4), Ok(()));
    });
}

// Not recursion: the initialiser waits for another task, which needs another place.
#[test]
fn an_initialiser_may_need_others() {
    on_each(|| {
        let (one, other) = (Arc::new(OnceLock::new()), Arc::new(OnceLock::new()));
        let sum = *one.get_or_init(|| {
            let needed = Arc::clone(&other);
            let task = spawn(move || *needed.get_or_init(|| 20));
            task.join().unwrap() + *other.get_or_init(|| 20)
        });
        assert_eq!(sum, 40);
    });
}

#[test]
fn waiting_for_what_nobody_makes() {
    on_each(|| {
        let once = Arc::new(Once::new());
        let patience = Duration::from_millis(2);
        assert_eq!(once.wait_timeout(patience), Err(WaitError::Timeout));
        assert_eq!(
            once.wait_deadline(Instant::now() + patience),
            Err(WaitError::Timeout)
        );
        let token = Token::root();
        let cancelled = {
            let once = Arc::clone(&once);
            token.run(|| spawn(move || once.wait_timeout(Duration::from_secs(3600))))
        };
        let firm = {
            let once = Arc::clone(&once);
            token.run(|| spawn(move || once.wait()))
        };
        until_waiting(cancelled.id(), WAITS);
        until_waiting(firm.id(), WAITS);
        token.cancel();
        assert_eq!(cancelled.join().unwrap(), Err(WaitError::Cancelled));
        let mut future = Polled::waiting(once.wait_async());
        drop(Polled::waiting(once.wait_async()));
        assert!(!firm.is_finished());
        once.call_once(|| ());
        firm.join().unwrap();
        assert_eq!(future.poll(), Some(()));
        assert_eq!(once.wait_timeout(Duration::ZERO), Ok(()));
        coroutine::no_wait(|| once.wait());
    });
}

// What is inside is dropped once, and only if it is there.
#[test]
fn values_are_dropped_once() {
    struct Counts(Arc<AtomicUsize>);
    impl Drop for Counts {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let drops = Arc::new(AtomicUsize::new(0));
    let counted = || Counts(Arc::clone(&drops));
    drop(OnceLock::<Counts>::new());
    let place = OnceLock::new();
    place.get_or_init(counted);
    assert!(place.set(counted()).is_err());
    assert_eq!(drops.load(Ordering::Relaxed), 1, "the second");
    drop(place);
    assert_eq!(drops.load(Ordering::Relaxed), 2);
    let mut place = OnceLock::from(counted());
    drop(place.take());
    assert_eq!(drops.load(Ordering::Relaxed), 3);
    assert!(place.get().is_none());
    drop(place);
    assert_eq!(drops.load(Ordering::Relaxed), 3);
    drop(OnceLock::from(counted()).into_inner());
    assert_eq!(drops.load(Ordering::Relaxed), 4);
    let lazy = LazyLock::new(counted);
    LazyLock::force(&lazy);
    drop(lazy);
    assert_eq!(drops.load(Ordering::Relaxed), 5);
    drop(LazyLock::new(counted));
    assert_eq!(drops.load(Ordering::Relaxed), 5);
}

#[test]
fn once_locks_as_values() {
    let mut place = OnceLock::new();
    assert_eq!(place.get_mut(), None);
    assert_eq!(format!("{place:?}"), "OnceLock(<empty>)");
    assert_eq!(place, OnceLock::default());
    place.set(1).unwrap();
    *place.get_mut().unwrap() += 1;
    assert_eq!(format!("{place:?}"), "OnceLock(2)");
    assert_eq!(place.clone(), place);
    assert_ne!(place, OnceLock::new());
    assert_eq!(OnceLock::<u8>::new().clone().into_inner(), None);
    assert_eq!(place.into_inner(), Some(2));
}

#[test]
fn lazy_values() {
    on_each(|| {
        static RUNS: AtomicUsize = AtomicUsize::new(0);
        static VALUE: LazyLock<usize> = LazyLock::new(|| RUNS.fetch_add(1, Ordering::Relaxed) + 1);
        let local = Arc::new(LazyLock::new(|| {
            coroutine::yield_now();
            vec![1, 2, 3]
        }));
        assert_eq!(LazyLock::peek(&*local), None);
        assert!(format!("{local:?}").contains("<uninit>"));
        let readers: Vec<_> = Who::ALL
            .into_iter()
            .map(|who| {
                let local = Arc::clone(&local);
                who.act(move || local.len() + *VALUE)
            })
            .collect();
        for reader in readers {
            assert_eq!(reader.join().unwrap(), 4);
        }
        assert_eq!(LazyLock::peek(&*local).map(Vec::len), Some(3));
        assert_eq!(RUNS.load(Ordering::Relaxed), 1);
        assert_eq!(*LazyLock::<u8>::default(), 0);
    });
}

// As std's: the initialiser is gone with its panic.
#[test]
fn a_lazy_value_whose_initialiser_panicked() {
    on_each(|| {
        let lazy: Arc<LazyLock<u8>> = Arc::new(LazyLock::new(|| panic!("no value")));
        for _ in 0..2 {
            let lazy = Arc::clone(&lazy);
            assert!(spawn(move || **lazy).join().unwrap_err().is_panic());
        }
        assert!(LazyLock::peek(&*lazy).is_none());
    });
}

#[test]
fn in_block_on_and_tasks() {
    on_each(|| {
        static PLACE: OnceLock<String> = OnceLock::new();
        let made = block_on(PLACE.get_or_init_async(async || "made".to_string()));
        assert_eq!(made, "made");
        let task = spawn_async(async { PLACE.wait_async().await.len() });
        assert_eq!(task.join().unwrap(), 4);
    });
}
