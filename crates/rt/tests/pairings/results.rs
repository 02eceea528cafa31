//! Promises, join handles, several of them at once, and groups.

use std::sync::{Arc, Mutex};

use ropewalk_rt::promise::{Promise, PromiseHandle, promise};
use ropewalk_rt::results::{as_completed, join_all, join_all_async, race, race_async, wait_first};
use ropewalk_rt::sync::Event;
use ropewalk_rt::{Group, JoinHandle, channel, coroutine, select};

use crate::pair::{Case, PARTIES};

#[test]
fn promises() {
    type Ends = Mutex<(Option<Promise<u32>>, Option<PromiseHandle<u32>>)>;
    fn handle(ends: &Ends) -> PromiseHandle<u32> {
        ends.lock().unwrap().1.take().unwrap()
    }
    fn keep(ends: &Ends) {
        let promise = ends.lock().unwrap().0.take().unwrap();
        promise.set(9).unwrap();
    }
    let case = Case {
        make: || {
            let (promise, handle) = promise();
            Mutex::new((Some(promise), Some(handle)))
        },
        wait: |ends: &Ends| handle(ends).join().unwrap() == 9,
        wait_async: |ends: Arc<Ends>| async move { handle(&ends).await.unwrap() == 9 },
        wake: keep,
        wake_async: |ends: Arc<Ends>| async move { keep(&ends) },
    };
    case.run(&PARTIES, &PARTIES);
}

#[test]
fn join_handles() {
    struct Target {
        go: channel::Sender<u32>,
        handle: Mutex<Option<JoinHandle<u32>>>,
    }
    fn handle(target: &Target) -> JoinHandle<u32> {
        target.handle.lock().unwrap().take().unwrap()
    }
    let case = Case {
        make: || {
            let (go, gate) = channel::bounded(1);
            let handle = coroutine::spawn(move || gate.recv().unwrap() + 1);
            Target {
                go,
                handle: Mutex::new(Some(handle)),
            }
        },
        wait: |target: &Target| handle(target).join().unwrap() == 5,
        wait_async: |target: Arc<Target>| async move { handle(&target).await.unwrap() == 5 },
        wake: |target: &Target| target.go.send(4).unwrap(),
        wake_async: |target: Arc<Target>| async move { target.go.send_async(4).await.unwrap() },
    };
    case.run(&PARTIES, &PARTIES);
}

/// Two promises, of which the second is kept first.
type Pair = Mutex<(Vec<Promise<u32>>, Vec<PromiseHandle<u32>>)>;

fn pair() -> Pair {
    Mutex::new((0..2).map(|_| promise()).unzip())
}

fn handles(pair: &Pair) -> Vec<PromiseHandle<u32>> {
    std::mem::take(&mut pair.lock().unwrap().1)
}

fn keep_both(pair: &Pair) {
    let [first, second] = std::mem::take(&mut pair.lock().unwrap().0)
        .try_into()
        .unwrap();
    second.set(2).unwrap();
    coroutine::yield_now();
    // Given up, where the second was enough.
    let _ = first.set(1);
}

#[test]
fn all_of_them() {
    let case = Case {
        make: pair,
        wait: |pair: &Pair| {
            let all = join_all(handles(pair)).into_iter().map(Result::unwrap);
            all.eq([1, 2])
        },
        wait_async: |pair: Arc<Pair>| async move {
            let all = join_all_async(handles(&pair)).await;
            all.into_iter().map(Result::unwrap).eq([1, 2])
        },
        wake: keep_both,
        wake_async: |pair: Arc<Pair>| async move { keep_both(&pair) },
    };
    case.run(&PARTIES, &PARTIES);
}

#[test]
fn as_they_come() {
    let case = Case {
        make: pair,
        wait: |pair: &Pair| {
            let both = as_completed(handles(pair));
            both.map(|(_, result)| result.unwrap()).sum::<u32>() == 3
        },
        wait_async: |pair: Arc<Pair>| async move {
            let mut both = as_completed(handles(&pair));
            let mut sum = 0;
            while let Some((_, result)) = both.next_async().await {
                sum += result.unwrap();
            }
            sum == 3
        },
        wake: keep_both,
        wake_async: |pair: Arc<Pair>| async move { keep_both(&pair) },
    };
    case.run(&PARTIES, &PARTIES);
}

#[test]
fn the_first() {
    let case = Case {
        make: pair,
        wait: |pair: &Pair| {
            let mut both = handles(pair);
            let (_, first) = wait_first(&mut both).unwrap();
            matches!((first.unwrap(), both.len()), (1 | 2, 1))
        },
        wait_async: |pair: Arc<Pair>| async move {
            matches!(race_async(handles(&pair)).await, Ok(1 | 2))
        },
        wake: keep_both,
        wake_async: |pair: Arc<Pair>| async move { keep_both(&pair) },
    };
    case.run(&PARTIES, &PARTIES);
}

#[test]
fn races() {
    let case = Case {
        make: pair,
        wait: |pair: &Pair| matches!(race(handles(pair)), Ok(1 | 2)),
        // An async task may block, as a coroutine does.
        wait_async: |pair: Arc<Pair>| async move { matches!(race(handles(&pair)), Ok(1 | 2)) },
        wake: keep_both,
        wake_async: |pair: Arc<Pair>| async move { keep_both(&pair) },
    };
    case.run(&PARTIES, &PARTIES);
}

/// A task of a kind of its own, which ends when it is told to.
struct Ending {
    go: Arc<Event>,
    group: Group,
    handle: Mutex<Option<JoinHandle<u32>>>,
}

fn ending() -> Ending {
    let (go, group) = (Arc::new(Event::new()), Group::with_limit(1));
    let gate = Arc::clone(&go);
    let handle = group.spawn(move || {
        gate.wait().unwrap();
        3
    });
    let handle = Mutex::new(Some(handle));
    Ending { go, group, handle }
}

#[test]
fn groups() {
    let case = Case {
        make: ending,
        wait: |ending: &Ending| ending.group.join().is_ok() && ending.group.is_empty(),
        wait_async: |ending: Arc<Ending>| async move {
            ending.group.join_async().await;
            ending.group.is_empty()
        },
        wake: |ending: &Ending| ending.go.set(),
        wake_async: |ending: Arc<Ending>| async move { ending.go.set() },
    };
    case.run(&PARTIES, &PARTIES);
}

// Who wants a place in a group waits for who has it.
#[test]
fn places_of_groups() {
    fn second(ending: &Ending) -> bool {
        let second = ending.group.spawn(|| 4);
        ending.go.is_set() && second.join().unwrap() == 4
    }
    let case = Case {
        make: ending,
        wait: second,
        // An async task may block, as a coroutine does.
        wait_async: |ending: Arc<Ending>| async move { second(&ending) },
        wake: |ending: &Ending| ending.go.set(),
        wake_async: |ending: Arc<Ending>| async move { ending.go.set() },
    };
    case.run(&PARTIES, &PARTIES);
}

#[test]
fn selected_ends() {
    fn select_end(ending: &Ending) -> bool {
        let mut handle = ending.handle.lock().unwrap().take().unwrap();
        let never = channel::never::<()>();
        select! {
            recv(never) -> _ => false,
            join(handle) -> result => result.unwrap() == 3,
        }
    }
    let case = Case {
        make: ending,
        wait: select_end,
        // An async task may block, as a coroutine does.
        wait_async: |ending: Arc<Ending>| async move { select_end(&ending) },
        wake: |ending: &Ending| ending.go.set(),
        wake_async: |ending: Arc<Ending>| async move { ending.go.set() },
    };
    case.run(&PARTIES, &PARTIES);
}
