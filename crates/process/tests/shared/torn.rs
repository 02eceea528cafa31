//! Processes killed at random moments, round after round: nothing is torn, nothing hangs.
//!
//! The victims do nothing but the operation at hand, so most kills hit it somewhere.

use std::time::Duration;

use ropewalk_process::shared::{Array, BoundedSemaphore, HolderDied, Lock, Value};

use crate::{kill, start};

const ROUNDS: u64 = 12;

/// A number of microseconds for this round, always the same ones.
fn moment(round: u64) -> Duration {
    Duration::from_micros(round.wrapping_mul(6_364_136_223_846_793_005) >> 33 & 0xfff)
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn write_for_ever(value: Value<[u64; 100]>, array: Array<u32>, begun: Value<u8>) {
    for round in 0_u64.. {
        value.update(|value| value.iter_mut().for_each(|part| *part += 1));
        array.write(10, &[round as u32; 2000]);
        array.update(1, |element| *element = element.wrapping_add(1));
        begun.set(1);
    }
}

#[test]
fn values_and_arrays_are_whole_whoever_is_killed() {
    let value = Value::new([0_u64; 100]).unwrap();
    let array = Array::<u32>::new(2500).unwrap();
    for round in 0..ROUNDS {
        let begun = Value::new(0_u8).unwrap();
        let args = (value.clone(), array.clone(), begun.clone());
        let victims = [0, 1].map(|_| start(write_for_ever, args.clone()));
        while begun.get() == 0 {
            std::thread::yield_now();
        }
        std::thread::sleep(moment(round));
        victims.iter().for_each(kill);
        let before = value.get();
        assert!(before.iter().all(|part| *part == before[0]), "{before:?}");
        let written = array.read(10..2010);
        assert!(written.iter().all(|element| *element == written[0]));
        assert_eq!(array.get(9), 0);
        assert_eq!(array.get(2010), 0);
        value.update(|value| value.iter_mut().for_each(|part| *part += 1));
        assert_eq!(value.get()[99], before[0] + 1);
        array.write(10, &[7; 2000]);
        assert_eq!(array.read(10..2010), [7; 2000]);
    }
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn lock_for_ever(lock: Lock, permits: BoundedSemaphore, sum: Value<u64>) {
    loop {
        let guard = lock.lock().unwrap_or_else(HolderDied::recover);
        sum.update(|sum| *sum += 1);
        drop(guard);
        drop(permits.acquire().unwrap());
    }
}

#[test]
fn locks_and_permits_outlive_whoever_is_killed() {
    let (lock, permits) = (Lock::new().unwrap(), BoundedSemaphore::new(2).unwrap());
    let sum = Value::new(0_u64).unwrap();
    let args = (lock.clone(), permits.clone(), sum.clone());
    let survivor = start(lock_for_ever, args.clone());
    for round in 0..ROUNDS {
        let before = sum.get();
        let victims = [0, 1].map(|_| start(lock_for_ever, args.clone()));
        while sum.get() < before + 100 {
            std::thread::yield_now();
        }
        std::thread::sleep(moment(round));
        victims.iter().for_each(kill);
        // The survivor gets on.
        let before = sum.get();
        while sum.get() < before + 100 {
            std::thread::yield_now();
        }
    }
    kill(&survivor);
    let guard = lock.lock().unwrap_or_else(HolderDied::recover);
    assert!(lock.is_locked());
    drop(guard);
    let all = [permits.acquire().unwrap(), permits.acquire().unwrap()];
    assert_eq!(permits.available_permits(), 0);
    drop(all);
    assert_eq!(permits.available_permits(), 2);
    assert!(permits.release().is_err());
}
