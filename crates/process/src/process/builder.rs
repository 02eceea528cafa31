//! Describes and starts a process.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use ropewalk_rt::executor::tasks::TaskEntry;
use ropewalk_rt::executor::{Portable, TaskFn};

use super::child::KIND;
use super::report::Start;
use super::stream::Direction;
use super::{Process, ProcessHandle, Stream, children, current};
use crate::StartError;
use crate::launch::Launch;
use crate::pass;
use crate::pipe::{Carrier, Payload};

/// A task that is to run in a process of its own; from [`Process::builder`].
///
/// # Examples
///
/// ```
/// use std::io::Read;
///
/// use ropewalk_process::{Process, Stream};
///
/// #[ropewalk_macros::task(crate = ropewalk_rt)]
/// fn greet(whom: String) {
///     println!("hello {whom}, from {}", ropewalk_process::name());
/// }
///
/// fn main() -> std::io::Result<()> {
///     ropewalk_process::init(); // `#[ropewalk::main]` does it.
///     let builder = Process::builder(greet, ("you".to_owned(),)).name("greeter");
///     let mut process = builder.stdout(Stream::Piped).spawn()?;
///     let mut said = String::new();
///     process.stdout.take().expect("it is piped").read_to_string(&mut said)?;
///     assert_eq!(said, "hello you, from greeter\n");
///     process.join().expect("it ends well");
///     Ok(())
/// }
/// ```
pub struct ProcessBuilder<F, A> {
    task: F,
    args: A,
    name: Option<String>,
    daemon: Option<bool>,
    env: Vec<(String, String)>,
    stdin: Stream,
    stdout: Stream,
    stderr: Stream,
}

/// Our ends of the streams that are piped.
pub(super) struct Ours {
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: Option<OwnedFd>,
    pub(super) stderr: Option<OwnedFd>,
}

impl<F, A> ProcessBuilder<F, A> {
    pub(super) fn new(task: F, args: A) -> ProcessBuilder<F, A> {
        ProcessBuilder {
            task,
            args,
            name: None,
            daemon: None,
            env: Vec::new(),
            stdin: Stream::Null,
            stdout: Stream::Inherit,
            stderr: Stream::Inherit,
        }
    }

    /// Names the process; `ps` shows it, the first 15 bytes in its list of commands. By default
    /// it is called as its task, without the path.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Says whether the process is a daemon; by default it is none. This is Python's rule:
    /// one that is no daemon is waited for when a `main` under `#[ropewalk::main]` has returned,
    /// and a daemon is ended then, by SIGTERM and a second later by SIGKILL. A daemon may
    /// not start processes itself.
    ///
    /// Without `#[ropewalk::main]`, or if the program ends in another way, nobody waits, and
    /// all end with the program.
    pub fn daemon(mut self, daemon: bool) -> Self {
        self.daemon = Some(daemon);
        self
    }

    /// Sets a variable of the environment.
    pub fn env(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// Sets the standard input; by default it is empty.
    pub fn stdin(mut self, stdin: impl Into<Stream>) -> Self {
        self.stdin = stdin.into();
        self
    }

    /// Sets the standard output; by default it is this process's.
    pub fn stdout(mut self, stdout: impl Into<Stream>) -> Self {
        self.stdout = stdout.into();
        self
    }

    /// Sets the standard error; by default it is this process's.
    pub fn stderr(mut self, stderr: impl Into<Stream>) -> Self {
        self.stderr = stderr.into();
        self
    }
}

impl<F, A> ProcessBuilder<F, A>
where
    F: TaskFn<A, Output: Portable>,
    A: Portable,
{
    /// Starts the process.
    ///
    /// # Errors
    ///
    /// As [`Process::spawn`].
    pub fn spawn(self) -> Result<Process<F::Output>, StartError> {
        Launch::check()?;
        if current::is_daemon() {
            let inside = format!("the daemon {}", current::name());
            return Err(StartError::Nested { inside });
        }
        let task = TaskEntry::of(&self.task).ok_or(StartError::NotATask {
            function: std::any::type_name::<F>(),
        })?;
        let name = self.name.unwrap_or_else(|| short(task.name()));
        let daemon = self.daemon.unwrap_or(false);
        let (carrier, theirs) = Carrier::pair()?;
        let mut args = Payload::new();
        let fds = pass::encode(&self.args, &mut args).map_err(|error| {
            let system = args.take_error().map(StartError::Io);
            system.unwrap_or_else(|| StartError::Encode(Box::new(error)))
        })?;
        carrier
            .send_first(args, fds)
            .map_err(|why| StartError::Encode(why.into()))?;

        let mut launch = Launch::new(KIND, name.clone());
        let start = Start {
            task: task.index(),
            daemon,
        };
        launch.setup = postcard::to_stdvec(&start).expect("numbers are serialised");
        launch.fds = vec![theirs.into_fd()];
        launch.env = self.env;
        let (stdin, our_stdin) = self.stdin.open(Direction::Reads, || {
            io::stdin().as_fd().try_clone_to_owned()
        })?;
        let (stdout, our_stdout) = self.stdout.open(Direction::Writes, || {
            io::stdout().as_fd().try_clone_to_owned()
        })?;
        let (stderr, our_stderr) = self.stderr.open(Direction::Writes, || {
            io::stderr().as_fd().try_clone_to_owned()
        })?;
        launch.stdin = Some(stdin);
        launch.stdout = Some(stdout);
        launch.stderr = Some(stderr);
        let child = launch.start()?;
        let handle = ProcessHandle::new(name, daemon, child.handle());
        children::add(handle.clone());
        let ours = Ours {
            stdin: our_stdin,
            stdout: our_stdout,
            stderr: our_stderr,
        };
        Ok(Process::new(handle, carrier, ours))
    }
}

/// A task's name without its path.
fn short(task: &str) -> String {
    task.rsplit("::").next().unwrap_or(task).to_owned()
}
