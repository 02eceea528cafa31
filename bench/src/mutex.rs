//! `mutex`: what a lock costs, alone and with others.
//!
//! `alone`: one thread locks, adds one, unlocks. `threads-N`: so do N threads, on all cores.
//! `tasks-N`: N tasks on one worker (`-2-workers`: on two), of which each gives way once in
//! [`YIELD_EVERY`] times *while it holds the lock*, so that the others do wait for it.

use crate::arguments::Arguments;
use crate::paced;
use crate::report::{Better, Measure, Report};

/// How often a task gives way while it holds the lock.
pub(crate) const YIELD_EVERY: u64 = 8;

const MEASURE: Measure = Measure {
    bench: "mutex",
    unit: "ns/lock",
    better: Better::Lower,
};
const ALONE: &[&str] = &["ropewalk", "parking_lot", "std", "tokio"];
const THREADS: &[&str] = &["ropewalk", "parking_lot", "std"];
const TASKS: &[&str] = &["ropewalk", "tokio", "may"];

/// Runs the benchmark.
pub(crate) fn run(arguments: &Arguments) -> Report {
    let mut report = Report::new();
    let mut add = |variant: String, contenders: &[&'static str], line: String| {
        let title = format!("mutex {variant}");
        let request = move |n: u64| (format!("{line} {n}"), n);
        let entries = paced::compare_free(&title, arguments, contenders, &request);
        report.add(MEASURE, variant, entries, |ns| *ns, |_| Vec::new());
    };
    add("alone".into(), ALONE, "lock-alone 1 1".into());
    for threads in [2, 8, 64] {
        add(
            format!("threads-{threads}"),
            THREADS,
            format!("lock-threads {threads} 1"),
        );
    }
    for (tasks, workers) in [(2, 1), (8, 1), (64, 1), (8, 2), (64, 2)] {
        let mark = if workers == 2 { "-2-workers" } else { "" };
        add(
            format!("tasks-{tasks}{mark}"),
            TASKS,
            format!("lock-tasks {tasks} {workers}"),
        );
    }
    report
}
