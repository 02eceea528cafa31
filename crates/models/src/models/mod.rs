//! The models, and for each the faults that it finds.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::record::Record;
use crate::worker::as_coroutine;

mod any;
mod cancel;
mod mutex;
mod wait;

/// Checks a model in every interleaving with up to `preemptions` preemptions.
fn holds(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// Demands that a model fails with the fault of this name, with a message that contains `how`: that
/// of an assertion, or one of those below.
fn fails(
    fault: &'static str,
    how: &str,
    preemptions: usize,
    model: impl Fn() + Send + Sync + 'static,
) {
    let outcome = crate::faults::with(fault, || {
        catch_unwind(AssertUnwindSafe(|| holds(preemptions, model)))
    });
    let Err(payload) = outcome else {
        panic!("the model holds with this fault: {fault}");
    };
    let said = payload.downcast_ref::<&str>().copied();
    let said = said.or(payload.downcast_ref::<String>().map(String::as_str));
    let said = said.unwrap_or_default();
    assert!(
        said.contains(how),
        "with `{fault}` it fails otherwise: {said}"
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
