//! The behaviour of `queue`: from threads, coroutines and async tasks, on each stage of `stage`.

mod basics;
mod closing;
mod crowds;
mod misuse;
#[path = "../it/stage.rs"]
#[allow(dead_code)]
mod stage;
mod stress;
mod waiting;
#[path = "../sync/who.rs"]
#[allow(dead_code)]
mod who;
