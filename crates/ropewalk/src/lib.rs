//! Write blocking Rust, get async scale, keep your crates.
#![forbid(unsafe_code)]

#[cfg(feature = "http")]
pub use ropewalk_http as http;
pub use ropewalk_macros::{main, test};
pub use ropewalk_rt::*;
