//! The side of a process that runs the task.
//!
//! The task is the main coroutine of a runtime of its own. What it leaves running that is no
//! daemon is waited for after it has returned, as under `#[ropewalk::main]`; after a panic it
//! is not. The report is sent before that.

use ropewalk_rt::Runtime;
use ropewalk_rt::executor::panics;
use ropewalk_rt::executor::tasks::TaskEntry;

use super::current::{self, Role};
use super::report::{self, Failure, Start};
use crate::pass;
use crate::pipe::Carrier;
use crate::start::{EXIT_NOT_BEGUN, Kind, Setup};

/// What children of this kind are called in the table of kinds.
pub(super) const KIND: &str = "process";

inventory::submit! {
    Kind { name: KIND, run }
}

/// The exit code after a panic, and if arguments or result could not be carried.
const FAILED: i32 = 1;

fn run(setup: Setup) -> i32 {
    match begin(setup) {
        Ok(Ended::Well) => {
            ropewalk_rt::__private::finish();
            0
        }
        Ok(Ended::Failed) => FAILED,
        Err(why) => {
            eprintln!("ropewalk: a process can't begin: {why}");
            EXIT_NOT_BEGUN
        }
    }
}

enum Ended {
    Well,
    Failed,
}

fn begin(mut setup: Setup) -> Result<Ended, String> {
    let start: Start = postcard::from_bytes(&setup.bytes).map_err(|error| error.to_string())?;
    let fd = setup.fds.pop().ok_or("it was given no descriptor")?;
    let carrier = Carrier::from_fd(fd)?;
    // That both have the same tasks was seen before.
    let task = TaskEntry::by_index(start.task).ok_or("there is no such task")?;
    current::assume(Role {
        name: setup.name,
        daemon: start.daemon,
    });
    let mut runtime = Runtime::builder();
    if std::env::var_os("ROPEWALK_WATCH").is_none() {
        // To compute for long is what a process is for: nobody needs to be told of it.
        runtime = runtime.watch(None);
    }
    let runtime = runtime
        .build()
        .map_err(|error| format!("there is no runtime: {error}"))?;
    let ended = ropewalk_rt::__private::run_main(&runtime, || work(task, &carrier));
    // Tasks that are still there go on; what ends them is the end of the process.
    std::mem::forget(runtime);
    Ok(ended)
}

/// Calls the task and reports.
fn work(task: &TaskEntry, carrier: &Carrier) -> Ended {
    let called = panics::catch(|| call(task, carrier));
    let failure = match called {
        Ok(Ok(())) => return Ended::Well,
        Ok(Err(why)) => {
            eprintln!("ropewalk: process {}: {why}", current::name());
            Failure::NotCarried(why)
        }
        Err(panic) => Failure::Panicked(panic.into()),
    };
    // A parent that is gone doesn't want to know.
    let _ = carrier.send_first(report::of_failure(&failure), Vec::new());
    Ended::Failed
}

fn call(task: &TaskEntry, carrier: &Carrier) -> Result<(), String> {
    let mut args = carrier.try_take()?.ok_or("there are no arguments")?;
    let fds = std::mem::take(&mut args.fds);
    let loaded = pass::with_incoming(fds, || task.load(args.payload()));
    let loaded = loaded.map_err(|error| error.to_string())?;
    drop(args);
    let returned = loaded();
    let mut report = report::of_result();
    let (written, fds) = pass::with_outgoing(|| returned(&mut report));
    written.map_err(|error| match report.take_error() {
        Some(system) => format!("there is no room for the result: {system}"),
        None => error.to_string(),
    })?;
    carrier
        .send_first(report, fds)
        .map_err(|why| format!("the result can't be sent: {why}"))
}
