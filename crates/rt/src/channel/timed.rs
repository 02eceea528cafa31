//! Channels that time fills: `after`, `tick`; and `never`, which nothing does.
//!
//! Nobody sends. A message comes into being when it is received, and a receiver waits by its own
//! deadline in a queue that nobody wakes.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ropewalk_kernel::clock;
use ropewalk_kernel::wait::{Joined, Limit, Outcome, Place as Queued, Reason, WaitQueue, spend};

use super::buffered::has_passed;
use super::error::{RecvTimeoutError, TryRecvError};
use super::landing::NOTICE;

/// When it fires: the clock's `u64::MAX` is never.
pub(super) struct Timed {
    /// The message that comes next, on the clock.
    next: AtomicU64,
    kind: Kind,
    /// Nobody wakes it: a place to stand in.
    queue: WaitQueue,
}

enum Kind {
    /// Fires once, with this instant.
    Once { when: Instant, taken: AtomicBool },
    /// Fires each so many nanoseconds after it was received last.
    Periodic { period: u64 },
}

impl Timed {
    pub(super) fn at(when: Instant) -> Timed {
        Timed::new(
            clock::instant_to_ns(when),
            Kind::Once {
                when,
                taken: AtomicBool::new(false),
            },
        )
    }

    pub(super) fn every(period: Duration) -> Timed {
        let next = clock::deadline_after(period);
        let period = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX);
        Timed::new(next, Kind::Periodic { period })
    }

    fn new(next: u64, kind: Kind) -> Timed {
        Timed {
            next: AtomicU64::new(next),
            kind,
            queue: WaitQueue::new(),
        }
    }

    /// The point in time to wait for, if there is one.
    pub(super) fn deadline(&self) -> Option<u64> {
        match &self.kind {
            Kind::Once { taken, .. } if taken.load(Ordering::Relaxed) => None,
            _ => Some(self.next.load(Ordering::Relaxed)).filter(|&next| next != u64::MAX),
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        has_passed(self.deadline())
    }

    pub(super) fn try_recv(&self) -> Result<Instant, TryRecvError> {
        loop {
            let Some(next) = self.deadline() else {
                return Err(TryRecvError::Empty);
            };
            let now = clock::now_ns();
            if now < next {
                return Err(TryRecvError::Empty);
            }
            match &self.kind {
                Kind::Once { when, taken } => {
                    if !taken.swap(true, Ordering::Relaxed) {
                        return Ok(*when);
                    }
                }
                Kind::Periodic { period } => {
                    let later = now.saturating_add(*period);
                    let moved = self.next.compare_exchange(
                        next,
                        later,
                        Ordering::Relaxed,
                        Ordering::Relaxed,
                    );
                    if moved.is_ok() {
                        return Ok(clock::ns_to_instant(next));
                    }
                }
            }
        }
    }

    pub(super) fn recv(&self, deadline: Option<u64>) -> Result<Instant, RecvTimeoutError> {
        loop {
            if let Ok(message) = self.try_recv() {
                spend();
                return Ok(message);
            }
            wait(&self.queue, deadline, self.deadline())?;
        }
    }

    pub(super) fn join<'q>(&'q self, place: Queued<'_, 'q>) -> Option<Joined> {
        // Whether it is due, the wait's deadline says.
        Some(place.join(self.queue.lock(), NOTICE))
    }
}

/// Waits until `next`, or fails at `deadline`.
fn wait(
    queue: &WaitQueue,
    deadline: Option<u64>,
    next: Option<u64>,
) -> Result<(), RecvTimeoutError> {
    if has_passed(deadline) {
        spend();
        return Err(RecvTimeoutError::Timeout);
    }
    let until = deadline.into_iter().chain(next).min();
    let object = std::ptr::from_ref(queue) as usize;
    let limit = Limit::cancellable(until);
    match queue.lock().wait(NOTICE, Reason::Receive, object, limit) {
        Outcome::Cancelled => Err(RecvTimeoutError::Disconnected),
        Outcome::Expired | Outcome::Woken => Ok(()),
    }
}

/// Waits for what never comes, until `deadline`.
pub(super) fn recv_never(deadline: Option<u64>) -> RecvTimeoutError {
    let queue = WaitQueue::new();
    loop {
        if let Err(error) = wait(&queue, deadline, None) {
            return error;
        }
    }
}

/// Joins the queue of those who wait for what never comes.
pub(super) fn join_never(place: Queued<'_, '_>) -> Joined {
    static NEVER: WaitQueue = WaitQueue::new();
    place.join(NEVER.lock(), NOTICE)
}
