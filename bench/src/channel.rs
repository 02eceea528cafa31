//! `channel`: what a message costs.
//!
//! `threads-PxC-KIND`: P threads send, C receive. `tasks-PxC-KIND`: the same with tasks on one
//! worker, with `-2-workers` on two. `ping-pong-KIND`: two tasks, or two threads, send one
//! message to and fro; a message is a hop. `select-N`: one receives from N channels that
//! another fills in turn.

use serde_json::json;

use crate::arguments::Arguments;
use crate::measure::median;
use crate::paced::{self, Place};
use crate::report::{Better, Measure, Report, rounded};

/// The capacity of `bounded` channels but in `ping-pong-bounded`, where it is 1.
pub(crate) const CAPACITY: usize = 1024;

const MEASURE: Measure = Measure {
    bench: "channel",
    unit: "ns/message",
    better: Better::Lower,
};

const ONE_RECEIVER: &[&str] = &["ropewalk", "crossbeam", "flume", "std"];
const THREADS: &[&str] = &["ropewalk", "crossbeam", "flume"];
const TASKS: &[&str] = &["ropewalk", "tokio", "may", "flume-on-tokio"];
const NO_MAY: &[&str] = &["ropewalk", "tokio", "flume-on-tokio"];
const NO_TOKIO: &[&str] = &["ropewalk", "may", "flume-on-tokio"];
const FLUME: &[&str] = &["ropewalk", "flume-on-tokio"];
const TOKIO: &[&str] = &["ropewalk", "tokio"];

/// Variant, contenders, the command for their process, senders (or channels) and receivers.
type Row = (&'static str, &'static [&'static str], &'static str, u8, u8);

const ON_THREADS: [Row; 10] = [
    ("threads-1x1-bounded", ONE_RECEIVER, "stream-bounded", 1, 1),
    (
        "threads-1x1-unbounded",
        ONE_RECEIVER,
        "stream-unbounded",
        1,
        1,
    ),
    ("threads-4x1-bounded", ONE_RECEIVER, "stream-bounded", 4, 1),
    (
        "threads-4x1-unbounded",
        ONE_RECEIVER,
        "stream-unbounded",
        4,
        1,
    ),
    ("threads-4x4-bounded", THREADS, "stream-bounded", 4, 4),
    ("threads-4x4-unbounded", THREADS, "stream-unbounded", 4, 4),
    (
        "threads-ping-pong-bounded",
        ONE_RECEIVER,
        "hops-bounded",
        1,
        1,
    ),
    (
        "threads-ping-pong-rendezvous",
        ONE_RECEIVER,
        "hops-rendezvous",
        1,
        1,
    ),
    ("threads-select-2", THREADS, "select", 2, 1),
    ("threads-select-8", THREADS, "select", 8, 1),
];

const ON_TASKS: [Row; 9] = [
    ("ping-pong-unbounded", TASKS, "hops-unbounded", 1, 1),
    ("ping-pong-bounded", NO_MAY, "hops-bounded", 1, 1),
    ("ping-pong-rendezvous", FLUME, "hops-rendezvous", 1, 1),
    ("1x1-unbounded", TASKS, "stream-unbounded", 1, 1),
    ("1x1-bounded", NO_MAY, "stream-bounded", 1, 1),
    ("4x1-bounded", NO_MAY, "stream-bounded", 4, 1),
    ("4x4-unbounded", NO_TOKIO, "stream-unbounded", 4, 4),
    ("select-2", TOKIO, "select", 2, 1),
    ("select-8", TOKIO, "select", 8, 1),
];

/// Runs the benchmark.
pub(crate) fn run(arguments: &Arguments) -> Report {
    let mut report = Report::new();
    let mut add = |variant: &str, contenders: &[&'static str], line: String, place| {
        let title = format!("channel {variant}");
        let request = move |n: u64| (format!("{line} {n}"), n);
        let entries = paced::compare_waiting(&title, arguments, contenders, &request, place);
        report.add(
            MEASURE,
            variant,
            entries,
            |waited| waited.ns,
            |all| {
                let cpu: Vec<f64> = all.iter().map(|waited| waited.cpu_ns).collect();
                vec![("cpu_ns", json!(rounded(median(&cpu))))]
            },
        );
    };
    for (variant, contenders, command, senders, receivers) in ON_THREADS {
        let line = format!("threads-{command} {senders} {receivers}");
        add(variant, contenders, line, Place::AllCores);
    }
    for (variant, contenders, command, senders, receivers) in ON_TASKS {
        let line = format!("tasks-{command} {senders} {receivers}");
        add(
            &format!("tasks-{variant}"),
            contenders,
            line,
            Place::OneCore,
        );
    }
    for (variant, contenders, command, senders, receivers) in ON_TASKS {
        let line = format!("tasks-2-{command} {senders} {receivers}");
        let variant = format!("tasks-{variant}-2-workers");
        add(&variant, contenders, line, Place::AllCores);
    }
    report
}
