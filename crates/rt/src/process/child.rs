//! A child process, its streams, and handles to it.

use std::fmt;
use std::io;
use std::process::{ExitStatus, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ropewalk_kernel::clock;

use super::exchange::exchange;
use super::running::Running;
use crate::io::end::{End, end};

/// What is written to a child's standard input; mirrors [`std::process::ChildStdin`].
///
/// `Write` is there for `ChildStdin` and for `&ChildStdin`. The child sees the end once this
/// is dropped.
pub struct ChildStdin(pub(super) End);

/// What a child writes to its standard output; mirrors [`std::process::ChildStdout`].
///
/// `Read` is there for `ChildStdout` and for `&ChildStdout`.
pub struct ChildStdout(pub(super) End);

/// What a child writes to its standard error; mirrors [`std::process::ChildStderr`].
///
/// `Read` is there for `ChildStderr` and for `&ChildStderr`.
pub struct ChildStderr(pub(super) End);

end!(write ChildStdin);
end!(read ChildStdout);
end!(read ChildStderr);

/// A running or ended child process; mirrors [`std::process::Child`].
///
/// A child that is dropped goes on, unless
/// [`kill_on_drop`](super::Command::kill_on_drop) was asked for; its end is taken in the
/// background, so that it doesn't stay as a zombie.
#[derive(Debug)]
pub struct Child {
    /// The child's standard input, if it was piped and has not been taken.
    pub stdin: Option<ChildStdin>,
    /// The child's standard output, likewise.
    pub stdout: Option<ChildStdout>,
    /// The child's standard error, likewise.
    pub stderr: Option<ChildStderr>,
    owned: Owned,
}

/// The part with a destructor, so that the streams can be moved out of a child.
#[derive(Debug)]
struct Owned {
    running: Arc<Running>,
    kill_on_drop: bool,
}

impl Drop for Owned {
    fn drop(&mut self) {
        if self.kill_on_drop {
            // It can fail only for a process that has ended.
            let _ = self.running.kill_all();
        }
    }
}

impl Child {
    pub(super) fn new(mut child: std::process::Child, leads: bool, kill_on_drop: bool) -> Child {
        // Std made the pipes, and keeps no other copy of our ends.
        let stdin = child.stdin.take().map(|end| End::sole(end.into()));
        let stdout = child.stdout.take().map(|end| End::sole(end.into()));
        let stderr = child.stderr.take().map(|end| End::sole(end.into()));
        Child {
            stdin: stdin.map(ChildStdin),
            stdout: stdout.map(ChildStdout),
            stderr: stderr.map(ChildStderr),
            owned: Owned {
                running: Arc::new(Running::new(child, leads)),
                kill_on_drop,
            },
        }
    }

    pub(super) fn running(&self) -> &Running {
        &self.owned.running
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.running().id()
    }

    /// A handle by which others can wait for the child or end it, as often as they like.
    pub fn handle(&self) -> ChildHandle {
        ChildHandle(Arc::clone(&self.owned.running))
    }

    /// Kills the process (SIGKILL); does nothing if its end was taken already.
    ///
    /// # Errors
    ///
    /// The system's: `PermissionDenied` for a process that has become somebody else.
    pub fn kill(&mut self) -> io::Result<()> {
        self.running().signal(libc::SIGKILL, false)
    }

    /// Kills the process and all of its process group.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it was started without
    /// [`process_group(0)`](super::Command::process_group): its group is then ours.
    pub fn kill_group(&mut self) -> io::Result<()> {
        self.handle().kill_group()
    }

    /// Closes the standard input, and waits for the process to end. May be called again.
    ///
    /// # Errors
    ///
    /// The system's; if the caller is cancelled, with the process running on.
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        self.wait_until(None)
    }

    /// As [`wait`](Self::wait), for `timeout` at most.
    ///
    /// # Errors
    ///
    /// `TimedOut`, with the process running on; else as [`wait`](Self::wait).
    pub fn wait_timeout(&mut self, timeout: Duration) -> io::Result<ExitStatus> {
        self.wait_until(Some(clock::deadline_after(timeout)))
    }

    /// As [`wait`](Self::wait), until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`wait_timeout`](Self::wait_timeout).
    pub fn wait_deadline(&mut self, deadline: Instant) -> io::Result<ExitStatus> {
        self.wait_until(Some(clock::instant_to_ns(deadline)))
    }

    fn wait_until(&mut self, deadline: Option<u64>) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        self.running().wait(deadline)
    }

    /// Says whether the process has ended, without waiting.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.running().try_wait()
    }

    /// Closes the standard input, reads the piped outputs to their ends, both at once, and
    /// waits for the process.
    ///
    /// # Errors
    ///
    /// The system's; if the caller is cancelled.
    pub fn wait_with_output(mut self) -> io::Result<Output> {
        drop(self.stdin.take());
        self.communicate(&[])
    }

    /// Writes `input` to the standard input and closes it, reads the piped outputs to their
    /// ends, all at once, so that no pipe that is full can hold the others up; then waits for
    /// the process.
    ///
    /// A process that doesn't read all of its input is no error.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an input without a piped standard input; the system's; if the caller
    /// is cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// use ropewalk_rt::process::{Command, Stdio};
    ///
    /// let mut sort = Command::new("sort");
    /// let child = sort.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    /// assert_eq!(child.communicate(b"2\n3\n1\n")?.stdout, b"1\n2\n3\n");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn communicate(mut self, input: &[u8]) -> io::Result<Output> {
        if self.stdin.is_none() && !input.is_empty() {
            let error = "an input for a process whose standard input is not piped";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
        }
        let exchanged = exchange(&mut self, input, None);
        let status = exchanged.status?;
        Ok(Output {
            status,
            stdout: exchanged.stdout,
            stderr: exchanged.stderr,
        })
    }
}

/// A handle to a child process, from [`Child::handle`]. Cheap to clone.
#[derive(Clone)]
pub struct ChildHandle(Arc<Running>);

impl ChildHandle {
    /// The process id. It may be another's once the process's end was taken.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Waits for the process to end; any number may, and all get the status.
    ///
    /// # Errors
    ///
    /// The system's; if the caller is cancelled.
    pub fn wait(&self) -> io::Result<ExitStatus> {
        self.0.wait(None)
    }

    /// As [`wait`](Self::wait), for `timeout` at most.
    ///
    /// # Errors
    ///
    /// `TimedOut`; else as [`wait`](Self::wait).
    pub fn wait_timeout(&self, timeout: Duration) -> io::Result<ExitStatus> {
        self.0.wait(Some(clock::deadline_after(timeout)))
    }

    /// Says whether the process has ended, without waiting.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn try_wait(&self) -> io::Result<Option<ExitStatus>> {
        self.0.try_wait()
    }

    /// Kills the process (SIGKILL); does nothing if its end was taken already.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn kill(&self) -> io::Result<()> {
        self.0.signal(libc::SIGKILL, false)
    }

    /// Sends a signal to the process; does nothing if its end was taken already.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a number that is no signal's; the system's.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        self.0.signal(signal, false)
    }

    /// Kills the process and all of its process group; see [`Child::kill_group`].
    ///
    /// # Errors
    ///
    /// `InvalidInput` if it leads no group of its own.
    pub fn kill_group(&self) -> io::Result<()> {
        if !self.0.leads() {
            let error = "the process has no process group of its own";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
        }
        self.0.kill_all()
    }
}

impl fmt::Debug for ChildHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChildHandle").field(&self.id()).finish()
    }
}
