//! Dumps and metrics: what a running program shows of itself.

mod answers;
mod crowd;
mod form;
mod numbers;
mod reasons;
mod signal;
mod socket;
mod stage;
