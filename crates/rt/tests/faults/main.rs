//! What happens when the system refuses: the n-th call of each kind made to fail, once and for
//! long; too few descriptors, too little memory, no io_uring, a quota.
//!
//! The table of system calls is the process's, so each test runs in a process of its own.

mod kinds;
mod limits;
mod loops;
mod passing;
mod pools;
#[path = "../it/process.rs"]
mod process;
mod sandboxes;
mod table;
mod workload;
