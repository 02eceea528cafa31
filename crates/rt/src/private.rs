//! What the attribute macros expand to.

use std::process::{ExitCode, Termination};
use std::time::Duration;

use crate::executor::tasks;
use crate::runtime::Runtime;

/// What is to be called first of all under `#[ropewalk::main]`, before there is a runtime: a
/// crate above this one puts it in, when the program is linked.
pub struct StartHook(pub fn());

inventory::collect!(StartHook);

/// What is to be called at the end under `#[ropewalk::main]`, once all tasks that aren't daemons
/// have ended. It says whether it waited for anything: then tasks are looked for again.
pub struct EndHook(pub fn() -> bool);

inventory::collect!(EndHook);

/// The arguments of `#[ropewalk::main]`.
#[derive(Clone, Copy, Debug, Default)]
pub struct MainOptions {
    /// The number of workers.
    pub workers: Option<usize>,
    /// Usable stack bytes of a coroutine.
    pub stack_size: Option<usize>,
}

/// The arguments of `#[ropewalk::test]`.
#[derive(Clone, Copy, Debug, Default)]
pub struct TestOptions {
    /// The number of workers.
    pub workers: Option<usize>,
    /// Usable stack bytes of a coroutine.
    pub stack_size: Option<usize>,
}

fn build(workers: Option<usize>, stack_size: Option<usize>) -> std::io::Result<Runtime> {
    let mut builder = Runtime::builder();
    if let Some(workers) = workers {
        builder = builder.workers(workers);
    }
    if let Some(bytes) = stack_size {
        builder = builder.stack_size(bytes);
    }
    builder.build()
}

/// Runs a program's `main` as a coroutine, then waits for all tasks that aren't daemons.
///
/// What `main` returns is reported where it was made: it need not be `Send`.
#[track_caller]
pub fn main<T: Termination>(options: MainOptions, body: fn() -> T) -> ExitCode {
    for hook in inventory::iter::<StartHook> {
        hook.0();
    }
    if let Err(error) = tasks::check() {
        eprintln!("ropewalk: {error}");
        std::process::exit(1);
    }
    let runtime = match build(options.workers, options.stack_size) {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("ropewalk: the runtime can't be started: {error}");
            // Not by returning: a `main` without a value drops the code.
            std::process::exit(1);
        }
    };
    let code = run_main(&runtime, || body().report());
    finish();
    code
}

/// Runs the main task of a process, on its main thread, which is to wait in [`finish`] then.
#[track_caller]
pub fn run_main<T: Send>(runtime: &Runtime, body: impl FnOnce() -> T + Send) -> T {
    // The main thread waits, whatever happens.
    runtime.close_to_outsiders(1);
    runtime.run(body)
}

/// Waits until all has ended that the process is to wait for at its end.
pub fn finish() {
    loop {
        ropewalk_kernel::runtime::wait_for_others();
        let mut waited = false;
        for hook in inventory::iter::<EndHook> {
            waited |= hook.0();
        }
        if !waited {
            return;
        }
    }
}

/// Runs a test as a coroutine on a runtime of its own, which must be empty at the end.
#[track_caller]
pub fn test<T: Termination>(options: TestOptions, name: &'static str, body: fn() -> T) -> ExitCode {
    const PATIENCE: Duration = Duration::from_secs(10);
    let runtime = build(options.workers, options.stack_size).expect("a runtime for the test");
    // This thread waits below, and libtest's main thread for this one, if it is another.
    runtime.close_to_outsiders(if is_main_thread() { 1 } else { 2 });
    let code = runtime.run(|| body().report());
    if let Err(left) = runtime.shutdown(PATIENCE) {
        panic!("{name} left coroutines behind: {left}");
    }
    code
}

fn is_main_thread() -> bool {
    // SAFETY: both only give a number.
    unsafe { libc::gettid() == libc::getpid() }
}
