//! `echo`: what a small message through a TCP connection and back costs the server. Each
//! connection sends 64 bytes, waits until they have come back, and sends the next.

use std::time::Duration;

use crate::arguments::Arguments;
use crate::child::Role;
use crate::load::Exchange;
use crate::report::{Better, Measure, Report};
use crate::server::{Sample, Trial, extras};

const CONTENDERS: [&str; 9] = [
    "ropewalk",
    "ropewalk-epoll",
    "tokio",
    "may",
    "monoio",
    "glommio",
    "compio",
    "std-thread",
    "bare-epoll",
];
const MEASURE: Measure = Measure {
    bench: "echo",
    unit: "messages/CPU-second",
    better: Better::Higher,
};
const MESSAGE: [u8; 64] = *b"A message of sixty-four bytes, which is what a short one is like";

/// Runs the benchmark.
pub(crate) fn run(arguments: &Arguments) -> Report {
    let mut report = Report::new();
    for connections in [1, 64, 1000] {
        let variant = format!("connections-{connections}");
        let trial = Trial {
            title: format!("echo {variant}"),
            role: Role::Echo,
            connections,
            rounds: arguments.rounds(3, 9),
            burst: Duration::from_millis(if arguments.quick { 150 } else { 500 }),
        };
        let entries = trial.run(arguments, &CONTENDERS, |_| Ok(Exchange::echo(&MESSAGE)));
        report.add(
            MEASURE,
            variant,
            entries,
            Sample::requests_a_cpu_second,
            extras,
        );
    }
    report
}
