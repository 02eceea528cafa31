//! `switch`: what a yield costs. A number of tasks on one worker do nothing but yield; the
//! clock runs from when the last of them has arrived to when the last has finished, so that
//! starting tasks and touching their stacks for the first time stays out of it.

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
    bench: "switch",
    unit: "ns/yield",
    better: Better::Lower,
};

/// Runs the benchmark.
pub(crate) fn run(arguments: &Arguments) -> Report {
    let mut report = Report::new();
    for tasks in [2u64, 10, 100, 1000] {
        // A thousand threads that yield measure the kernel's run queue, not a yield.
        let contenders = if tasks == 2 {
            &CONTENDERS[..]
        } else {
            &CONTENDERS[..4]
        };
        let variant = format!("tasks-{tasks}");
        let entries = paced::compare(
            &format!("switch {variant}"),
            arguments,
            contenders,
            &move |n| {
                let yields = n.div_ceil(tasks);
                (format!("switch {tasks} {yields}"), tasks * yields)
            },
        );
        report.add(MEASURE, variant, entries, |ns| *ns, |_| Vec::new());
    }
    report
}
