//! Rows Q: queues between threads, coroutines and async tasks.

use ropewalk::cancel::WaitError;
use ropewalk::queue::{GetError, TooManyDone};
use ropewalk::time::Duration;

use crate::program::{q1_queue, q2_lifo_priority, q3_task_done, q4_uneven};

/// A wait that must end for its time.
const SHORT: Duration = Duration::from_millis(10);

/// Q1: whatever goes in comes out once, whoever puts and whoever gets.
#[ropewalk::test]
fn items_arrive_once_between_all_kinds_of_tasks() {
    for maxsize in [1, 2, 100, 0] {
        let got = q1_queue::mixed(maxsize, 300);
        let mut all: Vec<_> = got.into_iter().flatten().collect();
        all.sort_unstable();
        assert_eq!(all, (0..900).collect::<Vec<_>>(), "maxsize {maxsize}");
    }
}

/// Q1: at its limits a queue says so, with and without waiting.
#[ropewalk::test]
fn a_queue_is_full_or_empty() {
    let expected = q1_queue::Limits {
        full: [Some("third"), Some("fourth")],
        empty: [true; 2],
        seen: [(0, true, false), (1, false, false), (2, false, true)],
    };
    assert_eq!(q1_queue::limits(SHORT), expected);
}

/// Q1: who waits goes on when another makes way.
#[ropewalk::test]
fn put_and_get_block_until_they_can() {
    assert_eq!(
        q1_queue::blocked_and_released(),
        (true, Ok::<_, GetError>(1))
    );
}

/// Q1: Python's `maxsize <= 0`.
#[ropewalk::test]
fn without_a_limit_all_goes_in() {
    assert_eq!(q1_queue::unbounded(100_000), 100_000);
}

/// Q2: the last first.
#[ropewalk::test]
fn a_stack_is_a_queue_too() {
    assert_eq!(q2_lifo_priority::last_in_first_out(&[1, 2, 3]), [3, 2, 1]);
}

/// Q2: the smallest first, equal ones as they came, whatever the payload.
#[ropewalk::test]
fn jobs_run_by_priority() {
    let jobs = vec![(2, "a"), (1, "z"), (2, "b"), (0, "m"), (1, "c"), (2, "c")];
    assert_eq!(
        q2_lifo_priority::run_jobs(jobs),
        ["m (0)", "z (1)", "c (1)", "a (2)", "b (2)", "c (2)"]
    );
    assert_eq!(q2_lifo_priority::largest_first(&[3, 9, 4]), [9, 4, 3]);
}

/// Q2: equal ones stay in order also while others come and go.
#[ropewalk::test]
fn equal_priorities_stay_in_order() {
    let mut pairs = q2_lifo_priority::under_way(3000, 3);
    assert!(q2_lifo_priority::is_stable(&pairs, 3));
    pairs.sort_unstable_by_key(|(_, number)| *number);
    let expected: Vec<_> = (0..3000).map(|number| (number % 3, number)).collect();
    assert_eq!(pairs, expected);
}

/// Q3: `join` returns when all is done, with any number of producers and consumers.
#[ropewalk::test]
fn join_waits_for_all_and_no_longer() {
    for (producers, consumers) in [(1, 1), (1, 4), (4, 1), (3, 5)] {
        let expected = q3_task_done::AllDone {
            done: producers * 50,
            unfinished: 0,
        };
        assert_eq!(q3_task_done::work(producers, consumers, 50), expected);
    }
    let late = Err(WaitError::Timeout);
    let seen = q3_task_done::not_before_the_last(SHORT);
    assert_eq!(seen, [late, late, Ok(())]);
}

/// Q3: Python's `ValueError`.
#[ropewalk::test]
fn too_many_done_is_an_error() {
    assert_eq!(q3_task_done::once_too_often(), [Ok(()), Err(TooManyDone)]);
}

/// Q4: a bounded queue holds up the faster one, and never holds more than it may.
#[ropewalk::test]
fn a_bounded_queue_gives_back_pressure() {
    let (none, some) = (Duration::ZERO, Duration::from_millis(1));
    for maxsize in [1, 3] {
        let flow = q4_uneven::flow(maxsize, 60, none, some);
        assert!(flow.got.iter().copied().eq(0..60), "{flow:?}");
        assert!((1..=maxsize).contains(&flow.high_water), "{flow:?}");
        assert!(flow.held_up > 0, "{flow:?}");

        let flow = q4_uneven::flow(maxsize, 60, some, none);
        assert!(flow.got.iter().copied().eq(0..60), "{flow:?}");
        assert!(flow.high_water <= maxsize, "{flow:?}");
    }
    // Nothing holds up a producer without a limit.
    let flow = q4_uneven::flow(0, 60, none, some);
    assert!(flow.got.iter().copied().eq(0..60), "{flow:?}");
    assert_eq!(flow.held_up, 0);
}
