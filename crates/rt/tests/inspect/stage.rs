//! Runtimes of each kind, and waiting for a condition.

use std::time::{Duration, Instant};

use ropewalk_rt::inspect::{Dump, Group, TaskInfo};
use ropewalk_rt::{DriverKind, Runtime};

/// The drivers to test: the environment's, else all that work here.
fn drivers() -> Vec<DriverKind> {
    if let Some(driver) = DriverKind::from_env().expect("ROPEWALK_DRIVER names a driver") {
        return vec![driver];
    }
    let mut drivers = vec![DriverKind::Epoll];
    match DriverKind::IoUring.check() {
        Ok(()) => drivers.push(DriverKind::IoUring),
        Err(error) => eprintln!("skipped with io_uring: {error}"),
    }
    drivers
}

pub(crate) fn runtime(workers: usize) -> Runtime {
    let builder = Runtime::builder().workers(workers).watch(None);
    builder.build().expect("a runtime")
}

/// Runs `body` with a runtime of each kind, which must be empty afterwards.
pub(crate) fn on_each(body: impl Fn(&Runtime)) {
    for driver in drivers() {
        for workers in [1, 2] {
            let builder = Runtime::builder().workers(workers).driver(driver);
            let runtime = builder.watch(None).build().expect("a runtime");
            body(&runtime);
            runtime
                .shutdown(Duration::from_secs(120))
                .expect("all have ended");
        }
    }
}

/// Takes dumps until one shows what is asked for.
pub(crate) fn dump_until(runtime: &Runtime, shows: impl Fn(&Dump) -> bool) -> Dump {
    let patience = Instant::now() + Duration::from_secs(120);
    loop {
        let dump = runtime.dump();
        if shows(&dump) {
            return dump;
        }
        assert!(Instant::now() < patience, "it never came:\n{dump}");
        std::thread::yield_now();
    }
}

/// The task with this name, and its group.
pub(crate) fn named<'a>(dump: &'a Dump, name: &str) -> Option<(&'a Group, &'a TaskInfo)> {
    dump.tasks()
        .find(|(_, task)| task.name.as_deref() == Some(name))
}

/// Takes dumps until one shows what is asked for, in which every worker has answered: on a busy
/// machine one may be late.
pub(crate) fn answered_until(runtime: &Runtime, shows: impl Fn(&Dump) -> bool) -> Dump {
    dump_until(runtime, |dump| {
        let mut runtimes = dump.runtimes.iter();
        runtimes.all(|one| one.silent_workers.is_empty()) && shows(dump)
    })
}

/// As [`waits`], with its stack: one that began to wait after its worker had answered has none yet.
pub(crate) fn stands(dump: &Dump, name: &str, reason: &str) -> bool {
    let stack = |(group, _): (&Group, _)| !group.stack.is_empty();
    waits(dump, name, reason) && named(dump, name).is_some_and(stack)
}

/// Says whether the task with this name is there and waits for this.
pub(crate) fn waits(dump: &Dump, name: &str, reason: &str) -> bool {
    named(dump, name).is_some_and(|(group, _)| group.reason == Some(reason))
}
