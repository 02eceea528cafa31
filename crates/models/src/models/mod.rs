//! The models, and for each the faults that it finds.

use std::env;
use std::panic::Location;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::record::Record;
use crate::worker::as_coroutine;

mod any;
mod cancel;
mod mutex;
mod promise;
mod semaphore;
mod wait;

/// Checks a model in every interleaving with up to `preemptions` preemptions.
fn holds(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    let start = Instant::now();
    let runs = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&runs);
    builder.check(move || {
        count.fetch_add(1, Ordering::Relaxed);
        model();
    });
    println!(
        "{} interleavings, {:?}",
        runs.load(Ordering::Relaxed),
        start.elapsed()
    );
}

/// Demands that a model fails with the fault of this name, saying `how`: an assertion's message, or
/// one of those below.
///
/// It runs in a process of its own, which may well abort: destructors that run as it unwinds find
/// loom gone, and a broken protocol is free to do anything.
#[track_caller]
fn fails(
    fault: &'static str,
    how: &str,
    preemptions: usize,
    model: impl Fn() + Send + Sync + 'static,
) {
    const CALL: &str = "ROPEWALK_MODELS_CALL";
    let call = Location::caller().to_string();
    if let Ok(wanted) = env::var(CALL) {
        if wanted == call {
            crate::faults::with(fault, || holds(preemptions, model));
        }
        return;
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
    assert!(!child.status.success(), "the model holds with `{fault}`");
    assert!(
        said.contains(how),
        "with `{fault}` it fails otherwise:\n{said}"
    );
}

/// Loom's message when all threads are blocked.
const DEADLOCK: &str = "deadlock";
/// Loom's message when two uses of a cell aren't ordered.
const RACE: &str = "Causality violation";
/// Loom's message when a model doesn't come to an end.
const ENDLESS: &str = "exceeded maximum number of branches";
/// For faults that are in the model itself.
const NO_FAULT: &str = "";

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
            Who::Coroutine => as_coroutine(&Record::new(0), f),
        }
    }
}
