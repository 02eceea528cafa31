//! `mutex`: what a lock costs, alone and with others, and how evenly it is shared.
//!
//! `alone`: one thread locks, adds one, unlocks; `alone-task`: so does one task. `threads-N`: so
//! do N threads, on all cores. `tasks-N`: N tasks on one worker (`-2-workers`: on two), of which
//! each gives way once in [`YIELD_EVERY`] times *while it holds the lock*, so that the others
//! do wait for it. `-work`: with [`WORK`] rounds of work under the lock and as many outside.

use serde_json::json;

use crate::arguments::Arguments;
use crate::measure::median;
use crate::paced::{self, Place, Waited};
use crate::report::{Better, Measure, Report, rounded};

/// How often a task gives way while it holds the lock.
pub(crate) const YIELD_EVERY: u64 = 8;

/// Rounds of work under the lock in the variants with work.
pub(crate) const WORK: u64 = 400;

const MEASURE: Measure = Measure {
    bench: "mutex",
    unit: "ns/lock",
    better: Better::Lower,
};
const ALONE: &[&str] = &["ropewalk", "parking_lot", "std", "tokio"];
const ALONE_TASK: &[&str] = &["ropewalk", "parking_lot", "std", "tokio", "may"];
const THREADS: &[&str] = &["ropewalk", "parking_lot", "std"];
const TASKS: &[&str] = &["ropewalk", "tokio", "may"];

/// Runs the benchmark.
pub(crate) fn run(arguments: &Arguments) -> Report {
    let mut report = Report::new();
    let mut add = |variant: String, contenders: &[&'static str], line: String, place| {
        let title = format!("mutex {variant}");
        let alone = variant.starts_with("alone");
        let request = move |n: u64| (format!("{line} {n}"), n);
        let entries = paced::compare_waiting(&title, arguments, contenders, &request, place);
        report.add(
            MEASURE,
            variant,
            entries,
            |waited| waited.ns,
            |all| {
                let of = |figure: fn(&Waited) -> f64| {
                    json!(rounded(median(&all.iter().map(figure).collect::<Vec<_>>())))
                };
                let mut extra = vec![("cpu_ns", of(|waited| waited.cpu_ns))];
                if !alone {
                    extra.push(("least_share", of(|waited| waited.least)));
                    extra.push(("most_share", of(|waited| waited.most)));
                }
                extra
            },
        );
    };
    let line = "lock-alone 1 1".to_owned();
    add("alone".into(), ALONE, line, Place::OneCore);
    let line = "lock-alone-task 1 1".to_owned();
    add("alone-task".into(), ALONE_TASK, line, Place::OneCore);
    for (threads, mark) in [(2, ""), (8, ""), (64, ""), (8, "-work")] {
        let line = format!("lock-threads{mark} {threads} 1");
        let variant = format!("threads-{threads}{mark}");
        add(variant, THREADS, line, Place::AllCoresForLong);
    }
    for workers in [1, 2] {
        let (on, place) = match workers {
            1 => ("", Place::OneCore),
            _ => ("-2-workers", Place::AllCores),
        };
        for (tasks, mark) in [(2, ""), (8, ""), (64, ""), (8, "-work")] {
            let line = format!("lock-tasks{mark} {tasks} {workers}");
            add(format!("tasks-{tasks}{on}{mark}"), TASKS, line, place);
        }
    }
    report
}
