//! `spawn`: what it costs to start a task and to have its result. A task on the one worker
//! starts a batch of tasks that each return a number, then joins them in order.

use crate::arguments::Arguments;
use crate::paced;
use crate::report::{Better, Measure, Report};

const CONTENDERS: [&str; 5] = [
    "ropewalk",
    "tokio",
    "tokio-current-thread",
    "may",
    "std-thread",
];
const MEASURE: Measure = Measure {
    bench: "spawn",
    unit: "ns/task",
    better: Better::Lower,
};

/// Runs the benchmark.
pub(crate) fn run(arguments: &Arguments) -> Report {
    let mut report = Report::new();
    for batch in [1u64, 100, 1000] {
        let variant = format!("batch-{batch}");
        let entries = paced::compare(
            &format!("spawn {variant}"),
            arguments,
            &CONTENDERS,
            &move |n| {
                let batches = n.div_ceil(batch);
                (format!("spawn {batch} {batches}"), batch * batches)
            },
        );
        report.add(MEASURE, variant, entries, |ns| *ns, |_| Vec::new());
    }
    report
}
