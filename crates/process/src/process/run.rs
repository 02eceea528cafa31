//! Work as a type, in a process: what Python people do by subclassing `Process`.

use ropewalk_rt::Run;
use ropewalk_rt::executor::Portable;

use super::Process;
use crate::StartError;

/// Starts work that is a type as a process.
///
/// It is there for every [`Run`] whose value and output can go to another process. The type's
/// `run` is to be registered as a task.
///
/// # Examples
///
/// ```
/// use ropewalk_process::RunProcess;
/// use ropewalk_rt::Run;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Countdown(u32);
///
/// impl Run for Countdown {
///     type Output = u32;
///     fn run(self) -> u32 {
///         (1..=self.0).product()
///     }
/// }
///
/// ropewalk_rt::register! { "countdown" => Countdown::run }
///
/// fn main() {
///     ropewalk_process::init();
///     let process = Countdown(5).start_process().expect("a process");
///     assert_eq!(process.join().expect("its value"), 120);
/// }
/// ```
pub trait RunProcess: Run + Portable
where
    Self::Output: Portable,
{
    /// Starts it as a process.
    ///
    /// # Errors
    ///
    /// As [`Process::spawn`].
    fn start_process(self) -> Result<Process<Self::Output>, StartError> {
        Process::spawn(Self::run, (self,))
    }
}

impl<T: Run + Portable> RunProcess for T where T::Output: Portable {}
