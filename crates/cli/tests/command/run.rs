//! `ropewalk run`: real processes, their output, their ends.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::process::Signal;

use crate::process::{Finished, Folder, Running, ropewalk, run};

/// Runs it with what its standard input says.
fn run_with(args: &[&str], input: &str) -> Finished {
    let mut running = Running::start(ropewalk(args).stdin(Stdio::piped()));
    running
        .stdin
        .as_mut()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    running.finish()
}

/// Waits until a process that wrote its number into `file` is gone.
fn until_gone(file: &Path) {
    let pid = fs::read_to_string(file).unwrap();
    let path = format!("/proc/{}/stat", pid.trim());
    // A zombie is nobody's burden but its new parent's.
    while fs::read_to_string(&path).is_ok_and(|stat| !stat.contains(") Z ")) {
        std::thread::yield_now();
    }
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn each_value_is_a_job() {
    let finished = run(["run", "echo", "<{}>", ":::", "a", "b c", "$HOME", ""]);
    assert_eq!(sorted(&finished.out), ["<$HOME>", "<>", "<a>", "<b c>"]);
    assert_eq!((finished.code, finished.err.as_str()), (Some(0), ""));
}

#[test]
fn the_order_of_the_input_is_kept() {
    let values: Vec<String> = (1..=50).map(|n| n.to_string()).collect();
    let mut args = vec![
        "run",
        "-k",
        "-j8",
        "--shell",
        "sleep 0.0$(({} * 7 % 5)); echo {}",
        ":::",
    ];
    args.extend(values.iter().map(String::as_str));
    let finished = run(&args);
    assert_eq!(finished.out.lines().collect::<Vec<_>>(), values);
    args.insert(1, "--line-buffer");
    let finished = run(&args);
    assert_eq!(finished.out.lines().collect::<Vec<_>>(), values);
}

// As many at once as were asked for: the first two wait for each other. And not more: each looks
// who is there, and fails if there are three.
#[test]
fn jobs_run_at_once_but_not_too_many() {
    let folder = Folder::new();
    let script = "mkdir at.{#}; touch came.{}; \
                  while [ {#} -le 2 ] && [ $(ls -d came.* | wc -l) -lt 2 ]; do sleep 0.01; done; \
                  n=$(ls -d at.* | wc -l); rmdir at.{#}; [ $n -le 2 ] && [ {%} -le 2 ]";
    let mut args = vec!["run", "-j2", "--shell", script, ":::"];
    args.extend(["1", "2", "3", "4", "5", "6", "7", "8"]);
    let mut command = ropewalk(args);
    let finished = Running::start(command.current_dir(folder.path())).finish();
    assert_eq!(finished.code, Some(0), "{finished:?}");
}

#[test]
fn output_stays_in_one_piece_unless_lines_are_wanted() {
    let script = "for i in 1 2 3; do echo {} $i; sleep 0.01; done; echo {} error >&2";
    let args = ["run", "-j4", "--shell", script, ":::", "a", "b", "c", "d"];
    let finished = run(args);
    let lines: Vec<_> = finished.out.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        assert!(line.ends_with(&(index % 3 + 1).to_string()), "{lines:?}");
    }
    assert_eq!(
        sorted(&finished.err),
        ["a error", "b error", "c error", "d error"]
    );
    let mut tagged = args.to_vec();
    tagged.splice(1..1, ["--line-buffer", "--tag"]);
    let finished = run(&tagged);
    assert_eq!(finished.out.lines().count(), 12);
    assert!(
        finished
            .out
            .lines()
            .all(|line| line[..1] == line[2..3] && &line[1..2] == "\t")
    );
}

#[test]
fn large_outputs_come_through_whole() {
    for way in ["--keep-order", "--line-buffer", "--ungroup"] {
        let script = "head -c 3000000 /dev/zero | tr '\\0' '{}'; echo";
        let finished = run(["run", "-j1", way, "--shell", script, ":::", "x", "y"]);
        assert_eq!(finished.out.len(), 6_000_002, "{way}");
        assert_eq!(finished.out.matches('x').count(), 3_000_000, "{way}");
    }
}

#[test]
fn lines_are_values_or_commands() {
    let finished = run_with(&["run", "-k", "echo", "{}!"], "a\nb c\n\nd");
    assert_eq!(finished.out, "a!\nb c!\n!\nd!\n");
    let commands = "echo 'one  word' two\n# nothing\n\nprintf '%s\\n' \"$HOME\"\n";
    let finished = run_with(&["run", "-k"], commands);
    assert_eq!(finished.out, "one  word two\n$HOME\n");
    let finished = run_with(&["run", "-k", "--shell"], "echo a | tr a b; exit 3\n");
    assert_eq!((finished.out.as_str(), finished.code), ("b\n", Some(1)));
    let finished = run_with(&["run", "-k", "-0", "echo"], "a\nb\0c\0");
    assert_eq!(finished.out, "a\nb\nc\n");
}

#[test]
fn several_sources_and_files() {
    let folder = Folder::new();
    let file = folder.write("values", "1\n2\n");
    let file = file.to_str().unwrap();
    let finished = run([
        "run", "-k", "echo", "{1}-{2}", ":::", "a", "b", "::::", file,
    ]);
    assert_eq!(finished.out, "a-1\na-2\nb-1\nb-2\n");
    let finished = run([
        "run",
        "-k",
        "--link",
        "-a",
        file,
        "echo {2}{1}",
        ":::",
        "a",
        "b",
    ]);
    assert_eq!(finished.out, "a1\nb2\n");
    let finished = run(["run", "echo", "::::", "/nonexistent/values"]);
    assert_eq!(finished.code, Some(255));
    assert!(
        finished.err.contains("/nonexistent/values"),
        "{}",
        finished.err
    );
}

#[test]
fn exit_codes_count_failures() {
    let values: Vec<String> = (0..150).map(|n| n.to_string()).collect();
    let failing = |count: usize| {
        let mut args = vec!["run", "false", ":::"];
        args.extend(values[..count].iter().map(String::as_str));
        run(&args).code
    };
    assert_eq!(failing(0), Some(0));
    assert_eq!(failing(3), Some(3));
    assert_eq!(failing(150), Some(101));
    for wrong in [
        &["run", "--halt", "x", "true", ":::", "1"][..],
        &["run", "--no-such-option"],
        &["run", "echo {3}", ":::", "1"],
        &["run", "echo 'open", ":::", "1"],
        &["run", "-j", "many", "true", ":::", "1"],
        &["run", "true", ":::+", "1"],
        &["run", "--resume", "true", ":::", "1"],
    ] {
        let finished = run(wrong);
        assert_eq!(finished.code, Some(255), "{finished:?}");
        assert!(!finished.err.is_empty());
    }
}

#[test]
fn what_can_not_be_started_says_so() {
    let finished = run(["run", "/nonexistent/program", ":::", "1"]);
    assert_eq!(finished.code, Some(1));
    assert!(
        finished
            .err
            .contains("job 1 was not started: /nonexistent/program"),
        "{}",
        finished.err
    );
    let folder = Folder::new();
    let file = folder.write("no-program", "x");
    let finished = run([
        "run",
        "--halt",
        "now,fail=1",
        file.to_str().unwrap(),
        ":::",
        "1",
    ]);
    assert_eq!(finished.code, Some(126), "{}", finished.err);
}

#[test]
fn a_failed_job_is_tried_again() {
    let folder = Folder::new();
    // Succeeds with the third attempt; prints once.
    let script = "echo x >> tries.{}; [ $(wc -l < tries.{}) -ge 3 ] && echo {}";
    let with = |retries: &str| {
        let mut command = ropewalk([
            "run",
            "--retries",
            retries,
            "--shell",
            script,
            ":::",
            retries,
        ]);
        Running::start(command.current_dir(folder.path())).finish()
    };
    assert_eq!((with("2").code, with("1").code), (Some(0), Some(1)));
    assert_eq!(
        fs::read_to_string(folder.join("tries.2"))
            .unwrap()
            .lines()
            .count(),
        3
    );
    assert_eq!(
        fs::read_to_string(folder.join("tries.1"))
            .unwrap()
            .lines()
            .count(),
        2
    );
}

// A job that is too late is ended with all that it started, and the others are not.
#[test]
fn a_timeout_ends_the_whole_group() {
    // A slow machine may be too late for the first: that one has not begun then.
    let found = ["300ms", "3s", "30s"].iter().any(|limit| {
        let folder = Folder::new();
        let script = "[ {} = late ] || exit 0; sleep 1000 & echo $! > child; \
                      echo $$ > leader; echo begun; wait";
        let args = ["run", "-j2", "-k", "--timeout", limit, "--shell", script];
        let mut command = ropewalk(args);
        let command = command.args([":::", "late", "quick"]);
        let finished = Running::start(command.current_dir(folder.path())).finish();
        if finished.code != Some(1) || finished.out != "begun\n" {
            eprintln!("within {limit}: {finished:?}");
            return false;
        }
        assert!(finished.err.contains("job 1 timed out"), "{}", finished.err);
        until_gone(&folder.join("child"));
        until_gone(&folder.join("leader"));
        true
    });
    assert!(found);
}

#[test]
fn a_job_that_will_not_end_is_killed() {
    let script = "trap '' TERM; while : {}; do sleep 0.1; done";
    let finished = run(["run", "--timeout", "100ms", "--shell", script, ":::", "1"]);
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.err.contains("timed out"), "{}", finished.err);
}

/// Reads what is drawn on a terminal until `text` is there.
fn until_drawn(controller: &mut fs::File, text: &str) {
    let mut drawn = String::new();
    let mut bytes = [0; 4096];
    while !drawn.contains(text) {
        let count = controller.read(&mut bytes).unwrap();
        drawn.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
}

// Also while nothing ends: before, nothing was drawn until the first job had ended, and the time stood
// still then.
#[test]
fn progress_and_the_time_left_are_drawn() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let controller = openpt(flags).unwrap();
    grantpt(&controller).unwrap();
    unlockpt(&controller).unwrap();
    let name = ptsname(&controller, Vec::new()).unwrap();
    let terminal = fs::File::options()
        .read(true)
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    let size = rustix::termios::Winsize {
        ws_row: 24,
        ws_col: 100,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    rustix::termios::tcsetwinsize(&controller, size).unwrap();
    let folder = Folder::new();
    let script = "until [ -e {} ]; do sleep 0.01; done";
    // If it is not drawn the jobs end after a while, and the terminal with them.
    let args = [
        "run",
        "-j1",
        "--timeout",
        "60s",
        "--shell",
        script,
        ":::",
        "a",
        "b",
    ];
    let mut command = ropewalk(args);
    command.env("TERM", "xterm").stderr(terminal);
    let running = Running::start(command.current_dir(folder.path()));
    // Its own copies of the terminal.
    drop(command);
    let mut controller = fs::File::from(controller);
    until_drawn(&mut controller, "0/2");
    folder.write("a", "");
    until_drawn(&mut controller, "1/2");
    until_drawn(&mut controller, " left");
    folder.write("b", "");
    assert_eq!(running.finish().code, Some(0));
}

#[test]
fn halt_stops_early() {
    let script = "echo {}; [ {} != 2 ] || exit 9";
    let values = ["1", "2", "3", "4", "5"];
    let with = |policy: &str| {
        let mut args = vec![
            "run", "-j1", "-k", "--halt", policy, "--shell", script, ":::",
        ];
        args.extend(values);
        run(&args)
    };
    let soon = with("soon,fail=1");
    assert_eq!((soon.code, soon.out.as_str()), (Some(9), "1\n2\n"));
    assert_eq!(with("now,success=1").code, Some(0));
    assert_eq!(with("soon,done=3").code, Some(1));
    assert_eq!(with("never").code, Some(1));
    let script = "[ {} = 1 ] && exit 4; sleep 1000";
    let now = run([
        "run",
        "-j2",
        "--halt",
        "now,fail=1",
        "--shell",
        script,
        ":::",
        "0",
        "1",
    ]);
    assert_eq!(now.code, Some(4), "{now:?}");
}

// A share is one of all jobs, as GNU parallel has it, also of those that are still in a pipe: before, it
// was one of those that were done, and the third of a hundred could end all.
#[test]
fn halt_takes_shares_of_all_jobs() {
    let with = |policy: &str| {
        let script = "echo {}; [ {} != 2 ] && [ {} != 4 ]";
        let args = ["run", "-j1", "-k", "--halt", policy, "--shell", script];
        let finished = run_with(&args, "1\n2\n3\n4\n5\n6\n");
        (finished.code.unwrap(), finished.out.replace('\n', ""))
    };
    assert_eq!(with("soon,fail=30%"), (34, "1234".into()));
    assert_eq!(with("now,done=50%"), (17, "123".into()));
    assert_eq!(with("soon,success=50%"), (0, "12345".into()));
    // Never reached: the share that failed.
    assert_eq!(with("soon,fail=50%"), (34, "123456".into()));
}

#[test]
fn commands_may_have_any_bytes() {
    use std::os::unix::ffi::OsStringExt;
    let mut running = Running::start(ropewalk(["run", "-k"]).stdin(Stdio::piped()));
    let mut stdin = running.stdin.take().unwrap();
    let folder = Folder::new();
    let name = std::ffi::OsString::from_vec(b"caf\xe9".to_vec());
    let file = folder.path().join(name);
    let mut line = b"touch '".to_vec();
    line.extend(std::os::unix::ffi::OsStrExt::as_bytes(file.as_os_str()));
    line.extend(b"'\n");
    stdin.write_all(&line).unwrap();
    drop(stdin);
    assert_eq!(running.finish().code, Some(0));
    assert!(file.exists());
}

#[test]
fn a_job_log_is_written_and_resumed() {
    let folder = Folder::new();
    let log = folder.join("log");
    let log = log.to_str().unwrap();
    let script = "echo {} >> ran; [ {} != b ] || [ -e fixed ]";
    let with = |option: &str, values: &[&str]| {
        let mut args = vec![
            "run", "-j1", "--joblog", log, option, "--shell", script, ":::",
        ];
        args.extend(values);
        let mut command = ropewalk(args);
        let finished = Running::start(command.current_dir(folder.path())).finish();
        let ran = fs::read_to_string(folder.join("ran")).unwrap_or_default();
        let _ = fs::remove_file(folder.join("ran"));
        (finished.code.unwrap(), ran.replace('\n', " "))
    };
    assert_eq!(with("-k", &["a", "b"]), (1, "a b ".into()));
    let text = fs::read_to_string(log).unwrap();
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    assert_eq!(lines[0][..4], ["Seq", "Host", "Starttime", "JobRuntime"]);
    assert_eq!((lines[1][0], lines[1][6], lines[1][7]), ("1", "0", "0"));
    assert_eq!((lines[2][0], lines[2][6]), ("2", "1"));
    assert!(lines[2][8].contains("echo b"));

    assert_eq!(with("--resume", &["a", "b", "c"]), (0, "c ".into()));
    folder.write("fixed", "");
    assert_eq!(
        with("--resume-failed", &["a", "b", "c", "d"]),
        (0, "b d ".into())
    );
    assert_eq!(
        with("--resume-failed", &["a", "b", "c", "d"]),
        (0, String::new())
    );
    // Of other jobs: nothing is run, and nothing left out by mistake.
    assert_eq!(with("--resume", &["x", "b"]), (255, String::new()));
    folder.write("log", "this is\nno log\n");
    assert_eq!(with("--resume", &["a"]), (255, String::new()));
    assert_eq!(fs::read_to_string(log).unwrap(), "this is\nno log\n");
}

/// A log that was to be begun anew was emptied before anything else was looked at.
#[test]
fn a_wrong_command_leaves_the_job_log_alone() {
    let folder = Folder::new();
    let log = folder.write("log", "of an earlier run\n");
    let wrong = [
        &["true {2}", ":::", "1"][..],
        &["true", "::::", "/nonexistent"],
        &["'true", ":::", "1"],
    ];
    for command in wrong {
        let mut args = vec!["run", "--joblog", log.to_str().unwrap()];
        args.extend(command);
        let finished = run(args);
        assert_eq!(finished.code, Some(255), "{finished:?}");
        assert_eq!(fs::read_to_string(&log).unwrap(), "of an earlier run\n");
    }
}

/// A full disk, or a crash, leaves a log that ends in the middle of a line; it was refused then.
#[test]
fn a_job_log_is_resumed_after_a_piece_of_a_line() {
    let folder = Folder::new();
    let log = folder.join("log");
    let path = log.to_str().unwrap();
    let resume = |values: &[&str]| {
        let args = ["run", "-j1", "--joblog", path, "--resume", "echo", ":::"];
        run(args.iter().chain(values))
    };
    assert_eq!(resume(&["a", "b"]).out, "a\nb\n");
    let whole = fs::read_to_string(&log).unwrap();
    for piece in [&whole[..7], &whole[..whole.len() - 1]] {
        fs::write(&log, piece).unwrap();
        let finished = resume(&["a", "b"]);
        assert_eq!(finished.code, Some(0), "{finished:?}");
        let text = fs::read_to_string(&log).unwrap();
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.ends_with("echo b\n"), "{text}");
    }
    // What is no job log at all is left as it is.
    fs::write(&log, "mine").unwrap();
    assert_eq!(resume(&["a"]).code, Some(255));
    assert_eq!(fs::read_to_string(&log).unwrap(), "mine");
}

/// What Ctrl-C ended was in the log as done, so going on left it out.
#[test]
fn what_was_cut_short_is_run_again() {
    let folder = Folder::new();
    let script = "echo begun {}; [ -e go ] || sleep 1000";
    let with = |option: &'static str| {
        let args = ["run", "-j1", "--line-buffer", "--joblog", "log", option];
        let args = args.into_iter().chain(["--shell", script, ":::", "a", "b"]);
        Running::start(ropewalk(args).current_dir(folder.path()))
    };
    let mut running = with("--no-progress");
    assert_eq!(running.out_line(), "begun a");
    running.signal(Signal::INT);
    let finished = running.finish();
    assert_eq!(finished.code, Some(130), "{finished:?}");
    assert!(finished.err.contains("SIGINT"), "{}", finished.err);
    folder.write("go", "");
    let finished = with("--resume").finish();
    assert_eq!(finished.out, "begun a\nbegun b\n");
    assert_eq!(finished.code, Some(0), "{finished:?}");
}

#[test]
fn a_pipe_without_a_shell_is_told_of() {
    let commands = "echo 1 | cat\necho 2 | cat\n";
    for finished in [
        run(["run", "echo {} | cat", ":::", "1", "2"]),
        run_with(&["run"], commands),
    ] {
        assert_eq!(finished.code, Some(0), "{finished:?}");
        assert_eq!(sorted(&finished.out), ["1 | cat", "2 | cat"]);
        assert_eq!(finished.err.matches("--shell").count(), 1, "{finished:?}");
    }
    let finished = run(["run", "--shell", "echo {} | cat", ":::", "1"]);
    assert_eq!((finished.out.as_str(), finished.err.as_str()), ("1\n", ""));
}

/// Each of these said what was wrong, and not with what.
#[test]
fn errors_name_the_file() {
    let folder = Folder::new();
    let dir = folder.path().to_str().unwrap();
    for (args, said) in [
        (
            &["--joblog", "/dev/full", "true", ":::", "1"][..],
            "/dev/full",
        ),
        (&["true", "::::", dir], dir),
    ] {
        let finished = run(["run"].iter().chain(args));
        assert_eq!(finished.code, Some(255), "{finished:?}");
        assert!(finished.err.contains(said), "{}", finished.err);
    }
    let absent = folder.join("absent");
    let mut command = ropewalk(["run", "echo", ":::", "1"]);
    let finished = Running::start(command.env("TMPDIR", &absent)).finish();
    assert_eq!(finished.code, Some(255), "{finished:?}");
    assert!(finished.err.contains("TMPDIR"), "{}", finished.err);
}

#[test]
fn a_job_that_a_signal_ended_is_told_of() {
    let finished = run(["run", "--shell", "kill -9 $$ # {}", ":::", "1"]);
    assert_eq!(finished.code, Some(1));
    assert!(
        finished.err.contains("signal 9 (SIGKILL)"),
        "{}",
        finished.err
    );
}

#[test]
fn a_dry_run_runs_nothing() {
    let folder = Folder::new();
    let mut command = ropewalk([
        "run",
        "--dry-run",
        "touch {.}.new",
        ":::",
        "my file.old",
        "b.old",
    ]);
    let finished = Running::start(command.current_dir(folder.path())).finish();
    assert_eq!(finished.out, "touch 'my file.new'\ntouch b.new\n");
    assert_eq!(folder.names(""), [""; 0]);
}

// The first Ctrl-C ends the jobs, and what they started; nothing new is begun.
#[test]
fn ctrl_c_ends_all_jobs() {
    let folder = Folder::new();
    let script = "sleep 1000 & echo $! > child.{}; echo begun {}; wait";
    let mut command = ropewalk([
        "run",
        "-j2",
        "--line-buffer",
        "--shell",
        script,
        ":::",
        "1",
        "2",
        "3",
    ]);
    let mut running = Running::start(command.current_dir(folder.path()));
    let mut begun = [running.out_line(), running.out_line()];
    begun.sort();
    assert_eq!(begun, ["begun 1", "begun 2"]);
    running.signal(Signal::INT);
    let finished = running.finish();
    assert_eq!(
        (finished.code, finished.out.as_str()),
        (Some(130), ""),
        "{finished:?}"
    );
    until_gone(&folder.join("child.1"));
    until_gone(&folder.join("child.2"));
}

/// Jobs are groups of their own, so neither a closed terminal (SIGHUP) nor Ctrl-\ (SIGQUIT) reached
/// them: both ended the command, and left its jobs behind.
#[test]
fn other_ends_of_the_command_end_all_jobs_too() {
    // Started with it handled, the command begins with its default, also if `nohup` runs this.
    let noted = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGHUP, noted).unwrap();
    for (signal, code) in [(Signal::HUP, 129), (Signal::QUIT, 131)] {
        let folder = Folder::new();
        let script = "sleep 1000 & echo $! > child.{}; echo begun; wait";
        let mut command = ropewalk(["run", "--line-buffer", "--shell", script, ":::", "1"]);
        let mut running = Running::start(command.current_dir(folder.path()));
        assert_eq!(running.out_line(), "begun");
        running.signal(signal);
        let finished = running.finish();
        until_gone(&folder.join("child.1"));
        assert_eq!(finished.code, Some(code), "{finished:?}");
    }
}

#[test]
fn nohup_keeps_it_running() {
    let folder = Folder::new();
    let script = "echo begun {}; until [ -e go ]; do sleep 0.05; done";
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' HUP; exec \"$@\"", "sh"])
        .arg(env!("CARGO_BIN_EXE_ropewalk"))
        .args(["run", "--line-buffer", "--shell", script, ":::", "1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .current_dir(folder.path());
    let mut running = Running::start(&mut command);
    assert_eq!(running.out_line(), "begun 1");
    running.signal(Signal::HUP);
    folder.write("go", "");
    let finished = running.finish();
    assert_eq!(finished.code, Some(0), "{finished:?}");
}

#[test]
fn a_second_ctrl_c_kills() {
    let script = "trap '' TERM; echo begun; while : {}; do sleep 0.05; done";
    let mut running = Running::start(&mut ropewalk([
        "run",
        "--line-buffer",
        "--shell",
        script,
        ":::",
        "1",
    ]));
    assert_eq!(running.out_line(), "begun");
    running.signal(Signal::TERM);
    running.signal(Signal::INT);
    assert!(matches!(running.finish().code, Some(130 | 143)));
}

// As with `| head`: no error, and the rest isn't run to its end.
#[test]
fn a_reader_may_leave() {
    let mut running = Running::start(
        ropewalk([
            "run",
            "-j2",
            "--shell",
            "yes {} | head -c 100000",
            "::::",
            "-",
        ])
        .stdin(Stdio::piped()),
    );
    let mut stdin = running.stdin.take().unwrap();
    let feeding = std::thread::spawn(move || while stdin.write_all(b"x\n").is_ok() {});
    let mut out = running.out.take().unwrap();
    out.read_exact(&mut [0; 100]).unwrap();
    drop(out);
    let finished = running.finish();
    assert_eq!((finished.code, finished.err.as_str()), (Some(0), ""));
    feeding.join().unwrap();
}

#[test]
fn a_thousand_jobs_with_either_driver() {
    let values: String = (1..=1000).map(|n| format!("{n}\n")).collect();
    for driver in ["io_uring", "epoll"] {
        let mut command = ropewalk(["run", "-j8", "--joblog", "/dev/null", "true"]);
        command.env("ROPEWALK_DRIVER", driver).stdin(Stdio::piped());
        let mut running = Running::start(&mut command);
        running
            .stdin
            .as_mut()
            .unwrap()
            .write_all(values.as_bytes())
            .unwrap();
        let finished = running.finish();
        if finished.err.contains("io_uring driver is unavailable") {
            eprintln!("skipped: {}", finished.err);
            continue;
        }
        assert_eq!(
            (finished.code, finished.out.as_str()),
            (Some(0), ""),
            "{finished:?}"
        );
    }
}
