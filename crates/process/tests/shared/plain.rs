//! What values and arrays do within one process.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use ropewalk_process::shared::{Array, Plain, RawArray, RawValue, Value};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::stage::on_each;

fn round_trip<T: Plain + PartialEq + std::fmt::Debug>(low: T, high: T) {
    let value = Value::new(low).unwrap();
    assert_eq!(value.replace(high), low);
    assert_eq!(value.get(), high);
    let raw = RawValue::new(low).unwrap();
    raw.set(high);
    assert_eq!(raw.get(), high);
    let array = Array::from_slice(&[low, high, low]).unwrap();
    array.set(0, high);
    assert_eq!(array.to_vec(), [high, high, low]);
    let raw = RawArray::from_slice(&[low, high, low]).unwrap();
    raw.set(0, high);
    assert_eq!(raw.to_vec(), [high, high, low]);
    assert_eq!(raw.iter().rev().collect::<Vec<_>>(), [low, high, high]);
}

/// The types of Python's twelve codes.
#[test]
fn every_type_code_has_a_type() {
    round_trip(i8::MIN, i8::MAX);
    round_trip(0_u8, u8::MAX);
    round_trip(i16::MIN, i16::MAX);
    round_trip(0_u16, u16::MAX);
    round_trip(i32::MIN, i32::MAX);
    round_trip(0_u32, u32::from('\u{1f9f6}'));
    round_trip(i64::MIN, i64::MAX);
    round_trip(0_u64, u64::MAX);
    round_trip(-0.5_f32, f32::MAX);
    round_trip(-0.5_f64, f64::MAX);
    round_trip(0_u128, u128::MAX);
    round_trip([1_u8; 3], [9; 3]);
}

#[derive(Clone, Copy, PartialEq, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Place {
    name: [u8; 12],
    height: f32,
    at: [f64; 2],
}

#[test]
fn a_structure_is_a_value() {
    let place = |height| Place {
        name: *b"Ben Lomond\0\0",
        height,
        at: [56.19, -4.63],
    };
    round_trip(place(973.0), place(974.0));
    let shared = Value::new(place(0.0)).unwrap();
    shared.update(|place| place.height += 974.0);
    assert_eq!(shared.get(), place(974.0));
}

#[test]
fn updates_of_many_tasks_are_all_counted() {
    on_each(|| {
        let count = Value::new(0_u64).unwrap();
        let large = Value::new([0_u64; 5]).unwrap();
        let array = Array::<u16>::new(3).unwrap();
        ropewalk_rt::scope(|s| {
            for _ in 0..8 {
                s.spawn(|| {
                    for _ in 0..50 {
                        count.update(|count| *count += 1);
                        large.update(|large| large.iter_mut().for_each(|part| *part += 1));
                        array.update(1, |element| *element += 1);
                    }
                });
            }
        });
        assert_eq!(count.get(), 400);
        assert_eq!(large.get(), [400; 5]);
        assert_eq!(array.to_vec(), [0, 400, 0]);
    });
}

#[test]
fn ranges_are_read_and_written() {
    let array = Array::<i32>::new(6).unwrap();
    assert_eq!((array.len(), array.is_empty()), (6, false));
    array.write(1, &[1, 2, 3]);
    array.fill(4.., 9);
    assert_eq!(array.to_vec(), [0, 1, 2, 3, 9, 9]);
    assert_eq!(array.read(1..=2), [1, 2]);
    assert_eq!(array.read(6..), []);
    assert_eq!(array.update_range(..3, |part| part.iter().sum::<i32>()), 3);
    array.update_range(.., |all| all.reverse());
    assert_eq!(array.iter().collect::<Vec<_>>(), [9, 9, 3, 2, 1, 0]);
    array.write(6, &[]);
    let none = Array::<u8>::new(0).unwrap();
    assert!(none.is_empty() && none.to_vec().is_empty());
}

#[test]
fn what_is_outside_panics_and_changes_nothing() {
    let array = Array::<u16>::new(3).unwrap();
    let raw = RawArray::<u16>::new(3).unwrap();
    let panics = |f: &dyn Fn()| catch_unwind(AssertUnwindSafe(f)).is_err();
    assert!(panics(&|| _ = array.get(3)));
    assert!(panics(&|| array.set(3, 1)));
    assert!(panics(&|| array.write(2, &[1, 1])));
    assert!(panics(&|| drop(array.read(2..4))));
    #[expect(clippy::reversed_empty_ranges)]
    let backwards = || drop(array.read(2..1));
    assert!(panics(&backwards));
    assert!(panics(&|| array.update(usize::MAX, |_| ())));
    assert!(panics(&|| drop(array.read(usize::MAX..=usize::MAX))));
    assert!(panics(&|| _ = raw.get(3)));
    assert!(panics(&|| raw.write(usize::MAX, &[1])));
    assert_eq!(array.to_vec(), [0; 3]);
    assert_eq!(raw.to_vec(), [0; 3]);
    assert!(Array::<u64>::new(usize::MAX).is_err());
    assert!(RawArray::<u64>::new(usize::MAX / 9).is_err());
}

#[test]
fn a_closure_that_panics_changes_nothing_and_gives_the_lock_back() {
    let value = Value::new([1_u64; 4]).unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        value.update(|value| {
            value[0] = 7;
            panic!("in between");
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(value.get(), [1; 4]);
    value.set([2; 4]);
    assert_eq!(value.get(), [2; 4]);
}

#[test]
fn reading_does_not_wait_for_a_slow_update_and_timed_updates_end() {
    on_each(|| {
        let value = Value::new(1_u32).unwrap();
        ropewalk_rt::scope(|s| {
            value.update(|inside| {
                *inside = 2;
                assert_eq!(value.get(), 1);
                let others = s.spawn(|| {
                    let busy = value.try_update(|_| ()).is_err();
                    let timeout = value.update_timeout(Duration::from_millis(5), |_| ());
                    busy && timeout.unwrap_err().is_timeout()
                });
                assert!(others.join().unwrap());
            });
        });
        assert_eq!(value.try_update(|value| *value).ok(), Some(2));
    });
}
