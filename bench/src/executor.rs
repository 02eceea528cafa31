//! `executor`: what running work in a pool of threads costs.
//!
//! Fork and join, in a pool of one thread and of two: `fib` is the naive Fibonacci number 32 with a join at
//! every node, which is nothing but joins; `fib-cut` has joins down to [`FIB_CUT`] and plain
//! calls below, as programs do; `quicksort` sorts [`SORT_LEN`] random numbers, with joins down to
//! pieces of [`SORT_CUT`]. `sequential` does the same without any joins, on one thread.

pub(crate) mod noop;

use crate::arguments::Arguments;
use crate::paced::{self, Place};
use crate::report::{Better, Measure, Report};

/// The number of which `fib` is asked.
pub(crate) const FIB: u64 = 32;
/// Below this `fib-cut` calls itself plainly.
pub(crate) const FIB_CUT: u64 = 16;
/// How many numbers `quicksort` sorts.
pub(crate) const SORT_LEN: u64 = 2_000_000;
/// Pieces of `quicksort` up to this length are sorted by the standard library.
pub(crate) const SORT_CUT: usize = 128;

const CONTENDERS: &[&str] = &["ropewalk", "rayon", "sequential"];

/// The joins, or calls, in one round of `fib` without a cut.
fn fib_nodes() -> u64 {
    let (mut nodes, mut before) = (0, 0);
    for _ in 1..FIB {
        (nodes, before) = (nodes + before + 1, nodes);
    }
    nodes
}

/// Runs the benchmark.
pub(crate) fn run(arguments: &Arguments) -> Report {
    let mut report = Report::new();
    let mut add = |name: &str, unit: &'static str, command: String, size: u64, workers: u64| {
        let mark = if workers == 1 { "-1-worker" } else { "" };
        let place = match workers {
            1 => Place::OneCore,
            _ => Place::AllCoresForLong,
        };
        let request = move |n: u64| {
            let times = n.div_ceil(size);
            (format!("{command} {workers} {times}"), times * size)
        };
        let variant = format!("{name}{mark}");
        let title = format!("executor {variant}");
        let entries = paced::compare_waiting(&title, arguments, CONTENDERS, &request, place);
        let measure = Measure {
            bench: "executor",
            unit,
            better: Better::Lower,
        };
        report.add(
            measure,
            variant,
            entries,
            |waited| waited.ns,
            |_| Vec::new(),
        );
    };
    for workers in [1, 2] {
        add("fib", "ns/join", "fork-fib 0".into(), fib_nodes(), workers);
        let cut = format!("fork-fib {FIB_CUT}");
        add("fib-cut", "ns/call", cut, fib_nodes(), workers);
        let sort = format!("fork-sort {SORT_CUT}");
        add("quicksort", "ns/element", sort, SORT_LEN, workers);
    }
    noop::run(arguments, &mut report);
    report
}
