//! Thousands of tasks, whose processes die in every way at any moment.
//!
//! Which task dies how is drawn from a seed, which is printed; `ROPEWALK_CHAOS_SEED` sets it and
//! `ROPEWALK_CHAOS_TASKS` the number of tasks. The moments are the machine's.

mod chance;
mod fate;
mod storm;
mod together;
mod traces;

ropewalk_process::test_support!();
