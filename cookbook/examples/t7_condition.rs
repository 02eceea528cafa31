//! T7, known as `Condition`: `wait`, `notify` and `notify_all` between producers and consumers.
//!
//! A condition takes the lock's guard, so that waiting without the lock does not compile (see
//! the cookbook's documentation). One lock may have several conditions: here one for those who
//! wait for goods and one for those who wait for room.

use std::collections::VecDeque;

use ropewalk::coroutine;
use ropewalk::sync::{Condvar, Mutex};
use ropewalk::time::{Duration, Instant};

/// A store with room for so many goods.
#[derive(Debug)]
pub struct Store {
    room: usize,
    shelf: Mutex<Shelf>,
    goods_came: Condvar,
    room_came: Condvar,
}

#[derive(Debug, Default)]
struct Shelf {
    goods: VecDeque<u32>,
    /// The most that there ever were.
    most: usize,
    closed: bool,
}

impl Store {
    /// An empty store.
    pub fn new(room: usize) -> Store {
        Store {
            room,
            shelf: Mutex::default(),
            goods_came: Condvar::new(),
            room_came: Condvar::new(),
        }
    }

    /// Brings one, when there is room.
    pub fn bring(&self, one: u32) {
        let mut shelf = self.shelf.lock();
        self.room_came
            .wait_while(&mut shelf, |shelf| shelf.goods.len() == self.room);
        shelf.goods.push_back(one);
        shelf.most = shelf.most.max(shelf.goods.len());
        self.goods_came.notify_one();
    }

    /// Takes one, when there is one; none if no more will come.
    pub fn take(&self) -> Option<u32> {
        let mut shelf = self.shelf.lock();
        self.goods_came
            .wait_while(&mut shelf, |shelf| shelf.goods.is_empty() && !shelf.closed);
        let one = shelf.goods.pop_front();
        self.room_came.notify_one();
        one
    }

    /// Takes one, if there is one in time.
    pub fn take_within(&self, patience: Duration) -> Option<u32> {
        let mut shelf = self.shelf.lock();
        let empty = |shelf: &mut Shelf| shelf.goods.is_empty() && !shelf.closed;
        let waited = self.goods_came.wait_while_for(&mut shelf, empty, patience);
        if waited.timed_out() {
            return None;
        }
        let one = shelf.goods.pop_front();
        self.room_came.notify_one();
        one
    }

    /// No more will come.
    pub fn close(&self) {
        self.shelf.lock().closed = true;
        self.goods_came.notify_all();
    }
}

/// Sends goods from producers to consumers, each with its own share of `0..goods`. Gives what
/// arrived, sorted, and the most that were ever in the store.
pub fn trade(room: usize, producers: u32, consumers: usize, goods: u32) -> (Vec<u32>, usize) {
    let store = Store::new(room);
    let mut arrived = coroutine::scope(|s| {
        let consumers: Vec<_> = (0..consumers)
            .map(|_| s.spawn(|| std::iter::from_fn(|| store.take()).collect::<Vec<_>>()))
            .collect();
        coroutine::scope(|s| {
            for producer in 0..producers {
                let share = (producer..goods).step_by(producers as usize);
                let store = &store;
                s.spawn(move || share.for_each(|one| store.bring(one)));
            }
        });
        store.close();
        let all = consumers.into_iter().map(|c| c.join().expect("no panic"));
        all.flatten().collect::<Vec<_>>()
    });
    arrived.sort_unstable();
    let most = store.shelf.lock().most;
    (arrived, most)
}

/// What `notify_one` and `notify_all` did to so many waiters.
#[derive(Debug, PartialEq, Eq)]
pub struct Notified {
    /// Who had gone on after `notify_one`.
    pub by_one: usize,
    /// How many `notify_all` still found waiting.
    pub by_all: usize,
    /// Whether one more `notify_one` found anybody.
    pub nobody: bool,
}

/// Has `waiters` wait, notifies one, and then all.
pub fn notify(waiters: usize) -> Notified {
    #[derive(Default)]
    struct State {
        waiting: usize,
        gone_on: usize,
    }
    let (state, wake, changed) = (Mutex::new(State::default()), Condvar::new(), Condvar::new());
    coroutine::scope(|s| {
        for _ in 0..waiters {
            s.spawn(|| {
                let mut state = state.lock();
                state.waiting += 1;
                changed.notify_one();
                wake.wait(&mut state);
                state.gone_on += 1;
                changed.notify_one();
            });
        }
        let mut now = state.lock();
        // They count themselves under the lock, and only waiting lets go of it.
        changed.wait_while(&mut now, |state| state.waiting < waiters);
        assert!(wake.notify_one());
        changed.wait_while(&mut now, |state| state.gone_on == 0);
        let by_one = now.gone_on;
        let by_all = wake.notify_all();
        changed.wait_while(&mut now, |state| state.gone_on < waiters);
        Notified {
            by_one,
            by_all,
            nobody: !wake.notify_one(),
        }
    })
}

/// Waits in vain; says whether the time was over, and how long that took.
pub fn wait_in_vain(patience: Duration) -> (bool, Duration) {
    let (lock, never) = (Mutex::new(()), Condvar::new());
    let start = Instant::now();
    let timed_out = never.wait_for(&mut lock.lock(), patience).timed_out();
    (timed_out, start.elapsed())
}

#[ropewalk::main]
fn main() {
    let (arrived, most) = trade(3, 2, 4, 100);
    println!(
        "{} arrived, and never more than 3 in store: {}",
        arrived.len(),
        most <= 3
    );
    println!("{:?}", notify(5));

    let patience = Duration::from_millis(20);
    let (timed_out, took) = wait_in_vain(patience);
    println!(
        "timed out: {timed_out}, not too early: {}",
        took >= patience
    );
    let store = Store::new(1);
    println!("nothing in time: {:?}", store.take_within(patience));
    store.bring(7);
    println!("in time: {:?}", store.take_within(patience));
}
