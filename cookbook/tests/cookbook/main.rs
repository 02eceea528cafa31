//! Runs every program of the cookbook: its functions here, and the program itself as a
//! process of its own, with each driver.

mod coroutines;
mod datagrams;
mod executors;
mod files;
mod generators;
mod locals;
mod locks;
mod managers;
mod multiprocessing;
mod network;
mod processes;
// Of each program only `main` is not called.
#[allow(dead_code)]
pub mod program;
mod programs;
mod queues;
mod shared;
mod tasks;
mod thread_pools;
mod threads;
mod waiting;
mod web;

ropewalk::process::test_support!();
