//! Cancellation, deadlines, async tasks and what happens when a task is done.

mod async_tasks;
mod delivery;
mod done;
mod duel;
mod every_wait;
mod io_races;
mod lock_races;
mod meeting_races;
mod message_races;
mod races;
#[path = "../it/stage.rs"]
#[allow(dead_code)]
mod stage;
mod tokens;
mod waits;
