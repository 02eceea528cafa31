//! Where a test's body runs: on a plain thread, and in a coroutine of each kind of runtime.

use std::time::{Duration, Instant};

use ropewalk_process::manager::{Manager, Server, Stats};
use ropewalk_rt::{DriverKind, Runtime};

/// Long enough for anything that happens at all.
pub(crate) const LONG: Duration = Duration::from_secs(60);
/// Long enough for something to have happened, were it to happen.
pub(crate) const SHORT: Duration = Duration::from_millis(20);

/// Runs `body` on a thread, then in coroutines: each driver that works here (or the
/// environment's), one worker and two.
pub(crate) fn on_each(body: impl Fn() + Sync) {
    body();
    let drivers = match DriverKind::from_env().expect("a driver's name") {
        Some(driver) => vec![driver],
        None => {
            let all = [DriverKind::Epoll, DriverKind::IoUring];
            all.into_iter()
                .filter(|driver| driver.check().is_ok())
                .collect()
        }
    };
    for driver in drivers {
        for workers in [1, 2] {
            let builder = Runtime::builder().driver(driver).workers(workers);
            builder.build().unwrap().run(&body);
        }
    }
}

/// A server in this process, and a connection to it.
pub(crate) fn served() -> (Server, Manager) {
    let server = Manager::builder().serve().unwrap();
    let manager = server.manager().unwrap();
    (server, manager)
}

/// Waits until what the server says of itself is as it should be.
#[track_caller]
pub(crate) fn await_stats(manager: &Manager, what: &str, reached: impl Fn(&Stats) -> bool) {
    let begun = Instant::now();
    loop {
        let stats = manager.stats().unwrap();
        if reached(&stats) {
            return;
        }
        assert!(begun.elapsed() < LONG, "waited for {what}: {stats:?}");
        ropewalk_rt::coroutine::sleep(Duration::from_millis(2));
    }
}
