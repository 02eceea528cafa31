//! The `ropewalk` command as its users meet it: the real binary, real sockets, real signals.
#![forbid(unsafe_code)]

mod fetch;
mod interrupt;
mod process;
mod run;
mod serve;
mod site;
mod top;
mod usage;
