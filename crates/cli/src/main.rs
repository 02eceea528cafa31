//! The `ropewalk` command.
#![forbid(unsafe_code)]

fn main() {}
