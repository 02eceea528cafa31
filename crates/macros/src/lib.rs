//! The attribute macros of Ropewalk.
