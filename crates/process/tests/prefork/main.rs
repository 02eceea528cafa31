//! Several processes behind one port: real ones, killed, reloaded, and told to end.

mod master;
mod service;
mod whole;

ropewalk_process::test_support!();
