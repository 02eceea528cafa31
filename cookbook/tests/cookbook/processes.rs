//! Rows about processes and terminals: C11, N12, T9, T10.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;

use ropewalk::fs;
use ropewalk::process::{Child, Command, Stdio};
use ropewalk::sync::{Event, Mutex};
use ropewalk::time::Duration;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::program::{c11_subprocesses, t9_event, t10_pipeline};
use crate::programs::{drivers, path_of};

/// C11: many at once, each with its own input and output.
#[ropewalk::test]
fn children_run_at_once() {
    let texts: Vec<String> = (0..30)
        .map(|n| format!("text {n}\n").repeat(3000))
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let shouted = c11_subprocesses::shout(&texts).unwrap();
    for (shouted, text) in shouted.iter().zip(&texts) {
        assert_eq!(*shouted, text.to_uppercase());
    }
    assert_eq!(c11_subprocesses::alive_at_once(10).unwrap(), (10, 10));
}

/// C11: a time-out kills grandchildren too, and what was said before it is not lost.
#[ropewalk::test]
fn a_child_out_of_time_is_killed_with_its_own() {
    // A slow machine may need more time to get that far.
    let limits = [400, 4_000, 40_000].map(Duration::from_millis).into_iter();
    let mut said = limits.map(|limit| c11_subprocesses::out_of_time(limit).unwrap());
    let said = said.find(|said| said.ends_with("so far so good\n"));
    let said = said.expect("it comes that far");
    let (grandchild, _) = said.split_once('\n').unwrap();
    assert!(c11_subprocesses::ends(grandchild));
}

/// T9: each try in vain is logged by name, and the last is the third.
#[ropewalk::test]
fn workers_give_up_after_three_tries() {
    let (never, lines) = (Event::new(), Mutex::new(Vec::new()));
    let log = |line| lines.lock().push(line);
    let patience = Duration::from_millis(5);
    let none = t9_event::workers(2, &never, patience, &log, || ());
    assert_eq!(none, [None, None]);
    let lines = lines.into_inner();
    for worker in ["worker 1", "worker 2"] {
        let own: Vec<_> = lines
            .iter()
            .filter_map(|l| l.strip_prefix(worker))
            .collect();
        let expected = [
            ": not ready after try 1",
            ": not ready after try 2",
            ": not ready after try 3",
            ": gives up",
        ];
        assert_eq!(own, expected);
    }
}

/// T9: a real server that comes up late is waited for, by all of them.
#[ropewalk::test]
fn workers_wait_for_a_late_redis() {
    if !t9_event::is_installed() {
        let required = std::env::var("ROPEWALK_REQUIRE_SERVICES").is_ok_and(|v| v == "1");
        assert!(!required, "redis-server is not installed");
        println!("skipped: redis-server not installed");
        return;
    }
    let lines = Mutex::new(Vec::new());
    let log = |line| lines.lock().push(line);
    // Long tries: the machine may be busy, and a server slow to start.
    let numbers = t9_event::late_redis(Duration::from_secs(5), &log).unwrap();
    assert_eq!(numbers, [":1", ":2", ":3"]);
    let lines = lines.into_inner();
    assert!(
        lines
            .iter()
            .any(|line| line.ends_with("not ready after try 1"))
    );
}

/// T10: lines go through in order and are appended, however they come.
#[test]
fn a_pipeline_appends_what_it_reads() {
    for driver in drivers() {
        let name = format!("ropewalk-t10-{}-{}", std::process::id(), driver.as_str());
        let path = std::env::temp_dir().join(name);
        let mut command = Command::new(path_of("t10_pipeline"));
        command.arg(&path).env("ROPEWALK_DRIVER", driver.as_str());
        let output = command
            .output_with_input(b" one   line\n\n  \nand  a last one")
            .unwrap();
        assert_eq!(output.stdout, b"saved 2 lines\n");

        // From a terminal, to whose end Ctrl-D leads.
        let (mut terminal, theirs) = terminal();
        let mut child = command
            .stdin(theirs)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        drop(command);
        terminal.write_all(b"typed  in\n\x04").unwrap();
        let mut said = String::new();
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_to_string(&mut said).unwrap();
        assert_eq!(said, "saved 1 lines\n");
        assert!(child.wait().unwrap().success());

        let saved = fs::read_to_string(&path).unwrap();
        assert_eq!(saved, "  1  one line\n  2  and a last one\n  1  typed in\n");
        fs::remove_file(&path).unwrap();
    }
}

/// T10: more than the channels hold; and an output that fails ends all three.
#[ropewalk::test]
fn a_pipeline_takes_much_and_ends_when_it_fails() {
    let lines = "a line\n".repeat(10_000);
    let mut saved = Vec::new();
    let count = t10_pipeline::pipeline(lines.as_bytes(), &mut saved).unwrap();
    assert_eq!(count, 10_000);
    assert_eq!(saved.split(|&byte| byte == b'\n').count(), 10_001);
    let full = &mut [0; 100][..];
    assert!(t10_pipeline::pipeline(lines.as_bytes(), full).is_err());
}

/// A terminal: our side, and the one that a process gets.
fn terminal() -> (File, OwnedFd) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = openpt(flags).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    // It must not become the terminal that controls this process.
    let noctty = OpenptFlags::NOCTTY.bits() as i32;
    let mut theirs = File::options();
    let theirs = theirs.read(true).write(true).custom_flags(noctty);
    let theirs = theirs.open(name.to_str().unwrap()).unwrap();
    (ours.into(), theirs.into())
}

/// What comes from a terminal.
struct Screen(BufReader<File>);

impl Screen {
    /// Reads up to and with `what`, and gives it all.
    fn until(&mut self, what: &str) -> String {
        let mut seen = Vec::new();
        while !seen.ends_with(what.as_bytes()) {
            let mut byte = [0];
            match self.0.read(&mut byte) {
                Ok(1) => seen.push(byte[0]),
                _ => panic!("no {what:?}: {}", String::from_utf8_lossy(&seen)),
            }
        }
        String::from_utf8(seen).unwrap()
    }
}

fn start_console(driver: &str) -> (Child, File, Screen) {
    let (terminal, theirs) = terminal();
    let mut command = Command::new(path_of("n12_console"));
    command.env("ROPEWALK_DRIVER", driver);
    command.stdin(theirs.try_clone().unwrap()).stdout(theirs);
    let child = command.kill_on_drop(true).spawn().unwrap();
    let screen = Screen(BufReader::new(terminal.try_clone().unwrap()));
    (child, terminal, screen)
}

/// N12: while the console is prompted for one client, another is greeted; each gets its answer.
#[test]
fn a_console_answers_clients_in_turn() {
    for driver in drivers() {
        let (mut child, mut terminal, mut screen) = start_console(driver.as_str());
        screen.until("listening on ");
        let addr = screen.until("\r\n").trim_end().to_string();
        let client = || {
            let stream = TcpStream::connect(&addr).unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let greeting = lines.next().unwrap().unwrap();
            (stream, lines, greeting)
        };
        let (mut first, mut to_first, greeting) = client();
        assert_eq!(greeting, "you are client 1");
        writeln!(first, "tea or coffee?").unwrap();
        screen.until("client 1: tea or coffee?\r\n> ");

        // The prompt stands; the others go on.
        let (mut second, mut to_second, greeting) = client();
        assert_eq!(greeting, "you are client 2");
        writeln!(second, "and the sugar?").unwrap();

        writeln!(terminal, "tea").unwrap();
        assert_eq!(to_first.next().unwrap().unwrap(), "tea");
        screen.until("client 2: and the sugar?\r\n> ");
        writeln!(terminal, "two lumps").unwrap();
        assert_eq!(to_second.next().unwrap().unwrap(), "two lumps");

        terminal.write_all(&[4]).unwrap();
        screen.until("the console is closed, after 2 answers\r\n");
        assert!(child.wait().unwrap().success());
        assert!(to_first.next().is_none(), "the connection is closed");
    }
}
