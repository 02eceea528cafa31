//! `timers`: what a sleep costs, with a million of them at a time (fewer with `--quick`), in
//! processor time.
//!
//! `fire`: tasks that sleep are started on one worker, and all fire. `cancel`: as many timers
//! are set and, before they fire, dropped. `cancel-tasks`: as many tasks that sleep are started
//! and, before they wake, cancelled and joined. `…-coroutines`: the sleepers are coroutines,
//! each with its stack.

use serde_json::json;

use crate::arguments::Arguments;
use crate::measure::median;
use crate::paced::{self, Place};
use crate::report::{Better, Measure, Report, rounded};

const MEASURE: Measure = Measure {
    bench: "timers",
    unit: "CPU ns/sleep",
    better: Better::Lower,
};

const TASKS: &[&str] = &["ropewalk", "tokio"];
const STACKS: &[&str] = &["ropewalk"];

/// Runs the benchmark.
pub(crate) fn run(arguments: &Arguments) -> Report {
    let mut report = Report::new();
    let count = if arguments.quick { 100_000 } else { 1_000_000 };
    for (variant, contenders) in [
        ("fire", TASKS),
        ("cancel", TASKS),
        ("cancel-tasks", TASKS),
        ("fire-coroutines", STACKS),
        ("cancel-coroutines", STACKS),
    ] {
        let title = format!("timers {variant}");
        let request = move |_: u64| (format!("timers-{variant} 1 1 {count}"), count);
        let entries = paced::compare_once(&title, arguments, contenders, &request, Place::AllCores);
        report.add(
            MEASURE,
            variant,
            entries,
            |waited| waited.cpu_ns,
            |all| {
                let elapsed: Vec<f64> = all.iter().map(|waited| waited.ns).collect();
                vec![("elapsed_ns", json!(rounded(median(&elapsed))))]
            },
        );
    }
    report
}
