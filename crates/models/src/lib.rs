//! Loom models of how Ropewalk waits: every interleaving, up to a bound of preemptions, of a few
//! threads at one protocol, under the memory model.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p ropewalk-models
//! ```
//!
//! Without `--cfg loom` this crate is empty. With `-- --nocapture` each model says how many
//! interleavings it ran in. Many models have three threads, and up to two preemptions; those with
//! two have three.
//!
//! # What is checked
//!
//! The sources that ship, not copies: `build.rs` takes them from `crates/kernel` and
//! `crates/rt` and puts loom's atomics, cells and locks in place of std's; `src/sources.rs` lists
//! them. What they stand on is made small in `shim`: the worker is a loop around one parked
//! coroutine, the futex a condition variable, the clock a counter that some thread moves on.
//!
//! Where a source no longer has the text at which something is to be cut out or put in, the
//! build says so: then `src/sources.rs`, or the fault, follows the source.
//!
//! # That the models can fail
//!
//! `faults/table.rs` lists faults: a piece of a source, and what is put in its place. They are built
//! in behind a switch. For each there is a test that turns it on and demands that the model fails,
//! in the file of the model it belongs to.
//!
//! # What loom doesn't see
//!
//! - Sequentially consistent accesses are acquire and release to loom; see `shim::atomic` for the
//!   fences that stand in.
//! - `std::sync::Arc` is used as it is: its counts are not checked.
//! - Compare-exchanges don't fail spuriously, and interleavings with more preemptions than the
//!   bound are not tried.
#![cfg(all(loom, test))]

mod faults;
mod shim;

include!(concat!(env!("OUT_DIR"), "/modules.rs"));

mod models;
