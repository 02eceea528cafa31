//! The clock: the one place where the kernel asks what time it is.
//!
//! Times inside the kernel are `u64` nanoseconds since a base, which is the first use of the
//! clock in this process; they last 584 years. `Instant` is for the API above, and both convert
//! exactly. The clock is monotonic (`CLOCK_MONOTONIC` through [`Instant`], which costs no system
//! call), so it stands still while the machine is suspended.
//!
//! This is also a seam. [`replace`] puts another source in, so that tests, and later a scheduler
//! that replays a seed, say how time passes. The price is one relaxed load and a branch that is
//! never taken. Relaxed is enough: what is published is a function, which was there before.
//! The base doesn't move with the source: `instant_to_ns` and `ns_to_instant` are the same map
//! under every source. So code that is to work under a replaced clock takes the present from
//! [`now`] or [`now_ns`] and not from `Instant::now()`.

use std::mem;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::time::{Duration, Instant};

/// A replacement for the clock: gives the nanoseconds since the base.
///
/// It is called by every worker and should not go back on any of them; it must not wait or panic.
pub type Source = fn() -> u64;

/// Null for the real clock, else a [`Source`].
static SOURCE: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// Nanosecond 0.
static BASE: OnceLock<Instant> = OnceLock::new();

/// Gives the nanoseconds since the base, on the clock in use.
#[inline]
pub fn now_ns() -> u64 {
    match source() {
        None => real_ns(),
        Some(source) => source(),
    }
}

/// Gives a time that moves on every few milliseconds, for who asks often and wants to know only
/// whether time has passed: it costs a fraction of [`now_ns`]. Its zero is not the base.
#[inline]
pub fn tick_ns() -> u64 {
    match source() {
        None => {
            let tick = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
            tick.tv_sec as u64 * 1_000_000_000 + tick.tv_nsec as u64
        }
        Some(source) => source(),
    }
}

/// Gives the present as an `Instant`, on the clock in use.
pub fn now() -> Instant {
    match source() {
        None => Instant::now(),
        Some(source) => ns_to_instant(source()),
    }
}

/// Gives the deadline that lies `timeout` ahead. One that is out of range is `u64::MAX`, which
/// timers take for never.
#[inline]
pub fn deadline_after(timeout: Duration) -> u64 {
    now_ns().saturating_add(saturating_ns(timeout))
}

/// Converts an instant. One before the base becomes 0, one out of range `u64::MAX`.
pub fn instant_to_ns(instant: Instant) -> u64 {
    saturating_ns(instant.saturating_duration_since(base()))
}

/// Converts nanoseconds since the base back to an instant, exactly.
pub fn ns_to_instant(ns: u64) -> Instant {
    // An `Instant` has 63 bits for the seconds alone, so this can't overflow.
    base() + Duration::from_nanos(ns)
}

/// Puts `source` in the place of the clock for the whole process, or with None the real clock
/// back, and returns what was there before.
///
/// For tests and simulations only. It changes what time it is, not how long a driver waits in
/// the operating system. A source may answer each thread differently, with [`real_ns`] for those
/// that don't concern it.
#[doc(hidden)]
pub fn replace(source: Option<Source>) -> Option<Source> {
    let new = source.map_or(ptr::null_mut(), |source| source as *mut ());
    to_source(SOURCE.swap(new, Ordering::Relaxed))
}

/// Gives the nanoseconds since the base on the real clock, whatever is in its place.
#[doc(hidden)]
pub fn real_ns() -> u64 {
    saturating_ns(base().elapsed())
}

#[inline]
fn source() -> Option<Source> {
    to_source(SOURCE.load(Ordering::Relaxed))
}

#[inline]
fn to_source(pointer: *mut ()) -> Option<Source> {
    // SAFETY: `SOURCE` holds null, which is how an `Option` of a function pointer says None, or
    // what `replace` made from a `Source`; nothing else stores to it.
    unsafe { mem::transmute::<*mut (), Option<Source>>(pointer) }
}

#[inline]
fn base() -> Instant {
    *BASE.get_or_init(Instant::now)
}

/// The nanoseconds in a duration, `u64::MAX` if there are more.
#[inline]
fn saturating_ns(duration: Duration) -> u64 {
    duration
        .as_secs()
        .checked_mul(1_000_000_000)
        .and_then(|ns| ns.checked_add(duration.subsec_nanos().into()))
        .unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::{Mutex, MutexGuard};

    use super::*;

    thread_local! {
        static VIRTUAL_NS: Cell<Option<u64>> = const { Cell::new(None) };
    }

    /// Virtual time on the thread that asked for it, the real one on all others.
    fn virtual_here() -> u64 {
        VIRTUAL_NS.get().unwrap_or_else(real_ns)
    }

    /// One at a time: the source belongs to the whole process.
    fn alone() -> MutexGuard<'static, ()> {
        static ALONE: Mutex<()> = Mutex::new(());
        ALONE
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    struct Virtual {
        _alone: MutexGuard<'static, ()>,
    }

    impl Virtual {
        fn start(ns: u64) -> Virtual {
            let alone = alone();
            VIRTUAL_NS.set(Some(ns));
            assert!(replace(Some(virtual_here)).is_none());
            Virtual { _alone: alone }
        }
    }

    impl Drop for Virtual {
        fn drop(&mut self) {
            VIRTUAL_NS.set(None);
            replace(None);
        }
    }

    #[test]
    fn the_tick_moves_on_and_never_back() {
        // Another source's zero is another time, so none may come in meanwhile.
        let _alone = alone();
        let begun = tick_ns();
        let mut last = begun;
        while last == begun {
            let tick = tick_ns();
            assert!(tick >= last);
            last = tick;
        }
    }

    #[test]
    fn real_time_moves_on_and_never_back() {
        let start = now_ns();
        let mut last = start;
        while last < start + 10_000 {
            let ns = now_ns();
            assert!(ns >= last);
            last = ns;
        }
    }

    #[test]
    fn nanoseconds_and_instants_are_one_time() {
        let before_ns = now_ns();
        let instant = now();
        let after_ns = now_ns();
        assert!((before_ns..=after_ns).contains(&instant_to_ns(instant)));
        assert_eq!(ns_to_instant(instant_to_ns(instant)), instant);
        for ns in [0, 1, 999_999_999, 1_000_000_000, 1 << 50, u64::MAX] {
            assert_eq!(instant_to_ns(ns_to_instant(ns)), ns);
        }
    }

    #[test]
    fn instants_out_of_range_saturate() {
        let start = ns_to_instant(0);
        if let Some(early) = start.checked_sub(Duration::from_nanos(1)) {
            assert_eq!(instant_to_ns(early), 0);
        }
        let late = ns_to_instant(u64::MAX) + Duration::from_nanos(1);
        assert_eq!(instant_to_ns(late), u64::MAX);
        assert_eq!(
            instant_to_ns(start + Duration::from_secs(1 << 40)),
            u64::MAX
        );
    }

    #[test]
    fn deadlines_lie_ahead_and_saturate() {
        let _virtual = Virtual::start(5_000);
        assert_eq!(deadline_after(Duration::ZERO), 5_000);
        assert_eq!(deadline_after(Duration::new(2, 7)), 2_000_005_007);
        assert_eq!(
            deadline_after(Duration::from_nanos(u64::MAX - 5_000)),
            u64::MAX
        );
        assert_eq!(deadline_after(Duration::from_nanos(u64::MAX)), u64::MAX);
        assert_eq!(deadline_after(Duration::MAX), u64::MAX);
    }

    #[test]
    fn a_replaced_clock_shows_what_its_source_says() {
        let virtual_clock = Virtual::start(1_000);
        assert_eq!(now_ns(), 1_000);
        assert_eq!(now_ns(), 1_000, "it stands still until it is moved");
        VIRTUAL_NS.set(Some(3_600_000_000_000));
        assert_eq!(now_ns(), 3_600_000_000_000);
        assert_eq!(instant_to_ns(now()), now_ns());
        assert_eq!(now() - ns_to_instant(0), Duration::from_secs(3_600));

        // Other threads go by the real one, as the source has it.
        let elsewhere_ns = std::thread::spawn(now_ns)
            .join()
            .expect("the thread returns");
        assert!(elsewhere_ns <= real_ns());

        drop(virtual_clock);
        let (before_ns, ns, after_ns) = (real_ns(), now_ns(), real_ns());
        assert!((before_ns..=after_ns).contains(&ns));
    }

    #[test]
    fn replacing_returns_what_was_there() {
        let _virtual = Virtual::start(9);
        let previous = replace(Some(real_ns)).expect("a source was in place");
        assert_eq!(previous(), 9);
        let previous = replace(Some(previous)).expect("a source was in place");
        assert!(previous() <= real_ns());
        assert_eq!(now_ns(), 9);
    }
}
