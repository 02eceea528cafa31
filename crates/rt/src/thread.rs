//! OS threads with the handles, names and lists of coroutines.

use std::io;
use std::panic::Location;

use ropewalk_kernel::task::Options;
use ropewalk_kernel::{living_everywhere, runtime};

pub use crate::task::{Info, Task};
pub use crate::time::{sleep, sleep_until};
pub use crate::{JoinError, JoinHandle};

/// Starts a thread; mirrors [`std::thread::spawn`].
///
/// # Panics
///
/// If the system can't start one: see [`Builder::spawn`] for an error in its place.
///
/// # Examples
///
/// ```
/// let handle = ropewalk_rt::thread::spawn(|| "from a thread");
/// assert_eq!(handle.join().unwrap(), "from a thread");
/// ```
#[track_caller]
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    match Builder::new().spawn(f) {
        Ok(handle) => handle,
        Err(error) => panic!("a thread can't be started: {error}"),
    }
}

/// The calling thread; in a coroutine, the coroutine.
pub fn current() -> Task {
    Task::current()
}

/// The threads started through this module that have not ended, oldest first.
pub fn list() -> Vec<Info> {
    living_everywhere()
        .into_iter()
        .filter(|task| task.thread)
        .map(Info::new)
        .collect()
}

/// The number of threads started through this module that have not ended.
pub fn count() -> usize {
    list().len()
}

/// How a thread is to be started; mirrors [`std::thread::Builder`].
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until `spawn`"]
pub struct Builder {
    options: Options,
}

impl Builder {
    /// A thread without a name, with std's stack size, a daemon if its parent is one.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Names it; the system shows the first 15 bytes.
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.options.name = Some(name.into().into());
        self
    }

    /// Sets the stack size in bytes.
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.options.stack_bytes = bytes;
        self
    }

    /// As [`coroutine::Builder::daemon`](crate::coroutine::Builder::daemon).
    pub fn daemon(mut self, daemon: bool) -> Builder {
        self.options.daemon = Some(daemon);
        self
    }

    /// Starts it.
    ///
    /// # Errors
    ///
    /// The system's, if it can't start a thread.
    #[track_caller]
    pub fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        runtime::spawn_thread(self.options, Location::caller(), f).map(JoinHandle::from)
    }
}
