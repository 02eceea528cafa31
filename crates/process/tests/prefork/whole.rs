//! A whole program with such a port: signals to it, and its death.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};

use ropewalk_process::prefork::{Event, Prefork};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::service::{answer, ask, signal, until_gone};

/// What makes the test below a program.
const PROGRAM: &str = "ROPEWALK_TEST_PREFORK";

/// The program: prints its port, and what happens.
#[test]
fn program() {
    if std::env::var_os(PROGRAM).is_none() {
        return;
    }
    let master = Prefork::new(2)
        .on_event(|event| match event {
            Event::Ready { pid, .. } => eprintln!("ready {pid}"),
            Event::Reloaded { .. } => eprintln!("reloaded"),
            _ => {}
        })
        .bind("127.0.0.1:0")
        .unwrap();
    eprintln!("port {}", master.local_addr().unwrap().port());
    master.run(answer).unwrap();
    eprintln!("over");
}

struct Program {
    child: Child,
    lines: Lines<BufReader<std::process::ChildStderr>>,
    port: u16,
    _out: ChildStdout,
}

impl Program {
    fn start() -> Program {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["whole::program", "--exact", "--nocapture"])
            .env(PROGRAM, "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let out = child.stdout.take().unwrap();
        let mut program = Program {
            child,
            lines,
            port: 0,
            _out: out,
        };
        program.port = program.after("port ");
        program
    }

    /// The number in the next line that begins so.
    fn after<N: std::str::FromStr>(&mut self, begin: &str) -> N {
        loop {
            let line = self.lines.next().expect("a line more").unwrap();
            if let Some(Ok(number)) = line.strip_prefix(begin).map(str::parse) {
                return number;
            }
        }
    }

    fn pids(&mut self) -> [u32; 2] {
        [self.after("ready "), self.after("ready ")]
    }
}

#[test]
fn signals_reload_and_end_it() {
    for end in [Signal::TERM, Signal::INT] {
        let mut program = Program::start();
        let addr = ([127, 0, 0, 1], program.port).into();
        let old = program.pids();
        signal(program.child.id(), Signal::HUP);
        let new = program.pids();
        assert!(new.iter().all(|pid| !old.contains(pid)));
        while program.lines.next().expect("a line more").unwrap() != "reloaded" {}
        assert_eq!(ask(addr).unwrap().1, 1);
        signal(program.child.id(), end);
        while program.lines.next().expect("a line more").unwrap() != "over" {}
        assert!(program.child.wait().unwrap().success());
        new.into_iter().for_each(until_gone);
    }
}

#[test]
fn its_death_ends_all() {
    let mut program = Program::start();
    let pids = program.pids();
    signal(program.child.id(), Signal::KILL);
    program.child.wait().unwrap();
    pids.into_iter().for_each(until_gone);
}

// As a terminal does it: the signal goes to all of the group.
#[test]
fn an_interrupted_group_ends_in_order() {
    use std::os::unix::process::CommandExt;
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["whole::program", "--exact", "--nocapture"])
        .env(PROGRAM, "1")
        .process_group(0)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut ready = 0;
    while ready < 2 {
        let line = lines.next().expect("a line more").unwrap();
        ready += usize::from(line.starts_with("ready "));
    }
    let group = Pid::from_child(&child);
    kill_process_group(group, Signal::INT).unwrap();
    assert!(lines.any(|line| line.unwrap() == "over"));
    assert!(child.wait().unwrap().success());
}
