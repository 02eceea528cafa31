//! The terminal: drawing on it, keys, signals, and leaving it as it was.
//!
//! A thread asks the process, so that a slow answer holds up no key. It asks again one interval
//! after the last answer, and never spends more than a fifth of its time being answered: a dump of
//! very many tasks costs the process something.
//!
//! The terminal is restored at every end: the guard's drop, the panic hook that `ratatui` installs,
//! and before the process stops itself for Ctrl-Z.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGTSTP};
use signal_hook::iterator::Signals;
use signal_hook::low_level;

use super::snapshot::{Dump, Metrics};
use super::socket::{Connection, Error};
use super::state::{Do, Look, State};
use super::view;
use crate::interrupt;

/// How long a key may wait for nothing to happen: signals and answers are looked for in between.
const TICK: Duration = Duration::from_millis(50);

/// How long the main thread may take to end after a signal.
const GRACE: Duration = Duration::from_secs(1);
/// How many of a group's tasks are asked for.
const TASKS_MAX: usize = 100;

/// What the asking thread reports.
enum Report {
    Look(Box<Look>),
    /// There is no use in asking on.
    Ended(String),
    /// The next try may do better.
    Failed(String),
}

/// Shows the process until the user has seen enough, and returns the exit code.
///
/// # Errors
/// A sentence: what is wrong with the terminal.
pub(super) fn run(connection: Connection, interval: Duration) -> Result<u8, String> {
    let cannot = |e: io::Error| format!("cannot use the terminal: {e}");
    let signal = watch_signals().map_err(cannot)?;
    let paused = Arc::new(AtomicBool::new(false));
    let mut state = State::new(connection.pid());
    let (reports, arriving) = mpsc::channel();
    let (stop, stopped) = mpsc::channel();
    start_asking(connection, interval, Arc::clone(&paused), reports, stopped).map_err(cannot)?;
    let mut screen = Screen::enter().map_err(cannot)?;
    let code = screen
        .show(&mut state, &arriving, &paused, &signal)
        .map_err(cannot);
    drop(stop);
    code
}

/// The terminal while it is ours.
struct Screen {
    terminal: Option<DefaultTerminal>,
}

impl Screen {
    fn enter() -> io::Result<Screen> {
        let terminal = ratatui::try_init().inspect_err(|_| leave())?;
        Ok(Screen {
            terminal: Some(terminal),
        })
    }

    fn show(
        &mut self,
        state: &mut State,
        arriving: &Receiver<Report>,
        paused: &AtomicBool,
        signal: &AtomicI32,
    ) -> io::Result<u8> {
        let mut changed = true;
        loop {
            if changed {
                let terminal = self.terminal.as_mut().expect("it is given back at the end");
                terminal.draw(|frame| view::draw(frame, state))?;
            }
            changed = false;
            if !wait_for_input()? {
                return Ok(interrupt::exit_code(SIGHUP));
            }
            while event::poll(Duration::ZERO)? {
                if let Event::Key(key) = event::read()? {
                    match state.press(key) {
                        Do::Nothing => {}
                        Do::Quit => return Ok(0),
                        Do::Interrupt => return Ok(interrupt::exit_code(SIGINT)),
                        Do::Suspend => self.suspend()?,
                    }
                    paused.store(state.paused, Ordering::Relaxed);
                }
                changed = true;
            }
            match signal.load(Ordering::Relaxed) {
                0 => {}
                signal => return Ok(interrupt::exit_code(signal)),
            }
            loop {
                match arriving.try_recv() {
                    Ok(Report::Look(look)) => state.update(*look),
                    Ok(Report::Ended(text) | Report::Failed(text)) => state.notice = Some(text),
                    Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                }
                changed = true;
            }
        }
    }

    fn give_back(&mut self) {
        if let Some(mut terminal) = self.terminal.take()
            && terminal.show_cursor().is_err()
        {
            // It has gone. The value's drop would say so on standard error, which has gone with
            // it, and panic for that.
            std::mem::forget(terminal);
        }
        leave();
    }

    /// Gives the terminal back and stops this process until it is continued.
    fn suspend(&mut self) -> io::Result<()> {
        self.give_back();
        low_level::emulate_default_handler(SIGTSTP)?;
        let mut terminal = ratatui::try_init()?;
        terminal.clear()?;
        self.terminal = Some(terminal);
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Waits for keys, for a tick at most; false if the terminal has gone. Looked for here, because
/// reading from one that has gone never ends in `crossterm`: it takes the end of file for nothing
/// yet, and tries again at once.
fn wait_for_input() -> io::Result<bool> {
    let stdin = io::stdin();
    let mut input = [PollFd::new(&stdin, PollFlags::IN)];
    let tick = Timespec::try_from(TICK).map_err(io::Error::other)?;
    match poll(&mut input, Some(&tick)) {
        Ok(_) => {}
        // The window's size has changed, perhaps.
        Err(Errno::INTR) => return Ok(true),
        Err(e) => return Err(e.into()),
    }
    let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
    Ok(!input[0].revents().intersects(gone))
}

/// Leaves the terminal as it was; if it is gone, so be it.
fn leave() {
    let _ = ratatui::try_restore();
}

/// Has signals that end the command noted, so that the terminal is restored first.
fn watch_signals() -> io::Result<Arc<AtomicI32>> {
    let noted = Arc::new(AtomicI32::new(0));
    let signal = Arc::clone(&noted);
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(move || {
            if let Some(number) = signals.forever().next() {
                signal.store(number, Ordering::Relaxed);
                thread::sleep(GRACE);
                // The main thread would have ended the process by now, could it do so.
                leave();
                low_level::exit(i32::from(interrupt::exit_code(number)));
            }
        })?;
    Ok(noted)
}

/// Starts the thread that asks the process until `stopped` is closed.
fn start_asking(
    mut connection: Connection,
    interval: Duration,
    paused: Arc<AtomicBool>,
    reports: Sender<Report>,
    stopped: Receiver<()>,
) -> io::Result<()> {
    let ask_until_stopped = move || {
        loop {
            let mut spent = Duration::ZERO;
            if !paused.load(Ordering::Relaxed) {
                let start = Instant::now();
                let report = ask(&mut connection);
                let over = matches!(report, Report::Ended(_));
                if reports.send(report).is_err() || over {
                    return;
                }
                spent = start.elapsed();
            }
            let pause = interval.max(spent * 4);
            if stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    };
    let thread = thread::Builder::new().name("asking".to_owned());
    thread.spawn(ask_until_stopped)?;
    Ok(())
}

fn ask(connection: &mut Connection) -> Report {
    match try_ask(connection) {
        Ok(look) => Report::Look(Box::new(look)),
        Err(AskError::Socket(e @ Error::Ended(_))) => Report::Ended(e.to_string()),
        Err(AskError::Socket(e)) => Report::Failed(e.to_string()),
        Err(AskError::Json(e)) => {
            Report::Ended(format!("the process's answer is not understood: {e}"))
        }
    }
}

enum AskError {
    Socket(Error),
    Json(serde_json::Error),
}

fn try_ask(connection: &mut Connection) -> Result<Look, AskError> {
    let metrics = match connection.ask("metrics json") {
        Ok(text) => serde_json::from_str(&text).map_err(AskError::Json)?,
        // A process of another version may have none.
        Err(Error::Refused(_)) => Metrics::default(),
        Err(e) => return Err(AskError::Socket(e)),
    };
    let at = Instant::now();
    let opened = connection.opened;
    let request = format!("dump json {TASKS_MAX}");
    let text = match connection.ask(&request) {
        Err(Error::Refused(_)) => connection.ask("dump json"),
        answer => answer,
    };
    let text = text.map_err(AskError::Socket)?;
    let dump: Dump = serde_json::from_str(&text).map_err(AskError::Json)?;
    Ok(Look {
        dump,
        metrics,
        at,
        connection: opened,
    })
}
