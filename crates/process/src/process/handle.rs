//! What the starter of a process holds.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::ops::Deref;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ropewalk_kernel::cancel::Cancelled;
use ropewalk_rt::executor::{Portable, TaskFn};
use ropewalk_rt::process::{ChildHandle, ChildStderr, ChildStdin, ChildStdout};
use ropewalk_rt::{JoinError, JoinHandle, coroutine, promise};

use super::builder::{Ours, ProcessBuilder};
use super::{children, report};
use crate::StartError;
use crate::pipe::Carrier;

/// A task that runs in a process of its own, and the right to its result.
///
/// Everything of [`ProcessHandle`] can be asked of it. One that is dropped goes on; how
/// long, [`ProcessBuilder::daemon`] says. No process outlives the one that started it.
///
/// # Examples
///
/// ```
/// use ropewalk_process::Process;
///
/// #[ropewalk_macros::task(crate = ropewalk_rt)]
/// fn square(n: u64) -> u64 {
///     n * n
/// }
///
/// fn main() {
///     ropewalk_process::init(); // `#[ropewalk::main]` does it.
///     let process = Process::spawn(square, (12,)).expect("a process");
///     assert_ne!(process.pid(), std::process::id());
///     assert_eq!(process.join().expect("its value"), 144);
/// }
/// ```
pub struct Process<R> {
    handle: ProcessHandle,
    /// Where the report comes from.
    carrier: Carrier,
    /// The child's standard input, if it was piped and has not been taken.
    pub stdin: Option<ChildStdin>,
    /// The child's standard output, likewise.
    pub stdout: Option<ChildStdout>,
    /// The child's standard error, likewise.
    pub stderr: Option<ChildStderr>,
    result: PhantomData<fn() -> R>,
}

impl Process<()> {
    /// Describes running `task` with the tuple of its arguments in a process of its own.
    pub fn builder<F, A>(task: F, args: A) -> ProcessBuilder<F, A>
    where
        F: TaskFn<A, Output: Portable>,
        A: Portable,
    {
        ProcessBuilder::new(task, args)
    }
}

#[expect(
    clippy::result_large_err,
    reason = "a process that goes on is given back"
)]
impl<R: Portable> Process<R> {
    /// Runs `task` with the tuple of its arguments in a process of its own. Ends of pipes and
    /// other things that processes share may be among the arguments; they are the child's
    /// own then.
    ///
    /// The task is the main coroutine of a runtime that the environment describes, as for
    /// `#[ropewalk::main]`; it is watched for long computations only if `ROPEWALK_WATCH` is set.
    /// What the task leaves running that is no daemon is waited for before the process ends.
    ///
    /// # Errors
    ///
    /// [`StartError`] if the function is no task, the arguments can't be serialised, this process
    /// may have no children, or the system gives none.
    pub fn spawn<F, A>(task: F, args: A) -> Result<Process<R>, StartError>
    where
        F: TaskFn<A, Output = R>,
        A: Portable,
    {
        ProcessBuilder::new(task, args).spawn()
    }

    /// Waits for the end of the process and takes the task's result; a cancellation point.
    ///
    /// # Errors
    ///
    /// [`JoinError::Panicked`] with a [`RemotePanic`](ropewalk_rt::RemotePanic) if the task
    /// panicked; [`JoinError::WorkerDied`] if a signal or an exit ended the process, be it
    /// with 0; [`JoinError::Failed`] if the result could not be carried, or the system can't
    /// tell of the process; [`JoinError::WaitCancelled`] if the caller was cancelled: the
    /// process goes on.
    pub fn join(self) -> Result<R, JoinError> {
        match self.handle.wait() {
            Ok(status) => self.take(status),
            Err(error) => Err(not_waited(error)),
        }
    }

    /// As [`join`](Self::join), but gives the process back if it has not ended after
    /// `timeout`.
    ///
    /// # Errors
    ///
    /// The process itself: it goes on.
    pub fn join_timeout(self, timeout: Duration) -> Result<Result<R, JoinError>, Self> {
        let waited = self.handle.wait_timeout(timeout);
        self.take_if(waited)
    }

    /// As [`join_timeout`](Self::join_timeout), until a point in time.
    ///
    /// # Errors
    ///
    /// The process itself: it goes on.
    pub fn join_deadline(self, deadline: Instant) -> Result<Result<R, JoinError>, Self> {
        self.join_timeout(deadline.saturating_duration_since(Instant::now()))
    }

    /// Takes the result if the process has ended.
    ///
    /// # Errors
    ///
    /// The process itself: it goes on.
    pub fn try_join(self) -> Result<Result<R, JoinError>, Self> {
        match self.handle.try_wait().transpose() {
            Some(waited) => self.take_if(waited),
            None => Err(self),
        }
    }

    /// Turns the process into a [`JoinHandle`], for what waits for tasks of all kinds: `race`,
    /// `as_completed`, `async` code. Cancelling it kills the process.
    ///
    /// # Panics
    ///
    /// As [`spawn`](ropewalk_rt::spawn): a coroutine waits for the process.
    pub fn into_join_handle(self) -> JoinHandle<R> {
        let (promise, handle) = promise();
        let child = self.handle();
        handle.on_done(move |outcome: &Result<R, JoinError>| {
            if matches!(outcome, Err(JoinError::Cancelled)) {
                // Whoever waits for its end learns of it, should it not die of this.
                let _ = child.kill();
            }
        });
        let waits = coroutine::Builder::new().daemon(true).spawn(move || {
            // Refused only if the handle was cancelled or nobody has it any more.
            let _ = promise.settle(self.join());
        });
        drop(waits.expect("a coroutine for the process"));
        JoinHandle::from(handle)
    }

    fn take_if(self, waited: io::Result<ExitStatus>) -> Result<Result<R, JoinError>, Self> {
        match waited {
            Ok(status) => Ok(self.take(status)),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(self),
            Err(error) if is_cancelled(&error) => Err(self),
            Err(error) => Ok(Err(not_waited(error))),
        }
    }

    /// Takes the outcome of a process that has ended.
    fn take(&self, status: ExitStatus) -> Result<R, JoinError> {
        let pid = self.handle.pid();
        let died = Err(JoinError::WorkerDied { pid, status });
        // A report is the last word only of one that ended as those who report do.
        if !matches!(status.code(), Some(0 | 1)) {
            return died;
        }
        let report = match self.carrier.try_take() {
            Ok(Some(report)) => report,
            Ok(None) => return died,
            Err(why) => return Err(JoinError::Failed(why.into())),
        };
        match report::read(report) {
            Some(Ok(_)) if !status.success() => died,
            Some(outcome) => outcome,
            None => died,
        }
    }
}

impl<R> Process<R> {
    pub(super) fn new(handle: ProcessHandle, carrier: Carrier, ours: Ours) -> Process<R> {
        Process {
            handle,
            carrier,
            stdin: ours.stdin.map(ChildStdin::from),
            stdout: ours.stdout.map(ChildStdout::from),
            stderr: ours.stderr.map(ChildStderr::from),
            result: PhantomData,
        }
    }

    /// A handle by which others can ask for the process or end it, as often as they like.
    pub fn handle(&self) -> ProcessHandle {
        self.handle.clone()
    }
}

impl<R> Drop for Process<R> {
    fn drop(&mut self) {
        children::let_go(&self.handle);
    }
}

impl<R> Deref for Process<R> {
    type Target = ProcessHandle;

    fn deref(&self) -> &ProcessHandle {
        &self.handle
    }
}

impl<R> fmt::Debug for Process<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Process").field(&self.handle).finish()
    }
}

/// A child process, to ask how it is and to end it; from [`Process::handle`] and
/// [`active_children`](super::active_children). Cheap to clone.
#[derive(Clone)]
pub struct ProcessHandle(Arc<Kept>);

struct Kept {
    name: String,
    daemon: bool,
    child: ChildHandle,
}

impl ProcessHandle {
    pub(super) fn new(name: String, daemon: bool, child: ChildHandle) -> ProcessHandle {
        ProcessHandle(Arc::new(Kept {
            name,
            daemon,
            child,
        }))
    }

    /// The process's id. It may be another's once the process has ended.
    pub fn pid(&self) -> u32 {
        self.0.child.id()
    }

    /// The process's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Says whether it was started as a daemon.
    pub fn is_daemon(&self) -> bool {
        self.0.daemon
    }

    /// Says whether the process has not ended.
    pub fn is_alive(&self) -> bool {
        matches!(self.try_wait(), Ok(None))
    }

    /// How the process ended, in Python's convention: its exit code, or the number of the signal
    /// that ended it, negative. `None` while it is alive.
    ///
    /// A task that returned has 0, and one that panicked 1.
    pub fn exit_code(&self) -> Option<i32> {
        let status = self.try_wait().ok().flatten()?;
        status
            .code()
            .or_else(|| status.signal().map(|signal| -signal))
    }

    /// Says whether the process has ended, without waiting.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        self.0.child.try_wait()
    }

    /// Waits for the process to end; any number may. A cancellation point.
    ///
    /// # Errors
    ///
    /// The system's; if the caller is cancelled.
    pub fn wait(&self) -> io::Result<ExitStatus> {
        self.0.child.wait()
    }

    /// As [`wait`](Self::wait), for `timeout` at most.
    ///
    /// # Errors
    ///
    /// `TimedOut`; else as [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> io::Result<ExitStatus> {
        self.0.child.wait_timeout(timeout)
    }

    /// Asks the process to end: SIGTERM, which ends it unless it handles that signal. Does
    /// nothing if it has ended.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn terminate(&self) -> io::Result<()> {
        self.0.child.signal(libc::SIGTERM)
    }

    /// Ends the process: SIGKILL. Does nothing if it has ended.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn kill(&self) -> io::Result<()> {
        self.0.child.kill()
    }

    /// Says whether both are handles to the same process.
    pub(super) fn is(&self, other: &ProcessHandle) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for ProcessHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessHandle")
            .field("pid", &self.pid())
            .field("name", &self.name())
            .field("daemon", &self.is_daemon())
            .field("exit_code", &self.exit_code())
            .finish()
    }
}

fn is_cancelled(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Cancelled>())
}

fn not_waited(error: io::Error) -> JoinError {
    if is_cancelled(&error) || error.kind() == io::ErrorKind::TimedOut {
        return JoinError::WaitCancelled;
    }
    JoinError::Failed(Box::new(error))
}
