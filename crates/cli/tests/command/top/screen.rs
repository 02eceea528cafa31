//! The view on a real terminal: it appears, follows keys and signals, and leaves the terminal as it
//! was.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

use super::target::{Plan, Target};
use crate::process::{Finished, Folder, Running};

/// Ends a test that waits in vain.
const PATIENCE: Duration = Duration::from_secs(60);

const TICK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 20_000_000,
};

/// The command on a terminal of its own.
struct Screen {
    running: Option<Running>,
    controller: File,
    terminal: OwnedFd,
    before: Termios,
    written: Arc<(Mutex<String>, Condvar)>,
}

impl Screen {
    fn start(target: &Target, columns: u16, rows: u16) -> Screen {
        // Its first look finds them as they stay, so that what it shows is drawn in one piece.
        target.top_until(&["--dump"], |out| out.contains("sleeping"));
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let controller = openpt(flags).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let name = ptsname(&controller, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let terminal = open(name.as_c_str(), flags, Mode::empty()).unwrap();
        set_size(&controller, columns, rows);
        let before = tcgetattr(&terminal).unwrap();
        let end = || Stdio::from(terminal.try_clone().unwrap());
        let mut command = target.command(&["--interval", "100ms"]);
        command
            .env("TERM", "xterm")
            .stdin(end())
            .stdout(end())
            .stderr(end());
        let running = Running::start(&mut command);
        let controller = File::from(controller);
        let written = Arc::new((Mutex::new(String::new()), Condvar::new()));
        let (mut reading, collected) = (controller.try_clone().unwrap(), Arc::clone(&written));
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // It lets go of the terminal when nobody has use for what is written.
            while let Ok(readable) = poll(&mut [PollFd::new(&reading, PollFlags::IN)], Some(&TICK))
            {
                if Arc::strong_count(&collected) == 1 {
                    return;
                }
                if readable == 0 {
                    continue;
                }
                let Ok(count @ 1..) = reading.read(&mut bytes) else {
                    return;
                };
                let text = String::from_utf8_lossy(&bytes[..count]);
                collected.0.lock().unwrap().push_str(&text);
                collected.1.notify_all();
            }
        });
        Screen {
            running: Some(running),
            controller,
            terminal,
            before,
            written,
        }
    }

    /// Waits until this text has been written since the last call, behind what that waited for, and
    /// since the last key. Only cells that change are written: it must be one whose style is new.
    fn wait_for(&self, text: &str) {
        let written = self.written.0.lock().unwrap();
        let absent = |written: &mut String| !written.contains(text);
        let (mut written, timeout) = self
            .written
            .1
            .wait_timeout_while(written, PATIENCE, absent)
            .unwrap();
        let tail = written.chars().rev().take(400).collect::<Vec<_>>();
        let tail: String = tail.into_iter().rev().collect();
        assert!(!timeout.timed_out(), "no {text:?}; at last {tail:?}");
        let (before, _) = written.split_once(text).unwrap();
        let end = before.len() + text.len();
        written.drain(..end);
    }

    fn press(&mut self, keys: &str) {
        self.written.0.lock().unwrap().clear();
        self.controller.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for the command's end, and checks the terminal.
    fn finish(mut self) -> Finished {
        let finished = self.running.take().unwrap().finish();
        // It shows the cursor and what was there before.
        self.wait_for("\u{1b}[?1049l");
        let after = tcgetattr(&self.terminal).unwrap();
        assert_eq!(after.local_modes, self.before.local_modes);
        assert_eq!(after.input_modes, self.before.input_modes);
        assert_eq!(after.output_modes, self.before.output_modes);
        finished
    }
}

fn set_size(terminal: &OwnedFd, columns: u16, rows: u16) {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(terminal, size).unwrap();
}

#[test]
fn it_shows_the_tasks_and_quits() {
    let folder = Folder::new();
    let target = Plan::new(&folder, 200).start();
    for (columns, rows) in [(80, 24), (40, 10)] {
        let mut screen = Screen::start(&target, columns, rows);
        screen.wait_for("\u{1b}[?1049h");
        screen.wait_for("sleeping");
        screen.press("\t");
        screen.wait_for("2 Waits");
        screen.press("3");
        screen.wait_for("3 Workers");
        screen.press("q");
        assert_eq!(screen.finish().code, Some(0));
    }
}

#[test]
fn the_end_of_the_process_is_shown() {
    let folder = Folder::new();
    let target = Plan::new(&folder, 20).start();
    let mut screen = Screen::start(&target, 80, 24);
    screen.wait_for("sleeping");
    let pid = target.pid();
    drop(target);
    screen.wait_for(&format!("process {pid} ended"));
    screen.press("q");
    assert_eq!(screen.finish().code, Some(0));
}

#[test]
fn signals_and_ctrl_c_restore_the_terminal() {
    let folder = Folder::new();
    let target = Plan::new(&folder, 20).start();
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130), (Signal::HUP, 129)] {
        let screen = Screen::start(&target, 80, 24);
        screen.wait_for("sleeping");
        screen.running.as_ref().unwrap().signal(signal);
        assert_eq!(screen.finish().code, Some(code));
    }
    let mut screen = Screen::start(&target, 80, 24);
    screen.wait_for("sleeping");
    screen.press("\u{3}");
    assert_eq!(screen.finish().code, Some(130));
}

/// `crossterm` reads for ever from a terminal that has gone: this left a process behind, which
/// used all the time of a processor.
#[test]
fn a_terminal_that_goes_away_ends_it() {
    let folder = Folder::new();
    let target = Plan::new(&folder, 20).start();
    let mut screen = Screen::start(&target, 80, 24);
    screen.wait_for("sleeping");
    let running = screen.running.take().unwrap();
    drop(screen);
    // It may have been about to write: then that fails.
    let code = running.finish().code;
    assert!(matches!(code, Some(129 | 2)), "{code:?}");
}
