//! A process to look into: this test binary again, with a crowd of coroutines.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use ropewalk::Runtime;

use super::crowd::{self, Mishap};
use crate::process::{Finished, Folder, Running, ropewalk};

const CROWD: &str = "ROPEWALK_TEST_CROWD";

/// The process itself, when started by [`Target`]: it ends with its standard input.
#[test]
#[ignore = "a process for other tests"]
fn run() {
    let Ok(crowd) = std::env::var(CROWD) else {
        return;
    };
    let (count, mishap) = crowd.split_once(' ').unwrap();
    let mishap = match mishap {
        "none" => Mishap::None,
        "deadlock" => Mishap::Deadlock,
        "busy" => Mishap::Busy,
        other => panic!("no mishap {other}"),
    };
    let runtime = Runtime::builder().workers(2).build().unwrap();
    crowd::gather(&runtime, count.parse().unwrap(), mishap);
    println!("\nready");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    // Nobody waits for the crowd.
    std::process::exit(0);
}

/// How to start one.
pub(super) struct Plan<'a> {
    pub(super) folder: &'a Folder,
    pub(super) count: usize,
    pub(super) mishap: &'static str,
    pub(super) inspected: bool,
    /// The user to run as, for root only.
    pub(super) uid: Option<u32>,
}

impl Plan<'_> {
    pub(super) fn new(folder: &Folder, count: usize) -> Plan<'_> {
        Plan {
            folder,
            count,
            mishap: "none",
            inspected: true,
            uid: None,
        }
    }

    pub(super) fn mishap(self, mishap: &'static str) -> Self {
        Plan { mishap, ..self }
    }

    pub(super) fn start(self) -> Target {
        let mut program = std::env::current_exe().unwrap();
        if self.uid.is_some() {
            // Where other users get to.
            let copy = self.folder.join("target");
            // By another process: what this one had open to write, a child that another test starts
            // could still have, and then it can't be executed.
            let copying = Command::new("cp").arg(&program).arg(&copy).status();
            assert!(copying.unwrap().success());
            std::fs::set_permissions(&copy, PermissionsExt::from_mode(0o755)).unwrap();
            program = copy;
        }
        let mut command = Command::new(program);
        command
            .args(["--exact", "top::target::run", "--ignored", "--nocapture"])
            .env(CROWD, format!("{} {}", self.count, self.mishap))
            .env("XDG_RUNTIME_DIR", self.folder.path())
            .env("ROPEWALK_INSPECT", if self.inspected { "1" } else { "0" })
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        if let Some(uid) = self.uid {
            command.uid(uid);
        }
        let mut running = Running::start(&mut command);
        while running.out_line() != "ready" {}
        let folder = self.folder.path().to_owned();
        Target { running, folder }
    }
}

/// A running one; killed at the end of the test.
pub(super) struct Target {
    pub(super) running: Running,
    folder: PathBuf,
}

impl Target {
    pub(super) fn pid(&self) -> String {
        self.running.id().to_string()
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.folder
            .join("ropewalk")
            .join(format!("{}.sock", self.running.id()))
    }

    pub(super) fn connect(&self) -> UnixStream {
        UnixStream::connect(self.socket()).unwrap()
    }

    /// The command with these arguments and the process's number, in the same environment.
    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = ropewalk(["top"]);
        command
            .args(args)
            .arg(self.pid())
            .env("XDG_RUNTIME_DIR", &self.folder);
        command
    }

    /// Runs the command to its end.
    pub(super) fn top(&self, args: &[&str]) -> Finished {
        Running::start(&mut self.command(args)).finish()
    }

    /// Prints until what is printed is as `expected`: coroutines need a moment to get there.
    pub(super) fn top_until(&self, args: &[&str], expected: impl Fn(&str) -> bool) -> String {
        let mut out = String::new();
        for _ in 0..200 {
            let finished = self.top(args);
            assert_eq!((finished.code, finished.err.as_str()), (Some(0), ""));
            out = finished.out;
            if expected(&out) {
                return out;
            }
        }
        panic!("never as expected: {out}");
    }
}
