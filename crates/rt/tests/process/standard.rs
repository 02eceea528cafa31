//! The standard streams, of a process of its own: on pipes, terminals, files, sockets, devices.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use ropewalk_rt::cancel::{Cancelled, Token};
use ropewalk_rt::io::{stderr, stdin, stdout};
use ropewalk_rt::process::{Child, Command, Stdio};
use ropewalk_rt::{coroutine, scope};

use crate::stage::{in_coroutines, on_each, until_waiting};

const PLAY: &str = "ROPEWALK_TEST_PLAY";
const PLAYER: &str = "standard::the_player";

/// Not a test, but the process that the tests start: it does what the variable says.
#[test]
fn the_player() {
    let Some(play) = std::env::var_os(PLAY) else {
        return;
    };
    let deed: fn() = match play.to_str().unwrap() {
        "echo" => echo,
        "flood" => flood,
        "prompt" => prompt,
        "patience" => patience,
        "locks" => locks,
        other => panic!("no such play: {other}"),
    };
    // The harness has begun a line.
    writeln!(stdout()).unwrap();
    deed();
}

/// Starts a play with this input, its outputs piped; the harness's own words come first.
fn play(name: &str, input: impl Into<Stdio>) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([PLAYER, "--exact", "--nocapture", "--test-threads=1"]);
    command.env(PLAY, name).stdin(input);
    command
}

/// What a play said, without the harness's words.
fn said(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().filter_map(|line| line.strip_prefix("> "));
    lines.map(str::to_owned).collect()
}

fn nonblocking(fd: i32) -> bool {
    // SAFETY: no pointers.
    unsafe { libc::fcntl(fd, libc::F_GETFL) & libc::O_NONBLOCK != 0 }
}

/// Repeats each line while another coroutine makes steps; no flag of a stream is touched.
fn echo() {
    on_each(|| {
        scope(|scope| {
            let other = scope.spawn(|| (0..100).map(|_| coroutine::yield_now()).count());
            for line in stdin().lines() {
                writeln!(stdout(), "> {}", line.unwrap()).unwrap();
            }
            assert_eq!(other.join().unwrap(), 100);
        });
        assert!(![0, 1, 2].into_iter().any(nonblocking));
    });
}

#[test]
fn lines_come_from_anything() {
    on_each(|| {
        // The first stage of the player takes them all; the others find the end.
        let lines = ["one", "two", "", "a last one without an end"];
        let text = lines.join("\n");

        let output = play("echo", Stdio::piped())
            .output_with_input(text.as_bytes())
            .unwrap();
        assert_eq!(said(&output.stdout), lines, "of a pipe");
        assert!(output.status.success());

        let path = std::env::temp_dir().join(format!("ropewalk-stdin-{}", std::process::id()));
        std::fs::write(&path, &text).unwrap();
        let output = play("echo", File::open(&path).unwrap()).output();
        assert_eq!(said(&output.unwrap().stdout), lines, "of a file");
        std::fs::remove_file(&path).unwrap();

        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.write_all(text.as_bytes()).unwrap();
        drop(ours);
        let output = play("echo", OwnedFd::from(theirs)).output();
        assert_eq!(said(&output.unwrap().stdout), lines, "of a socket");

        let output = play("echo", Stdio::null()).output().unwrap();
        assert!(said(&output.stdout).is_empty() && output.status.success());
    });
}

/// A terminal: our side, and the one that a process gets.
fn terminal() -> (File, OwnedFd) {
    let (mut ours, mut theirs) = (-1, -1);
    // SAFETY: two descriptors are written; no name, settings or size are given.
    unsafe {
        let none = std::ptr::null_mut();
        let made = libc::openpty(
            &raw mut ours,
            &raw mut theirs,
            none,
            std::ptr::null(),
            std::ptr::null(),
        );
        assert_eq!(made, 0);
        libc::fcntl(ours, libc::F_SETFD, libc::FD_CLOEXEC);
        libc::fcntl(theirs, libc::F_SETFD, libc::FD_CLOEXEC);
        (File::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs))
    }
}

/// Asks, waits, and counts meanwhile; ends at Ctrl-D.
fn prompt() {
    in_coroutines(|| {
        if !stdin().is_terminal() || !stdout().is_terminal() {
            panic!("not on a terminal");
        }
        scope(|scope| {
            let asking = scope.spawn(|| {
                write!(stdout(), "name? ").unwrap();
                let mut name = String::new();
                assert!(stdin().read_line(&mut name).unwrap() > 0);
                writeln!(stdout(), "> good day, {}", name.trim_end()).unwrap();
                assert_eq!(stdin().read_line(&mut name).unwrap(), 0, "Ctrl-D");
                writeln!(stdout(), "> good bye").unwrap();
            });
            // The others go on during the prompt.
            until_waiting(asking.task().id(), "reading");
            writeln!(stdout(), "> meanwhile").unwrap();
        });
    });
}

#[test]
fn a_terminal_is_prompted() {
    on_each(|| {
        let (mut ours, theirs) = terminal();
        let mut command = play("prompt", theirs.try_clone().unwrap());
        command.stdout(theirs.try_clone().unwrap()).stderr(theirs);
        command.env("ROPEWALK_WORKERS", "1");
        let mut child = command.spawn().unwrap();
        drop(command);
        let mut read = BufReader::new(ours.try_clone().unwrap());
        let mut until = |what: &str| {
            let mut text = String::new();
            while !text.contains(what) {
                let mut byte = [0];
                match read.read(&mut byte) {
                    Ok(1) => text.push(char::from(byte[0])),
                    _ => panic!("the terminal closed before {what:?}: {text}"),
                }
            }
        };
        for _ in 0..crate::stage::drivers().len() {
            until("name? ");
            until("> meanwhile");
            ours.write_all(b"Ada\n").unwrap();
            until("> good day, Ada");
            ours.write_all(&[4]).unwrap();
            until("> good bye");
        }
        assert!(child.wait().unwrap().success());
    });
}

/// Waits in vain, by time and by cancellation; then for the rest of the line.
fn patience() {
    on_each(|| {
        let mut line = String::new();
        let error = stdin()
            .read_line_timeout(&mut line, Duration::from_millis(5))
            .unwrap_err();
        assert_eq!((error.kind(), &*line), (io::ErrorKind::TimedOut, ""));
        let token = Token::new();
        let first = token.run(|| coroutine::spawn(|| stdin().read_line(&mut String::new())));
        until_waiting(first.task().id(), "reading");
        // A second one waits for the first's lock.
        let second = token.run(|| coroutine::spawn(|| stdin().read_line(&mut String::new())));
        until_waiting(second.task().id(), "locking");
        token.cancel();
        for waiting in [first, second] {
            let error = waiting.join().unwrap().unwrap_err();
            assert!(error.get_ref().unwrap().is::<Cancelled>());
        }
        writeln!(stdout(), "> now").unwrap();
        stdin().read_line(&mut line).unwrap();
        writeln!(stdout(), "> {}", line.trim_end()).unwrap();
        write!(stderr(), "").unwrap();
    });
}

fn waited_for(mut child: Child, half: &str, rest: &str, write: &mut dyn Write) {
    let stdout = child.stdout.take().unwrap();
    let mut lines = BufReader::new(stdout).lines();
    let mut until = |what: &str| {
        let found = lines.any(|line| line.unwrap().ends_with(what));
        assert!(found, "the end came before {what:?}");
    };
    write.write_all(half.as_bytes()).unwrap();
    let stages = 1 + crate::stage::drivers().len() * crate::stage::worker_counts().len();
    for stage in 1..=stages {
        until("> now");
        write.write_all(rest.as_bytes()).unwrap();
        // After the last stage nobody may be there any more.
        if stage < stages {
            write.write_all(half.as_bytes()).unwrap();
        }
        until(&format!("> {half}{}", rest.trim_end()));
    }
    assert!(child.wait().unwrap().success());
}

/// Half a line is not lost by a wait that ends before the other half comes.
#[test]
fn half_a_line_is_kept() {
    in_coroutines(|| {
        let mut command = play("patience", Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        waited_for(child, "half and ", "half\n", &mut stdin);

        // On a terminal there are no halves.
        let (mut ours, theirs) = terminal();
        let mut command = play("patience", theirs);
        let child = command.stdout(Stdio::piped()).spawn().unwrap();
        drop(command);
        waited_for(child, "", "a line\n", &mut ours);
    });
}

/// More than a pipe holds, by many writers, each line in one piece.
fn flood() {
    in_coroutines(|| {
        scope(|scope| {
            for writer in 0..8 {
                scope.spawn(move || {
                    for n in 0..500 {
                        let line = format!("{writer} {n}").repeat(5);
                        writeln!(stdout(), "> {line} {}", line.len()).unwrap();
                    }
                });
            }
        });
    });
}

#[test]
fn lines_stay_whole() {
    on_each(|| {
        let mut command = play("flood", Stdio::null());
        let output = command.stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success());
        let lines = said(&output.stdout);
        let stages = crate::stage::drivers().len() * crate::stage::worker_counts().len();
        assert_eq!(lines.len(), stages * 4000);
        for line in lines {
            let (text, len) = line.rsplit_once(' ').unwrap();
            assert_eq!(text.len(), len.parse().unwrap(), "{line}");
        }
    });
}

/// A lock collects, and its holder may lock again; a reader that goes is an error.
fn locks() {
    let mut lock = stdout().lock();
    write!(lock, "> one ").unwrap();
    // Through the lock of the same holder, after what was collected.
    write!(stdout(), "two ").unwrap();
    write!(stdout().lock(), "three").unwrap();
    lock.write_all(b"\n").unwrap();
    drop(lock);
    let mut lock = stdout().lock();
    writeln!(lock, "> {}", "x".repeat(100_000)).unwrap();
    drop(lock);
    writeln!(stderr(), "> told").unwrap();
    writeln!(stderr().lock(), "> again").unwrap();
    // Nobody reads on.
    let mut line = String::new();
    stdin().read_line(&mut line).unwrap();
    let error = loop {
        if let Err(error) = writeln!(stdout(), "> anybody?") {
            break error;
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    // The harness could not say its last words.
    std::process::exit(42);
}

#[test]
fn locks_collect_and_a_gone_reader_is_told() {
    on_each(|| {
        let mut command = play("locks", Stdio::piped());
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut line = || loop {
            let line = lines.next().unwrap().unwrap();
            if let Some(at) = line.find("> ") {
                break line[at + 2..].to_owned();
            }
        };
        assert_eq!(line(), "one two three");
        assert_eq!(line().len(), 100_000);
        drop(lines);
        child.stdin.take().unwrap().write_all(b"\n").unwrap();
        let mut told = String::new();
        let mut stderr = child.stderr.take().unwrap();
        stderr.read_to_string(&mut told).unwrap();
        assert_eq!(said(told.as_bytes()), ["told", "again"]);
        assert_eq!(child.wait().unwrap().code(), Some(42));
    });
}

/// Streams that are closed are at their end and take everything, as with std.
#[test]
fn closed_streams_do_no_harm() {
    let exe = std::env::current_exe().unwrap();
    let script = format!("exec {exe:?} {PLAYER} --exact --nocapture <&- >&- 2>&-");
    let status = Command::new("sh")
        .args(["-c", &script])
        .env(PLAY, "echo")
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn the_descriptors_are_the_processes_own() {
    let fds = [
        stdin().as_raw_fd(),
        stdout().as_raw_fd(),
        stderr().as_raw_fd(),
    ];
    assert_eq!(fds, [0, 1, 2]);
}
