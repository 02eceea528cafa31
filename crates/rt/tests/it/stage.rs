//! Where a test's body runs: on a plain thread, and in a coroutine of each kind of runtime.
//!
//! A runtime of a stage's own is shut down after the body and must then be empty, and so
//! must the global one after a body on a thread.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ropewalk_rt::{DriverKind, Runtime, coroutine};

/// How long a runtime may take to fall quiet after a test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A plain thread, or a kind of runtime.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Thread,
    Coroutine { driver: DriverKind, workers: usize },
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stage::Thread => f.write_str("a plain thread"),
            Stage::Coroutine { driver, workers } => {
                write!(f, "a coroutine: {}, {workers} workers", driver.as_str())
            }
        }
    }
}

/// The drivers to test: the environment's, else all that work here.
pub(crate) fn drivers() -> Vec<DriverKind> {
    if let Some(driver) = DriverKind::from_env().expect("ROPEWALK_DRIVER names a driver") {
        return vec![driver];
    }
    // `select` is tried with poll's list; its low bound on descriptors, which all tests of a
    // process share, keeps it out of here.
    let mut drivers = vec![DriverKind::Epoll, DriverKind::Poll];
    match DriverKind::IoUring.check() {
        Ok(()) => drivers.push(DriverKind::IoUring),
        Err(error) => eprintln!("skipped with io_uring: {error}"),
    }
    drivers
}

/// The numbers of workers to test: the environment's, else one and two.
pub(crate) fn worker_counts() -> Vec<usize> {
    match std::env::var("ROPEWALK_WORKERS") {
        Ok(text) if !text.is_empty() => vec![text.parse().expect("ROPEWALK_WORKERS is a number")],
        _ => vec![1, 2],
    }
}

fn coroutine_stages() -> Vec<Stage> {
    let mut stages = Vec::new();
    for driver in drivers() {
        for workers in worker_counts() {
            stages.push(Stage::Coroutine { driver, workers });
        }
    }
    stages
}

/// Runs `body` on a plain thread, then as a coroutine under each driver and with each number
/// of workers.
pub(crate) fn on_each(body: impl Fn() + Sync) {
    on_thread(&body);
    in_coroutines(body);
}

/// Runs `body` on a plain thread; what it spawns goes to the global runtime.
pub(crate) fn on_thread(body: impl Fn() + Sync) {
    // The global runtime is everybody's: one at a time, so that it can be seen to be empty.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    play(Stage::Thread, || {
        body();
        let global = ropewalk_kernel::runtime::Runtime::global().expect("the global runtime");
        let begun = std::time::Instant::now();
        while global.live() != 0 {
            assert!(
                begun.elapsed() < PATIENCE,
                "left behind: {:?}",
                global.living()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    });
}

/// Runs `body` as a coroutine under each driver and with each number of workers.
pub(crate) fn in_coroutines(body: impl Fn() + Sync) {
    for stage in coroutine_stages() {
        on_runtime(stage, |runtime| runtime.run(&body));
    }
}

/// Runs `body` as a coroutine under each driver, on runtimes with `workers` workers.
pub(crate) fn with_workers(workers: usize, body: impl Fn() + Sync) {
    for driver in drivers() {
        on_runtime(Stage::Coroutine { driver, workers }, |runtime| {
            runtime.run(&body);
        });
    }
}

/// Runs `body` on a plain thread, with a runtime of each kind.
pub(crate) fn with_runtimes(body: impl Fn(&Runtime)) {
    for stage in coroutine_stages() {
        on_runtime(stage, &body);
    }
}

fn on_runtime(stage: Stage, body: impl Fn(&Runtime)) {
    let Stage::Coroutine { driver, workers } = stage else {
        unreachable!("a stage with a runtime")
    };
    play(stage, || {
        let runtime = runtime(driver, workers);
        body(&runtime);
        close(runtime);
    });
}

pub(crate) fn runtime(driver: DriverKind, workers: usize) -> Runtime {
    Runtime::builder()
        .driver(driver)
        .workers(workers)
        .build()
        .expect("a runtime")
}

/// A runtime of the first driver, with as many workers.
pub(crate) fn any_runtime(workers: usize) -> Runtime {
    runtime(drivers()[0], workers)
}

/// Shuts a runtime down, which must have nobody left.
pub(crate) fn close(runtime: Runtime) {
    if let Err(left) = runtime.shutdown(PATIENCE) {
        panic!("left behind: {left}");
    }
}

/// Runs one stage; a failure says which it was, a hang who hangs.
fn play(stage: Stage, body: impl FnOnce()) {
    let (ended, end) = mpsc::channel::<()>();
    let watcher = std::thread::spawn(move || {
        while let Err(mpsc::RecvTimeoutError::Timeout) = end.recv_timeout(Duration::from_secs(60)) {
            eprintln!("still on {stage}; alive in this process:");
            for task in coroutine::list() {
                eprintln!("  {task}");
            }
        }
    });
    let result = catch_unwind(AssertUnwindSafe(body));
    drop(ended);
    watcher.join().expect("the watcher ends");
    if let Err(payload) = result {
        eprintln!("failed on {stage}");
        resume_unwind(payload);
    }
}

/// Waits until `condition` holds, letting others run.
pub(crate) fn until(mut condition: impl FnMut() -> bool) {
    let mut looks = 0;
    while !condition() {
        looks += 1;
        if looks < 100 {
            coroutine::yield_now();
        } else {
            coroutine::sleep(Duration::from_micros(200));
        }
    }
}

/// Waits until the coroutine `id` waits for `what`, as a dump would say it.
pub(crate) fn until_waiting(id: u64, what: &str) {
    until(|| {
        coroutine::list()
            .iter()
            .any(|task| task.id() == id && task.waits_for() == what)
    });
}
