//! E5: a pool of threads as programs write it by hand.

use ropewalk::executor::ThreadPool;

use crate::program::e5_pool::{Seen, callbacks, ended, growth};

/// E5: no thread before there is work, then as many as block, up to the maximum.
#[ropewalk::test]
fn a_pool_grows_with_its_work() {
    let [before, meanwhile] = growth().unwrap();
    let seen = |live, queued, running| Seen {
        live,
        idle: 0,
        queued,
        running,
    };
    assert_eq!(before, seen(0, 0, 0));
    assert_eq!(meanwhile, seen(5, 3, 5));
}

/// E5: callbacks hear of values and panics; one that panics harms nobody.
#[test]
fn callbacks_get_status_and_result() {
    let notes = callbacks().unwrap();
    let expected = [
        "a square: true, 49",
        "a panic: false, the task panicked: no number",
        "after it: true, 2",
    ];
    assert_eq!(notes, expected);
}

/// E5: closing lets all run, terminating drops what is queued; neither takes more.
#[ropewalk::test]
fn a_closed_pool_drains_and_a_terminated_one_drops() {
    let (said, late) = ended(ThreadPool::close).unwrap();
    assert_eq!(said, ["0", "1", "2"]);
    assert!(late.contains("closed"), "{late}");
    let (said, late) = ended(ThreadPool::terminate).unwrap();
    assert_eq!(said[0], "0");
    assert!(
        said[1..].iter().all(|said| said.contains("cancelled")),
        "{said:?}"
    );
    assert!(late.contains("closed"), "{late}");
}
