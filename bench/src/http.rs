//! `http` and `http-pipelined`: what a small answer costs an HTTP/1.1 server. 64 connections
//! that stay open ask for `/`, one request at a time or 16 in one write, and are answered with
//! `Hello, World!` as plain text.

use std::time::Duration;

use crate::arguments::Arguments;
use crate::child::Role;
use crate::load::Exchange;
use crate::report::{Better, Measure, Report};
use crate::server::{Sample, Trial, extras};

const CONTENDERS: [&str; 6] = [
    "ropewalk",
    "ropewalk-epoll",
    "axum",
    "hyper",
    "may_minihttp",
    "bare-epoll",
];
const PIPELINED_CONTENDERS: [&str; 7] = [
    "ropewalk",
    "ropewalk-epoll",
    "axum",
    "axum-pipeline-flush",
    "hyper",
    "may_minihttp",
    "bare-epoll",
];
const CONNECTIONS: usize = 64;
const DEPTH: usize = 16;
const UNIT: &str = "requests/CPU-second";

/// Runs `http`.
pub(crate) fn run(arguments: &Arguments) -> Report {
    compare(arguments, "http", Role::Http, &CONTENDERS, 1)
}

/// Runs `http-pipelined`.
pub(crate) fn run_pipelined(arguments: &Arguments) -> Report {
    compare(
        arguments,
        "http-pipelined",
        Role::HttpPipelined,
        &PIPELINED_CONTENDERS,
        DEPTH,
    )
}

fn compare(
    arguments: &Arguments,
    bench: &'static str,
    role: Role,
    contenders: &[&'static str],
    depth: usize,
) -> Report {
    let trial = Trial {
        title: bench.to_owned(),
        role,
        connections: CONNECTIONS,
        rounds: arguments.rounds(5, 15),
        burst: Duration::from_millis(if arguments.quick { 300 } else { 1_000 }),
    };
    let entries = trial.run(arguments, contenders, |port| Exchange::get(port, depth));
    let variant = match depth {
        1 => format!("connections-{CONNECTIONS}"),
        _ => format!("connections-{CONNECTIONS}-depth-{depth}"),
    };
    let mut report = Report::new();
    let measure = Measure {
        bench,
        unit: UNIT,
        better: Better::Higher,
    };
    report.add(
        measure,
        variant,
        entries,
        Sample::requests_a_cpu_second,
        extras,
    );
    report
}
