//! Pipes: within one process, and between processes.

#[path = "../../../rt/tests/it/process.rs"]
#[allow(dead_code)]
mod alone;
mod closing;
mod ends;
mod messages;
#[path = "../../../rt/tests/it/stage.rs"]
#[allow(dead_code)]
mod stage;
mod waits;
