//! Work as a type: what Python people do by subclassing `Thread`.

use crate::join::JoinHandle;
use crate::{coroutine, thread};

/// A type whose values can be started as a coroutine or as a thread.
///
/// # Examples
///
/// ```
/// use ropewalk_rt::Run;
///
/// struct Countdown(u32);
///
/// impl Run for Countdown {
///     type Output = u32;
///     fn run(self) -> u32 {
///         (1..=self.0).product()
///     }
/// }
///
/// assert_eq!(Countdown(5).start().join().unwrap(), 120);
/// assert_eq!(Countdown(4).start_thread().unwrap().join().unwrap(), 24);
/// ```
pub trait Run: Sized + Send + 'static {
    /// What the work gives.
    type Output: Send + 'static;

    /// Does the work.
    fn run(self) -> Self::Output;

    /// Starts it as a coroutine.
    ///
    /// # Panics
    ///
    /// As [`coroutine::spawn`].
    #[track_caller]
    fn start(self) -> JoinHandle<Self::Output> {
        coroutine::spawn(move || self.run())
    }

    /// Starts it as a thread.
    ///
    /// # Errors
    ///
    /// As [`thread::Builder::spawn`].
    #[track_caller]
    fn start_thread(self) -> std::io::Result<JoinHandle<Self::Output>> {
        thread::Builder::new().spawn(move || self.run())
    }
}
