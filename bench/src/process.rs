//! `process`: tasks given to a pool of two worker processes.
//!
//! `pipelined`: tasks with nothing to do are all given to the pool, then their results taken.
//! `mapped`: by the pool's `map`, in chunks of an eighth, which is how `multiprocessing.Pool` cuts
//! them. `trips`: each task with its result before the next. `payload-in`: 64 MiB go to a task that
//! says how many they were, `payload-back`: and come back. A payload is made before the time runs.
//!
//! - `ropewalk`: `ropewalk::process::ProcessPool`;
//! - `procspawn`: `procspawn::Pool`; of its tasks 200 are under way at most, because each takes
//!   descriptors; it has no `map`;
//! - `futures`: Python's `concurrent.futures.ProcessPoolExecutor`, by `submit` and `map`;
//! - `pool`: Python's `multiprocessing.Pool`, by `apply_async`, `apply` and `map`;
//! - `loky`: the executor of Python's `loky`;
//! - `memcpy`: no pool: a copy of the payload into memory that is there, and one back;
//! - `clone`: likewise, into fresh memory each time, as whoever is given a new value has it.
//!
//! The Python contenders are `bench/peers/pools.py`, skipped where there is no `python3`, or no
//! `loky` for it.

use std::process::{Command, Stdio};
use std::time::Duration;

use crate::arguments::Arguments;
use crate::child::{Child, Role};
use crate::paced;
use crate::report::{Better, Measure, Report};

/// How many worker processes each pool has.
pub(crate) const WORKERS: usize = 2;

const PAYLOAD_BYTES: u64 = 64 << 20;
/// Into how many pieces a payload is thought to be cut, for counting.
const PIECES: u64 = 512;
const TASKS: Measure = Measure {
    bench: "process",
    unit: "tasks/s",
    better: Better::Higher,
};
const BYTES: Measure = Measure {
    bench: "process",
    unit: "GB/s",
    better: Better::Higher,
};

/// Python's side, and what it needs.
const SCRIPT: &str = include_str!("../peers/pools.py");

/// Runs the benchmark.
pub(crate) fn run(arguments: &Arguments) -> Report {
    let mut report = Report::new();
    let there = |contenders: &[&'static str]| -> Vec<&'static str> {
        let chosen = arguments.select(contenders).into_iter();
        chosen
            .filter(|name| !is_python(name) || runs(name))
            .collect()
    };
    let tasks = there(&["ropewalk", "procspawn", "futures", "pool", "loky"]);
    let mapped: Vec<_> = tasks
        .iter()
        .copied()
        .filter(|name| *name != "procspawn")
        .collect();
    for (variant, contenders) in [
        ("pipelined", &tasks),
        ("mapped", &mapped),
        ("trips", &tasks),
    ] {
        let entries = paced::compare_started(
            &format!("process {variant}"),
            contenders,
            arguments.rounds(5, 11),
            Duration::from_millis(if arguments.quick { 100 } else { 300 }),
            &move |tasks| (format!("{variant} {tasks} 0"), tasks),
            start,
        );
        report.add(TASKS, variant, entries, |ns| 1e9 / ns, |_| Vec::new());
    }
    let mut movers = tasks;
    movers.extend(there(&["memcpy", "clone"]));
    for (variant, times) in [("payload-in", 1), ("payload-back", 2)] {
        let entries = paced::compare_started(
            &format!("process {variant}"),
            &movers,
            arguments.rounds(3, 7),
            Duration::from_millis(if arguments.quick { 100 } else { 300 }),
            // Counted in small pieces, so that the first portion tried is a few payloads.
            &move |pieces| {
                let payloads = pieces.div_ceil(PIECES);
                let line = format!("{variant} {payloads} {PAYLOAD_BYTES}");
                (line, payloads * PIECES)
            },
            start,
        );
        let bytes = f64::from(times) * PAYLOAD_BYTES as f64 / PIECES as f64;
        report.add(
            BYTES,
            variant,
            entries,
            move |ns| bytes / ns,
            |_| Vec::new(),
        );
    }
    report
}

fn is_python(contender: &str) -> bool {
    !["ropewalk", "procspawn", "memcpy", "clone"].contains(&contender)
}

/// Whether there is what a contender of Python's needs; says so if not.
fn runs(contender: &str) -> bool {
    let mut check = python(contender);
    check.arg("check").stderr(Stdio::null());
    let runs = check.status().is_ok_and(|status| status.success());
    if !runs {
        let what = match contender {
            "loky" => "loky for python3",
            _ => "python3",
        };
        eprintln!("skipped: {contender}: {what} not installed");
    }
    runs
}

fn python(contender: &str) -> Command {
    let mut command = Command::new("python3");
    command.args(["-c", SCRIPT, contender]);
    command
}

fn start(contender: &'static str) -> std::io::Result<Child> {
    match is_python(contender) {
        true => Child::of(&mut python(contender)),
        false => Child::start(Role::Pools, contender, None),
    }
}
