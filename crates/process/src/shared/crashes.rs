//! Participants killed at each step of each operation.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::array::Array;
use super::mapping::Mapping;
use super::participants::reopen;
use super::section::VERSION;
use super::sleeping::Limit;
use super::steps::killed_at;
use super::{Barrier, Condition, Lock, Semaphore};
use crate::memory::Region;

/// Another participant of the same object, as if in another process.
pub(crate) fn another(mapping: &Mapping) -> Arc<Mapping> {
    let region = Region::from_fd(reopen(mapping.region.fd()).unwrap()).unwrap();
    Mapping::take_part(mapping.kind, region).unwrap()
}

/// Lets a victim of its own be killed at each step of an operation; checks after each.
/// Gives the number of steps.
pub(crate) fn at_each_step<V>(
    mut victim: impl FnMut() -> V,
    mut operate: impl FnMut(&V),
    mut check: impl FnMut(u32, bool),
) -> u32 {
    for step in 0..1000 {
        let killed = killed_at(step, victim(), &mut operate);
        check(step, killed);
        if !killed {
            return step;
        }
    }
    panic!("an operation without end");
}

#[test]
fn a_range_is_written_as_a_whole() {
    let array = Array::<u32>::new(100).unwrap();
    let mut round = 0;
    let (mut old, mut new) = (0, 0);
    let steps = at_each_step(
        || Array::<u32>::of(another(&array.mapping)).unwrap(),
        |victim| {
            round += 1;
            victim.write(10, &[round; 80]);
        },
        |step, killed| {
            let seen = array.read(10..90);
            assert!(
                seen.iter().all(|one| *one == seen[0]),
                "step {step}: {seen:?}"
            );
            match seen[0] {
                seen if seen == step + 1 => new += 1,
                _ => old += 1,
            }
            assert!(killed || seen[0] == step + 1);
            assert_eq!((array.get(9), array.get(90)), (0, 0));
            // The lock is free, and the next range is written as ever.
            array.update(5, |element| *element += 1);
            assert_eq!(array.get(5), step + 1);
            array.write(10, &[1000 + step; 80]);
            assert_eq!(array.read(10..90), [1000 + step; 80]);
        },
    );
    assert!(
        steps > 8 && old > 4 && new > 4,
        "{steps} steps: {old}, {new}"
    );
}

/// Killed, and whoever repairs it killed at each step of that.
#[test]
fn who_repairs_may_be_killed_too() {
    let array = Array::<u32>::new(100).unwrap();
    for first in 0..16 {
        let mut round = 0;
        at_each_step(
            || {
                let one = Array::<u32>::of(another(&array.mapping)).unwrap();
                killed_at(first, one, |one| one.write(10, &[7; 80]));
                Array::<u32>::of(another(&array.mapping)).unwrap()
            },
            |two| {
                round += 1;
                two.write(10, &[100 + round; 80]);
            },
            |step, _| {
                let seen = array.read(10..90);
                assert!(
                    seen.iter().all(|one| *one == seen[0]),
                    "steps {first}, {step}"
                );
                array.write(10, &[0; 80]);
            },
        );
    }
}

#[test]
fn permits_add_up() {
    let semaphore = Semaphore::new(5).unwrap();
    let victim = || Semaphore {
        mapping: another(&semaphore.mapping),
    };
    let whole = |_, _| {
        let all: Vec<_> = (0..5).map(|_| semaphore.try_acquire().unwrap()).collect();
        assert!(semaphore.try_acquire().is_none());
        drop(all);
        assert_eq!(semaphore.available_permits(), 5);
    };
    let steps = at_each_step(
        victim,
        |victim| {
            std::mem::forget(victim.acquire().unwrap());
            std::mem::forget(victim.try_acquire().unwrap());
        },
        whole,
    );
    assert!(steps > 10, "{steps}");
    at_each_step(victim, |victim| drop(victim.acquire().unwrap()), whole);
    // What is released by hand is there or not, once.
    let before = std::cell::Cell::new(5);
    at_each_step(victim, Semaphore::release, |_, killed| {
        let now = semaphore.available_permits();
        assert!(now == before.get() || now == before.get() + 1);
        assert!(killed || now == before.get() + 1);
        before.set(now);
    });
}

#[test]
fn a_lock_is_taken_over_wherever_its_holder_was() {
    let lock = Lock::new().unwrap();
    let victim = Lock {
        mapping: another(&lock.mapping),
    };
    assert!(!killed_at(0, victim, |victim| {
        std::mem::forget(victim.lock().unwrap());
    }));
    let died = lock.lock().unwrap_err();
    assert_eq!(died.pid(), Some(std::process::id()));
    // Who takes it over dies as well, before it has recovered.
    drop(died);
    let heir = Lock {
        mapping: another(&lock.mapping),
    };
    assert!(!killed_at(0, heir, |heir| {
        std::mem::forget(heir.lock().unwrap_err());
    }));
    drop(lock.try_lock().unwrap_err().recover().unwrap());
    drop(lock.lock().unwrap());
}

#[test]
fn notifications_are_given_or_not() {
    let condition = Condition::new().unwrap();
    let victim = || Condition {
        mapping: another(&condition.mapping),
    };
    // A waiter that is killed is not counted any more.
    let steps = at_each_step(
        victim,
        |victim| {
            let number = victim.register();
            let late = std::time::Instant::now();
            _ = victim.wait_for_grant(number, Limit::until(late));
        },
        |step, _| {
            condition.mapping.enter_now().bury_dead();
            condition.notify_all();
            let number = condition.register();
            assert!(
                !condition.go(number, false),
                "step {step}: a grant was left"
            );
            condition.notify_one();
            assert!(condition.go(number, false), "step {step}: no grant");
        },
    );
    assert!(steps > 10, "{steps}");
    // A notifier that is killed has notified or not; another can.
    at_each_step(
        victim,
        |victim| victim.notify_one(),
        |step, killed| {
            let number = condition.register();
            assert!(!condition.go(number, false), "step {step}");
            let second = killed_at(step, victim(), |victim| victim.notify_one());
            assert_eq!(second, killed || second);
            condition.notify_one();
            assert!(condition.go(number, false), "step {step}");
            condition.mapping.enter_now().bury_dead();
        },
    );
}

#[test]
fn a_barrier_breaks_or_opens() {
    let steps = at_each_step(
        || {
            let barrier = Barrier::new(2).unwrap();
            let victim = Barrier {
                mapping: another(&barrier.mapping),
            };
            (barrier, victim)
        },
        |(barrier, victim)| {
            // The first is the victim; its own process's second one completes the round.
            let state = victim.arrive().unwrap();
            assert!(state.is_some());
            assert!(barrier.arrive().unwrap().is_none());
        },
        |_, _| (),
    );
    assert!(steps > 3, "{steps}");

    let barrier = Barrier::new(2).unwrap();
    let victim = || Barrier {
        mapping: another(&barrier.mapping),
    };
    at_each_step(
        victim,
        |victim| assert!(victim.arrive().unwrap().is_some()),
        |step, _| {
            let waited = barrier.wait();
            assert!(waited.unwrap_err().is_broken(), "step {step}");
            barrier.reset();
            assert!(!barrier.is_broken());
            assert_eq!(barrier.waiting(), 0);
            // Whole again.
            let state = barrier.arrive().unwrap();
            assert!(barrier.arrive().unwrap().is_none());
            assert!(barrier.ended(state.unwrap()).unwrap().is_ok());
        },
    );
}

/// The count of a party that came, went on and left once was taken for a dead one's.
#[test]
fn a_party_that_came_and_left_breaks_nothing() {
    let barrier = Barrier::new(2).unwrap();
    for _ in 0..2 {
        let party = Barrier {
            mapping: another(&barrier.mapping),
        };
        let state = party.arrive().unwrap();
        assert!(barrier.arrive().unwrap().is_none());
        assert!(party.ended(state.unwrap()).unwrap().is_ok());
        drop(party);
        barrier.mapping.enter_now().bury_dead();
        assert!(!barrier.is_broken());
    }
}

/// What a slot's dead user held is settled before the slot is used again, also if the one who
/// settles it is killed in the middle.
#[test]
fn a_slot_is_cleared_before_it_is_used_again() {
    let semaphore = Semaphore::new(3).unwrap();
    for step in 0..12 {
        let victim = Semaphore {
            mapping: another(&semaphore.mapping),
        };
        killed_at(u32::MAX, victim, |victim| {
            std::mem::forget(victim.acquire().unwrap());
            std::mem::forget(victim.acquire().unwrap());
        });
        // Takes the same slot.
        killed_at(step, (), |()| drop(another(&semaphore.mapping)));
        let next = Semaphore {
            mapping: another(&semaphore.mapping),
        };
        let all: Vec<_> = (0..3).map(|_| next.try_acquire().unwrap()).collect();
        assert!(semaphore.try_acquire().is_none());
        drop(all);
        assert_eq!(semaphore.available_permits(), 3);
    }
}

/// A writer killed in the middle of one element makes readers take the lock; the next writer's
/// repair puts an end to that.
#[test]
fn readers_go_without_the_lock_again_after_a_repair() {
    let array = Array::<u32>::new(4).unwrap();
    let version = array.mapping.region.word(VERSION);
    let mut left_odd = 0;
    at_each_step(
        || Array::<u32>::of(another(&array.mapping)).unwrap(),
        |victim| victim.set(1, 7),
        |step, _| {
            left_odd += version.load(Ordering::Relaxed) % 2;
            assert!([0, 7].contains(&array.get(1)), "step {step}");
            drop(array.mapping.enter_now());
            assert!(version.load(Ordering::Relaxed).is_multiple_of(2));
            array.set(1, 0);
        },
    );
    assert!(left_odd > 0);
}
