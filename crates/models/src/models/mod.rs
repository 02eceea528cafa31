//! The models, and for each the faults that it finds.

use std::cell::Cell;
use std::env;
use std::panic::{self, Location};
use std::process::{self, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::record::Record;
use crate::shim::atomic::{Fences, put_fences};
use crate::worker::as_coroutine;

mod any;
mod cancel;
mod channel;
mod fork;
mod future;
mod join;
mod lot;
mod mutex;
mod once;
mod promise;
mod rwlock;
mod semaphore;
mod wait;

/// Demands that a model holds in every interleaving with up to `preemptions` preemptions, with either
/// way to place fences.
#[track_caller]
pub(crate) fn holds(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    if let Some((held, said)) = apart("", preemptions, model) {
        println!("{}\n{said}", Location::caller());
        assert!(held, "the model fails, see above");
    }
}

/// Demands that a model fails with the fault of this name, saying `how`: an assertion's message, or
/// one of those below.
#[track_caller]
pub(crate) fn fails(
    fault: &'static str,
    how: &str,
    preemptions: usize,
    model: impl Fn() + Send + Sync + 'static,
) {
    if let Some((held, said)) = apart(fault, preemptions, model) {
        assert!(!held, "the model holds with `{fault}`");
        assert!(
            said.contains(how),
            "with `{fault}` it fails otherwise:\n{said}"
        );
    }
}

/// Checks a model in a process of its own: gives whether it held, and what it said. In that process,
/// which is this test again, gives nothing.
///
/// A model that fails ends its process at once. Destructors that ran as it unwinds would find
/// loom gone, and a broken protocol is free to do anything.
fn apart(
    fault: &'static str,
    preemptions: usize,
    model: impl Fn() + Send + Sync + 'static,
) -> Option<(bool, String)> {
    const CALL: &str = "ROPEWALK_MODELS_CALL";
    std::thread_local! {
        // A test runs on a thread of its own.
        static CALLS: Cell<usize> = const { Cell::new(0) };
    }
    let call = CALLS.replace(CALLS.get() + 1).to_string();
    if let Ok(wanted) = env::var(CALL) {
        if wanted == call {
            let hook = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                hook(info);
                process::exit(1);
            }));
            crate::faults::with(fault, || check(preemptions, model));
            process::exit(0);
        }
        return None;
    }
    let thread = std::thread::current();
    let test = thread.name().expect("a test's thread has its name");
    let this = env::current_exe().expect("a test has a file");
    let child = Command::new(this)
        .args([test, "--exact", "--nocapture"])
        .env(CALL, call)
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("the test's file can be run");
    let said = String::from_utf8_lossy(&child.stdout).into_owned()
        + &*String::from_utf8_lossy(&child.stderr);
    assert!(
        said.contains("running 1 test"),
        "`{test}` was not run:\n{said}"
    );
    Some((child.status.success(), said))
}

fn check(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let model = Arc::new(model);
    for fences in [Fences::BehindWrites, Fences::BeforeReads] {
        put_fences(fences);
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(preemptions);
        builder.max_branches = 20_000;
        let start = Instant::now();
        let runs = Arc::new(AtomicU64::new(0));
        let (count, model) = (Arc::clone(&runs), Arc::clone(&model));
        builder.check(move || {
            count.fetch_add(1, Ordering::Relaxed);
            model();
        });
        let runs = runs.load(Ordering::Relaxed);
        println!("{runs} interleavings in {:?}", start.elapsed());
    }
}

/// Loom's message when all threads are blocked.
pub(crate) const DEADLOCK: &str = "deadlock";
/// Loom's message when two uses of a cell aren't ordered.
pub(crate) const RACE: &str = "Causality violation";
/// For faults that are in the model itself.
pub(crate) const NO_FAULT: &str = "";

/// What may wait.
#[derive(Clone, Copy)]
pub(crate) enum Who {
    Thread,
    Coroutine,
}

impl Who {
    fn run<R>(self, f: impl FnOnce() -> R) -> R {
        match self {
            Who::Thread => f(),
            Who::Coroutine => as_coroutine(&Record::new(), f),
        }
    }
}
