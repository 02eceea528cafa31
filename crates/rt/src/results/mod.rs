//! Results of many at once: all of them, the first, or one after another as they come.
//!
//! These functions take whatever can be [joined](Joinable): join handles of coroutines, threads
//! and async tasks, of a scope's children, and read sides of promises.
//!
//! # Examples
//!
//! ```
//! use ropewalk_rt::{coroutine, results};
//!
//! let squares = (1..=3).map(|n| coroutine::spawn(move || n * n));
//! let sum: i32 = results::join_all(squares).into_iter().map(Result::unwrap).sum();
//! assert_eq!(sum, 14);
//! ```

mod asynchronous;
mod completed;
mod joinable;
mod many;
mod try_scope;

pub use asynchronous::{JoinAll, Race, join_all_async, race_async};
pub use completed::{AsCompleted, NextCompleted, as_completed, as_completed_timeout};
pub use joinable::Joinable;
pub use many::{
    ReturnWhen, join_all, race, race_deadline, race_timeout, try_join_all, wait, wait_first,
    wait_first_deadline, wait_first_timeout,
};
pub use try_scope::{TryScope, TryScopedJoinHandle, try_scope};

pub(crate) use completed::Arrivals;
pub(crate) use joinable::sealed;
