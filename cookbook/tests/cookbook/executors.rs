//! Rows E: pools, results and progress.

use std::collections::BTreeSet;
use std::process;

use crate::program::{e1_fetch, e3_swap, e4_futures, e6_mp_pool, e7_progress};
use ropewalk::executor::{CoroutinePool, ThreadPool};
use ropewalk::process::ProcessPool;

/// E1: five at a time, no more and no fewer; all are done when `shutdown` returns, and then it is
/// over.
#[ropewalk::test]
fn pages_are_fetched_by_a_pool_of_five() {
    let fetched = e1_fetch::fetch(25).unwrap();
    let expected: Vec<String> = (0..25).map(|page| format!("page {page}")).collect();
    assert_eq!(fetched.pages, expected);
    assert_eq!(fetched.most_at_once, e1_fetch::FETCHERS);
    assert_eq!(fetched.after_shutdown, 25);
    assert!(fetched.refused.contains("closed"), "{}", fetched.refused);
}

/// E3: whichever pool it is, the work is the same, and done where the pool says.
#[ropewalk::test]
fn the_pool_is_a_matter_of_one_word() {
    let (server, urls) = e3_swap::serve().unwrap();
    let threads = ThreadPool::builder().build().unwrap();
    let coroutines = CoroutinePool::new(e3_swap::cores());
    let processes = ProcessPool::builder().build().unwrap();
    let reports = [
        (true, e3_swap::report(threads, &urls).unwrap()),
        (true, e3_swap::report(coroutines, &urls).unwrap()),
        (false, e3_swap::report(processes, &urls).unwrap()),
    ];
    for (here, report) in reports {
        assert_eq!(report.squares, [0, 1, 4, 9, 16, 25, 36, 49, 64, 81]);
        assert_eq!(report.words[..2], [Ok(3), Ok(500)]);
        assert!(report.words[2].is_err());
        assert_eq!(report.width, e3_swap::cores());
        if here {
            assert_eq!(report.pids, BTreeSet::from([process::id()]));
        } else {
            assert!(!report.pids.is_empty() && !report.pids.contains(&process::id()));
        }
    }
    server.stop().unwrap();
}

/// E4: results in order, as they come, some of them, in time or not, cancelled, failed.
#[ropewalk::test]
fn results_are_to_be_had_in_all_ways() {
    let pool = CoroutinePool::new(4);
    let mapped = e4_futures::map(&pool);
    assert_eq!(mapped, ["2", "panicked: attempt to divide by zero", "3"]);
    assert_eq!(
        e4_futures::in_order_of_their_ends(&pool).unwrap(),
        [2, 1, 0]
    );
    assert_eq!(
        e4_futures::wait_for_some(&pool).unwrap(),
        [(1, 2), (0, 2), (2, 0)]
    );
    assert!(e4_futures::wait_for_an_error(&pool).unwrap());
    let (late, last) = e4_futures::timeouts(&pool).unwrap();
    assert!(late == 2 && !last.is_empty());
    let (queued, told) = e4_futures::cancel().unwrap();
    assert!(queued.contains("cancelled") && told, "{queued}");
}

/// E6: what `multiprocessing.Pool` offers, and that it goes on when a worker dies.
#[ropewalk::test]
fn a_pool_of_processes_offers_what_pythons_does() {
    assert_eq!(e6_mp_pool::initialised().unwrap(), [1007, 1001, 1002, 1003]);
    assert_eq!(e6_mp_pool::recycled().unwrap(), 4);
    let pool = ProcessPool::new(2).unwrap();
    let notes = e6_mp_pool::called_back(&pool).unwrap();
    assert_eq!(notes, ["1 / 0: attempt to divide by zero", "6 / 3 = 2"]);
    let mapped = e6_mp_pool::mapped(&pool).unwrap();
    assert_eq!(mapped, "[0, 1, 4, 9, 16] 1000000 4950 [2, -2]");
    assert_eq!(e6_mp_pool::waited_for(&pool).unwrap(), (false, 300));
    let ends = e6_mp_pool::survived(&pool).unwrap();
    assert_eq!((&*ends[0], &*ends[3]), ("timed out, and killed", "144"));
    assert!(
        ends[1].contains("SIGABRT") && ends[2].contains("cancelled"),
        "{ends:?}"
    );
    assert_eq!(e6_mp_pool::closed(&pool).unwrap(), (true, 50, true));
    for by_drop in [false, true] {
        assert_eq!(e6_mp_pool::terminated(by_drop).unwrap(), 3);
    }
}

/// E7: observers hear of each step to the end, and a bar is one.
#[ropewalk::test]
fn progress_is_told() {
    let (developed, tenths) = e7_progress::develop_all(50);
    let notes = tenths.notes;
    assert_eq!((developed, &*notes[0]), (50, "of 50"));
    assert_eq!(notes[notes.len() - 2..], ["100%", "finished"]);
    assert!(notes.len() <= 13, "{notes:?}");
    let steps = e7_progress::of_unknown_length(40);
    assert!(steps.is_sorted() && steps.last() == Some(&20), "{steps:?}");
    assert_eq!(e7_progress::with_a_bar(200), (200, true));
}
