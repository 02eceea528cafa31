//! Every primitive in all nine pairings of who waits and who wakes: thread, coroutine, async
//! task; under both drivers, with one and two workers.

mod channels;
mod locks;
mod pair;
mod queues;
mod results;
mod signals;
#[path = "../it/stage.rs"]
#[allow(dead_code)]
mod stage;
