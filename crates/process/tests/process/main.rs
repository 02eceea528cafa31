//! Processes that run one task each.

#[path = "../../../rt/tests/it/process.rs"]
#[allow(dead_code)]
mod alone;
mod carried;
mod endings;
mod family;
mod pipes;
#[path = "../../../rt/tests/it/stage.rs"]
#[allow(dead_code)]
mod stage;

ropewalk_process::test_support!();
