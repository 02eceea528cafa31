//! What all that is read and written has in common, and what each kind has for itself.
//!
//! Each test runs on a plain thread and on runtimes of its own, under each driver and with one
//! and two workers: see `stage`. `ROPEWALK_DRIVER` and `ROPEWALK_WORKERS` narrow the choice.

mod connections;
mod datagrams;
mod lookups;
// Each test binary uses its own part of these.
#[allow(dead_code)]
#[path = "../it/process.rs"]
mod process;
mod races;
mod shortages;
mod socket;
#[allow(dead_code)]
#[path = "../it/stage.rs"]
mod stage;
mod udp;
mod unix;
mod ways;
