//! What executors share: maps over pools, and the pool of coroutines.

mod chunks;
mod ends;
mod family;
mod joining;
mod maps;
mod pool;
mod progress;
#[path = "../it/stage.rs"]
#[allow(dead_code)]
mod stage;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Longer than any test.
const HOUR: Duration = Duration::from_secs(3600);
/// Long enough to be over.
const MOMENT: Duration = Duration::from_millis(1);

/// Counts how many are inside at once, and how many were.
#[derive(Clone, Default)]
struct Crowd(Arc<(AtomicUsize, AtomicUsize, AtomicUsize)>);

impl Crowd {
    /// Comes in; who gets the guard is inside until it is dropped.
    fn enter(&self) -> Inside {
        let (now, most, all) = &*self.0;
        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        all.fetch_add(1, Ordering::SeqCst);
        Inside(self.clone())
    }

    fn most(&self) -> usize {
        self.0.1.load(Ordering::SeqCst)
    }

    fn all(&self) -> usize {
        self.0.2.load(Ordering::SeqCst)
    }
}

struct Inside(Crowd);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}
