//! Managers: their objects from threads and coroutines, from other processes that are killed,
//! and against those who don't know the key.

mod batches;
mod data;
mod locks;
mod queues;
mod stage;

ropewalk_process::test_support!();
