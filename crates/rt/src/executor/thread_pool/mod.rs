//! A pool of threads that grows with its work: closures and tasks run on coroutines there.
//!
//! | file | what lives there |
//! |---|---|
//! | `builder` | how a pool is to be made |
//! | `threads` | what is done on its threads: names, initialiser, state |
//! | `spawning` | how work comes in: places in the queue, priorities |
//! | `ending` | closing, terminating, waiting for the end |
//! | `insight` | what can be seen of it |
//!
//! The pool is a runtime of its own, whose workers' threads come and go (the kernel's
//! `runtime/threads.rs`), and a count of places in its queue. A closure takes a place when it is
//! handed in, and gives it back when it starts, or is dropped without having run: then its
//! `Ticket` goes.

mod builder;
mod core;
mod ending;
mod insight;
mod spawning;
mod threads;

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::sync::Arc;

use ropewalk_kernel::driver::DriverKind;
use ropewalk_kernel::remote::Remote;
use ropewalk_kernel::runtime::Runtime;

pub use builder::ThreadPoolBuilder;
pub use insight::ThreadInsight;
pub use spawning::SpawnOptions;
pub use threads::PoolBroken;

use self::core::Common;

/// A pool of threads: work given to it runs on one of them, as a coroutine.
///
/// A thread is started only when there is work and no thread idles, up to a maximum; it is used
/// again and again, and ends after it has idled for a while (30 s if nothing else is said).
///
/// A closure runs on a coroutine. Waiting the Ropewalk way (a lock, a channel, a socket, the handle
/// of another task) suspends the coroutine and not the thread: tasks may submit tasks to their own
/// pool and wait for them, also if it has one thread. What blocks the thread (a call into C, `std`'s
/// own sleep or I/O, a computation) keeps it, and is what the number of threads is for: a pool of
/// five runs five such at once. A closure that has not started may start on any thread; one that
/// has stays on its own.
///
/// The queue is bounded: 65,536 places if nothing else is said. [`spawn`](Self::spawn) waits for a
/// place, [`try_spawn`](Self::try_spawn) doesn't.
///
/// # The end
///
/// [`close`](Self::close) refuses new work and lets the old run, [`terminate`](Self::terminate)
/// drops what has not started and requests the cancellation of what runs (threads can't be killed),
/// [`join`](Self::join) waits for the end. *Dropping the pool closes it and waits*, as the `with`
/// block of Python's `ThreadPoolExecutor` does: nothing that was given to it is lost. Where that
/// can't wait (in one of the pool's own tasks, in an `on_done` callback) a thread waits instead.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::executor::ThreadPool;
///
/// let pool = ThreadPool::new(4)?;
/// let handles: Vec<_> = (0..10u64)
///     .map(|n| pool.spawn(move || n * n))
///     .collect::<Result<_, _>>()?;
/// let squares: Vec<u64> = handles.into_iter().map(|handle| handle.join().unwrap()).collect();
/// assert_eq!(squares[9], 81);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ThreadPool<S = ()> {
    common: Arc<Common>,
    remote: Remote,
    runtime: Arc<Runtime>,
    state: PhantomData<fn() -> S>,
}

impl ThreadPool {
    /// A pool of `max` threads at most, with default settings.
    ///
    /// # Errors
    ///
    /// As [`ThreadPoolBuilder::build`].
    pub fn new(max: usize) -> io::Result<ThreadPool> {
        ThreadPool::builder().max_threads(max).build()
    }

    /// Starts describing a pool.
    pub fn builder() -> ThreadPoolBuilder {
        ThreadPoolBuilder::new()
    }
}

impl<S> ThreadPool<S> {
    /// The driver its threads use for I/O.
    pub fn driver(&self) -> DriverKind {
        self.runtime.driver()
    }
}

impl<S> fmt::Debug for ThreadPool<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPool")
            .field("max_threads", &self.max_threads())
            .field("live_threads", &self.live_threads())
            .field("queued", &self.queued())
            .field("running", &self.running())
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}
