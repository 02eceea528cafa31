//! The behaviour of `channel`, to the depth of crossbeam-channel's own tests: from threads,
//! coroutines and async tasks, on each stage of `stage`.

mod clocks;
mod conserve;
mod disconnect;
mod drops;
mod fixture;
mod iterate;
mod rendezvous;
#[path = "../it/stage.rs"]
#[allow(dead_code)]
mod stage;
mod states;
