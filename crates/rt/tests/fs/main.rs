//! The behaviour of `fs`: from threads and coroutines, on each stage of `stage`.

mod cancelled;
mod directories;
mod faults;
mod files;
mod paths;
mod positions;
#[path = "../it/process.rs"]
#[allow(dead_code)]
mod process;
mod scratch;
#[path = "../it/stage.rs"]
#[allow(dead_code)]
mod stage;
mod streams;
mod transfers;
