//! Many handles at once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use ropewalk_rt::cancel::{self, Token};
use ropewalk_rt::results::{
    ReturnWhen, as_completed, as_completed_timeout, join_all, join_all_async, race, race_async,
    race_deadline, race_timeout, try_join_all, wait, wait_first, wait_first_deadline,
    wait_first_timeout,
};
use ropewalk_rt::sync::{Event, Mutex};
use ropewalk_rt::{
    JoinError, JoinHandle, PromiseHandle, block_on, coroutine, promise, spawn_async, thread,
};

use crate::promises::text;
use crate::stage::{on_each, until, until_waiting};

const HOUR: Duration = Duration::from_secs(3600);
const MOMENT: Duration = Duration::from_millis(1);

/// A coroutine that ends only when it is cancelled, and says so.
fn until_cancelled() -> JoinHandle<&'static str> {
    coroutine::spawn(|| match cancel::sleep(HOUR) {
        Ok(()) => "slept",
        Err(_) => "cancelled",
    })
}

fn promises<T>(count: usize) -> (Vec<Option<ropewalk_rt::Promise<T>>>, Vec<PromiseHandle<T>>) {
    (0..count)
        .map(|_| promise())
        .map(|(set, handle)| (Some(set), handle))
        .unzip()
}

#[test]
fn all_in_order_with_their_errors() {
    on_each(|| {
        let handles: Vec<JoinHandle<usize>> = (0..20)
            .map(|n| match n % 3 {
                0 => coroutine::spawn(move || {
                    coroutine::sleep(Duration::from_micros(50 * (20 - n as u64)));
                    n
                }),
                1 => spawn_async(async move { n }),
                _ => thread::spawn(move || if n == 5 { panic!("five") } else { n }),
            })
            .collect();
        let results = join_all(handles);
        assert_eq!(results.len(), 20);
        for (n, result) in results.into_iter().enumerate() {
            match result {
                Ok(value) => assert_eq!(value, n),
                Err(error) => assert_eq!((n, error.panic_message()), (5, Some("five"))),
            }
        }
        assert!(join_all(Vec::<JoinHandle<()>>::new()).is_empty());
    });
}

// Lazily spawned handles all run at once: the last ends before the first.
#[test]
fn all_begin_before_the_first_is_waited_for() {
    on_each(|| {
        let event = Arc::new(Event::new());
        let handles = (0..3).map(|n| {
            let event = Arc::clone(&event);
            coroutine::spawn(move || match n {
                2 => event.set(),
                _ => event.wait().unwrap(),
            })
        });
        assert!(join_all(handles).iter().all(Result::is_ok));
    });
}

#[test]
fn a_cancelled_join_all_keeps_what_has_come() {
    on_each(|| {
        let (mut set, handles) = promises::<u8>(3);
        set[0].take().unwrap().set(1).unwrap();
        set[2].take().unwrap().set(3).unwrap();
        let joiner = coroutine::spawn(move || join_all(handles));
        until_waiting(joiner.id(), "waiting for a promise");
        joiner.cancel();
        let results = joiner.join().unwrap();
        assert!(matches!(
            results[..],
            [Ok(1), Err(JoinError::WaitCancelled), Ok(3)]
        ));
    });
}

#[test]
fn the_first_error_cancels_the_rest() {
    on_each(|| {
        let ended = Arc::new(AtomicUsize::new(0));
        let slow = || {
            let ended = Arc::clone(&ended);
            coroutine::spawn(move || {
                let slept = cancel::sleep(HOUR);
                ended.fetch_add(1, Ordering::SeqCst);
                assert!(slept.is_err());
            })
        };
        let handles = vec![slow(), coroutine::spawn(|| panic!("the second")), slow()];
        // They must have begun: one that has not, never does.
        until_waiting(handles[0].id(), "sleeping");
        until_waiting(handles[2].id(), "sleeping");
        let error = try_join_all(handles).unwrap_err();
        assert_eq!(error.panic_message(), Some("the second"));
        until(|| ended.load(Ordering::SeqCst) == 2);

        let values = try_join_all((0..10).map(|n| coroutine::spawn(move || n))).unwrap();
        assert_eq!(values, (0..10).collect::<Vec<_>>());
    });
}

#[test]
fn a_cancelled_try_join_all_cancels_all() {
    on_each(|| {
        let (mut set, handles) = promises::<u8>(2);
        let joiner = coroutine::spawn(move || try_join_all(handles));
        until_waiting(joiner.id(), "joining");
        joiner.cancel();
        assert!(joiner.join().unwrap().unwrap_err().is_wait_cancelled());
        assert_eq!(set[0].take().unwrap().set(1), Err(1));
        assert_eq!(set[1].take().unwrap().set(1), Err(1));
    });
}

// The order is the one in which they were set, whatever their places.
#[test]
fn as_they_come() {
    on_each(|| {
        let (mut set, handles) = promises(5);
        let mut results = as_completed(handles);
        assert!(results.try_next().is_none());
        assert_eq!(results.len(), 5);
        for n in [3, 0, 4] {
            set[n].take().unwrap().set(n * 10).unwrap();
        }
        set[1].take().unwrap().fail("one").unwrap();
        let mut came = Vec::new();
        for _ in 0..4 {
            let (index, result) = results.next().unwrap();
            came.push((index, result.ok()));
        }
        assert_eq!(
            came,
            [(3, Some(30)), (0, Some(0)), (4, Some(40)), (1, None)]
        );
        assert!(results.next_timeout(MOMENT).is_none());
        assert!(results.next_deadline(Instant::now() + MOMENT).is_none());
        assert!(!results.is_empty());
        drop(set);
        let (index, result) = results.next().unwrap();
        assert!(index == 2 && matches!(result, Err(JoinError::Dropped)));
        assert!(results.is_empty() && results.next().is_none());
    });
}

#[test]
fn as_they_come_until_the_time_is_over() {
    on_each(|| {
        let (mut set, handles) = promises(3);
        set[1].take().unwrap().set(1).unwrap();
        let mut results = as_completed_timeout(handles, Duration::from_millis(2));
        let came: Vec<usize> = results.by_ref().map(|(index, _)| index).collect();
        assert_eq!(came, [1]);
        // Those that are left are not lost.
        let left = results.into_handles();
        assert_eq!(left.len(), 2);
        set[2].take().unwrap().set(2).unwrap();
        let last = left.into_iter().next_back().unwrap();
        assert_eq!(last.join().unwrap(), 2);
    });
}

#[test]
fn as_they_come_until_cancelled() {
    on_each(|| {
        let (mut set, handles) = promises(2);
        let taker = coroutine::spawn(move || {
            let mut results = as_completed(handles);
            let came = results.by_ref().count();
            (came, results.into_handles())
        });
        until_waiting(taker.id(), "joining");
        taker.cancel();
        let (came, mut left) = taker.join().unwrap();
        assert_eq!((came, left.len()), (0, 2));
        set[1].take().unwrap().set(5).unwrap();
        assert_eq!(left.pop().unwrap().join().unwrap(), 5);
    });
}

#[test]
fn ten_thousand_as_they_come() {
    on_each(|| {
        let handles: Vec<_> = (0..10_000)
            .map(|n| {
                coroutine::spawn(move || {
                    if n % 7 == 0 {
                        coroutine::yield_now();
                    }
                    n
                })
            })
            .collect();
        let mut seen = vec![false; handles.len()];
        for (index, result) in as_completed(handles) {
            assert_eq!(result.unwrap(), index);
            assert!(!std::mem::replace(&mut seen[index], true));
        }
        assert!(seen.into_iter().all(|seen| seen));
    });
}

// The callbacks of an iterator that is gone do no harm, and a handle may have many.
#[test]
fn an_iterator_that_is_dropped_early() {
    on_each(|| {
        let (mut set, mut handles) = promises(4);
        for (n, promise) in set.iter_mut().enumerate().take(3) {
            let mut results = as_completed(handles);
            promise.take().unwrap().set(n).unwrap();
            assert_eq!(results.next().unwrap().1.unwrap(), n);
            handles = results.into_handles();
        }
        drop(as_completed(handles));
        assert_eq!(set[3].take().unwrap().set(3), Err(3).or(Ok(())));
    });
}

#[test]
fn waiting_as_in_concurrent_futures() {
    on_each(|| {
        let (mut set, handles) = promises(4);
        let (done, left) = wait(handles, ReturnWhen::First, Some(MOMENT));
        assert_eq!((done.len(), left.len()), (0, 4));

        let setter = coroutine::spawn({
            let set = set[2].take().unwrap();
            move || set.set(2).unwrap()
        });
        let (done, left) = wait(left, ReturnWhen::First, None);
        setter.join().unwrap();
        assert_eq!((done.len(), left.len()), (1, 3));
        assert_eq!(done.into_iter().next().unwrap().join().unwrap(), 2);

        let setter = coroutine::spawn({
            let value = set[0].take().unwrap();
            let error = set[1].take().unwrap();
            move || {
                value.set(0).unwrap();
                coroutine::yield_now();
                error.fail("first error").unwrap();
            }
        });
        let (mut done, left) = wait(left, ReturnWhen::FirstError, Some(HOUR));
        setter.join().unwrap();
        assert_eq!((done.len(), left.len()), (2, 1));
        assert!(done.pop().unwrap().join().is_err());
        assert_eq!(done.pop().unwrap().join().unwrap(), 0);

        let (done, left) = wait(left, ReturnWhen::FirstError, Some(MOMENT));
        assert_eq!((done.len(), left.len()), (0, 1));
        set[3].take().unwrap().set(3).unwrap();
        let (done, left) = wait(left, ReturnWhen::FirstError, None);
        assert_eq!((done.len(), left.len()), (1, 0));

        let all = (0..50).map(|n| coroutine::spawn(move || n));
        let (done, left) = wait(all, ReturnWhen::All, None);
        assert_eq!((done.len(), left.len()), (50, 0));
        let values: Vec<i32> = join_all(done).into_iter().map(Result::unwrap).collect();
        assert_eq!(values, (0..50).collect::<Vec<_>>());

        for when in [ReturnWhen::All, ReturnWhen::First, ReturnWhen::FirstError] {
            let (done, left) = wait(Vec::<JoinHandle<()>>::new(), when, None);
            assert!(done.is_empty() && left.is_empty());
        }
    });
}

#[test]
fn a_cancelled_wait_gives_all_back() {
    on_each(|| {
        for (when, waits_for) in [
            (ReturnWhen::All, "waiting for a promise"),
            (ReturnWhen::First, "selecting"),
            (ReturnWhen::FirstError, "joining"),
        ] {
            let (mut set, handles) = promises::<u8>(2);
            let waiter = coroutine::spawn(move || {
                let parts = wait(handles, when, None);
                assert!(cancel::check().is_err());
                parts
            });
            until_waiting(waiter.id(), waits_for);
            waiter.cancel();
            let (done, mut left) = waiter.join().unwrap();
            assert_eq!((done.len(), left.len()), (0, 2));
            set[0].take().unwrap().set(1).unwrap();
            assert_eq!(left.remove(0).join().unwrap(), 1);
        }
    });
}

// First over few (nodes on the stack) and many (nodes in a box); several times.
#[test]
fn the_first_of_few_and_of_many() {
    on_each(|| {
        for count in [1, 2, 8, 9, 100] {
            let (set, mut handles) = promises(count);
            let setter = coroutine::spawn(move || {
                for (n, set) in set.into_iter().enumerate().rev() {
                    coroutine::yield_now();
                    set.unwrap().set(n).unwrap();
                }
            });
            let mut values = Vec::new();
            while let Some((index, result)) = wait_first(&mut handles) {
                let value = result.unwrap();
                assert!(index <= value, "its place among those that are left");
                values.push(value);
            }
            values.sort_unstable();
            assert_eq!(values, (0..count).collect::<Vec<_>>());
            setter.join().unwrap();
        }
    });
}

#[test]
fn the_first_within_a_time() {
    on_each(|| {
        let (mut set, mut handles) = promises(3);
        assert!(wait_first_timeout(&mut handles, MOMENT).is_none());
        assert!(wait_first_deadline(&mut handles, Instant::now() + MOMENT).is_none());
        assert_eq!(handles.len(), 3);
        set[1].take().unwrap().set("one").unwrap();
        let (index, result) = wait_first_timeout(&mut handles, Duration::ZERO).unwrap();
        assert_eq!((index, result.unwrap()), (1, "one"));
        assert_eq!(handles.len(), 2);
        let token = Token::new();
        token.cancel();
        assert!(token.run(|| wait_first(&mut handles)).is_none());
        assert_eq!(handles.len(), 2);
    });
}

#[test]
fn a_race_has_one_winner_and_cancels_the_rest() {
    on_each(|| {
        let (tell, told) = mpsc::channel();
        let slow = |n: usize| {
            let tell = tell.clone();
            coroutine::spawn(move || {
                let slept = cancel::sleep(HOUR);
                tell.send((n, slept.is_err())).unwrap();
                n
            })
        };
        let runners = [slow(0), slow(1), slow(2)];
        for runner in &runners {
            until_waiting(runner.id(), "sleeping");
        }
        let losers = runners.each_ref().map(|runner| runner.task());
        let winner = coroutine::spawn(|| 3);
        assert_eq!(race(runners.into_iter().chain([winner])).unwrap(), 3);
        drop(tell);
        until(|| losers.iter().all(|loser| !loser.is_alive()));
        let mut ends: Vec<_> = told.iter().collect();
        ends.sort_unstable();
        assert_eq!(ends, [(0, true), (1, true), (2, true)]);

        // An error wins too.
        let loser = until_cancelled();
        let error = race([loser, coroutine::spawn(|| panic!("off the track"))]).unwrap_err();
        assert_eq!(error.panic_message(), Some("off the track"));
    });
}

#[test]
fn a_race_called_off() {
    on_each(|| {
        let (mut set, handles) = promises::<u8>(2);
        let handles = race_timeout(handles, MOMENT).expect_err("nobody was set");
        let handles = race_deadline(handles, Instant::now()).expect_err("nobody was set");
        set[0].take().unwrap().set(1).unwrap();
        assert_eq!(race_timeout(handles, HOUR).ok().unwrap().unwrap(), 1);
        assert_eq!(set[1].take().unwrap().set(2), Err(2));

        let (mut set, handles) = promises::<u8>(2);
        let racer = coroutine::spawn(move || race(handles));
        until_waiting(racer.id(), "selecting");
        racer.cancel();
        assert!(racer.join().unwrap().unwrap_err().is_wait_cancelled());
        assert_eq!(set[0].take().unwrap().set(1), Err(1));

        let empty = catch_unwind(|| race(Vec::<JoinHandle<()>>::new()));
        assert!(text(&*empty.unwrap_err()).contains("without runners"));
    });
}

#[test]
fn in_async_code() {
    on_each(|| {
        let all = spawn_async(async {
            join_all_async((0..100).map(|n| coroutine::spawn(move || n)))
                .await
                .into_iter()
                .map(Result::unwrap)
                .sum::<i32>()
        });
        assert_eq!(all.join().unwrap(), 4950);

        let (mut set, handles) = promises(3);
        let mut results = as_completed(handles);
        let taker = spawn_async(async move {
            let mut came = Vec::new();
            while let Some((index, result)) = results.next_async().await {
                came.push((index, result.unwrap()));
            }
            came
        });
        for n in [2, 0, 1] {
            set[n].take().unwrap().set(n).unwrap();
            coroutine::yield_now();
        }
        assert_eq!(taker.join().unwrap(), [(2, 2), (0, 0), (1, 1)]);

        let loser = until_cancelled();
        let (set, winner) = promise::<&str>();
        let racer = spawn_async(race_async([winner]));
        coroutine::yield_now();
        set.set("won").unwrap();
        assert_eq!(racer.join().unwrap().unwrap(), "won");
        assert_eq!(
            block_on(race_async([loser, coroutine::spawn(|| "quick")])).unwrap(),
            "quick"
        );
    });
}

// A scope's handles are joined in the same ways.
#[test]
fn children_of_a_scope() {
    on_each(|| {
        let words = ["one", "three", "fifteen"];
        coroutine::scope(|s| {
            let handles = words.iter().map(|word| s.spawn(move || word.len()));
            let lengths: Vec<usize> = join_all(handles).into_iter().map(Result::unwrap).collect();
            assert_eq!(lengths, [3, 5, 7]);
            let handles = words.iter().map(|word| s.spawn(move || *word));
            let longest = as_completed(handles).map(|(_, word)| word.unwrap()).max();
            assert_eq!(longest, Some("three"));
            let slow = s.spawn(|| cancel::sleep(HOUR).is_err());
            until_waiting(slow.id(), "sleeping");
            let (done, left) = wait([slow], ReturnWhen::First, Some(MOMENT));
            assert!(done.is_empty());
            left[0].cancel();
            assert!(wait(left, ReturnWhen::All, None).1.is_empty());
        });
    });
}

/// Gives a task its own handle and runs `f` with it in there; gives the panic's text.
fn with_own_handle<R: 'static>(f: impl FnOnce(JoinHandle<()>) -> R + Send + 'static) -> String {
    let own = Arc::new(Mutex::new(None::<JoinHandle<()>>));
    let put = Arc::new(Event::new());
    let told = Arc::new(OnceLock::new());
    let (inside, is_put, tell) = (Arc::clone(&own), Arc::clone(&put), Arc::clone(&told));
    let ended = Arc::new(Event::new());
    let end = Arc::clone(&ended);
    let handle = coroutine::spawn(move || {
        is_put.wait().unwrap();
        let handle = inside.lock().take().unwrap();
        let panic = catch_unwind(AssertUnwindSafe(|| drop(f(handle)))).unwrap_err();
        tell.set(text(&*panic).to_owned()).unwrap();
        end.set();
    });
    *own.lock() = Some(handle);
    put.set();
    ended.wait().unwrap();
    told.get().unwrap().clone()
}

#[test]
fn nobody_joins_itself() {
    on_each(|| {
        let said = [
            with_own_handle(JoinHandle::join),
            with_own_handle(|own| own.join_timeout(HOUR)),
            with_own_handle(|own| join_all([own])),
            with_own_handle(|own| try_join_all([own])),
            with_own_handle(|own| as_completed([own]).count()),
            with_own_handle(|own| wait([own], ReturnWhen::All, None)),
            with_own_handle(|own| wait([own], ReturnWhen::First, None)),
            with_own_handle(|own| wait([own], ReturnWhen::FirstError, None)),
            with_own_handle(|own| wait_first(&mut vec![own])),
            with_own_handle(|own| race([own])),
        ];
        for said in said {
            assert!(said.contains("can't join itself"), "{said}");
        }
    });
}
