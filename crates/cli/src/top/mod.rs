//! `ropewalk top`: what a live process is doing.
//!
//! The process serves it on a Unix socket when inspection is switched on; this command finds the
//! socket, asks, and prints or shows the answers. One module for finding and asking (`socket`), one
//! for what comes back (`snapshot`), one for differences of two (`rates`), one for what the keys
//! change (`state`), one for drawing it (`view`) and one for the terminal (`screen`).

mod format;
mod listing;
mod rates;
mod screen;
mod snapshot;
mod socket;
mod state;
mod view;

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use crate::duration;
use socket::Connection;

/// How long an answer may take to begin or to go on: a dump waits for busy workers.
const PATIENCE: Duration = Duration::from_secs(30);
/// The shortest time between two looks.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// Show what a live process is doing: its tasks, their stacks, what they wait for
#[derive(clap::Args, Debug)]
#[command(after_long_help = HELP_AFTER)]
pub(crate) struct Args {
    /// The process; without one, list those that can be inspected
    #[arg(value_name = "PID")]
    pid: Option<u32>,

    /// Print every task, grouped by equal stacks, and end
    #[arg(long, requires = "pid", conflicts_with = "metrics")]
    dump: bool,

    /// Print the runtime's counters in Prometheus's text form, and end
    #[arg(long, requires = "pid")]
    metrics: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Look this often
    #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    interval: Duration,
}

const HELP_AFTER: &str = "\
The process must have inspection switched on: start it with ROPEWALK_INSPECT=1 in its environment, or
have it call ropewalk::inspect::serve(). Only its own user may look.

Keys:
  q, Esc       quit                     Tab, 1 2 3   tasks, waits, workers
  arrows, j k  choose a group           Enter        its stack on the whole screen
  PgUp, PgDn   scroll its stack         s            sort by another column
  p, space     pause                    ?            help

Examples:
  ropewalk top
  ropewalk top 4242
  ropewalk top --dump 4242 | less
  ropewalk top --dump --json 4242 | jq '.groups[] | {count, state, reason}'
  ropewalk top --metrics 4242";

/// Runs the command and returns its exit code.
///
/// # Errors
/// A sentence: why the process can't be looked into.
pub(crate) fn run(args: Args) -> Result<u8, String> {
    let Some(pid) = args.pid else {
        return print(&listing::list(args.json));
    };
    let request = match (args.dump, args.metrics, args.json) {
        (true, _, false) => "dump text",
        (true, _, true) => "dump json",
        (false, true, false) => "metrics prometheus",
        (false, true, true) => "metrics json",
        (false, false, true) => return Err("--json goes with --dump or --metrics".to_owned()),
        (false, false, false) => return show(pid, args.interval),
    };
    let mut connection = Connection::open(pid, PATIENCE)?;
    let mut body = connection.ask(request).map_err(|e| e.to_string())?;
    if !args.json {
        body = format::without_controls(&body);
    }
    if !body.ends_with('\n') {
        body.push('\n');
    }
    print(&body)
}

/// Shows the process in the terminal.
fn show(pid: u32, interval: Duration) -> Result<u8, String> {
    let connection = Connection::open(pid, PATIENCE)?;
    for (is_terminal, name) in [
        (io::stdout().is_terminal(), "output"),
        (io::stdin().is_terminal(), "input"),
    ] {
        if !is_terminal {
            return Err(format!(
                "standard {name} is not a terminal: use --dump or --metrics to print"
            ));
        }
    }
    screen::run(connection, interval)
}

/// Prints; that nobody reads it is no failure.
fn print(text: &str) -> Result<u8, String> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(0),
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(0),
        Err(e) => Err(format!("cannot write: {e}")),
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration::parse_positive(text)?;
    if interval < INTERVAL_MIN {
        return Err("it must be at least 100ms".to_owned());
    }
    Ok(interval)
}
