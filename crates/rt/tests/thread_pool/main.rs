//! Pools of threads: what they promise, on both drivers, from threads and coroutines.

mod ending;
mod forks;
mod growth;
mod priorities;
mod queue;
mod tasks;
mod threads;

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use ropewalk_rt::DriverKind;
use ropewalk_rt::executor::ThreadPool;
use ropewalk_rt::executor::thread_pool::ThreadPoolBuilder;

/// Has `test` run with each driver that works here.
fn with_drivers(test: impl Fn(ThreadPoolBuilder)) {
    for driver in [DriverKind::Epoll, DriverKind::IoUring] {
        if driver.check().is_ok() {
            test(ThreadPool::builder().driver(driver));
        }
    }
}

/// Waits until `condition` holds; gives up, loudly, after a minute.
#[track_caller]
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !condition() {
        assert!(Instant::now() < end, "still not so: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A gate that blocks threads, not coroutines: as foreign code does.
#[derive(Clone, Default)]
struct Gate(Arc<(Mutex<(bool, usize)>, Condvar)>);

impl Gate {
    /// Blocks the calling thread until the gate is opened.
    fn pass(&self) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        state.1 += 1;
        changed.notify_all();
        while !state.0 {
            state = changed.wait(state).unwrap();
        }
        state.1 -= 1;
    }

    fn open(&self) {
        self.0.0.lock().unwrap().0 = true;
        self.0.1.notify_all();
    }

    /// Waits until so many threads stand at it.
    fn await_waiting(&self, count: usize) {
        let (state, changed) = &*self.0;
        let state = state.lock().unwrap();
        let patience = Duration::from_secs(60);
        let (state, waited) = changed
            .wait_timeout_while(state, patience, |state| state.1 < count)
            .unwrap();
        assert!(!waited.timed_out(), "{} of {count} threads came", state.1);
    }
}

/// Keeps a pool's only thread busy until the gate is opened.
fn occupy<S>(pool: &ThreadPool<S>) -> Gate {
    let gate = Gate::default();
    let inside = gate.clone();
    pool.spawn(move || inside.pass()).unwrap();
    gate.await_waiting(1);
    gate
}
