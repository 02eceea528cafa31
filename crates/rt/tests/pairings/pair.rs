//! Who waits and who wakes, and how both are started.

use std::future::Future;
use std::sync::Arc;

use ropewalk_rt::{JoinHandle, coroutine, spawn_async, thread};

use crate::stage::in_coroutines;

/// What a task runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Party {
    Thread,
    Coroutine,
    Async,
}

pub(crate) const PARTIES: [Party; 3] = [Party::Thread, Party::Coroutine, Party::Async];

/// How often each pairing is run: with the waiter first, seen to wait where it can be, and last.
const ROUNDS: usize = 9;

fn start<T, F, A>(party: Party, blocking: F, asynchronous: A) -> JoinHandle<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
    A: Future<Output = T> + Send + 'static,
{
    match party {
        Party::Thread => thread::spawn(blocking),
        Party::Coroutine => coroutine::spawn(blocking),
        Party::Async => spawn_async(asynchronous),
    }
}

/// One primitive: something shared, and both sides in both forms.
pub(crate) struct Case<S, W, WA, K, KA> {
    pub(crate) make: fn() -> S,
    /// Waits for the waker, and says whether it got what it waited for.
    pub(crate) wait: W,
    pub(crate) wait_async: WA,
    pub(crate) wake: K,
    pub(crate) wake_async: KA,
}

impl<S, W, WA, WF, K, KA, KF> Case<S, W, WA, K, KA>
where
    S: Send + Sync + 'static,
    W: Fn(&S) -> bool + Send + Copy + Sync + 'static,
    WA: Fn(Arc<S>) -> WF + Copy + Sync,
    WF: Future<Output = bool> + Send + 'static,
    K: Fn(&S) + Send + Copy + Sync + 'static,
    KA: Fn(Arc<S>) -> KF + Copy + Sync,
    KF: Future<Output = ()> + Send + 'static,
{
    /// Runs it in every pairing, on every kind of runtime.
    pub(crate) fn run(self, waiters: &[Party], wakers: &[Party]) {
        in_coroutines(|| {
            for &waiter in waiters {
                for &waker in wakers {
                    for round in 0..ROUNDS {
                        self.pair(waiter, waker, round);
                    }
                }
            }
        });
    }

    fn pair(&self, waiter: Party, waker: Party, round: usize) {
        let shared = Arc::new((self.make)());
        let waiting = || {
            let (mine, wait) = (Arc::clone(&shared), self.wait);
            let later = (self.wait_async)(Arc::clone(&shared));
            start(waiter, move || wait(&mine), later)
        };
        let waking = || {
            let (mine, wake) = (Arc::clone(&shared), self.wake);
            let later = (self.wake_async)(Arc::clone(&shared));
            start(waker, move || wake(&mine), later)
        };
        let (waits, wakes) = match round % 3 {
            0 => {
                let waits = waiting();
                (waits, waking())
            }
            1 => {
                let waits = waiting();
                // Likely to wait by now; with a coroutine on one worker, certainly.
                for _ in 0..20 {
                    coroutine::yield_now();
                }
                (waits, waking())
            }
            _ => {
                let wakes = waking();
                (waiting(), wakes)
            }
        };
        let got = waits.join().unwrap();
        assert!(got, "{waiter:?} waits for {waker:?}, round {round}");
        wakes.join().unwrap();
    }
}
