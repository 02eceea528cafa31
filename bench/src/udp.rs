//! `udp`: datagrams of 64 bytes that a second of processor time moves, from one socket on
//! 127.0.0.1 to another, in one process with one worker.
//!
//! `ping-pong-N`: N pairs of tasks, each with one datagram to and fro. `flood`: one task sends 32
//! and waits for one that says that they have arrived. `…-connected`: with `send` and `recv`
//! instead of `send_to` and `recv_from`. `flood-batch`: with a system call for all 32, which tokio has
//! no form for. The system's part is in all figures, and is most of
//! them.

use serde_json::json;

use crate::arguments::Arguments;
use crate::measure::median;
use crate::paced::{self, Place};
use crate::report::{Better, Measure, Report, rounded};

const MEASURE: Measure = Measure {
    bench: "udp",
    unit: "datagrams/CPU s",
    better: Better::Higher,
};

const ALL: &[&str] = &["ropewalk", "ropewalk-epoll", "tokio"];
const OURS: &[&str] = &["ropewalk", "ropewalk-epoll"];

/// Runs the benchmark.
pub(crate) fn run(arguments: &Arguments) -> Report {
    let mut report = Report::new();
    for (variant, contenders, command, pairs, window) in [
        ("ping-pong-1", ALL, "from", 1, 1),
        ("ping-pong-64", ALL, "from", 64, 1),
        ("ping-pong-64-connected", ALL, "connected", 64, 1),
        ("flood", ALL, "from", 1, 32),
        ("flood-connected", ALL, "connected", 1, 32),
        ("flood-batch", OURS, "batch", 1, 32),
    ] {
        let title = format!("udp {variant}");
        // Of so many datagrams, each pair moves as many, in whole rounds.
        let round = pairs * (window + 1);
        let request = move |n: u64| {
            let n = n.div_ceil(round) * round;
            (format!("udp-{command} {pairs} {window} {n}"), n)
        };
        let place = Place::OneCore;
        let entries = paced::compare_waiting(&title, arguments, contenders, &request, place);
        report.add(
            MEASURE,
            variant,
            entries,
            |waited| 1e9 / waited.cpu_ns,
            |all| {
                let elapsed: Vec<f64> = all.iter().map(|waited| waited.ns).collect();
                vec![("elapsed_ns", json!(rounded(median(&elapsed))))]
            },
        );
    }
    report
}
