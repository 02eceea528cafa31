//! Starts children: this executable again, told what to be. See [`start`](crate::start).

use std::error::Error;
use std::fmt;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use ropewalk_rt::executor::tasks::{self, TableError};
use ropewalk_rt::process::{Child, Command};

use crate::start::{self, Header, MARKER};

/// How deep children may start children of the same program.
const DEPTH_MAX: u32 = 16;

/// The numbers below are those of the standard streams.
const FIRST_FREE: RawFd = 3;

/// Why a child was not started.
#[non_exhaustive]
pub enum StartError {
    /// The start-up hook has not run.
    NoHook,
    /// Two tasks have the same name.
    Tasks(TableError),
    /// This process is a child that may not have any, or the children of children of … are too
    /// many.
    Nested {
        /// What it is.
        inside: String,
    },
    /// The function is not registered as a task.
    NotATask {
        /// The function's type, which has its path in it.
        function: &'static str,
    },
    /// Its arguments can't be given to a child.
    Encode(Box<dyn Error + Send + Sync>),
    /// The child didn't begin in time, or ended before it did.
    NotBegun {
        /// What is known of it.
        why: String,
    },
    /// The system could not start it.
    Io(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::NoHook => f.write_str(
                "children are this program started again, and it is not ready for that: put \
                 `#[ropewalk::main]` on `main`, or call `ropewalk::process::init()` first in it; \
                 in tests, put `ropewalk::process::test_support!();` at the root of the test crate",
            ),
            StartError::Tasks(error) => error.fmt(f),
            StartError::Nested { inside } => write!(
                f,
                "this process is itself a child ({inside}) and may not start children: start \
                 them from the program's first process"
            ),
            StartError::NotATask { function } => write!(
                f,
                "`{function}` is not registered as a task: put `#[ropewalk::task]` in front of \
                 the function, or name it in `ropewalk::register!`"
            ),
            StartError::Encode(error) => {
                write!(f, "the arguments can't be given to a child: {error}")
            }
            StartError::NotBegun { why } => write!(f, "the child did not begin: {why}"),
            StartError::Io(error) => write!(f, "the child can't be started: {error}"),
        }
    }
}

/// As a sentence too: this is what `unwrap` prints, and a `main` that returns it.
impl fmt::Debug for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StartError({self})")
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            StartError::Tasks(error) => Some(error),
            StartError::Encode(error) => Some(error.as_ref()),
            StartError::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> StartError {
        StartError::Io(error)
    }
}

impl From<StartError> for io::Error {
    fn from(error: StartError) -> io::Error {
        match error {
            StartError::Io(error) => error,
            other => io::Error::other(other),
        }
    }
}

/// A child to be started.
pub(crate) struct Launch {
    /// Which [`Kind`](start::Kind) it is to be.
    pub(crate) kind: &'static str,
    /// What `ps` shows.
    pub(crate) name: String,
    /// Given to it as [`Setup::bytes`](start::Setup::bytes).
    pub(crate) setup: Vec<u8>,
    /// Given to it as [`Setup::fds`](start::Setup::fds).
    pub(crate) fds: Vec<OwnedFd>,
    /// Its standard streams; `None` for the null device as input, and ours as the others.
    pub(crate) stdin: Option<OwnedFd>,
    pub(crate) stdout: Option<OwnedFd>,
    pub(crate) stderr: Option<OwnedFd>,
    /// Variables added to the environment.
    pub(crate) env: Vec<(String, String)>,
}

impl Launch {
    pub(crate) fn new(kind: &'static str, name: impl Into<String>) -> Launch {
        Launch {
            kind,
            name: name.into(),
            setup: Vec::new(),
            fds: Vec::new(),
            stdin: None,
            stdout: None,
            stderr: None,
            env: Vec::new(),
        }
    }

    /// Says whether children could be started here at all.
    pub(crate) fn check() -> Result<(), StartError> {
        start::refuse_lost_child();
        if !start::is_hooked() {
            return Err(StartError::NoHook);
        }
        tasks::check().map_err(StartError::Tasks)?;
        if start::depth() >= DEPTH_MAX {
            let inside = format!("the {DEPTH_MAX}th in a row");
            return Err(StartError::Nested { inside });
        }
        Ok(())
    }

    /// Starts the child. It has not begun when this returns, and may never.
    pub(crate) fn start(self) -> Result<Child, StartError> {
        Launch::check()?;
        let mut header = Header::new(self.kind, &self.name);
        header.setup = self.setup;
        let mut passed = Vec::new();
        for fd in self.fds {
            let fd = above_streams(fd)?;
            header.fds.push(fd.as_raw_fd());
            passed.push(fd);
        }
        let mut command = Command::new("/proc/self/exe");
        command.arg0(&self.name);
        let mut stdout = self.stdout;
        if let Some(test) = start::test_entry() {
            command.args([test, "--exact", "--nocapture", "--test-threads=1"]);
            // libtest tells of the test it runs: nobody is to see that.
            let real = match stdout.take() {
                Some(fd) => fd,
                None => io::stdout().as_fd().try_clone_to_owned()?,
            };
            let real = above_streams(real)?;
            header.stdout = Some(real.as_raw_fd());
            passed.push(real);
            command.stdout(Stdio::null());
        } else {
            command.stdout(stdout.map_or_else(Stdio::inherit, Stdio::from));
        }
        command.stdin(self.stdin.map_or_else(Stdio::null, Stdio::from));
        command.stderr(self.stderr.map_or_else(Stdio::inherit, Stdio::from));
        command.envs(self.env);

        let file = above_streams(write_header(&header)?)?;
        let marker = format!("{}:{}", std::process::id(), file.as_raw_fd());
        command.env(MARKER, marker);
        passed.push(file);
        let numbers: Vec<RawFd> = passed.iter().map(AsRawFd::as_raw_fd).collect();
        keep(&mut command, numbers);
        let child = command.spawn()?;
        drop(passed);
        Ok(child)
    }
}

/// Has the child keep descriptors with these numbers, which stay open here until it is started.
fn keep(command: &mut Command, numbers: Vec<RawFd>) {
    // SAFETY: between fork and exec only `fcntl` is called, with numbers made before; it is
    // async-signal-safe, and nothing is allocated unless it fails.
    unsafe {
        command.as_std_mut().pre_exec(move || {
            for &fd in &numbers {
                if libc::fcntl(fd, libc::F_SETFD, 0) < 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
}

/// Gives the descriptor a number that none of the standard streams has.
fn above_streams(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() >= FIRST_FREE {
        return Ok(fd);
    }
    Ok(rustix::io::fcntl_dupfd_cloexec(&fd, FIRST_FREE)?)
}

fn write_header(header: &Header) -> Result<OwnedFd, StartError> {
    let bytes = postcard::to_stdvec(header).map_err(|error| StartError::Encode(error.into()))?;
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let fd = rustix::fs::memfd_create(start::HEADER_FILE, flags).map_err(io::Error::from)?;
    let mut file = std::fs::File::from(fd);
    file.write_all(&bytes)?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Seek};
    use std::os::unix::process::ExitStatusExt;
    use std::time::Duration;

    use super::*;
    use crate::start::{Kind, Setup};

    crate::test_support!();

    inventory::submit! {
        Kind { name: "test-writer", run: write_what_came }
    }

    inventory::submit! {
        Kind { name: "test-parent", run: start_another_and_wait }
    }

    inventory::submit! {
        Kind { name: "test-sleeper", run: sleep }
    }

    fn write_what_came(setup: Setup) -> i32 {
        let mut fds = setup.fds.into_iter();
        let mut to = File::from(fds.next().unwrap());
        let mut from = File::from(fds.next().unwrap());
        let mut read = String::new();
        from.read_to_string(&mut read).unwrap();
        let bytes = String::from_utf8(setup.bytes).unwrap();
        let comm = std::fs::read_to_string("/proc/self/comm").unwrap();
        println!("to standard output");
        let text = format!("{} {bytes} {read} {comm}", setup.name);
        to.write_all(text.as_bytes()).unwrap();
        42
    }

    fn file(text: &str) -> OwnedFd {
        let flags = rustix::fs::MemfdFlags::CLOEXEC;
        let mut file = File::from(rustix::fs::memfd_create(c"test", flags).unwrap());
        file.write_all(text.as_bytes()).unwrap();
        file.rewind().unwrap();
        file.into()
    }

    #[test]
    fn a_child_gets_its_setup_and_nothing_of_the_harness() {
        let (mut written, to) = ropewalk_rt::io::pipe().unwrap();
        let (mut shown, stdout) = ropewalk_rt::io::pipe().unwrap();
        let mut launch = Launch::new("test-writer", "ropewalk-writes");
        launch.setup = b"setup".to_vec();
        launch.fds = vec![OwnedFd::from(to), file("read")];
        launch.stdout = Some(stdout.into());
        let status = launch.start().unwrap().wait().unwrap();
        assert_eq!(status.code(), Some(42));
        let mut text = String::new();
        written.read_to_string(&mut text).unwrap();
        assert_eq!(text, "ropewalk-writes setup read ropewalk-writes\n");
        let mut text = String::new();
        shown.read_to_string(&mut text).unwrap();
        assert_eq!(text, "to standard output\n");
    }

    #[test]
    fn an_unknown_kind_ends_at_once() {
        let (_, stderr) = ropewalk_rt::io::pipe().unwrap();
        let mut launch = Launch::new("nobody", "nobody");
        launch.stderr = Some(stderr.into());
        let status = launch.start().unwrap().wait().unwrap();
        assert_eq!(status.code(), Some(crate::start::EXIT_NOT_BEGUN));
    }

    fn sleep(setup: Setup) -> i32 {
        let mut to = File::from(setup.fds.into_iter().next().unwrap());
        to.write_all(b"begun").unwrap();
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    fn start_another_and_wait(setup: Setup) -> i32 {
        let mut launch = Launch::new("test-sleeper", "sleeper");
        launch.fds = setup.fds;
        launch.start().unwrap().wait().unwrap();
        unreachable!("nobody ends it");
    }

    #[test]
    fn a_child_ends_with_its_parent_however_that_ends() {
        let (mut alive, end) = ropewalk_rt::io::pipe().unwrap();
        let mut launch = Launch::new("test-parent", "parent");
        launch.fds = vec![end.into()];
        let mut parent = launch.start().unwrap();
        let mut begun = [0; 5];
        alive.read_exact(&mut begun).unwrap();
        parent.kill().unwrap();
        assert_eq!(parent.wait().unwrap().signal(), Some(libc::SIGKILL));
        // The grandchild alone has the other end now.
        assert_eq!(alive.read(&mut begun).unwrap(), 0);
    }

    /// The hidden test, started with this marker, in which `#` is the number of `file`.
    fn begin_with(marker: &str, file: Option<OwnedFd>) -> std::process::ExitStatus {
        let mut command = Command::new(std::env::current_exe().unwrap());
        let test = start::test_entry().unwrap();
        command.args([test, "--exact", "--nocapture"]);
        let number = file.as_ref().map_or(FIRST_FREE, AsRawFd::as_raw_fd);
        command.env(MARKER, marker.replace('#', &number.to_string()));
        if file.is_some() {
            keep(&mut command, vec![number]);
        }
        command.output().unwrap().status
    }

    #[test]
    fn what_a_child_starts_is_not_taken_for_one() {
        // The variable is there, but its number is nothing's, or something else's: of a pipe a
        // look must not wait for anybody.
        let marker = format!("{}:#", std::process::id());
        for marker in ["1:#", &marker, "", "x", "1:x"] {
            assert!(begin_with(marker, None).success());
        }
        let (_reader, writer) = ropewalk_rt::io::pipe().unwrap();
        assert!(begin_with(&marker, Some(writer.into())).success());
        assert!(begin_with(&marker, Some(file("no header"))).success());
    }

    // Before, a child whose parent was killed in the moment between exec and the hook took
    // itself for the program, and ran all of it.
    #[test]
    fn a_child_that_is_orphaned_before_it_begins_ends() {
        let header = write_header(&Header::new("test-sleeper", "orphan")).unwrap();
        let status = begin_with("1:#", Some(header));
        assert_eq!(status.code(), Some(start::EXIT_ORPHAN));
    }
}
