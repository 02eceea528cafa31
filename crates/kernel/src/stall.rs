//! "All coroutines asleep": seeing that a program can never go on.
//!
//! A runtime that is closed to outsiders (`#[ropewalk::main]`, `#[ropewalk::test]`) knows how
//! many threads of the process are not its own. When all its workers have slept for a while
//! without a timer, nobody waits for a descriptor or for the blocking pool, and the process has
//! no thread beyond the known ones, which all wait, then nothing can ever wake a coroutine.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;

use crate::blocking;
use crate::inspect::{Frames, stack_on, symbols};
use crate::probe;
use crate::record::Snapshot;
use crate::runtime::Shared;
use crate::wait::Reason;
use crate::watcher;
use crate::worker::Worker;

/// How long all must have slept; a second look after this finds the same counts.
pub(crate) const PAUSE_NS: u64 = 500_000_000;

/// A number that changes whenever a coroutine of the runtime is resumed or spawned.
pub(crate) fn pulse(shared: &Shared) -> u64 {
    let resumed = shared.workers.iter().map(|worker| {
        worker.counts.resumed.load(Ordering::SeqCst) + worker.counts.spawned.load(Ordering::SeqCst)
    });
    resumed.sum::<u64>().wrapping_add(shared.injected_count())
}

/// Says whether no worker but the caller could do anything without being woken.
pub(crate) fn all_asleep(shared: &Shared) -> bool {
    shared
        .workers
        .iter()
        .all(|worker| worker.sleeps_for_ever.load(Ordering::SeqCst) && !worker.has_mail())
}

/// Ends the process with a report if nothing can ever wake a coroutine of this runtime. In the
/// worker's loop, after all have slept.
pub(crate) fn report_if_dead(worker: &Worker, outer_threads: usize) {
    let shared = &worker.shared;
    let living = shared.living();
    if living.iter().all(|task| task.daemon) {
        return;
    }
    let open = |task: &Snapshot| {
        matches!(
            task.reason,
            Reason::Read | Reason::Write | Reason::Blocking | Reason::Sleep | Reason::Yielded
        ) || !task.started
    };
    if living.iter().any(open) {
        return;
    }
    let known =
        shared.workers.len() + blocking::idle_threads() + watcher::threads() + outer_threads;
    if threads().is_none_or(|threads| threads > known) {
        return;
    }
    if !shared.claim_stall_report() {
        return;
    }
    let stack_here = |task: &Snapshot| -> Option<Frames> {
        let record = crate::record::find(task.id)?;
        // Those of other workers answer a letter: they only sleep.
        stack_on(worker, record, task.id).or_else(|| probe::stack_of(task.id))
    };
    eprint!("{}", describe(&living, stack_here));
    // As after a panic of `main`.
    std::process::exit(101);
}

fn describe(living: &[Snapshot], stack_here: impl Fn(&Snapshot) -> Option<Frames>) -> String {
    const SHOWN: usize = 20;
    let mut text = format!(
        "ropewalk: deadlock: all {} coroutines asleep, and nothing can wake them\n",
        living.len()
    );
    for task in living.iter().take(SHOWN) {
        let _ = writeln!(text, "  {task}, on {:#x}", task.object);
        if let Some(stack) = stack_here(task) {
            text.push_str(&symbols::describe(&stack));
        }
    }
    if living.len() > SHOWN {
        let _ = writeln!(text, "  and {} more", living.len() - SHOWN);
    }
    text
}

/// How many threads this process has.
fn threads() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/task").ok()?.count())
}
