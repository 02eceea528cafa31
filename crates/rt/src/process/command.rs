//! Describing and starting a child process.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{CommandArgs, CommandEnvs, ExitStatus, Output, Stdio};
use std::time::Duration;

use ropewalk_kernel::blocking::unblock;
use ropewalk_kernel::clock;

use super::Child;
use super::exchange::{Exchanged, drain_rest, exchange};

/// A process to be started; mirrors [`std::process::Command`], which it is made of.
///
/// [`output`](Self::output) and [`status`](Self::status) own the process they start: if they
/// end by a time-out or because the caller is cancelled, they kill it.
///
/// # Examples
///
/// ```
/// use std::io::{BufRead, BufReader};
/// use ropewalk_rt::process::{Command, Stdio};
///
/// let mut child = Command::new("sh")
///     .args(["-c", "echo one; echo two; exit 3"])
///     .stdout(Stdio::piped())
///     .spawn()?;
/// let lines = BufReader::new(child.stdout.take().unwrap()).lines();
/// assert_eq!(lines.collect::<Result<Vec<_>, _>>()?, ["one", "two"]);
/// assert_eq!(child.wait()?.code(), Some(3));
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Command {
    inner: std::process::Command,
    stdin_set: bool,
    stdout_set: bool,
    stderr_set: bool,
    /// The process group that was asked for.
    group: Option<i32>,
    timeout: Option<Duration>,
    kill_on_drop: bool,
}

impl Command {
    /// Describes running `program` without arguments, looked up in `PATH`.
    pub fn new(program: impl AsRef<OsStr>) -> Command {
        std::process::Command::new(program).into()
    }

    /// Adds an argument.
    pub fn arg(&mut self, arg: impl AsRef<OsStr>) -> &mut Command {
        self.inner.arg(arg);
        self
    }

    /// Adds arguments.
    pub fn args(&mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> &mut Command {
        self.inner.args(args);
        self
    }

    /// Sets the 0th argument, by which most programs know their name.
    pub fn arg0(&mut self, arg: impl AsRef<OsStr>) -> &mut Command {
        self.inner.arg0(arg);
        self
    }

    /// Sets a variable of the environment.
    pub fn env(&mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> &mut Command {
        self.inner.env(key, value);
        self
    }

    /// Sets variables of the environment.
    pub fn envs<K: AsRef<OsStr>, V: AsRef<OsStr>>(
        &mut self,
        vars: impl IntoIterator<Item = (K, V)>,
    ) -> &mut Command {
        self.inner.envs(vars);
        self
    }

    /// Takes a variable out of the environment.
    pub fn env_remove(&mut self, key: impl AsRef<OsStr>) -> &mut Command {
        self.inner.env_remove(key);
        self
    }

    /// Starts from an empty environment.
    pub fn env_clear(&mut self) -> &mut Command {
        self.inner.env_clear();
        self
    }

    /// Sets the working directory.
    pub fn current_dir(&mut self, dir: impl AsRef<Path>) -> &mut Command {
        self.inner.current_dir(dir);
        self
    }

    /// Sets the user.
    pub fn uid(&mut self, id: u32) -> &mut Command {
        self.inner.uid(id);
        self
    }

    /// Sets the group of users.
    pub fn gid(&mut self, id: u32) -> &mut Command {
        self.inner.gid(id);
        self
    }

    /// Sets the standard input. By default it is inherited with `spawn` and `status`, and
    /// empty with `output`.
    pub fn stdin(&mut self, stdin: impl Into<Stdio>) -> &mut Command {
        self.inner.stdin(stdin);
        self.stdin_set = true;
        self
    }

    /// Sets the standard output. By default it is inherited with `spawn` and `status`, and
    /// piped with `output`.
    pub fn stdout(&mut self, stdout: impl Into<Stdio>) -> &mut Command {
        self.inner.stdout(stdout);
        self.stdout_set = true;
        self
    }

    /// Sets the standard error, with the same defaults.
    pub fn stderr(&mut self, stderr: impl Into<Stdio>) -> &mut Command {
        self.inner.stderr(stderr);
        self.stderr_set = true;
        self
    }

    /// Puts the process into a process group; with 0, into one of its own, which can be killed
    /// as a whole. Such a process is in the terminal's background: Ctrl-C doesn't reach it, and
    /// it can't read from the terminal.
    pub fn process_group(&mut self, group: i32) -> &mut Command {
        self.inner.process_group(group);
        self.group = Some(group);
        self
    }

    /// Limits the time of [`output`](Self::output) and [`status`](Self::status); then the
    /// process is killed, with what it has started: it is put into a process group of its own
    /// unless one was set.
    pub fn timeout(&mut self, timeout: Duration) -> &mut Command {
        self.timeout = Some(timeout);
        self
    }

    /// Kills a child of [`spawn`](Self::spawn) when it is dropped, with its process group if
    /// it has one of its own.
    pub fn kill_on_drop(&mut self, kill: bool) -> &mut Command {
        self.kill_on_drop = kill;
        self
    }

    /// Starts the process.
    ///
    /// # Errors
    ///
    /// The system's: `NotFound` for a program that is not there.
    pub fn spawn(&mut self) -> io::Result<Child> {
        self.spawn_with(Stdio::inherit, Stdio::inherit)
    }

    /// Runs the process, and gives what it put out and its status.
    ///
    /// # Errors
    ///
    /// `TimedOut` with a [`TimeoutExpired`] inside if the [`timeout`](Self::timeout) passed;
    /// if the caller is cancelled; the system's. The process is killed then.
    pub fn output(&mut self) -> io::Result<Output> {
        let child = self.spawn_with(Stdio::null, Stdio::piped)?;
        self.finish(child, &[])
    }

    /// As [`output`](Self::output), with `input` as its standard input. Input and outputs may
    /// each be larger than any pipe.
    ///
    /// # Errors
    ///
    /// As [`output`](Self::output). A process that doesn't read all of it is no error.
    pub fn output_with_input(&mut self, input: &[u8]) -> io::Result<Output> {
        self.stdin_set = false;
        let child = self.spawn_with(Stdio::piped, Stdio::piped)?;
        self.finish(child, input)
    }

    /// Runs the process and gives its status.
    ///
    /// # Errors
    ///
    /// As [`output`](Self::output).
    pub fn status(&mut self) -> io::Result<ExitStatus> {
        let child = self.spawn_with(Stdio::inherit, Stdio::inherit)?;
        Ok(self.finish(child, &[])?.status)
    }

    fn spawn_with(&mut self, stdin: fn() -> Stdio, out: fn() -> Stdio) -> io::Result<Child> {
        if !self.stdin_set {
            self.inner.stdin(stdin());
        }
        if !self.stdout_set {
            self.inner.stdout(out());
        }
        if !self.stderr_set {
            self.inner.stderr(out());
        }
        if self.timeout.is_some() && self.group.is_none() {
            self.process_group(0);
        }
        // A fork of a large process, and the look-up of the program, take their time.
        let child = unblock(|| self.inner.spawn())?;
        Ok(Child::new(child, self.group == Some(0), self.kill_on_drop))
    }

    /// Exchanges all with a child of ours, and ends it if that fails.
    fn finish(&self, mut child: Child, input: &[u8]) -> io::Result<Output> {
        let deadline = self.timeout.map(clock::deadline_after);
        let mut exchanged = exchange(&mut child, input, deadline);
        let error = match exchanged.status {
            Ok(status) => return Ok(output(exchanged, status)),
            Err(error) => error,
        };
        child.running().kill_all()?;
        let timeout = self.timeout.filter(|_| {
            let over = deadline.is_some_and(|deadline| deadline <= clock::now_ns());
            over && error.kind() == io::ErrorKind::TimedOut
        });
        let Some(limit) = timeout else {
            return Err(error);
        };
        let status = child.running().wait(None)?;
        exchanged.status = Ok(status);
        drain_rest(&mut child, &mut exchanged);
        let expired = TimeoutExpired {
            program: self.inner.get_program().to_string_lossy().into_owned(),
            limit,
            output: output(exchanged, status),
        };
        Err(io::Error::new(io::ErrorKind::TimedOut, expired))
    }

    /// The program.
    pub fn get_program(&self) -> &OsStr {
        self.inner.get_program()
    }

    /// The arguments.
    pub fn get_args(&self) -> CommandArgs<'_> {
        self.inner.get_args()
    }

    /// The variables that were set, and those that were removed.
    pub fn get_envs(&self) -> CommandEnvs<'_> {
        self.inner.get_envs()
    }

    /// The working directory, if it was set.
    pub fn get_current_dir(&self) -> Option<&Path> {
        self.inner.get_current_dir()
    }

    /// Std's command, for what is set rarely, such as `pre_exec`. Streams and process group
    /// that are set there are not known here.
    pub fn as_std_mut(&mut self) -> &mut std::process::Command {
        &mut self.inner
    }
}

fn output(exchanged: Exchanged, status: ExitStatus) -> Output {
    Output {
        status,
        stdout: exchanged.stdout,
        stderr: exchanged.stderr,
    }
}

impl From<std::process::Command> for Command {
    /// Takes std's command; streams and process group that were set there are to be set again.
    fn from(inner: std::process::Command) -> Command {
        Command {
            inner,
            stdin_set: false,
            stdout_set: false,
            stderr_set: false,
            group: None,
            timeout: None,
            kill_on_drop: false,
        }
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// A process took longer than its [`Command::timeout`], and was killed. It is inside the
/// `TimedOut` error.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use ropewalk_rt::process::{Command, TimeoutExpired};
///
/// let mut slow = Command::new("sh");
/// slow.args(["-c", "echo so far; sleep 60"]).timeout(Duration::from_secs(2));
/// let error = slow.output().unwrap_err();
/// let expired = TimeoutExpired::of(&error).expect("60 seconds are longer");
/// assert_eq!(expired.output().stdout, b"so far\n");
/// ```
pub struct TimeoutExpired {
    program: String,
    limit: Duration,
    output: Output,
}

impl TimeoutExpired {
    /// The one inside an error of [`Command::output`] or [`Command::status`].
    pub fn of(error: &io::Error) -> Option<&TimeoutExpired> {
        error.get_ref()?.downcast_ref()
    }

    /// The time it had.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// What it put out until it was killed, and the status that this gave.
    pub fn output(&self) -> &Output {
        &self.output
    }
}

impl fmt::Display for TimeoutExpired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TimeoutExpired { program, limit, .. } = self;
        write!(f, "`{program}` did not end within {limit:?} and was killed")
    }
}

impl fmt::Debug for TimeoutExpired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeoutExpired")
            .field("program", &self.program)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl std::error::Error for TimeoutExpired {}
