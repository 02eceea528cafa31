//! Waiting in the kernel for a word of shared memory to change.
//!
//! These block the calling *thread*, and that is all they do: a coroutine goes through
//! [`unblock`](ropewalk_rt::unblock) or through a thread that waits for many. They work between
//! processes, as the kernel finds the sleepers by the page below the mapping, not by its
//! address.
//!
//! A waiter must look at its condition again whatever woke it: wakes may be spurious, and a
//! process that would have sent one may be killed before.

use std::num::NonZeroU32;
use std::sync::atomic::AtomicU32;
use std::time::Instant;

use rustix::io::Errno;
use rustix::thread::futex::{self, Flags};
use rustix::time::{ClockId, Timespec};

/// Why [`wait`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// Woken, or interrupted by a signal, or for no reason: look again.
    Woken,
    /// The word had another value already.
    Changed,
    /// The deadline has passed.
    TimedOut,
}

/// Sleeps as long as `word` is `expected`, until it is [woken](wake) or `deadline` passes
/// (measured on the monotonic clock; `None` is for ever).
///
/// The comparison and going to sleep are one step as far as [`wake`] is concerned: who changes
/// the word first and wakes then is never missed.
pub fn wait(word: &AtomicU32, expected: u32, deadline: Option<Instant>) -> Waited {
    let until = match deadline.map(clock_time) {
        None => None,
        Some(Some(until)) => Some(until),
        // Beyond what the clock can express.
        Some(None) => None,
    };
    let anybody = NonZeroU32::MAX;
    match futex::wait_bitset(word, Flags::empty(), expected, until.as_ref(), anybody) {
        Ok(()) | Err(Errno::INTR) => Waited::Woken,
        Err(Errno::AGAIN) => Waited::Changed,
        Err(Errno::TIMEDOUT) => Waited::TimedOut,
        // The word is mapped and aligned, and the time valid.
        Err(error) => unreachable!("futex wait: {error}"),
    }
}

/// Wakes up to `count` who [`wait`] for this word, in any process; says how many it were.
pub fn wake(word: &AtomicU32, count: u32) -> usize {
    // The kernel counts with a sign.
    let count = count.min(i32::MAX as u32);
    futex::wake(word, Flags::empty(), count)
        .unwrap_or_else(|error| unreachable!("futex wake: {error}"))
}

/// Wakes all who [`wait`] for this word, in any process; says how many it were.
pub fn wake_all(word: &AtomicU32) -> usize {
    wake(word, u32::MAX)
}

/// The deadline as the kernel's monotonic clock has it: never before the `Instant`, as both
/// clocks go on between the two readings.
fn clock_time(deadline: Instant) -> Option<Timespec> {
    let left = deadline.saturating_duration_since(Instant::now());
    let now = rustix::time::clock_gettime(ClockId::Monotonic);
    let nanos = i64::from(left.subsec_nanos()) + now.tv_nsec;
    let seconds = i64::try_from(left.as_secs()).ok()?;
    let seconds = now
        .tv_sec
        .checked_add(seconds)?
        .checked_add(nanos / 1_000_000_000)?;
    Some(Timespec {
        tv_sec: seconds,
        tv_nsec: nanos % 1_000_000_000,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use super::*;
    use crate::memory::Region;

    #[test]
    fn another_mapping_of_the_word_is_woken() {
        let here = Region::new(64).unwrap();
        let there = here.try_clone().unwrap();
        std::thread::scope(|s| {
            s.spawn(|| {
                while there.word(0).load(Ordering::Acquire) == 0 {
                    wait(there.word(0), 0, None);
                }
                there.word(4).store(1, Ordering::Release);
                wake_all(there.word(4));
            });
            here.word(0).store(1, Ordering::Release);
            wake_all(here.word(0));
            while here.word(4).load(Ordering::Acquire) == 0 {
                wait(here.word(4), 0, None);
            }
        });
    }

    #[test]
    fn a_deadline_ends_the_wait_and_not_before() {
        let region = Region::new(64).unwrap();
        let deadline = Instant::now() + Duration::from_millis(20);
        while wait(region.word(0), 0, Some(deadline)) == Waited::Woken {}
        assert!(Instant::now() >= deadline);
        let past = Instant::now();
        assert_eq!(wait(region.word(0), 0, Some(past)), Waited::TimedOut);
        assert_eq!(wait(region.word(0), 1, Some(past)), Waited::Changed);
    }

    #[test]
    fn a_deadline_in_the_far_future_is_accepted() {
        let region = Region::new(64).unwrap();
        let far = Instant::now() + Duration::from_secs(u32::MAX.into());
        assert_eq!(wait(region.word(0), 1, Some(far)), Waited::Changed);
    }
}
