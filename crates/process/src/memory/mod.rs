//! Memory that several processes map: regions of it, and waiting for words in them.
//!
//! A [`Region`] is an anonymous file of fixed size (a sealed `memfd`) and its mapping. Whoever
//! is given its descriptor maps the same memory; it lives until the last descriptor and the
//! last mapping are gone, so nothing is left behind by processes that die.
//!
//! Other processes write it at any time, so there is never a `&T` into it: words are read and
//! written as atomics, ranges of bytes are copied in and out, and what comes out is checked
//! before it is believed.

pub mod futex;
mod region;

pub use region::Region;
