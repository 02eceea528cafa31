//! What the contenders of `mutex`, `channel`, `timers`, `udp`, `files` and `executor` have in
//! common.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{datagrams, forks, locks, messages, reads, sleeps, thread_pools};
use crate::measure::Usage;

/// What a contender's process keeps from one portion to the next.
#[derive(Default)]
pub(crate) struct Fixed {
    ropewalk: HashMap<u64, ropewalk::Runtime>,
    tokio: HashMap<u64, tokio::runtime::Runtime>,
    rayon: HashMap<u64, rayon::ThreadPool>,
    ropewalk_pool: HashMap<u64, ropewalk::executor::ThreadPool>,
    threadpool: HashMap<u64, threadpool::ThreadPool>,
    tokio_blocking: HashMap<u64, tokio::runtime::Runtime>,
}

/// What a portion of work came to.
pub(super) struct Done {
    /// From its start to its end.
    pub(super) elapsed: Duration,
    /// The fewest and the most operations that one of those who compete did.
    pub(super) shares: Option<Shares>,
}

/// How unevenly those who compete were served, in thousandths of an even share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shares {
    least: u64,
    most: u64,
}

impl Shares {
    /// Of the operations that each has done.
    pub(super) fn of(done: &[u64]) -> Option<Shares> {
        let total: u64 = done.iter().sum();
        let part = |own: u64| (own * done.len() as u64 * 1000).checked_div(total);
        Some(Shares {
            least: part(*done.iter().min()?)?,
            most: part(*done.iter().max()?)?,
        })
    }
}

impl From<Duration> for Done {
    fn from(elapsed: Duration) -> Done {
        Done {
            elapsed,
            shares: None,
        }
    }
}

impl Fixed {
    /// Ropewalk's runtime with so many workers.
    pub(super) fn ropewalk(&mut self, workers: u64) -> &ropewalk::Runtime {
        self.ropewalk.entry(workers).or_insert_with(|| {
            let builder = ropewalk::Runtime::builder().workers(workers as usize);
            builder.build().expect("a runtime")
        })
    }

    /// A pool of rayon's with so many threads.
    pub(super) fn rayon(&mut self, threads: u64) -> &rayon::ThreadPool {
        self.rayon.entry(threads).or_insert_with(|| {
            let builder = rayon::ThreadPoolBuilder::new().num_threads(threads as usize);
            builder.build().expect("a pool")
        })
    }

    /// Ropewalk's pool of so many threads.
    pub(super) fn ropewalk_pool(&mut self, threads: u64) -> &ropewalk::executor::ThreadPool {
        self.ropewalk_pool.entry(threads).or_insert_with(|| {
            ropewalk::executor::ThreadPool::new(threads as usize).expect("a pool")
        })
    }

    /// A pool of the crate `threadpool` with so many threads.
    pub(super) fn threadpool(&mut self, threads: u64) -> &threadpool::ThreadPool {
        self.threadpool
            .entry(threads)
            .or_insert_with(|| threadpool::ThreadPool::new(threads as usize))
    }

    /// A runtime of tokio's with so many threads for what blocks.
    pub(super) fn tokio_blocking(&mut self, threads: u64) -> &tokio::runtime::Runtime {
        self.tokio_blocking.entry(threads).or_insert_with(|| {
            tokio::runtime::Builder::new_current_thread()
                .max_blocking_threads(threads as usize)
                .build()
                .expect("a runtime")
        })
    }

    /// tokio's multi-thread runtime with so many workers.
    pub(super) fn tokio(&mut self, workers: u64) -> &tokio::runtime::Runtime {
        self.tokio.entry(workers).or_insert_with(|| {
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(workers as usize)
                .enable_all()
                .build()
                .expect("a runtime")
        })
    }

    /// Does a portion of `command`'s work and answers with four numbers: the nanoseconds it
    /// took, the microseconds of processor time of the whole process, and, in thousandths of an
    /// even share, what the least and the best served of several did.
    ///
    /// # Panics
    ///
    /// If the contender has no part in it.
    pub(crate) fn run(&mut self, contender: &str, command: &str, counts: [u64; 3]) -> String {
        let [first, second, n] = counts;
        let before = Usage::of_this_process();
        let done = locks::run(self, contender, command, first, second, n)
            .or_else(|| messages::run(self, contender, command, counts).map(Done::from))
            .or_else(|| datagrams::run(self, contender, command, counts).map(Done::from))
            .or_else(|| sleeps::run(self, contender, command, n).map(Done::from))
            .or_else(|| reads::run(self, contender, command, counts).map(Done::from))
            .or_else(|| forks::run(self, contender, command, counts).map(Done::from))
            .or_else(|| thread_pools::run(self, contender, command, counts).map(Done::from))
            .unwrap_or_else(|| panic!("{contender} takes no part in {command}"));
        let used = Usage::of_this_process().since(before);
        let shares = done.shares.unwrap_or(Shares {
            least: 1000,
            most: 1000,
        });
        format!(
            "{} {} {} {}",
            done.elapsed.as_nanos(),
            used.total_us(),
            shares.least,
            shares.most
        )
    }
}

/// May's workers, which are set once for a process.
pub(super) fn set_may_workers(workers: u64) {
    may::config().set_workers(workers as usize);
}

/// Runs `f` in a coroutine of may's.
pub(super) fn run_on_may<T: Send + 'static>(
    workers: u64,
    f: impl FnOnce() -> T + Send + 'static,
) -> T {
    set_may_workers(workers);
    // SAFETY: the benchmarks touch no thread-local storage across a wait, and use little stack.
    unsafe { may::coroutine::spawn(f) }
        .join()
        .expect("no panics")
}

/// Runs `future` as a task of tokio's, so that it is on a worker.
pub(super) fn run_on_tokio<F>(runtime: &tokio::runtime::Runtime, future: F) -> F::Output
where
    F: Future<Output: Send> + Send + 'static,
{
    runtime.block_on(async { tokio::spawn(future).await.expect("no panics") })
}

/// The time `f` takes.
pub(super) fn timed(f: impl FnOnce()) -> Duration {
    let start = Instant::now();
    f();
    start.elapsed()
}

/// Divides `n` into `parts` shares that differ by one at most.
pub(super) fn split(n: u64, parts: u64) -> impl Iterator<Item = u64> {
    (0..parts).map(move |part| n / parts + u64::from(part < n % parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_thousandths_of_an_even_one() {
        let shares = Shares::of(&[1, 2, 3]).unwrap();
        assert_eq!((shares.least, shares.most), (500, 1500));
        assert_eq!(Shares::of(&[]), None);
        assert_eq!(Shares::of(&[0, 0]), None);
    }

    #[test]
    fn split_loses_nothing() {
        assert_eq!(split(7, 3).collect::<Vec<_>>(), [3, 2, 2]);
    }
}
