//! Rows C: what makes coroutines more than threads.

use crate::program::c13_cooperative::{self, Manner};
use crate::program::{c12_million, c14_implicit};

/// C12: many at once, each asleep on a stack of its own, for far less than a thread's.
#[test]
fn a_hundred_thousand_sleep_at_once() {
    const COUNT: usize = 100_000;
    let sleepers = c12_million::put_to_sleep(COUNT).unwrap();
    assert_eq!(sleepers.live, COUNT as u64, "{sleepers:?}");
    assert_eq!(sleepers.asleep, COUNT, "{sleepers:?}");
    assert_eq!(sleepers.woken, COUNT, "{sleepers:?}");
    // Less than a page would say that they had no stacks; a default stack is 256 KiB, and
    // 1 MiB in a debug build.
    let bytes = sleepers.bytes_each();
    assert!((4096..32 * 1024).contains(&bytes), "{bytes} bytes each");
}

/// C13: one who computes in one go leaves its neighbour no turn, and the watcher sees it; giving
/// way and another thread both help.
#[test]
fn computing_stalls_the_neighbours_unless_it_gives_way() {
    const END: u32 = 500_000;
    const PRIMES: usize = 41_538;
    let mut end = END;
    loop {
        let greedy = c13_cooperative::compute(Manner::Greedy, end).unwrap();
        assert_eq!(greedy.turns, 0, "{greedy:?}");
        if end == END {
            assert_eq!(greedy.primes, PRIMES, "{greedy:?}");
        }
        if greedy.kept != 0 {
            break;
        }
        // On a busy machine the watcher itself may come too late for so little work.
        end *= 2;
        assert!(end < 100 * END, "nobody saw it: {greedy:?}");
    }
    for manner in [Manner::Yielding, Manner::Unblocked] {
        let outcome = c13_cooperative::compute(manner, END).unwrap();
        assert_eq!(outcome.primes, PRIMES, "{outcome:?}");
        assert_ne!(outcome.turns, 0, "{manner:?}: {outcome:?}");
    }
}

/// C14: no set-up, and the workers are there.
#[test]
fn spawning_starts_the_global_runtime() {
    assert_eq!(c14_implicit::answer(), 42);
    assert!(c14_implicit::workers().unwrap() >= 1);
}

/// C14: a callback may set events and spawn.
#[test]
fn a_callback_sends_and_spawns() {
    let (callback, event, doubled) = c14_implicit::good_callback();
    assert_eq!(c14_implicit::compute(callback), Ok(()));
    assert_eq!(event.recv(), Ok(()));
    assert_eq!(doubled.recv(), Ok(84));
}

/// C14: a callback that waits is told so, and harms nobody.
#[test]
fn a_callback_that_waits_is_reported() {
    let told = c14_implicit::compute(c14_implicit::waiting_callback()).unwrap_err();
    assert!(told.contains("a wait inside `no_wait`"), "{told}");
    assert_eq!(c14_implicit::answer(), 42);
}
