//! Dumps and metrics: what a running program shows of itself.

mod crowd;
