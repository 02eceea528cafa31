//! What the workers can be told to do.

use std::time::Duration;

pub(crate) fn noop() {}

pub(crate) fn square(n: u64) -> u64 {
    n * n
}

pub(crate) fn add(a: i32, b: i32) -> i32 {
    a + b
}

pub(crate) fn pid() -> u32 {
    std::process::id()
}

pub(crate) fn panics(why: String) -> u32 {
    panic!("{why}");
}

pub(crate) fn exits(code: i32) {
    std::process::exit(code);
}

pub(crate) fn aborts() {
    std::process::abort();
}

pub(crate) fn sleeps(ms: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(ms));
    ms
}

pub(crate) fn reverse(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.reverse();
    bytes
}

ropewalk_rt::register! {
    "noop" => noop,
    "square" => square,
    "add" => add,
    "pid" => pid,
    "panics" => panics,
    "exits" => exits,
    "aborts" => aborts,
    "sleeps" => sleeps,
    "reverse" => reverse,
}
