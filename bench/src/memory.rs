//! `memory`: what a task that sleeps costs. A process starts a great many tasks that each go
//! to sleep for an hour; the growth of its resident memory and of its page tables, divided by
//! their number, is the price of one.
//!
//! In the second variant each task holds a buffer of 2 KiB, all of it written, across its
//! sleep: what a stackful coroutine has room for on the page it occupies anyway, and a
//! stackless task must carry in its state.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::arguments::Arguments;
use crate::child::{Child, Role, numbers};
use crate::contest::{self, Entry};
use crate::measure::Memory;
use crate::peers::Tasks;
use crate::report::{Better, Measure, Report, rounded};

const MEASURE: Measure = Measure {
    bench: "memory",
    unit: "bytes/task",
    better: Better::Lower,
};

/// The buffer of the second variant.
pub(crate) const BUFFER_BYTES: usize = 2048;

/// How long the tasks sleep: longer than anyone measures.
pub(crate) const SLEEP: Duration = Duration::from_secs(3600);

/// Who takes part, each with as many tasks as it can have on a machine as it comes.
const CONTENDERS: [(&str, u64); 4] = [
    ("ropewalk", 1_000_000),
    ("tokio", 1_000_000),
    // Each of its stacks is two mappings, and a process may have 65,530.
    ("may", 30_000),
    // Processes and threads share 32,768 numbers.
    ("std-thread", 10_000),
];

/// Counts the tasks that have come as far as their sleep.
pub(crate) static ASLEEP: AtomicUsize = AtomicUsize::new(0);

/// What one child found.
struct Held {
    tasks: u64,
    resident: u64,
    page_tables: u64,
    kernel_stacks: u64,
    start_ms: u64,
}

impl Held {
    fn bytes_a_task(&self) -> f64 {
        (self.resident + self.page_tables) as f64 / self.tasks as f64
    }
}

/// Runs the benchmark.
pub(crate) fn run(arguments: &Arguments) -> Report {
    let mut report = Report::new();
    let most = if arguments.quick { 100_000 } else { 1_000_000 };
    for (variant, most, buffer) in [("sleeping", most, 0), ("2-KiB-buffer", 100_000, 1)] {
        let entry = |contender| {
            contest::show_progress(&format!("memory {variant}: {contender}"));
            let limit = CONTENDERS.iter().find(|(name, _)| *name == contender);
            let count = limit.map_or(most, |(_, limit)| most.min(*limit));
            let held = measure(contender, count, buffer);
            Entry {
                contender,
                outcome: held.map(|held| vec![held]).map_err(|e| e.to_string()),
            }
        };
        let names = CONTENDERS.map(|(name, _)| name);
        let entries = arguments.select(&names).into_iter().map(entry).collect();
        contest::show_progress("");
        report.add(MEASURE, variant, entries, Held::bytes_a_task, |all| {
            extras(&all[0])
        });
    }
    report
}

fn extras(held: &Held) -> Vec<(&'static str, Value)> {
    let each = |bytes: u64| json!(rounded(bytes as f64 / held.tasks as f64));
    vec![
        ("tasks", json!(held.tasks)),
        ("resident_bytes", each(held.resident)),
        ("page_table_bytes", each(held.page_tables)),
        ("kernel_stack_bytes", each(held.kernel_stacks)),
        ("start_ms", json!(held.start_ms)),
    ]
}

fn measure(contender: &'static str, count: u64, buffer: u64) -> io::Result<Held> {
    let mut child = Child::start(Role::Tasks, contender, None)?;
    let answer = child.ask(&format!("sleepers {count} {buffer}"))?;
    let [resident, page_tables, kernel_stacks, start_ms] = numbers(&answer)?;
    Ok(Held {
        tasks: count,
        resident,
        page_tables,
        kernel_stacks,
        start_ms,
    })
}

/// The child's side: has `count` tasks go to sleep and answers with the growth of resident
/// memory, page tables and kernel stacks in bytes, and the milliseconds it took.
///
/// # Panics
/// If the contender can't start so many; the parent sees the process end.
pub(crate) fn hold(tasks: &dyn Tasks, count: usize, buffer: bool) -> String {
    // What a runtime sets up once for its first sleeper is not a sleeper's price.
    tasks.put_to_sleep(1, buffer);
    let before = Memory::of_this_process().expect("a readable /proc");
    let start = Instant::now();
    tasks.put_to_sleep(count, buffer);
    let start_ms = start.elapsed().as_millis();
    let after = Memory::of_this_process().expect("a readable /proc");
    format!(
        "{} {} {} {start_ms}",
        after.resident.saturating_sub(before.resident),
        after.page_tables.saturating_sub(before.page_tables),
        after.kernel_stacks.saturating_sub(before.kernel_stacks),
    )
}

/// Waits on the calling thread until `count` more tasks than `before` are asleep.
pub(crate) fn wait_until_asleep(before: usize, count: usize) {
    while ASLEEP.load(Ordering::Acquire) < before + count {
        // Waiting costs the worker's core nothing; how long is not what is measured.
        std::thread::sleep(Duration::from_millis(1));
    }
}
