//! `ProcessPool`: its workers are this test binary, started again.

ropewalk_process::test_support!();

mod alone;
mod basics;
mod cancel;
mod deaths;
mod ends;
mod limits;
mod maps;
mod measure;
mod output;
mod payloads;
mod start;
mod tasks;
