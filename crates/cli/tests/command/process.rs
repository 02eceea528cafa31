//! Running the binary: to its end, or beside the test with its streams at hand.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// Ends a test that hangs; no test comes near it.
const PATIENCE: Duration = Duration::from_secs(180);

/// Makes a command of the binary with these arguments.
pub(crate) fn ropewalk<I: IntoIterator<Item: AsRef<std::ffi::OsStr>>>(args: I) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ropewalk"));
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What a finished command leaves.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Finished {
    /// Returns the records, one JSON object a line.
    pub(crate) fn records(&self) -> Vec<serde_json::Value> {
        self.out.lines().map(record).collect()
    }

    /// Returns the record of a URL, which must be the only one.
    pub(crate) fn record_of(&self, url: &str) -> serde_json::Value {
        let mut of_url: Vec<_> = self
            .records()
            .into_iter()
            .filter(|r| r["url"] == url)
            .collect();
        assert_eq!(of_url.len(), 1, "records of {url}: {of_url:#?}");
        of_url.remove(0)
    }
}

/// Reads a record.
pub(crate) fn record(line: &str) -> serde_json::Value {
    serde_json::from_str(line).unwrap_or_else(|e| panic!("not JSON: {line:?}: {e}"))
}

/// Runs the binary to its end.
pub(crate) fn run<I: IntoIterator<Item: AsRef<std::ffi::OsStr>>>(args: I) -> Finished {
    Running::start(&mut ropewalk(args)).finish()
}

/// The binary beside the test; killed if the test fails.
pub(crate) struct Running {
    child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) out: Option<BufReader<ChildStdout>>,
    pub(crate) err: Option<BufReader<ChildStderr>>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Running {
        let mut child = command.spawn().expect("the binary starts");
        Running {
            stdin: child.stdin.take(),
            out: child.stdout.take().map(BufReader::new),
            err: child.stderr.take().map(BufReader::new),
            child,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Reads a line of standard output, without its end.
    pub(crate) fn out_line(&mut self) -> String {
        line(self.out.as_mut().expect("standard output is read here"))
    }

    /// Reads a line of standard error, without its end.
    pub(crate) fn err_line(&mut self) -> String {
        line(self.err.as_mut().expect("standard error is read here"))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let id = i32::try_from(self.child.id()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }

    /// Closes standard input, reads what is left and waits for the end.
    pub(crate) fn finish(mut self) -> Finished {
        drop(self.stdin.take());
        // Both streams at once, so that neither fills up while the other is read.
        let err = self.err.take().map(|err| thread::spawn(move || rest(err)));
        let id = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        let (ended, wait) = mpsc::channel::<()>();
        let watchdog = thread::spawn(move || {
            let timed_out = wait.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout);
            if timed_out {
                let _ = kill_process(id, Signal::KILL);
            }
            timed_out
        });
        let out = self.out.take().map(rest).unwrap_or_default();
        let status = self.child.wait().unwrap();
        drop(ended);
        let err = err.map(|err| err.join().unwrap()).unwrap_or_default();
        let timed_out = watchdog.join().unwrap();
        assert!(
            !timed_out,
            "still running after {PATIENCE:?}; out: {out}\nerr: {err}"
        );
        Finished {
            code: status.code(),
            out,
            err,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn line(reader: &mut impl BufRead) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert!(line.ends_with('\n'), "the stream ended after {line:?}");
    line.pop();
    line
}

fn rest(mut reader: impl Read) -> String {
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    text
}

/// A folder for a test, removed at its end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("ropewalk-command-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Returns the names of all entries, in order.
    pub(crate) fn names(&self, below: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.join(below)).unwrap();
        let mut names: Vec<String> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
