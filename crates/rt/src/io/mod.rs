//! What stands on `Read` and `Write`: copying, and framing of messages.
//!
//! [`frame`] cuts a stream of bytes into messages, `copy` moves bytes from one stream to another,
//! in one direction or both.

mod copy;
pub mod frame;

pub use copy::{HalfClose, copy, copy_bidirectional};
