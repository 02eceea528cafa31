//! `switch`: what a yield costs. A number of tasks on one worker do nothing but yield; the
//! clock runs from when the last of them has arrived to when the last has finished, so that
//! starting tasks and touching their stacks for the first time stays out of it.
//!
//! In the last variant the yield is two calls below the task's loop. A processor predicts where
//! `ret` goes from the calls it saw, and a switch of stacks in between makes it wrong: what a
//! stackful coroutine pays for each call that it waits in and a stackless task does not.

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
    let loops = [2u64, 10, 100, 1000].map(|tasks| (format!("tasks-{tasks}"), "switch", tasks));
    let calls = ("tasks-10-two-calls-down".to_owned(), "switch-calls", 10);
    for (variant, command, tasks) in loops.into_iter().chain([calls]) {
        // More threads that yield measure the kernel's run queue, not a yield.
        let contenders = if tasks == 2 {
            &CONTENDERS[..]
        } else {
            &CONTENDERS[..4]
        };
        let title = format!("switch {variant}");
        let entries = paced::compare(&title, arguments, contenders, &move |n| {
            let yields = n.div_ceil(tasks);
            (format!("{command} {tasks} {yields}"), tasks * yields)
        });
        report.add(MEASURE, variant, entries, |ns| *ns, |_| Vec::new());
    }
    report
}
