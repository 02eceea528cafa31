//! The behaviour of `queue`, `channel::watch` and `channel::broadcast`: from threads, coroutines and async tasks, on each stage of `stage`.

mod basics;
mod broadcast;
mod closing;
mod crowds;
mod misuse;
#[path = "../it/stage.rs"]
#[allow(dead_code)]
mod stage;
mod stress;
mod waiting;
mod watch;
#[path = "../sync/who.rs"]
#[allow(dead_code)]
mod who;
