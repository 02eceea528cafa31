//! "All coroutines asleep": seeing that a program can never go on.
//!
//! A runtime that is closed to outsiders (`#[ropewalk::main]`, `#[ropewalk::test]`) knows how
//! many threads of the process are not its own. When all its workers have slept for a while
//! without a timer, nobody waits for a descriptor or for the blocking pool, and the process has
//! no thread beyond the known ones, which all wait, then nothing can ever wake a coroutine.

use std::fmt::Write as _;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::blocking;
use crate::driver;
use crate::inspect::{Frames, stack_on, symbols};
use crate::probe;
use crate::record::Snapshot;
use crate::runtime::Shared;
use crate::wait::Reason;
use crate::watcher;
use crate::worker::Worker;

/// Threads that serve the runtime and never wake a coroutine on their own account.
static OWN_THREADS: AtomicUsize = AtomicUsize::new(0);
/// How many of them there have ever been.
static OWN_STARTED: AtomicUsize = AtomicUsize::new(0);

/// Counts the calling thread as one that wakes no coroutine, until dropped.
///
/// Made and dropped *on* the thread: so never more are counted than there are.
#[doc(hidden)]
#[derive(Debug)]
pub struct OwnThread(PhantomData<*const ()>);

impl OwnThread {
    /// Counts the calling thread.
    #[expect(clippy::new_without_default, reason = "it has an effect")]
    pub fn new() -> OwnThread {
        OWN_STARTED.fetch_add(1, Ordering::SeqCst);
        OWN_THREADS.fetch_add(1, Ordering::SeqCst);
        OwnThread(PhantomData)
    }
}

impl Drop for OwnThread {
    fn drop(&mut self) {
        OWN_THREADS.fetch_sub(1, Ordering::SeqCst);
    }
}

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
/// worker's loop, after all have slept; `still` says whether they have slept until now.
///
/// A thread that ends is not counted any more, but what it did last can be seen: so `still` is
/// asked after the threads are counted. And one of ours may end between being known and being
/// counted, while another thread takes its place in the count: those known before and after are
/// counted on.
pub(crate) fn report_if_dead(worker: &Worker, outer_threads: usize, still: impl Fn() -> bool) {
    let shared = &worker.shared;
    let living = shared.living();
    if living.iter().all(|task| task.daemon) {
        return;
    }
    let open = |task: &Snapshot| {
        matches!(
            task.reason,
            Reason::Read
                | Reason::Write
                | Reason::File
                | Reason::Blocking
                | Reason::Sleep
                | Reason::Yielded
        ) || !task.started
    };
    if living.iter().any(open) || driver::anyone_waits() {
        return;
    }
    let known =
        || shared.workers.len() + blocking::idle_threads() + watcher::threads() + outer_threads;
    let before = known();
    let Some(threads) = other_threads() else {
        return;
    };
    if threads > before.min(known()) || !still() {
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

/// The threads of this process that aren't [`OwnThread`]s; `None` if it can't be told.
fn other_threads() -> Option<usize> {
    let own = || {
        (
            OWN_STARTED.load(Ordering::SeqCst),
            OWN_THREADS.load(Ordering::SeqCst),
        )
    };
    let before = own();
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    let all = tasks.flatten().filter(|task| !is_of_a_ring(task)).count();
    // One that came or went meanwhile: the next look tells.
    (own() == before).then(|| all.saturating_sub(before.1))
}

/// Says whether a thread is one that the kernel keeps for a ring's files: it wakes only who
/// waits for the ring.
fn is_of_a_ring(task: &std::fs::DirEntry) -> bool {
    std::fs::read(task.path().join("comm")).is_ok_and(|name| name.starts_with(b"iou-"))
}
