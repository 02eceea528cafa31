//! Child processes: their streams, their ends, and what is left of them.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::time::{Duration, Instant};

use ropewalk_kernel::sys;
use ropewalk_rt::cancel::{Cancelled, Token};
use ropewalk_rt::io::pipe;
use ropewalk_rt::process::{Child, Command, Stdio, TimeoutExpired};
use ropewalk_rt::{coroutine, scope};

use crate::alone::well_alone;
use crate::stage::{PATIENCE, in_coroutines, on_each, until, until_waiting};

/// More than any pipe holds.
const MUCH: usize = 1 << 20;

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// Whether there is a process with this id, be it a zombie.
fn exists(id: u32) -> bool {
    std::path::Path::new(&format!("/proc/{id}")).exists()
}

fn until_gone(id: u32) {
    let begun = Instant::now();
    until(|| {
        assert!(begun.elapsed() < PATIENCE, "process {id} is still there");
        !exists(id)
    });
}

#[test]
fn output_collects_both_streams_and_the_status() {
    on_each(|| {
        let output = shell("echo out; echo err >&2; cat; exit 7").output();
        let output = output.unwrap();
        assert_eq!(output.stdout, b"out\n");
        assert_eq!(output.stderr, b"err\n");
        assert_eq!(output.status.code(), Some(7));
        assert!(shell("exit 0").status().unwrap().success());
    });
}

#[test]
fn a_program_that_is_not_there_is_an_error() {
    on_each(|| {
        let error = Command::new("/nowhere/at all").spawn().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    });
}

#[test]
fn the_command_tells_its_settings() {
    let mut command = shell("echo $A $B");
    command.env("A", "1").envs([("B", "2")]).env_remove("C");
    command.current_dir("/");
    assert_eq!(command.get_program(), "sh");
    assert_eq!(command.get_args().count(), 2);
    assert_eq!(command.get_envs().count(), 3);
    assert_eq!(command.get_current_dir(), Some("/".as_ref()));
    assert_eq!(command.output().unwrap().stdout, b"1 2\n");
}

/// All three pipes are full at once, in a child that writes before it reads.
#[test]
fn much_in_and_out_at_once_does_not_deadlock() {
    on_each(|| {
        let script = format!("head -c {MUCH} /dev/zero; cat; head -c {MUCH} /dev/zero >&2");
        let input = vec![b'x'; MUCH];
        let output = shell(&script).output_with_input(&input).unwrap();
        assert_eq!(output.stdout.len(), 2 * MUCH);
        assert!(output.stdout[..MUCH].iter().all(|&byte| byte == 0));
        assert!(output.stdout[MUCH..] == input);
        assert_eq!(output.stderr.len(), MUCH);

        // And one that doesn't read its input.
        let output = shell("echo no, thanks").output_with_input(&input).unwrap();
        assert_eq!(output.stdout, b"no, thanks\n");
    });
}

#[test]
fn streams_are_read_and_written_while_it_runs() {
    on_each(|| {
        let mut cat = Command::new("cat");
        let mut child = cat
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let stdout = child.stdout.take().unwrap();
        stdout
            .set_read_timeout(Some(Duration::from_millis(5)))
            .unwrap();
        let error = (&stdout).read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        stdout.set_read_timeout(None).unwrap();
        let mut lines = BufReader::new(stdout).lines();
        for n in 0..20 {
            writeln!(stdin, "line {n}").unwrap();
            assert_eq!(lines.next().unwrap().unwrap(), format!("line {n}"));
        }
        drop(stdin);
        assert!(lines.next().is_none());
        let (first, again) = (child.wait().unwrap(), child.wait().unwrap());
        assert!(first.success() && again == first);
    });
}

/// A pipe of ours is a child's output, and another's input.
#[test]
fn children_are_put_in_a_row() {
    on_each(|| {
        let (reader, writer) = pipe().unwrap();
        let mut first = shell("seq 1 1000").stdout(writer).spawn().unwrap();
        let output = shell("tail -n 1").stdin(reader).output().unwrap();
        assert_eq!(output.stdout, b"1000\n");
        assert!(first.wait().unwrap().success());
    });
}

fn sleeper() -> Child {
    Command::new("sleep").arg("60").spawn().unwrap()
}

/// On its pidfd, or, where the system has none, between two looks.
fn until_waiting_for_a_child(id: u64) {
    until(|| {
        let tasks = coroutine::list();
        let mut waits = tasks.iter().filter(|task| task.id() == id);
        waits.any(|task| ["reading", "sleeping"].contains(&task.waits_for()))
    });
}

fn waits_are_timed_and_cancelled() {
    let mut child = sleeper();
    assert!(child.try_wait().unwrap().is_none());
    let error = child.wait_timeout(Duration::from_millis(5)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);

    let (token, handle) = (Token::new(), child.handle());
    let waiter = token.run(|| coroutine::spawn(move || handle.wait()));
    until_waiting_for_a_child(waiter.task().id());
    token.cancel();
    let error = waiter.join().unwrap().unwrap_err();
    assert!(error.get_ref().unwrap().is::<Cancelled>());

    let waiters = [child.handle(), child.handle()].map(|h| coroutine::spawn(move || h.wait()));
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(!status.success() && status.code().is_none());
    for waiter in waiters {
        assert_eq!(waiter.join().unwrap().unwrap(), status);
    }
    child.kill().unwrap();
    assert_eq!(child.try_wait().unwrap(), Some(status));
    assert!(!exists(child.id()));
}

#[test]
fn a_wait_is_timed_cancelled_and_shared() {
    on_each(waits_are_timed_and_cancelled);
}

#[test]
fn a_group_is_killed_only_if_it_is_the_childs_own() {
    on_each(|| {
        let mut child = sleeper();
        let error = child.kill_group().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        child.kill().unwrap();
        child.wait().unwrap();
    });
}

/// The grandchild holds the pipe open: to kill the child alone would not end the wait.
#[test]
fn a_timeout_kills_the_whole_group_and_tells_what_came() {
    on_each(|| {
        let mut slow = shell("sleep 60 & echo $! so far; echo oops >&2; wait");
        let mut limit = Duration::from_millis(100);
        // On a busy machine it takes a while to say anything.
        let error = loop {
            let error = slow.timeout(limit).output().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            let expired = TimeoutExpired::of(&error).unwrap();
            if !expired.output().stderr.is_empty() || limit > PATIENCE {
                break error;
            }
            limit *= 2;
        };
        let expired = TimeoutExpired::of(&error).unwrap();
        assert_eq!(expired.limit(), limit);
        assert_eq!(expired.output().stderr, b"oops\n");
        assert!(!expired.output().status.success());
        let said = String::from_utf8_lossy(&expired.output().stdout);
        let (grandchild, rest) = said.split_once(' ').unwrap();
        assert_eq!(rest, "so far\n");
        let text = format!("`sh` did not end within {limit:?}");
        assert!(error.to_string().contains(&text), "{error}");
        until_ended(grandchild.parse().unwrap());
    });
}

/// A grandchild's end is taken by whoever adopts it: a zombie of theirs counts as ended.
fn until_ended(id: u32) {
    let begun = Instant::now();
    until(|| {
        assert!(begun.elapsed() < PATIENCE, "process {id} still runs");
        match std::fs::read_to_string(format!("/proc/{id}/stat")) {
            Ok(stat) => stat.rsplit(") ").next().unwrap().starts_with('Z'),
            Err(_) => true,
        }
    });
}

#[test]
fn a_status_is_timed_too() {
    on_each(|| {
        let error = Command::new("sleep")
            .arg("60")
            .timeout(Duration::from_millis(5))
            .status()
            .unwrap_err();
        assert!(TimeoutExpired::of(&error).is_some());
        let mut quick = shell("exit 4");
        let status = quick.timeout(Duration::from_secs(60)).status();
        assert_eq!(status.unwrap().code(), Some(4));
    });
}

#[test]
fn a_cancelled_output_kills_what_it_started() {
    on_each(|| {
        let (mut reader, writer) = pipe().unwrap();
        let token = Token::new();
        let task = token.run(|| {
            coroutine::spawn(move || shell("echo $$ >&2; exec sleep 60").stderr(writer).output())
        });
        let mut id = [0; 16];
        let len = reader.read(&mut id).unwrap();
        let id = std::str::from_utf8(&id[..len]).unwrap().trim();
        token.cancel();
        let error = task.join().unwrap().unwrap_err();
        assert!(error.get_ref().unwrap().is::<Cancelled>(), "{error}");
        until_gone(id.parse().unwrap());
    });
}

fn dropped_children_leave_no_zombies() {
    let mut killed = Command::new("sleep");
    let killed = killed.arg("60").kill_on_drop(true).spawn().unwrap();
    let quick = shell("exit 0").spawn().unwrap();
    // Goes on after its drop, until its input ends.
    let mut waits = Command::new("cat");
    let mut waits = waits.stdin(Stdio::piped()).spawn().unwrap();
    let stdin = waits.stdin.take();
    let [killed_id, quick_id, waits_id] = [&killed, &quick, &waits].map(|child| child.id());
    drop((killed, quick, waits));
    until_gone(killed_id);
    until_gone(quick_id);
    assert!(exists(waits_id));
    drop(stdin);
    until_gone(waits_id);
}

#[test]
fn a_dropped_child_is_reaped() {
    on_each(dropped_children_leave_no_zombies);
}

/// Others wait while the owner drops it, killing it or not: all are told how it ended.
#[test]
fn a_child_dropped_while_others_wait_is_still_waited_for() {
    on_each(|| {
        for kill in [true, false] {
            let mut cat = Command::new("cat");
            let mut child = cat
                .stdin(Stdio::piped())
                .kill_on_drop(kill)
                .spawn()
                .unwrap();
            let (id, stdin) = (child.id(), child.stdin.take());
            let waiting: Vec<_> = (0..3)
                .map(|_| {
                    let handle = child.handle();
                    coroutine::spawn(move || handle.wait().unwrap())
                })
                .collect();
            for one in &waiting {
                until_waiting_for_a_child(one.task().id());
            }
            let late = child.handle();
            drop(child);
            if !kill {
                assert!(late.try_wait().unwrap().is_none());
            }
            drop(stdin);
            for one in waiting {
                assert_eq!(one.join().unwrap().success(), !kill);
            }
            assert_eq!(late.wait().unwrap().success(), !kill);
            until_gone(id);
        }
    });
}

/// A system without pidfds, as some sandboxes are, and a kernel before 5.3.
static NO_PIDFD: std::sync::LazyLock<sys::SysTable> = std::sync::LazyLock::new(|| {
    let mut table = *sys::real_table();
    table.pidfd_open = |_| Err(io::Error::from_raw_os_error(libc::ENOSYS));
    table
});

#[test]
fn without_pidfds_all_is_the_same() {
    well_alone(&[], || {
        // SAFETY: the entry fails as the call may; nothing else changes.
        unsafe { sys::replace(Some(&NO_PIDFD)) };
        on_each(|| {
            let mut child = sleeper();
            let error = child.wait_timeout(Duration::from_millis(5)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            let (token, handle) = (Token::new(), child.handle());
            let waiter = token.run(|| coroutine::spawn(move || handle.wait()));
            until_waiting(waiter.task().id(), "sleeping");
            token.cancel();
            let error = waiter.join().unwrap().unwrap_err();
            assert!(error.get_ref().unwrap().is::<Cancelled>());
            child.kill().unwrap();
            child.wait().unwrap();
            dropped_children_leave_no_zombies();
        });
    });
}

/// Many at once, and nothing is left of them.
#[test]
fn many_at_once_leave_nothing() {
    well_alone(&[], || {
        let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        in_coroutines(|| {
            let before = descriptors();
            scope(|scope| {
                for n in 0..40 {
                    scope.spawn(move || {
                        let input = format!("{n}\n").repeat(1000);
                        let output = Command::new("cat").output_with_input(input.as_bytes());
                        assert!(output.unwrap().stdout == input.as_bytes());
                        drop(shell("exit 0").spawn().unwrap());
                    });
                }
            });
            let begun = Instant::now();
            until(|| {
                assert!(
                    begun.elapsed() < PATIENCE,
                    "descriptors or zombies are left"
                );
                descriptors() <= before && zombies() == 0
            });
        });
    });
}

/// The children of this process that have ended and were not reaped.
pub(crate) fn zombies() -> usize {
    let me = std::process::id().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter(|entry| {
            let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            let mut fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
            fields.next() == Some("Z") && fields.next() == Some(&me)
        })
        .count()
}
