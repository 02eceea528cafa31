//! Rows P3, P5 and P8: a queue, values, arrays and locks between processes.

use std::collections::BTreeMap;

use crate::program::{p3_queue, p5_shared, p8_locks};

/// P3: everything arrives, wherever it comes from.
#[ropewalk::test]
fn parcels_are_delivered() {
    let expected = ["ann", "bob", "cid"].map(|name| (name.to_owned(), 50));
    assert_eq!(p3_queue::deliver(50).unwrap(), BTreeMap::from(expected));
}

/// P3: killed producers and consumers disturb nobody.
#[test]
fn the_queue_survives_its_users() {
    assert_eq!(p3_queue::survive(3).unwrap(), 0);
}

/// P5: also many at once lose nothing, and the histogram adds up to the count.
#[ropewalk::test]
fn compound_updates_are_atomic() {
    let (count, histogram, too_many) = p5_shared::count_together(500).unwrap();
    assert_eq!(count, 2000);
    assert_eq!(histogram.iter().sum::<u32>(), 2000);
    assert!(!too_many);
}

/// P5: what another process wrote is what is read, for each type code.
#[test]
fn all_type_codes_are_shared() {
    let all: BTreeMap<_, _> = p5_shared::all_types().unwrap().into_iter().collect();
    assert_eq!(all.len(), 13);
    assert_eq!(all[&'h'], i16::MAX.to_string());
    assert_eq!(all[&'L'], u64::MAX.to_string());
    assert_eq!(all[&'d'].parse(), Ok(f64::MAX));
}

/// P8: from a coroutine and from a thread.
#[test]
fn locks_work_between_processes() {
    let all = || {
        assert_eq!(p8_locks::bank(3, 100).unwrap(), 300);
        assert_eq!(p8_locks::recursion(3).unwrap(), (3, false));
        assert!(p8_locks::office(2).unwrap().0 <= 2);
        assert_eq!(p8_locks::race(3).unwrap(), 3);
    };
    all();
    ropewalk::spawn(all).join().unwrap();
}

/// P8: a dead holder is named, its permit comes back and its barrier is broken.
#[test]
fn dead_holders_are_reported() {
    assert_eq!(p8_locks::death().unwrap(), (true, 1, true));
    let inside = ropewalk::spawn(|| p8_locks::death().unwrap());
    assert_eq!(inside.join().unwrap(), (true, 1, true));
}
