//! Managers: their objects from threads and coroutines, from other processes that are killed,
//! and against those who don't know the key.

mod batches;
mod cancelled;
mod children;
mod data;
mod ends;
mod killed;
mod locks;
mod own_process;
mod processes;
mod queues;
mod served;
mod stage;
mod strangers;
mod travel;

ropewalk_process::test_support!();
