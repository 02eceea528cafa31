//! Maps over a pool: order, laziness, back-pressure, and what becomes of those that end badly.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ropewalk_rt::cancel::WaitError;
use ropewalk_rt::executor::{CoroutinePool, Map, RunTask, SpawnClosure};
use ropewalk_rt::sync::Event;
use ropewalk_rt::{JoinError, coroutine, spawn, thread};

use crate::stage::{on_each, until};
use crate::{Crowd, HOUR, MOMENT};

fn twice(n: u32) -> u32 {
    n * 2
}

/// Later ones end earlier.
fn in_reverse(n: u32) -> u32 {
    for _ in n..20 {
        coroutine::yield_now();
    }
    n
}

fn no_sevens(n: u32) -> u32 {
    assert!(!n.is_multiple_of(7), "{n} is a seven");
    n
}

#[test]
fn results_come_in_the_items_order() {
    on_each(|| {
        let pool = CoroutinePool::new(4);
        let values: Vec<u32> = pool.map(in_reverse, 0..20).map(Result::unwrap).collect();
        assert_eq!(values, (0..20).collect::<Vec<_>>());
        let values: Vec<u32> = pool.map(twice, 0..3000).map(Result::unwrap).collect();
        assert_eq!(values, (0..3000).map(twice).collect::<Vec<_>>());
        assert!(pool.map(twice, []).next().is_none());
    });
}

#[test]
fn results_come_as_they_do_with_their_numbers() {
    on_each(|| {
        let pool = CoroutinePool::new(4);
        let mut values: Vec<_> = pool
            .map_unordered(twice, 100..1100)
            .map(|(number, value)| (number, value.unwrap()))
            .collect();
        values.sort_unstable();
        assert_eq!(
            values,
            (0..1000)
                .map(|n| (n as usize, (n + 100) * 2))
                .collect::<Vec<_>>()
        );

        // The first waits for the others.
        let others = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&others);
        let wait = move |n: u32| {
            until(|| n != 0 || seen.load(Ordering::SeqCst) == 9);
            n
        };
        let mut map = pool.spawn_map_unordered(0..10, wait).chunk(1);
        for _ in 0..9 {
            let (number, value) = map.next().unwrap();
            assert!(number != 0 && value.unwrap() as usize == number);
            others.fetch_add(1, Ordering::SeqCst);
        }
        assert!(matches!(map.next(), Some((0, Ok(0)))));
        assert!(map.next().is_none() && map.next().is_none());
    });
}

#[test]
fn several_arguments_come_as_tuples() {
    on_each(|| {
        let pool = CoroutinePool::new(2);
        let pairs = [(2_u32, 5_u32), (3, 2), (10, 3)];
        let powers: Vec<u32> = pool.starmap(u32::pow, pairs).map(Result::unwrap).collect();
        assert_eq!(powers, [32, 9, 1000]);
        let mut powers: Vec<_> = pool
            .starmap_unordered(u32::pow, pairs)
            .map(|(number, value)| (number, value.unwrap()))
            .collect();
        powers.sort_unstable();
        assert_eq!(powers, [(0, 32), (1, 9), (2, 1000)]);
        let counted = pool.starmap(|| 1_u32, std::iter::repeat_n((), 5));
        assert_eq!(counted.map(Result::unwrap).sum::<u32>(), 5);
    });
}

#[test]
fn closures_may_capture() {
    on_each(|| {
        let pool = CoroutinePool::new(2);
        let words = Arc::new(vec!["one", "two", "three"]);
        let lengths = pool.spawn_map([2_usize, 0, 1], move |n| words[n].len());
        assert_eq!(lengths.map(Result::unwrap).collect::<Vec<_>>(), [5, 3, 3]);
    });
}

// An endless input is fine; nothing is taken before it is asked for, and no more than the buffer.
#[test]
fn no_more_is_taken_than_the_buffer_holds() {
    on_each(|| {
        let pool = CoroutinePool::new(3);
        for buffer in [1, 2, 7] {
            let taken = Cell::new(0_u32);
            let input = (0..).inspect(|_| taken.set(taken.get() + 1));
            let mut map = pool.map(twice, input).buffer(buffer as usize);
            assert_eq!(taken.get(), 0);
            for given in 0..100 {
                assert_eq!(map.next().unwrap().unwrap(), given * 2);
                let ahead = taken.get() - given - 1;
                assert!(ahead <= buffer, "{ahead} ahead, buffer {buffer}");
            }
        }
        // By default: two chunks for each that may run, besides the one that is being given.
        let taken = Cell::new(0_u32);
        let input = (0..).inspect(|_| taken.set(taken.get() + 1));
        let mut map = pool.map(twice, input).chunk(10);
        for given in 0..100 {
            assert_eq!(map.next().unwrap().unwrap(), given * 2);
            assert!(taken.get() - given <= 70, "{} taken", taken.get());
        }
    });
}

// The consumer is slow: what runs and waits to be given stays within the buffer.
#[test]
fn a_slow_consumer_holds_the_pool_back() {
    on_each(|| {
        let pool = CoroutinePool::new(4);
        let crowd = Crowd::default();
        let inside = crowd.clone();
        let work = move |n: u32| {
            let _inside = inside.enter();
            coroutine::yield_now();
            n
        };
        let mut map = pool.spawn_map(0.., work).chunk(1).buffer(6);
        for given in 0..50 {
            assert_eq!(map.next().unwrap().unwrap(), given);
            coroutine::sleep(MOMENT / 10);
            let ahead = crowd.all() - given as usize - 1;
            assert!(ahead <= 6, "{ahead} ahead");
        }
        assert!(crowd.most() <= 4);
    });
}

// What the pool takes is fewer than the buffer: the map goes on with what there is room for.
#[test]
fn a_small_queue_is_enough() {
    on_each(|| {
        let pool = CoroutinePool::with_queue(1, 0);
        let map = pool.map(twice, 0..50).buffer(20).chunk(1);
        let values: Vec<u32> = map.map(Result::unwrap).collect();
        assert_eq!(values, (0..50).map(twice).collect::<Vec<_>>());
        // Two at a time over the same pool.
        let one = pool.map(twice, 0..50).chunk(1);
        let two = pool.map(twice, 0..50).chunk(3);
        assert!(one.zip(two).all(|(one, two)| one.unwrap() == two.unwrap()));
    });
}

// Regression: with the last chunk's results at hand, and the pool taken by others, `next` waited for a
// place instead of giving them.
#[test]
fn results_at_hand_do_not_wait_for_a_place() {
    on_each(|| {
        let pool = CoroutinePool::with_queue(1, 0);
        let mut map = pool.map(twice, 0..4).chunk(1).buffer(2);
        assert_eq!(map.next().unwrap().unwrap(), 0);
        // The second was started with that, ends, and somebody else takes the place.
        until(|| pool.running() == 0);
        let go = Arc::new(Event::new());
        let stays = {
            let go = Arc::clone(&go);
            pool.spawn(move || go.wait().is_ok()).unwrap()
        };
        assert_eq!(map.next().unwrap().unwrap(), 2);
        assert!(map.next_timeout(MOMENT).is_err());
        go.set();
        assert!(stays.join().unwrap());
        let rest: Vec<u32> = map.map(Result::unwrap).collect();
        assert_eq!(rest, [4, 6]);
    });
}

#[test]
fn the_error_of_one_does_not_end_the_rest() {
    on_each(|| {
        let pool = CoroutinePool::new(3);
        for chunk in [1, 4, 100] {
            let results: Vec<_> = pool.map(no_sevens, 1..=30).chunk(chunk).collect();
            assert_eq!(results.len(), 30);
            for (n, result) in (1..=30).zip(results) {
                match result {
                    Ok(value) => assert!(value == n && n % 7 != 0),
                    Err(error) => {
                        assert_eq!(error.panic_message(), Some(&*format!("{n} is a seven")));
                    }
                }
            }
        }
    });
}

// Those that run are told, those that are queued never start, and nothing is left behind.
#[test]
fn dropping_it_cancels_what_is_under_way() {
    on_each(|| {
        let pool = CoroutinePool::new(2);
        let (crowd, told) = (Crowd::default(), Arc::new(AtomicUsize::new(0)));
        let work = {
            let (crowd, told) = (crowd.clone(), Arc::clone(&told));
            move |n: u32| {
                let _inside = crowd.enter();
                if n > 0 && Event::new().wait().is_err() {
                    told.fetch_add(1, Ordering::SeqCst);
                }
                n
            }
        };
        let mut map = pool.spawn_map(0.., work).chunk(1);
        assert_eq!(map.next().unwrap().unwrap(), 0);
        assert!(map.next_timeout(MOMENT).is_err());
        until(|| crowd.all() == 3);
        drop(map);
        pool.close();
        pool.join().unwrap();
        assert_eq!((crowd.all(), told.load(Ordering::SeqCst)), (3, 2));
    });
}

#[test]
fn taking_some_is_enough() {
    on_each(|| {
        let pool = CoroutinePool::new(2);
        let some: Vec<u32> = pool.map(twice, 0..).take(5).map(Result::unwrap).collect();
        assert_eq!(some, [0, 2, 4, 6, 8]);
        pool.close();
        pool.join().unwrap();
    });
}

#[test]
fn waiting_for_the_next_has_a_limit_and_loses_nothing() {
    on_each(|| {
        let pool = CoroutinePool::new(2);
        let go = Arc::new(Event::new());
        let wait = {
            let go = Arc::clone(&go);
            move |n: u32| go.wait().map_or(0, |()| n)
        };
        let mut map = pool.spawn_map(1..=3, wait);
        assert_eq!(map.next_timeout(MOMENT).unwrap_err(), WaitError::Timeout);
        assert_eq!(map.next_timeout(MOMENT).unwrap_err(), WaitError::Timeout);
        go.set();
        for n in 1..=3 {
            assert_eq!(map.next_timeout(HOUR).unwrap().unwrap().unwrap(), n);
        }
        assert!(map.next_timeout(HOUR).unwrap().is_none());
    });
}

// It can't be taken for complete: the last item says that time was over.
#[test]
fn a_map_that_takes_too_long_says_so() {
    on_each(|| {
        let pool = CoroutinePool::new(2);
        let wait = |n: u32| match n {
            0 => Ok(n),
            _ => Event::new().wait().map(|()| n),
        };
        let mut map = pool.spawn_map(0..5, wait).chunk(1).timeout(10 * MOMENT);
        // On a machine that stalls, not even the first is in time.
        let results: Vec<_> = map.by_ref().collect();
        let (last, before) = results.split_last().unwrap();
        assert!(matches!(last, Err(JoinError::TimedOut)), "{last:?}");
        assert!(before.len() <= 1 && before.iter().all(|one| one.is_ok()));
        assert!(map.next().is_none());
        assert!(map.next_timeout(HOUR).unwrap().is_none());
        let gone: Result<Vec<_>, _> = pool.spawn_map(1..5, wait).timeout(MOMENT).collect();
        assert!(gone.is_err_and(|error| error.is_timeout()));
        let (number, end) = pool
            .spawn_map_unordered(1..5, wait)
            .timeout(MOMENT)
            .next()
            .unwrap();
        assert!(number == 0 && matches!(end, Err(JoinError::TimedOut)));
        // A limit of its own that is later than the map's.
        let mut map = pool.spawn_map(1..5, wait).timeout(MOMENT);
        let end = map.next_timeout(HOUR).unwrap().unwrap();
        assert!(end.is_err_and(|error| error.is_timeout()));
    });
}

#[test]
fn a_caller_who_is_cancelled_is_told() {
    on_each(|| {
        let began = Arc::new(Event::new());
        let caller = {
            let began = Arc::clone(&began);
            move || {
                let pool = CoroutinePool::new(2);
                let wait = move |_: u32| {
                    began.set();
                    Event::new().wait().is_err()
                };
                let mut map = pool.spawn_map(0..5, wait);
                let end = map.next();
                assert!(map.next().is_none());
                matches!(end, Some(Err(JoinError::WaitCancelled)))
            }
        };
        let callers = [thread::spawn(caller.clone()), spawn(caller)];
        began.wait().unwrap();
        for caller in callers {
            // Not before it waits: else it may never start.
            until(|| began.is_set());
            caller.cancel();
            match caller.join() {
                Ok(told) => assert!(told),
                Err(error) => assert!(error.is_cancelled(), "{error}"),
            }
        }
    });
}

// The items taken say why; the rest of the input is left alone.
#[test]
fn a_closed_pool_is_an_error_and_the_end() {
    on_each(|| {
        let pool = CoroutinePool::new(1);
        let taken = Cell::new(0);
        let input = (0..).inspect(|_| taken.set(taken.get() + 1));
        let mut map = pool.map(twice, input).chunk(1);
        assert_eq!(map.next().unwrap().unwrap(), 0);
        pool.close();
        let rest: Vec<_> = map.by_ref().collect();
        let (last, before) = rest.split_last().unwrap();
        assert!(before.iter().all(|result| result.is_ok()), "{before:?}");
        let error = last.as_ref().unwrap_err();
        assert!(error.to_string().contains("closed"), "{error}");
        assert_eq!(taken.get() as usize, rest.len() + 1);
        assert!(map.next().is_none());
    });
}

#[test]
fn a_terminated_pool_ends_it() {
    on_each(|| {
        let pool = CoroutinePool::new(1);
        let wait = |n: u32| n > 0 && Event::new().wait().is_err();
        let mut map = pool.spawn_map(0.., wait).chunk(1);
        assert!(!map.next().unwrap().unwrap());
        assert!(map.next_timeout(MOMENT).is_err());
        pool.terminate();
        let rest: Vec<_> = map.collect();
        // The one that ran was told; those that were queued never started, or were refused.
        for end in &rest {
            match end {
                Ok(told) => assert!(told),
                Err(error) => {
                    let text = error.to_string();
                    assert!(error.is_cancelled() || text.contains("closed"), "{text}");
                }
            }
        }
        assert!(rest.len() <= 4, "{rest:?}");
    });
}

#[test]
fn an_input_that_panics_is_the_callers() {
    on_each(|| {
        let pool = CoroutinePool::new(2);
        let input = (0..10).inspect(|n| assert!(*n < 5, "the input is broken"));
        let mut map = pool.map(twice, input).chunk(1);
        let call = std::panic::AssertUnwindSafe(|| map.by_ref().for_each(drop));
        std::panic::catch_unwind(call).unwrap_err();
        drop(map);
        pool.close();
        pool.join().unwrap();
    });
}

#[test]
fn maps_may_be_nested() {
    on_each(|| {
        let outer = CoroutinePool::new(2);
        let inner = Arc::new(CoroutinePool::new(2));
        let sums = outer.spawn_map(1..=5_u32, move |n| {
            inner.map(twice, 0..n).map(Result::unwrap).sum::<u32>()
        });
        let sums: Vec<u32> = sums.map(Result::unwrap).collect();
        assert_eq!(sums, [0, 2, 6, 12, 20]);
    });
}

/// Fits wherever an iterator does, and says how many may come.
#[test]
fn it_is_an_iterator_like_others() {
    on_each(|| {
        let pool = CoroutinePool::new(2);
        let mut map: Map<_, _> = pool.map(twice, 0..10);
        assert_eq!(map.size_hint(), (0, Some(10)));
        map.next();
        assert_eq!(map.size_hint(), (0, Some(9)));
        assert!(format!("{map:?}").contains("next: 1"), "{map:?}");
        let sum: u32 = map.map(Result::unwrap).sum();
        assert_eq!(sum, 90);
        assert_eq!(pool.map(twice, 0..).size_hint().0, 0);
    });
}
