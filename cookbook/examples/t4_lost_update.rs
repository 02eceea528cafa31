//! T4, known as the lost update: a hundred tasks read a number, sleep, and write it back less
//! one.
//!
//! Plain sharing does not compile (see the cookbook's documentation). Atomic loads and stores
//! do, and lose counts exactly as in Python: it is the pair that must be indivisible. A
//! `Mutex` that is held over the sleep makes it so, and only those who want the lock wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ropewalk::sync::Mutex;
use ropewalk::time::{Duration, sleep};
use ropewalk::{JoinHandle, coroutine, thread};

/// How many tasks there are, and what the counter begins with.
pub const TASKS: u32 = 100;

/// How long each sleeps between reading and writing.
const NAP: Duration = Duration::from_millis(1);

/// Starts a task of some kind.
pub type Start = fn(Box<dyn FnOnce() + Send>) -> JoinHandle<()>;

/// Starts a thread.
pub fn start_thread(work: Box<dyn FnOnce() + Send>) -> JoinHandle<()> {
    thread::spawn(work)
}

/// Starts a coroutine.
pub fn start_coroutine(work: Box<dyn FnOnce() + Send>) -> JoinHandle<()> {
    coroutine::spawn(work)
}

/// Lets all tasks do `work` on one counter at the same time; gives the counter.
fn all_at_once<C>(start: Start, counter: C, work: fn(&C)) -> Arc<C>
where
    C: Send + Sync + 'static,
{
    let counter = Arc::new(counter);
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let counter = Arc::clone(&counter);
            start(Box::new(move || work(&counter)))
        })
        .collect();
    for task in tasks {
        task.join().expect("no panic");
    }
    counter
}

/// An atomic that is loaded and then stored: others load the same number in between.
pub fn load_and_store(start: Start) -> u32 {
    let counter = all_at_once(start, AtomicU32::new(TASKS), |counter| {
        let number = counter.load(Ordering::SeqCst);
        sleep(NAP);
        counter.store(number - 1, Ordering::SeqCst);
    });
    counter.load(Ordering::SeqCst)
}

/// A lock, held from reading to writing.
pub fn locked(start: Start) -> u32 {
    let counter = all_at_once(start, Mutex::new(TASKS), |counter| {
        let mut guard = counter.lock();
        let number = *guard;
        sleep(NAP);
        *guard = number - 1;
    });
    *counter.lock()
}

/// An atomic, read and written in a single step: then there is no time to sleep in between.
pub fn one_step(start: Start) -> u32 {
    let counter = all_at_once(start, AtomicU32::new(TASKS), |counter| {
        sleep(NAP);
        counter.fetch_sub(1, Ordering::SeqCst);
    });
    counter.load(Ordering::SeqCst)
}

fn main() {
    let kinds: [(&str, Start); 2] = [("threads", start_thread), ("coroutines", start_coroutine)];
    for (kind, start) in kinds {
        let left = load_and_store(start);
        println!("{kind}, load and store: {left} of {TASKS} left");
        println!("{kind}, load and store lose counts: {}", left > 0);
        println!("{kind}, locked: {} left", locked(start));
        println!("{kind}, in one step: {} left", one_step(start));
    }
}
