//! Tests that need a process of their own: an ignored test of this binary, run by itself.

use std::process::{Command, Stdio};

/// Has this binary run one ignored test in another process.
pub(crate) fn command(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            test,
            "--exact",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .stdin(Stdio::null());
    command
}

/// Runs it, and gives what it printed.
#[track_caller]
pub(crate) fn run(test: &str) -> String {
    let output = command(test).output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stdout}\n{stderr}");
    assert!(stdout.contains("1 passed"), "no test {test}: {stdout}");
    stdout
}

/// Has an interrupt end this process, as it does one that was started from a terminal. What a shell
/// starts in the background ignores them, and so does what that starts.
pub(crate) fn be_interruptible() {
    // SAFETY: the default action is no function of ours.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
}

/// Looks until `done`; a test fails that waits for a minute.
#[track_caller]
pub(crate) fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    use std::time::{Duration, Instant};
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Says whether a process has been stopped, with all of its threads.
pub(crate) fn is_stopped(pid: u32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else {
        return false;
    };
    let mut threads = threads.filter_map(Result::ok);
    threads.all(|thread| state(&thread.path().join("stat")) == Some('T'))
}

/// Says whether a process lives (a zombie doesn't).
pub(crate) fn lives(pid: u32) -> bool {
    !matches!(
        state(format!("/proc/{pid}/stat").as_ref()),
        Some('Z' | 'X') | None
    )
}

/// The state in a `stat` file; it stands behind the name, which may have anything in it.
fn state(stat: &std::path::Path) -> Option<char> {
    let stat = std::fs::read_to_string(stat).ok()?;
    stat.rsplit(')').next()?.trim().chars().next()
}
