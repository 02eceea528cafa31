//! `ProcessPool`: its workers are this test binary, started again.

ropewalk_process::test_support!();

mod basics;
mod measure;
mod tasks;
