//! The soundness rules of the design, each with a test that fails without it.
//!
//! Each test says on top how the rule is broken to see it fail. Those that touch what the
//! whole process has (panic hooks, aborts) run in a subprocess: this executable again, with
//! the name of the test and a variable that tells it to do the deed.

mod operations;
mod panics;
mod scopes;
mod stacks;

use std::panic::Location;
use std::process::{Command, Output};

use ropewalk_kernel::driver::DriverKind;
use ropewalk_kernel::runtime::{self, Config, Runtime};
use ropewalk_kernel::task::{Handle, Options};

const DEED: &str = "ROPEWALK_TEST_DEED";

/// Says whether this process is the subprocess of a test.
fn is_deed() -> bool {
    std::env::var_os(DEED).is_some()
}

/// Runs the test `name` of this executable again, as a subprocess that does the deed.
fn run_deed(name: &str) -> Output {
    Command::new(std::env::current_exe().expect("this executable"))
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(DEED, "1")
        .output()
        .expect("the executable runs again")
}

fn text(output: &Output) -> String {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&text).into_owned()
}

/// The drivers that work here.
fn drivers() -> Vec<DriverKind> {
    DriverKind::ALL
        .into_iter()
        .filter(|driver| driver.check().is_ok())
        .collect()
}

fn runtime_with(workers: usize, driver: Option<DriverKind>, name: &str) -> Runtime {
    let config = Config {
        workers: Some(workers),
        driver,
        thread_name: name.into(),
        ..Config::default()
    };
    Runtime::new(config).expect("a runtime")
}

fn spawn<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> Handle<T> {
    // SAFETY: `'static`.
    unsafe { runtime::spawn_unchecked(Options::default(), None, Location::caller(), f) }
        .expect("a runtime")
}
