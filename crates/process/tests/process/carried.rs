//! What goes there and comes back: arguments, results, panics.

use std::collections::BTreeMap;

use ropewalk_process::{Process, RunProcess, StartError};
use ropewalk_rt::{JoinError, Run, coroutine};
use serde::{Deserialize, Serialize, Serializer};

use crate::stage::on_each;

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn add(left: u64, right: u64) -> u64 {
    left + right
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn where_am_i() -> (u32, u32, String, bool) {
    let name = ropewalk_process::name().to_owned();
    let inside = coroutine::worker().is_some();
    (
        ropewalk_process::pid(),
        ropewalk_process::ppid(),
        name,
        inside,
    )
}

#[test]
fn a_task_runs_in_a_process_of_its_own() {
    on_each(|| {
        let sum = Process::spawn(add, (40, 2)).unwrap();
        let place = Process::builder(where_am_i, ())
            .name("elsewhere")
            .spawn()
            .unwrap();
        let pid = place.pid();
        assert_ne!(pid, std::process::id());
        assert_eq!(place.name(), "elsewhere");
        let expected = (pid, std::process::id(), "elsewhere".to_owned(), true);
        assert_eq!(place.join().unwrap(), expected);
        assert_eq!(sum.join().unwrap(), 42);
        let named_as_task = Process::spawn(where_am_i, ()).unwrap();
        assert_eq!(named_as_task.join().unwrap().2, "where_am_i");
    });
}

type Everything = (Vec<u8>, BTreeMap<String, Option<f64>>, Result<char, ()>);

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn back(everything: Everything) -> Everything {
    everything
}

/// Larger than any packet, there and back.
#[test]
fn large_values_go_both_ways() {
    let map = [("a".to_owned(), Some(0.5)), ("b".to_owned(), None)];
    let everything: Everything = (vec![7; 3 << 20], map.into(), Ok('\u{1f9f6}'));
    let process = Process::spawn(back, (everything.clone(),)).unwrap();
    assert!(process.join().unwrap() == everything);
}

#[derive(Serialize, Deserialize)]
struct Countdown {
    from: u32,
}

impl Run for Countdown {
    type Output = Vec<u32>;
    fn run(self) -> Vec<u32> {
        (1..=self.from).rev().collect()
    }
}

ropewalk_rt::register! { "countdown" => Countdown::run }

#[test]
fn a_type_can_be_started() {
    let process = Countdown { from: 3 }.start_process().unwrap();
    assert_eq!(process.join().unwrap(), [3, 2, 1]);
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn panics(text: String) {
    panic!("it went {text}");
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn panics_with_a_number() {
    std::panic::panic_any(7);
}

#[test]
fn a_panic_is_carried_back() {
    let builder = Process::builder(panics, ("wrong".to_owned(),)).env("RUST_BACKTRACE", "1");
    let process = builder
        .stderr(ropewalk_process::Stream::Null)
        .spawn()
        .unwrap();
    let handle = process.handle();
    let error = process.join().unwrap_err();
    assert_eq!(handle.exit_code(), Some(1));
    assert!(error.is_panic());
    assert_eq!(error.panic_message(), Some("it went wrong"));
    let panic = error.remote_panic().unwrap();
    assert_eq!(panic.pid, handle.pid());
    assert!(
        panic.location.as_ref().unwrap().contains("carried.rs"),
        "{panic:?}"
    );
    assert!(
        panic.backtrace.as_ref().unwrap().contains("panics"),
        "{panic:?}"
    );

    let builder = Process::builder(panics_with_a_number, ()).env("RUST_BACKTRACE", "0");
    let process = builder
        .stderr(ropewalk_process::Stream::Null)
        .spawn()
        .unwrap();
    let error = process.join().unwrap_err();
    assert!(error.is_panic());
    assert!(error.remote_panic().unwrap().backtrace.is_none());
}

/// A value that can't be serialised, and one that can't be read again.
#[derive(Deserialize, Debug)]
struct Bad(#[allow(dead_code)] u8);

impl Serialize for Bad {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            0 => Err(serde::ser::Error::custom("never")),
            _ => serializer.serialize_str("something else"),
        }
    }
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn bad_result(how: u8) -> Option<Bad> {
    Some(Bad(how))
}

#[ropewalk_macros::task(crate = ropewalk_rt)]
fn bad_argument(_bad: Bad, _text: char) {}

#[test]
fn what_cannot_be_carried_is_told() {
    let process = Process::builder(bad_result, (0,));
    let process = process
        .stderr(ropewalk_process::Stream::Null)
        .spawn()
        .unwrap();
    let handle = process.handle();
    let error = process.join().unwrap_err();
    assert!(matches!(error, JoinError::Failed(_)), "{error:?}");
    assert!(
        error.to_string().contains("the result can't be serialised"),
        "{error}"
    );
    assert_eq!(handle.exit_code(), Some(1));

    let error = Process::spawn(bad_result, (1,))
        .unwrap()
        .join()
        .unwrap_err();
    assert!(
        error.to_string().contains("the result can't be read"),
        "{error}"
    );

    let error = Process::spawn(bad_argument, (Bad(0), 'x')).unwrap_err();
    assert!(matches!(error, StartError::Encode(_)), "{error}");
    let process = Process::builder(bad_argument, (Bad(1), 'x'));
    let process = process
        .stderr(ropewalk_process::Stream::Null)
        .spawn()
        .unwrap();
    let error = process.join().unwrap_err();
    assert!(
        error.to_string().contains("the arguments can't be read"),
        "{error}"
    );
}

#[test]
fn a_function_that_is_no_task_is_refused() {
    fn no_task() {}
    let error = Process::spawn(no_task, ()).unwrap_err();
    assert!(error.to_string().contains("no_task"), "{error}");
    assert!(matches!(error, StartError::NotATask { .. }));
    let error = Process::builder(add, (1, 2))
        .name("a\0b")
        .spawn()
        .unwrap_err();
    assert!(matches!(error, StartError::Io(_)), "{error}");
}
