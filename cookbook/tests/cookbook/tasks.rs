//! Rows C and E: many tasks, their ends, their deadlines, and what is called when they are over.

use std::io;

use crate::program::{
    c4_groups, c5_timeouts, c7_async, c8_event_loop, c9_executor, e2_callbacks, e8_tokens,
};
use c5_timeouts::Late;
use ropewalk::time::Duration;

/// Long enough to take a few locks in, also on a machine that has other work.
const MOMENT: Duration = Duration::from_millis(200);
const HOUR: Duration = Duration::from_secs(3600);

/// C4: `sleep(0)` lets the other run, and only that.
#[test]
fn sleeping_for_nothing_changes_turns() {
    let turns = c4_groups::interleaved().unwrap();
    assert_eq!(turns, ["foo", "bar", "foo again", "bar again"]);
}

/// C4: `joinall(timeout=)` tells the values, the failed and the late apart, and loses none.
#[ropewalk::test]
fn what_is_not_done_in_time_is_reported() {
    // A slow machine may need more time for those that end.
    let limits = [1, 10, 60].map(Duration::from_secs).into_iter();
    let mut reports = limits.map(c4_groups::join_some);
    let report = reports.find(|report| report.not_done == ["slow"]);
    let report = report.expect("only that one doesn't end");
    assert_eq!(report.values, [Some(42), None, None], "{report:?}");
    assert_eq!(report.failed, ["broken"], "{report:?}");
    assert_eq!(report.not_done, ["slow"], "{report:?}");
    assert_eq!(report.late, [7], "{report:?}");
}

/// C4: a pool keeps the order and its bound, and uses what it may.
#[ropewalk::test]
fn a_pool_is_bounded_and_in_order() {
    let expected: Vec<u64> = (0..200).map(|n| n * n).collect();
    for size in [1, 3, 200] {
        let (squares, most) = c4_groups::pool_map(size, 0..200);
        assert_eq!(squares, expected);
        assert!((1..=size).contains(&most), "{most} of {size} at once");
    }
}

/// C4: who spawns into a full pool waits, or is told.
#[ropewalk::test]
fn a_full_pool_takes_no_more() {
    assert_eq!(c4_groups::full_pool(), (true, 3));
}

/// C4: a group knows who has not ended, and ends them together.
#[ropewalk::test]
fn a_group_names_who_is_left() {
    let (not_done, left) = c4_groups::join_group(MOMENT);
    assert_eq!(not_done, ["waits for ever"]);
    assert_eq!(left, 0);
}

/// C5: a deadline ends the wait, and the way out gives everything back.
#[ropewalk::test]
fn what_times_out_gives_back_what_it_held() {
    assert_eq!(c5_timeouts::out_of_time(MOMENT), (true, true));
}

/// C5: of two limits, the one that struck is the one that tells.
#[ropewalk::test]
fn nested_limits_are_told_apart() {
    assert_eq!(c5_timeouts::nested(HOUR, MOMENT), Late::Inner);
    assert_eq!(c5_timeouts::nested(MOMENT, HOUR), Late::Outer);
}

/// C5: who is killed returns by itself, with an error that isn't a deadline's.
#[ropewalk::test]
fn who_is_killed_returns_and_gives_back_what_it_held() {
    let (result, free) = c5_timeouts::killed();
    assert!(result.is_err_and(|cancelled| !cancelled.is_timeout()));
    assert!(free);
    assert_eq!(c5_timeouts::killed_together(100), (100, true));
}

/// C5: who is killed before it starts never does.
#[ropewalk::test]
fn who_is_killed_at_birth_never_runs() {
    assert_eq!(c5_timeouts::killed_at_birth(), (true, true));
}

/// C5: a read is ended too, and its connection closed.
#[ropewalk::test]
fn who_is_killed_in_a_read_hangs_up() {
    let (read, rest) = c5_timeouts::killed_in_a_read().unwrap();
    let error = read.unwrap_err();
    assert_ne!(error.kind(), io::ErrorKind::TimedOut, "{error}");
    assert_eq!(rest, 0);
}

/// C5: computations ask, and cleaning up is let be.
#[ropewalk::test]
fn computing_asks_and_cleaning_up_is_shielded() {
    assert!(c5_timeouts::compute_for(MOMENT) >= MOMENT);
    assert!(c5_timeouts::clean_up());
}

/// C7: a future runs where it is awaited, and only if it is.
#[ropewalk::test]
fn futures_are_awaited_everywhere() {
    assert_eq!(c7_async::everywhere(), [14; 3]);
    assert_eq!(c7_async::runs(), (0, 1));
}

/// C7: results are in the order of the tasks, whichever ends first.
#[ropewalk::test]
fn gathered_results_are_in_order() {
    assert_eq!(c7_async::gather(50), (0..50).collect::<Vec<_>>());
    let results = c7_async::gather_with_errors();
    assert_eq!(results[0].as_ref().ok(), Some(&1));
    let errors: Vec<_> = results[1..]
        .iter()
        .map(|r| r.as_ref().unwrap_err())
        .collect();
    assert!(
        errors[0].is_panic() && errors[1].is_cancelled(),
        "{errors:?}"
    );
}

/// C7: the first error is the result, and those it cancels leave nothing behind.
#[ropewalk::test]
fn the_first_error_cancels_the_rest() {
    let (result, free) = c7_async::first_error();
    assert_eq!(result, Err("no such host".to_string()));
    assert!(free);
    assert_eq!(c7_async::first_of_many(), (1, 2, 8));
}

/// C7: a guard is held across an await, among tasks, coroutines and threads, and is given back
/// where the future is dropped.
#[ropewalk::test]
fn guards_live_across_awaits() {
    assert_eq!(c7_async::guarded(200), 202);
    assert_eq!(c7_async::broken_off(MOMENT), (true, true));
}

/// C7: a stream is awaited item by item, to its end.
#[ropewalk::test]
fn streams_end_with_their_senders() {
    let squares: Vec<u64> = (0..500).map(|n| n * n).collect();
    assert_eq!(c7_async::stream(500), squares);
    assert!(c7_async::stream(0).is_empty());
}

/// E2: each callback is called once, in order, also when it comes late.
#[ropewalk::test]
fn callbacks_are_called_once_and_in_order() {
    for _ in 0..50 {
        let notes = e2_callbacks::before_and_after();
        let expected = [
            "first: 42",
            "second: 42",
            "when it was done: 42",
            "joined: 42",
        ];
        assert_eq!(notes, expected);
    }
}

/// E2: whatever the outcome, there is one, and the callback gets it.
#[ropewalk::test]
fn callbacks_get_every_outcome() {
    let expected = [
        "panic: the task panicked: broken, as it should be",
        "cancelled: the task was cancelled before it had a value",
        "dropped: the promise was dropped without a value",
        "kept: 7",
    ];
    assert_eq!(e2_callbacks::outcomes(), expected);
    assert_eq!(e2_callbacks::goes_on_elsewhere(), 42);
}

/// E2: a panic in a callback, and a wait, are told, and stay there.
#[ropewalk::test]
fn bad_callbacks_are_contained_and_reported() {
    let mut notes = Vec::new();
    let reports = e2_callbacks::reports(|| notes = e2_callbacks::bad_callbacks());
    assert_eq!(notes, ["first: 42", "last: 42", "joined: 42"]);
    // Other tests may panic at the same time.
    for report in [
        "this callback is broken",
        "a wait inside an `on_done` callback",
    ] {
        let told = reports.iter().filter(|told| told.contains(report)).count();
        assert_eq!(told, 1, "{report}: {reports:?}");
    }
}

/// E8: no more run than there are tokens, which all come back, also from who panicked.
#[ropewalk::test]
fn tokens_bound_what_runs() {
    for permits in [1, 4] {
        let tally = e8_tokens::with_permits(permits, 40);
        assert_eq!((tally.worked, tally.broken), (30, 10), "{tally:?}");
        assert_eq!(tally.tokens, permits, "{tally:?}");
        assert!((1..=permits).contains(&tally.most), "{tally:?}");

        let tally = e8_tokens::with_permits_async(permits, 100);
        assert_eq!((tally.worked, tally.broken), (100, 0), "{tally:?}");
        assert_eq!(tally.tokens, permits, "{tally:?}");
        assert!((1..=permits).contains(&tally.most), "{tally:?}");
    }
}

/// E8: without a token one waits or is refused; a cancelled job gives its token back.
#[ropewalk::test]
fn tokens_come_back_from_the_cancelled() {
    for _ in 0..50 {
        assert_eq!(e8_tokens::none_left(), (true, true));
    }
}

/// E8: tokens that differ are lent and come home, each once.
#[ropewalk::test]
fn licences_come_home() {
    let (counts, back) = e8_tokens::with_licences(&["blue", "green", "red"], 60);
    assert_eq!(counts.iter().map(|(_, count)| count).sum::<usize>(), 60);
    assert_eq!(back, ["blue", "green", "red"]);
}

/// C8: a future is run to its end, calls come in order, and the cancelled one does not.
#[test]
fn a_loop_runs_until_complete_and_for_ever() {
    let runtime = ropewalk::Runtime::builder().workers(1).build().unwrap();
    assert_eq!(c8_event_loop::complete(&runtime), 6);
    assert_eq!(
        c8_event_loop::forever(&runtime),
        [
            "soon",
            "at its time",
            "later",
            "from a thread",
            "stopping, running: true"
        ]
    );
    let (ended, left) = c8_event_loop::close(runtime);
    assert_eq!((ended, left), (10, vec!["stubborn".to_string()]));
}

/// C9: a blocking client in `unblock` holds up nobody, on one worker.
#[ropewalk::test(workers = 1)]
fn blocking_calls_run_beside_the_loop() {
    let (answers, beats) = c9_executor::ask_all(5).unwrap();
    assert_eq!(answers.len(), 5);
    assert!(beats > 0);
}
