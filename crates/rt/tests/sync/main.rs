//! The behaviour of `sync`, but for `Mutex` and `Condvar`: from threads, coroutines and async
//! tasks, on each stage of `stage`.

#![allow(
    clippy::await_holding_lock,
    reason = "these guards may be held over a wait: that is what is tested"
)]

mod barrier;
mod destructors;
mod event;
mod once;
mod rate_limiter;
mod reentrant;
mod rwlock;
mod rwlock_deadlock;
mod rwlock_fairness;
mod rwlock_upgrade;
mod semaphore;
mod semaphore_async;
mod semaphore_misuse;
#[path = "../it/stage.rs"]
#[allow(dead_code)]
mod stage;
mod stress;
mod traits;
mod wait_group;
mod who;

use ropewalk_rt::coroutine;

/// Waits until the coroutine `id` waits for `what`, or has ended: its patience may be over before
/// anybody looks.
pub(crate) fn until_waiting_or(ended: impl Fn() -> bool, id: u64, what: &str) {
    stage::until(|| {
        let waits = coroutine::list()
            .iter()
            .any(|task| task.id() == id && task.waits_for() == what);
        waits || ended()
    });
}
