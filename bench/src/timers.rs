//! `timers`: what a sleep costs, with a million of them at a time (fewer with `--quick`).
//!
//! `fire`: futures that sleep are started on one worker, and all fire; processor time for each,
//! from the first start to the last end. `cancel`: a million timers are set and, before they
//! fire, dropped. `fire-coroutines`: as `fire`, each sleeper a coroutine with its stack.

use crate::arguments::Arguments;
use crate::paced;
use crate::report::{Better, Measure, Report};

const MEASURE: Measure = Measure {
    bench: "timers",
    unit: "ns/sleep",
    better: Better::Lower,
};

/// Runs the benchmark.
pub(crate) fn run(arguments: &Arguments) -> Report {
    let mut report = Report::new();
    let count = if arguments.quick { 100_000 } else { 1_000_000 };
    for (variant, contenders) in [
        ("fire", &["ropewalk", "tokio"][..]),
        ("cancel", &["ropewalk", "tokio"][..]),
        ("fire-coroutines", &["ropewalk"][..]),
    ] {
        let title = format!("timers {variant}");
        let request = move |_: u64| (format!("timers-{variant} 1 1 {count}"), count);
        let entries = paced::compare_once(&title, arguments, contenders, &request);
        report.add(MEASURE, variant, entries, |ns| *ns, |_| Vec::new());
    }
    report
}
