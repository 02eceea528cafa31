//! Rows T11 and T12: values of one's own, and values that somebody iterates over.

use crate::program::{t11_locals, t12_iterate};

/// T11: a coroutine's own value is not the worker's.
#[test]
fn each_has_its_own() {
    for coroutines in [1, 2, 50] {
        let counts = t11_locals::count_in_coroutines(coroutines).unwrap();
        assert_eq!(counts, (1, coroutines));
    }
}

/// T11: every kind of task has one, the caller's is left alone.
#[ropewalk::test]
fn every_kind_of_task_has_its_own() {
    assert_eq!(t11_locals::of_every_kind(), [2, 2, 2, 10]);
}

/// T11: what a task is about is known deep down, and kept across its waits.
#[ropewalk::test]
fn requests_are_told_apart() {
    let requests = ["a", "b", "c"];
    let lines = t11_locals::handle(&requests);
    let mut expected: Vec<_> = requests
        .iter()
        .flat_map(|request| [format!("{request}: begins"), format!("{request}: ends")])
        .collect();
    expected.push("nobody's: is at the caller's".to_owned());
    assert_eq!(lines, expected);
}

/// T11: a task's values are dropped before it counts as ended, though the drop waits.
#[ropewalk::test]
fn values_end_with_their_task() {
    let (most, left) = t11_locals::connect(30);
    assert!((1..=30).contains(&most));
    assert_eq!(left, 0);
}

/// T11: std's `thread_local!` is found where it was, after every wait.
#[ropewalk::test]
fn a_thread_local_stays_put() {
    assert!(t11_locals::stays_put(200, 50));
}

/// T12: collecting first, and removing after, passes over nobody.
#[test]
fn collect_first_remove_after() {
    let mut ages = t12_iterate::people();
    let all = ages.len();
    let removed = t12_iterate::remove_minors(&mut ages);
    assert_eq!(removed, ["bob", "cid"]);
    assert_eq!(ages.len(), all - removed.len());
    let mut kept = t12_iterate::people();
    t12_iterate::keep_adults(&mut kept);
    assert_eq!(kept, ages);
}

/// T12: what Python's loop does to neighbours, and what was meant.
#[test]
fn no_element_is_passed_over() {
    use t12_iterate::{remove_even, remove_even_as_python};
    assert_eq!(remove_even_as_python(vec![2, 4, 6, 7]), [4, 7]);
    assert_eq!(remove_even(vec![2, 4, 6, 7]), [7]);
    assert_eq!(remove_even((0..100).collect()).len(), 50);
}

/// T12: a walk over a shared map is not disturbed by who writes meanwhile, and disturbs nobody.
#[ropewalk::test]
fn a_walk_is_over_what_was_there() {
    for (keys, added) in [(0, 5), (10, 0), (40, 60), (60, 40)] {
        let (walked, left) = t12_iterate::walk_while_another_writes(keys, added);
        assert!(walked.into_iter().eq(0..keys));
        let expected = (0..keys)
            .filter(|key| key % 2 == 0)
            .chain(keys..keys + added);
        assert!(left.into_iter().eq(expected));
    }
}
