//! Futexes: for each address a lock, under which the word is compared, and a condition.

use std::collections::HashMap;
use std::ptr;
use std::sync::{Arc, Mutex, PoisonError};

use super::atomic::{AtomicU32, Ordering};

struct Bucket {
    lock: loom::sync::Mutex<()>,
    woken: loom::sync::Condvar,
}

loom::lazy_static! {
    // Never held across an operation of loom's: an ordinary lock.
    static ref BUCKETS: Mutex<HashMap<usize, Arc<Bucket>>> = Mutex::default();
}

fn bucket(word: *const AtomicU32) -> Arc<Bucket> {
    let mut buckets = BUCKETS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(bucket) = buckets.get(&(word as usize)) {
        return Arc::clone(bucket);
    }
    let bucket = Arc::new(Bucket {
        lock: loom::sync::Mutex::new(()),
        woken: loom::sync::Condvar::new(),
    });
    buckets.insert(word as usize, Arc::clone(&bucket));
    bucket
}

/// Blocks while `word` holds `expected`. With a time-out it only gives way, and returns as if
/// interrupted: the caller then looks at the clock, and loom at what comes of it.
pub(crate) fn futex_wait(word: &AtomicU32, expected: u32, timeout_ns: Option<u64>) {
    let bucket = bucket(ptr::from_ref(word));
    let held = bucket.lock.lock().expect("no model goes on after a panic");
    if word.load(Ordering::Relaxed) != expected {
        return;
    }
    if timeout_ns.is_some() {
        drop(held);
        loom::thread::yield_now();
        return;
    }
    drop(bucket.woken.wait(held));
}

pub(crate) fn futex_wake(word: *const AtomicU32) {
    let bucket = bucket(word);
    let _held = bucket.lock.lock().expect("no model goes on after a panic");
    bucket.woken.notify_all();
}
