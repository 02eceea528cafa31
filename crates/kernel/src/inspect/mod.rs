//! Looking at all tasks of the process: a survey, to which each worker contributes.
//!
//! Whoever asks sends one letter to each worker. The worker goes through the records, and adds
//! those whose coroutine is parked on one of its own hosts, with its stack: see `walk.rs`. It
//! gives way after two milliseconds, by posting the rest of the letter to itself. A worker that
//! computes does not read its letters: once nobody has answered for a while ([`Plan::patience`]),
//! the survey goes on without it, and has the watcher look at what runs there. All others (unstarted tasks, async tasks between two polls, threads, and
//! coroutines of a worker that was silent) are then read from their records, which anybody may.
//!
//! The tasks go on meanwhile: each is seen at a moment of its own.

pub mod counters;
mod inquiry;
mod seen;
pub(crate) mod symbols;
pub(crate) mod walk;

use std::collections::{HashMap, HashSet};
use std::panic::Location;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Instant;

pub(crate) use inquiry::{Inquiry, stack_on};
pub use seen::{Kind, Plan, RuntimeSeen, Seen, Silent, State, Survey};
pub use symbols::{Folded, Frame, forget, resolve};
pub use walk::Frames;

use crate::clock;
use crate::driver::Letter;
use crate::locks;
use crate::record;
use crate::runtime::{self, Runtime, Shared};
use crate::task::Options;
use crate::wait::{Reason, in_coroutine, may_wait};
use crate::watcher;
use inquiry::look;

/// What a survey looks at.
#[derive(Clone)]
pub struct Subject(Option<Arc<Shared>>);

impl Subject {
    /// All tasks of the process.
    pub const EVERYTHING: Subject = Subject(None);

    /// The tasks of one runtime.
    pub fn of(runtime: &Runtime) -> Subject {
        Subject(Some(Arc::clone(runtime.shared())))
    }
}

/// Looks at tasks. On a plain thread: it blocks.
pub fn survey(subject: &Subject, plan: Plan) -> Survey {
    match &subject.0 {
        None => take(runtime::living_runtimes(), true, plan),
        Some(shared) => take(vec![Arc::clone(shared)], false, plan),
    }
}

/// Runs `f` where the stack is deep and blocking harms nobody: a coroutine waits for a thread to
/// do it. `None` if the system has no thread to give.
pub fn on_thread<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    if !in_coroutine() {
        return Some(f());
    }
    let name = "ropewalk-inspect";
    if !may_wait() {
        let builder = std::thread::Builder::new().name(name.into());
        return builder.spawn(f).ok()?.join().ok();
    }
    let options = Options {
        name: Some(name.into()),
        daemon: Some(true),
        ..Options::default()
    };
    let handle = runtime::spawn_thread(options, Location::caller(), f).ok()?;
    handle.join_uncancelled().ok()
}

fn take(runtimes: Vec<Arc<Shared>>, everywhere: bool, plan: Plan) -> Survey {
    let taken_ns = clock::now_ns();
    let mut tasks = HashMap::new();
    let silent = ask_workers(&runtimes, plan, &mut tasks);
    record::for_each(0, |_, record| {
        if let Some(seen) = look(record)
            && (everywhere || runtimes.iter().any(|shared| is_of(&seen, shared)))
        {
            tasks.entry(seen.snapshot.id).or_insert(seen);
        }
        true
    });
    let mut tasks: Vec<Seen> = tasks.into_values().collect();
    tasks.sort_unstable_by_key(|seen| seen.snapshot.id);
    let owners = locks::owners();
    for seen in &mut tasks {
        seen.runtime = runtimes.iter().position(|shared| is_of(seen, shared));
        seen.worker = seen.runtime.and_then(|runtime| {
            let mut workers = runtimes[runtime].workers.iter();
            workers.position(|worker| ptr::from_ref(worker) as usize == seen.home)
        });
        if seen.snapshot.reason == Reason::Lock {
            seen.owner = owners.get(&seen.snapshot.id).copied();
        }
    }
    let describe = |(runtime, shared): (usize, &Arc<Shared>)| {
        let of_it = silent.iter().filter(|(of, _)| *of == runtime);
        let mut silent: Vec<Silent> = of_it
            .map(|&(_, worker)| describe_silent(shared, (runtime, worker), &mut tasks))
            .collect();
        silent.sort_unstable_by_key(|silent| silent.worker);
        RuntimeSeen {
            workers: shared.workers.len(),
            driver: shared.driver(),
            live: shared.live(),
            silent,
        }
    };
    let runtimes = runtimes.iter().enumerate().map(describe).collect();
    Survey {
        runtimes,
        tasks,
        taken_ns,
    }
}

/// Has each worker contribute; gives those that did not, or not all.
fn ask_workers(
    runtimes: &[Arc<Shared>],
    plan: Plan,
    tasks: &mut HashMap<u64, Seen>,
) -> HashSet<(usize, usize)> {
    let mut pending = HashSet::new();
    if !plan.ask_workers {
        return pending;
    }
    let (sender, answers) = channel();
    let is_over = Arc::new(AtomicBool::new(false));
    for (runtime, shared) in runtimes.iter().enumerate() {
        for (index, worker) in shared.workers.iter().enumerate() {
            let of = (runtime, index);
            let inquiry = Inquiry::new(
                of,
                plan.measure_stacks,
                sender.clone(),
                Arc::clone(&is_over),
            );
            if worker.post(Letter::Inquire(Box::new(inquiry))) {
                pending.insert(of);
            }
        }
    }
    drop(sender);
    let mut patience_ends = Instant::now() + plan.patience;
    while !pending.is_empty() {
        let left = patience_ends.saturating_duration_since(Instant::now());
        match answers.recv_timeout(left) {
            Ok(answer) => {
                if answer.is_last {
                    pending.remove(&answer.of);
                }
                tasks.extend(answer.seen.into_iter().map(|seen| (seen.snapshot.id, seen)));
                patience_ends = Instant::now() + plan.patience;
            }
            // They left meanwhile, and read no more letters.
            Err(RecvTimeoutError::Disconnected) => pending.clear(),
            Err(RecvTimeoutError::Timeout) => break,
        }
    }
    is_over.store(true, Ordering::Relaxed);
    pending
}

/// What is known of a worker that did not answer: who runs there, and where, if the watcher may
/// look.
fn describe_silent(shared: &Shared, of: (usize, usize), tasks: &mut [Seen]) -> Silent {
    let (runtime, index) = of;
    let worker = &shared.workers[index];
    let running = tasks.iter_mut().find(|seen| {
        seen.runtime == Some(runtime) && seen.worker == Some(index) && seen.state == State::Running
    });
    let task = running.map(|seen| {
        seen.frames = watcher::frames_of_running(shared, worker, seen.snapshot.id);
        seen.snapshot.id
    });
    let beat_ns = worker.beat_ns.load(Ordering::Relaxed);
    Silent {
        worker: index,
        busy_ns: clock::now_ns().saturating_sub(beat_ns),
        task,
    }
}

fn is_of(seen: &Seen, shared: &Arc<Shared>) -> bool {
    Arc::as_ptr(shared) as usize == seen.of
}
