//! Time: `std`'s types, and sleeping that only the caller feels.

pub use std::time::{Duration, Instant};

pub use crate::coroutine::{sleep, sleep_until};
