//! The behaviour of `channel`, to the depth of crossbeam-channel's own tests: from threads,
//! coroutines and async tasks, on each stage of `stage`.

mod arms;
mod clocks;
mod conserve;
mod contention;
mod disconnect;
mod drops;
mod duels;
mod executor;
mod fixture;
mod futures;
mod iterate;
mod ledger;
mod macros;
mod pairings;
mod patterns;
mod programs;
mod races;
mod ready;
mod rendezvous;
mod selecting;
#[path = "../it/stage.rs"]
#[allow(dead_code)]
mod stage;
mod states;
mod told;
#[path = "../sync/who.rs"]
mod who;
mod woken;
