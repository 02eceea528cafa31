//! What the tests are made of: channels of all capacities, counted messages, partners of both
//! kinds.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ropewalk_rt::channel::{Receiver, Sender, bounded, unbounded};
use ropewalk_rt::{JoinHandle, coroutine, spawn, thread};

use crate::stage::until;

/// A rendezvous, small and large buffers, and no limit.
pub(crate) const CAPACITIES: [Option<usize>; 6] =
    [Some(0), Some(1), Some(2), Some(7), Some(100), None];

/// The same without the rendezvous: a message can lie in each of these.
pub(crate) const BUFFERED: [Option<usize>; 4] = [Some(1), Some(3), Some(64), None];

/// A time that never comes in a test.
pub(crate) const FAR: Duration = Duration::from_secs(3600);

/// A time that comes soon.
pub(crate) const SOON: Duration = Duration::from_millis(2);

pub(crate) fn make<T>(capacity: Option<usize>) -> (Sender<T>, Receiver<T>) {
    capacity.map_or_else(unbounded, bounded)
}

/// Starts a partner: an odd one as a thread, an even one as a coroutine.
pub(crate) fn start<T: Send + 'static>(
    number: usize,
    body: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    if number.is_multiple_of(2) {
        spawn(body)
    } else {
        thread::spawn(body)
    }
}

/// Waits until a partner, of either kind, waits for `what`, as a dump would say it.
pub(crate) fn until_waits<T>(partner: &JoinHandle<T>, what: &str) {
    until(|| waits(partner.id(), what));
}

/// Waits until a partner waits or has ended.
pub(crate) fn until_settled<T>(partner: &JoinHandle<T>, what: &str) {
    until(|| partner.is_finished() || waits(partner.id(), what));
}

/// It says so itself, once it stands in the queue.
fn waits(id: u64, what: &str) -> bool {
    let mut tasks = coroutine::list().into_iter().chain(thread::list());
    tasks.any(|task| task.id() == id && task.waits_for() == what)
}

/// Joins all and gives what they returned.
pub(crate) fn join_all<T>(partners: Vec<JoinHandle<T>>) -> Vec<T> {
    partners
        .into_iter()
        .map(|partner| partner.join().expect("a partner that doesn't panic"))
        .collect()
}

/// Counts messages: how many were made, how many are alive.
#[derive(Clone, Default)]
pub(crate) struct Tally(Arc<Counts>);

#[derive(Default)]
struct Counts {
    made: AtomicUsize,
    dropped: AtomicUsize,
}

impl Tally {
    pub(crate) fn message(&self) -> Message {
        let number = self.0.made.fetch_add(1, Ordering::SeqCst);
        Message {
            number,
            tally: self.clone(),
        }
    }

    pub(crate) fn made(&self) -> usize {
        self.0.made.load(Ordering::SeqCst)
    }

    pub(crate) fn alive(&self) -> usize {
        self.made() - self.0.dropped.load(Ordering::SeqCst)
    }
}

/// A message that is counted when it is made and when it is dropped.
pub(crate) struct Message {
    pub(crate) number: usize,
    tally: Tally,
}

impl Drop for Message {
    fn drop(&mut self) {
        self.tally.0.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

/// A cheap sequence that looks random (xorshift).
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: usize) -> Dice {
        Dice((seed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}
