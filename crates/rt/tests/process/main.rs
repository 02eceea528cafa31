//! Pipes, child processes, signals and the standard streams.

#[path = "../it/process.rs"]
#[allow(dead_code)]
mod alone;
mod children;
mod closing;
mod faults;
mod pipes;
mod signals;
#[path = "../it/stage.rs"]
#[allow(dead_code)]
mod stage;
mod standard;
