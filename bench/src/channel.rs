//! `channel`: what a message costs.
//!
//! `threads-PxC-KIND`: P threads send, C receive. `tasks-PxC-KIND`: the same with tasks on one
//! worker. `ping-pong-KIND`: two tasks on one worker, or two threads, send one message to and
//! fro; a message is a hop. `select-2`: one receives from two channels that are filled in turn.

use crate::arguments::Arguments;
use crate::paced;
use crate::report::{Better, Measure, Report};

/// The capacity of `bounded` channels but in `ping-pong-bounded`, where it is 1.
pub(crate) const CAPACITY: usize = 1024;

const MEASURE: Measure = Measure {
    bench: "channel",
    unit: "ns/message",
    better: Better::Lower,
};

/// Runs the benchmark.
pub(crate) fn run(arguments: &Arguments) -> Report {
    let mut report = Report::new();
    let mut add = |variant: &str, contenders: &[&'static str], line: &str| {
        let title = format!("channel {variant}");
        let line = line.to_owned();
        let request = move |n: u64| (format!("{line} {n}"), n);
        let entries = paced::compare_free(&title, arguments, contenders, &request);
        report.add(MEASURE, variant, entries, |ns| *ns, |_| Vec::new());
    };
    let one_to_one: &[_] = &["ropewalk", "crossbeam", "flume", "std"];
    let many_to_many: &[_] = &["ropewalk", "crossbeam", "flume"];
    add(
        "threads-1x1-bounded",
        one_to_one,
        "stream-threads-bounded 1 1",
    );
    add(
        "threads-1x1-unbounded",
        one_to_one,
        "stream-threads-unbounded 1 1",
    );
    add(
        "threads-4x4-bounded",
        many_to_many,
        "stream-threads-bounded 4 4",
    );
    add(
        "threads-4x4-unbounded",
        many_to_many,
        "stream-threads-unbounded 4 4",
    );
    add(
        "threads-ping-pong-rendezvous",
        one_to_one,
        "hops-threads-rendezvous 1 1",
    );
    add("threads-select-2", many_to_many, "select-threads 2 1");
    let tasks: &[_] = &["ropewalk", "tokio", "may"];
    add("tasks-1x1-unbounded", tasks, "stream-tasks-unbounded 1 1");
    add("tasks-1x1-bounded", &tasks[..2], "stream-tasks-bounded 1 1");
    add("ping-pong-unbounded", tasks, "hops-tasks-unbounded 1 1");
    add("ping-pong-bounded", &tasks[..2], "hops-tasks-bounded 1 1");
    add(
        "ping-pong-rendezvous",
        &tasks[..1],
        "hops-tasks-rendezvous 1 1",
    );
    add("tasks-select-2", &tasks[..2], "select-tasks 2 1");
    report
}
