//! Results: promises, many handles at once, groups, scopes that may fail.

mod groups;
mod many;
mod promises;
mod races;
#[path = "../it/stage.rs"]
#[allow(dead_code)]
mod stage;
mod try_scopes;
