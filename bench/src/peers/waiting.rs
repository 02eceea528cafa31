//! What the contenders of `mutex`, `channel` and `timers` have in common.

use std::collections::HashMap;
use std::time::Duration;

use super::{locks, messages, sleeps};

/// What a contender's process keeps from one portion to the next.
#[derive(Default)]
pub(crate) struct Fixed {
    runtimes: HashMap<u64, ropewalk::Runtime>,
}

impl Fixed {
    /// Ropewalk's runtime with so many workers.
    pub(super) fn ropewalk(&mut self, workers: u64) -> &ropewalk::Runtime {
        self.runtimes.entry(workers).or_insert_with(|| {
            let builder = ropewalk::Runtime::builder().workers(workers as usize);
            builder.build().expect("a runtime")
        })
    }

    /// Does a portion of `command`'s work; how long it took.
    ///
    /// # Panics
    ///
    /// If the contender has no part in it.
    pub(crate) fn run(
        &mut self,
        contender: &str,
        command: &str,
        [first, second, n]: [u64; 3],
    ) -> Duration {
        locks::run(self, contender, command, first, second, n)
            .or_else(|| messages::run(self, contender, command, first, second, n))
            .or_else(|| sleeps::run(self, contender, command, n))
            .unwrap_or_else(|| panic!("{contender} takes no part in {command}"))
    }
}

/// A multi-thread runtime of tokio's with so many workers.
pub(super) fn tokio_runtime(workers: u64) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers as usize)
        .enable_all()
        .build()
        .expect("a runtime")
}

/// Divides `n` into `parts` shares that differ by one at most.
pub(super) fn split(n: u64, parts: u64) -> impl Iterator<Item = u64> {
    (0..parts).map(move |part| n / parts + u64::from(part < n % parts))
}
