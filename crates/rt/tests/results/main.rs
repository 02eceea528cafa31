//! Results: promises, many handles at once, groups, scopes that may fail.

mod promises;
#[path = "../it/stage.rs"]
#[allow(dead_code)]
mod stage;
