//! The part of `executor` that is nothing but pools: tasks that do nothing, from an outside thread.
//!
//! `noop` gives a pool [`BATCH`] tasks one after the other, waits until the last has run, and
//! begins again. `round-trip` gives it one, waits for its result, and gives it the next.

use serde_json::json;

use crate::arguments::Arguments;
use crate::measure::median;
use crate::paced::{self, Place, Waited};
use crate::report::{Better, Measure, Report, rounded};

/// How many tasks are given before they are waited for.
pub(crate) const BATCH: u64 = 10_000;

const CONTENDERS: &[&str] = &["ropewalk", "rayon", "threadpool", "tokio-spawn-blocking"];

const MEASURE: Measure = Measure {
    bench: "executor",
    unit: "ns/task",
    better: Better::Lower,
};

/// Adds it to `report`.
pub(super) fn run(arguments: &Arguments, report: &mut Report) {
    for threads in [1u64, 2] {
        let mark = if threads == 1 { "-1-thread" } else { "" };
        for name in ["noop", "round-trip"] {
            let variant = format!("{name}{mark}");
            let title = format!("executor {variant}");
            let request = move |n: u64| (format!("pool-{name} 0 {threads} {n}"), n);
            let place = Place::AllCoresForLong;
            let entries = paced::compare_waiting(&title, arguments, CONTENDERS, &request, place);
            let processor = |all: &[Waited]| {
                let used: Vec<f64> = all.iter().map(|waited| waited.cpu_ns).collect();
                vec![("cpu_ns", json!(rounded(median(&used))))]
            };
            report.add(MEASURE, variant, entries, |waited| waited.ns, processor);
        }
    }
}
