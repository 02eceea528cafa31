//! Row P6: objects that processes share by a manager.

use crate::program::p6_manager;

/// P6: however many they are, nothing is lost, and no semaphore lets too many in.
#[ropewalk::test]
fn processes_work_with_a_managers_objects() {
    let outcome = p6_manager::ten_work(4).unwrap();
    assert_eq!(outcome.counts, [20, 40, 20, 20, 200]);
    assert_eq!(outcome.items, 20);
    assert!((1..=6).contains(&outcome.most_inside));
    assert_eq!(outcome.kinds, (4, 4));
    assert_eq!(outcome.third, (3, "done".to_owned()));
}
