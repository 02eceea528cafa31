//! Side-by-side comparisons of Ropewalk with its peers.
//!
//! `cargo run --release -p ropewalk-bench -- NAME [--quick] [--rounds N] [--only A,B]`
//! prints one JSON object a line on standard output and a Markdown table on standard error.
//! BENCHMARKS.md says what each benchmark measures and how.
//!
//! The rooms: `switch`, `spawn`, `memory`, `mutex`, `channel`, `timers`, `udp`, `executor`, `echo` and `http` hold
//! one benchmark each; `peers` holds the contenders' side of them; `child` runs a contender in
//! a process of its own; `contest` takes the contenders' turns, `server` for the servers,
//! `paced` for the others; `load` generates the load of the server benchmarks; `measure` reads
//! clocks and counters; `report` prints. `run` and `process` start the programs and the pools
//! of processes that they compare.

mod arguments;
mod channel;
mod child;
mod contest;
mod echo;
mod epoll;
mod executor;
mod files;
mod histogram;
mod http;
mod load;
mod measure;
mod memory;
mod mutex;
mod paced;
mod peers;
mod process;
mod report;
mod response;
mod run;
mod server;
mod spawn;
mod switch;
mod timers;
mod udp;

use std::process::ExitCode;

use arguments::{Arguments, Invocation};
use report::Report;

type Benchmark = fn(&Arguments) -> Report;

const BENCHMARKS: [(&str, Benchmark); 14] = [
    ("switch", switch::run),
    ("spawn", spawn::run),
    ("memory", memory::run),
    ("mutex", mutex::run),
    ("channel", channel::run),
    ("timers", timers::run),
    ("udp", udp::run),
    ("files", files::run),
    ("echo", echo::run),
    ("http", http::run),
    ("http-pipelined", http::run_pipelined),
    ("executor", executor::run),
    ("run", run::run),
    ("process", process::run),
];

fn main() -> ExitCode {
    // Whoever is a worker process of one of the two never comes back from there.
    ropewalk::process::init();
    procspawn::init();
    let arguments = match arguments::parse(std::env::args().skip(1)) {
        Ok(Invocation::Child {
            role,
            contender,
            core,
        }) => {
            child::play(role, &contender, core);
            return ExitCode::SUCCESS;
        }
        Ok(Invocation::Benchmarks(arguments)) => arguments,
        Err(message) => {
            eprintln!("{message}\n\n{}", arguments::USAGE);
            return ExitCode::from(2);
        }
    };
    if cfg!(debug_assertions) {
        eprintln!("warning: a debug build; add --release for numbers that mean anything");
    }
    measure::raise_descriptor_limit();
    report::print_setting();
    let mut complete = true;
    let mut empty = true;
    for (name, run) in BENCHMARKS {
        if arguments.name == name || arguments.name == "all" {
            let report = run(&arguments);
            report.print();
            complete &= report.is_complete();
            empty &= report.is_empty();
        }
    }
    if empty {
        eprintln!("--only names no contender of {}", arguments.name);
        return ExitCode::from(2);
    }
    if complete {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
