//! The `ropewalk` command: parses the command line and hands over to one module per command.
//!
//! Exit codes: 0 done, 1 done with failures, 2 bad usage or unable to start, 128 + signal number when
//! interrupted before the end; `run` has GNU parallel's.
#![forbid(unsafe_code)]

mod duration;
mod fetch;
mod interrupt;
mod limits;
mod run;
mod serve;
mod top;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Fetch many URLs at once; run many commands; serve a folder; look into a live process
#[derive(Parser, Debug)]
#[command(name = "ropewalk", version, propagate_version = true, after_help = HELP_AFTER)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Fetch(fetch::Args),
    Run(run::Args),
    Serve(serve::Args),
    Top(top::Args),
}

/// The exit code for bad usage, and for what keeps a command from starting. Of `run`, whose small
/// codes are counts of failed jobs, it is another.
const UNABLE: u8 = 2;

const HELP_AFTER: &str = "\
Examples:
  ropewalk fetch -i urls.txt -c 500 > records.ndjson
  ropewalk fetch --demo 1000 --delay 100ms -c 1000
  ropewalk run -j 8 'convert {} {.}.png' ::: *.jpg
  ropewalk serve . --bind 8080
  ropewalk top 4242";

fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => {
            let printed = error.print();
            let run = std::env::args_os()
                .nth(1)
                .is_some_and(|first| first == "run");
            return match (error.exit_code(), run) {
                // That nobody reads it is no failure.
                (0, _) => match printed {
                    Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
                        say(&format!("ropewalk: cannot write to standard output: {e}\n"));
                        ExitCode::from(if run { run::UNABLE } else { UNABLE })
                    }
                    _ => ExitCode::SUCCESS,
                },
                (_, true) => ExitCode::from(run::UNABLE),
                _ => ExitCode::from(UNABLE),
            };
        }
    };
    let mut unable = UNABLE;
    let result = match command {
        Command::Fetch(args) => fetch::run(args),
        Command::Run(args) => {
            unable = run::UNABLE;
            run::run(args)
        }
        Command::Serve(args) => serve::run(args),
        Command::Top(args) => top::run(args),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            say(&format!("ropewalk: {error}\n"));
            ExitCode::from(unable)
        }
    }
}

/// Writes to standard error; if nobody listens, so be it.
fn say(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Starts a runtime. Reports of coroutines that keep their worker are for who writes programs, not for
/// who runs them: only if `ROPEWALK_WATCH` asks for them.
fn start_runtime() -> Result<ropewalk::Runtime, String> {
    let mut builder = ropewalk::Runtime::builder();
    if std::env::var_os("ROPEWALK_WATCH").is_none() {
        builder = builder.watch(None);
    }
    let runtime = builder.build();
    runtime.map_err(|error| format!("cannot start the runtime: {error}"))
}
