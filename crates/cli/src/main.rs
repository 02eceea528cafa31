//! The `ropewalk` command: parses the command line and hands over to one module per command.
//!
//! Exit codes: 0 done, 1 done with failures, 2 bad usage or unable to start, 128 + signal number when
//! interrupted before the end.
#![forbid(unsafe_code)]

mod duration;
mod fetch;
mod interrupt;
mod limits;
mod serve;
mod top;

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Fetch many URLs at once; serve a folder; look into a live process
#[derive(Parser, Debug)]
#[command(name = "ropewalk", version, propagate_version = true, after_help = HELP_AFTER)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    Fetch(fetch::Args),
    Serve(serve::Args),
    Top(top::Args),
}

const HELP_AFTER: &str = "\
Examples:
  ropewalk fetch -i urls.txt -c 500 > records.ndjson
  ropewalk fetch --demo 1000 --delay 100ms -c 1000
  ropewalk serve . --bind 8080
  ropewalk top 4242";

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Fetch(args) => fetch::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Top(args) => top::run(args),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            say(&format!("ropewalk: {error}\n"));
            ExitCode::from(2)
        }
    }
}

/// Writes to standard error; if nobody listens, so be it.
fn say(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
